"""Workers end with their parent, however it ends: interrupted at the keyboard, or killed."""
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

import drlit
from drlit.engines import CONTEXT, engine
from drlit.profiles import InputError

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


def family(pid):
    "A process and all that it started, the fork server and its workers included"
    return [p.pid for p in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]]


@pytest.mark.parametrize("end", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_no_process_outlives_the_run(end, tmp_path):
    (tmp_path / "endless.py").write_text(WORK)
    (tmp_path / "runner.py").write_text(RUNNER)
    (tmp_path / "pids").mkdir()
    env = {**os.environ, "PYTHONPATH": str(Path(drlit.__file__).parents[1])}
    runner = subprocess.Popen([sys.executable, "runner.py", "pids"], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until(lambda: len(list((tmp_path / "pids").iterdir())) == 2)
    pids = family(runner.pid)
    assert {int(p.name) for p in (tmp_path / "pids").iterdir()} < set(pids) and all(map(alive, pids))
    spent = sum(psutil.Process(runner.pid).cpu_times()[:2])
    if end == "SIGINT": os.killpg(runner.pid, signal.SIGINT)  # as a terminal does: to everyone in the group
    else: runner.send_signal(getattr(signal, end))
    said = runner.stderr.read()  # to its end: every process that could write there is gone
    used = os.wait4(runner.pid, 0)
    assert used[1] == getattr(signal, end)
    assert used[2].ru_utime + used[2].ru_stime - spent < 1  # seconds of the processor, not of the clock, which other programs share
    until(lambda: not any(map(alive, pids)), 10)
    assert said.count("Traceback") == (end == "SIGINT") and ("KeyboardInterrupt" in said) == (end == "SIGINT")


STARTING = """
import os, sys
from multiprocessing import forkserver
from drlit.engines import warm_up
if __name__ == "__main__":
    warm_up(["slow_to_import"])
    print(forkserver._forkserver._forkserver_pid, flush=True)
    input()
"""


def test_ctrl_c_while_the_fork_server_imports(tmp_path):
    "It would go on for a minute, or print a traceback of its own"
    (tmp_path / "slow_to_import.py").write_text("import threading\nopen('importing', 'w').close()\nthreading.Event().wait(60)")
    (tmp_path / "starting.py").write_text(STARTING)
    env = {**os.environ, "PYTHONPATH": str(Path(drlit.__file__).parents[1])}
    runner = subprocess.Popen([sys.executable, "starting.py"], cwd=tmp_path, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    server = int(runner.stdout.readline())
    until((tmp_path / "importing").exists)
    os.killpg(runner.pid, signal.SIGINT)
    said = runner.communicate(timeout=30)[1]
    assert said.count("Traceback") == 1 and runner.returncode == -signal.SIGINT
    until(lambda: not alive(server), 10)


UNGUARDED = """
from drlit.engines import engine
from drlit.profiles import InputError
try: print(list(engine(jobs=2).map(abs, [-1, -2])))
except InputError as e: print("refused:", e)
"""


def test_a_program_that_workers_cannot_import_is_told_so(tmp_path):
    "Each worker runs it again, up to the line that starts workers"
    (tmp_path / "unguarded.py").write_text(UNGUARDED)
    env = {**os.environ, "PYTHONPATH": str(Path(drlit.__file__).parents[1])}
    done = subprocess.run([sys.executable, "unguarded.py"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.splitlines()[-1].startswith("refused: worker processes cannot start") and "__name__ == '__main__'" in done.stdout


def test_a_machine_without_room_for_workers_is_said(monkeypatch):
    def full(*args, **kwargs): raise OSError(errno.EMFILE, "Too many open files")
    monkeypatch.setattr(type(CONTEXT), "Pipe", full)
    with pytest.raises(InputError, match="cannot start one more worker process .*Too many open files.*fewer --jobs"): list(engine(jobs=2).map(abs, [1]))


NAN = float("nan")
ADDRESSES = ("", " ", ":", "nowhere", "localhost:", ":x", "http://a.invalid:1", "127.0.0.1:1", "127.0.0.1:-1", "127.0.0.1:1e3", "\0:1", "::1", "a" * 300 + ":1")


@pytest.mark.parametrize("wrong, words", [
    (dict(jobs=0), "jobs = 0"), (dict(jobs=-1), "jobs = -1"), (dict(jobs=10**9), "jobs = 1000000000"), (dict(jobs=10**5), "jobs = 100,000 .* cores"),
    (dict(jobs=2.5), "jobs = 2.5; give a whole number"), (dict(jobs=True), "jobs = True"), (dict(jobs="2"), "jobs = '2'"),
    (dict(retries=-1), "retries = -1"), (dict(retries=10**9), "retries = 1000000000"), (dict(retries=NAN), "retries = nan"),
    (dict(name="ray", cpus=NAN), "cpus = nan"), (dict(name="ray", cpus=-1), "cpus = -1"), (dict(name="ray", cpus=float("inf")), "cpus = inf"), (dict(name="ray", cpus=9999), "cores"),
    (dict(name="ray", gpus=NAN), "gpus = nan"), (dict(name="ray", gpus=-.5), "gpus = -0.5"), (dict(gpus=1), "--engine ray"), (dict(cpus=2), "--engine ray"), (dict(address=""), "--engine ray"),
    *((dict(name="ray", address=a), "no Ray cluster answers at") for a in ADDRESSES),
])
def test_what_makes_no_sense_is_refused_in_one_line(wrong, words):
    with pytest.raises(InputError, match=words) as e: engine(**wrong)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_somebody_else_at_the_address_is_not_taken_for_ray(reply):
    "Ray itself would wait for minutes"
    with socket.create_server(("127.0.0.1", 0)) as server:
        def answer():
            with server.accept()[0] as s: s.recv(24), s.sendall(reply)
        other = threading.Thread(target=answer)
        other.start()
        with pytest.raises(InputError, match="no Ray cluster answers"): engine("ray", address=f"127.0.0.1:{server.getsockname()[1]}")
        other.join()
