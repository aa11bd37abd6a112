"""What the statistics say of too little, of nothing, and of numbers that are none: chapter 12 and the claims, a line per case."""
import math

import numpy as np
import pandas as pd
import pytest
import torch
from test_claims import made_up, tallies

from drlit.claims import CLAIMS, JUDGES, NAMING, Rows, c08, ledger, load_rows
from drlit.metrics.leakage import (
    adjusted_jackknife,
    class_interval,
    class_sums,
    heldout_gap,
    image_scores,
    jackknife,
    leakage,
    levels,
    membership,
    share_interval,
    signal_test,
    training_leakage,
    training_leakage_of,
)
from drlit.profiles import InputError

D, NAN, INF = torch.rand(3, 4, generator=torch.Generator().manual_seed(0)), torch.full((3, 4), math.nan), torch.full((3, 4), math.inf)
SUMS = class_sums([D, D], [D, D])

REFUSED = {
    "NaN distance": (lambda: heldout_gap(NAN, D), "private, class 0: NaN"),
    "infinite distance": (lambda: heldout_gap(D, INF), "held-out, class 0: NaN or infinite"),
    "missing matrix": (lambda: heldout_gap([D, D], [D]), "2 private classes and 1 held-out"),
    "nothing": (lambda: heldout_gap([], []), "no matrices"),
    "no reconstruction": (lambda: heldout_gap(D[:0], D[:0]), "no reconstruction"),
    "no image": (lambda: heldout_gap(D[:, :0], D[:, :0]), "no target image"),
    "unequal counts": (lambda: heldout_gap(D, D[:, :3]), "equal counts"),
    "unequal counts, scores": (lambda: image_scores(D, D[:, :3]), "equal counts"),
    "unequal counts, key": (lambda: training_leakage(D, D, D, D[:, :3]), "equal counts"),
    "unequal counts, twin": (lambda: signal_test(((D, D), (D[:, :3], D[:, :3]))), "score both against the same images"),
    "labels of other counts": (lambda: heldout_gap(D, D, classes=([0, 0, 1, 1], [0, 1, 1, 1])), "equal counts per class"),
    "no permutation": (lambda: heldout_gap(D, D, permutations=0), "permutations = 0"),
    "half a permutation": (lambda: signal_test(((D, D), (D, D)), permutations=9.5), "permutations = 9.5"),
    "no pairs": (lambda: signal_test([]), "no pairs of targets"),
    "one side of a pair": (lambda: signal_test([(D, D)]), "the target's reconstructions: a Tensor"),
    "labels for one pair of two": (lambda: signal_test([((D, D), (D, D))] * 2, classes=[None]), "1 pairs of labels for 2 pairs of targets"),
    "one unseen image": (lambda: membership([.1, .2], [.3]), "2 private and 1 unseen images; a ROC needs"),
    "no private image": (lambda: membership([], [.3, .4]), "0 private"),
    "fpr finer than 1/n": (lambda: membership([.1], [.3, .4], fpr=.01), "the finest is 1/2 = 0.5"),
    "fpr of nothing": (lambda: membership([.1], [.3, .4], fpr=math.nan), "fpr = nan"),
    "NaN score": (lambda: membership([.1, math.nan], [.3, .4], fpr=.5), "NaN or infinite"),
    "a class too few": (lambda: membership([.1, .2], [.3, .4], ([0], [0, 1]), fpr=.5), "1 and 2 classes for 2 private and 2 unseen images"),
    "no counts": (lambda: levels([1], [0]), "at least one target"),
    "more hits than trials": (lambda: share_interval(3, 2), "3 of 2"),
    "no trial": (lambda: share_interval(0, 0), "0 of 0"),
    "other classes with the other key": (lambda: training_leakage_of(SUMS, SUMS[:, :1]), "use the same classes"),
    "NaN in kept sums": (lambda: training_leakage_of(SUMS * math.nan, SUMS), "NaN or infinite"),
    "no reconstruction in kept sums": (lambda: training_leakage_of(SUMS * 0, SUMS), "no reconstruction"),
    "NaN value": (lambda: class_interval([torch.tensor([math.nan, 1.]), torch.tensor([1., 2.])]), "NaN or infinite"),
    "no class": (lambda: class_interval([]), "no values"),
    "NaN hits": (lambda: jackknife([math.nan, 1], [2, 2]), "hits"),
    "more hits than images": (lambda: jackknife([3, 1], [2, 2]), "hits"),
    "level of an interval": (lambda: class_interval([D[0], D[1]], level=95), "level = 95"),
    "rows twice": (lambda: ledger(pd.concat([made_up(), made_up()])), "stands twice in the rows"),
    "tallies twice": (lambda: ledger(pd.concat([tallies({1: .5, 2: .5})] * 2)), "stands twice in the tallies"),
    "a draw of memorization twice": (lambda: c08(falls=pd.DataFrame(dict(data="d", seed=[0, 0], images=5, smallest=1, largest=2, fall=.1, lo=0., hi=.2))), "stands twice in the study"),
    "no run": (lambda: load_rows("nowhere"), "no run at nowhere"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case):
    call, says = REFUSED[case]
    with pytest.raises(InputError, match=says) as e: call()
    assert "\n" not in str(e.value)


ONE = torch.rand(1, 1)
NO_INTERVAL = {
    "one class": lambda: class_interval([D[0]]),
    "one image a class, few classes": lambda: class_interval(list(torch.rand(19, 1))),
    "a constant metric": lambda: class_interval([torch.ones(5)] * 10),
    "coverage of one class": lambda: jackknife([3], [5]),
    "coverage of one image a class": lambda: jackknife([1] * 30, [1] * 30),
    "coverage that is the same in every class": lambda: jackknife([2] * 30, [4] * 30),
    "adjusted, where coverage is forced": lambda: adjusted_jackknife([1] * 30, [1] * 30, [1] * 30)[1:],
    "training leakage, one image a class, few classes": lambda: training_leakage(*[[ONE] * 5] * 4)[1:3],
    "signal of one image": lambda: signal_test(((ONE, ONE), (ONE, ONE)))[1:3],
    "signal of two seeds": lambda: signal_test([((D, D), (D, D))] * 2)[1:3],
    "AUC of one class": lambda: membership(torch.rand(9), torch.rand(9), (torch.zeros(9), torch.zeros(9)), fpr=.5)[1:3],
    "AUC of constant scores": lambda: membership(torch.ones(30), torch.ones(30), fpr=.5)[1:3],
}


@pytest.mark.parametrize("case", NO_INTERVAL)
def test_nothing_is_printed(case):
    assert all(math.isnan(v) for v in NO_INTERVAL[case]())


def test_one_image_and_a_constant_metric_prove_nothing():
    for k in (ONE, torch.ones(4, 4)):
        g, s = heldout_gap(k, k), signal_test(((k, k), (k, k)))
        assert g.gap == 0 and g.p == 1 and s.signal == 0 and s.p == 1
    assert leakage(torch.ones(4, 4), torch.ones(4, 4)).p == 1


def blank(frame, metric, value):
    "The value of one row replaced"
    return frame.assign(value=frame.value.where(~((frame.metric == metric) & (frame.seed == 0) & (frame["size"] == 100) & (frame.control == "none")), value))


FRAME = made_up()
UNDECIDED = {  # case -> claim, rows, what is said
    "one seed": ("C02", made_up(seeds=range(1)), "1 seed"),
    "two seeds": ("C05", made_up(seeds=range(2)), "three are needed"),
    "one class of sizes": ("C06", FRAME[FRAME["size"] == 100], "no finished cells"),
    "one data set": ("C04", FRAME[FRAME.data == "mnist"], "no features common to two data sets"),
    "no baseline": ("C03", FRAME[FRAME.attack != "null_noise"], "deep_leakage and null_noise share 0 seeds under fd"),
    "no wrong key": ("C02", FRAME[FRAME.control != "wrong_key"], "has its wrong key with 0 seeds"),
    "no wrong key of naming": ("C05", FRAME[~(FRAME.attack.isin(NAMING) & (FRAME.control == "wrong_key"))], "the signal of naming alone"),
    "no rival": ("C05", FRAME[FRAME.attack != "deep_inversion"], "no finished cells"),
    "constant metric": ("C02", FRAME.assign(value=1.), "undecided"),
    "constant metric, correlated": ("C07", FRAME.assign(value=FRAME.value.where(FRAME.metric != "ssim", 1.)), "not finite"),
    "NaN": ("C02", blank(FRAME, "fd", math.nan), "not finite"),
    "infinite": ("C05", blank(FRAME, "psnr", math.inf), "not finite"),
    "no rows": ("C01", FRAME[:0], "no finished cells"),
    "nothing finished": ("C03", FRAME.assign(status="failed"), "no finished cells"),
    "no held-out tallies": ("C09", tallies({1: .5, 2: .1, 3: .3, 4: .1}), "no finished cells"),
}


@pytest.mark.parametrize("case", UNDECIDED)
def test_undecided_and_said_why(case):
    claim, rows, says = UNDECIDED[case]
    v = JUDGES[claim](rows)
    assert v.verdict == "undecided" and says in v.about, v.about
    assert "drlit" in v.decides and CLAIMS[claim].decides in v.decides


def test_an_old_table_without_gaps_decides_nothing():
    "Columns that a results.csv of an older drlit lacks are missing values"
    old = FRAME.drop(columns=["gap", "coverage", "floor", "update_size"])
    assert {v.verdict for v in ledger(old) if v.id in ("C01", "C02", "C03", "C04", "C05", "C06", "C07")} == {"undecided"}


def test_two_data_hashes_or_values_under_one_name(tmp_path):
    "A table that holds a cell twice counts it once if both say the same, and is refused if not"
    one = made_up(seeds=range(3)).drop(columns="coverage")
    pd.concat([one, one]).to_csv(tmp_path/"same.csv", index=False)
    assert len(load_rows(tmp_path/"same.csv")) == len(one)
    pd.concat([one, one.assign(value=one.value * 1.01)]).to_csv(tmp_path/"other.csv", index=False)
    with pytest.raises(InputError, match="not measured alike"): load_rows(tmp_path/"other.csv")


def test_rounding_is_no_effect():
    "Differences below the seven digits of a row are none, and equal values have no spread"
    rng = np.random.default_rng(0)
    f = FRAME.assign(value=FRAME.value.where(FRAME.metric != "fd", 30 + 1e-6 * rng.random(len(FRAME))))
    assert {q.mean for p in Rows(f).places for q in [__import__("drlit.claims").claims.part("", p.of("plgmi", "fd")[0] - 30)]} != {0.}
    assert JUDGES["C02"](f).figure == 0 and JUDGES["C02"](f).p == 1
