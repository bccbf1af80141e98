"""Weights of several bits on cells of fewer levels: an output for each digit of their magnitudes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mapping.ir.graph import Graph
from mapping.ir.ops import Op, Weights
from mapping.lower.fill_range import CellLevels
from xbarsim.errors import ParameterError


def bit_slice(graph: Graph, levels: CellLevels = 2) -> Graph:
    """Weights of n bits become groups of outputs, one for each digit of their magnitudes, the lowest one first.

    On cells of two states that is n - 1 groups for so many bits. What adds the groups up makes each worth ``levels``
    times the one before: what is computed stays exactly the same.

    Raises
    ------
    ParameterError
        If weights are real, but cells are not, or maximum pooling follows several groups.
    """
    changed: dict[str, Op] = {}
    for layer in graph.layers():
        ops = [branch.weights.op for branch in layer.branches]
        slices = 1 if levels == "analog" else max(_digits(op, levels) for op in ops)
        for name, weights in (branch.weights for branch in layer.branches):
            if levels == "analog" or (levels == 2 and weights.levels in ("binary", "ternary")):
                continue
            if weights.values.dtype.kind != "i":
                cells = "two-state cells" if levels == 2 else f"cells of {levels} levels"
                raise ParameterError(
                    f"{name}: weights = 'float'; {cells} hold binary, ternary or n-bit ones: give quantize = 8, or "
                    "cells with levels = 'analog'"
                )
            if weights.geometry.pool_by == "maximum" and slices > 1:
                raise ParameterError(
                    f"{name}: maximum pooling of {weights.levels}-bit weights: the maximum of a sum is not that of its "
                    "bits; use pool_by = 'average'"
                )
            changed[name] = _sliced(weights, slices, levels)
            changed[layer.activation.name] = replace(layer.activation.op, slices=slices, base=levels)
    return graph.changed(changed)


def _digits(weights: Weights, levels: int) -> int:
    """Return how many cells of so many levels a magnitude needs."""
    if levels == 2:
        return weights.levels - 1 if isinstance(weights.levels, int) else 1
    top, digits = int(np.abs(weights.values).max(initial=0)), 1
    while levels**digits <= top:
        digits += 1
    return digits


def _sliced(weights: Weights, slices: int, levels: int) -> Weights:
    values = weights.values.astype(np.int64)
    digits = [np.sign(values) * (np.abs(values) // levels**digit % levels) for digit in range(slices)]
    return replace(
        weights,
        values=np.concatenate(digits).astype(np.int8 if levels <= 128 else np.int16),
        levels="ternary" if levels == 2 else (levels - 1).bit_length() + 1,
        geometry=weights.geometry.replace(out=slices * len(values)),
        slices=slices,
    )
