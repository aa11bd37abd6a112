"""The judge against a server that misbehaves, is slow, or outlives it: 1,000 targets, everything on this machine.

    python benchmarks/judge.py [faults] [latency] [kills] [--targets 1000]

faults   five votes a target, 3 % each of 429 with Retry-After, 500, time-outs, dropped connections, truncated JSON, refusals, wrong indices and
         slow replies: are all votes there, none twice, and the tallies those of a server without faults?
latency  one vote a target at 500 ms and 32 questions in flight: seconds over the ideal (16 s for 1,000), and how memory grows
kills    kill -9 of the judge at 10 random moments: which questions were asked again?
"""
import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import torch
from judge_server import serving

from drlit.judge import Endpoint, Panel, Protocol, ask, tally

os.environ["OPENAI_API_KEY"] = "none"


def panel(n, k=6, side=16):
    g = torch.Generator().manual_seed(0)
    return Panel(torch.rand(n, 1, side, side, generator=g), torch.rand(n, k, 1, side, side, generator=g), tuple(map(str, range(k))), "random")


def judge(url, **options):
    return Endpoint("m", url, **dict(concurrency=32, timeout=2., first_pause=.05, image_size=16) | options)


def megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def faults(n):
    p = panel(n)
    with serving() as (_, url): plain = tally(ask(judge(url), p))
    with serving(faults=.03) as (script, url):
        start = time.perf_counter()
        v = ask(judge(url), p)
        seconds = time.perf_counter() - start
    print(f"faults: {len(v.frame)} votes, {int((v.frame.choice < 0).sum())} lost, {sum(script.answered.values()) - len(v.frame)} answered twice, "
          f"tallies equal: {tally(v).equals(plain)}, {seconds:.0f} s, met {dict(v.faults)}")


def latency(n, ms=.5, flight=32):
    p, before = panel(n), megabytes()
    with serving(latency=ms) as (_, url):
        ask(judge(url), p[torch.arange(64)], Protocol(votes=1))
        warm = megabytes()
        start = time.perf_counter()
        ask(judge(url), p, Protocol(votes=1))
        seconds = time.perf_counter() - start
    ideal = -(-n // flight) * ms
    print(f"latency: {n} questions at {ms * 1000:.0f} ms, {flight} in flight: {seconds:.1f} s, {seconds / ideal:.2f} of the ideal {ideal:.1f} s; "
          f"memory {before:.0f} MB, {warm:.0f} after 64 questions, {megabytes():.0f} after {n}")


def kills(n, times=10):
    rng = random.Random(0)
    with serving(latency=.02) as (script, url), tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--targets", str(n), "--child", url, folder]
        for _ in range(times):
            child, goal = subprocess.Popen(command), sum(script.requests.values()) + rng.randint(20, n * 5 // (2 * times))
            while sum(script.requests.values()) < goal and child.poll() is None: time.sleep(.005)
            child.kill(), child.wait()
        subprocess.run(command, check=True)
        asked = sum(script.requests.values())
    print(f"kills: {times}, {asked - 5 * n} of {5 * n} questions asked again; at most {times * 32} were in flight")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="faults, latency, kills (default: all)")
    parser.add_argument("--targets", type=int, default=1000), parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child: ask(judge(args.child[0]), panel(args.targets), folder=args.child[1])
    else:
        for part in args.parts or ("faults", "latency", "kills"): dict(faults=faults, latency=latency, kills=kills)[part](args.targets)
