"""The judge against a real HTTP server that misbehaves, and killed or interrupted at chosen moments. A larger version is benchmarks/judge.py."""
import base64
import json
import os
import re
import resource
import signal
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from urllib.parse import quote

import pandas as pd
import pytest
import torch
from judge_server import BODIES, FAULTS, REFUSED, SAID, digest, pem, serving

from drlit.claims import load_rows
from drlit.cli import main
from drlit.judge import Embedded, Endpoint, Panel, Protocol, _locked, ask, read_answer, replies_folder, tally, whole_lines
from drlit.profiles import InputError

KEY = "sk-a+key/of=this-test-0123456789"
EASY = dict(concurrency=16, timeout=60, first_pause=.001, image_size=12)


@pytest.fixture(scope="session")
def tls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    return {name: str(pem(name, folder)) for name in ("self", "other", "expired")}


@pytest.fixture(autouse=True)
def key(monkeypatch, tls):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("SSL_CERT_FILE", tls["other"])  # one certificate, so that a client is made quickly
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def panel(n=100, k=4, **more):
    g = torch.Generator().manual_seed(0)
    return Panel(torch.rand(n, 1, 12, 12, generator=g), torch.rand(n, k, 1, 12, 12, generator=g), tuple(map(str, range(k))), "test", **more)


def judged(p, folder=None, server=(), protocol=None, **options):
    with serving(**dict(server)) as (script, url):
        return ask(Endpoint("m", url, **EASY | options), p, protocol or Protocol(), folder), script


def fails(p, folder=None, server=(), **options):
    "The error that a run ends with, in one line and without the key; what the server has seen"
    with serving(**dict(server)) as (script, url), pytest.raises(InputError) as e:
        ask(Endpoint("m", url, **EASY | options), p, folder=folder)
    assert "\n" not in str(e.value) and str(e.value).isprintable() and KEY not in str(e.value)
    return str(e.value), script


def lines(folder):
    return [json.loads(line) for f in folder.glob("*.jsonl") for line in f.read_text().splitlines()]


# ---------------------------------------------------------------- what a reply says

ANSWERS = {  # reply -> place, or why it is none; six candidates
    "3": 2, "Image 3.": 2, "**3**": 2, "(3)": 2, "#3": 2, "image-3": 2, "Image3": 2, "3.": 2, "the 3rd image": 2, "\\boxed{3}": 2, "Image 3 is most similar to image 0.": 2,
    "The most similar to image 0 is image 3.": 2, "Option 2 of 6": 1, "2/6": 1, "2 out of 6": 1, "<think>1, 2 ...</think> 2": 1, "<think>Image 1?</think>\n\n**Answer: 4**": 3,
    "first 1, then 5 </think> 2": 1, '{"image":2,"score":8}': 1, '```json\n{"image": "2", "confidence": 0.9}\n```': 1, '{"answer": 4}': 3, "3 (confidence 95%)": 2, "3, similarity: 0.87": 2,
    "Image 1 is blurry, image 2 is dark. Answer: 3": 2, "Answer: 2. Wait, no. Answer: 5": 4, "I compared 1, 2 and 3. The answer is 3.": 2, "Image 4 is the closest; image 1 is blurred.": 3,
    "two": 1, "Image two.": 1, "The answer is three": 2, "\u0663": 2, "\uff13": 2, "\u2462": 2, "- 3": 2, "Score 8/10: image 3": 2, "2 2": 1,
    "-1": "malformed", "+1": "malformed", "\u22121": "malformed", "Image -1": "malformed", "answer: -1": "malformed", "2.5": "malformed", "answer: 2.5": "malformed", "1e3": "malformed",
    "": "empty", " \n": "empty", None: "empty", "<think>3": "empty", "<think>3</think>": "empty", "left": "malformed", "Answer": "malformed", "B": "malformed", "95%": "malformed", "x3y": "malformed",
    "1 or 2": "ambiguous", "1-3": "ambiguous", "2,5": "ambiguous", "1, 2, 3": "ambiguous", "not image 2": "ambiguous", "Image 2 is not the most similar": "ambiguous", "2/3": "ambiguous",
    "the one on the left": "malformed", "Image 1 resembles image 2": "ambiguous", "The answer is not 2 but 3": "ambiguous",
    "7": "wrong index", "0": "wrong index", "image 0": "wrong index", "answer: 7": "wrong index", "9" * 5000: "wrong index", '{"image": 0}': "wrong index",
    "I'm sorry, I cannot compare these.": "refusal", "I can\u2019t see image 1": "refusal", "I am unable to view the image": "refusal",
}


@pytest.mark.parametrize("text", ANSWERS, ids=lambda t: repr(t)[:40])
def test_answers(text):
    want = ANSWERS[text]
    assert read_answer(text, 6) == ((want, "") if isinstance(want, int) else (None, want))


@pytest.mark.parametrize("text, want", [("Let me look at image 1. It", (None, "cut")), ("3", (2, "")), ("The answer is 2, because", (1, "")), ("", (None, "cut")), ("<think>1", (None, "cut"))])
def test_a_reply_that_ends_at_its_limit(text, want):
    "Only an explicit or a bare number counts"
    assert read_answer(text, 6, cut=True) == want


@pytest.mark.parametrize("piece", ["9", "<think>", "image ", "answer ", "* ", "1.", "</think>1", "\u0663", "score "])
def test_long_replies_are_read_in_time(piece):
    start = time.process_time()
    read_answer(piece * (2**20 // len(piece)), 6)
    assert time.process_time() - start < 5


# ---------------------------------------------------------------- what goes wrong on the way

def test_faults_change_nothing(tmp_path):
    "100 targets, five votes, 3 % of each fault: no vote lost or counted twice, the tallies of a run without faults, every fault seen and counted"
    p, kinds = panel(), {"429": "429", "500": "500", "dropped": "connection", "truncated": "not JSON", "refusal": "refusal", "wrong index": "wrong index"}
    plain, _ = judged(p)
    with serving(faults=.03) as (script, url):
        usual = script.fault
        script.fault = lambda name, attempt: f if (f := usual(name, attempt)) != "timeout" else None
        hard = ask(Endpoint("m", url, **EASY | dict(concurrency=8)), p, folder=tmp_path)
    assert (hard.frame.choice >= 0).all() and len(hard.frame) == 500
    pd.testing.assert_frame_equal(tally(hard).drop(columns="refused"), tally(plain).drop(columns="refused"))
    assert sum(script.answered.values()) == 500  # each question was answered once, in spite of all
    seen = Counter(usual(n, a + 1) for n, m in script.requests.items() for a in range(m))
    assert {v: seen[k] for k, v in kinds.items()} == dict(hard.faults) and min(seen[f] for f in FAULTS) > 3
    kept = lines(tmp_path)
    assert sum("choice" in r for r in kept) == 500 and sum("fault" in r for r in kept) == sum(hard.faults.values())
    refused = {n for n, m in script.requests.items() for a in range(m) if usual(n, a + 1) == "refusal"}
    assert abs(tally(hard).refused - len(refused) / 500).max() < 1e-12  # every question showed all four


KINDS = {
    "empty": "empty", "null content": "empty", "spaces": "empty", "thinks only": "empty", "no body": "empty", "nothing": "empty", "cut": "cut", "cut and empty": "cut", "cut in thought": "cut",
    "tool call": "tool call", "number": "content is no text", "list": "content is no text", "object": "content is no text", "true": "content is no text",
    "minus": "malformed", "decimal": "malformed", "words": "malformed", "surrogate": "malformed", "several": "ambiguous", "beyond": "wrong index", "huge integer": "wrong index",
    "content filter": "content filter", "refusal field": "refusal", "refusal": "refusal",
    "no choices": "no choices", "null choices": "no choices", "null choice": "no choices", "null message": "no choices",
    "a list": "malformed reply", "a number": "malformed reply", "null": "malformed reply", "error in 200": "error in the reply", "error text in 200": "error in the reply",
    "html": "HTML page", "html, called JSON": "HTML page", "plain": "wrong content type", "not JSON": "not JSON", "long number": "not JSON", "deep": "nested too deep", "stream": "event stream",
    "brotli": "compressed", "no gzip": "compressed", "cut gzip": "cut off", "gzip bomb": "too large", "endless": "too large", "error page": "502",
    "dropped": "connection", "no http": "connection", "cut off": "cut off", "short": "cut off", "quota": "quota",
    "no image input": "400", "one image": "400", "no sentence": "400", "escapes": "400", "wrong key": "401", "no model": "404", "list of errors": "422",
}


def test_every_mode_has_its_kind():
    assert {*SAID, *BODIES, *REFUSED} - {"parts"} <= set(KINDS)


@pytest.mark.parametrize("mode", KINDS)
def test_each_fault_is_its_own_kind(mode, tmp_path):
    "The run ends early, with one line; every call is in the journal under its kind"
    says, script = fails(panel(12), tmp_path, dict(mode=mode), concurrency=2)
    kept = [r["fault"] for r in lines(tmp_path) if "fault" in r]
    assert set(kept) == {KINDS[mode]} and len(kept) == sum(script.requests.values()) <= {"refusal": 52, "content filter": 52, "502": 16}.get(KINDS[mode], 12)
    assert f": {KINDS[mode]}" in says or f"({KINDS[mode]})" in says
    assert "run the same command again: what was answered is kept" in says


@pytest.mark.parametrize("mode, says", [
    ("html", "check --base-url"), ("cut", "--set max_tokens=2000"), ("one image", "--mode pairs needs 3 images; start vllm with --limit-mm-per-prompt"),
    ("no image input", "does not support image input"),
    ("wrong key", "check OPENAI_API_KEY"), ("no model", "check --model"), ("error in 200", "out of memory"), ("quota", "billing"), ("list of errors", "bad field"), ("escapes", "red [31m and more")])
def test_remedies(mode, says):
    assert says in fails(panel(12), None, dict(mode=mode), concurrency=2)[0]


def test_parts_of_text_are_an_answer():
    v, _ = judged(panel(2), None, dict(mode="parts"))
    assert (v.frame.position == 0).all()


def test_large_replies_take_little_memory():
    "100 MB as they are, and 100 MB of blanks in 100 KB of gzip"
    fails(panel(1), None, dict(mode="html"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for mode in ("endless", "gzip bomb"):
        _, script = fails(panel(12), None, dict(mode=mode), concurrency=1)
        assert getattr(script, "sent", 0) < 12 * (16 << 20)  # what sockets hold, not what was offered
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 << 10  # KiB; the server is in this process


@pytest.mark.parametrize("mode", ["hangs", "slow headers", "slow body"])
def test_a_call_has_one_deadline(mode):
    "However little a server sends at a time; the other questions are answered"
    start = time.monotonic()
    v, script = judged(panel(1), None, dict(mode=mode, only=(1,)), Protocol(votes=2), timeout=1., concurrency=1)
    assert v.faults["timeout"] >= 1 and (v.frame.choice >= 0).all() and time.monotonic() - start < 30


@pytest.mark.parametrize("header", ["7200", "inf", "1e300", "Fri, 01 Jan 2999 00:00:00 GMT"])
def test_a_wait_that_is_too_long_ends_the_run(header):
    says, script = fails(panel(3), None, dict(mode="retry", header=header), concurrency=1)
    assert "the endpoint asks to wait" in says and "more than 300" in says and sum(script.requests.values()) == 1
    assert ("7200 seconds" in says) == (header == "7200")


@pytest.mark.parametrize("header", ["0", "-7200", "nan", "soon", "", "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 99 Foo 20000 00:00:00 GMT", "\u0663\u0663", "-inf", "9" * 400 + "x"])
def test_a_wait_that_makes_no_sense_is_none(header):
    header = header if header.isascii() else "3\xb3"
    v, script = judged(panel(1), None, dict(mode="retry", header=header, only=(1, 2)), Protocol(votes=1))
    assert v.faults == {"429": 2} and (v.frame.choice >= 0).all()


def test_a_server_that_breaks_later():
    "What was answered stays, and the run ends"
    with serving(mode="html", only=range(8, 10**6)) as (script, url), pytest.raises(InputError, match="in 4 attempts, at last: HTML page"):
        ask(Endpoint("m", url, **EASY | dict(concurrency=1)), panel(30))
    assert sum(script.answered.values()) == 7 and sum(script.requests.values()) == 11


# ---------------------------------------------------------------- where it is

@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
@pytest.mark.parametrize("there", ["http://127.0.0.1:{port}/v1", "/elsewhere"])
def test_redirects_are_not_followed(status, there):
    "Neither to another host nor to the same; the address is named"
    with serving() as (other, elsewhere), serving(mode=status) as (script, url):
        script.header = there.format(port=elsewhere.split(":")[2].split("/")[0], own=url.split(":")[2].split("/")[0])
        with pytest.raises(InputError, match="redirect: to http://.*--base-url"): ask(Endpoint("m", url, **EASY | dict(concurrency=1)), panel(2))
        assert not other.seen and len(script.seen) == 1


@pytest.mark.parametrize("url, says", [
    ("localhost:8000/v1", "no http:// or https:// in front"), ("file:///etc/passwd", "no http:// or https:// address"),
    ("ftp://a/v1", "no http"), ("http://", "no http"), ("http://a:99999/v1", "no http"),
    ("http://a b/v1", "no http"), ("http://a/v1\n", "no http"),
    ("http://user:secret@a/v1", "user name or a password"), ("user:secret@a/v1", "user name or a password"), ("", "no http"), ("http://[::1/v1", "no http"), ("http://a:0/v1", "no http")])
def test_addresses(url, says):
    with pytest.raises(InputError, match=says) as e: Endpoint("m", url)
    assert "secret" not in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize("tail", ["", "/", "/chat/completions", "?api-version=1&key=other"])
def test_tails_of_addresses(tail):
    with serving() as (script, url):
        v = ask(Endpoint("m", url + tail, **EASY), panel(1))
    assert (v.frame.choice >= 0).all() and {p.partition("?")[0] for _, p, _ in script.seen} == {"/v1/chat/completions"}
    assert {p.partition("?")[2] for _, p, _ in script.seen} == {tail.partition("?")[2]}


def test_a_query_is_not_shown():
    assert "other" not in fails_at("http://127.0.0.1:9/v1?key=other")


def fails_at(url, **options):
    with pytest.raises(InputError) as e: ask(Endpoint("m", url, **EASY | options), panel(2))
    assert "\n" not in str(e.value) and KEY not in str(e.value)
    return str(e.value)


def test_nobody_there():
    with serving() as (_, url): pass  # a port that was free a moment ago
    assert "no usable reply in 3 attempts, at last: connection refused; check the address" in fails_at(url)
    assert "no such host" in fails_at("http://no-such-host.invalid/v1")


@pytest.mark.parametrize("served, trusted, says", [
    ("self", "other", "self.signed certificate"), ("other", "other", "IP address mismatch"), ("expired", "expired", "certificate has expired")])
def test_certificates(served, trusted, says, monkeypatch, tls):
    "What is wrong is named at the first call; a certificate that is right is taken"
    monkeypatch.setenv("SSL_CERT_FILE", tls[trusted])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls[served])
    with serving(tls=context) as (script, url):
        with pytest.raises(InputError, match=f"in 1 attempt, at last: TLS: the certificate is not accepted: .*{says}.*SSL_CERT_FILE"): ask(Endpoint("m", url, **EASY), panel(1))
        assert not script.seen
        monkeypatch.setenv("SSL_CERT_FILE", tls["self"])
        if served == "self": assert (ask(Endpoint("m", url, **EASY), panel(1)).frame.choice >= 0).all()


def test_the_wrong_scheme(tls):
    "https:// to a server without TLS, and http:// to one with it"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls["self"])
    with serving() as (_, url): assert "TLS: the server speaks no TLS" in fails_at(url.replace("http:", "https:"))
    with serving(tls=context) as (_, url): assert "needs https:// in --base-url" in fails_at(url.replace("https:", "http:"))


def test_settings_of_the_environment(monkeypatch):
    "A proxy is used as httpx does; what cannot be used is one line"
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY", "http://user:secret@127.0.0.1:9")
    assert "connection refused" in (said := fails_at("http://no-such-host.invalid/v1")) and "secret" not in said
    monkeypatch.setenv("HTTP_PROXY", "nonsense://user:secret@a")
    assert "HTTPS_PROXY" in (said := fails_at("http://127.0.0.1:9/v1")) and "secret" not in said
    monkeypatch.delenv("HTTP_PROXY")
    monkeypatch.setenv("SSL_CERT_FILE", "nowhere.pem")
    assert "SSL_CERT_FILE" in fails_at("http://127.0.0.1:9/v1")


# ---------------------------------------------------------------- the key

@pytest.mark.parametrize("key", ["", " ", "a b", "abc\n", "abc\r\nX: y", "k\u00e9y", "\u043a\u043b\u044e\u0447", "a\tb", "a\x7f"])
def test_keys_that_are_none(key, monkeypatch, tmp_path):
    "One line that does not show them, and nothing is sent or written"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with serving() as (script, url), pytest.raises(InputError, match="OPENAI_API_KEY") as e: ask(Endpoint("m", url, **EASY), panel(1), folder=tmp_path)
    assert "\n" not in str(e.value) and (not key.strip() or key not in str(e.value)) and not script.seen and not list(tmp_path.iterdir())


SPELLINGS = {
    "as it is": str, "quoted": lambda k: quote(k, safe=""), "in JSON": lambda k: json.dumps(k), "repr": repr, "base64": lambda k: base64.b64encode(k.encode()).decode(),
    "basic": lambda k: base64.b64encode(f"user:{k}".encode()).decode(), "url-safe base64": lambda k: base64.urlsafe_b64encode(f"x{k}".encode()).decode(),
    "hexadecimal": lambda k: k.encode().hex(), "upper": str.upper, "backwards": lambda k: k[::-1], "a part": lambda k: k[:20] + "...", "a header": lambda k: f"{{'Authorization': 'Bearer {k}'}}",
}
ECHOES = ["echo in an error", "echo in an error of 200", "echo in a redirect", "echo in a refusal", "echo in Retry-After", "echo in an answer"]


def traces(key):
    "What must stand nowhere: any spelling of the key, and any twelve letters of it"
    return {f(key) for f in SPELLINGS.values()} | {key[i:i + 12] for i in range(len(key) - 11)}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_key_stays_here(spelling, tmp_path, capfd):
    "Whatever comes back: not on the terminal, not in the journal"
    for mode in ECHOES:
        with serving(mode=mode, header=SPELLINGS[spelling]) as (_, url):
            try: ask(Endpoint("m", url, **EASY | dict(concurrency=1)), panel(1), folder=tmp_path / mode)
            except InputError as e: print(e)
    out, err = capfd.readouterr()
    texts = [out, err, *(f.read_text() + f.name for f in tmp_path.rglob("*") if f.is_file())]
    assert len(texts) >= 2 + len(ECHOES) and not [(t, text) for text in texts for t in traces(KEY) if t.lower() in text.lower()]


@pytest.mark.parametrize("model", [KEY, f"gpt-{KEY}", KEY.upper(), "", " ", "a\nb", "x" * 201, "sk-proj-Zx81kQw09LmNbVcXz7aSdFgH", "\ud800"])
def test_models_that_are_none(model):
    with pytest.raises(InputError, match="model's name") as e: Endpoint(model)
    assert not model.strip() or model not in str(e.value)


def test_a_word_as_the_key(monkeypatch):
    "A local server takes any word; texts stay readable, and the words of a model's name are free"
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    assert "does not exist" in fails(panel(1), None, dict(mode="no model"))[0].replace("*", "x") and Endpoint("mixtral-8x7b").model
    with pytest.raises(InputError, match="holds a key"): Endpoint("x")


def test_the_key_is_in_no_question(tmp_path):
    for how in (dict(extra={"user": KEY}), {}):
        with pytest.raises(InputError, match="holds the key"): ask(Endpoint("m", **how), panel(1), Protocol(question="which?" if how else f"which? {KEY}"), tmp_path)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- money, and what is kept

@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None, "completion_tokens": None}, {"prompt_tokens": "700", "completion_tokens": "1"},
                                   {"prompt_tokens": -700, "completion_tokens": -1}, [700, 1],
                                   {"prompt_tokens": 1e300, "completion_tokens": 1}, {"prompt_tokens": 10**30, "completion_tokens": 1}, {"prompt_tokens": True, "completion_tokens": 1},
                                   {"prompt_tokens": 0, "completion_tokens": 0}, 7])
def test_counts_that_cannot_be(usage, tmp_path):
    "The upper estimate is counted: never nothing, never a fortune"
    p = panel(2)
    v, _ = judged(p, tmp_path, dict(mode="usage", header=usage), price=(1000., 1000.), budget=100.)
    assert (v.frame.choice >= 0).all() and abs(v.spent - 10 * Endpoint("m", **EASY, price=(1000., 1000.)).worst(p, Protocol())) < 1e-9


def test_what_broke_off_may_have_been_charged():
    "A reply that was cut off, a time-out and a refusal count at most; a server that was busy counts nothing"
    worst = Endpoint("m", **EASY, price=(1000., 0.)).worst(panel(1), Protocol())
    for mode, much in (("cut off", worst), ("dropped", worst), ("html", worst), ("refusal", .7), ("error page", 0.)):
        v, _ = judged(panel(1), None, dict(mode=mode, only=(1,)), Protocol(votes=1), price=(1000., 0.), budget=100.)
        assert abs(v.spent - much - .7) < 1e-9, mode


def test_budget(tmp_path, capsys):
    "It stops before the limit, keeps what it has, and goes on with more"
    price = (1000., 0.)  # 700 tokens: 0.70 dollars a reply
    v, script = judged(panel(10), tmp_path, price=price, budget=10., concurrency=4)
    assert 8 <= sum(script.requests.values()) <= 14 and v.spent <= 10. and (v.frame.choice >= 0).sum() == sum(script.requests.values())
    assert "budget of 10.0 dollars" in capsys.readouterr().err
    v, script = judged(panel(10), tmp_path, price=price, budget=100., concurrency=4)
    assert (v.frame.choice >= 0).all() and abs(v.spent - 35) < 1e-9


def test_a_budget_needs_a_limit_of_the_reply():
    with pytest.raises(InputError, match="a budget needs a limit of the reply"): Endpoint("m", price=(1, 1), budget=1, extra={"max_tokens": None})
    assert Endpoint("m", price=(1, 1), budget=1, extra={"max_tokens": None, "max_completion_tokens": 9}).fields == {"max_completion_tokens": 9}


@pytest.mark.parametrize("field, value", [("timeout", float("nan")), ("timeout", float("inf")), ("timeout", 0), ("concurrency", 10**9),
                                          ("concurrency", 1.5), ("concurrency", True), ("rpm", -1), ("rpm", float("inf")),
                                          ("budget", float("nan")), ("image_size", 10**6), ("max_tokens", 0), ("attempts", -1), ("price", (float("nan"), 1)), ("price", (1,)), ("price", (-1, 1)),
                                          ("extra", {"max_tokens": -3}),
                                          ("extra", {"stream": True}), ("extra", {"n": 5}), ("extra", {"model": "x"}), ("timeout", "9")])
def test_settings_that_make_no_sense(field, value):
    with pytest.raises(InputError, match=next(iter(value)) if isinstance(value, dict) else field): Endpoint("m", **{field: value})


@pytest.mark.parametrize("question, sent", [("{k.__class__}", "{k.__class__}"), ("{0} {} {k} {{k}}", "{0} {} 4 {4}"), ("{", "{"),
                                            ("which of {k}?", "which of 4?"), ("{k!r:>99999999}", "{k!r:>99999999}")])
def test_questions_are_text(question, sent):
    assert Protocol(question=question).ask(4) == sent
    assert (judged(panel(1), None, protocol=Protocol(1, question=question))[0].frame.choice >= 0).all()


@pytest.mark.parametrize("how", [dict(question=""), dict(question="  "), dict(question="\ud800?"), dict(votes=10**6), dict(votes=True), dict(votes=1.5)])
def test_protocols_that_make_no_sense(how):
    with pytest.raises(InputError, match=next(iter(how))): Protocol(**how)


RUNNER = """
import sys, torch
sys.path.insert(0, {tests!r})
from test_judge_endpoint import EASY, panel
from drlit.judge import Endpoint, ask
ask(Endpoint("m", sys.argv[1], **EASY), panel(40), folder=sys.argv[2])
print("done")
"""


def child(url, folder, **more):
    command = [sys.executable, "-c", textwrap.dedent(RUNNER.format(tests=os.path.dirname(__file__))), url, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, **more)


def test_killed_and_continued(tmp_path):
    "kill -9 in the middle of the run: it goes on, and asks again at most what was in flight"
    kills, goals = 2, [37, 120]
    with serving() as (script, url):
        for goal in goals:
            run = child(url, tmp_path)
            script.at = {goal: run.kill}
            assert run.communicate(timeout=120)[0] == "" and run.returncode == -signal.SIGKILL
        script.at = {}
        assert child(url, tmp_path).communicate(timeout=120)[0] == "done\n"
    plain, once = judged(panel(40))
    again = ask(NoQuestions("m"), panel(40), folder=tmp_path)
    assert set(script.requests) == set(once.requests)
    assert sum((script.requests - once.requests).values()) <= kills * EASY["concurrency"]
    pd.testing.assert_frame_equal(tally(again), tally(plain))


class NoQuestions:
    "Everything is in the folder already"
    asked = {"image_size": EASY["image_size"]}
    def __init__(self, name): self.name = name
    def vote(self, todo, *rest): assert not list(todo)


@pytest.mark.parametrize("mode", ["hangs", "slow headers"])
def test_ctrl_c(mode, tmp_path):
    "Long before a call would end, which may take sixty seconds, whatever the server does; what was answered is kept"
    with serving(mode=mode, only=range(31, 10**6)) as (script, url):
        come = threading.Event()
        script.at = {46: come.set}  # all sixteen are in flight
        run = child(url, tmp_path)
        assert come.wait(120)
        start = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=60)
        assert time.monotonic() - start < 10 and "KeyboardInterrupt" in err
    assert sum("choice" in r for r in lines(tmp_path)) == 30


def test_no_thread_is_left():
    before = set(threading.enumerate())
    with serving() as (script, url): ask(Endpoint("m", url, **EASY), panel(2))
    assert not [t for t in set(threading.enumerate()) - before if not t.daemon]


def test_in_flight_as_many_as_were_allowed():
    "Three come together each time, and never a fourth"
    most, now, lock, three = [0], [0], threading.Lock(), threading.Barrier(3)
    with serving() as (script, url):
        plain = script.answer
        def answer(images):
            with lock: now[0] += 1; most[0] = max(most[0], now[0])
            three.wait(30)
            with lock: now[0] -= 1
            return plain(images)
        script.answer = answer
        ask(Endpoint("m", url, **EASY | dict(concurrency=3)), panel(6))
    assert most[0] <= 3 and not three.broken


def test_a_judge_that_refuses(tmp_path):
    "Questions without an answer are counted, and the rest of the run is not lost; the next time they come last"
    p = panel(30)
    with serving() as (script, url):
        plain, order = script.answer, []
        def answer(images):
            order.append(images[0])
            return plain(images) if images[0] == order[0] or int(digest(images[0]), 16) % 2 else "I'm sorry, I can't"
        script.answer = answer
        v = ask(Endpoint("m", url, **EASY | dict(attempts=2, concurrency=1)), p, folder=tmp_path)
        no = v.frame.groupby("target").choice.max() < 0
        assert 0 < no.sum() < 30 and v.faults["refusal"] == 2 * 5 * no.sum() and tally(v).n_major.sum() == 30 - no.sum()
        assert (tally(v).refused - no.mean()).abs().max() < 1e-12
        script.answer = plain
        assert (ask(Endpoint("m", url, **EASY), p, folder=tmp_path).frame.choice >= 0).all()


# ---------------------------------------------------------------- the journal

def journal_of(folder, judge=None):
    "A finished journal of the metric's answers"
    ask(judge or Embedded("mse"), panel(2, 2), folder=folder)
    return next(folder.glob("*.jsonl"))


DAMAGE = {  # how a journal is changed -> what is said
    "a line that is no JSON": (lambda t: t.replace("{", "x", 3), "line 1 is damaged"), "another file": (lambda t: "name,value\na,1\nb,2\n", "line 1 is damaged"),
    "JSON of something else": (lambda t: "[1]\n[2]\n", "no journal of a judge"),
    "another judge": (lambda t: t.replace("embedded-mse", "embedded-xyz", 1), "another judge"), "a newer version": (lambda t: t.replace('"format": 2', '"format": 3', 1), "format 3.*update drlit"),
    "a format that is text": (lambda t: t.replace('"format": 2', '"format": "x"', 1), "format x"),
    "a choice that is text": (lambda t: t.replace('"choice": 0', '"choice": "0"', 1).replace('"choice": 1', '"choice": "1"'), "is no reply of a judge"),
    "a choice beyond": (lambda t: t.replace('"choice": 0', '"choice": 9', 1).replace('"choice": 1', '"choice": 9'), "is no reply of a judge"),
    "a line that is a number": (lambda t: t + "7\n", "line 12 is no reply"),
    "a cost below zero": (lambda t: t + '{"query": "0/0-1/0", "fault": "x", "cost": -1}\n', "line 12 is no reply"),
    "a cost that is NaN": (lambda t: t + '{"query": "0/0-1/0", "fault": "x", "cost": NaN}\n', "line 12 is no reply"),
    "a query that is a path": (lambda t: t + '{"query": "../../x", "choice": 0}\n', "line 12 is no reply"), "deep JSON": (lambda t: t + "[" * 10**5 + "\n" + "{}\n", "line 12 is damaged"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_journals_that_cannot_be_used(how, tmp_path):
    "One line that names the file; the file stays as it is"
    change, says = DAMAGE[how]
    file = journal_of(tmp_path)
    file.write_text(text := change(file.read_text()))
    with pytest.raises(InputError, match=says) as e: journal_of(tmp_path)
    assert file.name in str(e.value) and "\n" not in str(e.value) and file.read_text() == text


def test_a_torn_line_is_dropped_by_the_next_writer_only(tmp_path, capsys):
    file = journal_of(tmp_path)
    whole_text = file.read_text()
    file.write_text(whole_text[:-9])
    assert len(whole_lines(file)[0]) == 10 and file.read_text() == whole_text[:-9]
    journal_of(tmp_path)
    assert file.read_text() == whole_text and "the last line was cut short and is dropped" in capsys.readouterr().err


def test_links_and_two_judges(tmp_path):
    file = journal_of(tmp_path / "a")
    with pytest.raises(InputError, match="another judge is writing"):
        owner = _locked(file)
        try: journal_of(tmp_path / "a")
        finally: owner.release()
    outside = tmp_path / "outside"
    for name in (file.name, file.name + ".lock"):
        folder = tmp_path / name
        folder.mkdir()
        outside.write_text("mine")
        (folder / name).symlink_to(outside)
        with pytest.raises(InputError, match="no ordinary file"): journal_of(folder)
        assert outside.read_text() == "mine"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "judge").symlink_to(tmp_path / "a")
    with pytest.raises(InputError, match="is a link"): replies_folder(tmp_path / "run")
    assert replies_folder(tmp_path / "run", tmp_path / "b") == tmp_path / "b"
    with pytest.raises(InputError, match="name another folder with --out"): journal_of(outside / "below")


def test_a_full_disk(tmp_path):
    "No half line stays, and what was answered before is kept; no question is sent that could not be written down"
    p = panel(10)
    class Full:
        "A file on a disk with room for so many bytes"
        def __init__(self, file, room): self.file, self.room = file, room
        def __getattr__(self, name): return getattr(self.file, name)
        def write(self, data):
            if self.file.tell() + len(data) <= self.room: return self.file.write(data)
            return self.file.write(data[:max(0, self.room - self.file.tell())])
    def fills(self, todo, panel, protocol, journal):
        journal.file = Full(journal.file, 2000)
        return Endpoint.vote(self, todo, panel, protocol, journal)
    with serving() as (script, url):
        judge = Endpoint("m", url, **EASY | dict(concurrency=2))
        full = type("OnAFullDisk", (Endpoint,), {"vote": fills})("m", url, **EASY | dict(concurrency=2))
        with pytest.raises(OSError, match="No space left"): ask(full, p, folder=tmp_path)
        kept = lines(tmp_path)
        before = sum(script.requests.values())
        assert before - sum("choice" in r for r in kept) <= 2 and 0 < before < 50
        assert (ask(judge, p, folder=tmp_path).frame.choice >= 0).all() and sum(script.requests.values()) - 50 <= 2


@pytest.mark.parametrize("name", ["a/b:c", "../../x", "x" * 200, "\u043c\u043e\u0434\u0435\u043b\u044c", ".hidden", "@cf/meta/llama", "a b"])
def test_names_of_files(name, tmp_path):
    "Slugs of bounded length in the folder; names that give one slug give two files"
    def judge(n): return type("Judge", (), {"name": n, "vote": lambda self, todo, p, protocol, journal: [journal.add(query=q.key, choice=0) for q in todo]})()
    for n in (name, name + "?", name + "!"): ask(judge(n), panel(1, 2), folder=tmp_path / "judge")
    files = [f.name for f in (tmp_path / "judge").iterdir() if f.suffix == ".jsonl"]
    assert len(files) == 3 and all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}", f) for f in files) and list(tmp_path.iterdir()) == [tmp_path / "judge"]


def test_other_pictures_and_fields_have_a_file_of_their_own(tmp_path):
    "At 3bf1666 replies to pictures of 12 pixels were taken for replies to 256"
    with serving() as (script, url):
        for more in (dict(image_size=12), dict(image_size=16), dict(image_size=12, extra={"temperature": 1}), dict(image_size=12, max_tokens=99)):
            ask(Endpoint("m", url, **EASY | more), panel(1), folder=tmp_path)
    assert len(list(tmp_path.glob("*.jsonl"))) == 3 and sum(script.requests.values()) == 15


def test_private_images_stay(tmp_path):
    with serving() as (script, url):
        with pytest.raises(InputError, match="not publishable"): ask(Endpoint("m", url, **EASY), panel(1, shown=False), folder=tmp_path)
        assert not script.seen and not list(tmp_path.iterdir())
        assert (ask(Endpoint("m", url, **EASY, send_all=True), panel(1, shown=False)).frame.choice >= 0).all()


def test_one_interface():
    "The embedded judge and the endpoint answer the same questions"
    p = panel(4)
    a, (b, _) = ask(Embedded(), p, Protocol()), judged(p)
    assert a.frame[["target", "vote", "shown"]].equals(b.frame[["target", "vote", "shown"]])


# ---------------------------------------------------------------- the command

def snapshot(folder):
    return {f.relative_to(folder): (f.stat().st_mtime_ns, f.read_bytes() if f.is_file() else None) for f in folder.rglob("*")}


def test_from_the_command_line(tmp_path, capsys):
    "A run of the benchmark, judged by a metric and by an endpoint; the second time nothing is asked; with --out the run is only read"
    run = str(tmp_path / "run")
    assert main(["bench", "--attacks", "null_noise,null_auxiliary", "--sizes", "20,40", "--seeds", "0", "--metrics", "mse", "--out", run]) == 0
    capsys.readouterr()
    with serving() as (script, url):
        command = ["judge", run, "--attack", "null_auxiliary", "--controls", "null_noise", "--model", "m", "--base-url", url, "--image-size", "12", "--json"]
        first, asked = (main(command), capsys.readouterr().out), sum(script.requests.values())
        assert (main(command), capsys.readouterr().out) == first and sum(script.requests.values()) == asked == 200
        before = snapshot(tmp_path / "run")
        assert (main([*command, "--out", str(tmp_path / "else")]), capsys.readouterr().out) == first and sum(script.requests.values()) == 400
        assert snapshot(tmp_path / "run") == before and (tmp_path / "else" / "tallies.csv").is_file()
    found = json.loads(first[1])
    assert first[0] == 0 and {(r["source"], r["option"]) for r in found["tally"]} == {(a, n) for a in ("null_auxiliary", "null_noise") for n in ("20", "40")}
    assert sum(r["n_major"] for r in found["tally"]) == 40 and found["unanswered"] == [0, 0] and {r["refused"] for r in found["tally"]} == {0}
    assert main(["judge", run, "--attack", "null_auxiliary"]) == 0 and "embedded-ssim" in capsys.readouterr().out
    assert main(["judge", run, "--attack", "null_auxiliary", "--held-out"]) == 0
    kept = load_rows(run).query("metric == 'pred_rate by size'")  # what `drlit claims` reads
    assert set(kept[kept.control == "held_out"].features) == {"embedded-ssim"} and (kept.control == "held_out").sum() == 2
    assert kept[kept.control == "none"].groupby(["attack", "features"]).value.sum().round(6).to_dict() == {("null_auxiliary", "embedded-ssim"): 1, ("null_auxiliary", "m"): 1, ("null_noise", "m"): 1}
    for wrong, says in ((["--size", "20"], "1 size(s)"), (["--attack", "null_nois"], "did you mean 'null_noise'"), (["--over", "color"], "unknown field 'color'"),
                        (["--question", ""], "question is empty"),
                        (["--model", KEY], "holds a key"), (["--model", "m", "--base-url", "localhost:1"], "http://"), (["--model", "m", "--set", "stream=true"], "'stream'"),
                        (["--votes", "1000000"], "--votes: '1000000'")):
        assert main(["judge", run, "--attack", "null_auxiliary", *wrong]) == 2 and says in (err := capsys.readouterr().err) and err.count("\n") == 1 and KEY not in err
    for mode in ECHOES:
        with serving(mode=mode) as (_, url):
            main(["judge", run, "--attack", "null_noise", "--model", "n", "--base-url", url, "--votes", "1", "--targets", "2"])
    texts = [*capsys.readouterr(), *(f.read_text(errors="replace") for f in tmp_path.rglob("*") if f.is_file())]
    assert not [t for text in texts for t in traces(KEY) if t in text]
