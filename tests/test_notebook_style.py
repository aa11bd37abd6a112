"""The form of the chapters: short cells, a picture each, clean outputs, citations that exist. A failure names the notebook and the cell."""
import ast
import importlib.util
import re
from statistics import median

import pytest
from chapters import CHAPTERS, NBS, NOTEBOOKS, cells, code, prose, tree

COLAB = "#| include: false\n#| eval: false\n%pip install -q drlit"
NO_PICTURE = {"00_profiles"}  # a settings file has nothing to show
PATHS = re.compile(r"(?<![\w.<:/])/(?:home|root|tmp|usr|opt|var|mnt|work|workspace|content|private|Users)/\w|\b[A-Z]:\\\\?Users")
EMOJI = re.compile("[\U0001F300-\U0001FAFF\u2600-\u26FF\u2705\u274C\u2728]")

spec = importlib.util.spec_from_file_location("drlit_book", NBS / "_ext" / "drlit_book.py")
book = importlib.util.module_from_spec(spec)
spec.loader.exec_module(book)


def lines(cell):
    "How many lines of a cell say something: blank ones and directives left out"
    return sum(bool(line.strip()) and not line.startswith("#|") for line in cell["text"].splitlines())


def said(output):
    "The text of one output, pictures left out"
    parts = [output.get("text", []), *(v for k, v in output.get("data", {}).items() if k.startswith("text/"))]
    return "\n".join("".join(p) for p in parts)


def pictures(cell):
    return [k for o in cell["outputs"] for k in o.get("data", {}) if k.startswith("image/")]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_first_cells(name):
    title, colab, *rest = cells(name)
    assert title["cell_type"] == "markdown" and re.match(r"# .+\n\n> .+", title["text"]), f"{title['where']}: begin with '# Title' and '> one-line summary'"
    assert colab["text"] == COLAB, f"{colab['where']}: the second cell is the one for Colab:\n{COLAB}"
    if name in CHAPTERS: assert rest[0]["text"].startswith("#| default_exp "), f"{rest[0]['where']}: the third cell names the module to export"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_cells_are_short(name):
    long = [f"{c['where']}: {lines(c)} lines" for c in code(name) if lines(c) > 30]
    assert not long, "\n".join(["no cell over 30 lines", *long])
    told = [n for c in code(name) if "test" not in c["directives"] and (n := lines(c))]
    assert median(told) <= 6, f"nbs/{name}.ipynb: the median cell, tests aside, has {median(told)} lines, at most 6"
    counts = sorted(n for c in code(name) if (n := lines(c)))
    assert counts[int(.9 * (len(counts) - 1))] <= 15, f"nbs/{name}.ipynb: nine cells in ten have at most 15 lines, here {counts[int(.9 * (len(counts) - 1))]}"


@pytest.mark.parametrize("name", [n for n in CHAPTERS if n not in NO_PICTURE])
def test_a_picture_in_every_chapter(name):
    shown = [c for c in code(name) if c["directives"].get("include") != "false" and pictures(c)]
    assert shown, f"nbs/{name}.ipynb: no cell shows a picture"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_outputs_are_clean(name):
    wrong = []
    for c in code(name):
        for o in c["outputs"]:
            if o["output_type"] == "error": wrong.append(f"{c['where']}: ends in {o['ename']}")
            if m := PATHS.search(said(o)): wrong.append(f"{c['where']}: the output shows the absolute path {m[0]}...")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_emoji(name):
    assert not [c["where"] for c in cells(name) if EMOJI.search(c["text"])]


@pytest.mark.parametrize("name", CHAPTERS)
def test_exported_imports(name):
    "Named, absolute, and in cells of their own: nbdev runs a cell that mixes imports with code even when it should not"
    wrong = []
    for c in code(name):
        if not {"export", "exporti"} & set(c["directives"]): continue
        body = tree(c).body
        imported = [n for n in body if isinstance(n, ast.Import | ast.ImportFrom)]
        if imported and len(imported) < len(body): wrong.append(f"{c['where']}: imports and code in one exported cell")
        wrong += [f"{c['where']}: import *" for n in imported for a in n.names if a.name == "*"]
        wrong += [f"{c['where']}: relative import" for n in imported if getattr(n, "level", 0)]
    assert not wrong, "\n".join(wrong)


def bibliography():
    return re.findall(r"^@\w+\{([^,\s]+),", (NBS / "references.bib").read_text(encoding="utf-8"), re.M)


def cited(text):
    "The keys of `@key` and `[@key]` outside code, cross-references left out"
    for part in book.CODE.split(text)[::3]:
        for key in book.REFERENCE.findall(part):
            if key.split("-")[0] not in book.ROLES: yield key


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_citations_exist(name):
    wrong = [f"{c['where']}: @{key}" for c in prose(name) for key in cited(c["text"]) if key not in bibliography()]
    assert not wrong, "\n".join(["not in nbs/references.bib", *wrong])


def test_bibliography_keys_are_unique():
    keys = bibliography()
    assert sorted(set(keys)) == sorted(keys)


@pytest.mark.parametrize("text, found", [
    ("ran in ~home~me~x", True), ("wrote ~tmp~a", True), ("src=~var~x", True),
    ("see https:~~x.org~home~me", False), ("n~a, and~or", False), ("<~figure~>", False),
])
def test_the_search_for_paths(text, found):
    assert bool(PATHS.search(text.replace("~", "/"))) == found  # so that no path stands here
