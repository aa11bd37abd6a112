"""The command where its surroundings are poor: streams closed, full or broken, little memory, few files, a folder that is gone. One line and exit code 2, or it works."""
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import drlit

ENV = {**os.environ, "PYTHONPATH": str(Path(drlit.__file__).parents[1])}


def go(*args, cwd, env=(), before=None, **streams):
    "The command in a process; `before` runs in it first"
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.run([sys.executable, "-m", "drlit", *args], cwd=cwd, env={**ENV, **dict(env)}, preexec_fn=before, text=True, timeout=300, **streams)


def closing(*numbers): return lambda: [os.close(n) for n in numbers]


def at_most(**limits): return lambda: [resource.setrlimit(getattr(resource, f"RLIMIT_{k}"), (v, v)) for k, v in limits.items()]


def one_line(done, *words):
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and done.stderr.startswith("drlit: "), done
    for w in words: assert w in done.stderr


def test_streams_that_are_closed(tmp_path):
    "An answer that nobody would get is refused; a remark that nobody reads is no error, and does not go where the answer goes"
    one_line(go("--help", cwd=tmp_path, before=closing(1)), "standard output is closed", "/dev/null")
    assert go("--help", cwd=tmp_path, before=closing(0)).stdout.startswith("usage")
    done = go("bnch", cwd=tmp_path, before=closing(2))
    assert (done.returncode, done.stdout) == (2, "")
    assert go("bnch", cwd=tmp_path, before=closing(0, 1, 2)).returncode == 2


def test_no_file_takes_the_place_of_a_stream(tmp_path):
    "What a library prints on number 2 would end in the file that was opened next"
    program = "import os\nfrom drlit.__main__ import open_streams\nopen_streams()\nf = open('f', 'wb')\nprint(f.fileno())"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=ENV, preexec_fn=closing(0, 2), stdout=subprocess.PIPE, text=True, timeout=60)
    assert int(done.stdout) > 2


def test_streams_that_are_full(tmp_path):
    with open("/dev/full", "w") as full:
        one_line(go("--help", cwd=tmp_path, stdout=full), "No space left on device")
        done = go("bnch", cwd=tmp_path, stderr=full)
        assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("command", ["--help | true", "--help 2>&1 | true", "bnch 2>&1 >/dev/null | true"])
def test_readers_that_are_gone(command, tmp_path):
    done = subprocess.run(f"{sys.executable} -m drlit {command}; echo ended", shell=True, cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=120)
    assert done.stdout == "ended\n" and "Traceback" not in done.stderr and "Error" not in done.stderr


@pytest.mark.parametrize("size", [60, 300, 1000])
def test_an_address_space_too_small_for_torch(size, tmp_path):
    one_line(go("attacks", cwd=tmp_path, before=at_most(AS=size * 2**20)), "ulimit -v")


def test_a_folder_that_is_gone(tmp_path):
    "A library would end the process without a word of ours"
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(f"rmdir {gone}; exec {sys.executable} -m drlit attacks", shell=True, cwd=gone, env=ENV, capture_output=True, text=True, timeout=120)
    one_line(done, "the current folder is gone")


@pytest.mark.parametrize("columns", ["0", "1", "x", "-5", "9" * 30])
def test_any_width(columns, tmp_path):
    done = go("bench", "--help", cwd=tmp_path, env={"COLUMNS": columns})
    assert done.returncode == 0 and "--similar" in done.stdout and not done.stderr


@pytest.mark.parametrize("env", [{"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}, {"HOME": "/proc/x"}, {"TMPDIR": "/nonexistent"}], ids=str)
def test_any_surroundings(env, tmp_path):
    assert go("--help", cwd=tmp_path, env=env).returncode == 0
    one_line(go("bench", "--data", "fotos-ä-\u202e.npz", cwd=tmp_path, env={**env, "DRLIT_SETTINGS": str(tmp_path / "none.ini")}), "none.ini")


def test_ten_open_files(tmp_path): assert go("--help", cwd=tmp_path, before=at_most(NOFILE=10)).returncode == 0
