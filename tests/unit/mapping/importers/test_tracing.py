"""Modules with any forward give the spikes that they give there: networks of the tutorials, rebuilt."""

import numpy as np
import pytest
import torch

import mapping as mp
from tests.builders.torch_networks import (
    ConvIfPool,
    Currents,
    Explicit,
    Recurrent,
    SewBlock,
    hidden_chain,
    lively,
    recorded,
    steps_of,
)


def spikes(*shape, rate=0.4):
    return (torch.rand(*shape) < rate).float()


def whole(x):
    return lambda module: module(x)


def tutorial_3():
    x = torch.rand(3, 784)
    return Explicit((784, 200, 10)), x, whole(x), {}


def tutorial_5():
    x = torch.rand(3, 1, 28, 28)
    return Images(), x, whole(x), {}


class Images(Explicit):
    """Tutorial 5: images, made flat before the loop."""

    def forward(self, x):
        return super().forward(x.view(x.size(0), -1))


def tutorial_6():
    x = torch.rand(2, 1, 28, 28)
    return hidden_chain(1, 12, 64, 28), x, steps_of([x] * 6), {"t_steps": 6}


def tutorial_7():
    x = spikes(6, 2, 2, 34, 34)
    return hidden_chain(2, 12, 32, 34), x, steps_of(x), {}


def conv_if_pool(mode):
    x = torch.rand(2, 1, 28, 28)
    return ConvIfPool(mode=mode), x, whole(x), {}


def sew_block():
    x = spikes(7, 2, 2, 8, 8)
    return SewBlock(), x, whole(x), {}


def recurrent():
    x = spikes(10, 3, 20)
    return Recurrent(), x, whole(x), {}


def currents():
    x = spikes(3, 10, 20)
    return Currents(), x, whole(x), {}


NETWORKS = {
    "tutorial 3": (tutorial_3, 2, 1.5),
    "tutorial 5": (tutorial_5, 2, 1.5),
    "tutorial 6": (tutorial_6, 3, 3),
    "tutorial 7": (tutorial_7, 3, 3),
    "conv-IF-pool, all steps": (lambda: conv_if_pool("m"), 4, 3),
    "conv-IF-pool, one step": (lambda: conv_if_pool("s"), 4, 3),
    "SEW block": (sew_block, 4, 2),
    "RLeaky": (recurrent, 2, 2.5),
    "Synaptic": (currents, 2, 1.5),
}


def images_of(x, network, axes):
    """Return a sample as networks take it: images, or spikes with the samples first."""
    shape = network.spec.input_shape
    if len(axes) == 1:
        return x.reshape(len(x), *shape).numpy()
    x = x if axes == "nt" else x.transpose(0, 1)
    return x.reshape(*x.shape[:2], *shape).numpy().astype(np.uint8)


@pytest.mark.compiled
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_tutorials_run_equal_map_and_report(name):
    torch.manual_seed(3)
    build, n_layers, gain = NETWORKS[name]
    module, x, run, options = build()
    module = lively(module, gain)
    expected = recorded(module, run)
    network = mp.load_network(module, sample=x, **options)
    assert len(network.layers) == len(expected) == n_layers and network.t_steps == len(expected[0])
    axes = "nt" if name == "Synaptic" else "n" if x.ndim in (2, 4) else "tn"
    images = images_of(x, network, axes)
    for ours, theirs in zip(network.double().spikes(images), expected, strict=True):
        assert 0.01 < theirs.mean() < 0.9, theirs.mean()
        np.testing.assert_array_equal(ours.reshape(theirs.shape), theirs)
    mapped = mp.map_network(network, mp.load_chip("paper-ann").replace(device__levels="analog"), seed=1)
    report = mapped.evaluate(images, np.zeros(len(images), int))
    assert report.energy_per_inference > 0
