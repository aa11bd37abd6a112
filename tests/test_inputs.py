"""Every input answered: hundreds of wrong inputs, each refused in one line that names it, with exit code 2 and nothing written; and those that must pass."""
import json
import os
import signal
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drlit.attacks.base import REGISTRY, attack, attacks
from drlit.cli import main, parse
from drlit.models import Training
from drlit.profiles import InputError, expected, profile, read_grid, types_of
from drlit.targets import Recipe

LIMIT = 60  # seconds for an input, on a busy machine; most take milliseconds
SETTINGS = """\
[DEFAULT]
data = digits
similar = glyphs
attacks = mi_face, nulls
sizes = 20
metrics = mse
permutations = 99
[quick]
[quick:training]
max_epochs = 30
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    "A folder with small settings, images, a file and a folder"
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "settings.ini").write_text(SETTINGS)
    x, y = np.random.default_rng(0).random((60, 1, 16, 16), dtype=np.float32), np.arange(60) % 3
    np.savez(folder / "ok.npz", images=x, labels=y), np.savez(folder / "x.npz", images=x)
    (folder / "file").write_text("words"), (folder / "folder").mkdir(), (folder / "empty").write_bytes(b"")
    os.mkfifo(folder / "fifo")
    return folder


class Late(BaseException):
    "No Exception, since the benchmark files these as failed cells and goes on"


@contextmanager
def limit(seconds):
    "An error where the block takes longer"
    def late(*_): raise Late(f"still running after {seconds} s")
    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try: yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


@pytest.fixture
def run(here, capsys, monkeypatch):
    "Run the command: exit code, standard output, standard error; what it wrote is an error"
    monkeypatch.chdir(here)
    for name in ("DRLIT_DEBUG", "OPENAI_API_KEY"): monkeypatch.delenv(name, raising=False)
    def of(*args, settings="settings.ini"):
        monkeypatch.setenv("DRLIT_SETTINGS", str(settings))
        capsys.readouterr()
        before = sorted(here.rglob("*"))
        with limit(LIMIT):
            try: code = main([str(a) for a in args])
            except SystemExit as e: code = e.code or 0
        assert sorted(here.rglob("*")) == before, "something was written"
        return code, *capsys.readouterr()
    return of


@pytest.fixture
def refused(run):
    "Run what must be refused: one line that holds these words"
    def of(*args, says, **more):
        code, out, err = run(*args, **more)
        lines = err.splitlines()
        assert code == 2 and not out and len(lines) == 1 and lines[0].startswith("drlit: "), (args, code, out, err)
        for word in [says] if isinstance(says, str) else says: assert word in lines[0], (args, word, err)
        assert len(lines[0]) < 1500, err
    return of


# ---------------------------------------------------------------- numbers

NONE = ["", " ", "nan", "inf", "-inf", "Infinity", "1" + "0" * 23, "9" * 5000, "٣", "１２", "½", "abc", "0x10", "1_000", "1 2", "true", "null", "[]", "-1", "1e999"]
FRACTIONS, LISTS = ["1.5", "1e3", "2.0"], [",", " , ,", "1,x", "1,-2", "1,nan", "1;2"]
NUMBERS = [  # command, its option, and what is refused beside `NONE`
    (["bench"], "--sizes", ["0", *FRACTIONS, *LISTS]), (["bench"], "--seeds", [*FRACTIONS, *LISTS, str(2**63)]),
    (["bench"], "--jobs", ["0", "1000000", "1,2", *FRACTIONS]), (["bench"], "--retries", ["1000", *FRACTIONS]),
    (["bench"], "--cpus-per-cell", ["1e9"]), (["bench"], "--gpus-per-cell", ["1e9", "a half"]),
    (["score", "ok.npz", "ok.npz"], "--permutations", ["0", "1000000000", *FRACTIONS]), (["score", "ok.npz", "ok.npz"], "--seed", FRACTIONS),
    (["status", "folder"], "--every", ["0", "1e9"]),
    *[(["judge", "folder", "--attack", "mi_face"], option, wrong) for option, wrong in [
        ("--votes", ["0", "1000000", *FRACTIONS]), ("--targets", ["0", "1000000000", *FRACTIONS]), ("--size", ["0", *FRACTIONS]), ("--seed", FRACTIONS),
        ("--concurrency", ["0", "1000000", *FRACTIONS]), ("--image-size", ["0", "1", "1000000000", *FRACTIONS]), ("--rpm", ["0"]), ("--timeout", ["0", "1e9"]),
        ("--budget", ["0", "1e30"]), ("--price", ["1", "1,2,3", "1,-2", "1,nan", ",", "a,b"])]],
]


@pytest.mark.parametrize("command, option, wrong", NUMBERS, ids=[f"{c[0]} {o}" for c, o, _ in NUMBERS])
def test_numbers_that_make_no_sense(command, option, wrong, refused):
    for text in [*NONE, *wrong]: refused(*command, option, text, says=[option, repr(text)[:50]])


SETS = ["temperature", "=1", "a b=1", "t=", "t=NaN", "t=Infinity", "t=1e999", "t={", "t=[1,", "t='x'", "t=" + "[" * 100_000, "ä=1", " =1", "t=1 2", "t=01", "t=٣"]


@pytest.mark.parametrize("text", SETS, ids=range(len(SETS)))
def test_fields_of_a_request_that_are_no_json(text, refused):
    refused("judge", "folder", "--attack", "mi_face", "--set", text, says=["--set", text[:40]])


# ---------------------------------------------------------------- words

WORDS = [
    (["bnch"], ["'bnch'", "bench"]), (["Bench"], ["'Bench'", "bench"]), ([""], "''"), (["bench", "extra"], "'extra'"), (["attacks", "mi_face"], "'mi_face'"),
    (["bench", "--attaks", "mi_face"], ["--attaks", "--attacks"]), (["bench", "--size", "20"], ["--size", "--sizes"]), (["status", "folder", "--onec"], ["--onec", "--once"]),
    (["report", "folder", "--fromat", "csv"], ["--fromat", "--format"]), (["score", "ok.npz", "ok.npz", "--metric", "mse"], ["--metric", "--metrics"]),
    (["judge", "folder", "--attack", "mi_face", "--vote", "1"], ["--vote", "--votes"]), (["claims", "--jsn"], ["--jsn", "--json"]),
    (["bench", "--attacks", "mi_fase"], ["'mi_fase'", "'mi_face'"]), (["bench", "--attacks", "mi_face,MI_FACE"], ["'MI_FACE'", "'mi_face'"]), (["bench", "--attacks", "null"], "'null'"),
    (["bench", "--arch", "vg16"], ["'vg16'", "'vgg16'"]), (["bench", "--variants", "plane"], ["'plane'", "'plain'"]), (["bench", "--metrics", "mse,psrn"], ["'psrn'", "'psnr'"]),
    (["bench", "--grants", "receipe"], ["'receipe'", "'recipe'"]), (["bench", "--profile", "quik"], ["'quik'", "'quick'"]), (["bench", "--profile", ""], "''"),
    (["bench", "--profile", "DEFAULT"], "'DEFAULT'"), (["bench", "--profile", "quick:training"], "'quick:training'"),
    (["bench", "--device", "cdua"], ["'cdua'", "'cuda'"]), (["bench", "--device", "cpu:x"], "cpu:x"), (["bench", "--engine", "lokal"], ["'lokal'", "'local'"]),
    (["report", "folder", "--format", "htlm"], ["'htlm'", "'html'"]), (["score", "ok.npz", "ok.npz", "--metrics", "sssim"], ["'sssim'", "'ssim'"]),
    (["judge", "folder", "--attack", "mi_face", "--mode", "pair"], ["'pair'", "'pairs'"]), (["judge", "folder", "--attack", "mi_face", "--order", "shufled"], ["'shufled'", "'shuffled'"]),
    *[(["bench", f"--{o}", text], f"--{o}") for o in ("attacks", "arch", "variants", "metrics", "grants") for text in ("", ",", " , ")],
    (["report", "folder", "--format", ","], "--format"), (["score", "ok.npz", "ok.npz", "--metrics", ""], "--metrics"),
    (["bench", "--data"], "--data"), (["score"], "REC.npz"), (["judge"], "RUN"), (["judge", "folder"], "--attack"),
    (["bench", "--data", "digit"], ["'digit'", "'digits'"]), (["bench", "--similar", "glyph"], ["'glyph'", "'glyphs'"]),
]


@pytest.mark.parametrize("args, says", WORDS, ids=[" ".join(a) for a, _ in WORDS])
def test_words_that_are_not_known(args, says, refused): refused(*args, says=says)


# ---------------------------------------------------------------- paths

LONG, RAW = "n" * 5000, os.fsdecode(b"caf\xe9")
PATHS = {"missing": ("gone", "gone"), "of a file that is none": ("file/x", "file/x"), "too long": (LONG, LONG[:50]), "with NUL": ("a\0b", "a\\x00b"), "with a newline": ("a\nb", "a\\nb"),
         "not UTF-8": (RAW, "caf"), "with an escape": ("\x1b[2J", "\\x1b[2J"), "empty": ("", "")}
COMMANDS = {"report": ["report", "{}"], "status": ["status", "{}"], "claims": ["claims", "{}"], "judge": ["judge", "{}", "--attack", "mi_face"], "score": ["score", "{}", "ok.npz"],
            "score's target": ["score", "ok.npz", "{}"], "score's held-out": ["score", "ok.npz", "ok.npz", "{}"], "data": ["bench", "--data", "{}.npz"], "similar": ["bench", "--similar", "{}.npz"],
            "grid": ["bench", "--grid", "{}"]}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", PATHS)
def test_paths_that_lead_nowhere(command, kind, refused):
    path, says = PATHS[kind]
    refused(*[a.format(path) for a in COMMANDS[command]], says=says)


SOMETHING = [(c, p) for c in ("report", "status", "judge", "score", "score's target", "grid") for p in ("folder", "file", "empty", "fifo")]


@pytest.mark.parametrize("command, path", [(c, p) for c, p in SOMETHING if (c, p) != ("report", "empty") and not (c.startswith("score") and p == "fifo")])
def test_paths_of_something_else(command, path, refused): refused(*[a.format(path) for a in COMMANDS[command]], says=path)


@pytest.mark.parametrize("path", ["file", "file/run", "/proc/run", LONG, "a\0b"], ids=["a file", "in a file", "not writable", "too long", "with NUL"])
def test_folders_that_cannot_be_written(path, refused):
    refused("bench", "--out", path, says=path[:40].replace("\0", "\\x00"))


# ---------------------------------------------------------------- settings files

INI = {  # the text, what the refusal names
    "a second section": (SETTINGS + "[quick]\n", "quick"), "a second key": ("[quick]\ndata = digits\ndata = x\n", "data"), "no section": ("data = digits\n", "settings file"),
    "not UTF-8": (b"[quick]\ndata = caf\xe9\n", "UTF-8"), "empty": ("", "'quick'"), "binary": (bytes(range(256)), "UTF-8"), "huge": (b"; " + b"x" * 2_000_000, "2000002"),
    "a misspelt key": ("[quick]\ndata = digits\nsize = 3\n", ["'size'", "'sizes'"]), "another case": ("[quick]\nData = digits\n", ["'Data'", "'data'"]),
    "no data": ("[quick]\nsizes = 5\n", "quick"), "empty data": ("[quick]\ndata =\n", "data=''"), "no profile": ("[quick]\ndata = digits\n[quik:mi_face]\nlr = 1\n", ["quik", "'quick'"]),
    "lost options": (SETTINGS + "[DEFAULT:mi_face]\nlr = 1\n", "DEFAULT:mi_face"), "an unfinished header": ("[quick\ndata = d\n", "settings file"), "two lines": ("[quick]\ndata = digits\nsizes = 5\n  6\n", "sizes"),
    **{f"sizes = {v[:9]}": (SETTINGS.replace("sizes = 20", f"sizes = {v}"), "sizes=") for v in ("", ",", "0", "-5", "1.5", "1e2", "nan", "1" + "0" * 23, "9" * 5000, "٣", "ten", "[20]", "20 30", "true")},
    **{f"seeds = {v[:9]}": (SETTINGS.replace("[quick]\n", f"[quick]\nseeds = {v}\n", 1), "seeds=") for v in ("-1", "0.5", "", "one", str(2**63), "٣")},
    **{f"permutations = {v}": (SETTINGS.replace("permutations = 99", f"permutations = {v}"), "permutations=") for v in ("0", "-1", "9,9", "1e3", "1000000000", "inf")},
    **{f"update_size = {v}": (SETTINGS.replace("[quick]\n", f"[quick]\nupdate_size = {v}\n", 1), "update_size=") for v in ("-1", "x", "1.5", "1" + "0" * 23)},
    **{f"attacks = {v}": (SETTINGS.replace("mi_face, nulls", v), v or "attacks=") for v in ("", "mi_fase", "all_")},
    **{f"training {k} = {v[:9]}": (SETTINGS + f"{k} = {v}\n", f"{k}") for k, v in [("lr", "0"), ("lr", "-1"), ("lr", "NaN"), ("lr", "Infinity"), ("lr", "1e23"), ("lr", "fast"), ("lr", "[1]"), ("lr", "true"),
        ("batch", "0"), ("batch", "2.5"), ("batch", "64.0"), ("batch", "1" + "0" * 23), ("batch", '"8"'), ("batch", "{}"), ("batch", "٣"), ("min_epochs", "31"), ("min_epochs", "-1"), ("optimizer", "adamw"), ("optimizer", "1"),
        ("stop_accuracy", "2"), ("dtype", "float16"), ("patience", "0"), ("epochs", "3"), ("weight_decay", "null"), ("lr", "[" * 5000), ("lr", "[1, 2"), ("lr", "9" * 5000)]},
    **{f"options {s}": (SETTINGS + f"[quick:{a}]\n{line}\n", [a, *words]) for s, a, line, words in [
        ("attack", "mi_fase", "lr = 1", ["'mi_face'"]), ("name", "mi_face", "step = 1", ["'step'", "'steps'"]), ("negative", "mi_face", "steps = -1", ["steps=-1"]), ("text", "mi_face", "steps = many", ["steps='many'"]),
        ("whole", "mi_face", "steps = 100.0", ["steps=100.0"]), ("choice", "mi_face", "x0 = grye", ["'grye'", "'grey'"]), ("list", "mi_face", "lr = [0.1]", ["lr="]), ("boolean", "mi_face", "steps = true", ["steps=True"]),
        ("betas", "kedmi", "betas = [0.5]", ["betas=[0.5]"]), ("betas of text", "plgmi", 'betas = ["a", "b"]', ["betas="]), ("a share", "mi_face", "confidence = 1.5", ["confidence=1.5"]),
        ("of a null", "null_noise", "steps = 5", ["'steps'"]), ("of the reference", "real_vs_real", "x = 1", []), ("nothing", "", "x = 1", []),
        ("of a target", "bias_rec", "target.widht = 5", ["'widht'", "'width'"]), ("of a target's size", "bias_rec", "target.sizes = [0]", ["sizes=[0]"]), ("of a target, text", "bias_rec", "target.sizes = 20", ["sizes=20"]),
        ("of a target's seed", "bias_rec", "target.seed = 5", ["'seed'"]), ("of a target's data", "bias_rec", "target.data = x", ["'data'"]), ("of a target's training", "bias_rec", 'target.training = {"lr": -1}', ["lr=-1"]),
        ("of a target's nested training", "bias_rec", 'target.training = {"lr": {"lr": 1}}', ["lr="]), ("of a target's bn", "mi_face", "target.bn = frosen", ["'frosen'", "'frozen'"]),
        ("of a target's arch", "mi_face", "target.arch = cnm", ["'cnm'"]) ]},
}
for case, says in {"options attack": ["mi_fase", "'mi_face'"], "options of a target's arch": "'cnm'"}.items(): INI[case] = (INI[case][0], says)


@pytest.mark.parametrize("case", INI)
def test_settings_that_are_refused(case, refused, tmp_path):
    text, says = INI[case]
    (tmp_path / "own.ini").write_bytes(text if isinstance(text, bytes) else text.encode())
    refused("bench", "--out", "run", settings=tmp_path / "own.ini", says=says)


@pytest.mark.parametrize("path", ["gone.ini", "folder", "fifo", LONG, "file"], ids=lambda p: p[:9])
def test_settings_that_are_no_file(path, refused): refused("bench", "--out", "run", settings=path, says=path[:40])


# ---------------------------------------------------------------- grids

WRONG = ["0", "-1", "1.5", "nan", "inf", "-inf", "true", '"ten"', "1" + "0" * 23, "[]", "[[20]]", '["20"]', "[20, 1.5]", "[true]", "{a = 1}", "2020-01-01", "07:32:00", '""', "[20, {}]"]
GRIDS = {
    "empty": ("", "says nothing"), "a comment": ("# nothing\n", "says nothing"), "not TOML": ("sizes = [1", "TOML"), "a second key": ("sizes = [5]\nsizes = [6]", "TOML"), "not UTF-8": (b'data = "caf\xe9"', "UTF-8"),
    "binary": (bytes(range(1, 256)), "UTF-8"), "nested": ("sizes = " + "[" * 5000, "TOML"), "huge": (b"# " + b"x" * 2_000_000, "2000002"), "other digits": ("sizes = [٣]", "TOML"),
    "one bracket": ("[set]\nsizes = [20]", "[[set]]"), "a set of numbers": ("set = [1, 2]", "[[set]]"), "no set": ("set = []", "set=[]"), "set as text": ('set = "digits"', "[[set]]"),
    "profile": ('profile = "quik"', ["'quik'", "'quick'"]), "profile's type": ("profile = 5", "profile=5"), "profiles": ('profile = ["quick"]', "profile="), "key": ('archs = "cnn"', ["'archs'", "'arch'"]),
    "key of a set": ("[[set]]\nsize = [20]", ["'size'", "'sizes'", "set 1"]), "name": ('name = "x"', "'name'"), "second set": ("[[set]]\nsizes = [20]\n[[set]]\nsizes = [0]", ["set 2", "sizes="]),
    "arch": ('arch = ["cnm"]', ["'cnm'", "'cnn'"]), "data": ("data = 5", "data=5"), "empty data": ('data = ""', "data=''"), "metrics": ('metrics = ["mse", 5]', "metrics="), "attacks": ('attacks = ["mi_fase"]', "'mi_fase'"),
    "no attacks": ("attacks = []", "attacks="), "variants": ('variants = ["plane"]', "'plane'"), "similar": ("similar = false", "similar=False"),
    **{f"sizes = {v[:9]}": (f"sizes = {v}", "sizes=") for v in WRONG}, **{f"update_size = {v[:9]}": (f"update_size = {v}", "update_size=") for v in WRONG if v != "0"},
    **{f"seeds = {v[:9]}": (f"seeds = {v}", "seeds=") for v in WRONG if v != "0"}, **{f"permutations = {v[:9]}": (f"permutations = {v}", "permutations=") for v in WRONG},
    **{f"options.mi_face.steps = {v[:9]}": (f"options.mi_face.steps = {v}", ["mi_face", "steps="]) for v in WRONG}, **{f"training.batch = {v[:9]}": (f"training.batch = {v}", ["training", "batch="]) for v in WRONG},
    **{f"{k} = {v}": (f"{k} = {v}", f"{k}=") for k in ("training", "options", "targets") for v in ("1", '"x"', "[]", "true", "[{}]")},
    **{f"{k}.mi_face = {v}": (f"{k}.mi_face = {v}", "mi_face=") for k in ("options", "targets") for v in ("1", '"x"', "[]", "true", "[{}]")},
    **{f"targets: {k} = {v}": (f"targets.bias_rec.{k} = {v}", k.split(".")[-1] if "pl" not in v and v != '"mpl"' else v.strip('"')) for k, v in [("sizes", "[]"), ("sizes", "[0]"), ("sizes", "[[20]]"), ("sizes", '"20"'), ("width", "0"), ("width", "1.5"), ("width", "nan"), ("arch", "5"),
        ("arch", '"mpl"'), ("update_size", "-1"), ("bn", '"off"'), ("init", '"zero"'), ("seed", "1"), ("size", "5"), ("data_hash", '"x"'), ("training", "5"), ("training.lr", "-1"), ("training.lrr", "1"), ("variant", '"plane"'),
        ("variant", "[]"), ("update", "{}"), ("update_index", "-1")]},
    "options of nobody": ("options.mi_fase.steps = 5", ["'mi_fase'", "'mi_face'"]), "targets of nobody": ("targets.mi_fase.width = 5", "'mi_fase'"), "epochs": ("training.max_epochs = 5", ["max_epochs=5", "min_epochs=30"]),
}


@pytest.mark.parametrize("case", GRIDS)
def test_grids_that_are_refused(case, refused, tmp_path):
    text, says = GRIDS[case]
    (tmp_path / "grid.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    refused("bench", "--grid", tmp_path / "grid.toml", "--out", "run", says=says)


# ---------------------------------------------------------------- what the types allow, generated

ANY = st.recursive(st.none() | st.booleans() | st.integers(-10**30, 10**30) | st.floats() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6)
CAREFUL = settings(derandomize=True, database=None, deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))


def sensible(text, v):
    "Does a value agree with the words of a type? Written from the words alone"
    kinds = {"a whole number": lambda v: type(v) is int, "a finite number": lambda v: type(v) in (int, float) and abs(v) < float("inf"), "true or false": lambda v: type(v) is bool, "text": lambda v: type(v) is str}
    bounds = {"at least": lambda v, b: v >= b, "above": lambda v, b: v > b, "at most": lambda v, b: v <= b, "below": lambda v, b: v < b, "length at least": lambda v, b: len(v) >= b, "length at most": lambda v, b: len(v) <= b}
    for part in text.split(" or ") if text != "true or false" else [text]:
        if part == "null" and v is None: return True
        if part.startswith("one of ") and v in part.removeprefix("one of ").split(", "): return True
        if part.startswith("a list of 2: "): return isinstance(v, list) and len(v) == 2 and all(sensible(p, w) for p, w in zip(part.removeprefix("a list of 2: ").split("; "), v))
        first, *rest = part.split(", ")
        if first in kinds and kinds[first](v) and all(bounds[b.rsplit(" ", 1)[0]](v, float(b.rsplit(" ", 1)[1])) for b in rest): return True
    return False


FIELDS = [(name, field) for name in attacks() for field in types_of(REGISTRY[name])]


def test_every_option_has_a_type_with_bounds():
    for make in [*(REGISTRY[name] for name in attacks()), Training]:
        for field, hint in types_of(make).items():
            assert hint is bool or "," in expected(hint) or "one of" in expected(hint) or "list" in expected(hint), f"{make.__name__}.{field}: {expected(hint)}"


@pytest.mark.parametrize("name, field", FIELDS)
def test_options_take_what_their_types_say(name, field):
    "Whatever is given: taken if it agrees with the type's words, and refused in one line that names the option if not"
    says = expected(types_of(REGISTRY[name])[field])

    @CAREFUL
    @given(ANY)
    def check(v):
        try: made = attack(name, **{field: v})
        except InputError as e:
            assert not sensible(says, v) and field in str(e) and len(str(e).splitlines()) == 1
        else: assert sensible(says, v) and json.dumps(getattr(made, field)) == json.dumps(v)
    check()


@CAREFUL
@given(st.dictionaries(st.sampled_from([*Training.__dataclass_fields__, "epochs"]), ANY, max_size=3))
def test_training_takes_what_its_types_say(fields):
    says = {k: expected(t) for k, t in types_of(Training).items()}
    good = all(k in says and sensible(says[k], v) for k, v in fields.items())
    try: Training(**{k: v for k, v in fields.items() if k in says})
    except InputError as e: assert not good or "max_epochs" in str(e)
    else: assert good or "epochs" in fields


@pytest.mark.parametrize("fields", [dict(size=0), dict(size=1.), dict(size="5"), dict(size=True), dict(seed=-1), dict(seed=None), dict(arch=5), dict(arch=["cnn"]), dict(arch="cnm"), dict(update_size=-1), dict(width=0), dict(bn="off"),
                                    dict(init="zero"), dict(training={}), dict(training="fast"), dict(update=None), dict(update_index=1.5), dict(size=10**23)], ids=str)
def test_recipes_that_make_no_sense(fields):
    with pytest.raises(InputError) as e: Recipe(**{**dict(data="d", data_hash="h", size=5), **fields})
    assert next(iter(fields)) in str(e.value) or "unknown architecture" in str(e.value)


TOML = st.recursive(st.booleans() | st.integers(-10**30, 10**30) | st.floats() | st.text(st.characters(codec="ascii", exclude_characters="\x7f"), max_size=6), lambda inner: st.lists(inner, max_size=3), max_leaves=4)


def written(v):
    "A value as TOML"
    if isinstance(v, bool): return str(v).lower()
    if isinstance(v, list): return f"[{', '.join(map(written, v))}]"
    return json.dumps(v) if isinstance(v, str) else repr(v)


@CAREFUL
@given(st.dictionaries(st.sampled_from(["sizes", "seeds", "arch", "variants", "metrics", "attacks", "data", "similar", "update_size", "permutations", "training", "options", "targets", "set", "profile"]), TOML, max_size=4))
def test_any_grid_is_read_or_refused(tmp_path_factory, d):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text("".join(f"{k} = {written(v)}\n" for k, v in d.items()), encoding="utf-8")
    try: found = read_grid(path)
    except InputError as e: assert len(str(e).splitlines()) == 1
    else: assert all(type(n) is int and n >= 1 for p in found for n in (*p.sizes, p.permutations)) and all(type(n) is int and n >= 0 for p in found for n in p.seeds)


@CAREFUL
@given(st.text(max_size=60), st.sampled_from(["", "[quick]\n", "[quick]\ndata = digits\n", SETTINGS]))
def test_any_settings_are_read_or_refused(tmp_path_factory, text, start):
    path = tmp_path_factory.getbasetemp() / "any.ini"
    path.write_text(start + text, encoding="utf-8", errors="replace")
    try: profile("quick", path)
    except InputError as e: assert len(str(e)) < 1500


# ---------------------------------------------------------------- what must pass

FINE = [
    (["bench", "--sizes", "20,40,"], dict(sizes=(20, 40))), (["bench", "--sizes", " 20 , 40"], dict(sizes=(20, 40))), (["bench", "--seeds", "0,1,0"], dict(seeds=(0, 1))), (["bench", "--seeds", "007"], dict(seeds=(7,))),
    (["bench", "--seeds", str(2**63 - 1)], dict(seeds=(2**63 - 1,))), (["bench", "--attacks", "mi_face,nulls,mi_face"], dict(attacks=("mi_face", "nulls"))), (["bench", "--gpus-per-cell", ".25"], dict(gpus_per_cell=.25)),
    (["bench", "--gpus-per-cell", "0"], dict(gpus_per_cell=0)), (["bench", "--retries", "0"], dict(retries=0)), (["bench", "--jobs", "+4"], dict(jobs=4)), (["score", "a", "b", "--permutations", "1000000"], dict(permutations=10**6)),
    (["judge", "r", "--attack", "a", "--price", "2.5,10"], dict(price=(2.5, 10))), (["judge", "r", "--attack", "a", "--price", "0, 0"], dict(price=(0, 0))), (["judge", "r", "--attack", "a", "--timeout", "1e2"], dict(timeout=100)),
    (["judge", "r", "--attack", "a", "--set", "temperature=1", "--set", "max_tokens=null"], dict(set=[("temperature", 1), ("max_tokens", None)])), (["judge", "r", "--attack", "a", "--set", 'x={"a": [1.5]}'], dict(set=[("x", {"a": [1.5]})])),
    (["status", "d", "--every", "0.5"], dict(every=.5)), (["report", "d", "--format", "csv,latex"], dict(format=("csv", "latex"))),
]


@pytest.mark.parametrize("args, holds", FINE, ids=[" ".join(a) for a, _ in FINE])
def test_words_that_are_fine(args, holds):
    found = vars(parse(args))
    assert {k: found[k] for k in holds} == holds


INI_FINE = {"a byte order mark": b"\xef\xbb\xbf" + SETTINGS.encode(), "Windows lines": SETTINGS.replace("\n", "\r\n").encode(), "other profiles": SETTINGS + "[more]\nsizes = 30\n[more:kedmi]\nsteps = 5\n",
            "options": SETTINGS + "[quick:mi_face]\nsteps = 5\nlr = 1\nconfidence = null\nx0 = grey\n[quick:plgmi]\nbetas = [0, 0.9]\n[quick:bias_rec]\ntarget.sizes = [20, 40]\ntarget.training = {\"lr\": 0.01}\n",
            "twice": SETTINGS.replace("sizes = 20", "sizes = 20, 20"), "comments": SETTINGS + "; the end\n# of it\n"}
GRIDS_FINE = {"a profile": 'profile = "quick"', "one value": "sizes = 20\nseeds = 3\narch = \"cnn\"", "a mark": "\ufeffsizes = [20]", "options": "[[set]]\noptions.mi_face.lr = 1\ntraining.batch = 8\ntargets.bias_rec.sizes = [20]\n[[set]]\nsimilar = \"\"\n"}


@pytest.mark.parametrize("case", [*INI_FINE, *GRIDS_FINE])
def test_settings_and_grids_that_are_fine(case, run, tmp_path):
    "A dry run ends with 0 and writes nothing"
    own, path = case in INI_FINE, tmp_path / "file"
    text = (INI_FINE if own else GRIDS_FINE)[case]
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    code, out, err = run("bench", "--dry-run", "--out", "folder", *([] if own else ["--grid", path]), **(dict(settings=path) if own else {}))
    assert code == 0 and "mi_face" in out and all(line.startswith("note: ") for line in err.splitlines()), err


@pytest.mark.parametrize("args", [["attacks"], ["attacks", "--json"], ["attacks", "--all"], ["--help"], ["--version"], ["bench", "--help"], ["score", "--help"], [], ["score", "ok.npz", "ok.npz", "--metrics", "mse"]], ids=" ".join)
def test_commands_that_are_fine(args, run):
    code, out, _ = run(*args)
    assert code == 0 and out
