"""Networks as their owners have them: what `Target.from_model` makes of each before anything is attacked."""
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from drlit import core
from drlit.attacks.base import run
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


def taught(net, x, y, feed=lambda x: x, steps=200):
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
    rec = run("mi_face", t)  # and can be attacked
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
    for attack in ("mi_face", "deep_dream"):
        with pytest.raises(NotApplicable, match="white-box access is of no use"): run(attack, t)
    assert t.view(BLACK).query(X).shape == (120, 6)  # posteriors it has


# ---- not a function of one image: said
ODD = {
    "dropout always on": (Around(before=lambda x: F.dropout(x, .5)), "change from call to call"),
    "noise": (Around(before=lambda x: x + .1 * torch.randn_like(x)), "change from call to call"),
    "BatchNorm of the batch": (nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), taught(mlp(), X, Y)), "depend on the other images"),
    "centred by the batch": (Around(lambda z: z - z.mean(0)), "depend on the other images"),
    "position in the batch": (Around(lambda z: z + torch.arange(len(z))[:, None] * torch.eye(6)[0]), "depend on the other images"),
}


@pytest.mark.parametrize("name", ODD)
def test_not_a_function_of_one_image(name, said):
    module, words = ODD[name]
    t = Target.from_model(module, (X, Y))
    assert any(words in r for r in t.info["remarks"]) and any(words in s for s in said)


# ---- does not know its training set
WAYS = {
    "range": (lambda x: 2 * x - 1, 1, "input_range=(-1, 1)"),
    "range of bytes": (lambda x: 255 * x, 1, "input_range=(0, 255)"),
    "mnist": (normal("mnist"), 1, "normalise='mnist'"),
    "imagenet": (normal("imagenet"), 3, "normalise='imagenet'"),
    "cifar10": (normal("cifar10"), 3, "normalise="),
    "order": (None, 1, "classes=['0', '2', '3', '4', '5', '1']"),
}


@pytest.mark.parametrize("name", WAYS)
def test_the_cause_is_found_and_named(name):
    feed, channels, words = WAYS[name]
    x, y = data(240, channels=channels)
    wrong = torch.tensor([0, 5, 1, 2, 3, 4])  # output that stands for each class
    net = taught(mlp(channels), x, y, feed, 400) if feed else taught(mlp(), x, wrong[y])
    with pytest.raises(InputError) as e: Target.from_model(Sharp(net, x, y) if feed else net, (x, y))
    assert words in str(e.value) and "unchecked=True" in str(e.value) and "right on 1.00" in str(e.value)
    fixed = Target.from_model(net, (x, y), **eval(f"dict({words})")) if "normalise=" != words else None  # the argument as it is printed
    assert fixed is None or fixed.info["train_accuracy"] == 1 and not fixed.info["remarks"]


class Sharp(nn.Module):
    "The network itself; kept apart so that the table reads alike"
    def __init__(self, net, x, y):
        super().__init__()
        self.net = net

    def forward(self, x): return self.net(x)
