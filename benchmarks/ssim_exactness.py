"""SSIM of all pairs of 500 real images beside scikit-image in float64: the largest difference, at most 1e-5.

    python benchmarks/ssim_exactness.py [--data X.npz] [--images 500]

Without --data: colour patches of 32 pixels from scikit-learn's two photographs. An .npz holds `images`, uint8 or float in [0,1], NCHW.
Ten of the images are made flat (black, dark, mid, bright, white), saturated (0 or 1 only), nearly flat, or of two flat levels; pairs
among the last kind are reported apart, since float32 is at its limit there (the nearest image is found in float64 all the same).
"""
import argparse

import numpy as np
import torch
from skimage.metrics import structural_similarity

from drlit.core import progress, read_npz
from drlit.metrics.sample import nearest, pairwise

LIMIT = 1e-5


def photographs():
    from sklearn.datasets import load_sample_images
    photos = [torch.tensor(p).permute(2, 0, 1).float() / 255 for p in load_sample_images().images]
    return torch.cat([p.unfold(1, 32, 24).unfold(2, 32, 24).flatten(1, 2).transpose(0, 1) for p in photos])


def images(path, n):
    x = photographs()
    if path:
        x = torch.from_numpy(read_npz(path)["images"])
        x = x.float() / (1 if x.is_floating_point() else 255)
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:n]].clone()
    for i, v in enumerate((0., .03, .5, 250 / 255, 1.)): x[i] = v
    x[5], x[6], x[7] = (x[5] > .5).float(), (x[6] > x[6].mean()).float(), .97 + .02 * x[7]
    x[8], x[9] = .03, 1.
    x[8, ..., x.shape[3] // 2:], x[9, :, :x.shape[2] // 2] = 250 / 255, 0.
    return x


def reference(x):
    "scikit-image on every pair, float64"
    x, m = x.double().numpy(), np.zeros((len(x), len(x)))
    for i in progress(range(len(x)), desc="scikit-image"):
        for j in range(i + 1):
            m[i, j] = m[j, i] = structural_similarity(x[i], x[j], channel_axis=0, data_range=1., gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    return torch.tensor(m)


def show(name, d):
    print(f"  {name:48s} {d.numel():9,} pairs, largest difference {d.max():.1e}, mean {d.mean():.1e}")


if __name__ == "__main__":
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--data")
    ap.add_argument("--images", type=int, default=500)
    args = ap.parse_args()
    torch.set_num_threads(1)
    x = images(args.data, args.images)
    want = reference(x)
    d = (pairwise(x, x, "ssim") - want).abs()
    rest = d.clone()
    rest[8:10, 8:10] = 0
    print(f"{len(x)} images, {' x '.join(map(str, x.shape[1:]))}")
    show("all but pairs of two-level images", rest)
    show("real images", d[10:, 10:])
    show("flat and saturated among themselves", d[:7, :7])
    show("two-level images among themselves", d[8:10, 8:10])
    half = len(x) // 2
    value, index = nearest(x[:half], x[half:], "ssim")
    same = index == want[:half, half:].argmax(1)
    print(f"  nearest: {int(same.sum())} of {half} indices equal to scikit-image's, values within {(value - want[:half, half:].amax(1)).abs().max():.1e}")
    assert rest.max() <= LIMIT, "beyond the limit of 1e-5"
