#!/usr/bin/env python
"""Write tests/code_pins.json: for each module that has a VERSION, the number and a hash of its code without comments and docstrings.

    python tools/pin_code.py

Run it after raising a VERSION, or after a change of code that cannot change a result. tests/test_code_pins.py compares."""
import ast
import hashlib
import json
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / "tests" / "code_pins.json"
sys.path.insert(0, str(ROOT))


def modules():
    "Dotted names of the modules of drlit, without the packages' __init__ and nbdev's own"
    files = (p.relative_to(ROOT).with_suffix("") for p in sorted((ROOT / "drlit").rglob("*.py")))
    return [".".join(f.parts) for f in files if not f.name.startswith("_")]


def plain(x):
    "A syntax tree as lists of text, alike in every Python version: no positions, no empty fields, no docstrings, no export list, no version"
    if isinstance(x, list):
        return [plain(v) for v in x if not skipped(v)]
    if not isinstance(x, ast.AST):
        return repr(x)
    return [type(x).__name__, *([k, plain(v)] for k, v in ast.iter_fields(x) if v not in (None, []) and k not in ("ctx", "kind", "type_comment"))]


def skipped(node):
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return True
    return isinstance(node, ast.Assign) and bool({"VERSION", "__all__"} & {n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)})


def code_hash(source):
    return hashlib.sha256(json.dumps(plain(ast.parse(source).body)).encode()).hexdigest()[:16]


def pins():
    "tag -> [version, hash of the code]"
    loaded = {name: import_module(name) for name in modules()}
    return {m.TAG: [m.VERSION, code_hash(Path(m.__file__).read_text(encoding="utf-8"))] for m in loaded.values() if "TAG" in vars(m)}


if __name__ == "__main__":
    PINS.write_text(json.dumps(pins(), indent=1, sort_keys=True) + "\n")
    print(f"{PINS.relative_to(ROOT)}: {len(json.loads(PINS.read_text()))} modules")
