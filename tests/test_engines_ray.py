"""What the engines promise, held against a local Ray cluster."""
import importlib
import os

import pytest

from drlit.engines import connect, engine
from drlit.profiles import InputError

WORK = """
import os, signal
import torch
def square(x): return x * x
def who(_): return os.getpid(), torch.get_num_threads()
def die(path, times):
    with open(path, "ab") as f: f.write(b".")
    if os.path.getsize(path) <= times: os.kill(os.getpid(), signal.SIGKILL)
    return os.path.getsize(path)
def either(item): return die(*item) if isinstance(item, tuple) else square(item)
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    (folder / "ray_work.py").write_text(WORK)
    with pytest.MonkeyPatch.context() as m:
        m.syspath_prepend(folder)
        yield importlib.import_module("ray_work")
        import ray
        ray.shutdown()


def test_results_failures_and_deaths(work, tmp_path):
    items = [2, None, (tmp_path / "twice", 2), 3, (tmp_path / "always", 9), 4]
    out = dict(engine("ray", jobs=2, retries=2).map(work.either, items))
    assert (out[0], out[2], out[3], out[5]) == (4, 3, 9, 16)
    assert out[1].error.startswith("TypeError") and "return x * x" in out[1].traceback and not out[1].lost
    assert out[4].lost and "WorkerDied" in out[4].error and os.path.getsize(tmp_path / "always") == 3


def test_one_thread_elsewhere(work):
    [(_, (pid, threads))] = engine("ray", jobs=2).map(work.who, [0])
    assert pid != os.getpid() and threads == 1


def test_what_the_cluster_cannot_give_is_refused(work):
    with pytest.raises(InputError, match="asks for 1 GPU, and no machine"): connect(None, 2, 1, 1)
