"""MI-Face beside the Adversarial Robustness Toolbox's MIFace: images per second at equal confidence, medians of alternating runs.

    python benchmarks/mi_face_vs_art.py [--iterations 200] [--per-class 10] [--repeats 5] [--arch cnn] [--threads 1]

Both sides do the same arithmetic on the same target (trained on digits): x <- clip(x + lr grad p_y), lr 0.1, the same number of
iterations, no early stop, the same uniform starts. ART is called as it has to be to finish every class: threshold=1.0 (its default
drops each class whose starting confidence is below 1 %) and batch_size = number of classes (its default is 1), on softmax outputs.

Four rows are timed. The figure to reach is the first ratio:
  drlit            all samples of all classes in one batch, as the attack is run
  ART              one image per class, the call of its examples; more samples per class would be further calls of the same length
  drlit, 1 each    one image per class, as ART
  ART, sorted      as many images as drlit, labels sorted, so that each of its batches holds one class: its best case, since it
                   makes one backward pass per distinct label in a batch
Confidence and mean squared error to the nearest private image of the class are printed for each row, and how far ART's images and
ours differ for the same starts (they should not).
"""
import argparse
import copy
import statistics
import time

import torch

from drlit.attacks.class_inversion import Term, invert, one_minus_p, start
from drlit.data import load_images
from drlit.metrics.sample import sample_metric
from drlit.models import logits
from drlit.targets import recipe_for, train_target

try:
    from art.attacks.inference.model_inversion import MIFace
    from art.estimators.classification import PyTorchClassifier
except ImportError as e:
    raise SystemExit(f"ART is not installed ({e}): pip install 'drlit[bench]', or pip install adversarial-robustness-toolbox") from None

AIM, LR = 8, .1


def art(model, x0, labels, iterations):
    "ART's MIFace from given starts"
    shape, classes = tuple(x0.shape[1:]), logits(model, x0[:1]).shape[1]
    net = torch.nn.Sequential(copy.deepcopy(model), torch.nn.Softmax(1))
    clf = PyTorchClassifier(net, loss=torch.nn.CrossEntropyLoss(), input_shape=shape, nb_classes=classes, clip_values=(0, 1), device_type="cpu")
    attack = MIFace(clf, max_iter=iterations, threshold=1., learning_rate=LR, batch_size=classes, verbose=False)
    return lambda: torch.from_numpy(attack.infer(x0.numpy().copy(), labels.numpy()))


def ours(model, x0, labels, iterations):
    "The engine of drlit's MI-Face from the same starts, on the same cost, without a stop rule"
    return lambda: invert(model, labels, tuple(x0.shape[1:]), [Term("1 - p", one_minus_p)], x0=x0, steps=iterations, lr=LR, optimiser="gd")[0]


def timed(fns, repeats):
    "Median seconds and images of each function; they take turns, so that other load on the machine meets all of them"
    seconds, images = {k: [] for k in fns}, {}
    for _ in range(repeats):
        for k, fn in fns.items():
            begin = time.perf_counter()
            images[k] = fn()
            seconds[k].append(time.perf_counter() - begin)
    return {k: statistics.median(s) for k, s in seconds.items()}, images


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--iterations", type=int, default=200)
    ap.add_argument("--per-class", type=int, default=10)
    ap.add_argument("--repeats", type=int, default=5)
    ap.add_argument("--arch", default="cnn")
    ap.add_argument("--width", type=int)
    ap.add_argument("--threads", type=int, default=1)
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    digits = load_images("digits")
    target = train_target(recipe_for(digits, 100, arch=a.arch, width=a.width), digits)
    private, model = target.truth(), target.model
    y = torch.arange(10).repeat_interleave(a.per_class)
    x0, one = start(len(y), private.shape), torch.arange(0, len(y), a.per_class)
    runs = {"drlit": (ours, x0, y), "ART": (art, x0[one], y[one]), "drlit, 1 each": (ours, x0[one], y[one]), "ART, sorted": (art, x0, y)}
    seconds, images = timed({k: f(model, x, c, a.iterations) for k, (f, x, c) in runs.items()}, a.repeats)

    print(f"{a.arch} on 100 digits, {a.iterations} iterations, {a.threads} thread(s), median of {a.repeats}")
    print(f"{'':14}{'images':>7}{'seconds':>9}{'images/s':>10}{'confidence':>12}{'lowest':>8}{'NN-MSE':>8}")
    rate = {}
    for k, (_, _, c) in runs.items():
        p = logits(model, images[k]).softmax(1).gather(1, c[:, None])
        rate[k] = len(c) / seconds[k]
        mse = sample_metric(images[k], private.images, "mse", c, private.labels).s_dis
        print(f"{k:14}{len(c):7}{seconds[k]:9.2f}{rate[k]:10.1f}{p.mean():12.4f}{p.min():8.4f}{mse:8.4f}")
    print(f"largest pixel difference: {(images['drlit'] - images['ART, sorted']).abs().max():.1e} of {len(y)} images, {(images['drlit, 1 each'] - images['ART']).abs().max():.1e} of {len(one)}")
    print(f"images per second, drlit / ART:                    {rate['drlit'] / rate['ART']:6.1f}   (aim: {AIM})")
    print(f"images per second, one image per class on both:    {rate['drlit, 1 each'] / rate['ART']:6.1f}")
    print(f"images per second, ART at its best (labels sorted): {rate['drlit'] / rate['ART, sorted']:5.1f}")
    if rate["drlit"] < AIM * rate["ART"]: raise SystemExit(f"below the aim of {AIM}")


if __name__ == "__main__":
    main()
