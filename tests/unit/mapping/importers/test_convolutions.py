"""Convolutions of torch of any geometry give the spikes that they give there."""

import numpy as np
import pytest
import torch
from torch import nn

import mapping as mp
import xbarsim as xb
from tests.builders.snntorch_runs import STEPS, run_any, snn

GEOMETRIES = [
    [{"kernel_size": (3, 5), "stride": (1, 2), "padding": (0, 2)}, {"kernel_size": (1, 3), "groups": 2}],
    [{"kernel_size": 3, "dilation": (2, 1), "padding": "same"}, {"kernel_size": 3, "padding": "valid"}],
    [{"kernel_size": (2, 3), "padding": (1, 2), "padding_mode": "circular"}, {"kernel_size": 3, "groups": 4}],
    [{"kernel_size": 3, "padding": 2, "padding_mode": "reflect"}, {"kernel_size": 2, "dilation": 3}],
    [{"kernel_size": 4, "padding": "same", "padding_mode": "replicate"}, {"kernel_size": (3, 1), "stride": 2}],
]


@pytest.mark.parametrize("geometries", GEOMETRIES)
def test_convolutions_of_any_geometry_are_those_of_torch(geometries):
    same_as_in_torch(nn.Conv2d, geometries, (2, 6, 16), nn.AvgPool2d((1, 2)))


@pytest.mark.parametrize("geometries", GEOMETRIES[1:])
def test_convolutions_along_one_axis_are_those_of_torch(geometries):
    one = [
        {name: value[-1] if isinstance(value, tuple) else value for name, value in geometry.items()}
        for geometry in geometries
    ]
    for pool in (nn.AvgPool1d(2), nn.MaxPool1d(2)):
        same_as_in_torch(nn.Conv1d, one, (2, 15), pool)


def same_as_in_torch(kind, geometries, shape, pool):
    """Spikes of two convolutions and a dense layer, with pooling of weighted inputs and of spikes."""
    torch.manual_seed(4)
    first, second = (kind(c, 4, **geometry) for c, geometry in zip((2, 4), geometries))
    neurons = [snn.Leaky(beta=0.7, threshold=0.5) for _ in range(3)]
    size = nn.Sequential(first, pool, second, pool, nn.Flatten())(torch.zeros(1, *shape)).shape[1]
    dense = nn.Linear(size, 3)
    module = nn.Sequential(
        first, pool, neurons[0], second, neurons[1], pool, nn.Flatten(), dense, neurons[2]
    ).double()  # fmt: skip
    for part in (first, second, dense):
        part.weight.data *= 3
    x = (torch.rand(STEPS, 3, *shape, generator=torch.Generator().manual_seed(3)) < 0.4).double()
    with torch.no_grad():
        expected, _ = run_any(module, x)
    network = mp.load_network(module, input_shape=shape, t_steps=STEPS).double()
    assert network.spec.input_shape == (2, *shape[1:]) if len(shape) == 3 else (2, 1, 15)
    given_ = x.numpy().astype(np.uint8).reshape(STEPS, 3, *network.spec.input_shape)
    for a, b in zip(network.spikes(given_, axes="tnchw"), expected, strict=True):
        assert 0.005 < b.mean() < 0.95
        np.testing.assert_array_equal(a.reshape(b.shape), b.numpy())


def test_lines_are_not_images():
    module = nn.Sequential(nn.Conv1d(2, 4, 3), snn.Leaky(beta=0.5))
    with pytest.raises(xb.ParameterError, match="'0' \\(Conv1d\\): runs along one axis, its inputs are \\(2, 6, 7\\)"):
        mp.load_network(module, input_shape=(2, 6, 7))
    with pytest.raises(xb.ParameterError, match="input_shape = \\(6, 7\\): give \\(channels, height, width\\)"):
        mp.load_network(nn.Sequential(nn.Conv2d(1, 4, 3), snn.Leaky(beta=0.5)), input_shape=(6, 7))
