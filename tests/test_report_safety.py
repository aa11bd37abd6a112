"""What strangers wrote stays text: in pages, LaTeX, CSV, figures and on the terminal; and no image of a hidden set leaves."""
import csv
import io
import re
import shutil
from base64 import b64decode, b64encode
from dataclasses import asdict
from hashlib import sha256
from html.parser import HTMLParser
from io import BytesIO, StringIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from drlit import core
from drlit.attacks.base import attack
from drlit.bench import CLOSED, COLUMNS, LATER, WORDS, bench, collect, distances, open_run, sides
from drlit.claims import ledger, load_rows
from drlit.cli import main
from drlit.core import csv_text, read_json, read_npz, write_json, write_npz
from drlit.metrics.leakage import training_leakage
from drlit.profiles import InputError, Profile, visible
from drlit.records import sealed
from drlit.report import Results, check_rows, page, public, read_csv, report, results_of, table2, tex, with_adjusted, write_rows

PAYLOADS = ["<script>alert(1)</script>", "\"onload=\"alert(1)", "' onmouseover='alert(1)", "javascript:alert(1)", "</style><style>*{display:none}", "</script><script>alert(1)",
            "<svg onload=alert(1)>", "<math><mtext></math><img src=x onerror=alert(1)>", "<!--", "]]>", "&lt;script&gt;", "{{7*7}}", "{% raw %}", "a\u2028b\u2029c", "\x00\x1b[31m", "\u202egnp.exe",
            "$\\frac$ ${", "_hidden", "<a href=https://x.org>", "<base href=//x.org>", "<meta http-equiv=refresh content=0>", "x" * 5000]
TEXTS = ["attack", "data", "arch", "variant", "metric", "features", "error"]


def row(**changes):
    usual = dict(attack="a", family="optimisation", data="d", size=100, n=100, arch="cnn", variant="plain", control="none", seed=0, metric="mse", features="", value=.1, lo=.09,
        hi=.12, coverage=.3, floor=.1,
                 uniform=.6, heldout=.11, gap=.01, p=.02, queries=0, seconds=1., status="ok", error="", update_size=0, **dict.fromkeys(LATER, np.nan), **dict.fromkeys(WORDS, ""))
    return usual | changes


def rows(*of):
    return pd.DataFrame([row(**k) for k in of])[[*COLUMNS, "update_size"]]


def about(text, data=("d",)):
    plan = asdict(Profile("p", "d", attacks=("a",), similar="")) | dict(name=text, data=data[0], attacks=(text,), options={text: {text: text}}, targets={text: {text: text}})
    return dict(data={k: {"hash": text, "images": 1, "shape": [1, 2, 2], "publishable": True} for k in data}, plans=[plan], grants=[text], device=text, **dict.fromkeys(("drlit",
        "commit", "torch", "python"), text))


class Reader(HTMLParser):
    "Tags with their attributes, and the text of scripts and styles"
    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.code, self.text = [], {"script": [], "style": []}, ""
        self.feed(html)
    def handle_starttag(self, tag, attrs): self.tags.append((tag, dict(attrs)))
    def handle_data(self, data):
        if self.tags[-1:] and self.tags[-1][0] in self.code: self.code[self.tags[-1][0]].append(data)
        self.text += data


HARMLESS = set(("html head meta title link style body h1 h2 h3 p strong em ol li form label select option input button output div table thead tr th tbody td "
                "section img svg text line circle details summary code script span b dl dt dd").split())


def check_page(html):
    "Only our elements, no handler, no address, one script and one style, both named by the policy"
    found = Reader(html)
    assert {t for t, _ in found.tags} <= HARMLESS
    for tag, attrs in found.tags:
        assert not [k for k in attrs if k.startswith("on") or k in ("style", "srcdoc", "action", "formaction")], (tag, attrs)
        for k in ("src", "href", "xlink:href"): assert attrs.get(k, "data:").startswith("data:")
    assert [t for t, _ in found.tags].count("script") == [t for t, _ in found.tags].count("style") == 1
    policy = next(a["content"] for t, a in found.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    for kind in ("script", "style"):
        code = re.search(rf"<{kind}>(.*?)</{kind}>", html, re.S)[1]
        assert f"{kind}-src 'sha256-{b64encode(sha256(code.encode()).digest()).decode()}'" in policy
    return found


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_text_becomes_markup(payload):
    "In every text column, in the plan and what else stands beside the rows, in titles of pictures"
    odd = [{c: payload} for c in TEXTS if c != "error"] + [{"status": "failed", "error": payload, "attack": payload}, dict.fromkeys(TEXTS, payload)]
    frame = rows(*odd, *[{"attack": payload, "metric": m, "size": n, "data": payload, "features": "f"} for m in ("fd", "mse") for n in (100, 200, 300)])
    x = np.full((1, 1, 2, 2), 7, np.uint8)
    shown = [{"data": payload, "family": "optimisation", "arch": payload, "variant": payload, "size": 1, "n": 1, "update_size": 0, "seed": 0, "attack": payload, "labels": None, "reconstruction": x}]
    html = page(Results(frame, {payload: about(payload, (payload, "d"))}, shown), [{"title": payload, "attack": payload, "columns": 1, "rows": [{"name": payload,
        "images": ["data:,"], "numbers": [payload]}]}])
    found = check_page(html)
    if re.search("[<\"']", payload): assert payload not in re.sub(r"<(script|style)>.*?</\1>", "", html, flags=re.S)
    assert visible(payload) in found.text and not re.search("[\x00\x1b\u2028\u2029\u202e]", html)


def test_a_template_in_a_name_is_not_evaluated():
    assert "{{7*7}}" in page(Results(rows({"attack": "{{7*7}}"}))) and "{{ 7*7 }}" not in page(Results(rows({"attack": "{{7*7}}"})))


@pytest.mark.parametrize("column", CLOSED)
@pytest.mark.parametrize("value", ["<script>", "", "NONE", "none ", "ok", "null"])
def test_control_family_and_status_are_closed_sets(column, value, tmp_path):
    path = tmp_path / "results.csv"
    if value in CLOSED[column]: value = "?"
    path.write_text(csv_text(rows({}, {column: value, "value": .2, "seed": 1})))
    with pytest.raises(InputError, match=f"{column} is .*expected one of") as e: results_of(path)
    assert "\n" not in str(e.value)


SPECIAL = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "#": r"\#", "_": r"\_", "&": r"\&", "$": r"\$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


@pytest.mark.parametrize("payload", ["\\input{/etc/passwd}", "\\write18{id}", "\\immediate\\write18{id}", "%", "#_&~^\\{}$", "^^5cinput", "[5pt]", "*", "a\n\nb",
    "\\end{longtable}", "\x1b", "``", "x" * 5000])
def test_latex_prints_names(payload):
    "No command, comment or group of a name survives: without ours, none is left"
    out = tex(Results(rows(dict.fromkeys(TEXTS, payload), {"attack": payload, "status": "failed", "error": payload, "seed": 1}), {"r": about(payload, (payload,))}))
    want = "".join(SPECIAL.get(c, c) for c in visible(payload)).replace("`", r"\textasciigrave{}")
    assert want in out
    body = out.replace(want, "")
    assert set(re.findall(r"\\([a-zA-Z]+)", body)) <= {"usepackage", "scriptsize", "begin", "end", "caption", "toprule", "midrule", "bottomrule", "endhead", "footnotesize", "par",
        "downarrow", "uparrow", "textbackslash", "textless", "textgreater", "textbar", "textasciitilde", "textasciicircum"}
    assert not re.search(r"(^|\\\\)\s*[\[*]", out, re.M), "would be taken for an option of the line break before"
    assert out.count(r"\begin{") == out.count(r"\end{") and all(t.count("{") == t.count("}") for t in [re.sub(r"\\[\\{}]", "", out)])


CELLS = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\n=x", "'=x", "'tis", "''=", " =1", "\uff1d1", "=cmd|' /C calc'!A0", "a\rb", "a\nb", "null", "NA", "007", "1e5", "True",
    '"', ",", "x" * 5000, "-", ""]


def test_no_spreadsheet_runs_a_cell(tmp_path):
    "Neither in a run's results.csv nor in rows that travel; text comes back as it was, and numbers stay numbers"
    frame = rows(*[{"attack": v, "features": v, "variant": v, "error": v, "seed": i, "value": -.5 - i} for i, v in enumerate(CELLS)])
    (tmp_path / "a.csv").write_text(csv_text(frame), newline="")
    cells = list(csv.reader(StringIO(csv_text(frame), newline="")))
    text = [i for i, c in enumerate(cells[0]) if c in TEXTS]
    assert not [r[i] for r in cells for i in text if r[i][:1] in tuple("=+-@\t\r\n\uff1d")[:9] and r[i]]
    assert [float(r[cells[0].index("value")]) for r in cells[1:]] == frame.value.tolist()
    again = read_csv(tmp_path / "a.csv")
    for c in (*TEXTS, "value", "seed"): assert again[c].tolist() == frame[c].tolist(), c
    done = report(tmp_path / "a.csv", formats=("csv",), to=tmp_path / "out")[1]["csv"]
    assert sorted(read_csv(done).attack) == sorted(CELLS)


def test_a_lone_surrogate_is_written():
    "In a page"
    assert "caf\\udce9" in page(Results(rows({}), {"r": about("caf\udce9")}))


@pytest.fixture()
def drl(tmp_path, monkeypatch):
    "drl(*args) -> (exit code, stdout, stderr)"
    def run(*args):
        core._said.clear()
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as m:
            m.chdir(tmp_path), m.setattr("sys.stdout", out), m.setattr("sys.stderr", err)
            try: code = main([str(a) for a in args])
            except SystemExit as e: code = e.code
        return code, out.getvalue(), err.getvalue()
    return run


UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]")


def test_a_terminal_obeys_no_name(drl, tmp_path):
    bad = "\x1b[2J\x07\u202egnp\r\n\x9bq"
    (tmp_path / "r.csv").write_text(csv_text(rows(dict.fromkeys(TEXTS, bad), {"attack": bad, "status": "failed", "error": bad, "seed": 1})), newline="")
    for args in (("report", "r.csv", "--out", "o", "--format", "html,csv,latex"), ("claims", "r.csv"), ("report", bad), ("report", "r.csv", "--format", bad), ("status", bad)):
        code, out, err = drl(*args)
        assert not UNSEEN.search(out + err), (args, out[:300], err)


# ---------------------------------------------------------------- what a report is made of

BAD = {
    "another CSV": "a,b\n1,2\n", "empty": "", "header only": ",".join(COLUMNS) + "\n", "binary": "\x00\x01\x02", "text": "hello\n", "ragged": ",".join(COLUMNS) + "\n" + "1," * 60 + "\n",
    "size as text": csv_text(rows({"size": "many"})), "half an image": csv_text(rows({"size": 1.5})), "value as text": csv_text(rows({"value": "good"})), "infinite": csv_text(rows({"value": np.inf})),
    "ok without a value": csv_text(rows({"value": np.nan})), "contradiction": csv_text(rows({}, {"value": .2})), "no seed": csv_text(rows({}).drop(columns="seed")),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("command", ["report", "claims"])
def test_a_table_that_is_none_is_one_line(kind, command, drl, tmp_path):
    (tmp_path / "r.csv").write_text(BAD[kind], newline="")
    code, out, err = drl(command, "r.csv", *(["--out", "o"] if command == "report" else []))
    assert code == 2 and err.count("\n") == 1 and err.startswith("drlit: ") and "r.csv" in err and not out
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("args, word", [
    (["report", "r.csv"], "--out"), (["report", "r.csv", "--out", "o", "--format", "pdf"], "format"), (["report", "r.csv", "--out", "file"], "file"), (["report", "r.csv", "--out",
        "file/below"], "file"),
    (["report", "nowhere", "--out", "o"], "nowhere"), (["report", "r.csv", "--out", "/proc/nowhere"], "/proc/nowhere"), (["report", "folder", "--out", "o"], "folder"), (["claims",
        "folder"], "folder"), (["claims", "nowhere"], "nowhere"),
])
def test_a_report_that_cannot_be_made_is_one_line(args, word, drl, tmp_path):
    (tmp_path / "r.csv").write_text(csv_text(rows({})))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    code, out, err = drl(*args)
    assert code == 2 and err.count("\n") == 1 and word in err and (tmp_path / "file").read_text() == "mine"


def test_equal_rows_count_once_and_are_said(drl, tmp_path):
    "Two seeds, one of them twice: the mean is that of two"
    (tmp_path / "r.csv").write_text(csv_text(rows({"value": .1}, {"value": .1}, {"value": .4, "seed": 1})))
    code, out, err = drl("report", "r.csv", "--out", "o")
    assert code == 0 and "0.250" in out and "1 rows stand there more than once" in err


def test_rows_of_an_older_drlit_are_read(tmp_path):
    "Without the columns of this one: adjusted and forced follow from the others, the rest is empty"
    old = rows({}, {"attack": "real_vs_real", "family": "reference", "coverage": .5}, {"attack": "b", "floor": .6, "coverage": .6}).drop(columns=[*LATER, "update_size"])
    (tmp_path / "r.csv").write_text(old.to_csv(index=False))
    frame = with_adjusted(results_of(tmp_path / "r.csv").frame).set_index("attack")
    assert frame.adjusted["a"] == pytest.approx((.3 - .1) / (.5 - .1)) and np.isnan(frame.adjusted["b"])
    assert frame.forced["b"] == 1 and frame.forced["a"] == 0 and frame.training_leakage.isna().all()
    blind = with_adjusted(check_rows(old.assign(features=np.where(old.attack == "a", "matching=global", "")), "r")).set_index("attack")
    assert np.isnan(blind.adjusted["a"]), "the held-out images were matched by class, these over the whole set"


def test_a_table_says_what_a_coverage_can_be():
    [t] = table2(rows({"coverage_lo": .21, "coverage_hi": .39, "adjusted": .25, "forced": 0, "training_leakage": .01, "training_lo": -.001, "training_hi": .02}, {"attack": "b", "forced": 1}))
    at = {r[0]: dict(zip(t.header, r)) for r in t.rows}
    assert at["a"]["100 images"] == "0.100 (0.0900–0.120) [30%, 21–39%]" and at["a"]["adjusted"] == "25%"
    assert at["a"]["training leakage"] == "+0.010 (-0.0010 to +0.020)" and at["b"]["adjusted"] == "forced" and at["b"]["training leakage"] == ""
    assert "training leakage" not in table2(rows({}))[0].header
    html = page(Results(rows({"coverage_lo": .21, "coverage_hi": .39, "forced": 1, "training_leakage": .01})))
    assert "[30%, 21–39%]" in html and ">forced<" in html and "training leakage" in html


def test_training_leakage_is_that_of_the_stored_reconstructions(tmp_path):
    "In whatever order the two attacks were scored; scores without their sums give the difference alone"
    p = Profile("t", "digits", attacks=("deep_leakage",), sizes=(20,), update_size=10, metrics=("mse",), permutations=19, options={"deep_leakage": attack("deep_leakage").quick},
                training={"min_epochs": 1, "max_epochs": 1})
    frame = bench(p, tmp_path)
    assert set(frame.status) == {"ok"}
    r, at = open_run(p, tmp_path, dry=True), frame[(frame.attack == "deep_leakage") & (frame.arch == "cnn")].set_index("control")
    def measured(control):
        job = next(j for j in r.jobs if (j.cell.attack, j.cell.arch, j.cell.control) == ("deep_leakage", "cnn", control))
        return [distances(r.store.reconstruction(job.attack)[0], s, "mse") for s in sides(job.cell, r.shop.split(job.cell))]
    want = training_leakage(*measured("none"), *measured("held_out_key"))
    got = at.loc["none"]
    assert (got.training_leakage, got.training_lo, got.training_hi) == pytest.approx((want.value, want.lo, want.hi))
    assert at.training_leakage.drop("none").isna().all() and frame.forced.isin([0, 1]).all()
    for f in (tmp_path / "scores").glob("*.json"): write_json(f, sealed({k: v for k, v in read_json(f).items() if k != "sums"}))
    old = collect(tmp_path)
    old = old[(old.attack == "deep_leakage") & (old.arch == "cnn") & (old.control == "none")].iloc[0]
    assert old.training_leakage == pytest.approx(want.value) and np.isnan(old.training_lo)


def test_many_rows_are_each_counted_once():
    n = 10 ** 5
    few = rows({})
    frame = few.loc[np.zeros(n, int)].assign(seed=np.arange(n) % 1000, size=100 + np.arange(n) // 1000).reset_index(drop=True)
    assert len(check_rows(pd.concat([frame, frame[:7]], ignore_index=True), "rows")) == n


# ---------------------------------------------------------------- claims

def test_claims_of_no_rows():
    assert len(load_rows()) == 0 and {v.id for v in ledger(load_rows(None)) if v.verdict != "undecided"} <= {"C08", "C19"}


def test_claims_of_one_row_and_of_foreign_attacks(tmp_path):
    "Nothing to compare: undecided, without an error"
    (tmp_path / "r.csv").write_text(csv_text(rows({"metric": "fd", "features": "f"}, {"attack": "<b>"})))
    said = {v.id: v.verdict for v in ledger(load_rows(tmp_path / "r.csv"))}
    assert set(said) == {f"C{i:02}" for i in range(1, 21)} and {said[k] for k in ("C02", "C03", "C04", "C05", "C06")} == {"undecided"}


# ---------------------------------------------------------------- pictures of hidden sets

def colour(v): return np.full((3, 8, 8), v, "float32")


PRIVATE, AUXILIARY, MADE = 13 / 255, 57 / 255, 201 / 255  # the one gray value of every image of a kind


def grays(html):
    "The gray values of all pictures of a page"
    out = set()
    for data in re.findall(r'data:image/png;base64,([^"]+)"', html):
        x = np.asarray(Image.open(BytesIO(b64decode(data))))
        if x.ndim == 2 or x.shape[-1] == 3: out |= set(np.unique(x).tolist()) if x.shape[0] <= 8 else set()
    return out


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    "A run of an attack and of the nulls, every picture of which was overwritten: all real images are markers"
    out = tmp_path_factory.mktemp("kept")
    p = Profile("t", "digits", similar="glyphs", attacks=("mi_face", "null_auxiliary", "null_class_mean"), sizes=(20,), metrics=("mse",), permutations=19,
        options={"mi_face": {"steps": 2}}, training={"min_epochs": 1, "max_epochs": 1})
    bench(p, out)
    plan = read_json(out / "plan" / "plan.json")
    for j in plan["jobs"]:
        if j["cell"]["control"] != "none": continue
        own = {"optimisation": MADE, "null": AUXILIARY, "reference": PRIVATE}[j["family"]]
        real = np.stack([colour(PRIVATE)[:1]] * 2)
        write_npz(out / "pictures" / f"{j['attack']}.npz", labels=np.arange(2), reconstruction=np.stack([colour(own)[:1]] * 2), target=real, nearest=real, unseen=real,
            nearest_mse=np.ones(2), unseen_mse=np.ones(2))
    return out


@pytest.mark.parametrize("hidden, want", [((), {13, 57, 201}), (("digits",), {201}), (("glyphs",), {13, 201}), (("digits", "glyphs"), {201})])
def test_no_image_of_a_hidden_set_is_in_a_page(hidden, want, kept, tmp_path):
    "Whatever the files of the pictures hold: what the plan hides when the page is made is on none, nor among rows that travel"
    shutil.copytree(kept, tmp_path / "run")
    path = tmp_path / "run" / "plan" / "plan.json"
    plan = read_json(path)
    for name, d in plan["data"].items(): d["publishable"] = name not in hidden
    write_json(path, sealed(plan))
    _, files = report(tmp_path / "run")
    assert grays(files["html"].read_text()) == want
    write_rows(tmp_path / "run", tmp_path / "rows")
    stored = {int(v) for x in read_npz(tmp_path / "rows" / "run.npz").values() for v in np.unique(x)}
    assert stored <= want
    _, files = report(tmp_path / "rows", to=tmp_path / "page")
    assert grays(files["html"].read_text()) <= want


def test_rows_that_hold_hidden_images_show_none():
    "As an older drlit, or a stranger, may have written them"
    x = lambda v: np.full((2, 1, 8, 8), v, np.uint8)
    shown = [{"data": "d", "family": f, "arch": "cnn", "variant": "plain", "size": 1, "n": 1, "update_size": 0, "seed": 0, "attack": f, "labels": [0, 1], "reconstruction": x(v),
        "target": x(13)} for f, v in (("optimisation", 201), ("null", 57), ("reference", 13))]
    made = about("r")
    for plan in made["plans"]: plan.update(similar="s", options={}, targets={})
    seen = {}
    for d, s in ((True, True), (True, False), (False, True), (None, True)):
        made["data"] = {k: {"hash": "0", "images": 1, "shape": [1, 8, 8], "publishable": v} for k, v in (("d", d), ("s", s))}
        seen[d, s] = grays(page(Results(rows({}), {"r": made}, shown)))
    assert seen == {(True, True): {13, 57, 201}, (True, False): {13, 201}, (False, True): {201}, (None, True): {201}}
    assert public(Results(rows({}), {}, shown)) == [{k: v for k, v in shown[0].items() if k != "target"}]
