"""Frechet distance, d = 2,048, beside pytorch-fid (n = 100, 1,000) and torchmetrics (n = 10,000): medians, ratios, values.

    python benchmarks/frechet.py [--repeats 5] [--sizes 100 1000 10000] [--threads 1]

Features are non-negative with a decaying spectrum, as pooled Inception activations are. drlit is timed from the features to the
distance; pytorch-fid without its means and covariances (it is handed them), torchmetrics with them (its `update`), so that no peer
is charged for what it does not do. A peer that is not installed is skipped with a printed reason.
"""
import argparse
import inspect
import statistics
import time
from types import SimpleNamespace

import numpy as np
import torch

from drlit.metrics.dataset import frechet_distance

WIDTH = 2048
AIMS = {("pytorch-fid", 100): 100, ("pytorch-fid", 1000): 10, ("torchmetrics", 10000): 1.5}


def features(n, seed):
    "Two sets of one hundred latent factors plus noise, rectified; the second is shifted and wider"
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn(WIDTH, WIDTH, generator=g, dtype=torch.float64) * torch.logspace(0, -3, WIDTH, dtype=torch.float64)[:, None]
    x, y = (torch.randn(n, WIDTH, generator=g, dtype=torch.float64) @ mix for _ in range(2))
    return (x + .5).relu(), (1.2 * y + .8).relu()


def timed(fns, repeats):
    "Median seconds and value of each function; they take turns, so that other load on the machine meets all of them"
    seconds, values = [[] for _ in fns], [None] * len(fns)
    for _ in range(repeats):
        for i, fn in enumerate(fns):
            start = time.perf_counter()
            values[i] = float(fn())
            seconds[i].append(time.perf_counter() - start)
    return [(statistics.median(s), v) for s, v in zip(seconds, values)]


def pytorch_fid(x, y):
    "pytorch-fid 0.3.0 calls scipy's sqrtm with `disp`, which scipy 1.18 removed: a wrapper stands in for it there"
    import scipy.linalg
    from pytorch_fid import fid_score
    if "disp" not in inspect.signature(scipy.linalg.sqrtm).parameters:
        print("  scipy's sqrtm has no `disp`: pytorch-fid runs with a wrapper that drops it")
        fid_score.linalg = SimpleNamespace(sqrtm=lambda a, disp=True: scipy.linalg.sqrtm(a) if disp else (scipy.linalg.sqrtm(a), None))
    stats = [k for z in (x.numpy(), y.numpy()) for k in (z.mean(0), np.cov(z, rowvar=False))]
    return lambda: fid_score.calculate_frechet_distance(*stats)


def torchmetrics(x, y):
    "torchmetrics with a feature module that passes features through"
    from torchmetrics.image.fid import FrechetInceptionDistance
    passed = torch.nn.Identity()
    passed.num_features = WIDTH
    metric = FrechetInceptionDistance(feature=passed)
    def run():
        metric.reset()
        metric.update(x, real=True)
        metric.update(y, real=False)
        return metric.compute()
    return run


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--repeats", type=int, default=5)
    ap.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10000])
    ap.add_argument("--threads", type=int, default=1)
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    missed = False
    print(f"d = {WIDTH}, {a.threads} thread(s), medians of {a.repeats}, taking turns")
    for n in a.sizes:
        x, y = features(n, 0)
        frechet_distance(x[:50], y[:50])  # warm up
        for name, make in (("torchmetrics", torchmetrics),) if n > 2 * WIDTH else (("pytorch-fid", pytorch_fid),):
            try: run = make(x, y)
            except ImportError as e:
                print(f"  {name} skipped: {e}")
                continue
            (ours, value), (theirs, other) = timed((lambda: frechet_distance(x, y), run), a.repeats)
            aim, apart = AIMS.get((name, n)), abs(value / other - 1)
            ok = (aim is None or theirs / ours >= aim) and apart < 3e-4
            missed |= not ok
            print(f"n = {n:6,}  drlit {ours:9.4f} s  value {value:.6f}")
            print(f"  {name:12s} {theirs:9.4f} s  value {other:.6f}  ratio {theirs / ours:.1f}x"
                  f"{f' (aim {aim}x)' if aim else ''}  relative difference {apart:.1e}{'' if ok else '  MISSED'}")
    raise SystemExit(missed)


if __name__ == "__main__":
    main()
