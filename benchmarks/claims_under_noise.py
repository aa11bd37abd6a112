"""Noise, planted effects and reversed rows through every rule of `drlit claims`: how often each decides.

    python benchmarks/claims_under_noise.py --draws 400 --seeds 2,3,5,10

Rows are made up (`made_up` of tests/test_claims.py): attacks pass their gates in all of them, only the differences that the claims are about change.
Pure noise should decide a claim in at most 5 % of the draws; a planted effect should be reproduced, reversed rows contradicted, in 80 %.
"""
import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from test_claims import made_up, tallies

from drlit.claims import JUDGES

OF_THE_GRID = ("C02", "C03", "C04", "C05", "C06", "C07")
WORLDS = {"noise": (0., "undecided"), "planted": (1., "reproduced"), "half the effect": (.5, "reproduced"), "reversed": (-1., "contradicted")}


def judged(effect, seeds, draw):
    "The verdicts on one draw of rows and of a judge's tallies"
    rows = made_up(effect, seeds=range(seeds), seed=draw)
    rates = {k: .25 + v * effect for k, v in {100: .2, 200: -.15, 300: .1, 400: -.15}.items()}
    even = dict.fromkeys(rates, .25)
    votes = pd.concat([tallies(rates, seeds=range(seeds), seed=2 * draw), tallies(even, control="held_out", seeds=range(seeds), seed=2 * draw + 1)])
    return {k: JUDGES[k](rows).verdict for k in OF_THE_GRID} | {"C09": JUDGES["C09"](votes).verdict}


def shares(world, seeds, draws):
    "Share of the draws with the verdict that the world asks for; of noise: that decide"
    effect, want = WORLDS[world]
    said = pd.DataFrame([judged(effect, seeds, d) for d in range(draws)])
    return (said != "undecided").mean() if world == "noise" else (said == want).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--seeds", default="2,3,5,10")
    parser.add_argument("--worlds", default=",".join(WORLDS))
    args = parser.parse_args()
    for world in args.worlds.split(","):
        table = pd.DataFrame({n: shares(world, n, args.draws) for n in map(int, args.seeds.split(","))}).T.rename_axis("seeds")
        error = np.sqrt(.05 * .95 / args.draws)
        print(f"\n{world}: share of {args.draws} draws " + (f"that decide (.05 +- {error:.3f})" if world == "noise" else f"{WORLDS[world][1]}"))
        print(table.round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
