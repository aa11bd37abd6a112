"""Build the wheel (from the source archive) and install it into two new environments that hold declared dependencies and nothing else.

DIR/run is what `pip install drlit` gives, DIR/test what `pip install drlit[test]` gives: `python tools/wheel_env.py DIR`. The dependencies are links into
the environment that runs this script: the same versions, no second download of PyTorch. Links are made for the closure of the requirements only, so an
undeclared import fails there as it would for a user.
"""
import subprocess
import sys
import sysconfig
from importlib.metadata import distribution
from pathlib import Path
from shutil import rmtree
from venv import EnvBuilder

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def needed(dist, extras=("",)):
    "Requirements of a distribution that apply on this machine"
    for line in dist.requires or []:
        req = Requirement(line)
        if not req.marker or any(req.marker.evaluate({"extra": e}) for e in extras):
            yield req


def closure(name, extras=("",)):
    "Every distribution that installing `name` brings along, by canonical name"
    found, todo = {}, list(needed(distribution(name), extras))
    while todo:
        req = todo.pop()
        key = (canonicalize_name(req.name), tuple(sorted(req.extras)))
        if key not in found:
            found[key] = distribution(req.name)
            todo += needed(found[key], ("", *req.extras))
    return {key: dist for (key, _), dist in found.items()}


def link(dist, src, dst):
    "Link the top-level files and folders of a distribution from one site-packages into another"
    tops = {Path(f).parts[0] for f in dist.files or []} - {"..", "__pycache__"}
    for top in tops:
        if not (dst / top).exists():
            (dst / top).symlink_to(src / top)


def build(folder):
    "The wheel, built from the source archive as pip would build it"
    rmtree(folder, ignore_errors=True)
    done = subprocess.run([sys.executable, "-m", "build", "-o", folder, ROOT], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return next(folder.glob("*.whl"))


def environment(env, wheel, extras):
    "A new environment with the wheel and its dependencies, checked by pip and by an import from elsewhere"
    EnvBuilder(clear=True, with_pip=False).create(env)
    src = Path(sysconfig.get_paths()["purelib"])
    dst = Path(sysconfig.get_paths(vars={"base": str(env), "platbase": str(env)})["purelib"])
    dists = closure("drlit", extras)
    for dist in dists.values():
        link(dist, src, dst)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(env / "bin" / "python")]
    subprocess.run([*pip, "install", "-q", "--no-deps", wheel], check=True, stderr=subprocess.DEVNULL)
    subprocess.run([*pip, "check"], check=True, stdout=subprocess.DEVNULL)
    where = "import drlit, pathlib; print(pathlib.Path(drlit.__file__).parent)"
    found = subprocess.run([env / "bin" / "python", "-I", "-c", where], check=True, capture_output=True, text=True, cwd="/").stdout.strip()
    if Path(found) != dst / "drlit":
        sys.exit(f"drlit was imported from {found}, not from the wheel")
    return len(dists)


def main(folder):
    wheel = build(ROOT / "build" / "dist")
    counts = {name: environment(folder / name, wheel, extras) for name, extras in (("run", ("",)), ("test", ("", "test")))}
    print(f"{wheel.name}; dependencies: {counts['run']} to run, {counts['test']} with the chapters' tests")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
