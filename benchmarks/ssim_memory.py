"""Memory and time of SSIM nearest at growing sizes: 20,000 x 20,000 images of 32x32 in 10 classes, below 2 GB, time linear in the pairs.

    python benchmarks/ssim_memory.py [--sizes 5000 10000 20000] [--channels 1] [--threads 2]

Each size runs in a process of its own, so that the peak of the resident memory is its own; it counts Python, torch and both image sets.
The scale is the full one: 10 classes of n/10 images on both sides, n^2/10 pairs (40 million at 20,000). Images are random and smooth.
"""
import argparse
import resource
import subprocess
import sys
import time

import torch

LIMIT = 2e9 # bytes


def images(n, channels, seed):
    "Smooth random images, made in parts so that making them does not set the peak"
    g, out = torch.Generator().manual_seed(seed), torch.empty(n, channels, 32, 32)
    for part in out.split(500): part.copy_(torch.nn.functional.interpolate(torch.rand(len(part), channels, 8, 8, generator=g), size=(32, 32), mode="bilinear"))
    return out


def one(n, channels):
    "Seconds and peak memory of one size, printed for the parent"
    from drlit.metrics.sample import nearest
    x, y, labels = images(n, channels, 0), images(n, channels, 1), torch.arange(n) % 10
    nearest(x[:200], y[:200], "ssim", labels[:200], labels[:200])
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    nearest(x, y, "ssim", labels, labels)
    print(time.perf_counter() - start, before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--sizes", type=int, nargs="+", default=[5000, 10000, 20000])
    ap.add_argument("--channels", type=int, default=1)
    ap.add_argument("--threads", type=int, default=torch.get_num_threads())
    ap.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    if args.one: sys.exit(one(args.one, args.channels))
    rates = []
    for n in args.sizes:
        cmd = [sys.executable, __file__, "--one", str(n), "--channels", str(args.channels), "--threads", str(args.threads)]
        seconds, before, peak = map(float, subprocess.run(cmd, check=True, capture_output=True, text=True).stdout.split())
        rates.append(n * n / 10 / seconds)
        memory = f"peak {peak * 1024 / 1e9:.2f} GB ({(peak - before) * 1024 / 1e6:.0f} MB for the search)"
        print(f"{n:6,} x {n:6,} x {args.channels} channel(s): {n * n // 10:12,} pairs {seconds:8.1f} s {rates[-1]:10,.0f} pairs/s   {memory}", flush=True)
        assert peak * 1024 < LIMIT, "above 2 GB"
    print(f"seconds per pair, last against first size: {rates[0] / rates[-1]:.2f} (1 = linear in the pairs)")
