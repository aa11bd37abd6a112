"""Nearest images beside the peers that score pairs: SSIM 32x32, class-wise, 2,000 x 2,000 in 10 classes, gray and colour; LPIPS 200 x 200.

    python benchmarks/sample_metrics.py [--threads 2] [--repeats 5] [--size 2000] [--only ssim lpips] [--clock cpu]

drlit is timed whole: checking, splitting by class, searching, and computing the candidates again in float64. The peers have no
nearest-neighbour search, so each is timed on batches of ready-made pairs, at the batch size that is best for it in this run, on a
sample of the pairs, and its seconds are extrapolated per pair (gathering the pairs and taking the minimum are left out, in their
favour). All take turns, so that other load on the machine meets all of them; medians are printed, and ratios.

On a machine that is busy with other work, elapsed time with two threads says more about that work than about the code: threads that
have to meet wait for the slower one. `--clock cpu` counts processor seconds of all threads instead, which leaves waiting out on both
sides (set OMP_WAIT_POLICY=PASSIVE, or waiting in a loop counts as work). drlit's threads wait for one another at the end only.

LPIPS runs AlexNet with a random trunk under the shipped heads on both sides: the arithmetic is the same, and no download is needed.
A peer that is not installed is skipped with a printed reason.
"""
import argparse
import statistics
import time

import torch

from drlit.metrics.sample import lpips_metric, lpips_net, nearest

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
AIMS = {"piq": (12, 20), "pytorch-msssim": (12, 20), "torchmetrics": (40, 100), "lpips": (100, 200)}
BATCHES = {"ssim": (16, 32, 64, 128, 256, 512), "lpips": (16, 64, 256)}


def images(n, channels, seed):
    "Smooth random images with 8-bit values"
    g = torch.Generator().manual_seed(seed)
    x = torch.nn.functional.interpolate(torch.rand(n, channels, 8, 8, generator=g), size=(32, 32), mode="bicubic").clamp(0, 1)
    return (x * 255).round() / 255


def peers():
    "name -> function of two equal batches"
    found = {}
    try:
        import piq
        found["piq"] = lambda a, b: piq.ssim(a, b, data_range=1., reduction="none")
    except ImportError as e: print(f"piq skipped: {e}")
    try:
        import pytorch_msssim
        found["pytorch-msssim"] = lambda a, b: pytorch_msssim.ssim(a, b, data_range=1., size_average=False)
    except ImportError as e: print(f"pytorch-msssim skipped: {e}")
    try:
        from torchmetrics.functional.image import structural_similarity_index_measure as ssim
        found["torchmetrics"] = lambda a, b: ssim(a, b, data_range=1., reduction="none")
    except ImportError as e: print(f"torchmetrics skipped: {e}")
    return found


def seconds(fn):
    start = clock()
    fn()
    return clock() - start


def per_pair(fn, a, b, batch, least=.4):
    "Seconds per pair at this batch size, over at least `least` seconds of work"
    a, b = a[:batch], b[:batch]
    fn(a, b)
    done, spent = 0, 0.
    while spent < least: spent, done = spent + seconds(lambda: fn(a, b)), done + batch
    return spent / done


def compare(title, ours, pairs, fns, a, b, batches, repeats):
    "Rounds of everybody, then medians and ratios"
    print(f"\n{title}: {pairs:,} pairs")
    best = {k: min((per_pair(f, a, b, n), n) for n in batches if n <= len(a))[1] for k, f in fns.items()}
    ours()
    times = {"drlit": [], **{k: [] for k in fns}}
    for _ in range(repeats):
        times["drlit"].append(seconds(ours) / pairs)
        for k, f in fns.items(): times[k].append(per_pair(f, a, b, best[k]))
    mid = {k: statistics.median(v) for k, v in times.items()}
    for k, t in mid.items():
        note = "measured whole" if k == "drlit" else f"batches of {best[k]}, extrapolated; drlit is {t / mid['drlit']:.1f} times faster (at least {AIMS[k][0]}, aim {AIMS[k][1]})"
        print(f"  {k:15s} {t * pairs:9.2f} s {1 / t:12,.0f} pairs/s  {note}")


def ssim(size, repeats):
    labels = torch.arange(size) % 10
    pairs = sum(int((labels == c).sum())**2 for c in range(10))
    for channels, name in ((1, "gray"), (3, "RGB")):
        x, y = images(size, channels, 0), images(size, channels, 1)
        compare(f"SSIM nearest, class-wise, 32x32 {name}, {size:,} x {size:,}", lambda x=x, y=y: nearest(x, y, "ssim", labels, labels), pairs,
                peers(), x[:512], y[:512], BATCHES["ssim"], repeats)


def lpips(repeats, n=200):
    x, y, metric, model = images(n, 3, 0), images(n, 3, 1), lpips_metric("alex", "random"), lpips_net("alex", "random")
    model = model.to(memory_format=torch.contiguous_format) # as the package builds it; drlit turns it to channels_last
    a, b = x.repeat(2, 1, 1, 1), y.repeat(2, 1, 1, 1)
    with torch.no_grad():
        compare(f"LPIPS nearest (AlexNet), 32x32 RGB, {n} x {n}", lambda: nearest(x, y, metric), n * n,
                {"lpips": lambda a, b: model(a, b, normalize=True)}, a, b, BATCHES["lpips"], repeats)


if __name__ == "__main__":
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--threads", type=int, default=torch.get_num_threads())
    ap.add_argument("--repeats", type=int, default=5)
    ap.add_argument("--size", type=int, default=2000)
    ap.add_argument("--only", nargs="+", default=["ssim", "lpips"])
    ap.add_argument("--clock", choices=CLOCKS, default="wall")
    args = ap.parse_args()
    clock = CLOCKS[args.clock]
    torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, {args.threads} thread(s), medians of {args.repeats}, {args.clock} seconds")
    if "ssim" in args.only: ssim(args.size, args.repeats)
    if "lpips" in args.only: lpips(args.repeats)
