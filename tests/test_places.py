"""Where files may be put: a place whose files would be taken for something else is refused in one line, and nothing changes; and which rows an older code computed is said."""
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from run_folders import copied, drl, finished, run_of_the_session, snapshot  # noqa: F401, the fixture

from drlit.attacks.base import attack
from drlit.bench import collect
from drlit.judge import Embedded
from drlit.profiles import InputError
from drlit.records import SCHEMA, read_table, table_text


@pytest.fixture
def place(finished, tmp_path, monkeypatch):  # noqa: F811
    "A folder with a run, rows of it, pictures of two classes, and a file"
    monkeypatch.chdir(tmp_path)
    copied(finished, tmp_path / "run")
    assert drl("report", "run", "--rows", "rows").code == 0
    for c in "ab":
        (tmp_path / "data" / c).mkdir(parents=True)
        for i in range(40): Image.fromarray(np.random.default_rng([ord(c), i]).integers(0, 256, (16, 16), dtype="uint8")).save(tmp_path / "data" / c / f"{i}.png")
    (tmp_path / "file").write_text("words")
    return tmp_path


OWN = ["bench", "--data", "data", "--attacks", "null_noise", "--metrics", "mse"]
REPORT, ROWS, JUDGE = ["report", "run", "--out"], ["report", "run", "--rows"], ["judge", "run", "--attack", "null_noise", "--out"]
MIXED = [  # command, place
    *[([*OWN, "--out"], out) for out in ("data", "data/a", "data/new/run", ".", "./data/../data")],  # `.`: a run keeps records in a folder called data
    (["bench", "--similar", "data", "--attacks", "null_noise", "--out"], "data"), *[(c, out) for c in (REPORT, ROWS, JUDGE, ["bench", "--out"]) for out in ("run/plan", "run/scores/new")],
    (ROWS, "run"), (JUDGE, "run"), (["report", "rows", "--out"], "rows"), (["report", "rows/run.csv", "--out"], "rows"),
    *[(c, out) for c in (REPORT, ROWS, ["bench", "--out"]) for out in ("file/x",)],
    *[(c, out) for c in (REPORT, ROWS, JUDGE, ["bench", "--out"]) for out in ("file", "run/results.csv", "", "a\0b", "n" * 5000)],
]


@pytest.mark.parametrize("command, out", MIXED, ids=[f"{c[0]} {c[1]} {c[-1]} {o[:14]!a}" for c, o in MIXED])
def test_places_that_are_refused(command, out, place):
    before = snapshot(place)
    done = drl(*command, out)
    assert done.code == 2 and not done.out and re.fullmatch(r"drlit: [^\n]*\n", done.err), done.err
    assert repr(out)[1:-1][:14] in done.err and snapshot(place) == before


FINE = [([*REPORT[:2], "--out"], "run"), (REPORT, "run/page"), (ROWS, "run/rows"), (["report", "rows", "--out"], "rows/page"), (["report", "rows/run.csv", "--out"], "page")]


@pytest.mark.parametrize("command, out", FINE, ids=[f"{c[0]} {c[1]} {c[-1]} {o}" for c, o in FINE])
def test_places_that_are_fine(command, out, place): assert drl(*command, out).code == 0


# ---------------------------------------------------------------- rows of older code

READERS = {"report": ["report", "run"], "status": ["status", "run", "--once"], "claims": ["claims", "run"], "report of rows": ["report", "rows", "--out", "page"], "claims of rows": ["claims", "rows"]}


@pytest.mark.parametrize("name", READERS)
def test_rows_of_older_code_are_said(name, place, monkeypatch):
    "How many, of which attack, by what; and the command that computes them anew. Rows of the code in use say nothing"
    assert "other code" not in drl(*READERS[name]).err
    monkeypatch.setattr(type(attack("null_noise")), "version", 99)
    n = int((collect("run").attack == "null_noise").sum())
    [line] = [line for line in drl(*READERS[name]).err.splitlines() if "other code" in line]
    assert f"{n} rows were computed by other code than the one in use ({n} of null_noise), by drlit 0" in line
    assert "computed anew by: drlit bench --profile quick --data digits --attacks null_noise,null_auxiliary --sizes 20" in line


def test_tallies_are_no_old_rows(place):
    "They have no names of answers"
    assert drl("bench", "--sizes", "20,30", "--attacks", "null_noise", "--out", "two").code == 0
    assert drl("judge", "two", "--attack", "null_noise").code == 0
    assert "other code" not in drl("claims", "two").err


def test_rows_that_cannot_be_told_say_so(place, monkeypatch):
    "An attack that is not there any more"
    from drlit.attacks.base import REGISTRY
    monkeypatch.delitem(REGISTRY, "null_auxiliary")
    done = drl("report", "rows", "--out", "page")
    assert done.code == 0 and "cannot be told" in done.err and "null_auxiliary" in done.err


# ---------------------------------------------------------------- tables say their schema

def test_tables_say_their_schema(place):
    "Each that is read back; an older one without the column is read, an unknown column kept"
    assert drl("report", "rows", "--out", "page").code == 0
    for path in ("run/results.csv", "rows/run.csv", "page/results.csv"):
        if path.startswith("run/"): assert drl("report", "run").code == 0
        assert set(pd.read_csv(path).schema) == {SCHEMA}
        assert "schema" not in read_table(path, ["attack"])
    old = pd.read_csv("run/results.csv", dtype=str, keep_default_na=False).drop(columns="schema").assign(colour="red")
    old.to_csv("old.csv", index=False)
    assert set(read_table("old.csv", ["attack"]).colour) == {"red"} and drl("report", "old.csv", "--out", "page").code == 0


@pytest.mark.parametrize("schema, says", [(SCHEMA + 1, "newer drlit"), ("x", "expected a whole number"), (-1, "expected a whole number"), ("", "expected a whole number")])
def test_tables_of_another_schema_are_refused(schema, says, place):
    frame = pd.read_csv("run/results.csv").assign(schema=schema)
    frame.to_csv("other.csv", index=False)
    done = drl("report", "other.csv", "--out", "page")
    assert done.code == 2 and says in done.err and "other.csv" in done.err and len(done.err.splitlines()) == 1


def test_a_table_and_its_text(tmp_path):
    frame = pd.DataFrame(dict(attack=["=1+1", "b"], value=[.5, 1.]))
    (tmp_path / "t.csv").write_text(table_text(frame))
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.csv", ["attack"]), frame, check_dtype=False)


# ---------------------------------------------------------------- the judge's journal and table

def test_a_journal_of_a_metric_knows_its_code(monkeypatch):
    "A raised version of the metric's code asks again; as long as all are 1 the names stay"
    import drlit.metrics.sample as sample
    before = Embedded("ssim").asked
    monkeypatch.setattr(sample, "VERSION", sample.VERSION + 1)
    assert Embedded("ssim").asked != before
    with pytest.raises(InputError, match="'sim'; did you mean 'ssim'"): Embedded("sim").asked  # noqa: B018


def test_tallies_hold_no_formula(place, monkeypatch):
    assert drl("bench", "--sizes", "20,30", "--attacks", "null_noise", "--out", "two").code == 0
    monkeypatch.setattr(Embedded, "name", "=cmd()\x1b[31m")
    done = drl("judge", "two", "--attack", "null_noise")
    assert done.code == 0 and "\x1b" not in done.out and "=cmd()\\x1b[31m" in done.out
    text = (place / "two" / "judge" / "tallies.csv").read_text()
    assert "'=cmd()" in text and ",=cmd()" not in text
    assert drl("judge", "two", "--attack", "null_noise").code == 0 and len(text.splitlines()) == len((place / "two" / "judge" / "tallies.csv").read_text().splitlines())
