"""Traces of mapped networks."""

import numpy as np
import pytest
import torch

import mapping as mp
from mapping.networks.encode import encode
from tests.oracles.naive_networks import average_pool, conv_same


@pytest.fixture
def mapped(tiny, chip):
    return mp.map_network(tiny[0], chip, dtype=torch.float64)


def currents(layer, x):
    """What arrives at the membranes of one layer from inputs (channels, height, width)."""
    weights, spec = layer.effective_weights, layer.layer.spec
    if spec.kind == "dense":
        arrives = (weights @ x.reshape(-1))[:, None, None]
    else:
        kernel = weights.reshape(spec.out, -1, spec.kernel, spec.kernel)
        arrives = average_pool(conv_same(x, kernel), spec.pool)
    return arrives + layer.layer.constant[:, None, None]


def test_a_trace_obeys_equation_1(tiny, mapped):
    network, images = tiny
    trace = mp.trace(mapped, images)
    x = encode(images, network.spec)
    inputs = np.repeat(mapped.chip.driver.quantize(x), network.t_steps, 0).astype(float)
    for k, layer in enumerate(mapped.layers):
        theta, spikes = trace.thresholds[k], trace.spikes[k]
        assert theta.shape == layer.layer.out_shape and np.array_equal(
            theta[:, 0, 0], layer.layer.activation.threshold[:, 0, 0]
        )
        for image in range(len(images)):
            u, s = np.zeros(theta.shape), np.zeros(theta.shape)
            for t in range(network.t_steps):
                u = network.spec.beta * u + currents(layer, inputs[t, image]) - s * theta
                s = (u >= theta).astype(float)
                np.testing.assert_allclose(trace.membranes[k][t, image], u, rtol=1e-6, atol=1e-6)
                assert np.array_equal(spikes[t, image], s)
        assert spikes.any() and not spikes.all()
        inputs = spikes
    assert repr(trace) == "Trace(2 layers, 7 image(s), 6 time steps)"


@pytest.mark.parametrize("engine", ["events", "dense"])
def test_a_trace_has_the_spikes_of_the_network(tiny, mapped, engine):
    trace = mp.trace(mapped, tiny[1])
    for mine, its in zip(trace.spikes, mapped.spikes(tiny[1], engine=engine), strict=True):
        assert np.array_equal(mine, its)


def test_a_trace_tells_where_comparators_fire(tiny, chip):
    offset = chip.replace(readout__offset="20 mV", neuron__capacitance="1 fF")
    for mapped in (
        mp.map_network(tiny[0], offset, dtype=torch.float64),
        mp.map_network(tiny[0], offset.replace(merge="majority"), dtype=torch.float64),
    ):
        trace = mp.trace(mapped, tiny[1])
        layer = mapped.layers[0]
        votes = layer.neurons.offset.reshape(-1, layer.layer.spec.out).sum(0)
        shift = trace.thresholds[0][:, 1, 2] - layer.layer.activation.threshold[:, 0, 0]
        np.testing.assert_allclose(shift, votes / layer.neurons.v_unit)
        if layer.neurons.n_votes == 1:
            assert np.array_equal(trace.spikes[0], trace.membranes[0] >= trace.thresholds[0])
