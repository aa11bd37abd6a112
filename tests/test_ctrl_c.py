"""Ctrl-C ends every command within two seconds, at whatever moment it comes: exit code 130, one line, no child left, what is finished kept."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from judge_server import serving
from run_folders import drl, finished, run_of_the_session, snapshot  # noqa: F401, the fixture

import drlit

LINE = "drlit: interrupted; the same command again continues from here\n"
LIMIT = 4  # seconds of the clock, on a machine that others use; alone it is below 2
PRESS = """
import builtins, os, signal, sys
pressed = []
class Press:
    "Presses Ctrl-C while a module is being found"
    def find_spec(self, name, *rest):
        if name == {name!r} and not pressed:
            pressed.append(name)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Press())
"""
ENTER = "from drlit.__main__ import main\nmain()\n"
SWALLOW = "import drlit.cli\ndef main():\n    {}\n    print('went on')\n    return 0\ndrlit.cli.main = main\n"
PRESSED = "os.kill(os.getpid(), signal.SIGINT)"
LONG = "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"  # a minute and more inside one C function

CHILD = "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); print(p.pid, flush=True); time.sleep(600)"


@pytest.fixture
def environment(finished):  # noqa: F811
    return {**os.environ, "PYTHONPATH": str(Path(drlit.__file__).parents[1]), "OMP_NUM_THREADS": "1"}


def ends(child):
    "Its exit code, and all that it and its children said; the time from now on is limited"
    start = time.monotonic()
    out, err = child.communicate(timeout=60)
    took = time.monotonic() - start
    assert took < LIMIT, f"{took:.1f} s: {err}"
    return SimpleNamespace(code=child.returncode, out=out, err=err)


def started(program, environment, cwd):
    "A program, or the command with these arguments, in a process group of its own as a terminal gives it one"
    how = ["-c", program] if isinstance(program, str) else ["-m", "drlit", *map(str, program)]
    return subprocess.Popen([sys.executable, *how], env=environment, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def until(true, child):
    while not true():
        assert child.poll() is None, child.communicate()
        time.sleep(.005)


@pytest.mark.parametrize("name", ["drlit.cli", "numpy.random._generator", "torch.nn", "pandas", "drlit.bench"])
def test_while_a_library_is_imported(name, environment, tmp_path):
    "Half an import is taken for a whole one by whoever swallows the exception: `module 'numpy' has no attribute 'minimum'`, six seconds later"
    program = PRESS.format(name=name) + f"sys.argv[1:] = ['status', {str(tmp_path)!r}]\n" + ENTER
    child = started(program, environment, tmp_path)
    out, err = child.communicate(timeout=120)
    assert (child.returncode, out, err) == (130, "", LINE)


NOBODY = {"one long call": f"{PRESSED}; {LONG}", "swallowed": f"try: {PRESSED}\n    except BaseException: {LONG}", "a long end": f"try: {PRESSED}\n    finally: threading.Event().wait(60)"}


@pytest.mark.parametrize("body", NOBODY.values(), ids=NOBODY)
def test_where_nobody_hears(body, environment, tmp_path):
    "A thread beside the work ends it"
    child = started("import hashlib, os, signal, threading\n" + SWALLOW.format(body) + ENTER, environment, tmp_path)
    start = time.monotonic()
    out, err = child.communicate(timeout=120)
    assert (child.returncode, out, err) == (130, "", LINE) and time.monotonic() - start < 30


def test_a_second_press_ends_at_once(environment, tmp_path):
    body = f"try: {PRESSED}\n    except BaseException: {PRESSED}; {LONG}"
    child = started("import hashlib, os, signal\nimport drlit.__main__ as m\nm.GRACE = 3600\n" + SWALLOW.format(body) + ENTER, environment, tmp_path)
    assert child.communicate(timeout=120)[1] == LINE and child.returncode == 130


@pytest.mark.parametrize("end", [PRESSED, f"try: {PRESSED}\n    except BaseException: {LONG}"], ids=["in time", "not in time"])
def test_what_it_started_is_ended_with_it(end, environment, tmp_path):
    "Children and their children"
    body = f"p = subprocess.Popen([sys.executable, '-c', {CHILD!r}], stdout=subprocess.PIPE)\n    print(int(p.stdout.readline()), flush=True)\n    {end}"
    child = started("import hashlib, os, signal, subprocess, sys\n" + SWALLOW.format(body) + ENTER, environment, tmp_path)
    grandchild = psutil.Process(int(child.stdout.readline()))
    assert child.communicate(timeout=60)[1] == LINE and child.returncode == 130
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


def test_bench(environment, finished, tmp_path):  # noqa: F811
    "Amid cells: no claim is left, and what is finished is in results.csv (two workers: test_cli.py)"
    folder = tmp_path / "run"
    child = started(["bench", "--sizes", "20,30,40,50", "--seeds", "0,1,2,3", "--out", folder], environment, finished.parent)
    until(lambda: len(list(folder.glob("scores/*.json"))) > 2, child)
    kept = {p: p.read_bytes() for p in folder.glob("scores/*.json")}
    os.killpg(child.pid, signal.SIGINT)
    done = ends(child)
    assert done.code == 130 and done.err.endswith(LINE) and "Traceback" not in done.err
    assert not list((folder / "claims").iterdir()) and (folder / "results.csv").is_file()
    assert {p: p.read_bytes() for p in kept} == kept


def test_judge(environment, finished, tmp_path):  # noqa: F811
    "Amid questions to an endpoint that does not answer any more; what was answered is kept"
    with serving(mode="hangs", only=range(6, 10**6)) as (script, url):
        environment |= {"OPENAI_API_KEY": "sk-of-a-test-0123456789", "OPENAI_BASE_URL": url}
        run = tmp_path / "run"
        assert drl("bench", "--sizes", "20,30", "--attacks", "null_noise", "--out", run).code == 0
        before = snapshot(run)
        child = started(["judge", run, "--attack", "null_noise", "--model", "m", "--base-url", url, "--out", tmp_path / "out", "--concurrency", "4"], environment, finished.parent)
        until(lambda: sum(script.requests.values()) >= 9, child)
        child.send_signal(signal.SIGINT)
        done = ends(child)
    assert done.code == 130 and done.err.endswith(LINE) and "Traceback" not in done.err
    kept = "".join(p.read_text() for p in (tmp_path / "out").rglob("*.jsonl"))
    assert kept.count('"choice"') >= 5 and snapshot(run) == before


def test_ignored_stays_ignored(environment, tmp_path):
    "As in the background of a shell, or under nohup"
    child = started(f"import os, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{SWALLOW.format(PRESSED)}{ENTER}", environment, tmp_path)
    assert child.communicate(timeout=60) == ("went on\n", "") and child.returncode == 0
