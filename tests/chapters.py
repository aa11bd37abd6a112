"""What the tests of the book share: the chapters on disk, their cells, and the imports in them (no test in here)."""
import ast
import json
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT / "nbs"
CHAPTERS = sorted(p.stem for p in NBS.glob("[0-9]*.ipynb"))
NOTEBOOKS = ["index", *CHAPTERS]
DIRECTIVE = re.compile(r"^#\|\s*([\w-]+)\s*:?\s*(.*?)\s*$", re.M)


@cache
def cells(name):
    "The cells of a notebook, each with `text` (its source), `directives` and `where`, by which a failure names it"
    found = json.loads((NBS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    for c in found:
        c["text"] = "".join(c["source"])
        c["directives"] = dict(DIRECTIVE.findall(c["text"])) if c["cell_type"] == "code" else {}
        c["where"] = f"nbs/{name}.ipynb, cell {c['id']}"
    return found


def code(name):
    return [c for c in cells(name) if c["cell_type"] == "code"]


def prose(name):
    return [c for c in cells(name) if c["cell_type"] == "markdown"]


def tree(cell):
    "The syntax tree of a cell, IPython's % and ! lines blanked"
    return ast.parse(re.sub(r"^[%!].*$", "", cell["text"], flags=re.M))


def rank(name):
    "The number of a chapter; the front page reads everything"
    return int(name[:2]) if name[:2].isdigit() else 1000


@cache
def module_of(name):
    "What a chapter exports, as in `metrics.sample`; None for the front page"
    return next((c["directives"]["default_exp"] for c in code(name) if "default_exp" in c["directives"]), None)


@cache
def modules():
    "Exported module -> the chapter it comes from"
    return {module_of(name): name for name in CHAPTERS if module_of(name)}
