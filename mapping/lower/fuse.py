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
    for weights, pool, _, _ in graph.layers():
        if pool is None:
            continue
        first, pooling = graph.nodes[graph.before(pool.name)[0].source], pool.op
        if pooling.by == "maximum" and isinstance(first, Norm) and np.any(first.gamma < 0):
            raise ParameterError(f"{pool.name}: follows a batch norm with weights below 0; put the pooling before it")
        geometry = weights.op.geometry.replace(pool=pooling.side, pool_by=pooling.by)
        changed[weights.name] = replace(weights.op, geometry=geometry)
        gone.append(pool.name)
    return graph.changed(changed, without=gone)
