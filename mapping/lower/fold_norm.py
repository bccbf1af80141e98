"""Batch norm and scales folded away: weights in units of one, and what neurons compare them with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mapping.ir.graph import Graph
from mapping.ir.numbers import fault
from mapping.ir.ops import Lif, Norm, Op, QuantizedRelu, Weights
from xbarsim.errors import ParameterError


def fold_norm(graph: Graph) -> Graph:
    """Batch norm, scales and bias move into what neurons compare with: arrays only multiply.

    What is computed stays the same. Of spiking neurons, with s = sqrt(var + eps) and weights that stand for a scale:
    weights times sgn(gamma), thresholds theta s / |gamma| over the scale, and a constant input
    shift s / |gamma| + sgn(gamma) (bias - mean), over the scale too, at every step. Of a ReLU, a gain and an offset.

    Raises
    ------
    ParameterError
        If a threshold or constant is not finite or out of range, a channel has gamma = 0, or gamma < 0 after maximum
        pooling.
    """
    changed: dict[str, Op] = {}
    step = 1 / (graph.input.top or 1)
    layers = graph.layers()
    for (name, weights), _, norm, (activation, neurons) in layers:
        batch_norm = None if norm is None else norm.op
        if isinstance(neurons, Lif):
            changed[name], changed[activation] = _spiking(name, weights, batch_norm, neurons)
        else:
            changed[name], changed[activation] = _rectifying(weights, batch_norm, neurons, step)
            step = neurons.step
    return graph.changed(changed, without=[layer.norm.name for layer in layers if layer.norm is not None])


def _spiking(name: str, weights: Weights, norm: Norm | None, neurons: Lif) -> tuple[Weights, Lif]:
    n_out = len(weights.values)
    constant, values = np.zeros(n_out) if weights.bias is None else weights.bias, weights.values
    gain = np.ones(n_out)
    if norm is not None:
        if np.any(norm.gamma == 0):
            raise ParameterError(f"{name}: batch norm has gamma = 0 in channel {int(np.argmin(norm.gamma != 0))}")
        if weights.geometry.pool_by == "maximum" and np.any(norm.gamma < 0):
            raise ParameterError(
                f"{name}: batch norm has gamma < 0 in channel {int(np.argmax(norm.gamma < 0))}, after which the "
                "maximum of the pool would be a minimum; use pool_by = 'average'"
            )
        gain, sign = norm.deviation / np.abs(norm.gamma), np.sign(norm.gamma)
        constant = norm.shift * gain + sign * (constant - norm.mean)
        values = values * sign[:, None, None, None].astype(values.dtype)
    threshold, beta = (x.reshape(x.shape or (1, 1, 1)) for x in (neurons.threshold, neurons.beta))
    threshold, constant = threshold * (gain / weights.scale).reshape(-1, 1, 1), constant / weights.scale
    for what, x, above in (("threshold", threshold, 0.0), ("constant input", constant, None)):
        wrong = fault(x, above=above)
        if wrong is not None:
            raise ParameterError(
                f"{name} ({weights.geometry.kind}, {n_out} outputs): its {what} with batch norm folded in {wrong}"
            )
    beta = np.broadcast_to(beta.clip(0, 1), (n_out, *beta.shape[1:]))
    return replace(weights, values=values, scale=1.0, bias=constant), replace(neurons, threshold=threshold, beta=beta)


def _rectifying(
    weights: Weights, norm: Norm | None, neurons: QuantizedRelu, step: float
) -> tuple[Weights, QuantizedRelu]:
    """Fold for inputs of which one stands for ``step``."""
    n_out = len(weights.values)
    gain, offset = np.ones(n_out), np.zeros(n_out) if weights.bias is None else weights.bias
    if norm is not None:
        gain = norm.gamma / norm.deviation
        offset = gain * (offset - norm.mean) + norm.shift
    gain = gain * (weights.scale * step / neurons.step)
    return replace(weights, scale=1.0, bias=None), replace(neurons, gain=gain, offset=offset / neurons.step)
