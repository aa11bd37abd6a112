"""What rows keep of their distances: every test of a row is recomputed from an export alone, and what cannot be tested is an empty cell or one clear line."""
import math
import shutil
import zlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binomtest
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from drlit.bench import (
    WORDS,
    Cell,
    Question,
    answer,
    bench,
    classes_of,
    collect,
    gap_over,
    jobs_of,
    keep,
    matrices,
    pack,
    plan_in,
    questions,
    ratio_interval,
    sample_score,
    score_samples,
    told_apart,
    unpack,
)
from drlit.core import read_json, read_npz, write_json, write_npz
from drlit.data import ImageSet
from drlit.definitions import Reconstruction
from drlit.metrics.leakage import heldout_gap, signal_test
from drlit.profiles import InputError, Profile
from drlit.records import LATER, RowRecord, sealed
from drlit.report import check_rows, one_table, read_csv, read_distances, read_rows, write_rows


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    "Two seeds of two naming baselines and noise, each beside its controls, with as many updates left out"
    out = tmp_path_factory.mktemp("kept") / "run"
    p = Profile("t", "digits", similar="glyphs", attacks=("null_noise", "null_auxiliary_class"), sizes=(40,), seeds=(0, 1), metrics=("mse", "ssim"), permutations=199,
                training={"min_epochs": 1, "max_epochs": 2})
    return out, bench(p, out)


@pytest.fixture(scope="module")
def export(run, tmp_path_factory):
    "Its rows, away from the run"
    [path], _ = write_rows(run[0], tmp_path_factory.mktemp("rows"))
    return path


def test_every_test_of_a_row_follows_from_the_export_alone(run, export):
    "AUC against scikit-learn, p of the gap, signal with interval and p of each seed, and the p of both seeds"
    frame, kept = read_csv(export), read_distances(export)
    assert len(kept) == 2 * 2 * (1 + 2) and set(kept) <= set(frame.key) # two metrics and seeds; noise, draws by class and their wrong key
    own, twin = ({r.metric: r for r in rows.itertuples()} for rows in (frame[(frame.seed == 1) & (frame.attack == "null_auxiliary_class") & (frame.control == c)] for c in ("none", "wrong_key")))
    for metric in ("mse", "ssim"):
        r, k, other = own[metric], kept[own[metric].key], kept[twin[metric].key]
        assert roc_auc_score(np.repeat([1, 0], len(k.private)), -np.concatenate([k.private, k.unseen])) == pytest.approx(r.auc, abs=1e-6)
        g = heldout_gap(*matrices(k), permutations=199, seed=1)
        assert g.p == pytest.approx(r.p) and g.gap == pytest.approx(r.gap, abs=1e-6) and g.detectable == pytest.approx(r.detectable, rel=1e-5)
        s = signal_test((matrices(k), matrices(other)), permutations=int(r.permutations), seed=1)
        assert (s.signal, s.lo, s.hi, s.p) == pytest.approx((r.signal, r.signal_lo, r.signal_hi, r.signal_p), rel=1e-5)
        rows = {(x.seed, x.control): kept[x.key] for x in frame[(frame.metric == metric) & (frame.attack == "null_auxiliary_class") & (frame.control != "held_out")].itertuples()}
        both = signal_test([(matrices(rows[s, "none"]), matrices(rows[s, "wrong_key"])) for s in (0, 1)], permutations=int(r.permutations))
        assert both.p == pytest.approx(r.signal_p_seeds) and r.tested_seeds == "0,1" and r.signal == pytest.approx((r.gap - twin[metric].gap) / 2, rel=1e-4)
    noise = frame[(frame.attack == "null_noise") & (frame.control == "none") & (frame.metric == "mse")]
    sides = [sum(s, []) for s in zip(*(matrices(kept[k]) for k in noise.sort_values("seed").key))]
    assert heldout_gap(*sides, permutations=int(noise.permutations.iloc[0])).p == pytest.approx(noise.p_seeds.iloc[0])
    assert noise.signal.isna().all() and noise.signal_p_seeds.isna().all() # noise asks the target nothing


def test_a_wrong_key_has_no_p(run):
    wrong = run[1][run[1].control == "wrong_key"]
    assert set(wrong.attack) == {"null_auxiliary_class"} and wrong.p.isna().all() and wrong.gap.notna().all() and wrong.auc.notna().all()


def test_permutations_are_enough_for_holm(run):
    "A table of m tests needs m / .05 permutations"
    done = run[1].key[run[1].auc.notna()]
    asked = questions(jobs_of(plan_in(run[0])), {*done})
    assert len(asked) == 4 and all(q.permutations == 199 and q.permutations >= len(asked) / .05 for q in asked)
    jobs = [replace(j, permutations=9) for j in jobs_of(plan_in(run[0]))]
    assert {q.permutations for q in questions(jobs, {*done})} == {math.ceil(4 / .05)}


def test_reading_computes_no_test(run, tmp_path):
    "Tests are stored by the run; who only reads a run without them finds empty cells, and writes nothing"
    copy = tmp_path / "copy"
    shutil.copytree(run[0], copy)
    shutil.rmtree(copy / "tests")
    frame = collect(copy)
    assert not (copy / "tests").exists() and frame.signal_p.isna().all() and frame.p.notna().any()
    t = one_table("", frame[frame.metric == "mse"])
    assert any(r[t.header.index("signal")] for r in t.rows) # the value follows from the two gaps
    again = collect(copy, compute=True)
    pd.testing.assert_frame_equal(again, run[1])


@pytest.mark.parametrize("n", [1, 2, 9, 40])
@pytest.mark.parametrize("higher", [False, True])
def test_what_is_kept_is_enough(n, higher):
    "The observed gap exactly, and the split of every permutation, of three classes with more images than are kept"
    g = torch.Generator().manual_seed(n)
    d = [torch.rand(m, 2 * n, generator=g).float() for m in (n, 0, 2 * n)]
    d[2][:, :n] *= .2 # all near images on one side
    private, unseen = [k[:, :n] for k in d], [k[:, n:] for k in d]
    k = keep(private, unseen, higher)
    back = unpack(pack(k), "x")
    assert all(a.shape == b.shape and (a == b).all() for a, b in zip(k, back))
    want, got = heldout_gap(private, unseen, higher, permutations=99), heldout_gap(*matrices(back), permutations=99)
    assert got.gap == pytest.approx(want.gap, rel=1e-9) and abs(got.p - want.p) <= .02
    sign = -1 if higher else 1
    assert np.array_equal(back.private, torch.cat([(sign * x).amin(0) for x in private if len(x)]).numpy())


@pytest.mark.parametrize("change", ["empty", "cut", "text", "another count", "a bomb"])
def test_distances_that_are_none_are_one_line(change, export, tmp_path):
    k = keep([torch.rand(4, 4)], [torch.rand(4, 4)])
    bad = {"empty": b"", "cut": pack(k)[:20], "text": b"hello", "another count": pack(k._replace(counts=np.array([[5, 4]]))), "a bomb": zlib.compress(bytes(10**6))}[change]
    with pytest.raises(InputError, match="no distances that drlit kept"): unpack(bad, "here")


def test_a_changed_file_of_distances_is_refused(export, tmp_path):
    for p in export.parent.iterdir(): shutil.copy(p, tmp_path)
    file = tmp_path / export.name.replace(".csv", ".distances.npz")
    d = read_npz(file)
    write_npz(file, **{**d, "bytes": d["bytes"][::-1]})
    with pytest.raises(InputError, match="checksum differs"): read_rows(tmp_path)
    with pytest.raises(InputError, match="checksum differs"): read_distances(tmp_path / export.name)
    file.unlink()
    with pytest.raises(InputError, match="no file .*distances.npz"): read_rows(tmp_path)


# ---------------------------------------------------------------- what cannot be tested
def images(n, classes, seed=0, same=False):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 1, 8, 8, generator=g)
    return ImageSet(x[:1].expand(n, -1, -1, -1).clone() if same else x, torch.arange(n) % classes)


CASES = { # name -> (images a side, classes, all alike?) -> columns that are empty, and those that are not
    "one image": ((1, 1, False), "auc tpr_1 tpr_01 lo adjusted adjusted_lo coverage_lo", "value gap p"),
    "two images of one class": ((2, 1, False), "tpr_1 tpr_01 lo coverage_lo adjusted_lo", "value gap p auc"),
    "one image per class": ((5, 5, False), "lo tpr_1 auc_lo adjusted", "value gap p auc coverage"),
    "a constant metric": ((20, 2, True), "auc_lo tpr_1 adjusted_lo", "value gap p auc"),
    "99 unseen images": ((99, 3, False), "tpr_1 tpr_01", "auc auc_lo lo"),
    "100 unseen images": ((100, 5, False), "tpr_01", "tpr_1 tpr_1_lo auc_lo"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_so_few_images_do_not_allow_is_empty(name):
    (n, classes, same), none, there = CASES[name]
    private, unseen, rec = (images(n, classes, s, same) for s in (0, 0 if same else 1, 0 if same else 2))
    row, _ = sample_score("mse", Reconstruction(rec.images, rec.labels), private, unseen, permutations=19)
    missing = lambda c: not math.isfinite(row.get(c, math.nan))
    assert all(map(missing, none.split())), {c: row.get(c) for c in none.split()}
    assert not any(map(missing, there.split())), {c: row.get(c) for c in there.split()}
    if same: assert (row["gap"], row["p"], row["auc"]) == (0, 1, .5)


def test_unequal_private_and_unseen_counts_are_one_line():
    rec = images(6, 2)
    with pytest.raises(InputError, match="3 private|equal counts"): score_samples("mse", Reconstruction(rec.images, rec.labels), images(6, 2, 1), images(8, 2, 2), permutations=19)


def test_an_answer_that_does_not_depend_on_its_target_has_p_1():
    "Target and twin gave the same images: no split tells them apart, and rounding must not"
    g = torch.Generator().manual_seed(0)
    k = keep([torch.rand(5, 5, generator=g) for _ in range(4)], [torch.rand(5, 5, generator=g) for _ in range(4)])
    a = answer(Question(Cell("a", "d", 20), "mse", (0, 1), ("a", "a"), ("b", "b"), 99), {"a": k, "b": k})
    assert a["over"]["signal_p_seeds"] == 1 and a["own"]["0"]["signal"] == 0 and a["own"]["0"]["signal_p"] == 1 and math.isnan(a["own"]["0"]["signal_lo"])


def test_label_free_seeds_are_permuted_within_the_classes_of_their_images():
    "One p over two seeds whose images stand in other orders: that of the sorted ones"
    g = torch.Generator().manual_seed(0)
    d, labels = [torch.rand(6, 12, generator=g) for _ in range(2)], [torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([2, 2, 1, 1, 0, 0])]
    kept = [keep([x[:, :6]], [x[:, 6:]], classes=(c, c)) for x, c in zip(d, labels)]
    assert [c.tolist() for c in classes_of(kept[1])] == [labels[1].tolist()] * 2
    order = [c.argsort(stable=True) for c in labels]
    sides = [[x[:, :6][:, o] for x, o in zip(d, order)], [x[:, 6:][:, o] for x, o in zip(d, order)]]
    want = heldout_gap(*sides, permutations=199, classes=(labels[0].sort().values,) * 2)
    assert gap_over(kept, 199)["p_seeds"] == want.p
    other = keep([d[0][:, :6]], [d[0][:, 6:]], classes=(torch.tensor([0, 0, 0, 0, 1, 2]),) * 2)
    assert gap_over([kept[0], other], 199) == {} # other counts: no common permutation


def rows(*of):
    base = dict(attack="a", family="optimisation", data="d", size=100, n=100, arch="cnn", variant="plain", control="none", seed=0, metric="mse", features="", value=.1, lo=.09,
                hi=.12, coverage=.3, floor=.1, uniform=.6, heldout=.11, gap=.01, p=.02, queries=0, status="ok", error="", update_size=0, **dict.fromkeys(LATER, math.nan), **dict.fromkeys(WORDS, ""))
    return pd.DataFrame([{**base, **k} for k in of])


def test_seeds_of_two_versions_are_not_averaged():
    with pytest.raises(InputError, match="a on d under mse was scored by two versions \\(an older drlit; bench 2\\)"): check_rows(rows({}, {"seed": 1, "version": "bench 2"}), "rows.csv")
    assert len(check_rows(rows({}, {"metric": "ssim", "version": "bench 2"}), "rows.csv")) == 2


def test_a_missing_value_of_a_seed_is_not_averaged_away():
    t = one_table("", rows({"auc": .6}, {"seed": 1}, {"seed": 2, "auc": .7}))
    assert "AUC" not in t.header # two of three seeds are no mean of three


def test_numbers_of_a_row_are_typed():
    "Every later number is declared in the record, or computed when rows are assembled"
    assembled = {c for c in LATER if c.startswith(("signal", "training", "p_seeds", "detectable_seeds", "permutations"))}
    assert {c for c in LATER if RowRecord.model_fields.get(c)} == {*LATER} - assembled


# ---------------------------------------------------------------- intervals
def test_the_interval_of_an_adjusted_coverage_by_hand():
    a, b = torch.tensor([1., 2., 4.], dtype=torch.float64), torch.tensor([2., 3., 4.], dtype=torch.float64)
    left = np.array([6 / 7, 5 / 6, 3 / 5])
    half = student.ppf(.975, 2) * math.sqrt(2 / 3 * ((left - left.mean())**2).sum())
    assert ratio_interval(a, b) == pytest.approx((7 / 9 - half, 7 / 9 + half))
    assert all(map(math.isnan, ratio_interval(a[:1], b[:1]))) and all(map(math.isnan, ratio_interval(a, torch.tensor([1., 0., 0.], dtype=torch.float64))))


@pytest.mark.parametrize("classes,n", [(10, 3), (10, 10), (50, 2)])
def test_the_interval_of_an_adjusted_coverage_holds_the_truth(classes, n):
    "Class effects, reconstructions of another law; 300 draws"
    g = torch.Generator().manual_seed(0)
    hits = lambda x, y: len(torch.cdist(x, y).argmin(1).unique()) - 1.
    def drawn():
        shift = 1 + .3 * torch.randn(classes, generator=g)
        x, rec, unseen = (torch.randn(classes, n, 8, generator=g) for _ in range(3))
        rec *= .5 * shift.abs()[:, None, None]
        return [torch.tensor([hits(*pair) for pair in zip(y, x)], dtype=torch.float64) for y in (rec, unseen)]
    every = [drawn() for _ in range(300)]
    truth = sum(a.sum() for a, _ in every) / sum(b.sum() for _, b in every)
    inside = [lo <= truth <= hi for lo, hi in (ratio_interval(*x) for x in every) if not math.isnan(lo)]
    assert binomtest(sum(inside), len(inside), .95).pvalue > .01 or .92 <= np.mean(inside) <= .98


def test_tpr_and_auc_by_hand():
    d = torch.full((100, 200), 9.)
    d[torch.arange(100), torch.arange(100)] = torch.linspace(1, 2, 100) # each private image has a reconstruction of its own
    t = told_apart(keep([d[:, :100]], [d[:, 100:]]))
    assert (t["auc"], t["tpr_1"], "tpr_01" in t) == (1, 1, False) and t["tpr_1_lo"] == pytest.approx(.025**(1 / 100))
    half = told_apart(keep([d[:, :100].flip(1) * 0 + 5], [d[:, 100:] * 0 + 5]))
    assert half["auc"] == .5 and half["tpr_1"] == 0


def test_a_record_without_distances_is_read(run, tmp_path):
    "Scores of an older drlit keep none: their rows stand, without tests"
    copy = tmp_path / "copy"
    shutil.copytree(run[0], copy)
    for f in (copy / "scores").glob("*.json"): write_json(f, sealed({k: v for k, v in read_json(f).items() if k not in ("near", "check", "schema")}))
    frame = collect(copy)
    assert frame.signal.isna().all() and frame.value.equals(run[1].value)
    [path], _ = write_rows(copy, tmp_path / "rows")
    assert read_distances(path) == {}
