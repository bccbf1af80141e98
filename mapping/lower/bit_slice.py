"""Weights of several bits on cells of two states: an output for each bit of their magnitudes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mapping.ir.graph import Graph
from mapping.ir.ops import Op, QuantizedRelu
from xbarsim.errors import ParameterError


def bit_slice(graph: Graph) -> Graph:
    """Weights of n bits become n - 1 groups of outputs, one for each bit of their magnitudes, the lowest bit first.

    Neurons add the groups up, each worth twice the one before: what is computed stays exactly the same.

    Raises
    ------
    ParameterError
        If weights are real, maximum pooling follows them, or neurons spike, which add nothing up digitally.
    """
    changed: dict[str, Op] = {}
    for (name, weights), _, _, (activation, neurons) in graph.layers():
        if weights.levels in ("binary", "ternary"):
            continue
        if not isinstance(neurons, QuantizedRelu) or not isinstance(weights.levels, int):
            raise ParameterError(
                f"{name}: weights = {weights.levels!r}; only binary and ternary ones map onto two-state cells"
            )
        if weights.geometry.pool_by == "maximum":
            raise ParameterError(
                f"{name}: maximum pooling of {weights.levels}-bit weights: the maximum of a sum is not that of its "
                "bits; use pool_by = 'average'"
            )
        values, slices = weights.values.astype(np.int64), weights.levels - 1
        bits = [np.sign(values) * (np.abs(values) >> bit & 1) for bit in range(slices)]
        changed[name] = replace(
            weights,
            values=np.concatenate(bits).astype(np.int8),
            levels="ternary",
            geometry=weights.geometry.replace(out=slices * len(values)),
            slices=slices,
        )
        changed[activation] = replace(neurons, slices=slices)
    return graph.changed(changed)
