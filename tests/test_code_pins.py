"""Code that changed under an unchanged VERSION would keep its old answers: the pinned hashes of every module that has one say so."""
import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from drlit.core import modules_used, versions

ROOT = Path(__file__).resolve().parents[1]
spec = spec_from_file_location("pin_code", ROOT / "tools" / "pin_code.py")
pin_code = module_from_spec(spec)
spec.loader.exec_module(pin_code)

# These compute nothing that is stored under a key.
NO_VERSION = {"budgets", "cli", "claims", "engines", "mirror", "profiles", "records", "report"}


def complaints(pinned, now):
    "What is wrong with the pins, a line a module"
    refresh = "refresh the pin with `python tools/pin_code.py`"
    for tag in sorted({*pinned, *now}):
        if tag not in pinned or tag not in now:
            yield f"{tag}: {'not pinned' if tag in now else 'pinned, but gone'}; {refresh}"
        elif now[tag][0] < pinned[tag][0]:
            yield f"{tag}: VERSION {now[tag][0]} was {pinned[tag][0]} before; a number that was used is not used again"
        elif now[tag][0] > pinned[tag][0]:
            yield f"{tag}: VERSION was raised to {now[tag][0]}; {refresh}"
        elif now[tag][1] != pinned[tag][1]:
            yield f"{tag}: the code changed; raise VERSION of {tag}, or, if results cannot change, {refresh}"


def test_code_changes_with_its_version():
    said = list(complaints(json.loads(pin_code.PINS.read_text()), pin_code.pins()))
    assert not said, "\n".join(said)


@pytest.mark.parametrize("now, words", [
    ([1, "a"], None), ([1, "b"], "raise VERSION of x"), ([2, "b"], "refresh the pin"), ([0, "a"], "not used again"), (None, "gone"),
])
def test_what_the_pins_say(now, words):
    said = list(complaints({"x": [1, "a"]}, {} if now is None else {"x": now}))
    assert (not said) if words is None else (len(said) == 1 and words in said[0])


def test_only_code_counts():
    same = ['def f(x):\n    return x + 1', 'def f(x): # adds\n    "Adds one"\n    return (x + 1)', '__all__ = ["f"]\nTAG, VERSION = "a", 7\ndef f(x): return x + 1']
    assert len({pin_code.code_hash(s) for s in same}) == 1
    other = ["def f(x): return x + 2", "def f(y): return y + 1", "def f(x=0): return x + 1", "@cache\ndef f(x): return x + 1"]
    assert len({pin_code.code_hash(s) for s in [same[0], *other]}) == 5


def test_every_module_that_computes_has_a_version():
    names = {n.removeprefix("drlit.") for n in pin_code.modules()}
    tags = {n: versions(f"drlit.{n}") for n in names}
    assert {n for n in names if not hasattr(sys.modules[f"drlit.{n}"], "TAG")} <= NO_VERSION
    own = [sys.modules[f"drlit.{n}"].TAG for n in names - NO_VERSION]
    assert len(own) == len({*own}) and all(sys.modules[f"drlit.{n}"].TAG in tags[n] for n in names - NO_VERSION)


def test_the_walk_finds_what_python_imports():
    "What a fresh interpreter has loaded after importing a module is what its source is said to use, lazy imports aside"
    program = "import sys, json; __import__({!r}); print(json.dumps(sorted(m for m in sys.modules if m.startswith('drlit.'))))"
    for name in ("drlit.attacks.updates_leak", "drlit.targets"):
        done = subprocess.run([sys.executable, "-c", program.format(name)], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
        loaded = {*json.loads(done.stdout.splitlines()[-1])} - {"drlit.attacks", "drlit.metrics"}
        used = {*modules_used(name)}
        assert loaded <= used, loaded - used
        assert used == loaded, used - loaded
