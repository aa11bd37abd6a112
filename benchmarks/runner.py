"""What the runner itself costs: seconds per cell beyond attack and score, and the time in which 10,000 finished cells become a table.

    python benchmarks/runner.py [--seeds 40] [--cells 10000]
"""
import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from drlit.bench import attack_cell, collect, open_run, score_key, score_samples, sides
from drlit.core import one_thread
from drlit.engines import engine
from drlit.profiles import Profile


def timed(call):
    start = time.perf_counter()
    out = call()
    return time.perf_counter() - start, out


def bare(run):
    "The same attacks and scores, kept in memory"
    recs = {}
    for j in run.jobs:
        if j.family == "reference": continue
        if j.attack not in recs: recs[j.attack] = attack_cell(j.cell, run.shop)[0]
        score_samples("mse", recs[j.attack], *sides(j.cell, run.shop.split(j.cell)), permutations=j.permutations, seed=j.cell.seed)


def overhead(seeds):
    p = Profile("runner", "digits", attacks=("null_noise",), sizes=(20,), seeds=tuple(range(seeds)), metrics=("mse",), permutations=19, training={"min_epochs": 1, "max_epochs": 1})
    with tempfile.TemporaryDirectory() as folder, one_thread():
        run = open_run(p, Path(folder) / "out")
        run.jobs = [j for j in run.jobs if j.family != "reference"]
        for j in run.jobs: run.shop.target(j.cell)
        alone, _ = timed(lambda: bare(run))
        whole, _ = timed(lambda: [*run.work(engine())])
    return (whole - alone) / len(run.jobs), len(run.jobs), alone, whole


def table(cells):
    "Seconds to collect so many finished cells; they are copies of one, under the names of others"
    p = Profile("runner", "digits", attacks=("null_noise",), sizes=(20,), seeds=(0,), metrics=("mse",), permutations=19, training={"min_epochs": 1, "max_epochs": 1})
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        run = open_run(p, out)
        for _ in run.work(): pass
        job = next(j for j in run.jobs if j.cell.attack == "null_noise" and j.cell.control == "none")
        record = run.store.get("scores", job.scores["mse"])
        run.jobs = [replace(job, cell=(c := replace(job.cell, seed=s)), scores={"mse": score_key(c, f"{s}", "mse", 19)}) for s in range(cells)]
        for j in run.jobs: run.store.put("scores", j.scores["mse"], {k: v for k, v in record.items() if k not in ("stage", "key")})
        run.write_plan()
        seconds, frame = timed(lambda: collect(out))
        assert len(frame) == cells and set(frame.status) == {"ok"}
    return seconds


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("--seeds", type=int, default=40), a.add_argument("--cells", type=int, default=10_000)
    a = a.parse_args()
    each, n, alone, whole = overhead(a.seeds)
    print(f"{n} cells: {alone:.2f} s bare, {whole:.2f} s through the runner: {1000 * each:.1f} ms more per cell")
    print(f"{a.cells} finished cells into a table: {table(a.cells):.2f} s")


if __name__ == "__main__": main()
