"""kill -9 of the runner and of a worker, in a folder and at an address, and two runners in one folder: the scenes of benchmarks/faults.py, played a few times."""
import importlib.util
import random
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("faults", Path(__file__).resolve().parents[1] / "benchmarks" / "faults.py")
faults = importlib.util.module_from_spec(spec)
spec.loader.exec_module(faults)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    from drlit.attacks.base import REGISTRY
    with pytest.MonkeyPatch.context() as m:
        m.setenv("DRLIT_COUNTED", ""), m.setenv("DRLIT_MIRROR", "")
        m.setattr("sys.path", [*faults.sys.path])
        yield faults.Site(tmp_path_factory.mktemp("site"), seeds=2)
    REGISTRY.pop("counted", None)


@pytest.mark.parametrize("victim, kills", [("runner", 2), ("worker", 2)])
def test_killed_at_random_moments(victim, kills, site):
    "What one round asserts: nothing lost, half-written or needlessly repeated, and the table of an undisturbed run"
    done, _ = faults.one_round(site, victim, kills, random.Random(victim))
    assert done >= 1


def test_killed_at_an_address_and_continued_from_an_empty_disk(site):
    elsewhere = site.__class__.__new__(site.__class__)
    vars(elsewhere).update(vars(site), place=f"file://{site.out}")
    done, _ = faults.one_round(elsewhere, "runner", 1, random.Random("address"))
    assert done >= 1 and elsewhere.disks >= 2


def test_two_runners_share_the_work(site):
    site.reset()
    both = [site.start(), site.start()]
    assert [child.wait(300) for child in both] == [0, 0]
    assert set(site.runs().values()) == {1} and len(site.runs()) == site.cells
    assert site.runner.main(site.out, site.seeds, jobs=1).drop(columns="seconds").equals(site.whole)
