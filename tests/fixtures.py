"""Fixtures of networks and chips, for every room and for what crosses rooms."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import mapping as mp
from mapping.inputs.resources import data_folder
from mapping.networks.network import Network

mpl.use("Agg")
torch.set_num_threads(2)


@pytest.fixture
def closed():
    """Close all figures in the end."""
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def digits():
    """The first 60 MNIST test images with labels."""
    images, labels = mp.load_dataset("mnist")
    return images[:60], labels[:60]


@pytest.fixture
def tiny():
    """A network of two small layers with batch norm as after training, in double precision, and images for it."""
    torch.manual_seed(3)
    layers = [
        mp.LayerSpec(kind="conv", out=4, kernel=3, pool=2, batch_norm=True),
        mp.LayerSpec(kind="dense", out=3),
    ]
    spec = mp.NetworkSpec(input_shape=(2, 6, 6), layers=layers, beta=0.8, threshold=1.5, slope=3.0, t_steps=6)
    network = Network(spec)
    norm = network.layers[0].norm
    norm.weight.data.copy_(torch.tensor([1.0, -1.3, 0.7, 2.0]))
    norm.bias.data.copy_(torch.tensor([0.3, 0.8, -0.2, 0.5]))
    norm.running_mean.copy_(torch.tensor([0.2, -0.5, 0.1, 0.4]))
    norm.running_var.copy_(torch.tensor([0.5, 1.5, 2.0, 0.8]))
    images = np.random.default_rng(5).uniform(0, 1, (7, 2, 6, 6))
    return network.double().eval(), images


@pytest.fixture
def chip():
    """The 1-bit chip on arrays small enough that every layer of ``tiny`` needs several."""
    return mp.load_chip("paper-bsnn").replace(rows=8, cols=6)


@pytest.fixture
def study(tmp_path, tiny):
    """Two points of three dies of a small network on small arrays, with images and labels of its own."""
    network, images = tiny
    mp.save_network(network.float(), tmp_path / "tiny.safetensors")
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(len(images)) % 3)
    shipped = (data_folder() / "chips/paper-bsnn.toml").read_text()
    small = shipped.replace("rows = 256", "rows = 8").replace("cols = 64", "cols = 6")
    (tmp_path / "small.toml").write_text(small)
    return mp.Study(
        network=str(tmp_path / "tiny.safetensors"),
        chip=str(tmp_path / "small.toml"),
        dataset=str(tmp_path / "data.npz"),
        images="all",
        trials=3,
        seed=4,
        axes=[mp.Axis(name="d2d", label="spread", sets=["chip.device.d2d"], values=[0.1, 0.6])],
    )
