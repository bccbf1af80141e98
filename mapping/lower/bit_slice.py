"""Weights of several bits on cells of two states: an output for each bit of their magnitudes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mapping.ir.graph import Graph
from mapping.ir.ops import Op, Weights
from xbarsim.errors import ParameterError


def bit_slice(graph: Graph) -> Graph:
    """Weights of n bits become n - 1 groups of outputs, one for each bit of their magnitudes, the lowest bit first.

    What adds the groups up makes each worth twice the one before: what is computed stays exactly the same.

    Raises
    ------
    ParameterError
        If weights are real, or maximum pooling follows them.
    """
    changed: dict[str, Op] = {}
    for layer in graph.layers():
        for name, weights in (branch.weights for branch in layer.branches):
            if weights.levels in ("binary", "ternary"):
                continue
            if not isinstance(weights.levels, int):
                raise ParameterError(f"{name}: weights = 'float'; two-state cells hold binary, ternary or n-bit ones")
            if weights.geometry.pool_by == "maximum":
                raise ParameterError(
                    f"{name}: maximum pooling of {weights.levels}-bit weights: the maximum of a sum is not that of its "
                    "bits; use pool_by = 'average'"
                )
            slices = weights.levels - 1
            changed[name] = _sliced(weights, slices)
            changed[layer.activation.name] = replace(layer.activation.op, slices=slices)
    return graph.changed(changed)


def _sliced(weights: Weights, slices: int) -> Weights:
    values = weights.values.astype(np.int64)
    bits = [np.sign(values) * (np.abs(values) >> bit & 1) for bit in range(slices)]
    return replace(
        weights,
        values=np.concatenate(bits).astype(np.int8),
        levels="ternary",
        geometry=weights.geometry.replace(out=slices * len(values)),
        slices=slices,
    )
