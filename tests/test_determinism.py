"""One plan, one table: whoever computes it, where, in which order, and however often it was interrupted, results.csv is the same to the last byte and
every reconstruction the same to the last bit."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import drlit
from drlit.bench import bench, open_run, write_results
from drlit.engines import engine
from drlit.profiles import Profile

PLAN = Profile("same", "digits", attacks=("mi_face", "deep_leakage", "null_noise"), sizes=(20,), update_size=4, seeds=(0,), metrics=("mse", "ssim"), permutations=19,
               training={"min_epochs": 2, "max_epochs": 2}, options={"mi_face": {"steps": 5}, "deep_leakage": {"budget": 20}})

SCRIPT = """
import os, signal, sys
from test_determinism import PLAN
from drlit.bench import bench, open_run
if __name__ == "__main__":
    out, killed_after = sys.argv[1], int(sys.argv[2])
    if not killed_after: bench(PLAN, out)
    for i, _ in enumerate(open_run(PLAN, out).work()):
        if i + 1 == killed_after: os.kill(os.getpid(), signal.SIGKILL)
"""


def what(folder):
    "The table's bytes, and the arrays of every reconstruction by its name"
    found = {}
    for path in sorted((folder / "attacks").glob("*.npz")):
        with np.load(path) as d: found[path.name] = {k: (d[k].dtype.str, d[k].shape, d[k].tobytes()) for k in d}
    return (folder / "results.csv").read_bytes(), found


def elsewhere(tmp_path, out, killed_after=0, **environment):
    "Run the plan in another process, from another folder"
    (tmp_path / "runner.py").write_text(SCRIPT)
    here = Path(__file__).resolve().parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(drlit.__file__).parents[1]), str(here)]), **environment}
    return subprocess.run([sys.executable, "runner.py", str(out), str(killed_after)], cwd=tmp_path, env=env, timeout=600, capture_output=True, text=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    "The run of one process, from front to back"
    out = tmp_path_factory.mktemp("whole")
    frame = bench(PLAN, out)
    assert set(frame.status) == {"ok"}, frame[frame.status != "ok"].error.tolist()
    assert {"wrong_key", "held_out_key"} <= set(frame[frame.attack == "deep_leakage"].control) and frame.gap.notna().any()
    return out, what(out)


def test_two_workers(whole, tmp_path):
    bench(PLAN, tmp_path / "out", engine=engine(jobs=2))
    assert what(tmp_path / "out") == whole[1]


def test_cells_in_reverse_order(whole, tmp_path):
    r = open_run(PLAN, tmp_path / "out")
    r.jobs.reverse()
    done = [job.cell for job in r.work()]
    write_results(tmp_path / "out")
    assert done[0].attack != "real_vs_real" and what(tmp_path / "out") == whole[1]


def test_another_folder_other_hashes_of_text_and_two_threads(whole, tmp_path):
    ran = elsewhere(tmp_path, tmp_path / "far" / "away", PYTHONHASHSEED="12345", OMP_NUM_THREADS="2")
    assert ran.returncode == 0, ran.stderr
    assert what(tmp_path / "far" / "away") == whole[1]


def test_resumed_after_a_kill(whole, tmp_path):
    ran = elsewhere(tmp_path, tmp_path / "out", killed_after=5)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert 0 < len(list((tmp_path / "out").glob("scores/*.json"))) < len(list(whole[0].glob("scores/*.json")))
    bench(PLAN, tmp_path / "out")
    assert what(tmp_path / "out") == whole[1]


def test_the_same_again_in_the_same_folder(whole):
    times = {p: p.stat().st_mtime_ns for p in whole[0].glob("*/*") if p.parent.name in ("attacks", "scores", "targets")}
    bench(PLAN, whole[0])
    assert what(whole[0]) == whole[1] and {p: p.stat().st_mtime_ns for p in times} == times


def test_times_stand_in_a_file_of_their_own(whole):
    table, timed = ((whole[0] / f"{name}.csv").read_text().splitlines() for name in ("results", "timings"))
    assert "seconds" not in table[0].split(",") and timed[0].split(",")[-1] == "seconds" and len(timed) == len(table)
    assert all(float(line.rpartition(",")[2]) >= 0 for line in timed[1:])
