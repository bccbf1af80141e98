"""Real weights of a given number of bits as whole numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mapping.ir.graph import Graph
from mapping.ir.ops import Weights


def quantize(graph: Graph) -> Graph:
    """Weights of n bits become whole numbers, of which the largest stands for the largest real weight.

    What is computed changes by the rounding of weights, and not at all where they were levels already.
    """
    weights = {k: op for k, op in graph.nodes.items() if isinstance(op, Weights) and isinstance(op.levels, int)}
    return graph.changed({name: _whole(op, (1 << int(op.levels) - 1) - 1) for name, op in weights.items()})


def _whole(op: Weights, top: int) -> Weights:
    if op.values.dtype.kind == "i":
        return op
    most = np.abs(op.values).max()
    scale = (most if most > 0 else np.ones_like(most)) / op.values.dtype.type(top)
    levels = np.rint(op.values / scale).astype(np.int8 if top < 128 else np.int16)
    return replace(op, values=levels, scale=op.scale * float(scale))
