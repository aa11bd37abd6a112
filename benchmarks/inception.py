"""Our Inception-v3 of the FID beside pytorch-fid's, with the same random weights (and the published ones where the file is there).

    python benchmarks/inception.py

Prints the largest difference of the 2,048 features over a few images, relative to the largest feature. pytorch-fid is skipped with a printed reason where it is missing.
"""
import torch

from drlit.features import FIDInception, inception, inception_file


def random_weights(seed):
    "He initialisation, so that activations neither vanish nor explode"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = FIDInception().eval()
        for p in net.parameters():
            if p.ndim > 1: torch.nn.init.kaiming_normal_(p)
    return net


def compare(ours, state, images):
    "Largest relative difference to pytorch-fid's network with these weights"
    import pytorch_fid.inception as peer
    peer.load_state_dict_from_url = lambda *args, **kwargs: state
    theirs = peer.InceptionV3([3]).eval()
    with torch.no_grad(): a, b = ours(images), theirs(images)[0].flatten(1)
    return float((a - b).abs().max() / b.abs().max())


def main():
    images = torch.rand(4, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    net = random_weights(0)
    state = {k: v.clone() for k, v in net.net.state_dict().items()}
    net.net.fc = torch.nn.Identity()
    try: print(f"random weights: largest relative difference {compare(net, state, images):.1e}")
    except ImportError as e: raise SystemExit(f"pytorch-fid skipped: {e}") from None
    file = inception_file()
    if not file.is_file(): return print(f"published weights skipped: no file {file}")
    state = torch.load(file, map_location="cpu", weights_only=True)
    print(f"published weights: largest relative difference {compare(inception(file).fn, state, images):.1e}")


if __name__ == "__main__":
    main()
