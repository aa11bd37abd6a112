"""Networks as their owners have them: what `Target.from_model` makes of each before anything is attacked."""
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from drlit import core
from drlit.attacks.base import attack, run
from drlit.core import as_images
from drlit.data import ImageSet
from drlit.models import logits
from drlit.own_models import NORMALISATIONS, PROBED, examine, find_cause, reordered, suspicions, ways
from drlit.profiles import InputError
from drlit.targets import Target
from drlit.taxonomy import Knowledge, NotApplicable

WHITE, BLACK = Knowledge("static", "white-box", "none"), Knowledge("static", "black-box", "none")


def data(n=120, classes=6, channels=1, seed=0):
    "Noisy copies of pale patterns, one pattern per class"
    g = torch.Generator().manual_seed(seed)
    patterns, y = .5 + .2 * torch.rand(classes, channels, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(n) % classes
    return (patterns[y] + .05 * torch.randn(n, channels, 8, 8, generator=g)).clamp(0, 1), y


def mlp(channels=1, classes=6): return nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, 16), nn.ReLU(), nn.Linear(16, classes))


def taught(net, x, y, feed=lambda x: x, steps=100):
    "The network after it has learnt the images as `feed` shows them"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for m in net.modules():
            if hasattr(m, "reset_parameters"): m.reset_parameters()
        opt = torch.optim.Adam(net.parameters(), lr=.01)
        for _ in range(steps):
            opt.zero_grad()
            F.cross_entropy(net(feed(x)), y).backward()
            opt.step()
    return net.eval()


X, Y = data()
NET = taught(mlp(), X, Y)
COLOUR = data(channels=3)
PAIR = (X[Y < 2], Y[Y < 2])


class Around(nn.Module):
    "The network, with something done before or after it"
    def __init__(self, after=lambda z: z, before=lambda x: x, net=NET):
        super().__init__()
        self.net, self.after, self.before = net, after, before

    def forward(self, x): return self.after(self.net(self.before(x)))


@pytest.fixture(autouse=True)
def said(monkeypatch):
    "What is remarked, though it was said before"
    lines = []
    monkeypatch.setattr(core, "_said", set())
    monkeypatch.setattr(core.tqdm, "write", lambda text, **_: lines.append(text))
    return lines


def normal(name): return lambda x: (x - torch.tensor(NORMALISATIONS[name][0]).view(-1, 1, 1)) / torch.tensor(NORMALISATIONS[name][1]).view(-1, 1, 1)


# ---- refused at the door: the module, a piece of the one line that says so
class Plain(nn.Module):
    "A mapping that returns whatever `out` makes of the logits"
    def __init__(self, out):
        super().__init__()
        self.net, self.out = NET, out

    def forward(self, x): return self.out(self.net(x))


class Running(nn.Module):
    "BatchNorm that learns while it answers"
    def __init__(self):
        super().__init__()
        self.norm, self.net = nn.BatchNorm2d(1), NET

    def forward(self, x):
        self.norm.train()
        return self.net(x + 0 * self.norm(x))


def compiled_like():
    class OptimizedModule(nn.Module):
        "Named as torch.compile's wrapper"
        def __init__(self):
            super().__init__()
            self._orig_mod = NET

        def forward(self, x): raise RuntimeError("no compiler here")
    return OptimizedModule()


def quantised():
    class Linear(nn.Linear): pass
    Linear.__module__ = "torch.ao.nn.quantized.dynamic.modules.linear"
    return nn.Sequential(nn.Flatten(), Linear(64, 6))


def untensored():
    "As after the old weight_norm: a weight that is computed, not stored"
    net = mlp()
    w = net[1].weight
    del net[1]._parameters["weight"]
    net[1].weight = w * 1.
    return net


def broken():
    net = mlp()
    with torch.no_grad(): net[3].bias[1] = float("nan")
    return net


REFUSED = {
    "softmax": (lambda: Around(lambda z: z.softmax(1)), "probabilities (rows sum to 1)"),
    "rounded softmax": (lambda: Around(lambda z: (100 * z.softmax(1)).round() / 100), "probabilities (rows sum to 1)"),
    "percentages": (lambda: Around(lambda z: 100 * z.softmax(1)), "percentages"),
    "sigmoids": (lambda: Around(lambda z: z.sigmoid()), "as sigmoids do"),
    "scores from 0 to 1": (lambda: Around(lambda z: (z - z.amin(1, True)) / (z.amax(1, True) - z.amin(1, True))), "as sigmoids do"),
    "constant": (lambda: Around(lambda z: z * 0 + torch.arange(6.)), "the same outputs for every private image"),
    "class numbers": (lambda: Around(lambda z: z.argmax(1)), "leave the argmax away"),
    "NaN": (broken, "NaN or infinite logits on private image 0"),
    "tuple of two": (lambda: Plain(lambda z: (z, z)), "returns a tuple with 0: (8, 6), 1: (8, 6); wrap the module"),
    "dict of nothing": (lambda: Plain(lambda z: {"loss": z.sum(), "features": z[:, :3]}), "returns a dict with 'loss': (), 'features': (8, 3); wrap the module"),
    "dict of dicts": (lambda: Plain(lambda z: {"logits": {"a": z}}), "logits are a dict"),
    "too many outputs": (lambda: mlp(classes=7), "7 outputs per image, the private images have 6 classes"),
    "a map of outputs": (lambda: Plain(lambda z: z[..., None, None].expand(-1, -1, 4, 4)), "6 x 4 x 4 outputs per image, the private images have 6 classes; average over the map first"),
    "one number for six classes": (lambda: mlp(classes=1), "1 outputs per image"),
    "rows lost": (lambda: Plain(lambda z: z[:-1]), "its first dimension must be that of the images"),
    "squeeze": (lambda: Plain(lambda z: z.squeeze()), "for a batch of one image"),
    "lazy": (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(6)), "its lazy layer never ran"),
    "meta": (lambda: mlp().to("meta"), "device meta"),
    "quantised": (quantised, "is quantised"),
    "no parameters": (lambda: nn.Flatten(), "no parameters"),
    "a function": (lambda: lambda x: x, "a function; expected a torch.nn.Module"),
    "cannot be copied": (untensored, "cannot be copied"),
    "BatchNorm1d of the batch": (lambda: nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64, track_running_stats=False), nn.Linear(64, 6)), "fails on a batch of one image"),
    "learns while it answers": (Running, "changes its own weights or statistics"),
    "wrong channels": (lambda: nn.Sequential(nn.Conv2d(3, 6, 8), nn.Flatten()), "fails on private images of shape (1, 8, 8)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name):
    make, words = REFUSED[name]
    with pytest.raises(InputError) as e: Target.from_model(make(), (X, Y))
    assert words in str(e.value) and "\n" not in str(e.value)


def test_one_line_even_where_torch_writes_many():
    class Long(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(1))

        def forward(self, x): raise RuntimeError("first\nsecond\n  third")
    with pytest.raises(InputError, match=r"\(1, 8, 8\): first second third$"): Target.from_model(Long(), (X, Y))


# ---- taken, and equal to what the network itself says: the module, the logits it should have, a piece of the remark ("" = none)
def single():
    net = taught(mlp(classes=2), *PAIR)
    return Around(lambda z: z[:, 1:] - z[:, :1], net=net), net(PAIR[0])


class Changing(nn.Module):
    "In-place normalisation of its input"
    def __init__(self):
        super().__init__()
        self.net = taught(mlp(), X, Y, normal("mnist"))

    def forward(self, x): return self.net(x.sub_(.1307).div_(.3081))


TAKEN = {
    "logits": (lambda: NET, NET, ""),
    "log-probabilities": (lambda: Around(lambda z: z.log_softmax(1)), lambda x: NET(x).log_softmax(1), ""),
    "tuple of one": (lambda: Plain(lambda z: (z,)), NET, "its 0 is taken as the logits"),
    "tuple with features": (lambda: Plain(lambda z: (z[:, :3], z)), NET, "its 1 is taken as the logits"),
    "dict": (lambda: Plain(lambda z: {"logits": z, "hidden": z}), NET, "its 'logits' is taken"),
    "dict of one": (lambda: Plain(lambda z: {"out": z}), NET, "its 'out' is taken"),
    "object with logits": (lambda: Plain(lambda z: SimpleNamespace(logits=z, hidden=z, loss=None)), NET, "its 'logits' is taken"),
    "fully convolutional": (lambda: Plain(lambda z: z[..., None, None]), NET, ""),
    "half": (lambda: taught(mlp(), X, Y).half(), NET, ""),
    "bfloat16": (lambda: taught(mlp(), X, Y).bfloat16(), NET, ""),
    "double": (lambda: taught(mlp(), X, Y).double(), NET, ""),
    "traced": (lambda: torch.jit.trace(NET, X[:2]), NET, ""),
    "scripted": (lambda: torch.jit.script(NET), NET, ""),
    "parallel": (lambda: nn.DataParallel(NET), NET, "the module behind DataParallel"),
    "compiled": (compiled_like, NET, "the module behind OptimizedModule"),
    "training mode": (lambda: nn.Sequential(nn.Dropout(.5), NET).train(), NET, ""),
    "a list of weights frozen": (lambda: taught(mlp(), X, Y).requires_grad_(False), NET, ""),
    "changes its input": (Changing, lambda x: taught(mlp(), X, Y, normal("mnist"))(normal("mnist")(x)), ""),
}


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_taken(name, said):
    make, want, remark = TAKEN[name]
    before, coarse = X.clone(), name in ("half", "bfloat16")
    t = Target.from_model(make(), (X, Y))
    z, w = logits(t.model, X), want(X).detach().float()
    assert (z - w).abs().max() < (.2 if coarse else 1e-4) and torch.equal(X, before) and t.info["train_accuracy"] == 1
    assert not t.info["remarks"] and not t.info["no_gradient"]
    assert remark in " ".join(said) and bool(said) == bool(remark)
    rec = run(attack("mi_face", steps=3), t)  # and can be attacked
    assert rec.images.shape == X.shape


def test_one_number_for_two_classes(said):
    net, z = single()
    t = Target.from_model(net, PAIR)
    assert torch.allclose(logits(t.model, PAIR[0]).softmax(1), z.softmax(1), atol=1e-6) and "[0, z]" in said[0]
    with pytest.raises(InputError, match="as sigmoids do"): Target.from_model(Around(lambda z: z.sigmoid(), net=net), PAIR)


def test_made_in_inference_mode():
    with torch.inference_mode(): net = taught_copy()
    t = Target.from_model(net, (X, Y))
    assert not t.info["no_gradient"] and torch.allclose(logits(t.model, X), NET(X).detach(), atol=1e-5)


def taught_copy():
    net = mlp()
    net.load_state_dict(NET.state_dict())
    return net


# ---- no gradient: a target for black-box attacks only
def frozen(f):
    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = NET

        def forward(self, x): return f(self.net, x)
    return Module()


def under(context):
    def forward(net, x):
        with context(): return net(x)
    return forward


BLIND = {
    "detach": (frozen(lambda net, x: net(x).detach()), "passes no gradient"),
    "no_grad": (frozen(under(torch.no_grad)), "passes no gradient"),
    "inference mode": (frozen(under(torch.inference_mode)), "passes no gradient"),
    "argmax inside": (frozen(lambda net, x: 5. * F.one_hot(net(x).argmax(1), 6)), "passes no gradient"),
    "rounded": (frozen(lambda net, x: (4 * net(x)).round() / 4), "passes no gradient"),
    "through numpy": (frozen(lambda net, x: torch.from_numpy(net(x).detach().numpy().copy())), "passes no gradient"),
    "image detached": (frozen(lambda net, x: net(x.detach())), "passes no gradient"),
    "NaN backwards": (frozen(lambda net, x: net(x) + (0 * x.sum() - 0 * x.sum()).pow(2).add(0).sqrt()), "NaN or infinite"),
}


@pytest.mark.parametrize("name", BLIND)
def test_no_gradient(name, said):
    module, words = BLIND[name]
    t = Target.from_model(module, (X, Y))
    assert words in t.info["no_gradient"] and any(words in s for s in said)
    for name in ("mi_face", "deep_dream"):
        with pytest.raises(NotApplicable, match="white-box access is of no use"): run(name, t)
    assert t.view(BLACK).query(X).shape == (120, 6)  # posteriors it has


# ---- not a function of one image: said
ODD = {
    "dropout always on": (Around(before=lambda x: F.dropout(x, .5)), "change from call to call"),
    "noise": (Around(before=lambda x: x + .1 * torch.randn_like(x)), "change from call to call"),
    "BatchNorm of the batch": (nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), taught(mlp(), X, Y)), "depend on the other images"),
    "centred by the batch": (Around(lambda z: z - z.mean(0)), "depend on the other images"),
    "position in the batch": (Around(lambda z: z + .1 * torch.arange(len(z))[:, None] * torch.eye(6)[0]), "depend on the other images"),
}


@pytest.mark.parametrize("name", ODD)
def test_not_a_function_of_one_image(name, said):
    module, words = ODD[name]
    t = Target.from_model(module, (X, Y))
    assert any(words in r for r in t.info["remarks"]) and any(words in s for s in said)


# ---- does not know its training set
def nearest(x, y, feed, order=None):
    "The classifier of the nearest class mean, among images as `feed` shows them: -10 |x - m|^2"
    means = torch.stack([feed(x[y == c]).mean(0).flatten() for c in (range(6) if order is None else order)])
    net = nn.Sequential(nn.Flatten(), nn.Linear(means.shape[1], 6))
    with torch.no_grad():
        net[1].weight.copy_(20 * means), net[1].bias.copy_(-10 * means.square().sum(1))
    return net


WAYS = {  # what the network was trained on, channels, the argument that says so
    "range": (lambda x: 2 * x - 1, 1, dict(input_range=(-1, 1))),
    "range of bytes": (lambda x: 255 * x, 1, dict(input_range=(0, 255))),
    "mnist": (normal("mnist"), 1, dict(normalise="mnist")),
    "fashion_mnist": (normal("fashion_mnist"), 1, dict(normalise="fashion_mnist")),
    "imagenet": (normal("imagenet"), 3, dict(normalise="imagenet")),
    "order": (lambda x: x, 1, dict(classes=["0", "2", "3", "4", "5", "1"])),
}


@pytest.mark.parametrize("name", WAYS)
def test_the_cause_is_found_and_named(name):
    "At 3bf1666 each of these was attacked as it is"
    feed, channels, fix = WAYS[name]
    x, y = data(240, channels=channels)
    net = nearest(x, y, feed, map(int, fix.get("classes", range(6))))
    with pytest.raises(InputError) as e: Target.from_model(net, (x, y))
    (argument, value), = fix.items()
    assert f"with {argument}={value!r}" in str(e.value) and "right on 1.00 of them" in str(e.value) and "unchecked=True" in str(e.value)
    fixed = Target.from_model(net, (x, y), **fix)
    assert fixed.info["train_accuracy"] == 1 and not fixed.info["remarks"]


def test_unchecked_takes_it_with_a_remark(said):
    x, y = data(240)
    t = Target.from_model(nearest(x, y, normal("mnist")), (x, y), unchecked=True)
    assert "normalise='mnist'" in t.info["remarks"][0] and t.info["train_accuracy"] < .5 and said
    soft = Target.from_model(Around(lambda z: z.softmax(1)), (X, Y), unchecked=True)
    assert "probabilities" in soft.info["remarks"][0] and soft.info["train_accuracy"] == 1
    with pytest.raises(InputError, match="NaN"): Target.from_model(broken(), (X, Y), unchecked=True)


def test_no_cause_is_made_up(said):
    "Of an untrained network, and of labels drawn at random: a remark, no refusal"
    g = torch.Generator().manual_seed(3)
    for net, y in ((mlp(), Y), (NET, torch.randint(6, (120,), generator=g))):
        t = Target.from_model(net, (X, y))
        assert "none explains it" in t.info["remarks"][0] and len(t.info["remarks"]) == 1
    assert len(said) == 2


def test_own_constants_and_a_mean_for_every_channel():
    x, y = data(240, channels=3)
    mean, std = x.mean((0, 2, 3)), x.std((0, 2, 3))
    net = nearest(x, y, lambda v: (v - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    t = Target.from_model(net, (x, y), normalise=(mean.tolist(), std.tolist()))
    assert t.info["train_accuracy"] == 1 and torch.allclose(logits(t.model, x), net((x - mean.view(3, 1, 1)) / std.view(3, 1, 1)), atol=1e-4)
    for bad, words in (("imagnet", "did you mean 'imagenet'"), ((.5,), "expected a name"), (((0, 0), (1, 1)), "each of the 3 channels"), ((0., 0.), "above 0"), (3, "expected a name")):
        with pytest.raises(InputError, match=words): Target.from_model(net, (x, y), normalise=bad)


def test_suspicions_by_hand():
    y = torch.arange(40) % 4
    good = 5. * F.one_hot(y, 4)
    assert not suspicions(good, y) and not suspicions(good[:2], y[:2])
    assert "naming one class has 0.25" in suspicions(good.roll(1, 1), y)[0] and "nats" in suspicions(good.roll(1, 1), y)[1]
    half = torch.where((torch.arange(40) % 8 < 4)[:, None], good, good.roll(1, 1))  # right on half: 20 of 40, p = 6e-4 against .25
    assert not [s for s in suspicions(.1 * half, y) if "naming one class" in s]
    assert "1.00 of the held-out images and 0.50 of the private" in suspicions(.1 * half, y, good, y)[-1]
    assert not [s for s in suspicions(good, y, half, y) if "held-out" in s]


def test_the_order_is_judged_on_the_other_half():
    "Random outputs: the best order fits a third on the half it was found on, no more than a guess on the other"
    g = torch.Generator().manual_seed(0)
    y, z = torch.arange(200) % 10, torch.randn(200, 10, generator=g)
    order, right = reordered(z, y)
    assert right.double().mean() < .17 < (order[z.argmax(1)] == y).double().mean()
    cyclic, right = reordered(F.one_hot((y + 1) % 10, 10).float(), y)
    assert torch.equal(cyclic, (torch.arange(10) - 1) % 10) and right.all()


def test_folders_sorted_as_text(said):
    "Ten classes 1..10, sorted as text by the folder reader; the outputs are in numeric order"
    names = sorted(map(str, range(1, 11)))
    x, y = data(200, 10)
    natural = sorted(range(10), key=lambda i: int(names[i]))
    means = torch.stack([x[y == c].mean(0).flatten() for c in natural])
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad(): net[1].weight.copy_(20 * means), net[1].bias.copy_(-10 * means.square().sum(1))
    images = ImageSet(x, y, names)
    with pytest.raises(InputError, match=r"with classes=\['1', '2', '3', '4', '5', '6', '7', '8', '9', '10'\] it is right on 1.00"): Target.from_model(net, images)
    t = Target.from_model(net, images, classes=range(1, 11))
    assert t.info["train_accuracy"] == 1 and t.truth().names == tuple(map(str, range(1, 11))) and "matched by name" in said[0]


CLASSES = {  # names of the images, classes=, labels afterwards or the refusal
    "renamed": (None, "abc", [0, 1, 2]), "reordered": ("abc", "cab", [1, 2, 0]), "the same": ("abc", "abc", [0, 1, 2]),
    "some of the outputs": ("abc", "xcyab", [3, 4, 1]), "numbers in another order": (None, "201", [1, 2, 0]), "new names": ("abc", "xyz", [0, 1, 2]),
    "some known, some not": ("abc", "abx", "'x' is no class of"), "twice": ("abc", "aab", "two classes are called 'a'"), "too few": (None, "ab", "2 names"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes_rename_or_reorder(name):
    names, classes, want = CLASSES[name]
    images, net = ImageSet(X[:3], [0, 1, 2], names), mlp(classes=len(classes))
    k = Knowledge("static", "none", "none", ["label_counts"])
    if isinstance(want, str):
        with pytest.raises(InputError, match=want): Target.from_model(net, images, classes)
    else:
        t = Target.from_model(net, images, classes)
        assert t.truth().labels.tolist() == want and t.view(k).classes == tuple(classes)


# ---- the images as users hold them
class Pictures(Dataset):
    "A map-style dataset of PIL images, with class names"
    classes = ("zero", "one", "two", "three", "four", "five")

    def __len__(self): return len(X)
    def __getitem__(self, i): return to_pil(X[i]), int(Y[i])


def to_pil(x):
    from PIL import Image
    return Image.fromarray((x[0] * 255).round().to(torch.uint8).numpy())


class Random(Pictures):
    "A dataset that draws its images anew"
    def __getitem__(self, i): return torch.rand(1, 8, 8), int(Y[i])


class Fails(Pictures):
    def __getitem__(self, i): raise OSError(5, "disk gone")


HELD = {
    "pair of tensors": ((X, Y), 0), "pair of arrays": ((X.numpy(), Y.numpy()), 0), "lists": ((X.tolist(), Y.tolist()), 0), "list of tensors": ([list(X), list(Y)], 0),
    "TensorDataset": (TensorDataset(X, Y), 0), "DataLoader": (DataLoader(TensorDataset(X, Y), 50), 0), "bytes": (((255 * X).round().byte(), Y), .01), "PIL dataset": (Pictures(), .01),
    "loader of uint8": (DataLoader(TensorDataset((255 * X).round().byte(), Y), 7), .01),
}


@pytest.mark.parametrize("name", HELD)
def test_images_as_users_hold_them(name):
    private, slack = HELD[name]
    t = Target.from_model(NET, private)
    assert (t.truth().images - X).abs().max() <= slack and torch.equal(t.truth().labels, Y) and not t.truth().publishable
    assert t.truth().names[1] == ("one" if name.startswith("PIL") else "1")


NOT_HELD = {
    "a tensor": (X, "a Tensor; expected an ImageSet"), "a path": ("folder", "a str; expected"), "a dict": ({"images": X}, "a dict; expected"), "nothing": (None, "private: None"),
    "triples": (TensorDataset(X, Y, Y), "expected pairs"), "a failing dataset": (Fails(), "cannot be read .*disk gone"), "an empty one": (TensorDataset(X[:0], Y[:0]), "cannot be read"),
    "normalised": ((X * 4 - 2, Y), "give normalise="), "one label too few": ((X, Y[1:]), "119 labels for 120 images"), "labels as fractions": ((X, Y + .5), "whole numbers"),
    "class missing": ((X, Y * 5 // 5 + (Y == 5)), "6 outputs per image, the private images have 7 classes"),
}


@pytest.mark.parametrize("name", NOT_HELD)
def test_images_that_are_refused(name):
    private, words = NOT_HELD[name]
    with pytest.raises(InputError, match=words) as e: Target.from_model(NET, private)
    assert "\n" not in str(e.value)


class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        while True: yield X[0], 0


def test_reading_is_bounded(monkeypatch):
    "A loader that never ends, and a dataset beyond the limit"
    monkeypatch.setattr("drlit.own_models.MOST", 100)
    for private, words in ((DataLoader(Endless(), 50), "never ends"), (TensorDataset(X, Y), "holds 120 images, at most 100"), (Endless(), "a Endless; expected")):
        with pytest.raises(InputError, match=words): Target.from_model(NET, private)


def test_a_dataset_that_changes_is_said(said):
    Target.from_model(mlp(), Random())
    assert any("changes its images from read to read" in s for s in said)


def test_a_class_without_images_is_refused_before_the_attack():
    "At 3bf1666 the attack ran, and its score was refused afterwards"
    some = Y != 3
    t = Target.from_model(NET, ImageSet(X[some], Y[some]))
    with pytest.raises(NotApplicable, match="class '3' has no private image"): run("null_noise", t)
    assert run("null_noise", t, Knowledge("any", "none", "none", ["label_counts"])).labels.unique().tolist() == [0, 1, 2, 4, 5]


def test_an_update_says_where_updates_come_from():
    t = Target.from_model(NET, (X, Y))
    for name in ("deep_leakage", "updates_leak"):
        with pytest.raises(NotApplicable, match="no update set"): run(name, t)


# ---- what the trial costs
class Counting(nn.Module):
    def __init__(self, net=NET):
        super().__init__()
        self.net, self.images, self.calls = net, [0], [0]

    def __deepcopy__(self, memo): return self
    def forward(self, x):
        self.images[0], self.calls[0] = self.images[0] + len(x), self.calls[0] + 1
        return self.net(x)


def test_the_trial_is_short():
    "A good model: its private images once, and six calls of a few images; a bad one: a few hundred images for each cause"
    good = Counting()
    Target.from_model(good, (X, Y))
    assert good.images[0] <= 120 + 6 * PROBED and good.calls[0] <= 7
    x, y = data(2000)
    bad = Counting(nearest(x, y, normal("mnist")))
    Target.from_model(bad, (x, y), unchecked=True)
    assert bad.images[0] <= 2000 + 6 * PROBED + 256 * (1 + len(ways(1, x)))


def test_a_long_wait_is_announced(said, monkeypatch):
    monkeypatch.setattr("drlit.own_models.SLOW", 1e-9)
    Target.from_model(NET, (X, Y))
    assert any("private images take the module about 0 minutes" in s for s in said)


def test_examine_is_what_from_model_calls():
    model, info = examine(NET, as_images(X), Y, tuple("abcdef"))
    assert info["train_accuracy"] == 1 and find_cause(model, X, Y, tuple("abcdef"))[0] == []


# ---- an attack of one's own, defined in a notebook
NOTEBOOK = """
import sys
from drlit.attacks.base import Attack, register
from drlit.bench import bench
from drlit.definitions import Reconstruction
from drlit.engines import engine
from drlit.profiles import InputError, Profile
from drlit.taxonomy import Knowledge
import torch

@register
class Mine(Attack):
    name, family, knowledge = "mine", "optimisation", Knowledge("static", "white-box", "none")
    def run(self, view, n, seed): return Reconstruction(torch.rand(n, *view.shape), view.labels())

p = Profile("t", "digits", attacks=("mine",), sizes=(20,), arch=("mlp",), metrics=("mse",), permutations=19, training={"min_epochs": 1, "max_epochs": 1})
try: bench(p, sys.argv[1], engine=engine(jobs=2))
except InputError as e: print(e)
print(len(bench(p, sys.argv[1])))
"""


def test_an_attack_of_a_notebook_and_two_jobs_end_in_a_sentence(tmp_path):
    "Other processes cannot import it: said at once; in one process it runs"
    out = subprocess.run([sys.executable, "-c", NOTEBOOK, str(tmp_path / "run")], capture_output=True, text=True, timeout=600, cwd=tmp_path)
    said, rows = out.stdout.splitlines()
    assert "mine is defined where other processes cannot see it; put it into a module of its own, or use one local job" in said and int(rows) > 0, out.stderr
