"""How often each printed 95 % interval contains what it estimates, in designs of classes x images, with and without a look of their own for the classes.

    python benchmarks/intervals_under_noise.py --draws 1000 --out drlit/results/12_leakage/intervals.csv

Where an interval is printed it should contain the truth in .92 to .98 of the draws; where it cannot, nothing is printed. The truth of a statistic is its
mean over all draws, that of a true positive rate the share of all private images below the threshold in use.
"""
import argparse
import math
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from drlit.claims import part
from drlit.memorization import Memorization, memorization_fall, model_memorization
from drlit.metrics.dataset import class_jackknife, frechet_distance, kid
from drlit.metrics.leakage import _over_classes, _sides, adjusted_jackknife, class_interval, class_sums, jackknife, membership, training_leakage_of
from drlit.report import jackknife as over_attacks

LAYOUTS = {"10x1": [1] * 10, "10x2": [2] * 10, "10x5": [5] * 10, "10x10": [10] * 10, "50x1": [1] * 50, "50x2": [2] * 50, "unbalanced": [1, 2, 3, 4] * 8}
USED = {"features": ["10x1", "10x5", "50x1"], "models": ["10x2", "10x5", "50x2"], "seeds": ["10x1"]} # the others would be the same
FPR = {"10x1": .1, "10x2": .05, "10x5": .05, "10x10": .05, "50x1": .05, "50x2": .05, "unbalanced": .05}


def world(g, counts, rho, leak=.3):
    "Per class, distances of the reconstructions of a target, of its twin, and of two keys' to private and unseen images; classes differ by rho"
    out = []
    for n in counts:
        look, strength = rho**.5 * torch.randn(1, generator=g) / (1 - rho)**.5, (leak + .3 * rho**.5 * torch.randn(1, generator=g)).clamp(0, 1)
        x, y = torch.randn(2, n, 4, generator=g)
        def rec(of, w): return (1 - w) * torch.randn(n, 4, generator=g) + w * of
        sides = [[torch.cdist(r, s).double() + look for s in (x, y)] for r in (rec(x, strength), rec(y, strength), rec(x, strength * .5), rec(y, strength * .2))]
        out.append((sides, torch.cdist(y, x).double()))
    lists = [[[c[0][k][s] for c in out] for s in (0, 1)] for k in range(4)]
    return lists, [c[1] for c in out]


def hits(mats): return torch.tensor([float(len(k.argmin(1).unique())) for k in mats])


def of_distances(g, layout, rho):
    "{interval: (estimate, lo, hi)} of one draw, and what the true positive rate needs"
    counts = LAYOUTS[layout]
    (own, twin, key, decoy), reference = world(g, counts, rho)
    near = [k.amin(1) for k in own[0]]
    h, n = hits(own[0]), torch.tensor(counts, dtype=torch.float64)
    reach, floor = hits(reference), torch.ones(len(counts), dtype=torch.float64)
    sums = [class_sums(*k) for k in (own, twin, key, decoy[::-1])]
    gaps = [float(k[0].sum() / k[1].sum()) for k in sums]
    signal = (gaps[0] - gaps[1]) / 2, *_over_classes(_sides(own, twin, False), .95)
    t = training_leakage_of(*sums[2:])
    score = [torch.cat([k.amin(0) for k in side]) for side in own]
    of = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    m = membership(*score, (of, of), fpr=FPR[layout])
    found = {"S-Dis": (float(torch.cat(near).mean()), *class_interval(near)), "coverage": (float(h.sum() / n.sum()), *jackknife(h, n)),
             "adjusted coverage": adjusted_jackknife(h, reach, floor), "training leakage": t[:3], "signal": signal, "AUC": m[:3], "TPR": m[3:6]}
    return found, (np.sort(score[1].numpy())[int(FPR[layout] * len(score[1]) + 1e-9)], score[0].numpy())


def of_features(g, layout, rho, d=4):
    "Two sets of features, four images of each class at least, shifted against each other; classes have a look of their own"
    counts = [max(4, 4 * n) for n in LAYOUTS[layout]][:20]
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    look = rho**.5 * torch.randn(len(counts), d, generator=g)[labels].double()
    x, y = (look + (1 - rho)**.5 * torch.randn(len(labels), d, generator=g).double() for _ in range(2))
    x = x + .5
    k = kid(x, y, labels, labels)
    return {"Frechet distance": class_jackknife(frechet_distance, x, y, labels, labels), "KID over classes": class_jackknife(lambda a, b: kid(a, b).value, x, y, labels, labels),
            "KID +- 1.96 standard errors": (k.value, k.value - 1.96 * k.se, k.value + 1.96 * k.se)}


def memorized(g, n, models, worse=1.):
    "Models that know their training images and err on others, image by image"
    rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=g)))
    err = rng.beta(.25 * worse, 1.2, n)
    inside = torch.as_tensor(rng.random((models, n)) < .7)
    correct = torch.as_tensor(rng.random((models, n)) > err) | inside
    return Memorization(torch.arange(n), correct, inside, ~inside)


def of_models(g, layout, rho):
    "Memorization of one training set; the fall from it to a larger one has images in common"
    n = max(20, sum(LAYOUTS[layout]))
    a, b = memorized(g, n, 64), memorized(g, n, 64, .5)
    return {"memorization": model_memorization(a, boots=300), "fall of memorization": memorization_fall(a, b, boots=300)}


def of_seeds(g, layout, rho):
    "Means over 3, 5 and 10 seeds, and a correlation over as many attacks with four sizes each"
    out = {}
    for n in (3, 5, 10):
        v = torch.randn(n, generator=g).double()
        p = part("", v.numpy())
        out[f"mean over {n} seeds"] = (p.mean, *p.ends())
        common = torch.randn(n, 1, 1, generator=g) + torch.randn(n, 4, 1, generator=g)
        x = (common + torch.randn(n, 4, 2, generator=g)).double().reshape(-1, 2).numpy()
        r = lambda keep, x=x: float(np.corrcoef(x[keep], rowvar=False)[0, 1])
        out[f"correlation over {n} attacks"] = (r(np.ones(len(x), bool)), *over_attacks(r, np.repeat(np.arange(n), 4)))
    return out


def coverage(kind, layout, rho, draws):
    "A line per interval: how often it is printed, and how often it then holds the truth"
    found, tails = [], []
    for i in range(draws):
        g = torch.Generator().manual_seed(1000 * i + 10 * list(LAYOUTS).index(layout) + int(10 * rho))
        one = kind(g, layout, rho)
        if isinstance(one, tuple): tails.append(one[1])
        found.append(one[0] if isinstance(one, tuple) else one)
    pooled = np.sort(np.concatenate([x for _, x in tails])) if tails else None
    lines = []
    for name in found[0]:
        v = np.array([f[name] for f in found], float)
        truth = {"correlation": 2 / 3}.get(name.split()[0], 0. if name.startswith("mean over") else v[:, 0].mean())
        if name == "TPR": truth = np.array([np.searchsorted(pooled, t) / len(pooled) for t, _ in tails])
        printed = np.isfinite(v[:, 1])
        inside = ((v[:, 1] <= truth) & (truth <= v[:, 2]))[printed]
        lines.append(dict(interval=name, design="" if kind is of_seeds else layout, rho="" if kind in (of_seeds, of_models) else rho, draws=draws, printed=printed.mean().round(3),
                          holds=inside.mean().round(3) if printed.any() else math.nan, no_width=(v[printed, 1] == v[printed, 2]).mean().round(3) if printed.any() else math.nan))
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--rho", default="0,.3,.6")
    parser.add_argument("--kinds", default="distances,features,models,seeds")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    lines = []
    for kind in args.kinds.split(","):
        rhos = [float(r) for r in args.rho.split(",")] if kind in ("distances", "features") else [0.]
        for layout in USED.get(kind, LAYOUTS):
            for rho in rhos: lines += coverage(globals()[f"of_{kind}"], layout, rho, args.draws)
        if args.out: pd.DataFrame(lines).to_csv(args.out, index=False, lineterminator="\n")
    t = pd.DataFrame(lines)
    t["where"] = t.design + " " + t.rho.astype(str)
    print(t.pivot_table("holds", "where", "interval", sort=False).round(3).to_string())
    out = t[(t.printed > 0) & ~t.holds.between(.92, .98)]
    print(f"\n{len(out)} of {int((t.printed > 0).sum())} printed intervals outside .92 to .98:\n{out.to_string(index=False)}")


if __name__ == "__main__":
    main()
