"""What the tests of stored things share: one small finished run, the command in this process with a time limit, and a snapshot of a folder (no test in here)."""
import io
import json
import os
import shutil
import signal
import stat
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import SimpleNamespace

import pytest

from drlit import core
from drlit.cli import main
from drlit.records import sealed

SETTINGS = """\
[DEFAULT]
data = digits
attacks = null_noise, null_auxiliary
sizes = 20
seeds = 0
metrics = mse
permutations = 9
[quick]
[quick:training]
min_epochs = 1
max_epochs = 1
"""


class Late(BaseException):
    "The command took longer than it may; no `except Exception` swallows it"


@contextmanager
def at_most(seconds):
    "Raise `Late` where the block takes longer, also where it waits inside a system call"
    def late(*_): raise Late(f"no answer after {seconds} s")
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try: yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def drl(*args, limit=60):
    "The command; a traceback is an error of the test"
    core._said.clear()  # what is said once per process
    out, err = io.StringIO(), io.StringIO()
    with at_most(limit), redirect_stdout(out), redirect_stderr(err):
        try: code = main([str(a) for a in args])
        except SystemExit as e: code = e.code or 0
    return SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue())


def snapshot(folder):
    "Names, kinds, contents, link targets and times of everything in a folder"
    found = {}
    for base, dirs, files in os.walk(folder):
        for name in [*dirs, *files]:
            path = os.path.join(base, name)
            s = os.lstat(path)
            content = os.readlink(path) if stat.S_ISLNK(s.st_mode) else b""
            if stat.S_ISREG(s.st_mode):
                with open(path, "rb") as f: content = f.read()
            found[path] = stat.S_IFMT(s.st_mode), s.st_mtime_ns, content
    return found


def edit(path, change):
    "Change a record and give it a checksum of its own, as somebody would who writes a folder for others to open"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(sealed(record)))


@pytest.fixture(scope="session")
def run_of_the_session(tmp_path_factory):
    "A finished run, made once, beside the settings that it was made with; nothing of its environment stays behind"
    home = tmp_path_factory.mktemp("finished")
    (home / "settings.ini").write_text(SETTINGS)
    with pytest.MonkeyPatch.context() as m:
        m.setenv("DRLIT_SETTINGS", str(home / "settings.ini"))
        m.chdir(home)
        assert drl("bench", "--out", home / "run", limit=300).code == 0
    return home / "run"


@pytest.fixture
def finished(run_of_the_session, monkeypatch):
    "The finished run, its settings in force and its folder the current one; copy it before changing it"
    monkeypatch.setenv("DRLIT_SETTINGS", str(run_of_the_session.parent / "settings.ini"))
    monkeypatch.chdir(run_of_the_session.parent)
    return run_of_the_session


def copied(run, to):
    "The run's folder, whole, at another place"
    return shutil.copytree(run, to, symlinks=True)
