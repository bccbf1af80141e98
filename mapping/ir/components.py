"""In which order layers can run: one through after the other, or several step by step where they form a loop."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import TopologicalSorter
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


class Component(NamedTuple):
    """Layers, by their numbers, that run together; ``loops`` if they read what they fired in steps before."""

    layers: list[int]
    loops: bool


def components(sources: Sequence[Sequence[int]]) -> list[Component]:
    """Return the layers in components, each after those that it reads.

    Parameters
    ----------
    sources : sequence
        For each layer the numbers of those that it reads, in the same step or later; -1 is the input.
    """
    pairs = {(source, k) for k, read in enumerate(sources) for source in read if source >= 0}
    before, after = np.array(sorted(pairs), int).reshape(-1, 2).T
    size = len(sources)
    edges = coo_array((np.ones(len(pairs)), (before, after)), (size, size))
    count, of = connected_components(edges, connection="strong")
    needed: dict[int, set[int]] = {k: set() for k in range(count)}
    members: dict[int, list[int]] = {k: [] for k in range(count)}
    for a, b in pairs:
        needed[int(of[b])] |= {int(of[a])} - {int(of[b])}
    for number, k in enumerate(of.tolist()):
        members[k].append(number)
    found = [members[k] for k in TopologicalSorter(needed).static_order()]
    return [Component(layers, len(layers) > 1 or (layers[0], layers[0]) in pairs) for layers in found]
