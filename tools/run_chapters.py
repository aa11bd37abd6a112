"""Run every chapter top to bottom, as a reader in Colab would: with an installed drlit, each in an empty folder. Nothing is saved.

This is also CI's test of the notebooks: the cells run here are the ones that `nbdev-test` would run, but against the wheel and not the repository.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIRECTIVE = re.compile(r"^#\|\s*([\w-]+)\s*:?\s*(.*?)\s*$")


def directives(source):
    "The `#| name: value` lines on top of a cell"
    lines = (DIRECTIVE.match(line) for line in source.splitlines())
    found = {}
    for m in lines:
        if not m:
            break
        found[m[1]] = m[2]
    return found


def runs(source, flags):
    "Whether a reader's 'run all' should run this cell: not switched off, none of the flags on it"
    d = directives(source)
    return d.get("eval", "true").lower() != "false" and not set(flags) & set(d)


def run_one(path, flags):
    "Run the code cells of one notebook in an IPython shell; 1 and a traceback at the first that fails"
    from IPython.core.interactiveshell import InteractiveShell
    shell = InteractiveShell.instance()
    for cell in json.loads(Path(path).read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code" or not runs(source, flags):
            continue
        if not shell.run_cell(source).success:
            print(f"in cell {cell['id']} of {Path(path).name}")
            return 1
    return 0


def run_apart(python, path, flags):
    "Run one notebook in a process and an empty folder of its own: (exit status, seconds, what it printed)"
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryDirectory() as profile:
        env = {**os.environ, "MPLBACKEND": "agg", "IPYTHONDIR": profile}
        t = time.perf_counter()
        p = subprocess.run([python, "-I", __file__, "--one", str(path), "--flags", *flags],
                           cwd=empty, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return p.returncode, time.perf_counter() - t, p.stdout


def main(args):
    from nbdev.config import get_config
    flags = get_config(ROOT).tst_flags
    flags = flags.split() if isinstance(flags, str) else list(flags)
    paths = [Path(p).resolve() for p in args.notebooks] or sorted((ROOT / "nbs").glob("*.ipynb"))
    python = str(Path(args.python).absolute())
    with ThreadPoolExecutor(args.jobs) as pool:
        failed = 0
        for path, (status, seconds, text) in zip(paths, pool.map(lambda p: run_apart(python, p, flags), paths)):
            print(f"{'ok  ' if status == 0 else 'FAIL'} {seconds:6.1f} s  {path.name}", flush=True)
            if status:
                failed += 1
                print(text, flush=True)
    print(f"{len(paths) - failed} of {len(paths)} chapters ran")
    return failed > 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", help="all of nbs/ if none is named")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has drlit installed")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--flags", nargs="*", default=[], help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.exit(run_one(args.one, args.flags) if args.one else main(args))
