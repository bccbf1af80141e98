"""Pooling of spikes, ahead of weights: averages as more rows of the same weight, maxima as ORs."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from mapping.ir.graph import Edge, Graph
from mapping.ir.ops import Gather, Op, Pool, Weights
from mapping.ir.shapes import Shape, pair, pooled
from xbarsim.errors import ParameterError


def pool_spikes(graph: Graph) -> Graph:
    """Averages and sums of spikes become part of the weights that follow, p x p rows of each; maxima become ORs.

    What is computed stays exactly the same: these are linear, and the largest of spikes is 1 if any is.

    Raises
    ------
    ParameterError
        If one lies before other wires; the node is named.
    """
    nodes: dict[str, Op] = {}
    edges: list[Edge] = []
    if not any(_is_before_weights(graph, name) for name in graph.order):
        return graph
    for name in graph.order:
        op = graph.nodes[name]
        if isinstance(op, Weights):
            op, gather, source, delay = _before(graph, name, op)
            if gather is not None:
                nodes[f"{name}, wires"] = gather
                edges.append(Edge(source, f"{name}, wires", delay))
                source, delay = f"{name}, wires", 0
            edges.append(Edge(source, name, delay))
            nodes[name] = op
        elif not _is_before_weights(graph, name):
            nodes[name] = op
            edges += graph.before(name)
    return Graph(nodes, edges)


def _is_before_weights(graph: Graph, name: str) -> bool:
    """Whether a node pools, or wires, what weights take in."""
    if not isinstance(graph.nodes[name], Pool | Gather):
        return False
    return all(
        isinstance(graph.nodes[edge.target], Weights) or _is_before_weights(graph, edge.target)
        for edge in graph.after(name)
    )


def _before(graph: Graph, name: str, weights: Weights) -> tuple[Weights, Gather | None, str, int]:
    """Return weights that averages have joined, wires, and what these begin with, how late."""
    (edge,) = graph.before(name)
    at, delay, gather = edge.source, edge.delay, None
    while isinstance(op := graph.nodes[at], Pool | Gather):
        (edge,) = graph.before(at)
        shape = graph.shapes[edge.source]
        if isinstance(op, Pool) and op.by != "maximum":
            weights, gather = _spread(weights, op, shape) if gather is None else _behind(weights, op, shape, gather, at)
        else:
            nearer = _windows(op, shape) if isinstance(op, Pool) else op
            gather = nearer if gather is None else _one_after_the_other(nearer, gather)
        at, delay = edge.source, delay + edge.delay
    return weights, gather, at, delay


def _spread(weights: Weights, pool: Pool, shape: Shape) -> tuple[Weights, Gather | None]:
    """Return weights for what was pooled, and wires, where margins hide what a pool leaves out."""
    (down, across), n_out, geometry = pair(pool.side), len(weights.values), weights.geometry
    channels, rows, cols = pooled(shape, pool.side)
    scale = weights.scale / (pool.area if pool.by == "average" else 1)
    if geometry.kind == "dense":
        values = np.zeros((n_out, *shape), weights.values.dtype)
        wide = weights.values.reshape(n_out, channels, rows, cols)
        values[:, :, : rows * down, : cols * across] = wide.repeat(down, 2).repeat(across, 3)
        levels = "ternary" if weights.levels == "binary" and not values.all() else weights.levels
        return replace(weights, values=values.reshape(n_out, -1, 1, 1), scale=scale, levels=levels), None
    wider = geometry.replace(kernel=down * geometry.side, stride=down * geometry.step, padding=down * geometry.margin)
    made = replace(weights, values=weights.values.repeat(down, 2).repeat(down, 3), scale=scale, geometry=wider)
    if not geometry.margin or shape[1:] == (rows * down, cols * down):
        return made, None
    kept = np.arange(prod(shape)).reshape(shape)[:, : rows * down, : cols * down]
    return made, Gather(shape=(channels, *kept.shape[1:]), table=kept.reshape(-1, 1))


def _behind(weights: Weights, pool: Pool, shape: Shape, gather: Gather, name: str) -> tuple[Weights, Gather]:
    """Return weights of 1 x 1 for what was pooled and then wired one to one, and wires from all of each window."""
    if gather.table.shape[1] > 1 or (weights.geometry.kind, weights.geometry.kernel) != ("conv", 1):
        raise ParameterError(f"{name}: adds up spikes before other wires; put it right before the weights")
    (channels, *places), area = gather.shape, pool.area
    table = _one_after_the_other(_windows(pool, shape), gather).table.reshape(channels, -1, area).swapaxes(1, 2)
    scale = weights.scale / (area if pool.by == "average" else 1)
    made = replace(weights, values=weights.values.repeat(area, 1), scale=scale)
    return made, Gather(shape=(channels * area, places[0], places[1]), table=table.reshape(-1, 1))


def _windows(pool: Pool, shape: Shape) -> Gather:
    """Return the ORs over windows."""
    (down, across), (channels, rows, cols) = pair(pool.side), pooled(shape, pool.side)
    number = np.arange(prod(shape)).reshape(shape)[:, : rows * down, : cols * across]
    windows = number.reshape(channels, rows, down, cols, across).swapaxes(2, 3)
    return Gather(shape=(channels, rows, cols), table=windows.reshape(-1, pool.area))


def _one_after_the_other(first: Gather, second: Gather) -> Gather:
    """Return wires that do what two of them do."""
    table = np.where(second.table[..., None] >= 0, first.table[second.table], -1)
    return Gather(shape=second.shape, table=table.reshape(len(second.table), -1))
