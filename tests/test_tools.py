"""The scripts that set up, run and check: what they say when something is missing, and that they do not pass what is broken."""
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from chapters import ROOT

TOOLS = ROOT / "tools"


def load(name):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


setup_env, wheel_env, run_chapters = load("setup_env"), load("wheel_env"), load("run_chapters")


def test_an_old_python_is_told_so(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    with pytest.raises(SystemExit, match=r"Python 3\.10 or newer is needed, this one is 3\.9.*make PYTHON="):
        setup_env.check_version()


def test_least_python_is_that_of_pyproject():
    needs = re.search(r'requires-python = ">=(\d+)\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert setup_env.LEAST == tuple(map(int, needs.groups()))


def test_a_python_without_venv_is_told_the_package(tmp_path, monkeypatch):
    "As on Debian without python3-venv, where ensurepip cannot be imported"
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    monkeypatch.setattr(setup_env, "PYTHON", str(tmp_path / "none"))
    with pytest.raises(SystemExit, match="apt-get install python3-venv"):
        setup_env.make_venv()


def test_a_missing_python_is_told(tmp_path):
    done = subprocess.run(["make", "-f", ROOT / "Makefile", "PYTHON=no-such-python", "bench"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode and "pyproject.toml" in done.stderr  # not in a clone of the repository
    (tmp_path / "pyproject.toml").touch()
    done = subprocess.run(["make", "-f", ROOT / "Makefile", "PYTHON=no-such-python", "bench"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode and "no-such-python not found. Install Python 3.10 or newer" in done.stdout


@pytest.mark.parametrize("line, noise", [
    ("WARNING: Location '/x/wheels' is ignored: it is neither a file nor a directory.", True),
    ("ERROR: Could not find a version that satisfies the requirement torch>=2.6", False),
    ("WARNING: Retrying (Retry(total=4, connect=None, read=None, redirect=None, status=None)) after connection broken", False),
])
def test_noise_of_pip(line, noise):
    assert bool(setup_env.NOISE.search(line)) == noise


def test_help_lists_every_target():
    text = subprocess.run(["make", "-C", ROOT, "help"], capture_output=True, text=True, check=True).stdout
    assert {"bench", "test", "book", "clean"} <= set(re.findall(r"make (\w+) ", text))


def test_chromium_missing_and_no_way_to_install_it(tmp_path):
    "Without apt-get on the path the script names the packages"
    for tool in ("bash", "id"): (tmp_path / tool).symlink_to(shutil.which(tool))
    done = subprocess.run(["bash", TOOLS / "chromium.sh"], env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "chromium, chromium-driver and fonts-dejavu" in done.stderr


def test_wheel_environment_holds_declared_packages_only():
    names = set(wheel_env.closure("drlit"))
    assert {"torch", "numpy", "scikit-learn", "ipython"} <= names
    assert not names & {"nbdev", "pytest", "scikit-image", "selenium", "jupyter-book", "ruff"}
    more = set(wheel_env.closure("drlit", ("", "test")))
    assert {"pytest", "scikit-image"} <= more - names and not more & {"nbdev", "selenium", "jupyter-book", "ruff"}


@pytest.mark.parametrize("source, runs", [
    ("x = 1", True), ("#| export\nx = 1", True), ("#| slow\nx = 1", False), ("#| export\n#| gpu\nx = 1", False),
    ("#| eval: false\nx = 1", False), ("#| include: false\n#| eval: false\n%pip install drlit", False), ("#| eval: true\nx", True),
    ("x = 1\n#| slow", True), ("# slow\nx", True),
])
def test_which_cells_a_reader_runs(source, runs):
    assert run_chapters.runs(source, ["slow", "network", "gpu"]) == runs


def notebook(folder, *sources):
    path = folder / "nb.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "id": f"cell{i}", "source": s} for i, s in enumerate(sources)]}))
    return path


def test_a_failing_cell_fails_the_chapter(tmp_path):
    code, _, said = run_chapters.run_apart(sys.executable, notebook(tmp_path, "x = 1", "assert x == 2, 'not two'", "open('after', 'w')"), ["slow"])
    assert code == 1 and "not two" in said and "in cell cell1 of nb.ipynb" in said


def test_chapters_run_in_an_empty_folder(tmp_path):
    "Nothing of the repository is found by a relative path, and the cells share their names"
    path = notebook(tmp_path, "import os; here = os.listdir()", "assert here == [], here", "#| slow\n1/0")
    code, _, said = run_chapters.run_apart(sys.executable, path, ["slow"])
    assert code == 0, said


@pytest.mark.parametrize("break_it, says", [
    (lambda repo: (repo / "drlit/profiles.py").open("a").write("x = 1\n"), "OUT OF SYNC: drlit"),
    (lambda repo: (repo / "drlit/orphan.py").write_text("# AUTOGENERATED! DO NOT EDIT! File to edit: ../nbs/99_gone.ipynb.\n"), "OUT OF SYNC: drlit"),
    (lambda repo: (repo / "nbs/00_profiles.ipynb").write_text("{"), "JSONDecodeError"),
], ids=["edited module", "orphan module", "corrupt notebook"])
def test_check_sync_notices(tmp_path, break_it, says):
    repo = tmp_path / "repo"
    for name in ("pyproject.toml", "README.md", "tools/check_sync.sh", "nbs/00_profiles.ipynb", "drlit/__init__.py", "drlit/_nbdev.py"):
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, repo / name)
    (repo / "tests").mkdir()
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(repo)}
    check = ["bash", repo / "tools/check_sync.sh"]
    subprocess.run(["git", "init", "-q", repo], check=True)
    subprocess.run(["nbdev-export"], cwd=repo, env=env, check=True)
    assert subprocess.run(check, env=env, capture_output=True).returncode == 0
    break_it(repo)
    done = subprocess.run(check, env=env, capture_output=True, text=True)
    assert done.returncode == 1 and says in done.stdout + done.stderr, done.stdout + done.stderr
