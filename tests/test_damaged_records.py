"""Every field of every stored record, changed in many ways: read by one function, answered in one line or computed again, and the table afterwards is the undamaged run's."""
import copy
import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from run_folders import at_most, copied, drl, edit, finished, run_of_the_session, snapshot  # noqa: F401, the fixture

from drlit import bench
from drlit.bench import Store, collect
from drlit.cli import one_line
from drlit.profiles import InputError
from drlit.records import SCHEMA, Damaged, check_seal, out_of_inodes, read_record, read_table, remedy, sealed
from drlit.targets import _trace

STORED = "plan", "data", "attacks", "scores", "failures"
EACH = 12  # of so many changes that pass as a record, one is shown by the commands
VALUES = {"null": None, "text": "many", "empty": "", "negative": -1, "nan": "NaN in the file", "huge": 10**30, "fraction": .5, "list": [], "object": {}, "true": True,
          "nested": [[[{"a": [None]}]]], "path": "../../x", "surrogate": "\udcff", "number as text": "5"}


def table(run): return pd.read_csv(run / "results.csv").drop(columns="seconds", errors="ignore")


def one(run, stage): return sorted((run / stage).glob("*.json"))[0]


@pytest.fixture(scope="module")
def whole(run_of_the_session, tmp_path_factory):  # noqa: F811
    "The run, with a failure record beside its answers"
    run = copied(run_of_the_session, tmp_path_factory.mktemp("whole") / "run")
    store = Store(run, write=True)
    store.put("failures", "ab", dict(status="failed", error="no luck", traceback="..."))
    return run


def places(value, at=()):
    "Where a value can be changed: every field of every object, and the first item of every list"
    children = value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else []
    for k, v in children:
        yield (*at, k)
        yield from places(v, (*at, k))


def changed(record, at, how):
    record = copy.deepcopy(record)
    *path, last = at
    spot = record
    for k in path: spot = spot[k]
    if how == "missing": del spot[last]
    else: spot[last] = VALUES[how]
    return record


@pytest.mark.parametrize("stage", STORED)
def test_no_changed_field_is_believed(stage, whole, tmp_path):
    "Without a new checksum, as a disk or an editor leaves it: thousands of changes, none believed"
    path = one(whole, stage)
    record, copy_of, n = json.loads(path.read_text()), tmp_path / path.name, 0
    for at in places(record):
        for how in ("missing", *VALUES):
            new = changed(record, at, how)
            if json.dumps(new) == json.dumps(record) or (at, how) == (("schema",), "huge"): continue  # no change; a newer version, below
            copy_of.write_text(json.dumps(new).replace('"NaN in the file"', "NaN"))
            with pytest.raises(Damaged) as e: read_record(copy_of, stage, path.stem)
            assert "\n" not in str(e.value) and str(copy_of) in str(e.value), (at, how)
            n += 1
    assert n > 50


@pytest.mark.parametrize("stage", STORED)
def test_no_changed_field_makes_a_reader_fall(stage, whole, tmp_path, monkeypatch):
    "With a new checksum, as somebody writes it: what passes as a record can be read and shown"
    run = copied(whole, tmp_path / "run")
    path = one(run, stage)
    record, passed = json.loads(path.read_text()), 0
    for at in places(record):
        for how in ("missing", *VALUES):
            new = changed(record, at, how)
            path.write_text(json.dumps(sealed(new)).replace('"NaN in the file"', "NaN"))
            try: read_record(path, stage, path.stem)
            except InputError as e: assert "\n" not in str(e), (at, how)
            else:
                passed += 1
                if passed % EACH: continue  # the commands take longer
                for args in (["report", run, "--format", "csv", "--out", tmp_path / "away"], ["status", run, "--once"]):
                    done = drl(*args)
                    assert "Traceback" not in done.err and done.code in (0, 1, 2), (at, how, done.err)
    assert passed > 3


def spoil(path, how):
    "Something else in place of a file; `foreign` is another record, whole"
    text = path.read_bytes() if path.is_file() else b""
    if path.is_dir(): shutil.rmtree(path)
    else: path.unlink(missing_ok=True)
    if how == "folder": (path / "deep").mkdir(parents=True)
    elif how == "pipe": os.mkfifo(path)
    elif how == "link": path.symlink_to("/dev/zero")
    elif how == "dangling link": path.symlink_to("nowhere")
    elif how != "gone":
        path.write_bytes({"empty": b"", "cut": text[:len(text) // 2], "binary": bytes(range(256)) * 9, "UTF-16": text.decode("latin-1").encode("utf-16"), "deep": b"[" * 10**6,
                          "deep object": b'{"a":' * 10**6, "list": b"[1, 2]", "number": b"7", "long number": b'{"a": ' + b"9" * 10**5 + b"}", "NaN": b'{"a": NaN}',
                          "twice": text * 2, "foreign": text.replace(b"digits", b"digitz"), "text": b"no such thing"}[how])


OFTEN = ["gone", "cut", "deep", "foreign", "folder", "pipe", "dangling link"]  # each costs a run
HOW = ["gone", "empty", "cut", "binary", "UTF-16", "deep", "deep object", "list", "number", "long number", "NaN", "twice", "foreign", "text", "folder", "pipe", "link", "dangling link"]


@pytest.mark.parametrize("how", OFTEN)
def test_damaged_parts_are_computed_again(how, finished, tmp_path):  # noqa: F811
    "One file of every kind at once. Readers say so and change nothing; the benchmark moves them away; its table is the undamaged run's"
    run = copied(finished, tmp_path / "run")
    kinds = [("data", "json"), ("attacks", "json"), ("scores", "json"), ("pictures", "npz"), ("targets", "safetensors")]
    for stage, kind in kinds: spoil(sorted((run / stage).glob(f"*.{kind}"))[0], how)
    if how != "foreign": spoil(sorted((run / "attacks").glob("*.npz"))[-1], how)
    spoil(run / "results.csv", how if how not in ("folder",) else "gone")
    before = snapshot(run)
    for args in (["status", run, "--once"], ["report", run, "--format", "csv", "--out", tmp_path / "away"]):
        done = drl(*args)
        assert done.code in (0, 1) and "Traceback" not in done.err
        assert "counted as missing" in done.err or how in ("gone",)
    assert snapshot(run) == before
    assert "missing" in set(pd.read_csv(tmp_path / "away" / "results.csv").status)
    done = drl("bench", "--out", run)
    assert done.code == 0 and "Traceback" not in done.err
    pd.testing.assert_frame_equal(table(run), table(finished))
    assert "counted as missing" not in drl("status", run, "--once").err


@pytest.mark.parametrize("how", HOW)
def test_a_damaged_plan_is_one_line_and_is_written_again(how, finished, tmp_path):  # noqa: F811
    run = copied(finished, tmp_path / "run")
    spoil(run / "plan" / "plan.json", how)
    before = snapshot(run)
    for args in (["status", run, "--once"], ["report", run, "--out", tmp_path / "away"], ["claims", run], ["report", run, "--rows", tmp_path / "rows"]):
        done = drl(*args)
        assert done.code == 2 and len(done.err.splitlines()) == 1 and "plan" in done.err and "; " in done.err, (args, done.err)
    assert snapshot(run) == before
    if how not in OFTEN: return
    assert drl("bench", "--out", run).code == 0
    pd.testing.assert_frame_equal(table(run), table(finished))


def test_a_changed_value_of_a_score_is_not_believed(finished, tmp_path):  # noqa: F811
    "The number in results.csv was the edited one"
    run = copied(finished, tmp_path / "run")
    path = one(run, "scores")
    record = json.loads(path.read_text())
    record["row"]["value"] = .123456
    path.write_text(json.dumps(record))
    assert .123456 not in set(collect(run).value)
    assert drl("bench", "--out", run).code == 0
    pd.testing.assert_frame_equal(table(run), table(finished))
    assert [p.name for p in (run / "aside").iterdir()] == [f"scores-{path.name}"]


@pytest.mark.parametrize("stage", ["plan", "scores", "attacks", "data"])
def test_a_newer_version_is_refused_and_left_alone(stage, finished, tmp_path):  # noqa: F811
    run = copied(finished, tmp_path / "run")
    path = one(run, stage)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": SCHEMA + 1}))
    before = path.read_bytes()
    for args in (["status", run, "--once"], ["report", run, "--out", tmp_path / "away"], ["bench", "--out", run]):
        done = drl(*args)
        if args[0] == "report" and stage in ("data", "attacks") or args[0] == "status" and stage == "data": continue  # nothing that these read
        assert done.code == 2 and "newer drlit" in done.err and "update" in done.err and path.name in done.err, args
        assert path.read_bytes() == before


def test_an_older_run_is_named_and_computed_anew(finished, tmp_path):  # noqa: F811
    "Schema 1 had no checksums, so nothing tells whether its numbers are those that were measured"
    run = copied(finished, tmp_path / "run")
    for path in [p for stage in STORED for p in (run / stage).glob("*.json")]:
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k not in ("schema", "check")}))
    done = drl("report", run, "--out", tmp_path / "away")
    assert done.code == 2 and "older drlit" in done.err and "drlit bench" in done.err
    assert drl("bench", "--out", run).code == 0
    pd.testing.assert_frame_equal(table(run), table(finished))


def test_unknown_fields_are_kept(finished, tmp_path):  # noqa: F811
    run = copied(finished, tmp_path / "run")
    edit(one(run, "plan"), lambda p: (p.update(mood="good"), [j.update(mood="good") for j in p["jobs"]], [j["cell"].update(mood="good") for j in p["jobs"]]))
    edit(one(run, "scores"), lambda r: r["row"].update(mood="good"))
    assert bench.plan_in(run)["mood"] == "good"
    assert drl("report", run, "--format", "csv", "--out", tmp_path / "away").code == 0


# ---------------------------------------------------------------- checksums of artefacts

def test_an_artefact_that_was_changed_is_built_again(tmp_path, capsys):
    "A bit of its tensors, or a number of its trace: both were believed"
    from drlit.data import load_images
    from drlit.models import Training
    from drlit.targets import recipe_for, train_target
    from drlit.taxonomy import Knowledge
    digits = load_images("digits")
    target = train_target(recipe_for(digits, 20, training=Training(min_epochs=1, max_epochs=1)), digits)
    built = []

    def build(view):
        built.append(view.shape)
        return {"w": torch.ones(4)}

    def get(): return target.view(Knowledge("static", "white-box", "none"), 0, tmp_path).cache.get_or_build("w", build)
    for _ in range(2): assert torch.equal(get()["w"], torch.ones(4))
    assert len(built) == 1
    [path] = (tmp_path / "artefacts").glob("*.safetensors")
    good = path.read_bytes()
    for bad in (good[:-1] + b"\0", good.replace(b'forward_passes\\": 0', b'forward_passes\\": 7'), good[:-4], b"", good[:8] + b"[" * (len(good) - 8)):
        assert bad != good
        path.write_bytes(bad)
        assert torch.equal(get()["w"], torch.ones(4)) and path.read_bytes() == good
    assert len(built) == 6 and len(list((tmp_path / "artefacts").glob("*.bad*"))) == 5
    path.unlink()
    os.mkfifo(path)
    with at_most(20): assert _trace(path, "x") is None


# ---------------------------------------------------------------- what a machine refuses

REFUSED = {errno.EMFILE: "ulimit", errno.ENFILE: "too many files", errno.ENAMETOOLONG: "shorter", errno.EROFS: "can be written", errno.ENOSPC: "free some space"}


@pytest.mark.parametrize("code, words", REFUSED.items())
def test_each_refusal_has_its_own_remedy(code, words):
    said = one_line(OSError(code, os.strerror(code), "here"))
    assert words in said and "\n" not in said and said.startswith("here: ")


def test_no_inodes_is_told_from_no_space(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "statvfs", lambda p: os.statvfs_result((4096, 4096, 100, 50, 50, 1000, 0, 0, 0, 255)))
    assert out_of_inodes(tmp_path / "x") and "inodes" in remedy(OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x")))


def test_too_many_open_files_damage_nothing(finished, tmp_path, monkeypatch):  # noqa: F811
    "An error of the machine is no reason to move a good record away, nor to file a failure"
    run = copied(finished, tmp_path / "run")
    before = snapshot(run)

    def refuse(path, *args, **more): raise OSError(errno.EMFILE, "Too many open files", str(path))
    with monkeypatch.context() as m:
        m.setattr(os, "open", refuse)
        done = drl("report", run, "--out", tmp_path / "away")
    assert done.code == 2 and "ulimit" in done.err and snapshot(run) == before
    assert bench.of_the_disk(OSError(errno.EMFILE, "")) and bench.of_the_disk(OSError(errno.ENAMETOOLONG, ""))


def test_a_folder_name_that_is_too_long(tmp_path):
    for args in (["bench", "--out", tmp_path / ("x" * 300)], ["status", tmp_path / ("x" * 300), "--once"], ["report", tmp_path / ("x" * 300)], ["claims", tmp_path / ("x" * 300)]):
        done = drl(*args)
        assert done.code == 2 and len(done.err.strip().splitlines()) == 1 and "Traceback" not in done.err, (args, done.err)


# ---------------------------------------------------------------- tables

def test_tables_name_the_line_and_the_value(tmp_path):
    path = tmp_path / "t.csv"
    for text, words in (("a,value\nx,1\nx,much\n", "line 3: value is 'much'"), ("a,size\nx,1.5\n", "line 2: size is '1.5'"), ("b\n1\n", "no column 'a'"), ("", "no column 'a'"),
                        ("a,value\nx\n", "no table of rows .line 2 has 1 cells, the first has 2"), ("a,value\nx,inf\n", "line 2: value is 'inf'"), ("a,schema\nx,99\n", "newer drlit")):
        path.write_text(text)
        with pytest.raises(InputError, match=words) as e: read_table(path, ["a"])
        assert str(path) in str(e.value) and "; " in str(e.value)


def test_a_seal_holds_for_every_value():
    for value in (1, -0., 1e300, "é", "\udcff", [1, {"a": None}], True, 2**60):
        record = json.loads(json.dumps(sealed({"x": value})))
        check_seal(Path("x"), record)
        with pytest.raises(Damaged): check_seal(Path("x"), {**record, "x": [value]})
    assert np.isfinite(SCHEMA)
