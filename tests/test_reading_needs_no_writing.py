"""`report`, `status` and `claims` on a folder that cannot be written. Permissions do not bind root, so writing is stopped where Python asks the system for it, and by another user."""
import builtins
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from run_folders import copied, drl, finished, run_of_the_session, snapshot  # noqa: F401, the fixture

import drlit
from drlit.bench import Store, collect, reopen, survey
from drlit.profiles import InputError

WRITERS = "replace rename mkdir rmdir unlink remove utime link symlink chmod truncate mkfifo".split()


@pytest.fixture
def read_only(monkeypatch):
    "A function that makes a folder read-only: any change below it fails as on a file system mounted so"
    def freeze(root):
        root = os.path.realpath(root)

        def below(x): return isinstance(x, str | bytes | os.PathLike) and os.path.realpath(os.fsdecode(x)).startswith(root)

        def guarded(name, f):
            def call(*args, **more):
                if any(map(below, args[:2])): raise OSError(errno.EROFS, "Read-only file system", str(args[0]))
                return f(*args, **more)
            return call

        def opening(f, writes):
            def call(path, *args, **more):
                if below(path) and writes(*args, **more): raise OSError(errno.EROFS, "Read-only file system", str(path))
                return f(path, *args, **more)
            return call
        for name in WRITERS: monkeypatch.setattr(os, name, guarded(name, getattr(os, name)))
        monkeypatch.setattr(os, "open", opening(os.open, lambda flags, *rest, **more: flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)))
        text = opening(builtins.open, lambda mode="r", *rest, **more: set(mode) & set("wax+"))
        monkeypatch.setattr(builtins, "open", text)
        monkeypatch.setattr("io.open", text)
    return freeze


@pytest.fixture
def away(tmp_path):
    (tmp_path / "away").mkdir()
    return tmp_path / "away"


READERS = {
    "report": lambda run, away: ["report", run, "--out", away],
    "report --rows": lambda run, away: ["report", run, "--rows", away],
    "status": lambda run, away: ["status", run, "--once"],
    "claims": lambda run, away: ["claims", run],
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("damage", ["whole", "damaged", "claimed"])
def test_readers_work_where_nothing_can_be_written(name, damage, finished, away, tmp_path, read_only):  # noqa: F811
    run = copied(finished, tmp_path / "run")
    score = sorted((run / "scores").iterdir())[0]
    if damage == "damaged": score.write_text("{")
    if damage == "claimed":
        score.unlink()
        for p in (run / "attacks").glob("*.json"): (run / "claims" / f"{p.stem[:40]}.0").write_text('{"host": "elsewhere", "pid": 1, "since": 1.0}')
    before = snapshot(run)
    read_only(run)
    done = drl(*READERS[name](run, away))
    assert done.code in (0, 1) and "Traceback" not in done.err and "Read-only" not in done.err
    assert snapshot(run) == before
    assert ("counted as missing" in done.err) == (damage == "damaged")
    assert ("elsewhere" in done.out) == (damage == "claimed" and name == "status")


def test_the_freeze_itself(tmp_path, read_only):
    "The stop works: whoever writes is told, in one line"
    run = tmp_path / "run"
    run.mkdir()
    read_only(run)
    with pytest.raises(InputError, match="cannot write to .*--out"): Store(run, write=True)
    for act in (lambda: (run / "x").write_text(""), lambda: (run / "x").mkdir(), lambda: os.open(run / "x", os.O_CREAT)):
        with pytest.raises(OSError, match="Read-only"): act()
    assert Store(run).counts() == {}


def test_a_store_reads_unless_told_to_write(tmp_path):
    Store(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(InputError, match="no run in"): reopen(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_looking_changes_no_folder(finished, tmp_path):  # noqa: F811
    run = copied(finished, tmp_path / "run")
    before = snapshot(run)
    survey(reopen(run))
    collect(run)
    assert snapshot(run) == before


AS_NOBODY = """
import os, sys
from drlit.cli import main
run, out = sys.argv[1:]
commands = ["report", run, "--format", "csv", "--out", out], ["status", run, "--once"]
first = [main(c) for c in commands] # as whoever runs the tests: everything is imported now
if not os.getuid():
    os.chmod(os.path.join(out, "results.csv"), 0o666)
    os.setgid(65534), os.setuid(65534)
sys.exit(any([*first, *[main(c) for c in commands]]))
"""


def test_another_user_reads_a_run(finished):  # noqa: F811
    "As nobody, where the tests run as root; else as oneself, on a folder without write permission"
    base = Path(tempfile.mkdtemp(dir="/tmp" if os.path.isdir("/tmp") else None))
    run, out = base / "run", base / "out"
    copied(finished, run)
    out.mkdir()
    for folder, _, names in os.walk(run):
        for n in names: os.chmod(os.path.join(folder, n), 0o444)
        os.chmod(folder, 0o555)
    base.chmod(0o755)
    out.chmod(0o777)
    before = snapshot(run)
    env = {**os.environ, "PYTHONPATH": str(Path(drlit.__file__).parents[1]), "HOME": str(out), "MPLCONFIGDIR": str(out), "DRLIT_SETTINGS": str(out / "settings.ini")}
    shutil.copy(os.environ["DRLIT_SETTINGS"], out)
    try:
        done = subprocess.run([sys.executable, "-c", AS_NOBODY, str(run), str(out)], env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0 and snapshot(run) == before, done.stderr
    finally:
        for folder, *_ in os.walk(base): os.chmod(folder, 0o777)
        shutil.rmtree(base)
