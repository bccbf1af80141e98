"""Batch norm folded away: each layer as +-1 weights, per-output thresholds and constants, ready for an array."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np
from torch import Tensor

from mapping.bsnn.layers import SpikingLayer
from mapping.bsnn.network import Network
from mapping.bsnn.spec import LayerSpec, Shape
from xbarsim.errors import ParameterError


@dataclass(frozen=True)
class FoldedLayer:
    """One layer in units of a weight: U[t+1] = beta U[t] + W x + constant - S[t] threshold.

    Attributes
    ----------
    spec : LayerSpec
        Kernel, pooling, kind.
    in_shape, out_shape : (channels, height, width)
    weights : int8 array, (n_out, n_in)
        +-1; inputs in the order (channel, kernel row, kernel column).
    threshold, constant : array, (n_out,)
        Firing threshold, and the input that batch norm adds at every step.
    """

    spec: LayerSpec
    in_shape: Shape
    out_shape: Shape
    weights: np.ndarray
    threshold: np.ndarray
    constant: np.ndarray

    @property
    def n_positions(self) -> int:
        """Reads of the array per time step: pixels of the input for a convolution, one for a dense layer."""
        return self.in_shape[1] * self.in_shape[2]


def fold(network: Network) -> list[FoldedLayer]:
    """Fold the batch norm of every layer into signs, thresholds and constants, exactly.

    With s = sqrt(var + eps): weights times sgn(gamma), threshold theta s/|gamma|, and a constant input
    beta_bn s/|gamma| - sgn(gamma) mean at every step.

    Raises
    ------
    ParameterError
        If the network's weights are not binary, or a batch-norm channel has gamma = 0.
    """
    if network.spec.weights != "binary":
        raise ParameterError("network.weights = 'float': only binary weights map onto two-state cells")
    folded = []
    layers = cast(Iterable[SpikingLayer], network.layers)
    for number, (layer, shapes) in enumerate(zip(layers, network.spec.shapes()), start=1):
        weights = layer.effective_weight().detach().cpu().numpy().reshape(layer.spec.out, -1).astype(np.int8)
        threshold = np.full(layer.spec.out, network.spec.threshold)
        constant = np.zeros(layer.spec.out)
        if layer.norm is not None:
            norm = layer.norm
            gamma, bias, mean, variance = map(_numpy, (norm.weight, norm.bias, norm.running_mean, norm.running_var))
            if np.any(gamma == 0):
                raise ParameterError(
                    f"layer {number}: batch norm has gamma = 0 in channel {int(np.argmin(gamma != 0))}"
                )
            gain = np.sqrt(variance + norm.eps) / np.abs(gamma)
            sign = np.sign(gamma)
            weights = weights * sign[:, None].astype(np.int8)
            threshold = threshold * gain
            constant = bias * gain - sign * mean
        folded.append(FoldedLayer(layer.spec, *shapes, weights, threshold, constant))
    return folded


def _numpy(tensor: Tensor | None) -> np.ndarray:
    assert tensor is not None  # batch norm as SpikingLayer builds it has all four
    return tensor.detach().cpu().numpy().astype(np.float64)
