"""Kernels that are not square, dilated, or on other margins than zeros, as arrays take them: one wordline for a tap."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from mapping.ir.graph import Edge, Graph
from mapping.ir.ops import Gather, Op, Pool, Weights
from mapping.ir.shapes import Geometry, Shape
from xbarsim.machine import check_memory

_PADS = {"circular": "wrap", "reflect": "reflect", "replicate": "edge"}  # as numpy calls them


def unfold(graph: Graph) -> Graph:
    """Kernels of any shape become wires from inputs to the wordlines of each read, and weights of 1 x 1 on those.

    Reads, their wordlines and what these carry are those of the kernel itself, so that nothing that is computed, or
    billed, is another. Square kernels among zeros stay, behind averages over square windows too: reads move over an
    image as it is.
    """
    nodes: dict[str, Op] = {}
    edges: list[Edge] = []
    for name, op in graph.nodes.items():
        before, nodes[name] = graph.before(name), op
        if isinstance(op, Weights) and op.geometry.kind == "conv" and not _is_square(graph, name, op):
            (edge,) = before
            nodes[name], nodes[f"{name}, taps"] = _unfolded(op.reading_all(), graph.shapes[edge.source])
            before = [edge._replace(target=f"{name}, taps"), Edge(f"{name}, taps", name)]
        edges += before
    return Graph(nodes, edges) if len(nodes) > len(graph.nodes) else graph


def _is_square(graph: Graph, name: str, op: Weights) -> bool:
    """Whether a kernel, and windows of spikes that are added up for it, are square and go over an image as it is."""
    square = op.geometry.plain
    while isinstance(before := graph.nodes[name := graph.before(name)[0].source], Pool | Gather):
        square = square and not (isinstance(before, Pool) and isinstance(before.side, tuple) and before.by != "maximum")
    return square


def _unfolded(op: Weights, shape: Shape) -> tuple[Weights, Gather]:
    """Return weights with a channel for each tap, and wires to it at each position."""
    weights = replace(
        op,
        values=op.values.reshape(len(op.values), -1, 1, 1),
        geometry=op.geometry.replace(kernel=1, stride=1, padding=0, padding_mode="zeros", dilation=1),
    )
    return weights, taps(op.geometry, shape)


def taps(geometry: Geometry, shape: Shape) -> Gather:
    """Return which inputs, (channels, height, width), meet which tap at which position of a kernel."""
    numbers = np.arange(prod(shape)).reshape(shape)
    margins = ((0, 0), *geometry.margins)
    if geometry.padding_mode == "zeros":
        wide = np.pad(numbers, margins, constant_values=-1)
    else:
        wide = np.pad(numbers, margins, mode=_PADS[geometry.padding_mode])  # type: ignore[call-overload]
    positions = geometry.read_positions(shape)
    size = prod((shape[0], *geometry.sides, *positions))
    check_memory(
        16 * size, f"wires to {size} wordlines of all reads", "give a square kernel among zeros or a smaller image"
    )
    y, x = (
        apart * np.arange(side)[:, None] + step * np.arange(n)
        for apart, side, step, n in zip(geometry.spacing, geometry.sides, geometry.steps, positions)
    )
    table = wide[:, y[:, None, :, None], x[None, :, None, :]]  # channel, kernel row and column, position
    return Gather(shape=(prod(table.shape[:3]), *positions), table=table.reshape(-1, 1))
