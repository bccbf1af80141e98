"""Spikes of a chip against those of the software network, but for ties."""

import numpy as np
import torch

from mapping.lower.plan import lower
from mapping.networks.encode import encode, is_analog
from tests.builders.layers import forward


def assert_same_spikes(network, mapped, images):
    """Compare layer by layer on the software network's own inputs; a membrane within 1e-6 of its threshold is a tie."""
    x = torch.from_numpy(encode(images, network.spec, seed=mapped.seed)).double()
    analog = is_analog(images, network.spec)
    thresholds = [stage.activation.threshold for stage in lower(network.graph())]
    for layer, on_chip, theta in zip(network.layers, mapped.layers, thresholds):
        expected = network_spikes(network, layer, x)
        spikes = forward(on_chip, x.numpy(), analog)[0]
        differs = (spikes != expected.numpy()).any(0)
        if differs.any():
            gap = tie_gap(network, layer, x, theta)
            assert gap[differs].max() < 1e-6
        x, analog = expected, False
    assert x.sum() > 0


def network_spikes(network, layer, x):
    from mapping.networks.dynamics import lif

    with torch.no_grad():
        current = layer(x)
    return lif(current, layer.threshold, layer.beta, layer.neuron, network.t_steps)[0]


def tie_gap(network, layer, x, theta):
    """Return the smallest |U / theta - 1| of each neuron over time."""
    spec, u, s = network.spec, 0.0, 0.0
    with torch.no_grad():
        current = layer(x).numpy()
    gap = np.full(current.shape[1:], np.inf)
    for t in range(spec.t_steps):
        u = spec.beta * u + current[min(t, len(current) - 1)] - s * spec.threshold
        s = u >= spec.threshold
        gap = np.minimum(gap, np.abs(u / spec.threshold - 1))
    return gap
