"""The `drlit` command: measure, list, score, report. Hand-written; everything it does is a call into the chapters' modules."""
import argparse
import difflib
import json
import logging
import os
import re
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Le

import drlit
from drlit.__main__ import say
from drlit.profiles import Count, InputError, Name, Permutations, Seed, parsed, profile, read_grid, shown, visible

ABOUT = "Data reconstruction attacks against machine learning models: attack a trained model, score what comes back, and see how much of it is signal."

HELP = """\
a short path:
  drlit bench                           one attack and four null adversaries on handwritten digits: about two minutes
  drlit attacks                         the attacks, by what each must know (the paper's Table 1)
  drlit bench --data faces.npz --attacks mi_face,nulls --sizes 100
                                        your own images: arrays `images` (uint8, or floats in [0,1]) and `labels`
  drlit score rec.npz target.npz heldout.npz
                                        reconstructions made elsewhere, scored the same way
  drlit bench ... (the same again)      computes only what is missing; --dry-run says what that is, and how long it takes
  drlit bench ... --jobs 4              four cells at a time; --engine ray for a cluster
  drlit status DIR                      what a run is doing

what the numbers mean:
  value       S-Dis: how far (mse, lpips) or how alike (psnr, ssim) each reconstruction is to its nearest private image
              of the same class, averaged; fd and kid compare the two sets as wholes, in the features the table names
  [coverage]  share of the private images that are nearest to some reconstruction
  floor       the coverage that one hit per class gives by itself
  uniform     the coverage of matches spread uniformly within classes; fresh real images stay below it
  held-out    the value against images of the same law and counts that the model never saw
  gap         how much closer the reconstructions are to the private images than to those: > 0 = closer to the private ones
  p           how often a gap this large arises when private and held-out images change places at random;
              a large p means "not distinguishable from imputation", which is no proof of safety

rows to read first:
  real vs real      the held-out images played as a reconstruction: what fresh real images score
  null_*            no attacks: noise and blind draws from auxiliary images; and draws and means by class, which ask
                    the model for labels only (what that alone leaks)
  ... / wrong key   the attack on a model that never saw the private images (or with another gradient, delta, posteriors)

exit codes: 0 ok; 1 some cell failed (its row says why); 2 bad input (one line; DRLIT_DEBUG=1 shows the traceback)
`drlit COMMAND --help` lists a command's options."""


class Parser(argparse.ArgumentParser):
    "argparse whose errors are one line that names the nearest valid word"
    def __init__(self, *args, **kwargs):
        super().__init__(*args, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **kwargs)

    def _print_message(self, message, file=None): print(message, end="", file=file)  # argparse would swallow that a disk is full

    def error(self, message):
        raise InputError(f"{message}; see `{self.prog} --help`")

    def known(self):
        "Every option string, the subcommands' included"
        subs = [p for a in self._actions if isinstance(a, argparse._SubParsersAction) for p in a.choices.values()]
        return [o for a in self._actions for o in a.option_strings] + [o for p in subs for o in p.known()]


def near(kind, word, names):
    "The one-line error for an unknown word"
    close = difflib.get_close_matches(word, names, n=1, cutoff=.5)
    return InputError(f"unknown {kind} {word!r}; " + (f"did you mean {close[0]}?" if close else f"known: {', '.join(names)}"))


def given(hint):
    "What argparse calls for the text of an option: its value, if the type allows it"
    def read(text):
        try: return parsed(hint, text, "")
        except InputError as e: raise argparse.ArgumentTypeError(str(e).removeprefix("=")) from None
    return read


def number(least, most, kind=int):
    "A number in these bounds, as a type for `given`"
    return Annotated[kind, Ge(least), Le(most)]


def path(text):
    "A path or address that the operating system can be asked for"
    parts = [part.encode("utf-8", "surrogateescape") for part in text.split("/")]
    if not text.strip() or "\0" in text: raise argparse.ArgumentTypeError(f"{shown(text)} is no path; name a file or folder")
    if max(map(len, parts)) > 255 or sum(map(len, parts)) > 4000: raise argparse.ArgumentTypeError(f"{shown(text)} is too long for a path; choose a shorter name")
    return text


words, numbers, seeds = given(tuple[Name, ...]), given(tuple[Count, ...]), given(tuple[Seed, ...]) # a,b -> ("a", "b"), each once
seconds, dollars = Annotated[float, Gt(0), Le(86_400)], Annotated[float, Gt(0), Le(10**6)]


# ---------------------------------------------------------------- commands

def bench(args):
    "drlit bench"
    from drlit.engines import engine
    workers = engine(args.engine, args.jobs, args.address, args.cpus_per_cell, args.gpus_per_cell, args.retries, ["drlit.bench"])
    from drlit.bench import bench as measure
    from drlit.bench import open_run
    apart(args.out, "--out", images=[d for p in plans(args) for d in (p.data, p.similar)])
    where = dict(device=args.device, grants=args.grants or (), data_root=args.data_root, download=args.download, known=args.known,
                 loading=dict(side=args.side, classes=args.classes, publishable=args.publishable or None))
    if args.dry_run: return show_plan(open_run(plans(args), args.out, **where, dry=True), args.jobs)
    frame = measure(plans(args), args.out, **where, engine=workers, retry=args.retry_failed)
    return finish(frame, args.out)


def plans(args):
    "What to measure: the sets of a grid file, or one profile; options on the command line override either"
    changes = {k: v for k in ("data", "similar", "attacks", "sizes", "seeds", "arch", "variants", "metrics") if (v := getattr(args, k)) is not None}
    if args.grid and args.profile: raise InputError("--grid and --profile both say where to start; the grid file names its profile itself")
    if args.grid: return [replace(p, **changes) for p in read_grid(args.grid)]
    if args.data is not None and args.similar is None: changes["similar"] = ""
    return [replace(profile(args.profile or "quick"), **changes)]


def apart(out, option, folders=(), images=()):
    "Refuse a place whose files would be taken for what lies in one of these folders, for pictures, or for a run's records"
    from drlit.mirror import is_url
    from drlit.records import STAGES
    if out is None or is_url(out): return
    here, within = Path(out).resolve(), lambda a, b: b in (a, *a.parents)
    for root in here.parents:
        if (root / "plan" / "plan.json").is_file() and here.relative_to(root).parts[0] in STAGES: raise InputError(f"{option} {shown(out)} lies among the records of the run {root}; name a folder of its own")
    for d in images:
        if d and not is_url(d) and (d := Path(d).resolve()).is_dir() and (within(here, d) or any(within(d, here / s) for s in STAGES)): raise InputError(f"{option} {shown(out)}: its files would mix with the pictures in {d}; name a folder of its own")
    for d in folders:
        if here == Path(d).resolve(): raise InputError(f"{option} {shown(out)}: its files would mix with those that are read there; name a folder of its own")


def duration(seconds):
    "3 h 20 min"
    if seconds < 90: return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def age(seconds):
    "The same for the time since something; another machine's clock may go ahead"
    return duration(seconds) if seconds > -2 else f"{duration(-seconds)} ahead of this clock"


def show_plan(run, jobs):
    "What --dry-run prints"
    from drlit.bench import survey
    from drlit.report import grid
    s = survey(run)
    keys = lambda c: (c.data, c.arch + (f" ({c.variant})" if c.variant != "plain" else ""), str(c.size) + (f" + {c.update_size}" if c.update_size else ""))
    rows = {}
    for job, state in zip(run.jobs, s.states): rows.setdefault(keys(job.cell), []).append(state)
    cost = lambda data, arch, size: s.bill[(s.bill.data == data) & (s.bill.arch == arch.split(" (")[0]) & (s.bill["size"] == size)].seconds.sum()
    body = [[*k, str(len(v)), *(str(v.count(x)) for x in ("ok", "missing", "failed", "not applicable")), duration(cost(*k))] for k, v in rows.items()]
    print(grid(["data", "target", "images", "cells", "cached", "to do", "failed", "not applicable", "estimate"], body, left=3))
    parts = s.bill.groupby(["part", "name"], sort=False).agg(times=("seconds", "size"), seconds=("seconds", "sum"), how=("how", lambda h: ", ".join(dict.fromkeys(h)))).reset_index()
    print("\n" + grid(["part", "name", "times", "estimate", "how"], [[p.part, p.name, str(p.times), duration(p.seconds) if p.how != "unknown" else "?", p.how] for p in parts.itertuples(index=False)], left=2))
    print("\n" + "\n".join(dict.fromkeys(f"not applicable: {j.cell.attack}: {j.reason}" for j in run.jobs if j.reason)) + "\n" * any(j.reason for j in run.jobs) + total(s, jobs))
    return 0


def total(s, jobs=1):
    "The time that is left, in one line"
    sure = s.bill[s.bill.how == "measured"].seconds.sum() / max(s.seconds, 1e-9)
    lacking = f"; no timing for {', '.join(s.unknown)}, which the total leaves out" if s.unknown else ""
    share = f", about {duration(s.seconds / jobs)} with {jobs} jobs" if jobs > 1 else ""
    return f"left: {duration(s.seconds)} of one core{share}; {100 * sure:.0f} % of it measured, the rest extrapolated{lacking}"


def status(args):
    "drlit status"
    import time

    from drlit.bench import reopen, survey
    live, told = sys.stdout.isatty() and not args.once, False
    while True:
        run = reopen(args.folder)
        s = survey(run)
        if s.states and not told: told = say_old(run, s, args.folder)
        if live: print("\033[H\033[2J", end="")
        print(describe(s, args.folder), flush=True)
        if not live or not s.counts.get("missing", 0) + s.counts.get("running", 0): return 1 if s.counts.get("failed") else 0
        time.sleep(args.every)


def say_old(run, s, folder):
    "Say which finished cells other code computed, by their sample-level scores; True"
    import pandas as pd

    from drlit.bench import set_level
    from drlit.report import about_in, say_outdated
    rows = [dict(attack=j.cell.attack, metric=m, key=key, features="", status=state) for j, state in zip(run.jobs, s.states) for m, key in j.scores.items() if not set_level(m)]
    say_outdated(pd.DataFrame(rows, columns=["attack", "metric", "key", "features", "status"]), about_in(run.store.root), folder)
    return True


def describe(s, folder):
    "The status of a run as text"
    import time

    from drlit.report import grid
    names = ("ok", "running", "missing", "failed", "not applicable")
    lines = [visible(f"{folder}: ") + ", ".join(f"{s.counts.get(k, 0)} {'done' if k == 'ok' else k}" for k in names) + f" of {sum(s.counts.values())} cells"]
    if s.running:
        rows = [[r["attack"], r["control"], r["data"], r["arch"], str(r["n"]), str(r["seed"]), age(time.time() - r["since"]), f"{r['host'].rsplit('-', 1)[0]}:{r['pid']}"] for r in s.running]
        lines += ["", grid(["running", "control", "data", "target", "n", "seed", "since", "by"], rows, left=4)]
    lines += [visible(f"failed: {f['attack']} on {f['data']}, {f['n']} images, seed {f['seed']}: {f['error']}") for f in s.failed]
    return "\n".join(lines + [total(s, max(1, len({(r["host"], r["pid"]) for r in s.running})))])


def finish(frame, out):
    "Print the table, write the report, count the failures"
    from drlit.mirror import place
    from drlit.report import report, results_of
    where = place(out)
    where.bring("pictures/*")
    text, files = report(where.root, results_of(where.root, frame))
    where.send("*", anew=True)
    print(text)
    print(f"\nreport: {files['html']}\nresults: {os.path.join(where.root, 'results.csv')}" + f"\nkept at {out}" * (where.root != Path(out)))
    return failures(frame)


def failures(frame):
    "Count the rows that failed; the exit code"
    failed = frame[frame.status == "failed"]
    if len(failed): say(visible(f"{len(failed)} rows failed; the first: {failed.iloc[0].attack}: {failed.iloc[0].error}; --retry-failed tries again"))
    return 1 if len(failed) else 0


def report(args):
    "drlit report"
    from drlit.bench import RECORDS
    from drlit.mirror import place
    from drlit.profiles import pick
    from drlit.report import WRITERS, results_of, say_outdated, write_rows
    from drlit.report import report as write
    for f in args.format: pick("format", f, WRITERS)
    where = place(args.folder)
    read = where.root.parent if where.root.is_file() else where.root
    apart(args.rows, "--rows", [read]), apart(args.out, "--out", [] if (read / "plan").is_dir() else [read])
    where.bring(*RECORDS, "pictures/*")
    if args.rows:
        paths, n = write_rows(where.root, args.rows)
        print(f"{n} finished rows: {', '.join(map(str, paths))}; beside each its origin (.json), the pictures of Figure 1 (.npz) and the kept distances (.distances.npz)")
        return 0
    results = results_of(where.root)
    say_outdated(results.frame, results.about, args.folder)
    text, files = write(where.root, results, args.format, args.out)
    if not args.out: where.send("*", anew=True)
    names = {"html": "report", "csv": "results"}
    print(f"{text}\n\n" + "\n".join(f"{names.get(f, f)}: {path}" for f, path in files.items()))
    return failures(results.frame)


def show_attacks(args):
    "drlit attacks"
    from drlit.attacks.base import table1
    rows = table1(nulls=args.all)
    if args.json: print(json.dumps(rows, indent=1))
    else:
        from drlit.report import grid
        print(grid(["attack", "family", "training", "model", "data"], [[r[k] for k in ("name", "family", "training", "model", "data")] for r in rows], left=5))
        print("\nEach row is the least knowledge the attack needs; it also runs where more is known.")
    return 0


def score(args):
    "drlit score"
    from drlit.bench import score_files
    from drlit.report import score_table
    rows = score_files(args.reconstruction, args.target, args.heldout, args.metrics, permutations=args.permutations, seed=args.seed)
    print(json.dumps(rows, indent=1) if args.json else score_table(rows))
    return 0


def judge(args):
    "drlit judge"
    from drlit.judge import Embedded, Endpoint, Protocol, ask, keep, panel_of, replies_folder, tokens
    protocol = Protocol(args.votes, args.mode, args.order, **({"question": args.question} if args.question is not None else {}))
    apart(args.out, "--out", args.run)
    folder = replies_folder(args.run[0], args.out)
    limits = {k: getattr(args, k) for k in ("base_url", "concurrency", "rpm", "image_size", "price", "budget", "timeout", "send_all") if getattr(args, k) is not None}
    judge = Endpoint(args.model, extra=dict(args.set or ()), **limits) if args.model else Embedded(args.metric)
    fixed = dict(arch=args.arch, variant=args.variant, seed=args.seed, size=args.size)
    panels = [panel_of(args.run, a, args.over, args.targets, args.equal, control="held_out" if args.held_out else "none", data_root=args.data_root, **fixed) for a in (args.attack, *(args.controls or ()))]
    if args.model:
        n, each = sum(len(p) for p in panels) * protocol.votes * (1 if protocol.mode == "all" else len(panels[0].options) * (len(panels[0].options) - 1) // 2), tokens(panels[0], protocol, judge.image_size)
        price = f", at most {n * judge.worst(panels[0], protocol):.2f} dollars if each is answered at once" if judge.price else ""
        say(f"{n} questions of about {each} tokens{price}; what was answered before is not asked again")
    found = [ask(judge, p, protocol, folder) for p in panels]
    if all(v.counts.sum() for v in found): keep(found, folder)
    return show_verdicts(found, args.json)


def show_verdicts(found, as_json):
    "The tallies, the place bias and the faults of a judge"
    import pandas as pd

    from drlit.judge import position_bias, ranking, tally
    table = pd.concat([tally(v) for v in found], ignore_index=True)
    ranks = pd.concat([ranking(v).assign(source=v.source) for v in found], ignore_index=True)
    bias = [] if found[0].protocol.order == "fixed" else [dict(source=v.source, **vars(position_bias(v))) for v in found]
    open_, seen = [int((v.frame.choice < 0).sum()) for v in found], lambda t: t.map(lambda x: visible(x) if isinstance(x, str) else x)
    if as_json: print(json.dumps(dict(tally=table.to_dict("records"), ranking=ranks.to_dict("records"), bias=bias, unanswered=open_, faults=[dict(v.faults) for v in found], dollars=sum(v.spent for v in found)), indent=1))
    else:
        print(seen(table.round(3)).to_string(index=False), "", seen(ranks.round(2)).to_string(index=False), sep="\n")
        for b in bias: print(f"\n{visible(b['source'])}: share of each place {', '.join(f'{s:.2f}' for s in b['shares'])}; p = {b['p']:.2g} that no place is preferred", end="")
        print("\nn_major: targets won (ties shared); n_unanimous: all votes equal; pred_rate: share of all votes, with a 95 % bootstrap interval over targets; refused: share of an option's questions that were refused at least once; strength: freed of the place.\n"
              "Each candidate was chosen with the private image in hand: read a row beside its control, such as --controls null_noise.")
        for v, n in zip(found, open_):
            if n or v.faults: print(f"{visible(v.source)}: {n} questions without an answer; faults {dict(v.faults)}; {v.spent:.2f} dollars")
    return 1 if any(open_) else 0


def claims(args):
    "drlit claims"
    from drlit.claims import LEDGER, ledger, load_rows
    from drlit.mirror import place
    from drlit.report import about_in, say_outdated
    rows = load_rows(args.run) if args.run else None
    if rows is not None: say_outdated(rows, about_in(place(args.run).root), args.run)
    found = ledger(rows)
    if args.json: print(json.dumps([{k: getattr(v, k) for k in ("id", "verdict", "figure", "interval", "p", "scale", "about", "published", "decides", "claim")} for v in found], indent=1))
    else:
        from drlit.report import number
        for v in found:
            figure = "" if v.figure is None else f": {number(v.figure)}" + (f" ({number(v.interval[0])} to {number(v.interval[1])})" if v.interval else "")
            print(f"{v.id} {v.verdict:12} {LEDGER[v.id]}", visible(f"    {v.about}{figure}"), *(visible(f"    {k}: {t}") for k, t in (("scale", v.scale), ("published", v.published), ("would decide it", v.decides)) if t), sep="\n")
    return 0


# ---------------------------------------------------------------- the command line

def parser():
    "The command line, with its help"
    p = Parser(prog="drlit", description=ABOUT, epilog=HELP)
    p.add_argument("--version", action="version", version=f"drlit {drlit.__version__}")
    sub = p.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    add_bench(sub), add_attacks(sub), add_score(sub), add_report(sub), add_judge(sub), add_claims(sub), add_status(sub)
    return p


def add_bench(sub):
    text = "Train targets, run attacks and controls, score everything, print the table and write report.html. Lists are comma-separated. The same command again computes only what is missing."
    b = sub.add_parser("bench", help="measure attacks; the same again resumes", description=text)
    b.add_argument("--profile", type=path, metavar="P", help="settings to start from: quick, book, paper (default quick); the options below override it")
    b.add_argument("--grid", type=path, metavar="FILE.toml", help="several data sets, each with its own sizes, seeds and architectures, instead of one profile")
    b.add_argument("--data", type=path, metavar="NAME|PATH", help="private data: a named set (digits, mnist, cifar10, celeba, ...), an .npz, or a folder with one folder per class")
    b.add_argument("--side", type=given(number(1, 4096)), metavar="PX", help="crop your own pictures to their centre square and resize it to PX x PX pixels; a must where they differ in size")
    b.add_argument("--classes", type=words, metavar="A,B", help="of --data: its class names in another order, or as many new names")
    b.add_argument("--publishable", action="store_true", help="your own images (--data, --similar) may be shown in reports and sent to a judge; without it only named public sets are")
    b.add_argument("--similar", type=lambda text: text and path(text), metavar="NAME|PATH", help="auxiliary images of a similar distribution; with --data and without this, attacks that need images get the private distribution's own auxiliary pool")
    b.add_argument("--attacks", type=words, metavar="A,B|all", help="attack names, `nulls` for the four null adversaries, `all` for every attack and the nulls")
    b.add_argument("--sizes", type=numbers, metavar="N,M", help="training set sizes of the target, in images")
    b.add_argument("--seeds", type=seeds, metavar="S,T", help="one repetition each: split, target and attack")
    b.add_argument("--arch", type=words, metavar="A,B", help="target architectures: cnn, mlp, vgg16, resnet18, mobilenet_v2, ...")
    b.add_argument("--variants", type=words, metavar="V,W", help="changes of the targets' recipes: plain, frozen_bn, pretrained (on --similar)")
    b.add_argument("--metrics", type=words, metavar="M,N", help="mse, psnr, ssim, ... per sample; fd, kid per set; fd@cifar100: in the features that this set trains for all others")
    b.add_argument("--grants", type=words, metavar="G,H", help="knowledge beyond the paper's axes: aux_labels, label_counts, observed_posteriors, recipe")
    b.add_argument("--device", default="cpu", metavar="D", help="cpu or cuda (default cpu)")
    b.add_argument("--out", type=path, default="drlit-out", metavar="DIR", help="folder for cells, results.csv and report.html, or an address such as s3://bucket/run (default drlit-out)")
    b.add_argument("--data-root", type=path, metavar="DIR", help="where named data sets lie or are downloaded to")
    b.add_argument("--download", action="store_true", help="download a named data set that is missing")
    b.add_argument("--dry-run", action="store_true", help="only print the plan: cells, what is there already, and the time that the rest will take")
    b.add_argument("--engine", default="local", metavar="E", help="who computes: local (processes on this machine) or ray (default local)")
    b.add_argument("--jobs", type=given(number(1, 1024)), default=1, metavar="N", help="cells at a time, one torch thread each (default 1)")
    b.add_argument("--address", metavar="HOST:PORT", help="of a running Ray cluster, whose machines share the folder --out; without it Ray is started here")
    b.add_argument("--cpus-per-cell", type=given(number(0, 1024, float)), default=1, metavar="C", help="that Ray sets aside for each cell (default 1)")
    b.add_argument("--gpus-per-cell", type=given(number(0, 1024, float)), default=0, metavar="G", help="the same; a share such as 0.25 is fine (default 0)")
    b.add_argument("--retries", type=given(number(0, 100)), default=2, metavar="R", help="of a cell whose worker died (default 2)")
    b.add_argument("--known", type=path, metavar="ROWS", help="a folder that `drlit report RUN --rows ROWS` filled: leave out the cells that have their rows in it, to go on from another machine's run")
    b.add_argument("--retry-failed", action="store_true", help="try again what failed in an earlier run")
    b.set_defaults(do=bench)


def add_attacks(sub):
    a = sub.add_parser("attacks", help="list the attacks by the knowledge each needs", description="The attacks by the least knowledge each needs (the paper's Table 1, from the code's declarations).")
    a.add_argument("--json", action="store_true", help="as a JSON list")
    a.add_argument("--all", action="store_true", help="the null adversaries too")
    a.set_defaults(do=show_attacks)


def add_score(sub):
    text = ("Score reconstructions made by any tool against the images they should reproduce. Files are .npz with `images` (uint8, or floats in [0,1]; NCHW, NHWC or NHW), `labels` and perhaps `names` of the classes, by which classes are matched; "
            "or folders with one folder of pictures per class, or of pictures alone. Without labels in REC or TARGET matching runs over the whole set. HELDOUT.npz: images of the same law and the same counts per class that the model never saw; it gives the gap and p.")
    s = sub.add_parser("score", help="score anyone's reconstructions", description=text)
    s.add_argument("reconstruction", type=path, metavar="REC.npz"), s.add_argument("target", type=path, metavar="TARGET.npz")
    s.add_argument("heldout", type=path, metavar="HELDOUT.npz", nargs="?")
    s.add_argument("--metrics", type=words, default=("mse", "psnr", "ssim"), metavar="M,N", help="mse, psnr, ssim, ...; fd and kid need the Inception weights (default mse,psnr,ssim)")
    s.add_argument("--permutations", type=given(Permutations), default=999, metavar="B", help="of the held-out test (default 999)")
    s.add_argument("--seed", type=given(Seed), default=0, metavar="S", help="of permutations and bootstrap (default 0)")
    s.add_argument("--json", action="store_true", help="as a JSON list, one object per metric")
    s.set_defaults(do=score)


def add_report(sub):
    text = ("Read what `drlit bench` wrote and print Table 2: every attack beside its controls, then what the paper printed. DIR is a run's folder (finished or at work), a folder of rows that --rows wrote, or a results.csv.\n"
            "html: one page with sortable, filterable tables and Figures 1 and 2; csv, parquet: every row; latex: the tables, for booktabs and longtable.")
    r = sub.add_parser("report", help="tables, figures and files of a finished or interrupted run", description=text)
    r.add_argument("folder", type=path, metavar="DIR", help="or the address of a run")
    r.add_argument("--format", type=words, default=("html", "csv"), metavar="F,G", help="html, csv, parquet (extra drlit[parquet]), latex (default html,csv)")
    r.add_argument("--out", type=path, metavar="FOLDER", help="where the files go (default: the run's folder)")
    r.add_argument("--rows", type=path, metavar="FOLDER", help="instead, write the rows that are finished, their origin, the pictures of Figure 1 and the distances that their tests need into FOLDER, small enough to commit: DIR.csv, DIR.json, DIR.npz, DIR.distances.npz")
    r.set_defaults(do=report)


def add_claims(sub):
    text = "The paper's twenty claims, judged on a run's rows: reproduced, contradicted or undecided, by the rules that chapter 90 declares, with the deciding figure, its interval over seeds, and what would decide an open one. Without RUN only C08 and C19 are judged, whose studies come with the package."
    c = sub.add_parser("claims", help="the paper's claims, judged on a run", description=text)
    c.add_argument("run", type=path, nargs="?", metavar="RUN", help="a folder that `drlit bench --out` or `drlit report --rows` wrote, or a results.csv")
    c.add_argument("--json", action="store_true", help="as a JSON list of all twenty: id, verdict, figure, interval, scale, ...")
    c.set_defaults(do=claims)


def pair(text):
    "IN,OUT -> two prices"
    wrong = argparse.ArgumentTypeError(f"{shown(text)} is not two prices, such as 2.5,10")
    if text.count(",") != 1: raise wrong
    try: return tuple(parsed(number(0, 10**6, float), price, "") for price in text.split(","))
    except InputError: raise wrong from None


def assignment(text):
    "NAME=JSON -> (name, value)"
    name, _, value = text.partition("=")
    def refuse(word): raise ValueError(word)
    try: found = name.strip(), json.loads(value, parse_constant=refuse, parse_float=finite)
    except (ValueError, RecursionError): found = "", None
    if not re.fullmatch(r"[A-Za-z_][\w.-]*", found[0], re.ASCII): raise argparse.ArgumentTypeError(f"{shown(text)} is not NAME=VALUE with a JSON value, such as temperature=1 or max_tokens=null")
    return found


def finite(text):
    "A number of JSON that a float can hold"
    if abs(float(text)) == float("inf"): raise ValueError(text)
    return float(text)


def add_judge(sub):
    text = ("The paper's judge (section 6.1): for every private image one candidate per training size, and a judge that names the most similar. Without --model the judge is a metric, offline. "
            "With it, any OpenAI-compatible endpoint; its key comes from the environment variable OPENAI_API_KEY. Every reply is kept in RUN/judge, or in --out: the same command again asks only what is missing. The tallies are kept there too, as rows that `drlit claims RUN` reads.")
    j = sub.add_parser("judge", help="let a vision language model, or a metric, choose between training sizes", description=text)
    j.add_argument("run", type=path, nargs="+", metavar="RUN", help="folders that `drlit bench --out` wrote")
    j.add_argument("--attack", required=True, metavar="A", help="whose reconstructions")
    j.add_argument("--controls", type=words, metavar="A,B", help="null adversaries of the same runs, judged the same way")
    j.add_argument("--over", default="size", metavar="F", help="what candidates differ in: size, variant or arch (default size)")
    j.add_argument("--arch", metavar="A"), j.add_argument("--variant", metavar="V"), j.add_argument("--size", type=given(Count), metavar="N")
    j.add_argument("--seed", type=given(Seed), metavar="S", help="of the cells, where a run has several")
    j.add_argument("--model", metavar="M", help="as the endpoint calls it"), j.add_argument("--base-url", metavar="URL", help="of the endpoint (default: OpenAI's)")
    j.add_argument("--metric", default="ssim", metavar="M", help="the judge where no model is named: ssim, mse, lpips, ... (default ssim)")
    j.add_argument("--votes", type=given(number(1, 1000)), default=5, metavar="V", help="per target (default 5)"), j.add_argument("--targets", type=given(number(1, 10**6)), default=1000, metavar="N", help="at most so many, drawn at random (default 1000)")
    j.add_argument("--mode", default="all", metavar="M", help="all candidates at once (all) or two by two (pairs)")
    j.add_argument("--order", default="shuffled", metavar="O", help="shuffled anew for each vote, or fixed as in the paper")
    j.add_argument("--question", metavar="TEXT", help="another wording; {k} stands for the number of candidates")
    j.add_argument("--equal", action="store_true", help="let every option offer equally many reconstructions of a class")
    j.add_argument("--held-out", action="store_true", help="a control: the same candidates, for held-out images in place of the private ones")
    j.add_argument("--concurrency", type=given(number(1, 1000)), metavar="N", help="questions in flight (default 8)"), j.add_argument("--rpm", type=given(Annotated[float, Gt(0), Le(10**6)]), metavar="R", help="requests a minute, at most")
    j.add_argument("--timeout", type=given(seconds), metavar="S", help="seconds for a reply (default 60)"), j.add_argument("--image-size", type=given(number(8, 4096)), metavar="PX", help="longer side of the images sent (default 256)")
    j.add_argument("--price", type=pair, metavar="IN,OUT", help="dollars per million tokens"), j.add_argument("--budget", type=given(dollars), metavar="USD", help="stop before it is exceeded")
    j.add_argument("--set", type=assignment, action="append", metavar="K=V", help="further field of the request, such as temperature=1; may be repeated")
    j.add_argument("--send-all", action="store_true", default=None, help="send images marked as not publishable too")
    j.add_argument("--out", type=path, metavar="FOLDER", help="where replies and tallies are kept (default: RUN/judge); RUN itself is only read")
    j.add_argument("--data-root", type=path, metavar="DIR", help="where named data sets lie"), j.add_argument("--json", action="store_true", help="as JSON")
    j.set_defaults(do=judge)


def add_status(sub):
    text = "What a run in this folder has done, is doing (by whom, since when) and still has to do, and what failed. On a terminal it looks again until the run is done; Ctrl-C ends the looking, not the run."
    t = sub.add_parser("status", help="done, running, failed, time left", description=text)
    t.add_argument("folder", type=path, metavar="DIR", help="or the address of a run")
    t.add_argument("--every", type=given(number(.1, 86_400, float)), default=2, metavar="S", help="seconds between looks (default 2)")
    t.add_argument("--once", action="store_true", help="look once, on a terminal too")
    t.set_defaults(do=status)


def joined(argv):
    "`--seeds -1,2` as `--seeds=-1,2`, which argparse would take for an option"
    out = []
    for word in argv:
        takes = out and out[-1].startswith("--") and "=" not in out[-1] and out[-1] != "--"
        if takes and re.match(r"-[\d.,∞]|-(inf|nan)", word, re.IGNORECASE): out[-1] += f"={word}"
        else: out.append(word)
    return out


def parse(argv):
    "Arguments, or an InputError that names the nearest valid word"
    p = parser()
    commands = [a for a in p._actions if isinstance(a, argparse._SubParsersAction)][0].choices
    first = next((a for a in argv if not a.startswith("-")), None)
    if first is not None and first not in commands: raise near("command", first, list(commands))
    args, rest = p.parse_known_args(joined(argv))
    if rest:
        if rest[0].startswith("-"): raise near("option", rest[0].split("=")[0], commands[args.command].known() if args.command else p.known())
        raise InputError(f"unexpected argument {rest[0]!r}; see `drlit {args.command} --help`")
    if args.command is None:
        p.print_help()
        raise SystemExit(0)
    return args


REMEDIES = { # errors of the machine -> what can be done
    MemoryError: "out of memory; use smaller --sizes, fewer --jobs, smaller images or a smaller batch in the options",
    RecursionError: "nested too deeply; write it flatter",
    ImportError: "a library cannot be loaded; raise the limits on memory and processes (ulimit -v, ulimit -u), or install drlit again",
    OverflowError: "a number is too large; use a smaller one",
}


def one_line(error):
    "An error as one line"
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        from drlit.records import remedy
        told = "check the address, the network and your credentials" if "://" in where else remedy(error)
        return visible(f"{where}{error.strerror}; {told}, then run the same command again: finished cells are kept")
    for kind, told in REMEDIES.items():
        if isinstance(error, kind): return visible(f"{told} ({str(error).strip() or kind.__name__})")
    return visible(str(error).strip() if isinstance(error, InputError) else " ".join(str(error).split()))


def note(message, category, *rest, **more): say(visible(f"note: {' '.join(str(message).split())}"))


def main(argv=None):
    "Run the command; the exit code"
    logging.getLogger("matplotlib").setLevel(logging.ERROR) # where it keeps its cache is no remark of ours
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"): stream.reconfigure(errors="backslashreplace")
    try:
        if sys.stdout is None: raise InputError("standard output is closed, so the answer would be lost; send it to a file, or to /dev/null")
        try: os.getcwd()
        except FileNotFoundError: raise InputError("the current folder is gone; change to one that exists") from None
        with warnings.catch_warnings():
            warnings.showwarning = note
            try: args = parse(list(sys.argv[1:] if argv is None else argv))
            except SystemExit: # after --help or --version
                sys.stdout.flush()
                raise
            code = args.do(args)
        if sys.stdout is not None: sys.stdout.flush() # so that a full disk or a closed pipe is noticed here
        return code
    except BrokenPipeError: # e.g. `drlit attacks | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (InputError, OSError, *REMEDIES) as e:
        if os.environ.get("DRLIT_DEBUG") == "1": raise
        say(one_line(e))
        return 2
