"""What the engines promise, held against a local Ray cluster."""
import importlib
import os
import subprocess
import sys
from ipaddress import ip_address

import psutil
import pytest

from drlit.engines import check_address, connect, engine
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


def test_every_socket_is_on_the_loopback_address(work):
    "Of the driver and of all that Ray started, while a piece is at work"
    loop = engine("ray", jobs=2).map(work.who, range(4))
    next(loop)
    me = psutil.Process()
    family = [me, *me.children(recursive=True)]
    found = {(p.name(), c.laddr.ip) for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN or (c.type != 1 and not c.raddr)}
    loop.close()
    assert {"gcs_server", "raylet"} <= {name for name, _ in found} and len(family) > 4
    open_ = {(name, ip) for name, ip in found if not ip_address(ip.removeprefix("::ffff:")).is_loopback}
    assert not open_


CALL = """
import sys
from ray._raylet import Config, GcsClient
Config.initialize("")
try: GcsClient(address=sys.argv[1]).get_all_node_info(timeout=5)
except Exception as e: print(f"refused {e}")
else: print("let in")
"""


@pytest.mark.parametrize("shown, said", [(None, "refused"), ("0" * 64, "refused"), ("ours", "let in")])
def test_only_who_shows_the_token_is_let_in(work, tmp_path, shown, said):
    import ray
    connect(None, 2, 1, 0)
    token = os.environ["RAY_AUTH_TOKEN"]
    assert len(token) == 64
    mode = {} if shown is None else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token if shown == "ours" else shown}
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {"HOME": str(tmp_path), "RAY_gcs_rpc_server_connect_timeout_s": "1"} | mode
    client = subprocess.run([sys.executable, "-c", CALL, ray.get_runtime_context().gcs_address], env=env, capture_output=True, text=True, timeout=60)
    assert client.stdout.startswith(said), client.stdout + client.stderr


OPENED = """
import ray
from drlit.engines import engine
from drlit.profiles import InputError
try: engine("ray")
except InputError as e: print(e)
print(ray.is_initialized())
"""


def test_a_ray_imported_before_is_not_opened_to_the_network():
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    said = subprocess.run([sys.executable, "-c", OPENED], env=env, capture_output=True, text=True, timeout=60).stdout
    assert said.startswith("Ray was imported before drlit") and said.count("\n") == 2 and said.endswith("False\n")


def test_a_ray_that_answers_is_recognised(work):
    check_address(connect(None, 2, 1, 0).get_runtime_context().gcs_address)
