"""No number of old code under a new name, and none of another question: versions, plug-in attacks, artefacts, pictures, rows from elsewhere."""
import importlib
import sys
from dataclasses import asdict, replace
from functools import lru_cache

import numpy as np
import pytest
import torch

import drlit.targets
from drlit.attacks.base import REGISTRY, NullNoise, attack, attacks, run
from drlit.bench import Run, Store, Workshop, bench, collect, elsewhere, open_run, schedule
from drlit.core import code_key, read_json, versions, write_atomic, write_json
from drlit.data import load_images, split
from drlit.definitions import Reconstruction
from drlit.models import Training
from drlit.profiles import InputError, Profile
from drlit.targets import recipe_for, train_target

CACHING = ["revealer", "kedmi", "plgmi", "inv_alignment", "inv_alignment+posteriors", "updates_leak"]


def fast(*names, **more):
    return Profile("t", **{"data": "digits", "attacks": names, "sizes": (20,), "metrics": ("mse",), "permutations": 19, "training": {"min_epochs": 1, "max_epochs": 1}, **more})


@lru_cache(None)
def target(update_size):
    images = load_images("digits")
    recipe = recipe_for(images, 20, arch="cnn", width=4, update_size=update_size, training=Training(min_epochs=1, max_epochs=1))
    return train_target(recipe, images, similar=load_images("glyphs"))


class Built(Exception):
    "Raised where an attack would train its generator"


@pytest.fixture(scope="module")
def shelves(tmp_path_factory):
    "Of each caching attack, a folder with what it built"
    out = {}
    for name in CACHING:
        out[name] = tmp_path_factory.mktemp("artefacts")
        run(quick(name), target(10), quick(name).needs(), cache=out[name])
    return out


def quick(name):
    return attack(name, **REGISTRY[name].quick)


def rebuilt(name, folder, monkeypatch):
    def raises(*args):
        raise Built
    with monkeypatch.context() as m:
        m.setattr(drlit.targets, "_build_now", raises)
        try:
            run(quick(name), target(10), quick(name).needs(), cache=folder)
        except Built:
            return True
    return False


@pytest.mark.parametrize("name", CACHING)
def test_an_artefact_is_built_again_where_its_code_is_another(name, shelves, monkeypatch):
    "D1: the old generator answered under the new name for four of five"
    cls = REGISTRY[name]
    assert not rebuilt(name, shelves[name], monkeypatch)
    behind = [cls.__module__, "drlit.models", "drlit.core", *["drlit.attacks.generators"] * (name in ("revealer", "kedmi", "plgmi"))]
    for module in map(importlib.import_module, behind):
        with monkeypatch.context() as m:
            m.setattr(module, "VERSION", module.VERSION + 1)
            assert rebuilt(name, shelves[name], monkeypatch), module.__name__
    with monkeypatch.context() as m:
        m.setattr(cls, "version", cls.version + 1)
        assert rebuilt(name, shelves[name], monkeypatch)


@pytest.mark.parametrize("name", attacks())
def test_builds_is_what_the_cache_sees(name, shelves):
    "D6: the import graph said no for inv_alignment and updates_leak"
    assert (quick(name).builds() is not None) == (name in CACHING)
    assert name not in CACHING or list(shelves[name].glob("artefacts/*.safetensors"))


def test_siblings_do_not_train_the_same_shadows_twice(tmp_path, monkeypatch):
    "Both variants need the same shadow updates; while one holds its claims, the other waits. Their files travel from a mirror, too"
    monkeypatch.setattr(Workshop, "untrained", lambda self, cell: [])
    plans = [fast("updates_leak", update_size=10, options={"updates_leak": dict(variant=v)}) for v in ("multi", "labels")] + [fast("inv_alignment", similar="glyphs")]
    r = open_run(plans, tmp_path, dry=True)
    one, two, other = (next(j for j in r.jobs if j.cell.attack == n and dict(j.cell.options).get("variant") == v and j.cell.control == "none")
                       for n, v in (("updates_leak", "multi"), ("updates_leak", "labels"), ("inv_alignment", None)))
    with r.store.claim(r.exclusive(one)) as mine, r.store.claim(r.exclusive(two)) as theirs, r.store.claim(r.exclusive(other)) as apart:
        assert mine and not theirs and apart
    asked = []
    monkeypatch.setattr(type(r.store.place), "there", True, raising=False)
    monkeypatch.setattr(type(r.store.place), "look", lambda self: None)
    monkeypatch.setattr(type(r.store.place), "bring", lambda self, *names: asked.append(names))
    monkeypatch.setattr(type(r.store.place), "send", lambda self, *names, **more: None)
    for job in (one, other):
        r.fetch([job])
    assert all("artefacts/*" in names for names in asked) and len(asked) == 2


PLUGIN = """
import torch
from drlit.attacks.base import Attack, register
from drlit.definitions import Reconstruction
from drlit.taxonomy import Knowledge
from {helper} import level

@register
class Plugged(Attack):
    name, family, knowledge = "{name}", "optimisation", Knowledge("static", "black-box", "none")
    def run(self, view, n, seed): return Reconstruction(torch.full((n, *view.shape), level()), view.labels())
"""


@pytest.fixture
def plugged(tmp_path, monkeypatch):
    "(module, its helper, a function that writes the helper anew and loads both)"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "plug_helper.py").write_text("def level(): return .25\n")
    (tmp_path / "plug_attack.py").write_text(PLUGIN.format(helper="plug_helper", name="plugged"))
    helper, module = importlib.import_module("plug_helper"), importlib.import_module("plug_attack")

    def edit(text):
        (tmp_path / "plug_helper.py").write_text(text)
        importlib.reload(helper)
        return importlib.reload(module)
    yield module, edit
    REGISTRY.pop("plugged", None)
    for name in ("plug_helper", "plug_attack"):
        sys.modules.pop(name, None)


def test_an_edited_plugin_attack_is_another_attack(plugged, tmp_path):
    "Its stored reconstruction was kept; now the table holds what the edited one gives, and an edit undone finds the first again"
    module, edit = plugged
    out, p = tmp_path / "out", fast("plugged")
    first = bench(p, out).query("attack == 'plugged'")
    edit("def level(): return .75 # brighter\n")
    second, fresh = (bench(p, o).query("attack == 'plugged'") for o in (out, tmp_path / "fresh"))
    assert set(first.status) == set(second.status) == {"ok"}
    assert not np.allclose(first.value, second.value) and np.allclose(second.value, fresh.value)
    assert len(list((out / "attacks").glob("*.json"))) == 4
    edit("def level(): return .25\n")
    assert np.allclose(bench(p, out).query("attack == 'plugged'").value, first.value)
    assert len(list((out / "attacks").glob("*.json"))) == 4


def test_a_worker_refuses_code_that_is_not_the_plans(plugged, tmp_path):
    "Edited between planning and the worker's start: its answer would stand under the name of the old code"
    r = open_run(fast("plugged"), tmp_path / "out")
    how = r.opening()
    assert [name for name, _ in how.code] == ["plugged"]
    plugged[1]("def level(): return .75\n")
    with pytest.raises(InputError, match="'plugged' changed.*start the run again"):
        elsewhere((how, [], True))


def test_planning_reads_no_source_twice(tmp_path, monkeypatch):
    "D9: 1,040 cells took 16 s, half of them listing files and a quarter walking modules"
    p = fast("all", "nulls", similar="glyphs", sizes=(20, 50), seeds=tuple(range(6)))
    shop = Workshop(tmp_path)
    schedule(replace(p, seeds=(0,)), shop)
    jobs = []

    def once(*args, **more):
        raise AssertionError("looked for again")
    with monkeypatch.context() as m:
        m.setattr("drlit.attacks.base.iter_modules", once)
        m.setattr("drlit.core._file", once)
        m.setattr("drlit.core.ast.parse", once)
        jobs = schedule(p, shop)
    assert len(jobs) > 500


def test_a_raised_version_leaves_no_old_row(tmp_path, monkeypatch):
    "The record of the old code stays on disk, and out of the table"
    old = bench(fast("null_noise"), tmp_path).query("attack == 'null_noise'")
    monkeypatch.setattr(NullNoise, "run", lambda self, view, n, seed: Reconstruction(torch.zeros(n, *view.shape), view.labels()))
    base = importlib.import_module(NullNoise.__module__)
    assert np.allclose(bench(fast("null_noise"), tmp_path).query("attack == 'null_noise'").value, old.value)  # nobody said so
    monkeypatch.setattr(base, "VERSION", base.VERSION + 1)
    new = bench(fast("null_noise"), tmp_path).query("attack == 'null_noise'")
    assert set(new.status) == {"ok"} and not np.isclose(new.value, old.value).any() and len(new) == len(old)
    assert np.allclose(collect(tmp_path).query("attack == 'null_noise'").value, new.value)


NOTEBOOK = "K = 3\ndef g(x): return x + K\nclass A:\n    'doc'\n    size: int = 2\n    def f(self): return [g(i) for i in range(self.size)]\n"


@pytest.mark.parametrize("old, new, same", [
    ("", "", True), ("K = 3", "K = 4", False), ("x + K", "x - K", False), ("size: int = 2", "size: int = 3", False),
    ("'doc'", "'another'", True), ("range(self.size)", "range(self.size + 1)", False), ("def g", "\n\n# moved down\ndef g", True),
])
def test_a_class_of_a_notebook_counts_with_its_bytecode(old, new, same):
    "Without a file: its methods, the functions and values that they use; not its docstring, nor where it stands"
    keys = []
    for text in (NOTEBOOK, NOTEBOOK.replace(old, new) if old else NOTEBOOK):
        space = {"__name__": "__main__"}
        exec(compile(text, "<cell>", "exec"), space)
        keys.append(code_key(space["A"]))
    assert (keys[0] == keys[1]) == same and len(keys[0]) == 1


def test_modules_that_use_each_other_and_installed_ones(tmp_path, monkeypatch):
    "Followed by their text: our own, whatever imports what; numpy is not looked into"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "walk_a.py").write_text("import numpy, walk_b\nfrom drlit import taxonomy\nclass A: pass\n")
    (tmp_path / "walk_b.py").write_text("def late():\n    import walk_a, walk_pack.inner\n")
    (tmp_path / "walk_pack").mkdir()
    (tmp_path / "walk_pack" / "__init__.py").write_text("")
    (tmp_path / "walk_pack" / "inner.py").write_text("from . import other\n")
    (tmp_path / "walk_pack" / "other.py").write_text("")
    found = versions(importlib.import_module("walk_a").A)
    assert {k for k in found if k.startswith("walk")} == {"walk_a", "walk_b", "walk_pack", "walk_pack.inner", "walk_pack.other"} and "taxonomy" in found and "numpy" not in found
    assert versions(torch.neg) == versions(len) == {}


def test_pictures_that_cannot_be_drawn_fail_nothing(tmp_path, monkeypatch, capsys):
    "D2: the sibling and every later metric were failures"
    def broken(self, job, rec):
        raise RuntimeError("no canvas")
    with monkeypatch.context() as m:
        m.setattr(Run, "keep_pictures", broken)
        rows = bench(fast("null_noise"), tmp_path)
    assert set(rows.status) == {"ok"} and "held_out" in set(rows.control)
    assert "no pictures of null_noise" in capsys.readouterr().err
    assert [Store(tmp_path).get("failures", f.stem)["error"] for f in (tmp_path / "failures").glob("*.json")] == ["RuntimeError: no canvas"] * 2
    later = bench(fast("null_noise", metrics=("mse", "psnr")), tmp_path)
    assert set(later.status) == {"ok"} and len(later) == 2 * len(rows)


@pytest.mark.parametrize("seeds", [(0, 1), (1, 0), (1,)])
def test_every_seed_is_checked_for_overlap(tmp_path, seeds):
    "D3: images that are private under seed 1 alone were refused for --seeds 0,1 and not for 1,0"
    images = load_images("digits")
    first, second = (split(images, 20, s).pool_keys for s in (0, 1))
    at = [i for i, k in enumerate(images.keys) if k in second - first][:5]
    assert at
    np.savez(tmp_path / "near.npz", images=(images.images[at] * 255).round().byte().numpy(), labels=images.labels[at].numpy())
    plan = fast("null_auxiliary", similar=str(tmp_path / "near.npz"), sizes=(20,))
    if set(load_images(tmp_path / "near.npz").like(images.shape).keys) <= set(images.keys):
        with pytest.raises(InputError, match="private or held-out pool"):
            schedule(replace(plan, seeds=seeds), Workshop(tmp_path))
        assert schedule(replace(plan, seeds=(0,)), Workshop(tmp_path))
    else:
        pytest.fail("the set is stored with other pixels, so it overlaps nowhere")


def rows_of(p, folder):
    "Rows of a plan as though it was finished"
    folder.mkdir(exist_ok=True)
    shop = Workshop(folder)
    lines = [f"{k},ok" for j in schedule(p, shop) for k in j.scores.values()]
    write_atomic(folder / "run.csv", "\n".join(["key,status", *lines]) + "\n")
    write_json(folder / "run.json", origin_of(p, shop.sets.values()))
    return folder


def origin_of(p, sets):
    "What stands beside rows, as far as a reader asks for it"
    about = {s.source: dict(hash=s.hash, images=len(s), shape=list(s.shape), publishable=s.publishable) for s in sets}
    return dict(data=about, plans=[asdict(p)], grants=[], device="cpu", pictures=[], **dict.fromkeys(("drlit", "commit", "torch", "python"), ""))


@pytest.mark.parametrize("change", [
    dict(training={"min_epochs": 1, "max_epochs": 2}), dict(options={"mi_face": {"steps": 7}}), dict(permutations=99),
    dict(variants=("frozen_bn",)), dict(seeds=(1,)), dict(arch=("mlp",)), "version", "class version",
])
def test_known_rows_of_another_question_do_not_count(tmp_path, monkeypatch, change):
    "Training, recipe, permutations and code were never compared"
    p = fast("mi_face")
    known = rows_of(p, tmp_path / "rows")
    with pytest.raises(InputError, match="nothing to measure"):
        open_run(p, tmp_path / "out", known=known, dry=True)
    if change == "version":
        monkeypatch.setattr(importlib.import_module("drlit.attacks.mi_face"), "VERSION", 2)
    elif change == "class version":
        monkeypatch.setattr(REGISTRY["mi_face"], "version", 99)
    else:
        p = replace(p, **change)
    left = open_run(p, tmp_path / "out", known=known, dry=True).jobs
    assert {j.cell.control for j in left if j.cell.attack == "mi_face"} == {"none", "held_out", "wrong_key"}


def test_known_rows_without_names_of_answers_are_refused(tmp_path, capsys):
    "Rows of an older drlit; beside newer ones they are left out, in one line"
    p = fast("null_noise")
    known = rows_of(p, tmp_path / "rows")
    (known / "old.csv").write_text("attack,status\nnull_noise,ok\n")
    write_json(known / "old.json", read_json(known / "run.json"))
    with pytest.raises(InputError, match="nothing to measure"):
        open_run(p, tmp_path / "out", known=known, dry=True)
    assert "old.csv" in capsys.readouterr().err
    (known / "run.csv").unlink()
    with pytest.raises(InputError, match=r"old\.csv.*no column 'key'.*--known"):
        open_run(p, tmp_path / "out", known=known, dry=True)


def test_an_own_metric_and_architecture_count_with_their_code(monkeypatch):
    "Defined outside drlit: another function, another name"
    from drlit.bench import Cell, attack_key, score_key
    from drlit.metrics.sample import METRICS, Metric, pixels
    from drlit.models import ARCHS
    cell, seen = Cell("mi_face", "digits", 20), []
    for text in ("lambda cost: cost * 2", "lambda cost: cost * 3"):
        monkeypatch.setitem(METRICS, "own", Metric("own", False, pixels, value=eval(text, {"__name__": "__main__"})))
        monkeypatch.setitem(ARCHS, "own", replace(ARCHS["cnn"], body=eval(text.replace("cost:", "shape, cost:"), {"__name__": "__main__"})))
        seen.append((score_key(cell, "k", "own", 19), attack_key(replace(cell, arch="own"), "data")))
    assert all(a != b for a, b in zip(*seen))
