"""The short form of benchmarks/claims_under_noise.py and benchmarks/intervals_under_noise.py: worlds in which the truth is known."""
import sys
from pathlib import Path

import pandas as pd
import pytest
from test_claims import made_up, tallies

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import claims_under_noise
import intervals_under_noise

from drlit.claims import ledger


def verdicts(world, seeds, draws): return pd.DataFrame([claims_under_noise.said(world, seeds, d) for d in range(draws)])


def test_noise_decides_at_most_one_draw_in_twenty():
    "40 draws: 6 or more decided have a probability of .014 at 5 %"
    said = verdicts("noise", 5, 40)
    assert ((said != "undecided").sum() <= 6).all(), (said != "undecided").sum()
    assert {*said} == {"C02", "C03", "C04", "C05", "C06", "C07", "C08", "C09", "C10", "C19"}


@pytest.mark.parametrize(("world", "want"), [("planted", "reproduced"), ("reversed", "contradicted")])
def test_effects_are_found_and_turned(world, want):
    said = verdicts(world, 10, 5)
    assert ((said == want).sum() >= 4).all(), (said == want).sum()


def test_baselines_under_the_names_of_attacks_reproduce_nothing():
    assert not (verdicts("baselines under the names of attacks", 5, 10) == "reproduced").any(axis=None)


def test_two_seeds_of_a_run_decide_nothing():
    assert {*verdicts("planted", 2, 2)[["C02", "C03", "C04", "C05", "C06", "C07", "C09", "C10"]].to_numpy().ravel()} == {"undecided"}


def test_the_order_of_rows_says_nothing():
    rows = pd.concat([made_up(seeds=range(3)), tallies({100: .5, 200: .1, 300: .3, 400: .1}), tallies(dict.fromkeys((100, 200, 300, 400), .25), control="held_out")])
    for shuffled in (rows.sample(frac=1, random_state=0), rows.sample(frac=1, random_state=1).reset_index(drop=True)): assert ledger(shuffled) == ledger(rows)


@pytest.mark.parametrize("layout", ["10x5", "50x1"])
def test_intervals_hold_what_they_estimate(layout):
    "150 draws: fewer than 132 or none missed have a probability below .001 at 95 %"
    lines = [line for kind in (intervals_under_noise.of_distances, intervals_under_noise.of_features) for line in intervals_under_noise.coverage(kind, layout, .3, 150)]
    over_classes = [line for line in lines if "standard errors" not in line["interval"]] # these speak of the same classes
    assert len(over_classes) == 9
    for line in over_classes:
        if line["printed"]: assert .88 <= line["holds"] <= 1 and line["no_width"] == 0, line
