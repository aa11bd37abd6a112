"""Run folders, rows and models that were written to do harm: nothing outside the folder is read, written, moved or deleted; readers change nothing inside; no traceback, no waiting."""
import json
import os
import shutil
import socket
import struct
import time

import numpy as np
import pandas as pd
import pytest
from run_folders import copied, drl, edit, finished, run_of_the_session, snapshot  # noqa: F401, the fixture

from drlit.bench import HOST, Cell, Store, claims_in, stale
from drlit.profiles import InputError
from drlit.records import STAGES, sealed, slug
from drlit.report import pack

CELL = {"attack": "null_noise", "data": "digits", "size": 20}


def first(folder, stage, kind="json"):
    return sorted((folder / stage).glob(f"*.{kind}"))[0]


def plan(change):
    "A plan that somebody wrote, with a checksum of its own"
    return lambda run, out: edit(run / "plan" / "plan.json", lambda p: change(p, out))


def job(**fields):
    return plan(lambda p, out: [j.update({k: v(out) if callable(v) else v for k, v in fields.items()}) for j in p["jobs"]])


def cell(**fields):
    return plan(lambda p, out: [j["cell"].update(fields) for j in p["jobs"]])


def score_keys(value):
    return plan(lambda p, out: [j["scores"].update(mse=value(out)) for j in p["jobs"]])


def linked(stage):
    "A folder of the run that is a link to one outside"
    def act(run, out):
        if (run / stage).exists(): shutil.rmtree(run / stage)
        (run / stage).symlink_to(out / "stage", target_is_directory=True)
    return act


def replaced(stage, kind, how):
    "Something else in place of a file"
    def act(run, out):
        path = first(run, stage, kind)
        path.unlink()
        how(path, out)
    return act


def claims_of_all_kinds(run, out):
    "Files among the claims that are none, by name or content, all of them old"
    folder = run / "claims"
    folder.mkdir(exist_ok=True)
    (folder / "letter.txt").write_text("a letter")
    (folder / "notes.0").write_text("a file whose name could be a claim's")
    (folder / "deep.0").mkdir()
    os.mkfifo(folder / "pipe.0")
    (folder / "link.0").symlink_to(out / "stage" / "old.0")
    for p in folder.iterdir():
        if not p.is_symlink(): os.utime(p, (1, 1))


def artefact(run, out):
    "A header of a thousand million bytes, one that is no JSON, a pipe, a link"
    folder = run / "artefacts"
    folder.mkdir()
    (folder / "aa-1.safetensors").write_bytes(struct.pack("<Q", 10**9) + b"{")
    (folder / "aa-2.safetensors").write_bytes(struct.pack("<Q", 2) + b"[]")
    os.mkfifo(folder / "aa-3.safetensors")
    (folder / "aa-4.safetensors").symlink_to(out / "secret.npz")


def model_of_another_shape(run, out):
    edit_plain(first(run, "targets"), lambda d: d["spec"].update(shape=[1, "x", None]))


def edit_plain(path, change):
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def stage_is_a_file(stage):
    def act(run, out):
        if (run / stage).is_dir(): shutil.rmtree(run / stage)
        (run / stage).write_text("no folder")
    return act


def half_written(run, out):
    "Old temporary files: ours, and files of others with such an ending"
    for name in (".notes.tmp", ".0123456789abcdef0123456789abcdef.tmp.txt"): (run / "scores" / name).write_text("mine")
    for p in (run / "scores").glob(".*"): os.utime(p, (1, 1))


HOSTILE = {
    "attack key leads up": job(attack="../../outside/secret"),
    "attack key is absolute": job(attack=lambda out: str(out / "secret")),
    "attack key is a claim's": job(attack="../claims/x"),
    "attack key with NUL": job(attack="ab\0cd"),
    "attack key with a newline": job(attack="ab\n"),
    "attack key is empty": job(attack=""),
    "attack key is a list": job(attack=["ab"]),
    "score key leads up": score_keys(lambda out: "../../outside/secret"),
    "score key is absolute": score_keys(lambda out: str(out / "secret")),
    "source leads up": job(source="../../outside/x"),
    "source is absolute": job(source=lambda out: str(out / "x")),
    "data names a file outside": cell(data="../../outside/secret.npz"),
    "options are no pairs": cell(options=[["steps", {"a": 1}], 5]),
    "size is huge": cell(size=10**30),
    "unknown attack": cell(attack="no_such_attack"),
    "attack of another module": cell(attack="os.system"),
    "unknown control": cell(control="<script>"),
    "unknown variant": cell(variant="none"),
    "no jobs": plan(lambda p, out: p.update(jobs=[])),
    "no data": plan(lambda p, out: p.update(data={})),
    **{f"{stage} is a link": linked(stage) for stage in STAGES},
    "a score is a link": replaced("scores", "json", lambda p, out: p.symlink_to(out / "secret.json")),
    "a score is a pipe": replaced("scores", "json", lambda p, out: os.mkfifo(p)),
    "a score is a folder": replaced("scores", "json", lambda p, out: (p / "deep").mkdir(parents=True)),
    "a receipt is a device": replaced("attacks", "json", lambda p, out: p.symlink_to("/dev/zero")),
    "images are a pipe": replaced("attacks", "npz", lambda p, out: os.mkfifo(p)),
    "images are a link": replaced("attacks", "npz", lambda p, out: p.symlink_to(out / "secret.npz")),
    "pictures are a pipe": replaced("pictures", "npz", lambda p, out: os.mkfifo(p)),
    "pictures are a pickle": replaced("pictures", "npz", lambda p, out: p.write_bytes(b"\x80\x04cposix\nsystem\n")),
    "pictures are words": replaced("pictures", "npz", lambda p, out: np.savez(p, reconstruction=np.array(["a"]))),
    "weights are a pipe": replaced("targets", "safetensors", lambda p, out: os.mkfifo(p)),
    "weights are a link": replaced("targets", "safetensors", lambda p, out: p.symlink_to(out / "secret.npz")),
    "weights begin with a huge header": replaced("targets", "safetensors", lambda p, out: p.write_bytes(struct.pack("<Q", 2**62) + b"{}")),
    "a model of another shape": model_of_another_shape,
    "artefacts": artefact,
    "claims that are none": claims_of_all_kinds,
    "half-written files of others": half_written,
    "results.csv is a link": lambda run, out: ((run / "results.csv").unlink(), (run / "results.csv").symlink_to(out / "secret.json")),
    "report.html is a link": lambda run, out: ((run / "report.html").unlink(), (run / "report.html").symlink_to(out / "secret.json")),
    **{f"{stage} is a file": stage_is_a_file(stage) for stage in ("attacks", "scores", "claims", "targets", "aside", "pictures", "data")},
}


@pytest.fixture
def outside(tmp_path):
    "What must not be touched: files that could pass for records, claims and half-written files"
    folder = tmp_path / "outside"
    (folder / "stage").mkdir(parents=True)
    for name in ("secret.json", "x.json", "stage/ab.json"): (folder / name).write_text(json.dumps({"stage": "scores", "key": "other"}))
    np.savez(folder / "secret.npz", images=np.zeros((2, 1, 8, 8)))
    (folder / "stage" / "old.0").write_text(json.dumps(dict(host=HOST, pid=2**22 - 1, since=0)))
    (folder / "stage" / f".{5:032x}.tmp").write_text("half")
    for p in (folder / "stage").iterdir(): os.utime(p, (1, 1))
    return folder


def one_line_or_fine(done, what):
    assert done.code in (0, 1, 2), what
    assert "Traceback" not in done.err, what
    if done.code == 2:
        said = [line for line in done.err.splitlines() if line.startswith("drlit: ") and "note:" not in line]
        assert len(said) == 1 and "; " in said[0], (what, done.err)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_folder_harms_nobody(name, finished, outside, tmp_path):  # noqa: F811
    run = copied(finished, tmp_path / "run")
    HOSTILE[name](run, outside)
    away, inside = snapshot(outside), snapshot(run)
    for i, args in enumerate((["report", run, "--format", "html,csv", "--out", tmp_path / "away"], ["status", run, "--once"], ["report", run, "--rows", tmp_path / "rows"], ["claims", run])):
        one_line_or_fine(drl(*args), args)
        assert snapshot(run) == inside, f"{args[0]} ({i}) changed the folder it reads"
    one_line_or_fine(done := drl("bench", "--out", run), "bench")
    assert snapshot(outside) == away
    assert {p.name for p in tmp_path.iterdir()} <= {"outside", "run", "away", "rows"}
    if done.code == 0: pd.testing.assert_frame_equal(rows(run), rows(finished))


def rows(run):
    return pd.read_csv(run / "results.csv").drop(columns="seconds", errors="ignore")


def test_linked_stages_are_refused_by_name(finished, outside, tmp_path):  # noqa: F811
    run = copied(finished, tmp_path / "run")
    HOSTILE["claims is a link"](run, outside)
    for args in (["bench", "--out", run], ["status", run, "--once"]):
        done = drl(*args)
        assert done.code == 2 and "claims is a symbolic link" in done.err


def test_sweep_removes_only_claims(tmp_path):
    store = Store(tmp_path / "run", write=True)
    (tmp_path / "outside" / "stage").mkdir(parents=True)
    claims_of_all_kinds(store.root, tmp_path / "outside")
    dead = store.root / "claims" / "abc.0"
    dead.write_text(json.dumps(dict(host="elsewhere", pid=1, since=0)))
    os.utime(dead, (1, 1))
    store.sweep()
    assert {p.name for p in (store.root / "claims").iterdir()} == {"letter.txt", "notes.0", "deep.0", "pipe.0", "link.0"}
    with store.claim(["notes", "deep", "pipe"]) as mine: assert mine


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "", "x" * 8, "AB", "ab\n", "a" * 65, None, 5, "ab/cd", "ab\0"])
def test_no_path_is_made_of_a_key_that_is_no_hash(key, tmp_path):
    with pytest.raises(InputError, match="hexadecimal"): Store(tmp_path).file("scores", key)


def test_stage_names_are_fixed(tmp_path):
    with pytest.raises(InputError, match="unknown stage"): Store(tmp_path).file("../scores", "ab")


@pytest.mark.parametrize("source", ["../../x", "/abs/x", "a/../../x", "..", "", "x\0y", "x\ny", "con/..", "." * 300, "é" * 300, "a" * 5000])
def test_names_of_exported_files_stay_in_their_folder(source, tmp_path):
    "Two data sets of one stem are told apart by their whole names, which may be anything"
    frame = pd.DataFrame({"data": [source, f"y/{source}"], "attack": "null_noise"})
    about = dict(data={}, plans=[{"data": source}])
    inside = tmp_path / "rows"
    paths, _ = pack(frame, about, [], inside, "run")
    assert len(set(paths)) == 2 and all(p.parent == inside and p.is_file() for p in paths)
    assert [p.name for p in tmp_path.iterdir()] == ["rows"]


def test_slugs_differ_where_texts_do():
    texts = ["a/b", "a_b", "a b", "../a_b", ".a_b", "é", "e", "x" * 200, "x" * 201]
    assert len({slug(t) for t in texts}) == len(texts)
    assert all(not slug(t).startswith(".") and "/" not in slug(t) for t in texts)


# ---------------------------------------------------------------- rows

def origin(change):
    return lambda rows, out: edit(rows / "run.json", lambda d: change(d, out))


def csv_text(change):
    "Other rows, with the checksum of these"
    def act(rows, out):
        from hashlib import sha256
        path = rows / "run.csv"
        path.write_bytes(change(path.read_bytes()))
        edit(rows / "run.json", lambda d: d.update(csv=sha256(path.read_bytes()).hexdigest()))
    return act


def arrays(**new):
    def act(rows, out):
        from hashlib import sha256
        path = rows / "run.npz"
        np.savez(path, **(dict.fromkeys(np.load(path), new["all"]) if "all" in new else {}))
        edit(rows / "run.json", lambda d: d.update(npz=sha256(path.read_bytes()).hexdigest()))
    return act


HOSTILE_ROWS = {
    "a value was changed": lambda rows, out: (rows / "run.csv").write_text((rows / "run.csv").read_text().replace(",ok,", ",ok ,", 1)),
    "the origin was changed": lambda rows, out: edit_plain(rows / "run.json", lambda d: d.update(device="cuda")),
    "the origin is newer": lambda rows, out: edit_plain(rows / "run.json", lambda d: d.update(schema=99)),
    "no origin": lambda rows, out: (rows / "run.json").unlink(),
    "no pictures": lambda rows, out: (rows / "run.npz").unlink(),
    "the origin is a pipe": lambda rows, out: ((rows / "run.json").unlink(), os.mkfifo(rows / "run.json")),
    "the rows are a pipe": lambda rows, out: ((rows / "run.csv").unlink(), os.mkfifo(rows / "run.csv")),
    "the rows are a folder": lambda rows, out: ((rows / "run.csv").unlink(), (rows / "run.csv").mkdir()),
    "the pictures are a pipe": lambda rows, out: ((rows / "run.npz").unlink(), os.mkfifo(rows / "run.npz")),
    "pictures are missing": arrays(),
    "pictures are words": arrays(all=np.array(["a"])),
    "pictures are of no shape": arrays(all=np.zeros((2, 2), "uint8")),
    "no plans": origin(lambda d, out: d.update(plans=[])),
    "a plan of unknown data": origin(lambda d, out: d["plans"][0].update(data="../x")),
    "a picture of unknown data": origin(lambda d, out: d["pictures"][0].update(data="../x")),
    "a hash that leads up": origin(lambda d, out: d["pictures"][0].update(reconstruction="../../x")),
    "labels are text": origin(lambda d, out: d["pictures"][0].update(labels=["a"])),
    "rows are UTF-16": csv_text(lambda b: b.decode().encode("utf-16")),
    "rows are empty": csv_text(lambda b: b""),
    "rows are binary": csv_text(lambda b: bytes(range(256)) * 50),
    "rows are cut": csv_text(lambda b: b[:-30]),
    "rows without a column": csv_text(lambda b: b.replace(b"metric", b"matrix", 1)),
    "a row with too few cells": csv_text(lambda b: b + b"null_noise,null\n"),
    "a row with too many cells": csv_text(lambda b: b + b"a," * 99 + b"\n"),
    "an open quotation": csv_text(lambda b: b + b'"a,'),
    **{f"value {v!r}": csv_text(lambda b, v=v: b.replace(b",0.0", f",{v}".encode(), 1)) for v in ("much", "1e999", "nan", "=1+1", "0x1", "1_000")},
    **{f"size {v!r}": csv_text(lambda b, v=v: b.replace(b",20,20,", f",{v},20,".encode(), 1)) for v in ("", "-20", "20.5", "many", "1e30", "nan")},
}


@pytest.fixture(scope="module")
def rows_folder(run_of_the_session, tmp_path_factory):  # noqa: F811
    to = tmp_path_factory.mktemp("rows")
    assert drl("report", run_of_the_session, "--rows", to).code == 0
    return to


@pytest.mark.parametrize("name", HOSTILE_ROWS)
def test_hostile_rows_are_one_line(name, rows_folder, outside, tmp_path):
    rows = copied(rows_folder, tmp_path / "run")
    HOSTILE_ROWS[name](rows, outside)
    before = snapshot(rows), snapshot(outside)
    for args in (["report", rows, "--format", "csv", "--out", tmp_path / "away"], ["claims", rows], ["bench", "--known", rows, "--out", tmp_path / "new", "--dry-run"]):
        done = drl(*args)
        one_line_or_fine(done, (name, args))
        if args[0] != "bench" and "of no shape" not in name: assert done.code == 2, (name, args, done.out[-300:])
        assert (snapshot(rows), snapshot(outside)) == before


def test_rows_of_older_versions_are_read(rows_folder, tmp_path):
    "Schema 1: no version and no checksums; and a column that nobody knows is kept"
    rows = copied(rows_folder, tmp_path / "run")
    edit_plain(rows / "run.json", lambda d: [d.pop(k) for k in ("schema", "check", "csv", "npz")])
    frame = pd.read_csv(rows / "run.csv", keep_default_na=False, dtype=str).assign(mood="good")
    frame.to_csv(rows / "run.csv", index=False)
    done = drl("report", rows, "--format", "csv", "--out", tmp_path / "away")
    assert done.code == 0 and "mood" in pd.read_csv(tmp_path / "away" / "results.csv")


# ---------------------------------------------------------------- claims and clocks

@pytest.mark.parametrize("name, kind", [("socket.0", "socket"), ("ab.x", "text"), ("ab.1.txt", "text")])
def test_what_is_no_claim_holds_nothing(name, kind, tmp_path):
    store = Store(tmp_path, write=True)
    (tmp_path / "claims").mkdir()
    path = tmp_path / "claims" / name
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(path))
            assert stale(path)
    else: path.write_text("mine")
    store.sweep()
    assert os.path.lexists(path) and all(p != path or kind == "socket" for p in claims_in(tmp_path))


@pytest.mark.parametrize("owner", [dict(host=HOST, pid=-1), dict(host=HOST, pid=10**30), dict(host=HOST, pid="1"), dict(host=5, pid=1), dict(pid=1), [], "x", dict(host=HOST, pid=1, since="now")])
def test_owners_of_no_sense_hold_nothing(owner, tmp_path):
    path = tmp_path / "ab.0"
    path.write_text(json.dumps(owner))
    assert stale(path)


def test_a_claim_dated_in_the_future_is_judged_by_its_heartbeat(tmp_path, monkeypatch, capsys):
    "It would not be stale for a hundred years. Time is played: the watch moves on, and the claim gives a sign of life once"
    store = Store(tmp_path, write=True)
    (tmp_path / "claims").mkdir()
    path = tmp_path / "claims" / "ab.0"
    path.write_text(json.dumps(dict(host="elsewhere", pid=1, since=time.time() + 10**9)))
    os.utime(path, (time.time() + 3e9,) * 2)
    watch = [1000.]
    monkeypatch.setattr(time, "monotonic", lambda: watch[0])
    assert not stale(path) and "dated in the future" in capsys.readouterr().err
    watch[0] += 50
    os.utime(path, (time.time() + 3e9 + 5,) * 2)
    assert not stale(path)
    watch[0] += 50
    assert not stale(path)
    watch[0] += 20
    assert stale(path)
    with store.claim(["ab"]) as mine: assert mine
    assert not list((tmp_path / "claims").iterdir())


def test_nobody_has_been_at_work_for_a_negative_time(finished, tmp_path):  # noqa: F811
    run = copied(finished, tmp_path / "run")
    for p in (run / "scores").iterdir(): p.unlink()
    key = first(run, "attacks").stem
    (run / "claims" / f"{key[:40]}.0").write_text(json.dumps(dict(host="elsewhere", pid=1, since=time.time() + 10**6)))
    done = drl("status", run, "--once")
    assert done.code == 0 and "0 s  elsewhere:1" in done.out


def test_a_sealed_foreign_record_is_not_read_under_another_name(tmp_path):
    store = Store(tmp_path, write=True)
    store.put("failures", "ab", dict(status="failed", error="x"))
    (tmp_path / "failures" / "cd.json").write_text(json.dumps(sealed({"stage": "failures", "key": "ab", "status": "failed", "error": "x"})))
    assert Store(tmp_path).get("failures", "cd") is None and (tmp_path / "failures" / "cd.json").exists()
    assert store.get("failures", "cd") is None and not (tmp_path / "failures" / "cd.json").exists()


def test_cells_keep_their_fields(finished):  # noqa: F811
    "The reader of plans knows every field of a cell; one that it did not know would lose its type"
    from drlit.records import CellRecord
    assert set(Cell.__dataclass_fields__) == set(CellRecord.model_fields)
