"""A chapter's number is its import rank: its cells import drlit modules of lower-numbered chapters only. And an attack never meets the truth."""
import ast

import pytest
from chapters import NOTEBOOKS, cells, code, module_of, modules, rank, tree

FREE = {"", "__version__", "attacks", "metrics", "results"}  # packages, the version and data files belong to no chapter
ATTACKS_MAY = {"core", "profiles", "taxonomy", "definitions", "models", "attacks.base", "attacks.class_inversion", "attacks.generators"}


def names(node):
    "The dotted names that one node of a syntax tree imports"
    if isinstance(node, ast.Import): return [a.name for a in node.names]
    if isinstance(node, ast.ImportFrom): return [f"{node.module}.{a.name}" for a in node.names] if not node.level else ["drlit." + "?" * node.level]
    if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in ("import_module", "__import__"):
        return [a.value for a in node.args[:1] if isinstance(a, ast.Constant)]
    return []


def imports(cell):
    "The drlit modules that a cell imports anywhere in it, without `drlit.`: the longest known prefix of each dotted name"
    for node in ast.walk(tree(cell)):
        for name in names(node):
            if name.split(".")[0] == "drlit":
                parts = name.split(".")[1:]
                prefixes = (".".join(parts[:i]) for i in range(len(parts), 0, -1))
                yield next((p for p in prefixes if p in modules()), parts[0] if parts else "")


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_imports_come_from_lower_chapters(chapter):
    wrong = []
    for cell in code(chapter):
        for module in imports(cell):
            source = modules().get(module)
            if source is None and module in FREE or source and rank(source) < rank(chapter): continue
            if source == chapter and {"test", "slow"} & {*cell["directives"]}: continue  # an exported test needs names with an underscore; other processes need the module
            wrong.append(f"{cell['where']}: imports drlit.{module}, " + (f"exported by {source}" if source else "which no chapter exports"))
    assert not wrong, "\n".join(["chapters import from lower-numbered ones only", *wrong])


@pytest.mark.parametrize("chapter", [c for c in NOTEBOOKS if (module_of(c) or "").startswith("attacks.")])
def test_attacks_import_no_truth(chapter):
    "The exported cells of an attack; its lesson cells may train a target and score it"
    wrong = [f"{cell['where']}: imports drlit.{module}" for cell in code(chapter) if "export" in cell["directives"]
             for module in imports(cell) if module not in ATTACKS_MAY | FREE]
    assert not wrong, "\n".join([f"an attack imports nothing but {', '.join(sorted(ATTACKS_MAY))}", *wrong])


@pytest.mark.parametrize("source, found", [
    ("from drlit.core import seed_of, generator", ["core", "core"]),
    ("import drlit.core as c", ["core"]),
    ("def f():\n    from drlit import core", ["core"]),
    ("import_module('drlit.core')", ["core"]),
    ("from drlit.cli import main", ["cli"]),
    ("from ..core import x", ["??"]),
    ("%matplotlib inline\nimport torch", []),
])
def test_the_reading_of_imports(source, found):
    assert list(imports({"text": source})) == found


def test_one_module_per_chapter():
    said = {name: [c["directives"]["default_exp"] for c in cells(name) if "default_exp" in c["directives"]] for name in NOTEBOOKS}
    assert {name: mods for name, mods in said.items() if len(mods) > 1} == {}
    assert len(modules()) == sum(map(len, said.values())), "two chapters export the same module"
