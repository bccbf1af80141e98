"""Batch norm folded away: each layer as signs, per-output thresholds and constants, ready for an array."""

from __future__ import annotations

import numpy as np
import torch

from mapping.bsnn.finite import fault, title
from mapping.bsnn.layers import as_numpy
from mapping.bsnn.network import Network
from mapping.lower.stage import FoldedLayer
from xbarsim.errors import ParameterError


def fold(network: Network) -> list[FoldedLayer]:
    """Fold the batch norm of every layer into signs, thresholds and constants, exactly.

    With s = sqrt(var + eps): weights times sgn(gamma), threshold theta s/|gamma|, and a constant input
    beta_bn s/|gamma| + sgn(gamma) (bias - mean) at every step.

    Raises
    ------
    ParameterError
        If a tensor holds numbers that are not finite or out of range, weights are neither binary nor ternary, a
        batch-norm channel has gamma = 0, or gamma < 0 after maximum pooling.
    """
    network.check()
    folded = []
    for number, (layer, shapes) in enumerate(zip(network.layers, network.spec.shapes()), start=1):
        if layer.weights not in ("binary", "ternary"):
            raise ParameterError(
                f"layer {number}: weights = {layer.weights!r}; only binary and ternary ones map onto two-state cells"
            )
        n_out = layer.spec.out
        weights = layer.effective_weight().detach().cpu().numpy().reshape(n_out, -1).astype(np.int8)
        threshold, beta = (as_numpy(x).reshape(x.shape or (1, 1, 1)) for x in (layer.threshold, layer.beta))
        constant = np.zeros(n_out) if layer.bias is None else as_numpy(layer.bias)
        gain, sign = np.ones(n_out), np.ones(n_out)
        if layer.norm is not None:
            norm = layer.norm
            gamma, bias, mean, variance = map(as_numpy, (norm.weight, norm.bias, norm.running_mean, norm.running_var))
            if np.any(gamma == 0):
                raise ParameterError(
                    f"layer {number}: batch norm has gamma = 0 in channel {int(np.argmin(gamma != 0))}"
                )
            if layer.spec.pool_by == "maximum" and np.any(gamma < 0):
                raise ParameterError(
                    f"layer {number}: batch norm has gamma < 0 in channel {int(np.argmax(gamma < 0))}, after which the "
                    "maximum of the pool would be a minimum; use pool_by = 'average'"
                )
            gain = np.sqrt(variance + norm.eps) / np.abs(gamma)
            sign = np.sign(gamma)
            constant = bias * gain + sign * (constant - mean)
        weights = weights * sign[:, None].astype(np.int8)
        threshold = threshold * gain.reshape(-1, 1, 1)
        for what, x, limits in (("threshold", threshold, {"above": 0.0}), ("constant input", constant, {})):
            wrong = fault(torch.from_numpy(x), **limits)
            if wrong is not None:
                raise ParameterError(f"{title(number - 1, layer.spec)}: its {what} with batch norm folded in {wrong}")
        beta = np.broadcast_to(beta.clip(0, 1), (n_out, *beta.shape[1:]))
        in_shape, out_shape = shapes
        folded.append(
            FoldedLayer(
                spec=layer.spec,
                in_shape=in_shape,
                out_shape=out_shape,
                weights=weights,
                neuron=layer.neuron,
                threshold=threshold,
                beta=beta,
                constant=constant,
            )
        )
    return folded
