"""Throughput of the engines: one and two local jobs, two bare processes, a local Ray cluster, all on the same eight equal cells.

    python benchmarks/engines.py [--seconds 6] [--repeats 3] [--no-ray]

A cell is a whole cell of the benchmark (target from its checkpoint, attack, score, files); its attack is a stand-in that multiplies matrices for
about so many seconds. The bare processes do the same without runner, store and engine. Starting up (imports, fork server, cluster) is left out on
all sides, and printed beside. One torch thread everywhere.
"""
import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
BUSY = '''
import torch
from drlit.attacks.base import Attack, register
from drlit.bench import Workshop, attack_cell, open_run, score_samples, sides
from drlit.definitions import Reconstruction
from drlit.profiles import Profile
from drlit.taxonomy import Knowledge

def work(rounds):
    x = torch.eye(300)
    for _ in range(rounds): x = x @ x
    return x

@register
class Busy(Attack):
    "Multiplies matrices, and returns grey"
    rounds: int = 1
    name, family, knowledge = "busy", "optimisation", Knowledge("static", "black-box", "none")
    def run(self, view, n, seed):
        work(self.rounds)
        return Reconstruction(torch.full((n, *view.shape), .5), view.labels())

def plan(out, rounds, cells=8):
    p = Profile("engines", "digits", attacks=("busy",), sizes=(20,), seeds=tuple(range(cells)), metrics=("mse",), permutations=19,
                training={"min_epochs": 1, "max_epochs": 1}, options={"busy": {"rounds": rounds}})
    run = open_run(p, out)
    run.jobs = [j for j in run.jobs if j.cell.attack == "busy" and j.cell.control == "none"]
    return run

def bare(out, rounds, seeds):
    run = plan(out, rounds)
    todo = [j for j in run.jobs if j.cell.seed in seeds]
    torch.set_num_threads(1)
    yield
    for j in todo:
        rec, _ = attack_cell(j.cell, run.shop)
        score_samples("mse", rec, *sides(j.cell, run.shop.split(j.cell)), permutations=19)
    yield

def wait(seconds):
    import time
    time.sleep(seconds)
'''
BARE = "import sys, busy_cells\nsteps = busy_cells.bare(sys.argv[1], int(sys.argv[2]), set(map(int, sys.argv[3].split(','))))\nnext(steps)\nprint('ready', flush=True)\ninput()\nnext(steps)\n"


def said(values):
    "Median and range"
    return f"{median(values):.2f}" + (f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else "")


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def bare(out, rounds, shares, env):
    "Seconds that bare processes take, each with its share of the seeds"
    crew = [subprocess.Popen([sys.executable, "-c", BARE, str(out), str(rounds), ",".join(map(str, s))], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for s in shares]
    for child in crew: assert child.stdout.readline() == "ready\n"
    def go():
        for child in crew: print(file=child.stdin, flush=True)
        for child in crew: assert child.wait() == 0
    return timed(go)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--seconds", type=float, default=6, help="about so much work in each cell")
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--no-ray", action="store_true")
    a = p.parse_args()
    folder = Path(tempfile.mkdtemp())
    (folder / "busy_cells.py").write_text(BUSY)
    sys.path[:0] = [str(folder), str(ROOT)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "OMP_NUM_THREADS": "1", "DRLIT_PROGRESS": "0"}
    env["RAY_worker_niceness"] = "0" # Ray would put its workers behind everybody else on the machine
    os.environ.update(env)
    cells = importlib.import_module("busy_cells")
    from drlit.core import one_thread
    from drlit.engines import engine
    with one_thread():
        timed(lambda: cells.work(200))
        rounds = max(1, int(a.seconds * 200 / timed(lambda: cells.work(200))))
        base = cells.plan(folder / "base", rounds)
        for j in base.jobs: base.shop.target(j.cell)
    fresh = iter(range(10**6))
    def through(e):
        out = folder / f"run{next(fresh)}"
        shutil.copytree(folder / "base", out)
        run = cells.plan(out, rounds)
        seconds = timed(lambda: [*run.work(e)])
        assert all(run.state(j) == "ok" for j in run.jobs)
        return seconds
    two = engine(jobs=2, modules=["busy_cells"])
    start = {"2 local jobs": timed(lambda: [*two.map(cells.wait, [.1] * 4)])}
    ways = {"1 bare process": lambda: bare(folder / "base", rounds, [range(8)], env), "1 local job": lambda: through(engine()),
            "2 bare processes": lambda: bare(folder / "base", rounds, [range(0, 8, 2), range(1, 8, 2)], env), "2 local jobs": lambda: through(two)}
    if not a.no_ray:
        ray = engine("ray", jobs=2)
        start["Ray, 2 at a time"] = timed(lambda: [*ray.map(cells.wait, [2.] * 4)]) - 4
        ways["Ray, 2 at a time"] = lambda: through(ray)
    turns = []
    for i in range(a.repeats): # all ways take turns, so that other work on the machine meets each of them
        turns.append({name: way() for name, way in ways.items()})
        print(f"turn {i + 1}: " + ", ".join(f"{name} {s:.1f} s" for name, s in turns[-1].items()), flush=True)
    print(f"8 cells of about {median(t['1 bare process'] for t in turns) / 8:.1f} s, one torch thread each; medians of {a.repeats}, and ranges of ratios within a turn")
    for name in ways: print(f"{name:18} {median(t[name] for t in turns):7.1f} s{f'   (start-up {start[name]:.1f} s)' if name in start else ''}")
    gain = [t["1 local job"] / t["2 local jobs"] for t in turns]
    bare_gain = [t["1 bare process"] / t["2 bare processes"] for t in turns]
    print(f"2 local jobs against 1: {said(gain)}; bare processes: {said(bare_gain)}; ratio {said([g / b for g, b in zip(gain, bare_gain)])}")
    print(f"throughput of 2 local jobs / 2 bare processes: {said([t['2 bare processes'] / t['2 local jobs'] for t in turns])}")
    if not a.no_ray: print(f"throughput of Ray / local engine: {said([t['2 local jobs'] / t['Ray, 2 at a time'] for t in turns])}")
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__": main()
