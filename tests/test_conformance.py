"""Every registered attack, nulls included, keeps the contract: a new attack is covered by being registered."""
import json
import random
from functools import lru_cache

import numpy as np
import pytest
import torch

from drlit.attacks.base import FAMILIES, REGISTRY, attack, attacks, run, table1
from drlit.data import load_images
from drlit.models import Training
from drlit.targets import FIELDS, fingerprint, recipe_for, train_target
from drlit.taxonomy import DatasetAccess, Knowledge, ModelAccess, TrainingType, table1_grid

# Table 1 of the SoK: rows (training, model), columns (none, similar, same)
PAPER = {
    ("static", "black-box"): ([], ["inv_alignment"], ["inv_alignment"]),
    ("static", "white-box"): (["mi_face", "deep_dream", "deep_inversion", "bias_rec"], ["revealer", "kedmi", "plgmi"], ["revealer", "kedmi", "plgmi"]),
    ("dynamic", "black-box"): ([], [], ["updates_leak"]),
    ("dynamic", "white-box"): (["deep_leakage"], [], []),
}
NOTHING_LESS = {"null_noise"}  # needs no knowledge at all
PAPER_FAMILIES = {"inv_alignment": "training", "updates_leak": "training", "bias_rec": "analysis"}  # the others are optimisation-based
LEARNT = {"revealer", "kedmi", "plgmi", "inv_alignment", "updates_leak"}  # these train something and keep it
TEN = {a for columns in PAPER.values() for c in columns for a in c}  # an attack that is lost, or one more, changes this
NULLS = {"null_noise", "null_auxiliary", "null_auxiliary_class", "null_class_mean"}
GENERATORS = {"revealer_generator", "kedmi_generator", "plgmi_generator"}  # each trained generator without its search


@lru_cache(None)
def _target(fields):
    images = load_images("digits")
    small = dict(arch="cnn", width=4, update_size=10, training=Training(min_epochs=3, max_epochs=3))
    return train_target(recipe_for(images, 20, **small | dict(fields)), images, similar=load_images("glyphs"))


def tiny_target(name):
    "Twenty digits and a small network, or whatever the attack can work on"
    return _target(tuple(sorted(REGISTRY[name].quick_target.items())))


def quick(name):
    return attack(name, **REGISTRY[name].quick)


def settings(needs):
    "The least knowledge of an attack, once for each training type it stands for"
    trainings = ("static", "dynamic") if needs.training is TrainingType.ANY else (needs.training,)
    return [Knowledge(t, needs.model, needs.data, needs.grants) for t in trainings]


CASES = [pytest.param(n, k, id=f"{n}-{k.training}") for n in attacks(nulls=True) for k in settings(quick(n).needs())]


def used(reads, granted):
    "The least knowledge that explains these reads, training type aside unless it shows"
    total = Knowledge("any", "none", "none")
    for field in reads:
        price = FIELDS[field]
        if field == "auxiliary" and "aux_labels" in granted.grants:
            price = Knowledge("any", "none", "same", ["aux_labels"])
        elif field.startswith("auxiliary"):
            price = Knowledge(price.training, price.model, granted.data)
        elif field == "labels" and "label_counts" in granted.grants:
            price = Knowledge("any", "none", "none", ["label_counts"])
        total = total | price
    return total


@pytest.mark.parametrize("name, granted", CASES)
def test_result_is_a_reconstruction(name, granted):
    target = tiny_target(name)
    rec, truth = run(quick(name), target, granted), target.truth(granted.training)
    assert rec.images.shape == truth.images.shape and rec.images.dtype == torch.float32
    assert rec.images.isfinite().all() and 0 <= rec.images.min() and rec.images.max() <= 1
    if rec.labels is not None:
        assert rec.labels.dtype == torch.int64 and rec.labels.shape == (len(truth),)
        assert 0 <= rec.labels.min() and rec.labels.max() < len(truth.names)
    assert json.loads(json.dumps(rec.log, allow_nan=False)) and rec.log["labels"] in ("requested", "recovered", "none")
    assert (rec.labels is None) == (rec.log["labels"] == "none")


@pytest.mark.parametrize("name, granted", CASES)
def test_same_seed_same_bits(name, granted, tmp_path):
    "Whatever the state of the global generators, and whether artefacts are built or found in the cache"
    results = []
    for i, cache in enumerate((None, tmp_path, tmp_path)):
        torch.manual_seed(i), np.random.seed(i), random.seed(i)
        results.append(run(quick(name), tiny_target(name), granted, seed=3, cache=cache))
    logs = [{k: v for k, v in r.log.items() if "seconds" not in k} for r in results]
    for r, log in zip(results[1:], logs[1:]):
        assert torch.equal(r.images, results[0].images) and log == logs[0]
        assert r.labels is None and results[0].labels is None or torch.equal(r.labels, results[0].labels)


@pytest.mark.parametrize("name, granted", [c for c in CASES if c.values[0] in LEARNT])
def test_spoilt_artefacts_are_set_aside(name, granted, tmp_path):
    "What an attack has learnt and kept, truncated, or of another seed under this one's name: learnt again, same images"
    target, folder = tiny_target(name), tmp_path / "artefacts"
    first = run(quick(name), target, granted, cache=tmp_path)
    files = sorted(folder.glob("*.safetensors"))
    run(quick(name), target, granted, seed=1, cache=tmp_path)
    other = next(f for f in sorted(folder.glob("*.safetensors")) if f not in files)
    for spoilt in (files[0].read_bytes()[:500], other.read_bytes()):
        for f in files: f.write_bytes(spoilt)
        assert torch.equal(run(quick(name), target, granted, cache=tmp_path).images, first.images)
        assert spoilt in [f.read_bytes() for f in folder.glob("*.bad*")]


@pytest.mark.parametrize("name, granted", CASES)
def test_reads_are_what_it_declares(name, granted):
    a = quick(name)
    seen = used(run(a, tiny_target(name), granted).log["reads"], granted)
    assert (seen.model, seen.data, seen.grants) == (a.needs().model, a.needs().data, a.needs().grants)
    assert (seen.training is TrainingType.DYNAMIC) == (a.needs().training is TrainingType.DYNAMIC)


@pytest.mark.parametrize("name, granted", CASES)
def test_less_knowledge_is_refused(name, granted):
    needs = quick(name).needs()
    below = [Knowledge(granted.training, m, granted.data, granted.grants - {"aux_labels"}) for m in ModelAccess if m < needs.model]
    below += [Knowledge(granted.training, granted.model, d, granted.grants - {"aux_labels"}) for d in DatasetAccess if d < needs.data]
    below += [Knowledge(granted.training, granted.model, granted.data, granted.grants - {g}) for g in needs.grants]
    if needs.training is not TrainingType.ANY:
        other = "static" if needs.training is TrainingType.DYNAMIC else "dynamic"
        below.append(Knowledge(other, granted.model, granted.data, granted.grants))
    assert below or name in NOTHING_LESS, "nothing to refuse"
    for less in below:
        with pytest.raises(PermissionError, match=f"{name.replace('+', '.')} needs"):
            run(quick(name), tiny_target(name), less)


@pytest.mark.parametrize("name, granted", CASES)
def test_more_data_is_no_obstacle(name, granted):
    "What needs less runs wherever more is known"
    more = Knowledge(granted.training, "white-box", "same", granted.grants | {"label_counts", "recipe"})
    target = tiny_target(name)
    assert len(run(quick(name), target, more)) == len(target.truth(granted.training))


@pytest.mark.parametrize("name, granted", CASES)
def test_target_is_untouched(name, granted):
    target = tiny_target(name)
    before = fingerprint(target.model), [(p.requires_grad, p.grad is None) for p in target.model.parameters()], target.truth(granted.training).hash
    run(quick(name), target, granted)
    assert before == (fingerprint(target.model), [(p.requires_grad, p.grad is None) for p in target.model.parameters()], target.truth(granted.training).hash)
    assert not any(m.training for m in target.model.modules()) and not any(m._forward_pre_hooks for m in target.model.modules())


def test_table_1_is_the_papers():
    rows = [r for r in table1() if "+" not in r["name"]]
    assert {r["name"] for r in rows} == TEN
    grid = table1_grid(rows)
    assert list(grid) == list(PAPER)
    for row, columns in PAPER.items(): assert [sorted(c) for c in grid[row].values()] == [sorted(c) for c in columns], row
    for r in rows:
        assert r["family"] == PAPER_FAMILIES.get(r["name"], "optimisation"), r


def test_declarations():
    assert len(TEN) == 10 and set(attacks()) - {n for n in attacks() if "+" in n} == TEN and {n.split("+")[0] for n in attacks()} == TEN
    assert {r["name"] for r in table1(nulls=True)} - {r["name"] for r in table1()} == NULLS | GENERATORS
    for name in attacks(nulls=True):
        cls = REGISTRY[name]
        assert cls.family in FAMILIES and isinstance(cls.version, int) and cls.version >= 1 and cls.__doc__
        assert (cls.family == "null") == (cls.knowledge.training is TrainingType.ANY) == (name in NULLS)
        assert (cls.family == "baseline") == (name in GENERATORS)
        assert attack(name).needs() == cls.knowledge


def test_reads_tell_what_was_used():
    granted = Knowledge("dynamic", "white-box", "same", ["label_counts", "recipe"])
    assert used(["n", "shape"], granted) == Knowledge("any", "none", "none")
    assert used(["query", "auxiliary_images"], granted) == Knowledge("any", "black-box", "same")
    assert used(["labels", "gradient"], granted) == Knowledge("dynamic", "white-box", "none", ["label_counts"])
    assert used(["auxiliary"], Knowledge("static", "black-box", "same", ["aux_labels"])) == Knowledge("any", "none", "same", ["aux_labels"])
