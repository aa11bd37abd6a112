"""A checkpoint from elsewhere: what its JSON says is compared with the weights before a network of that size is built."""
import json
import tracemalloc

import pytest

from drlit.core import read_json, write_json
from drlit.models import build, load_model, model_files, save_model
from drlit.profiles import InputError


@pytest.fixture
def checkpoint(tmp_path):
    save_model(tmp_path / "m", build("mlp", (1, 8, 8), 3, width=4))
    return tmp_path / "m"


def described(path, **changes):
    "The checkpoint with another description"
    about = model_files(path)[1]
    info = read_json(about)
    for k, v in changes.items():
        where = info["spec"] if k in info["spec"] else info
        where[k] = v
    write_json(about, info)


@pytest.mark.parametrize("changes, says", [
    (dict(width=10**7), "is not as m.json describes"), (dict(width=10**18), "m.json"), (dict(shape=[1, 10**5, 10**5]), "m.json"), (dict(classes=10**9), "is not as m.json describes"),
    (dict(arch="vgg16"), "m.json"), (dict(arch="cnm"), "did you mean 'cnn'"), (dict(width="4"), "m.json describes no network"), (dict(shape=5), "m.json describes no network"),
    (dict(dtype="load"), "m.json describes no network"), (dict(dtype="float16"), "m.json describes no network"),
    (dict(spec=None), "m.json describes no network"), (dict(classes=4), "is not as m.json describes"),
], ids=str)
def test_descriptions_that_do_not_fit(changes, says, checkpoint):
    "Refused in one line, in little memory"
    described(checkpoint, **changes)
    tracemalloc.start()
    with pytest.raises(InputError, match=says) as e: load_model(checkpoint)
    assert tracemalloc.get_traced_memory()[1] < 50e6 and "\n" not in str(e.value)
    tracemalloc.stop()


def test_one_that_fits(checkpoint):
    model, meta = load_model(checkpoint)
    assert meta == {} and json.loads(model_files(checkpoint)[1].read_text())["spec"] == model.spec
    assert all((a == b).all() for a, b in zip(model.state_dict().values(), build("mlp", (1, 8, 8), 3, width=4).state_dict().values()))
