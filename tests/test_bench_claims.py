"""Claims: who is alive, on which machine, and what happens between two looks at a folder."""
import json
import os
import signal
import subprocess
import sys

from drlit.bench import HOST, Store, alive

HOSTS = """
import sys, uuid
uuid.getnode = lambda: int(sys.argv[1]) # what it does without a network: a number drawn anew in each process
from drlit.bench import HOST
print(HOST)
"""


def leave(store, name, **owner):
    "A claim that somebody else made just now"
    path = store.root / "claims" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"since": 0, **owner}))
    return path


def test_processes_of_one_machine_know_each_other_without_a_network():
    names = {subprocess.run([sys.executable, "-c", HOSTS, str(node)], capture_output=True, text=True, timeout=120).stdout.strip() for node in (1, 2)}
    assert names == {HOST}


def test_who_was_killed_is_dead_before_its_parent_asks():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert alive(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked how
    try: assert not alive(child.pid)
    finally: child.communicate()
    assert child.returncode == -signal.SIGKILL


def test_a_claim_beside_a_living_one_is_given_back(tmp_path):
    "k.0 of a dead owner was overtaken as k.1 and cleared away while k.1 is at work"
    store = Store(tmp_path)
    later = leave(store, "k.1", host="elsewhere", pid=1)
    with store.claim(["k"]) as mine: assert not mine
    assert [p.name for p in (tmp_path / "claims").iterdir()] == ["k.1"]
    later.unlink()
    with store.claim(["k"]) as mine: assert mine
    assert not list((tmp_path / "claims").iterdir())


def test_the_dead_are_swept_whatever_they_held(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    store = Store(tmp_path)
    leave(store, "a.0", host=HOST, pid=child.pid), leave(store, "b.0", host=HOST, pid=child.pid)
    try: store.sweep()
    finally: child.wait()
    assert not list((tmp_path / "claims").iterdir())
