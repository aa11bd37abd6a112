"""What an attack can reach: each of these tries to get at something that was not granted."""
import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.modules import module as nn_module
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from drlit import core
from drlit.attacks.base import Attack, attack_seed, run
from drlit.core import content_hash
from drlit.data import load_images, split
from drlit.definitions import Reconstruction
from drlit.models import Training, hook_tables, logits, unhooked
from drlit.profiles import InputError
from drlit.targets import recipe_for, train_target
from drlit.taxonomy import GRANTS, Knowledge, ModelAccess

WHITE, BLACK, KEYED = Knowledge("static", "white-box", "none"), Knowledge("static", "black-box", "none"), Knowledge("dynamic", "white-box", "none")
SEED = 4


@pytest.fixture(scope="module")
def target():
    images = load_images("digits")
    recipe = recipe_for(images, 20, arch="mlp", width=16, update_size=10, seed=SEED, training=Training(min_epochs=2, max_epochs=2))
    return train_target(recipe, images, similar=load_images("glyphs"))


@pytest.fixture(autouse=True)
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(core, "_said", set())
    monkeypatch.setattr(core.tqdm, "write", lambda text, **_: lines.append(text))
    return lines


def trying(f, knowledge=WHITE):
    "An attack that calls f(view, seed) and returns noise"
    class Trying(Attack):
        name, family = "trying", "optimisation"

        def run(self, view, n, seed):
            f(view, seed)
            return Reconstruction(torch.rand(n, *view.shape), view.labels())
    Trying.knowledge = knowledge
    return Trying()


def shown(seen, target, training="static"):
    "Is a private image among the tensors?"
    keys = [x.detach() for x in seen if isinstance(x, torch.Tensor) and x.shape[-3:] == target.truth(training).shape]
    return any(torch.isclose(a, b).all() for x in keys for a in x.reshape(-1, *x.shape[-3:]) for b in target.truth(training).images)


def test_the_seed_rebuilds_no_split(target):
    "With the seed of the run the mean squared error was 0"
    got = []
    run(trying(lambda view, seed: got.append((seed, view.seed, torch.initial_seed()))), target, seed=SEED)
    for seed in got[0]:
        guess = split(load_images("digits"), 20, seed, 10).private
        assert len(set(guess.keys) & set(target.truth().keys)) < 10  # chance: a few of 600 pool images
    assert set(split(load_images("digits"), 20, SEED, 10).private.keys) == set(target.truth().keys)
    assert got[0][0] == got[0][1] == attack_seed(SEED) != attack_seed(SEED + 1) and SEED not in got[0]


def test_the_log_names_the_runs_seed(target):
    assert run("null_noise", target, seed=SEED).log["seed"] == SEED


def test_the_models_own_record_names_no_seed(target):
    assert target.model.spec["seed"] == SEED and target.view(WHITE).model.spec["seed"] is None
    assert torch.equal(logits(target.view(WHITE).model, target.truth().images), logits(target.model, target.truth().images))


def test_knowledge_cannot_be_changed():
    k = Knowledge("static", "black-box", "none", ["recipe"])
    for write in (setattr, object.__setattr__):
        for name, value in (("model", ModelAccess.WHITE_BOX), ("grants", frozenset(GRANTS)), ("anything", 1)):
            with pytest.raises((AttributeError, TypeError)): write(k, name, value)
    with pytest.raises(AttributeError): k.grants.add("label_counts")
    with pytest.raises(InputError): k._replace(model="whitebox")
    assert k == deepcopy(k) == pickle.loads(pickle.dumps(k)) == k._replace(model="black-box") and str(k.model) == "black-box"
    more = k | Knowledge("any", "white-box", "none")
    assert more > k and more >= k and not k >= more and not k > k and k >= k and content_hash(k) != content_hash(more)


WRITES = {
    "knowledge": lambda v: object.__setattr__(v, "knowledge", WHITE), "its model": lambda v: object.__setattr__(v.knowledge, "model", ModelAccess.WHITE_BOX),
    "reader": lambda v: object.__setattr__(v, "_read", lambda name: 0), "bill": lambda v: object.__setattr__(v, "spent", lambda: dict(intact=True)),
    "seed": lambda v: object.__setattr__(v, "seed", 1), "plainly": lambda v: setattr(v, "knowledge", WHITE), "item": lambda v: v.__setitem__(2, WHITE),
}


@pytest.mark.parametrize("what", WRITES)
def test_the_view_cannot_be_changed(what, target):
    "The knowledge that was granted decides, whatever is assigned later"
    tried = []

    def f(view, seed):
        with pytest.raises((AttributeError, TypeError)): WRITES[what](view)
        with pytest.raises(PermissionError, match=r"view\.model needs"): _ = view.model
        tried.append(view.knowledge)
    run(trying(f, BLACK), target)
    assert tried == [BLACK]


class Spy(TorchDispatchMode):
    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.seen += [a for a in (*args, out) if isinstance(a, torch.Tensor)]
        return out


class Listener(TorchFunctionMode):
    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.seen += [a for a in args if isinstance(a, torch.Tensor)]
        return func(*args, **(kwargs or {}))


def saved(seen): return torch.autograd.graph.saved_tensors_hooks(lambda x: seen.append(x) or x, lambda x: x)
def forward_hook(seen): return nn_module.register_module_forward_hook(lambda m, args, out: seen.extend([*args, *m.parameters()]))
def forward_pre_hook(seen): return nn_module.register_module_forward_pre_hook(lambda m, args: seen.extend([*args, *m.parameters()]))


WATCHERS = {
    "forward hook": forward_hook, "forward pre-hook": forward_pre_hook,
    "dispatch mode": lambda seen: Spy(seen).__enter__(), "function mode": lambda seen: Listener(seen).__enter__(), "saved tensors": lambda seen: saved(seen).__enter__(),
}


@pytest.mark.parametrize("watcher", WATCHERS)
def test_no_watcher_sees_the_truth_while_a_field_is_computed(watcher, target):
    "The gradient is computed from the private images when it is read"
    seen = []

    def f(view, seed):
        WATCHERS[watcher](seen)
        _ = view.gradient
    run(trying(f, KEYED), target)
    assert not shown(seen, target, "dynamic")


@pytest.mark.parametrize("watcher", ("forward hook", "forward pre-hook", "dispatch mode", "function mode"))
def test_no_watcher_sees_the_weights_behind_a_query(watcher, target):
    seen = []

    def f(view, seed):
        WATCHERS[watcher](seen)
        view.query(torch.rand(2, *view.shape))
    run(trying(f, BLACK), target)
    weights = list(target.model.parameters())
    assert not any(a.shape == p.shape and torch.equal(a, p) for a in seen for p in weights)


@pytest.mark.parametrize("watcher", WATCHERS)
def test_what_is_left_behind_is_removed_and_said(watcher, target, said):
    "After the attack the private images are scored: nobody looks on"
    seen = []
    run(trying(lambda view, seed: WATCHERS[watcher](seen)), target)
    seen.clear()
    x = target.truth().images.clone().requires_grad_()
    target.model(x).sum().backward()
    assert not seen and not any(hook_tables()) and any("left" in s and "behind; removed" in s for s in said)


def test_hooks_on_the_targets_own_modules_are_removed(target, said):
    "Found through the garbage collector, say"
    seen = []
    run(trying(lambda view, seed: [m.register_forward_hook(lambda m, args, out: seen.append(args)) for m in target.model.modules()]), target)
    logits(target.model, target.truth().images)
    assert not seen and any("hooks on modules" in s for s in said)


def test_an_attack_that_fails_leaves_nothing(target, said):
    seen = []

    def f(view, seed):
        forward_hook(seen)
        raise RuntimeError("on purpose")
    with pytest.raises(RuntimeError, match="on purpose"): run(trying(f), target)
    nn.Linear(1, 1)(torch.zeros(1, 1))
    assert not seen and not any(hook_tables()) and any("behind; removed" in s for s in said)


def test_a_users_own_hooks_are_off_and_come_back(target, said):
    seen = []
    hook = forward_hook(seen)
    try:
        run(trying(lambda view, seed: view.model(torch.rand(1, *view.shape))), target)
        assert not seen and any("global hooks are off" in s for s in said)
        nn.Linear(1, 1)(torch.zeros(1, 1))
        assert seen
    finally: hook.remove()
    with Spy(seen), unhooked():
        seen.clear()
        torch.ones(2) + 1
        assert not seen


SETTINGS = {
    "grad mode": (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled), "dtype": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "threads": (lambda: torch.set_num_threads(torch.get_num_threads() + 1), torch.get_num_threads),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_restored(name, target, said):
    change, now = SETTINGS[name]
    was = now()
    run(trying(lambda view, seed: change()), target)
    assert now() == was and any("settings of torch" in s for s in said)


def test_auxiliary_images_are_the_attacks_own(target):
    "Written to in place, they were the next attack's too"
    k, was = Knowledge("static", "black-box", "same"), target.split.auxiliary.images.clone()
    run(trying(lambda view, seed: view.auxiliary.images.zero_(), k), target)
    assert torch.equal(target.split.auxiliary.images, was)


def test_hooks_on_the_shown_model_are_allowed(target, said):
    "DeepInversion needs them; they are on a copy"
    seen = []

    def f(view, seed):
        view.model.register_forward_hook(lambda m, args, out: seen.append(out))
        view.model(torch.rand(1, *view.shape))
    run(trying(f), target)
    assert len(seen) == 1 and not said


def test_a_long_attack_is_announced(target, said, monkeypatch):
    monkeypatch.setitem(target.info, "gradient_seconds", 1.)
    run(trying(lambda view, seed: None), target)
    assert not said
    a = trying(lambda view, seed: None)
    a.steps = 1000
    run(a, target)
    assert "about 20,000 image gradients (20 images, 1000 steps), 333 minutes" in said[0]
