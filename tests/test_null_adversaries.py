"""The test of the test: adversaries that know nothing about the private images, through the attack contract, over 200 draws."""
import pytest
import torch
from scipy.stats import kstest

from drlit.attacks.base import attack, attacks, run
from drlit.core import seed_of
from drlit.data import load_images, split
from drlit.metrics.leakage import heldout_gap
from drlit.metrics.sample import blocks
from drlit.models import Training, build, fit
from drlit.targets import Target
from drlit.taxonomy import Knowledge

SEEDS, SIZE = 200, 100
GRANTED = Knowledge("static", "black-box", "same")  # auxiliary images of the private images' own distribution: the hardest case
NULLS = [n for n in attacks(nulls=True) if attack(n).family == "null"]


class Ordered(torch.nn.Module):
    "A classifier of the original digits, its outputs in the order of a split's classes"
    def __init__(self, model, classes):
        super().__init__()
        self.model, self.classes = model, classes

    def forward(self, x): return self.model(x)[:, self.classes]


@pytest.fixture(scope="module")
def targets():
    "One fixed classifier, trained on the evaluation images, in front of 200 draws of private and held-out images"
    digits = load_images("digits")
    seen = split(digits, SIZE, 0).evaluation
    model = build("mlp", seen.shape, 10, width=64)
    fit(model, seen.images, seen.labels, Training(min_epochs=5, max_epochs=10), seed_of("null adversaries"))
    draws = [split(digits, SIZE, s) for s in range(SEEDS)]
    return [Target.from_model(Ordered(model, s.classes).eval(), s.private, heldout=s.heldout, auxiliary=s.auxiliary) for s in draws]


def p_value(name, target, seed):
    rec = run(name, target, GRANTED, seed)
    sides = [[d for *_, d in blocks(rec.images, t.images, "mse", rec.labels, t.labels)] for t in (target.truth(), target.unseen())]
    return heldout_gap(*sides, seed=seed).p


def test_there_are_null_adversaries():
    assert {"null_noise", "null_auxiliary", "null_auxiliary_class", "null_class_mean"} <= set(NULLS)


@pytest.mark.parametrize("name", NULLS)
def test_p_values_are_uniform(name, targets):
    p = [p_value(name, t, seed) for seed, t in enumerate(targets)]
    assert kstest(p, "uniform").pvalue > .005, f"{name}: {sum(k <= .05 for k in p) / len(p):.1%} of the p-values are at most 0.05"
