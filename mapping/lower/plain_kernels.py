"""Kernels as arrays hold them: each output reads all channels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mapping.ir.graph import Graph
from mapping.ir.ops import Weights


def plain_kernels(graph: Graph) -> Graph:
    """Depthwise kernels get zeros for the channels that they do not read, whose wordlines pass their columns too.

    What is computed stays exactly the same.
    """
    return graph.changed(
        {name: _plain(op) for name, op in graph.nodes.items() if isinstance(op, Weights) and op.geometry.depthwise}
    )


def _plain(op: Weights) -> Weights:
    channels = np.arange(len(op.values))
    values = np.zeros((len(channels), len(channels), *op.values.shape[2:]), op.values.dtype)
    values[channels, channels] = op.values[:, 0]
    return replace(
        op,
        levels="ternary" if op.levels == "binary" else op.levels,
        values=values.reshape(len(channels), -1, *op.values.shape[2:]),
        geometry=op.geometry.replace(depthwise=False),
    )
