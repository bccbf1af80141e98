"""Weights of several bits on cells of two states: an output for each bit of their magnitudes."""

from __future__ import annotations

import numpy as np

from mapping.ann.network import Ann
from mapping.lower.stage import SlicedLayer


def bit_slice(network: Ann, planes: np.ndarray) -> list[SlicedLayer]:
    """Return the layers of a conventional network with ternary weights, the outputs of the lowest bit first.

    ``planes`` is what the frames of an input stand for.
    """
    layers, n_slices = network.integer_layers(), network.spec.weight_bits - 1
    stages = []
    for layer in layers:
        weights = layer.weights.astype(np.int64)
        slices = [np.sign(weights) * (np.abs(weights) >> bit & 1) for bit in range(n_slices)]
        n = n_slices * layer.spec.out
        stages.append(
            SlicedLayer(
                spec=layer.spec.replace(out=n),
                in_shape=layer.in_shape,
                out_shape=(n, *layer.out_shape[1:]),
                weights=np.vstack(slices).astype(np.int8),
                slices=n_slices,
                planes=planes,
                gain=layer.gain,
                offset=layer.offset,
                top=None if layer is layers[-1] else network.spec.top_activation,
            )
        )
    return stages
