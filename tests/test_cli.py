"""The `drlit` command, as a user meets it: in a folder of its own, judged by what it prints and leaves behind."""
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest

import drlit
from drlit import core
from drlit.cli import main
from drlit.core import read_json, write_json
from drlit.records import sealed

SETTINGS = """\
[DEFAULT]
data = digits
similar = glyphs
attacks = mi_face, nulls
sizes = 20
seeds = 0
metrics = mse, ssim, fd
permutations = 99
[quick]
[quick:training]
min_epochs = 1
max_epochs = 2
[quick:mi_face]
steps = 5
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    "A folder with small settings"
    folder = tmp_path_factory.mktemp("home")
    (folder / "settings.ini").write_text(SETTINGS, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def environment(home):
    package = str(Path(drlit.__file__).parents[1])
    return {**os.environ, "DRLIT_SETTINGS": str(home / "settings.ini"), "OMP_NUM_THREADS": "1", "PYTHONPATH": package, "PYTHONIOENCODING": "utf-8", "COLUMNS": "140"}


@pytest.fixture(scope="module")
def process(home, environment):
    "Run the command in a process of its own"
    def run(*args, **more):
        more["env"] = {**environment, **more.pop("env", {})}
        return subprocess.run([sys.executable, "-m", "drlit", *map(str, args)], cwd=home, capture_output=True, text=True, encoding="utf-8", timeout=600, **more)
    return run


@pytest.fixture(scope="module")
def drl(home, environment):
    "Run the command in this process, which saves the import of torch; the result has .returncode, .stdout and .stderr"
    def run(*args, env=None):
        env = env or {}
        core._said.clear()  # what is said once per process
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as m, redirect_stdout(out), redirect_stderr(err):
            m.chdir(home)
            for k in ("DRLIT_SETTINGS", "COLUMNS", *env): m.setenv(k, {**environment, **env}[k])
            try: code = main([str(a) for a in args])
            except SystemExit as e: code = e.code or 0
        return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())
    return run


@pytest.fixture(scope="module")
def finished(process, home):
    "A finished run: its folder and what it printed"
    done = process("bench", "--out", "whole")
    assert done.returncode == 0, done.stdout + done.stderr
    return home / "whole", done.stdout


def rows(folder):
    "What two runs must have in common"
    return pd.read_csv(folder / "results.csv")


def same(a, b):
    pd.testing.assert_frame_equal(rows(a), rows(b))


def copied(finished, tmp_path):
    return Path(shutil.copytree(finished[0], tmp_path / "copy"))


# ---------------------------------------------------------------- help, version, list

def test_help_teaches(process):
    done = process("--help")
    assert done.returncode == 0 and not done.stderr
    for word in ("a short path", "drlit bench", "drlit score", "S-Dis", "[coverage]", "floor", "held-out", "imputation", "real vs real", "exit codes"): assert word in done.stdout
    assert process().stdout == done.stdout


def test_every_command_has_help(drl):
    for command, word in (("bench", "--similar"), ("attacks", "--json"), ("score", "HELDOUT.npz"), ("report", "DIR")):
        done = drl(command, "--help")
        assert done.returncode == 0 and word in done.stdout


def test_version_without_loading_torch(environment):
    code = "import sys\nfrom drlit.cli import main\ntry: main(['--version'])\nexcept SystemExit: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == [f"drlit {drlit.__version__}", "False"]


def test_attacks_lists_the_least_knowledge(drl):
    listed = json.loads(drl("attacks", "--json").stdout)
    assert {"name": "mi_face", "family": "optimisation", "training": "static", "model": "white-box", "data": "none"} in listed
    assert all(row["family"] not in ("null", "baseline") for row in listed)
    everyone = json.loads(drl("attacks", "--json", "--all").stdout)
    assert [r for r in everyone if r["family"] not in ("null", "baseline")] == listed
    assert {r["name"] for r in everyone if r["family"] == "baseline"} == {"revealer_generator", "kedmi_generator", "plgmi_generator"}
    assert {r["name"] for r in everyone if r["family"] == "null"} == {"null_noise", "null_auxiliary", "null_auxiliary_class", "null_class_mean"}
    table = drl("attacks").stdout
    assert all(r["name"] in table for r in listed) and "white-box" in table and "null_noise" not in table


# ---------------------------------------------------------------- bench

def test_bench_prints_the_table(finished):
    out = finished[1]
    assert "digits, cnn: reconstructing training sets" in out
    heads = " ".join(line for line in out.splitlines() if line.startswith("attack  "))
    for column in ("20 images", " signal", " p ", " Holm", " AUC", " held-out", " gap ", " floor", " uniform", " adjusted"): assert column in heads, column
    for name in ("real vs real", "null_noise", "null_class_mean", "mi_face", "mi_face / wrong key"): assert name in out
    assert "fd: features of embedded-digits-" in out and "seeds 0, on cpu" in out and "its 95 % interval" in out


def test_the_printed_numbers_are_those_of_results_csv(finished):
    folder, out = finished
    frame = pd.read_csv(folder / "results.csv")
    row = frame[(frame.attack == "null_noise") & (frame.metric == "mse") & (frame.control == "none")].iloc[0]
    line = next(x for x in out.splitlines() if x.startswith("null_noise") and "mse" in x).split()
    assert abs(float(line[3]) - row.value) < 5e-4 and line[5] == f"[{100 * row.coverage:.0f}%]" and row.coverage_lo != row.coverage_lo  # two classes give no interval
    words = " ".join(x for x in out.splitlines() if x.startswith("null_noise ") and "mse" in x).split()
    assert {f"{100 * v:.0f}%" for v in (row.floor, row.uniform)} <= {*words} and any(abs(float(w) - row.gap) < 5e-5 for w in words if w[0] in "+-")
    assert f"{row.p_seeds:.3f}" in words


def test_results_csv(finished):
    frame = pd.read_csv(finished[0] / "results.csv")
    assert ",".join(frame.columns) == ("attack,family,data,size,n,arch,variant,control,seed,metric,features,value,lo,hi,coverage,floor,uniform,heldout,gap,p,queries,status,error,"
                                       "coverage_lo,coverage_hi,adjusted,forced,training_leakage,training_lo,training_hi,adjusted_lo,adjusted_hi,detectable,auc,auc_lo,auc_hi,"
                                       "tpr_1,tpr_1_lo,tpr_1_hi,tpr_01,tpr_01_lo,tpr_01_hi,signal,signal_lo,signal_hi,signal_p,signal_detectable,"
                                       "p_seeds,detectable_seeds,signal_p_seeds,signal_detectable_seeds,permutations,tested_seeds,version,update_size,schema")
    assert set(frame.status) == {"ok"} and len(frame) == (1 + 3 * 3 + 2 * 2) * 3
    pair = frame[(frame.attack == "mi_face") & (frame.metric == "mse")].set_index("control")
    assert pair.heldout["none"] == pair.value["held_out"] and set(pair.index) == {"none", "held_out", "wrong_key"}
    real = frame[frame.attack == "real_vs_real"]
    assert set(real.family) == {"reference"} and real.heldout.isna().all()
    assert (frame.floor.dropna() == .5).all() and (frame[frame.metric == "fd"].features.str.startswith("embedded-digits")).all()


def test_the_report_stands_alone(finished):
    html = (finished[0] / "report.html").read_text(encoding="utf-8")
    for foreign in ("http://", "https://", "src=\"/", "@import", "url("): assert foreign not in html
    for label in (">target<", ">reconstruction<", ">nearest private<", ">nearest held-out<", "name=\"viewport\"", "prefers-color-scheme: dark"): assert label in html
    assert html.count("data:image/png") > 50 and "sha256" in html


def test_again_computes_nothing(finished, drl, home):
    folder = finished[0]
    before = {p: p.stat().st_mtime_ns for d in ("attacks", "scores", "targets", "features", "pictures") for p in (folder / d).rglob("*")}
    table = (folder / "results.csv").read_bytes()
    done = drl("bench", "--out", "whole")
    assert done.returncode == 0 and done.stdout == finished[1]
    assert {p: p.stat().st_mtime_ns for p in before} == before and (folder / "results.csv").read_bytes() == table


def test_a_metric_added_later_attacks_nobody(finished, drl, tmp_path):
    folder = copied(finished, tmp_path)
    before = {p.name: p.stat().st_mtime_ns for p in (folder / "attacks").iterdir()}
    assert drl("bench", "--out", folder, "--metrics", "mse,psnr").returncode == 0
    assert {p.name: p.stat().st_mtime_ns for p in (folder / "attacks").iterdir()} == before
    new = pd.read_csv(folder / "results.csv")
    assert set(new.metric) == {"mse", "psnr"} and set(new.status) == {"ok"}
    mse, psnr = (new[(new.metric == m) & (new.attack == "null_noise") & (new.control == "none")].iloc[0] for m in ("mse", "psnr"))
    assert mse.coverage == psnr.coverage  # the same nearest neighbour


def test_two_jobs_give_the_same_table(finished, drl, tmp_path):
    done = drl("bench", "--out", tmp_path / "two", "--jobs", "2")
    assert done.returncode == 0 and done.stderr == ""
    same(tmp_path / "two", finished[0])
    assert {p.name for p in (tmp_path / "two" / "scores").iterdir()} == {p.name for p in (finished[0] / "scores").iterdir()}


def test_a_dry_run_says_what_is_there_and_what_the_rest_costs(finished, drl, tmp_path):
    folder = copied(finished, tmp_path)
    before = sorted((p, p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file())
    done = drl("bench", "--out", folder, "--dry-run")
    assert done.returncode == 0 and " 14 " in done.stdout and "left: 0 s of one core" in done.stdout
    done = drl("bench", "--out", folder, "--dry-run", "--sizes", "20,40", "--seeds", "0,1", "--metrics", "mse", "--jobs", "2")
    rows = {tuple(w[:3]): w[3:6] for line in done.stdout.splitlines() if (w := line.split())[:1] == ["digits"]}
    assert rows == {("digits", "cnn", "20"): ["28", "14", "14"], ("digits", "cnn", "40"): ["22", "0", "22"]}
    parts = {tuple(w[:2]): w for line in done.stdout.splitlines() if (w := line.split())[:1] in (["attack"], ["target"])}
    assert parts["target", "cnn"][2] == "4" and parts["attack", "mi_face"][2] == "4" # one target each, and the wrong key's at the smallest size of seed 1
    assert "extrapolated" in done.stdout and "with 2 jobs" in done.stdout and "no timing" not in done.stdout
    assert sorted((p, p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()) == before


def test_status_reads_the_folder(finished, drl, tmp_path):
    folder = copied(finished, tmp_path)
    done = drl("status", folder)
    assert done.returncode == 0 and "14 done, 0 running, 0 missing, 0 failed, 0 not applicable of 14 cells" in done.stdout
    for p in sorted((folder / "scores").glob("*.json"))[:2]: p.unlink()
    receipt = next(r for p in (folder / "attacks").glob("*.json") if (r := json.loads(p.read_text()))["cell"]["attack"] == "mi_face")
    for p in (folder / "attacks").glob(f"{receipt['key']}*"): p.unlink()
    (folder / "claims").mkdir(exist_ok=True)
    (folder / "claims" / f"{receipt['key'][:40]}.0").write_text(json.dumps(dict(host="elsewhere-1", pid=7, since=time.time())))
    out = drl("status", folder).stdout
    assert "running" in out.splitlines()[0] and receipt["cell"]["attack"] in out and "elsewhere:7" in out and "left: " in out


def test_a_grid_file_measures_several_sets(drl, home, files, tmp_path):
    (home / "grid.toml").write_text("""attacks = ["null_noise"]
metrics = ["mse"]
seeds = [0]
[[set]]
data = "digits"
sizes = [20]
arch = ["cnn", "mlp"]
[[set]]
data = "ok.npz"
similar = ""
sizes = [9]
variants = ["plain", "frozen_bn"]
""")
    assert drl("bench", "--grid", "grid.toml", "--out", tmp_path / "out").returncode == 0
    frame = pd.read_csv(tmp_path / "out" / "results.csv")
    kinds = set(frame[["data", "size", "arch", "variant"]].itertuples(index=False, name=None))
    assert kinds == {("digits", 20, "cnn", "plain"), ("digits", 20, "mlp", "plain"), ("ok.npz", 9, "cnn", "plain"), ("ok.npz", 9, "cnn", "frozen_bn")} and set(frame.status) == {"ok"}


def test_a_file_may_lie_in_the_data_root(drl, home, files, tmp_path):
    (tmp_path / "root").mkdir()
    shutil.copy(home / "ok.npz", tmp_path / "root" / "far.npz")
    go = lambda *more, **env: drl("bench", "--data", "far.npz", "--attacks", "null_noise", "--sizes", "9", "--metrics", "mse", "--out", tmp_path / "out", *more, env=env)
    assert go().returncode == 2 and go("--data-root", tmp_path / "root", "--jobs", "2").returncode == 0
    assert go(DRLIT_DATA=str(tmp_path / "root")).returncode == 0
    assert set(pd.read_csv(tmp_path / "out" / "results.csv").data) == {"far.npz"}


def test_changed_data_under_the_same_name_is_refused(drl, home, files, tmp_path):
    with np.load(home / "ok.npz") as d: images, labels = d["images"], d["labels"]
    np.savez(home / "changing.npz", images=images, labels=labels)
    go = lambda: drl("bench", "--data", "changing.npz", "--attacks", "null_noise", "--sizes", "9", "--metrics", "mse", "--out", tmp_path / "out")
    assert go().returncode == 0
    was = json.loads(next((tmp_path / "out" / "data").iterdir()).read_text())["hash"]
    np.savez(home / "changing.npz", images=images[::-1], labels=labels[::-1])
    done = go()
    assert done.returncode == 2 and was in done.stderr and "now they have" in done.stderr and "--out" in done.stderr
    np.savez(home / "changing.npz", images=images, labels=labels)
    assert go().returncode == 0


def test_the_order_of_the_options_does_not_matter(finished, drl, tmp_path):
    "The same cells, asked for by hand"
    folder = tmp_path / "by-hand"
    names = "mi_face,null_noise,null_auxiliary,null_auxiliary_class,null_class_mean"
    done = drl("bench", "--seeds", "0", "--sizes", "20", "--metrics", "mse,ssim,fd", "--attacks", names, "--similar", "glyphs",
               "--data", "digits", "--arch", "cnn", "--device", "cpu", "--out", folder)
    assert done.returncode == 0
    same(folder, finished[0])
    assert {p.name for p in (folder / "scores").iterdir()} == {p.name for p in (finished[0] / "scores").iterdir()}


def test_killed_and_continued(finished, environment, home, drl, tmp_path):
    "kill -9 at three moments; the last run ends with the table of an undisturbed one"
    folder = tmp_path / "killed"
    for scores in (1, 8, 20):
        child = subprocess.Popen([sys.executable, "-m", "drlit", "bench", "--out", str(folder)], cwd=home, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None and len(list(folder.glob("scores/*.json"))) < scores: time.sleep(.005)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        for p in folder.rglob("*.json"): json.loads(p.read_text())
    kept = {p: p.stat().st_mtime_ns for d in ("attacks", "scores") for p in (folder / d).glob("*.json")}
    done = drl("bench", "--out", folder)
    assert done.returncode == 0 and "computed again" not in done.stderr
    assert len(kept) >= 20 and {p: p.stat().st_mtime_ns for p in kept} == kept
    same(folder, finished[0])


def test_interrupted_with_two_jobs_and_continued(finished, environment, home, drl, tmp_path):
    "Ctrl-C as a terminal sends it: to every process of the group"
    folder = tmp_path / "interrupted"
    child = subprocess.Popen([sys.executable, "-m", "drlit", "bench", "--out", str(folder), "--jobs", "2"], cwd=home, env=environment, start_new_session=True,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while child.poll() is None and len(list(folder.glob("scores/*.json"))) < 3: time.sleep(.005)
    family = psutil.Process(child.pid).children(recursive=True)
    kept = {p: p.stat().st_mtime_ns for d in ("attacks", "scores") for p in (folder / d).glob("*.json")}
    os.killpg(child.pid, signal.SIGINT)
    start = time.monotonic()
    said = child.stderr.read()  # to its end: nobody is left who could write there
    assert child.wait() == 130 and len(family) >= 3 and time.monotonic() - start < 4  # alone, 0.3 s
    assert said.splitlines()[-1] == "drlit: interrupted; the same command again continues from here" and "Traceback" not in said
    assert not psutil.wait_procs(family, 10)[1] and not list((folder / "claims").iterdir())
    assert (folder / "results.csv").is_file() and len(kept) >= 3 and {p: p.stat().st_mtime_ns for p in kept} == kept
    assert drl("bench", "--out", folder).returncode == 0
    same(folder, finished[0])


@pytest.mark.parametrize("damage", ["empty", "half", "foreign", "npz gone", "npz cut", "npz foreign"])
def test_damaged_files_are_named_set_aside_and_computed_again(damage, finished, drl, tmp_path):
    folder = copied(finished, tmp_path)
    one, other = sorted((folder / "attacks").glob("*.json"))[:2]
    npz = one.with_suffix(".npz")
    act = {"empty": lambda: one.write_bytes(b""), "half": lambda: one.write_bytes(one.read_bytes()[:200]), "foreign": lambda: shutil.copy(other, one),
           "npz gone": npz.unlink, "npz cut": lambda: npz.write_bytes(npz.read_bytes()[:-40]), "npz foreign": lambda: shutil.copy(other.with_suffix(".npz"), npz)}
    act[damage]()
    done = drl("bench", "--out", folder)
    assert done.returncode == 0 and one.stem in done.stderr and "aside" in done.stderr
    assert any(one.stem in p.name for p in (folder / "aside").iterdir())
    same(folder, finished[0])
    assert drl("bench", "--out", folder).stderr == ""


def test_a_damaged_score_is_computed_again(finished, drl, tmp_path):
    folder = copied(finished, tmp_path)
    for p in sorted((folder / "scores").glob("*.json"))[::3]: p.write_text(p.read_text()[:50])
    assert drl("bench", "--out", folder).returncode == 0
    same(folder, finished[0])


# ---------------------------------------------------------------- faults

def full_disk(limit):
    "Writing more than `limit` bytes into a file fails in this process, as on a full disk"
    def set_limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    return set_limit


@pytest.mark.parametrize("limit, jobs", [(3000, 1), (30000, 1), (3000, 2)])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(limit, jobs, finished, process, drl, tmp_path):
    folder = tmp_path / "full"
    done = process("bench", "--out", folder, "--jobs", jobs, preexec_fn=full_disk(limit), env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 2 and "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("drlit: ") and "full" in last and "File too large" in last
    assert not list(folder.rglob("*.tmp"))
    done = drl("bench", "--out", folder)
    assert done.returncode == 0
    same(folder, finished[0])


def test_a_folder_that_cannot_be_written(drl, tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = drl("bench", "--out", tmp_path / "file" / "out")
    assert done.returncode == 2 and done.stderr.startswith("drlit: cannot write to") and len(done.stderr.splitlines()) == 1


def test_a_failed_cell_is_a_row_and_exit_code_1(drl, home, tmp_path):
    (tmp_path / "bad.ini").write_text(SETTINGS.replace("mi_face, nulls", "revealer, nulls") + "[quick:revealer]\nbatch = 100000\n", encoding="utf-8")
    done = drl("bench", "--out", tmp_path / "out", env={"DRLIT_SETTINGS": str(tmp_path / "bad.ini")})
    assert done.returncode == 1 and "failed" in done.stdout and done.stderr.strip().splitlines()[-1].startswith("drlit: ")
    frame = pd.read_csv(tmp_path / "out" / "results.csv")
    failed = frame[frame.status == "failed"]
    assert set(failed.attack) == {"revealer"} and failed.error.str.contains("100000").all() and failed.value.isna().all()
    assert set(frame[frame.attack != "revealer"].status) == {"ok"}
    assert "Traceback" in json.loads(next((tmp_path / "out" / "failures").iterdir()).read_text())["traceback"]
    assert "1 failed" not in drl("status", tmp_path / "out").stdout and "failed: revealer" in drl("status", tmp_path / "out").stdout
    again = drl("bench", "--out", tmp_path / "out", "--retry-failed", "--jobs", "2", env={"DRLIT_SETTINGS": str(tmp_path / "bad.ini")})
    assert again.returncode == 1 and "--retry-failed tries again" in again.stderr


# ---------------------------------------------------------------- bad input

BAD = [
    (["bnch"], "did you mean bench"),
    (["bench", "--profil", "quick"], "did you mean --profile"),
    (["bench", "--profile", "quik"], "did you mean 'quick'"),
    (["bench", "--attacks", "mi_fase"], "did you mean 'mi_face'"),
    (["bench", "--metrics", "msee"], "did you mean 'mse'"),
    (["bench", "--grants", "aux_label"], "did you mean 'aux_labels'"),
    (["bench", "--arch", "vg16"], "did you mean 'vgg16'"),
    (["bench", "--data", "digit"], "did you mean 'digits'"),
    (["bench", "--similar", "glyph"], "did you mean 'glyphs'"),
    (["bench", "--device", "cdua"], "did you mean 'cuda'"),
    (["bench", "--sizes", "0"], "--sizes: '0'"),
    (["bench", "--sizes=-5"], "-5"),
    (["bench", "--sizes", "ten"], "whole number"),
    (["bench", "--sizes", ""], "--sizes"),
    (["bench", "--sizes", "5000"], "largest size that fits is 600"),
    (["bench", "--data", "missing.npz"], "missing.npz"),
    (["bench", "--data", "pickle.npz"], "pickle"),
    (["bench", "--data", "cut.npz"], "truncated"),
    (["bench", "--data", "nan.npz"], "NaN"),
    (["bench", "--data", "bright.npz"], "expected [0,1]"),
    (["bench", "--data", "flat.npz"], "dimensions"),
    (["bench", "--data", "short.npz"], "labels"),
    (["bench", "--data", "few.npz"], "largest size"),
    (["bench", "--data", "digits", "--similar", "own.npz"], "private or held-out"),
    (["report", "nothing"], "no run in nothing"),
    (["report", "nothing", "--format", "excel"], "unknown format 'excel'"),
    (["score", "ok.npz"], "required"),
    (["score", "ok.npz", "missing.npz"], "missing.npz"),
    (["score", "ok.npz", "colour.npz"], "shape"),
    (["score", "ok.npz", "ok.npz", "--metrics", "sim"], "did you mean 'ssim'"),
    (["attacks", "--al"], "did you mean --all"),
    (["report", "foreign"], "no run in foreign"),
    (["status", "foreign"], "no run in foreign"),
    (["bench", "--engine", "rey"], "did you mean 'ray'"),
    (["bench", "--engine", "ray", "--address", "127.0.0.1:1"], "no Ray cluster answers at '127.0.0.1:1'"),
    (["bench", "--address", "127.0.0.1:6379"], "--engine ray"),
    (["bench", "--jobs", "0"], "--jobs: '0'"),
    (["bench", "--variants", "frozenbn"], "did you mean 'frozen_bn'"),
    (["bench", "--grid", "none.toml"], "no grid file none.toml"),
    (["bench", "--grid", "none.toml", "--profile", "quick"], "--grid and --profile"),
]


@pytest.fixture(scope="module")
def files(home):
    "Files with one fault each"
    from sklearn.datasets import load_digits
    x, y = np.random.default_rng(0).random((60, 1, 16, 16), dtype=np.float32), np.arange(60) % 3
    save = lambda name, images=x, labels=y: np.savez(home / f"{name}.npz", images=images, labels=labels)
    save("ok"), save("bright", x * 3), save("flat", x.reshape(60, -1)), save("short", x, y[:50]), save("colour", np.repeat(x, 3, 1))
    save("few", x[:9], y[:9]), save("nan", np.where(np.arange(60).reshape(-1, 1, 1, 1) == 7, np.nan, x))
    np.savez(home / "pickle.npz", images=np.array([{"a": 1}], dtype=object), labels=np.zeros(1, int))
    (home / "foreign" / "plan").mkdir(parents=True)
    (home / "foreign" / "plan" / "plan.json").write_text('{"name": "another program"}')
    (home / "cut.npz").write_bytes((home / "ok.npz").read_bytes()[:5000])
    from drlit.data import load_images
    own = load_images("digits")
    assert len(own) == len(load_digits().target)
    save("own", own.images.numpy(), own.labels.numpy())


@pytest.mark.parametrize("args, words", BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_input_is_one_line(args, words, drl, files):
    done = drl(*args, *(["--out", "bad"] if args[0] == "bench" else []))
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert lines[-1].startswith("drlit: ") and words in lines[-1]
    assert all(line.startswith(("drlit: ", "note: ")) for line in lines)


def test_debug_shows_the_traceback(process):
    done = process("bench", "--attacks", "mi_fase", env={"DRLIT_DEBUG": "1"})
    assert done.returncode != 0 and "Traceback" in done.stderr


# ---------------------------------------------------------------- one's own data, score, report

def test_gray_auxiliary_images_are_converted_and_it_is_said(drl, home, tmp_path):
    rng = np.random.default_rng(1)
    np.savez(home / "own-colour.npz", images=rng.integers(0, 256, (90, 20, 20, 3), dtype=np.uint8), labels=np.arange(90) % 3)
    done = drl("bench", "--data", "own-colour.npz", "--similar", "glyphs", "--attacks", "nulls", "--sizes", "9", "--metrics", "mse", "--out", tmp_path / "out")
    assert done.returncode == 0 and done.stderr.count("converted from 1x16x16 to 3x20x20") == 1
    frame = pd.read_csv(tmp_path / "out" / "results.csv")
    assert set(frame.status) == {"ok"} and set(frame.data) == {"own-colour.npz"}


@pytest.fixture(scope="module")
def three(home):
    "A reconstruction that copies half of its targets, the targets, and others"
    rng = np.random.default_rng(2)
    x, labels = rng.random((3, 40, 1, 16, 16), dtype=np.float32), np.arange(40) % 4
    rec = np.where((np.arange(40) < 20).reshape(-1, 1, 1, 1), x[0], x[2])
    for name, images in (("rec", rec), ("target", x[0]), ("heldout", x[1])): np.savez(home / f"{name}.npz", images=images, labels=labels)
    return rec, x[0], x[1], labels


def test_score_finds_the_copies(drl, three):
    rec, target, heldout, labels = three
    [row] = json.loads(drl("score", "rec.npz", "target.npz", "heldout.npz", "--metrics", "mse", "--json").stdout)
    d = [np.where(labels[:, None] == labels, ((rec[:, None] - s[None]) ** 2).mean((2, 3, 4)), np.inf) for s in (target, heldout)]
    assert row["value"] == pytest.approx(d[0].min(1).mean(), rel=1e-5) and row["gap"] == pytest.approx((d[1].min(1) - d[0].min(1)).mean(), rel=1e-5)
    assert row["coverage"] == len(set(d[0].argmin(1))) / 40 and row["floor"] == 4 / 40 and row["p"] == .001
    table = drl("score", "rec.npz", "target.npz", "heldout.npz").stdout
    for word in ("mse", "psnr", "ssim", "floor", "uniform", "held-out", "gap", "40 reconstructions"): assert word in table


def test_score_of_whole_sets_names_the_features(drl, three):
    done = drl("score", "rec.npz", "target.npz", "--metrics", "mse,fd", env={"DRLIT_INCEPTION": "nowhere"})
    assert done.returncode == 2 and "no Inception weights at nowhere" in done.stderr


def test_score_without_held_out_images_has_no_gap(drl, three):
    rows = json.loads(drl("score", "rec.npz", "target.npz", "--json").stdout)
    assert [r["metric"] for r in rows] == ["mse", "psnr", "ssim"] and all("gap" not in r for r in rows)
    assert "HELDOUT" in drl("score", "rec.npz", "target.npz").stdout


def test_report_of_a_finished_run(finished, drl, tmp_path):
    folder = copied(finished, tmp_path)
    for name in ("results.csv", "report.html"): (folder / name).unlink()
    done = drl("report", folder)
    assert done.returncode == 0 and (folder / "report.html").exists()
    same(folder, finished[0])
    blurred = [re.sub(r"\d", "0", text.split("\nreport:")[0]) for text in (done.stdout, finished[1])] # rows have seven digits: a printed one may round the other way
    assert blurred[0] == blurred[1]


def test_report_in_other_formats(finished, drl, tmp_path):
    "Parquet keeps types, text and origin; LaTeX has a table; nothing is written that was not asked for"
    done = drl("report", finished[0], "--format", "parquet,latex", "--out", tmp_path)
    assert done.returncode == 0 and {p.name for p in tmp_path.iterdir()} == {"results.parquet", "tables.tex"}
    frame, rows = pd.read_parquet(tmp_path / "results.parquet"), pd.read_csv(finished[0] / "results.csv", keep_default_na=False, na_values={"value": [""]})
    assert frame.value.dtype == float and frame["size"].dtype.kind == "i" and frame.family.tolist() == rows.family.tolist() and "null" in set(frame.family)
    np.testing.assert_array_equal(frame.value, rows.value)
    assert len(frame.attrs[Path(finished[0]).name]["data"]["digits"]["hash"]) == 64
    tex = (tmp_path / "tables.tex").read_text()
    assert r"\toprule" in tex and r"mi\_face" in tex and "sha256" in tex and "_" not in tex.replace(r"\_", "")


def test_a_report_of_rows_needs_a_place(drl, tmp_path, finished):
    rows = tmp_path / "rows"
    assert drl("report", finished[0], "--rows", rows).returncode == 0
    assert "--out" in drl("report", rows).stderr and len(list(rows.iterdir())) == 4
    done = drl("report", rows, "--out", tmp_path / "page")
    assert done.returncode == 0 and {p.name for p in (tmp_path / "page").iterdir()} == {"report.html", "results.csv"}
    blurred = [re.sub(r"\d", "0", text.split("\nreport:")[0]) for text in (done.stdout, finished[1])] # rows have seven digits: a printed one may round the other way
    assert blurred[0] == blurred[1]


def test_rows_travel(finished, drl, tmp_path):
    "The finished rows of a run, what produced them and a few pictures; nothing of the machine"
    done = drl("report", finished[0], "--rows", tmp_path)
    name = Path(finished[0]).name
    assert done.returncode == 0 and {p.name for p in tmp_path.iterdir()} == {f"{name}.csv", f"{name}.json", f"{name}.npz", f"{name}.distances.npz"}
    rows, all_rows = pd.read_csv(tmp_path / f"{name}.csv"), pd.read_csv(finished[0] / "results.csv")
    assert {*rows.columns} == {*all_rows.columns, "key", "seconds", "options"} and len(rows) == len(all_rows)
    about = json.loads((tmp_path / f"{name}.json").read_text())
    assert len(about["data"]["digits"]["hash"]) == 64 and about["plans"][0]["sizes"] == [20] and about["pictures"][0]["attack"] == "real_vs_real"
    assert str(tmp_path.parent) not in (tmp_path / f"{name}.json").read_text()


def test_a_run_goes_on_from_rows_alone(finished, drl, tmp_path):
    "Rows travel to an empty folder: nothing is left; without one of them its attack is, with the values that it had"
    there, out = tmp_path / "rows", tmp_path / "out"
    assert drl("report", finished[0], "--rows", there).returncode == 0
    done = drl("bench", "--known", there, "--out", out)
    assert done.returncode == 2 and "nothing to measure" in done.stderr
    whole = pd.read_csv(there / "whole.csv", keep_default_na=False, dtype=str)
    lost = (whole.attack == "null_noise") & (whole.control == "held_out") & (whole.metric == "mse")
    text = whole[~lost].to_csv(index=False)
    (there / "whole.csv").write_text(text)
    about = read_json(there / "whole.json")
    write_json(there / "whole.json", sealed({**about, "csv": sha256(text.encode()).hexdigest()}))
    assert drl("bench", "--known", there, "--out", out).returncode == 0
    left = pd.read_csv(out / "results.csv", keep_default_na=False, dtype=str)
    assert set(zip(left.attack, left.control)) == {("null_noise", "none"), ("null_noise", "held_out")}
    got, want = left[(left.metric == "mse") & (left.control == "held_out")].value.astype(float), whole[lost].value.astype(float)
    assert len(got) and sorted(got) == pytest.approx(sorted(want), rel=1e-5)


def test_output_into_a_closed_pipe(environment):
    done = subprocess.run(f"{sys.executable} -m drlit attacks | head -1", shell=True, env=environment, capture_output=True, text=True)
    assert done.stdout.startswith("attack") and "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


def test_claims(capsys, tmp_path):
    "All twenty, as text and as JSON; a run that is not there is named"
    assert main(["claims", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [c["id"] for c in found] == [f"C{i:02}" for i in range(1, 21)] and {"id", "verdict", "figure", "interval", "p", "scale", "decides"} <= set(found[0])
    assert {c["id"]: c["verdict"] for c in found if c["verdict"] != "undecided"} == {"C19": "reproduced"}
    assert main(["claims", str(tmp_path / "nothing")]) == 2 and "no run at" in capsys.readouterr().err


def test_an_address_in_place_of_a_folder(drl, tmp_path):
    "Run, look on and report from disks of their own; an address that cannot be reached says so"
    url = f"file://{(tmp_path / 'bucket').resolve()}"
    disk = lambda name: {"DRLIT_MIRROR": str(tmp_path / name)}
    made = drl("bench", "--attacks", "null_noise", "--metrics", "mse", "--out", url, env=disk("a"))
    assert made.returncode == 0 and f"kept at {url}" in made.stdout
    assert {"results.csv", "report.html", "plan", "scores", "attacks"} <= {p.name for p in (tmp_path / "bucket").iterdir()}
    looked = drl("status", url, env=disk("b"))
    assert looked.returncode == 0 and "3 done" in looked.stdout and "0 missing" in looked.stdout
    again = drl("report", url, env=disk("c"))
    assert again.returncode == 0 and again.stdout.split("\nreport:")[0] == made.stdout.split("\nreport:")[0]
    (tmp_path / "file").write_text("")
    for place, words in (("s4://bucket/run", "s3://bucket/run"), (f"file://{tmp_path}/file/run", "check the address")):
        wrong = drl("bench", "--attacks", "null_noise", "--metrics", "mse", "--out", place, env=disk("d"))
        assert wrong.returncode == 2 and words in wrong.stderr and len(wrong.stderr.strip().splitlines()) == 1, wrong.stderr
