"""Deep-Leakage by data set, batch size and budget: the rows of drlit/results/deep_leakage/figures.csv.

    OMP_NUM_THREADS=1 DRLIT_DATA=FOLDER python benchmarks/deep_leakage_figures.py

Each row is one network (a LeNet with sigmoid and weights from U(-0.5, 0.5), or a trained VGG16 of a quarter of the width), one update
set and its gradient, attacked with the default plan and the budget of the row; with the key `wrong_key` the gradient is that of an image of another class. FOLDER holds mnist.npz,
cifar10.npz and celeba_id.npz (`images`, `labels`). A row is written as soon as it is there, and rows that are there are kept.
Errors are those of the pairing with the least total error, after clipping to [0,1].
"""
import argparse
import os
import time
from functools import cache
from pathlib import Path

import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment

from drlit.attacks.base import run
from drlit.attacks.deep_leakage import DeepLeakage
from drlit.core import write_atomic
from drlit.data import load_images
from drlit.metrics.sample import pairwise
from drlit.targets import recipe_for, train_target

OUT = Path(__file__).parents[1] / "drlit" / "results" / "deep_leakage" / "figures.csv"
LENET, VGG = "lenet_sigmoid", "vgg16_w16"  # the second is trained on a hundred images
SETS = [  # data, network, images behind the gradient, seeds, key, budgets
    ("celeba_id", LENET, 1, 1, "none", [6000]),
    ("digits", LENET, 1, 10, "none", [6000]), ("mnist", LENET, 1, 10, "none", [6000]), ("cifar10", LENET, 1, 10, "none", [6000]),
    ("digits", LENET, 1, 5, "wrong_key", [6000]), ("digits", LENET, 2, 3, "none", [6000]), ("digits", LENET, 4, 3, "none", [6000]), ("mnist", LENET, 1, 2, "wrong_key", [6000]),
    ("digits", LENET, 8, 2, "none", [6000]), ("digits", LENET, 20, 1, "none", [600, 2400, 6000]), ("cifar10", LENET, 1, 1, "wrong_key", [6000]),
    ("digits", VGG, 1, 1, "none", [400]), ("digits", VGG, 1, 1, "wrong_key", [400]), ("digits", VGG, 100, 1, "none", [100]),
    ("celeba_id", LENET, 1, 3, "none", [6000]), ("digits", LENET, 8, 5, "none", [6000]), ("digits", LENET, 20, 3, "none", [600, 2400, 6000]),
]
KEYS = ["data", "arch", "n", "seed", "key", "budget"]


@cache
def images_of(data):
    "The images of a set"
    return load_images("digits") if data == "digits" else load_images(Path(os.environ.get("DRLIT_DATA", ".")) / f"{data}.npz")


def errors(images, truth):
    "Squared errors under the best pairing, and the pairing"
    cost = pairwise(images, truth.images, "mse")
    i, j = linear_sum_assignment(cost)
    return cost[i, j], i, j


def row(data, arch, n, seed, key, budget):
    "One attack, and what only we can know of it; beside it uniform noise"
    images, size = images_of(data), 20 if arch == LENET and data != "celeba_id" else 100
    target = train_target(recipe_for(images, size, arch=arch, update_size=n, seed=seed), images)
    truth, begun = target.truth("dynamic"), time.perf_counter()
    noise = torch.rand(truth.images.shape, generator=torch.Generator().manual_seed(seed))
    rec = run(DeepLeakage(budget=budget), target if key == "none" else target.decoy(key, seed), seed=seed)
    seconds, (e, i, j) = time.perf_counter() - begun, errors(rec.images, truth)
    found = dict(worst=e.max().item(), median=e.median().item(), noise=errors(noise, truth)[0].median().item(), labels=(rec.labels[i] == truth.labels[j]).double().mean().item())
    return found | {k: rec.log[k] for k in ("outcome", "match", "evaluations", "diverged")} | dict(attempts=len(rec.log["attempts"]), ms=1e3 * seconds / rec.log["evaluations"])


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--out", type=Path, default=OUT)
    out = p.parse_args().out
    torch.set_num_threads(1)
    rows = pd.read_csv(out).to_dict("records") if out.exists() else []
    for data, arch, n, seeds, key, budgets in SETS:
        there = {tuple(r[k] for k in KEYS) for r in rows}
        for seed, budget in ((s, b) for s in range(seeds) for b in budgets if (data, arch, n, s, key, b) not in there):
            rows.append(dict(zip(KEYS, (data, arch, n, seed, key, budget))) | row(data, arch, n, seed, key, budget))
            write_atomic(out, pd.DataFrame(rows).to_csv(index=False, float_format="%.4g"))
            print(*(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()), flush=True)


if __name__ == "__main__": main()
