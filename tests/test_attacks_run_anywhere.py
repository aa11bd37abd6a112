"""All ten attacks on shapes of a problem that the chapters do not show: each gives as many images as it was asked for, or refuses with a remedy."""
from functools import lru_cache

import pytest
import torch
from torch import nn

from drlit.attacks.base import REGISTRY, attack, attacks, run
from drlit.data import ImageSet
from drlit.models import ARCHS, Arch, Training
from drlit.profiles import InputError
from drlit.targets import recipe_for, train_target
from drlit.taxonomy import Knowledge, NotApplicable, TrainingType

SHORT = Training(min_epochs=2, max_epochs=2)


def bare(shape, width):
    "Two convolutions without bias or BatchNorm"
    return nn.Sequential(nn.Conv2d(shape[0], width, 3, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())


CASES = {  # name -> (classes, images per class in all, shape, private images, architecture)
    "two classes": (2, 220, (1, 12, 12), 8, "cnn"),
    "a hundred classes, one image each": (100, 12, (3, 64, 64), 100, "cnn"),
    "unequal counts": (5, 90, (1, 12, 12), 13, "cnn"),
    "no BatchNorm": (3, 150, (1, 12, 12), 9, "mlp"),
    "no bias": (3, 150, (1, 12, 12), 9, "bare"),
}
OPTIONS = {"plgmi": dict(top_n=None), "deep_leakage": dict(steps=1, restarts=1)}  # beside those of `quick`, which is made for ten classes
REFUSED = {  # (case, attack) -> what the refusal says
    ("no BatchNorm", "deep_inversion"): "no BatchNorm2d layer .* take an architecture that has",
    ("no bias", "deep_inversion"): "no BatchNorm2d layer .* take an architecture that has",
    ("a hundred classes, one image each", "bias_rec"): "up to 40 images and here are 100; give most_images=100",
}


@lru_cache(None)
def pool(classes, each, shape):
    "A pattern of its own for each class, and noise"
    g = torch.Generator().manual_seed(0)
    y = torch.arange(classes).repeat(each)
    patterns = torch.rand(classes, *shape, generator=g)
    return ImageSet((.8 * patterns[y] + .2 * torch.rand(len(y), *shape, generator=g)), y)


@lru_cache(None)
def target_of(case, own):
    "A barely trained target; `own`: recipe fields without which an attack has nothing to work on"
    classes, each, shape, n, arch = CASES[case]
    fields = dict(arch=arch, width=4, training=SHORT, update_size=classes if arch == "cnn" and classes < 100 else 6) | dict(own)
    return train_target(recipe_for(pool(classes, each, shape), n, **fields), pool(classes, each, shape))


def granted(a):
    "The least that an attack needs"
    need = a.needs()
    return Knowledge("dynamic" if need.training is TrainingType.DYNAMIC else "static", need.model, "same" if str(need.data) != "none" else "none", need.grants)


@pytest.fixture(autouse=True)
def _bare(monkeypatch): monkeypatch.setitem(ARCHS, "bare", Arch(bare, 4, head_bias=False))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", attacks())
def test_every_attack_runs_or_says_what_to_do(name, case):
    a, own = attack(name, **REGISTRY[name].quick | OPTIONS.get(name, {})), REGISTRY[name].quick_target if name == "bias_rec" else {}
    if (case, name) in REFUSED: own = own | dict(training=SHORT)
    target = target_of(case, tuple(own.items()))
    if says := REFUSED.get((case, name)):
        with pytest.raises((InputError, NotApplicable), match=says): run(a, target, granted(a))
        return
    rec, truth = run(a, target, granted(a)), target.truth(granted(a).training)
    assert rec.images.shape == truth.images.shape and rec.images.isfinite().all() and 0 <= rec.images.min() and rec.images.max() <= 1
    assert rec.labels is None or rec.labels.shape == truth.labels.shape


@pytest.mark.parametrize("name", attacks())
def test_every_attack_says_in_which_space_it_starts_and_steps(name):
    "Pixels, latents or what stands at the network's input; or that it has no start"
    said = REGISTRY[name].__doc__
    assert ("starts and steps are" in said) != ("has no start" in said), said
    assert any(w in said for w in ("pixels", "latents", "network's input", "images in [0,1]"))
