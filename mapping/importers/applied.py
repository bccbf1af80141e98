"""Weights, sums, pooling and batch norms that a module applied, each one node however often it was."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np

from mapping.importers.origins import Part, Rows
from mapping.ir.graph import Edge
from mapping.ir.ops import Add, Concatenate, Gather, Op, Weights
from mapping.ir.shapes import Shape
from xbarsim.errors import ParameterError

INPUT = "input"
SCALE = "scale"  # key of a factor, with the factor
JOINED = "joined"  # of several nodes, with where the channels of each start, and end
SUM: Hashable = "sum"  # leaves no trace in what is compared, since a first step may lack terms


class Source(NamedTuple):
    """What is read: a node, so many steps before; or None, zeros from before the first step."""

    node: str | None
    delay: int


class Leaf(NamedTuple):
    """Neurons or an input that are read, how much later, and by way of what."""

    way: tuple[Hashable, ...]
    node: str
    delay: int


class Node(NamedTuple):
    """A node without a state, ``key`` telling those apart that compute something else."""

    op: Op
    key: Hashable
    sources: tuple[Source, ...]


class Applied:
    """The nodes without a state that lead to neurons, and what they read."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.image: Shape | None = None  # that an input is read as
        self.constant = False  # whether it is the same in all steps, and so never late
        self._names: dict[tuple[Hashable, tuple[Source, ...]], str] = {}

    def name(self, what: str, key: Hashable, sources: tuple[Source, ...], op: Callable[[], Op]) -> str:
        """Return the name of a node, a new one if it was not applied to these sources before."""
        found = self._names.get((key, sources))
        if found is None:
            found = unused(what, self.nodes)
            self._names[key, sources] = found
            self.nodes[found] = Node(op(), key, sources)
        return found

    def source(self, what: str, rows: Rows, shape: tuple[int, ...], sizes: Mapping[str, int]) -> Source:
        """Return what rows of such a shape read, by way of joined channels and wires where they are not one whole."""
        if len(rows.parts) == 1:
            (part,) = rows.parts
            if part.node == INPUT and len(shape) == 3 and _is_whole(part, sizes):
                self.image = _placed(shape)
            return self._wired(what, part, _placed(shape), sizes)
        sources, channels = [], [0]
        for part in rows.parts:
            n = len(part.places) * shape[0] // prod(shape)
            sources.append(self._wired(what, part, (n, *_placed(shape)[1:]), sizes))
            channels.append(channels[-1] + n)
        latest = min(source.delay for source in sources if source.node)
        found = tuple(Source(node, delay - latest if node else 0) for node, delay in sources)
        return Source(self.name(f"{what}, joined", (JOINED, *channels), found, Concatenate), latest)

    def _wired(self, what: str, part: Part, shape: Shape, sizes: Mapping[str, int]) -> Source:
        if part.node is None or _is_whole(part, sizes):
            return Source(part.node, part.delay)
        key, table = ("wires", shape, part.places.tobytes()), part.places.reshape(-1, 1)
        made = self.name(f"{what}, wires", key, (Source(part.node, 0),), lambda: Gather(shape=shape, table=table))
        return Source(made, part.delay)

    def leaves(self, source: Source, late: int = 0, way: tuple[Hashable, ...] = ()) -> Iterator[Leaf]:
        """Yield the neurons and inputs that are read."""
        node, late = source.node, late + source.delay
        if node is None:
            return
        if node not in self.nodes:
            yield Leaf(way, node, self.delay(node, late))
            return
        key = self.nodes[node].key
        for number, before in enumerate(self.nodes[node].sources):
            yield from self.leaves(before, late, way if key == SUM else (*way, key, number))

    def delay(self, node: str, late: int) -> int:
        """Return how much later neurons or an input are read, for those that matter."""
        return 0 if node == INPUT and self.constant else late

    def used(self, source: Source) -> set[str]:
        """Return the nodes on the way to what is read."""
        if source.node not in self.nodes:
            return set()
        found = {source.node}
        for before in self.nodes[source.node].sources:
            found |= self.used(before)
        return found


def _is_whole(part: Part, sizes: Mapping[str, int]) -> bool:
    """Return whether numbers are all that a node gives, in its order."""
    n = len(part.places)
    return part.node is not None and n == sizes[part.node] and bool((part.places == np.arange(n)).all())


def unused(name: str, taken: Mapping[str, object]) -> str:
    """Return a name that is not taken yet."""
    number, made = 1, name
    while made in taken:
        number += 1
        made = f"{name}, {number}"
    return made


def _placed(shape: tuple[int, ...]) -> Shape:
    """Return (channels, height, width)."""
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (prod(shape), 1, 1)


class Laid:
    """Nodes and edges of a graph; delays stand only where neurons or inputs are read."""

    def __init__(self, applied: Applied) -> None:
        self.applied = applied
        self.nodes: dict[str, Op] = {}
        self.edges: list[Edge] = []
        self._placed: dict[tuple[str, int], str] = {}

    def read(self, source: Source, target: str, late: int = 0) -> None:
        """Add an edge, and what leads to its source; factors and joins of what weights read become theirs."""
        op, made = self.nodes[target], self.applied.nodes.get(source.node or "")
        if made is not None and isinstance(op, Weights) and isinstance(made.key, tuple):
            if made.key[0] == SCALE:
                self.nodes[target] = replace(op, values=op.values * made.key[1])
                (before,) = made.sources
                return self.read(Source(before.node, source.delay + before.delay), target, late)
            if made.key[0] == JOINED:
                return self._parted(op, made, target, late + source.delay)
        node, late = source.node, late + source.delay
        if node is None:
            raise ParameterError(f"{target}: reads nothing but zeros in the time steps seen; give more of them")
        if node not in self.applied.nodes:
            self.edges.append(Edge(node, target, self.applied.delay(node, late)))
            return None
        name = self._placed.get((node, late))
        if name is None:
            name = self._placed[node, late] = unused(node, self.nodes)
            self.nodes[name] = self.applied.nodes[node].op
            for before in self.applied.nodes[node].sources:
                self.read(before, name, late)
        self.edges.append(Edge(name, target))
        return None

    def _parted(self, op: Weights, joined: Node, target: str, late: int) -> None:
        """Put the sum of weights of their own in the place of weights that read several nodes."""
        self.nodes[target] = Add()
        assert isinstance(joined.key, tuple)
        for source, (first, last) in zip(joined.sources, pairwise(joined.key[1:])):
            part = unused(f"{target}, part", self.nodes)
            bias = op.bias if first == 0 else None
            geometry = op.geometry.replace(bias=bias is not None)
            self.nodes[part] = replace(op, values=op.values[:, first:last], bias=bias, geometry=geometry)
            self.read(source, part, late)
            self.edges.append(Edge(part, target))
