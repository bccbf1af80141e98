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
    for layer in layers:
        batch_norm, (activation, neurons) = None if layer.norm is None else layer.norm.op, layer.activation
        (name, weights), *others = (branch.weights for branch in layer.branches)
        if isinstance(neurons, Lif):
            bias = sum((op.bias for _, op in others if op.bias is not None), np.zeros(len(weights.values)))
            given = replace(weights, bias=bias if weights.bias is None else weights.bias + bias)
            changed[name], changed[activation], sign = _spiking(name, given, batch_norm, neurons)
            changed |= {more: _turned(op, sign) for more, op in others}
        elif others:
            raise ParameterError(f"{name}: is added to {others[0].name}; conventional networks have chains of layers")
        else:
            changed[name], changed[activation] = _rectifying(weights, batch_norm, neurons, step)
            step = neurons.step
    return graph.changed(changed, without=[layer.norm.name for layer in layers if layer.norm is not None])


def _spiking(name: str, weights: Weights, norm: Norm | None, neurons: Lif) -> tuple[Weights, Lif, np.ndarray]:
    """Return weights, neurons and the sign that all weights take; their bias is that of the whole layer."""
    n_out = len(weights.values)
    constant = np.zeros(n_out) if weights.bias is None else weights.bias
    gain = sign = np.ones(n_out)
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
    sign = sign * np.sign(weights.scale)
    threshold, beta = (x.reshape(x.shape or (1, 1, 1)) for x in (neurons.threshold, neurons.beta))
    size = np.abs(weights.scale)
    threshold, constant = threshold * (gain / size).reshape(-1, 1, 1), constant / size
    for what, x, above in (("threshold", threshold, 0.0), ("constant input", constant, None)):
        wrong = fault(x, above=above)
        if wrong is not None:
            raise ParameterError(
                f"{name} ({weights.geometry.kind}, {n_out} outputs): its {what} with batch norm folded in {wrong}"
            )
    beta = np.broadcast_to(beta.clip(0, 1), (n_out, *beta.shape[1:]))
    made = replace(_turned(weights, sign), bias=constant)
    return made, replace(neurons, threshold=threshold, beta=beta), sign


def _turned(weights: Weights, sign: np.ndarray) -> Weights:
    """Return weights times a sign for each output, in units of one and without constants."""
    values = weights.values * sign[:, None, None, None].astype(weights.values.dtype)
    return replace(weights, values=values, scale=1.0, bias=None)


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
