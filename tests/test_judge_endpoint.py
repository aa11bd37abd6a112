"""The judge against a real HTTP server that misbehaves, and killed at random moments. Larger versions of both are in benchmarks/judge.py."""
import json
import os
import random
import subprocess
import sys
import textwrap
import threading
import time

import pandas as pd
import pytest
import torch
from judge_server import FAULTS, serving

from drlit.claims import load_rows
from drlit.cli import main
from drlit.judge import Embedded, Endpoint, Panel, Protocol, ask, tally
from drlit.profiles import InputError

EASY = dict(concurrency=16, timeout=.3, first_pause=.01, image_size=12)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-this-test")


def panel(n=100, k=4):
    g = torch.Generator().manual_seed(0)
    return Panel(torch.rand(n, 1, 12, 12, generator=g), torch.rand(n, k, 1, 12, 12, generator=g), tuple(map(str, range(k))), "test")


def judged(p, folder=None, server=(), **options):
    with serving(**{"hang": .6, **dict(server)}) as (script, url):
        return ask(Endpoint("m", url, **EASY | options), p, folder=folder), script


def test_faults_change_nothing(tmp_path):
    "100 targets, five votes, 3 % of each fault: no vote lost or counted twice, the tallies of a run without faults, every fault seen and counted"
    p = panel()
    plain, _ = judged(p)
    hard, script = judged(p, tmp_path, dict(faults=.03))
    assert (hard.frame.choice >= 0).all() and len(hard.frame) == 500
    pd.testing.assert_frame_equal(tally(hard), tally(plain))
    assert sum(script.answered.values()) == 500  # each question was answered once, in spite of all
    kinds = {"429": "429", "500": "500", "timeout": "timeout", "dropped": "connection", "truncated": "malformed reply", "refusal": "refusal", "wrong index": "wrong index"}
    seen = {f: sum(script.fault(n, a + 1) == f for n, m in script.requests.items() for a in range(m)) for f in FAULTS}
    assert {k: hard.faults[v] for k, v in kinds.items()} == {k: seen[k] for k in kinds} and min(seen.values()) > 3
    lines = [json.loads(line) for line in next(tmp_path.glob("*.jsonl")).read_text().splitlines()]
    assert sum("choice" in r for r in lines) == 500 and sum("fault" in r for r in lines) == sum(hard.faults.values())
    assert not any("a-key-of-this-test" in f.read_text() for f in tmp_path.glob("*.jsonl"))


RUNNER = """
import sys, torch
sys.path.insert(0, {tests!r})
from test_judge_endpoint import EASY, panel
from drlit.judge import Endpoint, ask
ask(Endpoint("m", sys.argv[1], **EASY), panel(), folder=sys.argv[2])
print("done")
"""


def test_killed_and_continued(tmp_path):
    "kill -9 at random moments of the run: it goes on, and asks again at most what was in flight"
    kills, rng = 2, random.Random(0)
    with serving(latency=.02) as (script, url):
        command = [sys.executable, "-c", textwrap.dedent(RUNNER.format(tests=os.path.dirname(__file__))), url, str(tmp_path)]
        for _ in range(kills):
            child, goal = subprocess.Popen(command), sum(script.requests.values()) + rng.randint(20, 120)
            while sum(script.requests.values()) < goal and child.poll() is None: time.sleep(.005)
            child.kill(), child.wait()
        assert subprocess.run(command, capture_output=True, text=True, timeout=120).stdout == "done\n"
    plain, once = judged(panel())
    again = ask(NoQuestions("m"), panel(), folder=tmp_path)
    assert set(script.requests) == set(once.requests)
    assert sum((script.requests - once.requests).values()) <= kills * EASY["concurrency"]
    pd.testing.assert_frame_equal(tally(again), tally(plain))


class NoQuestions:
    "Everything is in the folder already"
    def __init__(self, name): self.name = name
    def vote(self, todo, *rest): assert not list(todo)


def test_in_flight_at_most_what_was_allowed():
    most, now, lock = [0], [0], threading.Lock()
    with serving(latency=.01) as (script, url):
        plain = script.answer
        def answer(images):
            with lock: now[0] += 1; most[0] = max(most[0], now[0])
            time.sleep(.01)
            with lock: now[0] -= 1
            return plain(images)
        script.answer = answer
        ask(Endpoint("m", url, **EASY | dict(concurrency=3)), panel(20))
    assert most[0] == 3


def test_budget(tmp_path, capsys):
    "It stops before the limit, keeps what it has, and goes on with more"
    price = (1000., 0.)  # 700 tokens: 0.70 dollars a reply
    v, script = judged(panel(10), tmp_path, price=price, budget=10., concurrency=4)
    assert 8 <= sum(script.requests.values()) <= 14 and v.spent <= 10. and (v.frame.choice >= 0).sum() == sum(script.requests.values())
    assert "budget of 10.0 dollars" in capsys.readouterr().err
    v, script = judged(panel(10), tmp_path, price=price, budget=100., concurrency=4)
    assert (v.frame.choice >= 0).all() and abs(v.spent - 35) < 1e-9


def test_a_judge_that_refuses():
    "Questions without an answer are counted, and the rest of the run is not lost"
    with serving() as (script, url):
        plain = script.answer
        script.answer = lambda images: plain(images) if hash(images[0]) % 2 else "I'm sorry, I can't"
        v = ask(Endpoint("m", url, **EASY | dict(attempts=2)), panel(30))
    refused = v.frame.groupby("target").choice.max() < 0
    assert 0 < refused.sum() < 30 and v.faults["refusal"] == 2 * 5 * refused.sum() and tally(v).n_major.sum() == 30 - refused.sum()


@pytest.mark.parametrize("mode, says", [("html", "no usable reply in 3 attempts, at last: malformed reply"), ("no image input", "does not support image input")])
def test_endpoints_that_do_not_conform(mode, says):
    with pytest.raises(InputError, match=says) as e: judged(panel(3), None, dict(mode=mode))
    assert "\n" not in str(e.value) and "a-key-of-this-test" not in str(e.value)


def test_nobody_there():
    with serving() as (_, url): pass  # a port that was free a moment ago
    with pytest.raises(InputError, match="no usable reply in 3 attempts, at last: connection; check the address"): ask(Endpoint("m", url, **EASY), panel(3))


def test_from_the_command_line(tmp_path, capsys):
    "A run of the benchmark, judged by a metric and by an endpoint; the second time nothing is asked"
    run = str(tmp_path / "run")
    assert main(["bench", "--attacks", "null_noise,null_auxiliary", "--sizes", "20,40", "--seeds", "0", "--metrics", "mse", "--out", run]) == 0
    capsys.readouterr()
    with serving() as (script, url):
        command = ["judge", run, "--attack", "null_auxiliary", "--controls", "null_noise", "--model", "m", "--base-url", url, "--image-size", "12", "--json"]
        first, asked = (main(command), capsys.readouterr().out), sum(script.requests.values())
        assert (main(command), capsys.readouterr().out) == first and sum(script.requests.values()) == asked == 200
    found = json.loads(first[1])
    assert first[0] == 0 and {(r["source"], r["option"]) for r in found["tally"]} == {(a, n) for a in ("null_auxiliary", "null_noise") for n in ("20", "40")}
    assert sum(r["n_major"] for r in found["tally"]) == 40 and found["unanswered"] == [0, 0]
    assert main(["judge", run, "--attack", "null_auxiliary"]) == 0 and "embedded-ssim" in capsys.readouterr().out
    assert main(["judge", run, "--attack", "null_auxiliary", "--held-out"]) == 0
    kept = load_rows(run).query("metric == 'pred_rate by size'")  # what `drlit claims` reads
    assert set(kept[kept.control == "held_out"].features) == {"embedded-ssim"} and (kept.control == "held_out").sum() == 2
    assert kept[kept.control == "none"].groupby(["attack", "features"]).value.sum().round(6).to_dict() == {("null_auxiliary", "embedded-ssim"): 1, ("null_auxiliary", "m"): 1, ("null_noise", "m"): 1}
    for wrong, says in ((["--size", "20"], "1 size(s)"), (["--attack", "null_nois"], "did you mean 'null_noise'"), (["--over", "color"], "unknown field 'color'")):
        assert main(["judge", run, "--attack", "null_auxiliary", *wrong]) == 2 and says in capsys.readouterr().err


def test_one_interface():
    "The embedded judge and the endpoint answer the same questions"
    p = panel(4)
    a, (b, _) = ask(Embedded(), p, Protocol()), judged(p)
    assert a.frame[["target", "vote", "shown"]].equals(b.frame[["target", "vote", "shown"]])
