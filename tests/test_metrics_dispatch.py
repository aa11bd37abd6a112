"""No metric asks the device for a number inside its block loop, and none makes a tensor on another device than its input.

Every operation is watched by a `TorchDispatchMode`. The loop runs on the CPU, and again on the `meta` device, which stands in for an
accelerator: a tensor made on the CPU by mistake is seen, and a read of a value fails.
"""
import signal
import threading
from contextlib import contextmanager

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from drlit.metrics import sample
from drlit.metrics.sample import METRICS, blocks, lpips_metric, nearest, pairwise

READS = {"_local_scalar_dense", "item", "nonzero", "equal", "is_nonzero", "_unique2", "unique_dim", "unique_consecutive", "masked_select"}
LPIPS = lpips_metric("alex", "random")
NAMES = ["mse", "psnr", "ssim", "lpips"]


def metric(name):
    return LPIPS if name == "lpips" else METRICS[name]


@pytest.fixture(autouse=True)
def one_thread():
    "A dispatch mode sees the thread that entered it only"
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Watch(TorchDispatchMode):
    "Fail on a read of a value, and on any tensor away from `device`"
    def __init__(self, device):
        super().__init__()
        self.device, self.calls = torch.device(device), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        out, name = func(*args, **(kwargs or {})), func.overloadpacket.__name__
        assert name not in READS, f"{func} reads values back"
        for t in tree_leaves((args, kwargs, out)):
            if isinstance(t, torch.Tensor): assert t.device.type == self.device.type, f"{func}: a tensor on {t.device}"
        return out


class Reads(TorchDispatchMode):
    "Count the reads of values"
    count = 0
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket.__name__ in READS
        return func(*args, **(kwargs or {}))


@contextmanager
def small_blocks(monkeypatch):
    "Blocks of eight images and SSIM blocks of three, so that a few images are many blocks"
    with monkeypatch.context() as m:
        for name in ("Euclid", "Ssim"):
            cls = getattr(sample, name)
            def init(self, *args, _init=cls.__init__, **kwargs):
                _init(self, *args, **kwargs)
                self.left = self.right = 8
                if hasattr(self, "tiles"): self.width = 3
            m.setattr(cls, "__init__", init)
        yield


def banks(name, device, m=20, n=30):
    "An engine and two banks of images on a device"
    g = torch.Generator().manual_seed(0)
    x, y = (torch.rand(k, 3, 32, 32, generator=g).to(device) for k in (m, n))
    eng = metric(name).fn((3, 32, 32), x.device)
    return eng, eng.bank(x), eng.bank(y)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_no_read_inside_the_loops(name, device, monkeypatch):
    with small_blocks(monkeypatch):
        eng, a, b = banks(name, device)
        with Watch(device) as watch:
            cost, col, slack = sample._scan(eng, a, b)
            full = sample._all_pairs(eng, a, b)
    assert cost.shape == col.shape == (20, sample.KEEP) and slack.shape == (20,) and full.shape == (20, 30)
    assert watch.calls > 12 * 8, "the loop ran over several blocks"


@pytest.mark.parametrize("name", NAMES)
def test_reads_do_not_grow_with_the_blocks(name, monkeypatch):
    g = torch.Generator().manual_seed(1)
    x, y = torch.rand(40, 3, 32, 32, generator=g), torch.rand(40, 3, 32, 32, generator=g)
    counts = []
    with small_blocks(monkeypatch):
        for m in (24, 40): # more than are kept
            with Reads() as reads: nearest(x[:m], y[:m], metric(name))
            counts.append(reads.count)
            with Reads() as reads: pairwise(x[:m], y[:m], metric(name))
            counts.append(reads.count)
    assert counts[:2] == counts[2:] and counts[0] < 20, counts


@pytest.mark.parametrize("name", NAMES)
def test_small_blocks_change_nothing(name, monkeypatch):
    g = torch.Generator().manual_seed(2)
    x, y = torch.rand(20, 3, 32, 32, generator=g), torch.rand(30, 3, 32, 32, generator=g)
    want, full = nearest(x, y, metric(name)), pairwise(x, y, metric(name))
    with small_blocks(monkeypatch):
        got = nearest(x, y, metric(name))
        assert torch.equal(got[1], want[1]) and (got[0] - want[0]).abs().max() < 1e-7
        assert (pairwise(x, y, metric(name)) - full).abs().max() < 1e-5


@pytest.mark.parametrize("channels, classes", [(1, 1), (3, 3)])
def test_threads_change_nothing(channels, classes, monkeypatch):
    "SSIM gives each thread rows of its own: values, indices and matrices are the same to the last bit"
    monkeypatch.setattr(sample, "_search", lambda *a, _search=sample._search: used.add(threading.get_ident()) or _search(*a))
    g, used, found = torch.Generator().manual_seed(3), set(), []
    x, y = torch.rand(300, channels, 32, 32, generator=g), torch.rand(140, channels, 32, 32, generator=g)
    a, b = torch.arange(300) % classes, torch.arange(140) % classes
    for threads in (1, 2, 5):
        used.clear()
        torch.set_num_threads(threads)
        found.append([*nearest(x, y, "ssim", a, b), pairwise(x, y, "ssim"), *(m for *_, m in blocks(x, y, "ssim", a, b))])
        assert torch.get_num_threads() == threads and (threading.get_ident() in used) == (threads == 1)
    assert all(torch.equal(one, many) for other in found[1:] for one, many in zip(found[0], other, strict=True))


def long_work(k, first):
    "The first of many jobs does as it is told"
    if k == 0: first()
    return (torch.rand(128, 128) @ torch.rand(128, 128)).sum()


def interrupt():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


@pytest.mark.parametrize("first, error", [(lambda: 1 / 0, ZeroDivisionError), (interrupt, KeyboardInterrupt)])
def test_errors_and_interrupts_are_passed_on(first, error):
    "The rest of the work is dropped, the number of threads put back"
    torch.set_num_threads(3)
    done = []
    with pytest.raises(error), sample._workers(1) as each: list(each(lambda k: done.append(long_work(k, first)), range(20_000)))
    assert torch.get_num_threads() == 3 and len(done) < 20_000


def test_one_thread_needs_no_pool(monkeypatch):
    "Nor do engines of long products, which torch splits itself"
    monkeypatch.setattr(sample, "ThreadPoolExecutor", None)
    x = torch.rand(9, 1, 12, 12)
    assert nearest(x, x, "ssim")[1].tolist() == list(range(9))
    torch.set_num_threads(2)
    assert nearest(x, x, "mse")[1].tolist() == list(range(9))


def test_the_watch_itself():
    x = torch.rand(3)
    with pytest.raises(AssertionError, match="reads values back"), Watch("cpu"): x.sum().item()
    with pytest.raises(AssertionError, match="a tensor on cpu"), Watch("meta"): torch.empty(3, device="meta") + torch.tensor(1.)
