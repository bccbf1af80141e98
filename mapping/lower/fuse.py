"""Pooling into the weights before it."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from mapping.ir.graph import Graph
from mapping.ir.ops import Norm, Pool, Weights
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
    changed: dict[str, Weights] = {}
    pools = [layer for layer in graph.layers() if layer.pool is not None]
    for name, pool, _, _ in pools:
        weights, pooling = cast(Weights, graph.nodes[name]), cast(Pool, graph.nodes[str(pool)])
        first = graph.nodes[graph.before(str(pool))[0].source]
        if pooling.by == "maximum" and isinstance(first, Norm) and np.any(first.gamma < 0):
            raise ParameterError(f"{pool}: follows a batch norm with weights below 0; put the pooling before it")
        changed[name] = replace(weights, geometry=weights.geometry.replace(pool=pooling.side, pool_by=pooling.by))
    return graph.changed(changed, without=[str(layer.pool) for layer in pools])
