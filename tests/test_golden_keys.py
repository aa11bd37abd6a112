"""Names of answers and seeds of draws, pinned: a later change of the code that renames them orphans every run folder, or draws other numbers.

All versions count as 1 here, so raising one breaks nothing. A key that must change is written anew by `python tests/test_golden_keys.py`."""
import json
import sys
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path

import pytest
import torch

from drlit.attacks.base import REGISTRY, attack, attacks
from drlit.attacks.generators import GanPlan
from drlit.attacks.kedmi import train_taught
from drlit.attacks.plgmi import Augment
from drlit.bench import REFERENCE, Cell, attack_key, score_key
from drlit.core import content_hash, modules_used, seed_of
from drlit.data import ImageSet
from drlit.models import Training
from drlit.targets import Recipe, _stem, model_key

GOLDEN = Path(__file__).with_suffix(".json")
attacks()  # all of them are registered, whatever was imported before
MODULES = [n for a in REGISTRY.values() for n in modules_used(a.__module__)] + modules_used("drlit.bench", "drlit.memorization")


@contextmanager
def first_versions():
    "Every module at version 1"
    found = {n: vars(import_module(n)) for n in {*MODULES} if "VERSION" in vars(import_module(n))}
    was = {n: v["VERSION"] for n, v in found.items()}
    try:
        for v in found.values():
            v["VERSION"] = 1
        yield
    finally:
        for n, v in found.items():
            v["VERSION"] = was[n]


def cell(name, **fields):
    return Cell(name, "digits", 20, **{"seed": 3, "similar": "glyphs", **fields})


def images():
    return ImageSet(torch.arange(4 * 64).view(4, 1, 8, 8) / 255, torch.tensor([0, 1, 0, 1]), source="golden")


def named():
    "What the golden file holds"
    keys = {f"attack {n}": attack_key(cell(n, update_size=10 if n in ("deep_leakage", "updates_leak") else 0), "data", "similar")
            for n in ("mi_face", "kedmi", "plgmi", "revealer", "inv_alignment", "deep_leakage", "updates_leak", "bias_rec", "null_noise", REFERENCE)}
    mi_face = keys["attack mi_face"]
    recipe = Recipe("digits", "hash", 20)
    return {
        **keys,
        "attack wrong_key": attack_key(cell("mi_face", control="wrong_key"), "data", "similar"),
        "attack options": attack_key(cell("mi_face", options=(("steps", 5),)), "data", "similar"),
        "score mse": score_key(cell("mi_face"), mi_face, "mse", 999),
        "score fd": score_key(cell("mi_face"), mi_face, "fd", "embedded-digits-000000"),
        "score held_out": score_key(cell("mi_face", control="held_out"), mi_face, "ssim", 99),
        "model": model_key(recipe, images()),
        "recipe": content_hash(recipe), "training": content_hash(Training()), "plan": content_hash(GanPlan()), "augment": content_hash(Augment()),
        "seed of text": seed_of("split", "hash", 0), "seed of a recipe": seed_of("draw", recipe), "seed of options": seed_of("attack", asdict(attack("kedmi"))),
        "stem": stem(),
    }


def stem():
    "The name of an artefact, as `Cache.get_or_build` makes it"
    return _stem("kedmi", dict(plan=GanPlan(), width=8), 0, train_taught, REGISTRY["kedmi"])


@pytest.mark.parametrize("name", list(json.loads(GOLDEN.read_text())) if GOLDEN.exists() else ["missing"])
def test_golden(name):
    with first_versions():
        assert named()[name] == json.loads(GOLDEN.read_text())[name]


def test_all_are_pinned():
    with first_versions():
        assert {*named()} == {*json.loads(GOLDEN.read_text())}


@pytest.mark.parametrize("part", ["attacks.kedmi", "attacks.base", "attacks.generators", "models", "data", "targets", "core"])
def test_a_raised_version_renames_the_attack_and_its_artefact(monkeypatch, part):
    before = named()
    module = import_module(f"drlit.{part}")
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    after = named()
    assert before["attack kedmi"] != after["attack kedmi"] and before["stem"] != after["stem"]
    assert (before["score mse"] == after["score mse"]) == (part in ("attacks.kedmi", "attacks.generators"))  # MI-Face uses neither
    assert all(before[k] == after[k] for k in before if k.startswith("seed"))


def test_another_name_for_a_module_or_class_renames_nothing(monkeypatch):
    "As if drlit.attacks.kedmi had become drlit.attacks.moved, with its class renamed, and Recipe, Training, GanPlan another name"
    before = named()
    cls = REGISTRY["kedmi"]
    old = import_module(cls.__module__)
    spec = replace_spec(old, "drlit.attacks.moved")
    monkeypatch.setitem(sys.modules, "drlit.attacks.moved", spec)
    monkeypatch.setattr(cls, "__module__", "drlit.attacks.moved")
    monkeypatch.setattr("drlit.core._file", moved(old))
    with renamed(cls, Recipe, Training, GanPlan, Augment):
        assert named() == before


@contextmanager
def renamed(*classes):
    was = {c: (c.__name__, c.__qualname__) for c in classes}
    try:
        for c in classes:
            c.__name__ = c.__qualname__ = "Renamed"
        yield
    finally:
        for c, (name, qualname) in was.items():
            c.__name__, c.__qualname__ = name, qualname


def replace_spec(old, name):
    "The module under another name"
    from types import ModuleType
    new = ModuleType(name)
    vars(new).update({k: v for k, v in vars(old).items() if k != "__name__"}, __name__=name)
    return new


def moved(old):
    from drlit import core
    real = core._file
    return lambda module: Path(old.__file__) if module == "drlit.attacks.moved" else real(module)


def test_a_class_of_drlit_without_a_tag_is_refused():
    from dataclasses import make_dataclass

    from drlit.profiles import InputError
    bare = make_dataclass("Bare", ["x"])
    assert content_hash(bare(1)) == content_hash(make_dataclass("Bare", ["x"])(1))
    bare.__module__ = "drlit.somewhere"
    with pytest.raises(InputError, match="Bare.*__hash_name__"):
        content_hash(bare(1))
    assert content_hash(replace(Training(), lr=1)) != content_hash(Training())


if __name__ == "__main__":
    with first_versions():
        GOLDEN.write_text(json.dumps(named(), indent=1) + "\n")
