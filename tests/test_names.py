"""Names are identity: wherever two sets meet, classes are matched by name, and what does not match is refused."""
import numpy as np
import pytest
import torch
from torch import nn

from drlit.attacks.base import run
from drlit.bench import score_files
from drlit.data import ImageSet, align, load_images, named, nearly_equal, places
from drlit.definitions import Reconstruction
from drlit.metrics.leakage import heldout_gap
from drlit.metrics.sample import blocks
from drlit.profiles import InputError
from drlit.targets import Target
from drlit.taxonomy import Knowledge, NotApplicable

RNG = np.random.default_rng(0)
X, HELD = RNG.integers(0, 256, (2, 24, 1, 8, 8), np.uint8)
Y = np.arange(24) % 3
ABC, CBA = ("a", "b", "c"), ("c", "b", "a")


@pytest.fixture
def save(tmp_path):
    def write(name, images=X, labels=Y, **more):
        np.savez(tmp_path / f"{name}.npz", images=images, **({} if labels is None else dict(labels=labels)), **more)
        return tmp_path / f"{name}.npz"
    return write


PLACES = [(ABC, CBA, [2, 1, 0]), (("3", "7"), ("0", "1"), [-1, -1]), (("0", "1"), ("7", "1", "0"), [2, 1]), (("0", "1", "2"), ("cat", "dog"), [0, 1, -1]),
          (("cat", "dog"), ("1", "0"), [1, 0]), (("0", "cat"), ("cat", "dog"), [-1, 0]), (("10", "9"), ("9", "10"), [1, 0])]


@pytest.mark.parametrize("theirs, names, want", PLACES)
def test_places(theirs, names, want):
    assert places(theirs, names).tolist() == want


def test_align_says_what_it_did_and_refuses_other_names(capsys):
    s = ImageSet(X, Y, ABC, source="one set")
    other = ImageSet(X, 2 - Y, CBA, source="the same in another order")
    assert torch.equal(align(other, ABC, "one set").labels, s.labels) and align(s, ABC) is s
    assert "the same in another order: classes matched by name with one set ('a', 'b', 'c')" in capsys.readouterr().err
    assert torch.equal(align(ImageSet(X, Y, source="numbers"), ABC).labels, s.labels)
    assert "matched by number" in capsys.readouterr().err
    assert align(ImageSet(X, Y, [*ABC, "never used"]), ABC).names == ABC
    for names in (["a", "b", "x"], ["A", "b", "c"], ["a ", "b", "c"]):
        with pytest.raises(InputError, match=f"class {names[0]!r} is|class 'x' is") as e: align(ImageSet(X, Y, names), ABC, "one set")
        assert "one set ('a', 'b', 'c')" in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize("classes, labels, names", [(CBA, 2 - Y, CBA), (("x", "y", "z"), Y, ("x", "y", "z")), (ABC, Y, ABC)])
def test_given_names_reorder_or_rename(classes, labels, names):
    s = named(ImageSet(X, Y, ABC), classes)
    assert s.names == names and s.labels.tolist() == labels.tolist()


@pytest.mark.parametrize("classes, says", [(("a", "b", "x"), "'x' is no class of"), (("x", "y"), "2 names"), (("x", "y", "y"), "two classes are called 'y'")])
def test_given_names_that_do_neither_are_refused(classes, says):
    with pytest.raises(InputError, match=says): named(ImageSet(X, Y, ABC), classes)


def test_two_classes_of_one_name_are_refused():
    with pytest.raises(InputError, match="two classes are called 'a'"): ImageSet(X, Y, ["a", "b", "a"])


def classifier():
    "A network that knows the class of every image of X by heart"
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    x = torch.tensor(X).flatten(1).double() / 255
    w = torch.linalg.lstsq(torch.cat([x, torch.ones(len(x), 1)], 1), 9. * nn.functional.one_hot(torch.tensor(Y), 3).double(), driver="gelsd").solution
    with torch.no_grad(): net[1].weight.copy_(w[:64].T), net[1].bias.copy_(w[64])
    return net


def test_held_out_images_in_another_order_do_not_leak():
    "Matched by number, class means of fresh images lie nearer to the private images than to the held-out ones, p = .001"
    level = (np.arange(3) * 90)[Y][:, None, None, None] + 20
    x, held, aux = (np.clip(level + RNG.normal(0, 12, (24, 1, 8, 8)), 0, 255).astype(np.uint8) for _ in range(3))
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    t = Target.from_model(net, ImageSet(x, Y, ABC), heldout=ImageSet(held, 2 - Y, CBA))
    assert t.unseen().names == ABC and t.unseen().labels.tolist() == Y.tolist()
    mean = torch.stack([ImageSet(aux, Y).images[Y == c].mean(0) for c in Y])
    sides = [[d for *_, d in blocks(mean, s.images, "mse", torch.tensor(Y), s.labels)] for s in (t.truth(), t.unseen())]
    assert heldout_gap(*sides, permutations=199, seed=0).p > .05


def test_true_auxiliary_labels_are_true_whatever_the_order():
    "0 % were right: a split renumbers the private classes, the auxiliary images keep their numbers"
    t = Target.from_model(classifier(), ImageSet(X, Y, ABC), auxiliary=ImageSet(HELD, (Y + 1) % 3, ("c", "a", "b")))
    shown = t.view(Knowledge("static", "none", "same", ["aux_labels"])).auxiliary
    assert shown.names == ABC and shown.labels.tolist() == Y.tolist()
    others = Target.from_model(classifier(), ImageSet(X, Y, ABC), auxiliary=ImageSet(HELD, Y, "xyz"))
    with pytest.raises(NotApplicable, match="no auxiliary image belongs to a class"): _ = others.view(Knowledge("static", "none", "same", ["aux_labels"])).auxiliary


def test_class_names_of_a_model_reorder_or_rename_every_set():
    held, aux = ImageSet(HELD, Y, ABC), ImageSet(HELD[:, :, ::-1], Y, ABC)
    given = dict(heldout=held, auxiliary=aux)
    turned = Target.from_model(classifier(), ImageSet(X, Y, ABC), CBA, **given, unchecked=True)
    assert turned.truth().names == turned.unseen().names == CBA and turned.unseen().labels.tolist() == (2 - Y).tolist()
    renamed = Target.from_model(classifier(), ImageSet(X, Y, ABC), ("x", "y", "z"), **given)
    assert renamed.unseen().names == ("x", "y", "z") and renamed.unseen().labels.tolist() == Y.tolist()
    assert renamed.view(Knowledge("static", "none", "same", ["aux_labels"])).auxiliary.labels.tolist() == Y.tolist()
    with pytest.raises(InputError, match="'x'"): Target.from_model(classifier(), ImageSet(X, Y, ABC), heldout=ImageSet(HELD, Y, "xbc"))


def test_a_class_without_private_images_is_refused_before_the_attack():
    "It was asked for, reconstructed, and only then the score failed"
    t = Target.from_model(classifier(), ImageSet(X[Y < 2], Y[Y < 2], ABC), heldout=ImageSet(HELD[Y < 2], Y[Y < 2], ABC))
    with pytest.raises(NotApplicable, match="class 'c' has no private image.*grant label_counts"): run("null_noise", t)
    known = run("null_noise", t, Knowledge("static", "none", "none", ["label_counts"]))
    assert known.labels.bincount(minlength=3).tolist() == [8, 8, 0]


def test_nearly_equal_held_out_images_are_noted(capsys):
    near = np.clip(X.astype(int) + np.where(X > 99, -1, 1), 0, 255).astype(np.uint8)
    assert nearly_equal(ImageSet(near, Y), ImageSet(X, Y)) == 24 and nearly_equal(ImageSet(HELD, Y), ImageSet(X, Y)) == 0
    Target.from_model(classifier(), (X, Y), heldout=(near, Y))
    assert "24 images are nearly equal to private ones" in capsys.readouterr().err


def test_a_reconstruction_knows_its_classes(tmp_path):
    t = Target.from_model(classifier(), ImageSet(X, Y, CBA))
    rec = run("null_noise", t, seed=1)
    rec.save(tmp_path / "rec.npz")
    back = Reconstruction.load(tmp_path / "rec.npz")
    assert rec.names == back.names == CBA and torch.equal(back.labels, rec.labels)
    assert load_images(tmp_path / "rec.npz").names == CBA


# ---------------------------------------------------------------- files

def test_perfect_reconstructions_in_another_order_score_zero(save):
    "They scored .11: class c against class a"
    target = save("target", names=ABC)
    for rec in (save("turned", labels=2 - Y, names=CBA), save("numbers"), save("bytes", names=np.array([b"a", b"b", b"c"]))):
        [row] = score_files(rec, target, metrics=["mse"])
        assert row["value"] < 1e-12 and row["coverage"] == 1 and row["features"] == ""


def test_held_out_files_are_matched_by_name(save):
    rec, target = save("rec", names=ABC), save("target", names=ABC)
    plain, turned = (score_files(rec, target, f, ["mse"])[0] for f in (save("h", HELD, names=ABC), save("h2", HELD, 2 - Y, names=CBA)))
    assert plain == turned


REFUSED = [(dict(names=("a", "b", "x")), {}, "class 'x' is none of"), (dict(labels=Y + 3), {}, "class '3', '4', '5' is none of"), (dict(labels=Y * 4), dict(labels=Y), "class '4', '8' is none of"),
           (dict(names=("a", "b", "b")), {}, "two classes are called 'b'")]


@pytest.mark.parametrize("rec, target, says", REFUSED)
def test_other_names_are_refused(rec, target, says, save):
    with pytest.raises(InputError, match=says): score_files(save("rec", **rec), save("target", **({"names": ABC} if not target else target)))


def test_labels_are_names_where_there_are_no_others(save):
    "Labels 3 and 7 in both files, but another lowest one in each: the values count, not their ranks"
    rec, target = save("rec", X[Y != 0], Y[Y != 0] * 5), save("target", labels=Y * 5)
    [row] = score_files(rec, target, metrics=["mse"])
    assert row["value"] < 1e-12 and row["n_rec"] == 16
