"""Kernels as arrays hold them: each output reads all channels."""

from __future__ import annotations

from mapping.ir.graph import Graph
from mapping.ir.ops import Weights


def plain_kernels(graph: Graph) -> Graph:
    """Kernels of groups, and depthwise ones, get zeros for the channels that they do not read.

    The wordlines of these pass their columns too. What is computed stays exactly the same.
    """
    ops = {name: op for name, op in graph.nodes.items() if isinstance(op, Weights)}
    return graph.changed({name: op.reading_all() for name, op in ops.items() if op.is_grouped})
