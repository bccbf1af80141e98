"""Pooling into the weights before it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mapping.ir.graph import Graph
from mapping.ir.ops import Norm
from xbarsim.errors import ParameterError


def fuse(graph: Graph) -> Graph:
    """Pooling joins the weights before it: circuits read at all positions, and pool before anything is compared.

    What is computed stays exactly the same. A batch norm between them changes places with the pooling, which an average
    allows, and a maximum where no gamma is below 0.

    Raises
    ------
    ParameterError
        If it is not allowed.
    """
    changed, gone = {}, []
    for branches, pool, _, _ in graph.layers():
        if pool is None:
            continue
        first, pooling = graph.nodes[graph.before(pool.name)[0].source], pool.op
        if pooling.by == "maximum" and isinstance(first, Norm) and np.any(first.gamma < 0):
            raise ParameterError(f"{pool.name}: follows a batch norm with weights below 0; put the pooling before it")
        if pooling.by == "maximum" and len(branches) > 1:
            raise ParameterError(f"{pool.name}: takes the maximum of a sum, which arrays do not; use an average")
        for name, weights in (branch.weights for branch in branches):
            by = "maximum" if pooling.by == "maximum" else "average"
            pooled = weights.times(pooling.area) if pooling.by == "sum" else weights
            changed[name] = replace(pooled, geometry=weights.geometry.replace(pool=pooling.side, pool_by=by))
        gone.append(pool.name)
    return graph.changed(changed, without=gone)
