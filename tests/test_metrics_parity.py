"""The sample metrics beside the references of the field, on every pair of 60 real images: scikit-image in float64, and the lpips package."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.models
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from sklearn.datasets import load_digits, load_sample_images

from drlit.metrics.sample import TRUNKS, lpips_metric, lpips_net, nearest, pairwise
from drlit.profiles import InputError


def photographs():
    "60 colour images of 32 pixels: patches of two photographs, four of them made flat, saturated or nearly flat"
    photos = [torch.tensor(p).permute(2, 0, 1).float() / 255 for p in load_sample_images().images]
    x = torch.cat([p.unfold(1, 32, 40).unfold(2, 32, 40).flatten(1, 2).transpose(0, 1) for p in photos])[::5][:60].clone()
    x[3], x[17], x[31], x[44] = 250 / 255, 1., (x[31] > .5).float(), .97 + .02 * x[44]
    return x


def digits():
    "60 gray images of 16 pixels"
    x = torch.tensor(load_digits().images[:60]).float()[:, None] / 16
    return F.interpolate(x, size=(16, 16), mode="bilinear", align_corners=False)


def skimage_ssim(x, y):
    return structural_similarity(x, y, channel_axis=0, data_range=1., gaussian_weights=True, sigma=1.5, use_sample_covariance=False)


def all_pairs(fn, x):
    "fn of every pair of float64 arrays, which is symmetric"
    x = x.double().numpy()
    m = np.zeros((len(x), len(x)))
    for i in range(len(x)):
        for j in range(i + 1): m[i, j] = m[j, i] = fn(x[i], x[j])
    return torch.tensor(m)


@pytest.mark.parametrize("images", [photographs, digits])
def test_ssim_is_skimage(images):
    x = images()
    want = all_pairs(skimage_ssim, x)
    assert len(x) == 60 and (pairwise(x, x, "ssim") - want).abs().max() < 1e-5
    value, index = nearest(x[::2], x[1::2], "ssim")
    assert (value - want[::2, 1::2].amax(1)).abs().max() < 1e-9
    assert torch.equal(index, want[::2, 1::2].argmax(1))


def test_mse_and_psnr_are_skimage():
    x = photographs()
    mse = all_pairs(mean_squared_error, x)
    assert (pairwise(x, x, "mse") - mse).abs().max() < 1e-13
    value, index = nearest(x[::2], x[1::2], "mse")
    assert (value - mse[::2, 1::2].amin(1)).abs().max() < 1e-15 and torch.equal(index, mse[::2, 1::2].argmin(1))
    psnr = all_pairs(lambda a, b: min(100, peak_signal_noise_ratio(a, b, data_range=1)) if (a != b).any() else 100, x)
    assert (pairwise(x, x, "psnr") - psnr).abs().max() < 1e-9


@pytest.mark.parametrize("net", ["alex", "squeeze"])
def test_lpips_is_the_package(net):
    "A random trunk under the shipped heads on both sides"
    x, metric, model = photographs()[::5], lpips_metric(net, "random"), lpips_net(net, "random")
    with torch.no_grad(): want = torch.stack([model(a.expand_as(x), x, normalize=True).flatten() for a in x]).double()
    assert (pairwise(x, x, metric) - want).abs().max() < 1e-5 and want.max() > 1e-2
    value, index = nearest(x[:6], x[6:], metric)
    assert torch.equal(index, want[:6, 6:].argmin(1)) and (value - want[:6, 6:].amin(1)).abs().max() < 1e-6


def test_the_trunk_is_seeded_and_leaves_the_generator_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    a, b = lpips_net("alex", "random").state_dict(), lpips_net("alex", "random").state_dict()
    assert torch.equal(state, torch.get_rng_state()) and all(torch.equal(a[k], b[k]) for k in a)


def cached(net, folder):
    "Where torchvision keeps the trunk's file below $TORCH_HOME"
    url = getattr(torchvision.models, TRUNKS[net]).IMAGENET1K_V1.url
    path = folder / "hub" / "checkpoints" / url.rsplit("/", 1)[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.mark.parametrize("net, build", [("alex", "alexnet"), ("squeeze", "squeezenet1_1")])
def test_the_trunk_is_torchvisions(net, build, tmp_path, monkeypatch):
    "The file in torchvision's cache ends up in the trunk, layer by layer"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    features = getattr(torchvision.models, build)(weights=None).features.eval()
    torch.save({f"features.{k}": v for k, v in features.state_dict().items()}, cached(net, tmp_path))
    model, x = lpips_net(net), F.interpolate(photographs()[:2], size=(96, 96))
    with torch.no_grad(): last, want = model.net(x)[-1], features(x)
    torch.testing.assert_close(last if net == "squeeze" else F.max_pool2d(last, 3, 2), want)


def test_a_broken_trunk_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached("alex", tmp_path).write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="alexnet-owt-7be5be79.pth is not a readable weights file.*delete it"): lpips_net("alex")
