"""Does a training come out the same twice, and the same on another device? Weights of a small network after five epochs, largest differences.

python benchmarks/repeatability.py --device cuda
"""
import argparse
from contextlib import contextmanager
from unittest.mock import patch

import torch

from drlit.core import device_of, seed_of
from drlit.models import Training, build, fit


@contextmanager
def seeds_alone(*parts):
    "`seeded` as it would be if seeds were enough"
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(*parts))
        yield


def weights(device):
    "What one training ends on"
    torch.manual_seed(0)
    x, y = torch.rand(100, 1, 28, 28), torch.arange(100) % 10
    model = build("cnn", (1, 28, 28), 10, seed=0)
    fit(model, x, y, Training(min_epochs=5, max_epochs=5), 0, device)
    return torch.cat([p.detach().cpu().flatten() for p in model.parameters()])


def apart(a, b): return f"{float((a - b).abs().max()):.2g}"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--device", default="auto")
    device = str(device_of(p.parse_args().device))
    weights(device)
    with patch("drlit.models.seeded", seeds_alone): print(f"{device} twice, seeds alone:       {apart(weights(device), weights(device))}")
    print(f"{device} twice, as drlit trains:   {apart(weights(device), weights(device))}")
    print(f"{device} against cpu:              {apart(weights(device), weights('cpu'))}")
    torch.backends.cudnn.allow_tf32 = False
    print(f"in full float32, twice:      {apart(weights(device), weights(device))}")
    print(f"in full float32, against cpu: {apart(weights(device), weights('cpu'))}")


if __name__ == "__main__": main()
