"""Deep-Leakage beside breaching's `deepleakage`: success rates over the same gradients with the same number of evaluations of the objective.

    python benchmarks/deep_leakage_vs_breaching.py [--seeds 10] [--batches 1 4] [--steps 100]

Each seed is a sigmoid LeNet with weights from U(-0.5, 0.5), a batch of 16x16 digits and its gradient. breaching runs first, with its
own defaults and `--steps` steps of L-BFGS; the forward passes it makes are counted, and Deep-Leakage gets exactly as many as its budget,
restarts included. Success: every image, paired by assignment and clipped to [0,1], within a mean squared error of 0.001.
breaching is skipped with a printed reason where it is not installed (pip install --no-deps breaching hydra-core omegaconf==2.3.0
antlr4-python3-runtime==4.9.3). It returns the start of its label optimisation as labels, so its labels are printed but not part of success.
"""
import argparse
import contextlib
import io
import time
import warnings
from importlib.util import find_spec

import torch
from scipy.optimize import linear_sum_assignment

from drlit.attacks.base import run
from drlit.attacks.deep_leakage import DeepLeakage
from drlit.core import seeded
from drlit.data import load_images
from drlit.targets import gradient_of, recipe_for, train_target


def paired(images, labels, truth):
    "Mean squared errors and label hits under the best assignment"
    d = (images.nan_to_num(0.).clamp(0, 1)[:, None] - truth.images[None]).square().mean((2, 3, 4))
    i, j = linear_sum_assignment(d)
    return d[i, j], (labels[i] == truth.labels[j]).float().mean().item()


def metadata(truth):
    "What breaching wants to know of the data; the model normalises by itself"
    from omegaconf import OmegaConf
    c, h, w = truth.shape
    return OmegaConf.create(dict(modality="vision", task="classification", shape=[c, h, w], mean=[0.] * c, std=[1.] * c, classes=len(truth.names)))


def theirs(target, truth, steps, seed):
    "breaching's reconstruction, its labels and the number of forward passes"
    import breaching
    net, calls = target.model, []
    handle = net.register_forward_pre_hook(lambda *_: calls.append(1))
    cfg = breaching.get_attack_config("deepleakage", [f"optim.max_iterations={steps}"])
    attack = breaching.attacks.prepare_attack(net, torch.nn.CrossEntropyLoss(), cfg, dict(device=torch.device("cpu"), dtype=torch.float))
    payload = dict(parameters=list(net.parameters()), buffers=list(net.buffers()), metadata=metadata(truth))
    shared = dict(gradients=list(gradient_of(net, truth.images, truth.labels).tensors), buffers=None,
                  metadata=dict(num_data_points=len(truth), labels=None, local_hyperparams=None))
    with seeded("breaching", seed): out, _ = attack.reconstruct([payload], [shared], {}, dryrun=False)
    handle.remove()
    return out["data"].detach(), out["labels"], len(calls)


def one(images, batch, seed, steps):
    "One row: both attacks on the same gradient"
    recipe = recipe_for(images, 20, arch="lenet_sigmoid", update_size=batch, seed=seed)
    target = train_target(recipe, images)
    truth, row = target.truth("dynamic"), {}
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()): x, y, spent = theirs(target, truth, steps, seed)
    row["breaching"] = *paired(x, y, truth), spent, time.perf_counter() - start
    start = time.perf_counter()
    rec = run(DeepLeakage(budget=spent), target, seed=seed)
    row["drlit"] = *paired(rec.images, rec.labels, truth), rec.log["evaluations"], time.perf_counter() - start
    return row


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--seeds", type=int, default=10)
    p.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    p.add_argument("--steps", type=int, default=100, help="of breaching's L-BFGS")
    a = p.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    if not find_spec("breaching"): return print("breaching is not installed: skipped")
    images = load_images("digits")
    for batch in a.batches:
        rows = []
        for seed in range(a.seeds):
            rows.append(one(images, batch, seed, a.steps))
            print(f"batch {batch} seed {seed}: " + "; ".join(f"{k} worst MSE {e.max():.1e}, labels {l:.0%}, {n} evaluations" for k, (e, l, n, _) in rows[-1].items()), flush=True)
        rate = {k: sum(r[k][0].max().item() < 1e-3 for r in rows) for k in rows[0]}
        total = {k: sum(r[k][2] for r in rows) for k in rows[0]}
        seconds = {k: sum(r[k][3] for r in rows) for k in rows[0]}
        print(f"batch {batch}: success " + ", ".join(f"{k} {v}/{len(rows)}" for k, v in rate.items())
              + f"; evaluations, drlit/breaching {total['drlit'] / total['breaching']:.2f}; seconds, drlit/breaching {seconds['drlit'] / seconds['breaching']:.2f}")


if __name__ == "__main__": main()
