"""Weights on cells of several levels, or of any: the largest of a layer takes the whole range of a cell."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from mapping.ir.graph import Graph
from mapping.ir.ops import Op

CellLevels = int | Literal["analog"]


def fill_range(graph: Graph, levels: CellLevels) -> Graph:
    """Weights are multiplied until the largest of a layer is the highest level of a cell, or nearly that.

    Those of analog cells lie within +-1 then. Whole numbers above the highest level stay as they are, to be cut into
    digits. What is computed stays the same: a weight stands for less.
    """
    changed: dict[str, Op] = {}
    for layer in graph.layers():
        ops = {branch.weights.name: branch.weights.op for branch in layer.branches}
        top = max(float(np.abs(op.values).max(initial=0)) for op in ops.values()) or 1.0
        if levels == "analog":
            for name, op in ops.items():
                changed[name] = replace(op, values=op.values / top, scale=op.scale * top, levels="float")
        elif all(op.values.dtype.kind == "i" for op in ops.values()) and (times := (levels - 1) // int(top)) > 1:
            for name, op in ops.items():
                changed[name] = replace(op, values=op.values.astype(np.int16) * times, scale=op.scale / times)
    return graph.changed(changed)
