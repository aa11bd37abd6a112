"""What every test may count on: the same ground whatever ran before it, no network, and a Ctrl-C that is heard."""
import os
import random
import secrets
import signal
import socket
import zlib
from ipaddress import ip_address

import matplotlib
import numpy as np
import pytest
import torch

from drlit import core, engines
from drlit.attacks.base import REGISTRY, attacks

# Ctrl-C reaches the tests, and the processes they start, even where the runner was started in the background with SIGINT ignored
signal.signal(signal.SIGINT, signal.default_int_handler)

# whoever imports Ray first: it keeps to this machine and asks for a token
os.environ.update(engines.PRIVATE, RAY_AUTH_TOKEN=secrets.token_hex(32))

attacks()  # imports every attack, so that the registry is whole before a test adds to it


def seed(name):
    "Draws without a generator are those of the test, not of the order"
    number = zlib.crc32(name.encode())
    random.seed(number), np.random.seed(number), torch.manual_seed(number)


@pytest.fixture(scope="module", autouse=True)
def own_draws_of_a_module(request): seed(request.node.nodeid)


@pytest.fixture(autouse=True)
def own_ground(request):
    "Seeds of the test's name; what a test changes in libraries, registry and notes is put back"
    seed(request.node.nodeid)
    core._said.clear()
    dtype, threads, known = torch.get_default_dtype(), torch.get_num_threads(), dict(REGISTRY)
    with matplotlib.rc_context(): yield
    torch.set_default_dtype(dtype), torch.set_num_threads(threads)
    REGISTRY.clear(), REGISTRY.update(known)


def is_near(address):
    "On this machine, or no address of a network"
    if not isinstance(address, tuple): return True
    try: return ip_address(address[0].partition("%")[0]).is_loopback
    except ValueError: return address[0] in ("localhost", "")


@pytest.fixture(scope="session", autouse=True)
def no_network():
    "A test that needs one fails"
    real = socket.socket.connect

    def connect(self, address):
        if not is_near(address): raise OSError(f"a test asked for {address}: tests run without a network")
        return real(self, address)
    with pytest.MonkeyPatch.context() as m:
        m.setattr(socket.socket, "connect", connect)
        yield
