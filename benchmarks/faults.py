"""kill -9 at random moments: of the runner, or of a worker. What is lost, half-written, or computed twice?

    python benchmarks/faults.py --kills 20 --victim runner
    python benchmarks/faults.py --kills 20 --victim worker [--engine ray]
    python benchmarks/faults.py --kills 20 --mirrored

A small grid on the embedded digits is run with two jobs. The attack is a stand-in that writes a line into a log whenever it runs, so that the
log says what was computed how often. A round ends when the grid is finished; its table is compared with that of a run that nobody disturbed.
With --mirrored the run is kept at an address, and every new runner starts on an empty disk, as another machine would.
"""
import argparse
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

RUNNER = '''
import os, sys
import torch
from drlit.attacks.base import Attack, register
from drlit.bench import bench
from drlit.definitions import Reconstruction
from drlit.engines import engine
from drlit.profiles import Profile
from drlit.taxonomy import Knowledge

@register
class Counted(Attack):
    "Grey images; every run is a line in a log"
    name, family, knowledge = "counted", "optimisation", Knowledge("static", "white-box", "none")
    def run(self, view, n, seed):
        weight = float(sum(p.double().sum() for p in view.model.parameters()))
        with open(os.environ["DRLIT_COUNTED"], "a") as f: f.write(f"{n} {seed} {weight!r}\\n")
        return Reconstruction(torch.full((n, *view.shape), .5), view.labels())

def plan(seeds):
    return Profile("faults", "digits", attacks=("counted", "null_noise"), sizes=(20, 30), seeds=tuple(range(seeds)), metrics=("mse",), permutations=19, training={"min_epochs": 1, "max_epochs": 1})

def main(out, seeds, name="local", jobs=2): return bench(plan(int(seeds)), out, engine=engine(name, int(jobs), retries=99)) # so that no piece counts as lost
'''
MAIN = "import sys, counted_runner\nif __name__ == '__main__': counted_runner.main(*sys.argv[1:])\n"


class Site:
    "A folder with the runner's files, its log, and the table of an undisturbed run"
    def __init__(self, folder, seeds, engine="local", mirrored=False):
        self.folder, self.seeds, self.engine, self.out, self.log = Path(folder).resolve(), seeds, engine, Path(folder).resolve() / "out", Path(folder).resolve() / "log"
        self.place, self.disks = f"file://{self.out}" if mirrored else str(self.out), 0
        (self.folder / "counted_runner.py").write_text(RUNNER)
        (self.folder / "start.py").write_text(MAIN)
        root = str(Path(__file__).resolve().parents[1])
        os.environ["DRLIT_COUNTED"] = str(self.log)
        self.env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(self.folder), root]), "DRLIT_PROGRESS": "0"}
        sys.path[:0] = [str(self.folder), root]
        self.runner = importlib.import_module("counted_runner")
        self.whole = self.runner.main(self.folder / "whole", seeds, jobs=1).drop(columns="seconds")
        self.cells = len(self.runs())

    def runs(self): return Counter(self.log.read_text().splitlines()) if self.log.exists() else Counter()

    def start(self):
        self.disks += 1
        os.environ["DRLIT_MIRROR"] = self.env["DRLIT_MIRROR"] = str(self.folder / f"disk{self.disks}")
        return subprocess.Popen([sys.executable, "start.py", self.place, str(self.seeds), self.engine], cwd=self.folder, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def table(self): return self.runner.main(self.place, self.seeds, jobs=1).drop(columns="seconds") # of a finished run: computes nothing

    def finished(self):
        "Finished records, with the moment of their writing; a record that is not whole is an error"
        found = {}
        for p in [*self.out.glob("attacks/*.json"), *self.out.glob("scores/*.json")]:
            assert json.loads(p.read_text())["key"] == p.stem, f"{p.name} is not whole"
            found[p] = p.stat().st_mtime_ns
        return found

    def owners(self):
        "The processes that have claims"
        out = set()
        for p in [*self.out.glob("claims/[!.]*"), *self.folder.glob(f"disk{self.disks}/*/claims/[!.]*")]:
            try: out.add(json.loads(p.read_text())["pid"])
            except (OSError, ValueError): pass
        return out

    def reset(self):
        shutil.rmtree(self.out, ignore_errors=True)
        self.log.unlink(missing_ok=True)


def until(true, child, seconds=600):
    end = time.monotonic() + seconds
    while not (got := true()) and child.poll() is None:
        if time.monotonic() > end: raise TimeoutError("waited in vain")
        time.sleep(.002)
    return got


def kill_once(site, victim, child, rng):
    "Wait for work to begin, then a random while, then kill; was anybody there to be killed?"
    if not until(site.owners, child): return False
    time.sleep(rng.uniform(0, .5))
    if victim == "runner":
        if child.poll() is not None: return False
        child.kill()
        child.wait()
        return True
    pids = site.owners() - {child.pid}
    if not pids: return False
    try: os.kill(rng.choice(sorted(pids)), signal.SIGKILL)
    except ProcessLookupError: return False
    return True


def one_round(site, victim, kills, rng):
    "Run the grid to its end under at most so many kills: (kills, runs that were not the first of their cell)"
    site.reset()
    kept, done, child = {}, 0, site.start()
    while child.poll() is None:
        if done < kills and kill_once(site, victim, child, rng):
            done += 1
            if victim == "runner": kept, child = {**kept, **site.finished()}, site.start()
        elif done >= kills: child.wait(300)
    assert child.returncode == 0, f"the runner ended with exit code {child.returncode}"
    now = site.finished()
    assert all(now[p] == t for p, t in kept.items()), "a finished record was written again"
    runs = site.runs()
    assert len(runs) == site.cells, f"{len(runs)} of {site.cells} attacks ran"
    twice = sum(runs.values()) - len(runs)
    assert twice <= done * (2 if victim == "runner" else 1), f"{twice} attacks ran again after {done} kills"
    table = site.table()
    assert site.runs() == runs, "making the table ran attacks"
    assert table.equals(site.whole), "the table differs from that of an undisturbed run:\n" + table[(table.fillna(0) != site.whole.fillna(0)).any(axis=1)].to_string()
    assert not site.owners(), "a claim was left behind"
    return done, twice


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--kills", type=int, default=20)
    p.add_argument("--victim", choices=["runner", "worker"], default="runner")
    p.add_argument("--engine", choices=["local", "ray"], default="local")
    p.add_argument("--seeds", type=int, default=8, help="of the grid: six attacks each")
    p.add_argument("--seed", type=int, default=0, help="of the moments")
    p.add_argument("--mirrored", action="store_true", help="keep the run at an address")
    a = p.parse_args()
    rng, total, again, rounds = random.Random(a.seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        site = Site(folder, a.seeds, a.engine, a.mirrored)
        while total < a.kills:
            done, twice = one_round(site, a.victim, a.kills - total, rng)
            total, again, rounds = total + done, again + twice, rounds + 1
            print(f"round {rounds}: {done} kills, {twice} attacks run again, table equal", flush=True)
    print(f"{a.engine}{', at an address' * a.mirrored}, kill -9 of the {a.victim} at {total} random moments in {rounds} rounds of {site.cells} attacks: "
          f"none lost, none half-written, {again} run again (in flight when killed), tables equal")


if __name__ == "__main__": main()
