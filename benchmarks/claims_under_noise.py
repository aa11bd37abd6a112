"""Made-up worlds through every rule of `drlit claims`: how often each of them decides where the truth is known.

    python benchmarks/claims_under_noise.py --draws 400 --seeds 2,3,5,10 --out drlit/results/90_claims/under_noise.csv

The rows are those of `made_up` and `tallies` of tests/test_claims.py. In the worlds without an effect at most 5 % of the draws may decide a claim; with a planted
effect the claim should be reproduced, with reversed rows contradicted, in 80 % (a quarter of the draws is enough to see it). Baselines under the names
of attacks must not be reproduced.
"""
import argparse
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from test_claims import every_cell, tallies

from drlit.claims import JUDGES, Rows

GRID = ("C01", "C02", "C03", "C04", "C05", "C06")
WORLDS = {  # name -> effect, what is counted, what it should be
    "noise": (0., "decided", "at most .05"),
    "noise, a quarter of the cells missing, levels that differ by size": (0., "decided", "at most .05"),
    "planted": (1., "reproduced", "at least .8"),
    "planted, half as large": (.5, "reproduced", ""),
    "planted, a quarter of the cells missing": (1., "reproduced", ""),
    "reversed": (-1., "contradicted", "at least .8"),
    "baselines under the names of attacks": (1., "reproduced", "at most .05"),
}
STAND_INS = ("null_class_mean", "null_auxiliary_class", "null_auxiliary", "null_noise")  # in the place of one attack after the other


def relabelled(rows):
    "A baseline's rows in the place of every attack's; a baseline without wrong key borrows that of the class mean"
    nulls, out = dict(list(rows[rows.family == "null"].groupby("attack"))), [rows[rows.family == "null"]]
    wrong = nulls["null_class_mean"][lambda t: t.control == "wrong_key"]
    for i, (attack, g) in enumerate(rows[rows.family != "null"].groupby("attack")):
        r = nulls[STAND_INS[i % len(STAND_INS)]]
        r = pd.concat([r, wrong]) if "wrong_key" not in set(r.control) else r
        r = r[r.update_size == g.update_size.iloc[0]]
        out.append(r.assign(attack=attack, family=g.family.iloc[0], gap=r.gap.fillna(0.)))
    return pd.concat(out, ignore_index=True)


@cache
def template(seeds, stand_ins=False):
    "The rows of a design, sorted into places once; their numbers are drawn anew for each draw"
    frame = every_cell(tuple(range(seeds)), ("digits", "mnist")).assign(value=0., coverage=0.)
    return Rows(relabelled(frame) if stand_ins else frame)


def numbers(rows, effect, rng, levels=False, missing=0.):
    "Value, gap and coverage of every row: those of `made_up`, if asked with levels that differ by size, and without some cells"
    t, n = rows.frame, np.log2(rows.frame["size"].to_numpy() / 100)
    g, attack = rng.normal(size=(3, len(t))), (t.family != "null").to_numpy()
    value = (t.flat + effect * t.slope).to_numpy() * (1 + .05 * g[0]) * (1 + .5 * n * levels)
    out = dict(value=value, gap=t.gap.to_numpy() * (1 + .05 * g[1]), coverage=.5 - (.08 + .05 * effect * attack) * n + .05 * g[2] / 5 * attack, floor=t.floor.to_numpy())
    gone = rng.random(len(t))[cell_of(rows)] < missing # an attack lacks a size with a seed under every metric and control
    return {c: np.where(gone, np.nan, v) for c, v in out.items()}


@cache
def cell_of(rows): return pd.MultiIndex.from_frame(rows.frame[["attack", "data", "size", "seed"]]).factorize()[0]


def fill(rows, drawn):
    "The places with these numbers, and with nothing known of them yet"
    for p in rows.places: p.numbers, p.kept = {c: v[p.rows.index] for c, v in drawn.items()}, {}
    return rows


def related(rows, drawn, effect, rng):
    "C07: among the GAN-based attacks the Frechet distance follows MSE, SSIM and PSNR, among the others it falls as they rise (1); only the others follow, and far (-1); nothing (0)"
    t, cell = rows.frame, cell_of(rows)
    attack, fd = (t.family != "null").to_numpy(), (t.metric == "fd").to_numpy()
    gan = t.attack.isin(("plgmi", "kedmi", "revealer")).to_numpy()
    pull = abs(effect) * (np.where(gan | ~fd, 1, -1) if effect > 0 else 3 * ~gan)
    sign = t.metric.map({"fd": 1, "mse": 1, "ssim": -1, "psnr": -1}).to_numpy()
    z = pull * rng.normal(size=len(t))[cell] + (1 - min(abs(effect), .95)**2)**.5 * rng.normal(size=len(t))
    return drawn | dict(value=np.where(attack, t.flat * (1 + .05 * sign * z), drawn["value"]) + 0 * drawn["value"])


def votes(effect, seeds, rng):
    "A language model's tallies, by size and by variant, private and held-out"
    def pair(rates, over):
        even = dict.fromkeys(rates, 1 / len(rates))
        return [tallies(r, over, c, seeds=range(seeds), seed=int(rng.integers(2**31)), spread=.03) for r, c in ((rates, "none"), (even, "held_out"))]
    return pd.concat(pair({k: .25 + effect * v for k, v in {100: .35, 200: -.2, 300: .1, 400: -.25}.items()}, "size") + pair({"pretrained": .5 + .3 * effect, "plain": .5 - .3 * effect}, "variant"))


def draws_of_memorization(effect, seeds, rng):
    "Falls of two data sets, each with the interval that its images and models give"
    t = pd.DataFrame([dict(data=d, seed=s, images=50, smallest=50, largest=600) for d in ("digits", "mnist") for s in range(seeds)])
    fall = .15 * effect + .06 / 1.96 * rng.normal(size=len(t))
    return t.assign(fall=fall, lo=fall - .06, hi=fall + .06)


def confident(effect, seeds, rng):
    "Images above 0.9, half of them where there is nothing to find"
    return pd.DataFrame([dict(seed=s, images=100, confident=int((rng.random(100) < .5 + .4 * effect).sum()), ratio=.99) for s in range(seeds)])


def said(world, seeds, draw):
    "All verdicts on one draw of a world"
    effect, rng = WORLDS[world][0], np.random.default_rng([draw, seeds, list(WORLDS).index(world)])
    missing, rows = .25 * ("missing" in world), template(seeds, "baselines" in world)
    drawn = numbers(rows, effect, rng, "levels" in world, missing)
    out = {k: JUDGES[k](r).verdict for r in [fill(rows, drawn)] for k in GRID}
    if "baselines" in world: return out
    if effect == 0: del out["C01"]  # attacks that extract something and are never exact: what the claim says
    if effect < 0: out["C01"] = JUDGES["C01"](fill(rows, exact(rows, drawn, rng))).verdict
    out["C07"] = JUDGES["C07"](fill(rows, related(rows, numbers(rows, 0., rng, missing=missing), effect, rng))).verdict
    out["C08"] = JUDGES["C08"](falls=draws_of_memorization(effect, seeds, rng)).verdict
    if not missing: out |= {k: JUDGES[k](tallied).verdict for tallied in [votes(effect, seeds, rng)] for k in ("C09", "C10")}
    if effect >= 0: out["C19"] = JUDGES["C19"](shares=confident(effect, seeds, rng)).verdict
    return out


def exact(rows, drawn, rng):
    "The numbers with one exact cell"
    t = rows.frame
    at = rng.choice(t.index[(t.family != "null") & (t.metric == "mse") & (t.control == "none")])
    return drawn | {c: np.where(t.index == at, v, drawn[c]) for c, v in (("value", 1e-8), ("coverage", 1.))}


def table(world, seeds, draws):
    "Shares of the draws, a line per claim"
    counts, found = WORLDS[world][1], pd.DataFrame([said(world, seeds, d) for d in range(draws)])
    share = (found != "undecided" if counts == "decided" else found == counts).mean()
    return pd.DataFrame(dict(world=world, counted=counts, wanted=WORLDS[world][2], seeds=seeds, draws=draws, claim=share.index, share=share.to_numpy().round(4)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--seeds", default="2,3,5,10")
    parser.add_argument("--worlds", default=";".join(WORLDS), help="separated by semicolons")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    parts = []
    for world in args.worlds.split(";"):
        draws = max(1, args.draws // (4 if WORLDS[world][0] else 1))
        parts += [table(world, n, draws) for n in map(int, args.seeds.split(","))]
        here = pd.concat(parts)[lambda t, w=world: t.world == w]
        print(f"\n{world}: share of {draws} draws {WORLDS[world][1]} ({WORLDS[world][2] or 'no bound'})")
        print(here.pivot_table("share", "seeds", "claim").round(3).to_string(), flush=True)
        if args.out: pd.concat(parts).to_csv(args.out, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
