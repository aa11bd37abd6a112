"""Workers end with their parent, however it ends: interrupted at the keyboard, or killed."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import drlit

WORK = """
import os, threading
def busy(folder):
    open(os.path.join(folder, str(os.getpid())), "w").close()
    threading.Event().wait()
"""

RUNNER = """
import sys
from drlit.engines import engine
import endless
if __name__ == "__main__":
    for _ in engine(jobs=2).map(endless.busy, [sys.argv[1]] * 5): pass
"""


def alive(pid):
    try:
        os.kill(pid, 0)
        return not Path("/proc").exists() or Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError): return False  # it may go between the two questions


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(.01)


@pytest.mark.parametrize("end", ["SIGINT", "SIGKILL"])
def test_no_worker_outlives_its_parent(end, tmp_path):
    (tmp_path / "endless.py").write_text(WORK)
    (tmp_path / "runner.py").write_text(RUNNER)
    (tmp_path / "pids").mkdir()
    env = {**os.environ, "PYTHONPATH": str(Path(drlit.__file__).parents[1])}
    runner = subprocess.Popen([sys.executable, "runner.py", "pids"], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until(lambda: len(list((tmp_path / "pids").iterdir())) == 2)
    pids = [int(p.name) for p in (tmp_path / "pids").iterdir()]
    assert all(map(alive, pids))
    if end == "SIGINT": os.killpg(runner.pid, signal.SIGINT)  # as a terminal does: to everyone in the group
    else: runner.kill()
    until(lambda: not any(map(alive, pids)), 10)
    said = runner.communicate(timeout=10)[1]
    assert runner.returncode == -getattr(signal, end)
    assert said.count("Traceback") == (end == "SIGINT") and ("KeyboardInterrupt" in said) == (end == "SIGINT")
