"""A network as nodes and edges: checked, with the shapes of all outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush
from itertools import pairwise, starmap
from typing import Any, Generic, NamedTuple, TypeVar, cast

from mapping.ir.ops import Activation, Add, Gather, Input, Norm, Op, Pool, Weights
from mapping.ir.shapes import Shape
from xbarsim.errors import ParameterError

Kind = TypeVar("Kind", bound=Op, covariant=True)


class Edge(NamedTuple):
    """What one node gives to another: in the same time step, or ``delay`` steps later; zeros before."""

    source: str
    target: str
    delay: int = 0


class Node(NamedTuple, Generic[Kind]):
    """A node with its name."""

    name: str
    op: Kind


class Branch(NamedTuple):
    """Weights of a layer, and what they read: the outputs of neurons or an input, some steps late.

    ``before`` is what lies between the two, from there to the weights.
    """

    weights: Node[Weights]
    before: tuple[Node[Pool | Gather], ...]
    source: str
    delay: int


class Layer(NamedTuple):
    """Weights whose outputs are added up, and the nodes that follow their sum, up to its neurons."""

    branches: tuple[Branch, ...]
    pool: Node[Pool] | None
    norm: Node[Norm] | None
    activation: Node[Activation]

    @property
    def name(self) -> str:
        """That of its first weights."""
        return self.branches[0].weights.name

    @property
    def nodes(self) -> list[Node[Op]]:
        """All nodes but the sum."""
        found: list[Node[Any] | None] = [self.activation, self.pool, self.norm]
        for branch in self.branches:
            found += [branch.weights, *branch.before]
        return [node for node in found if node is not None]


@dataclass(frozen=True, eq=False)
class Graph:
    """A network.

    Parameters
    ----------
    nodes : mapping from names to Op
        One Input, and what it leads to.
    edges : sequence of Edge
        What has no delay forms no loop.

    Attributes
    ----------
    order : tuple of str
        Names, each after those that it takes inputs from without delay.
    shapes : mapping from names to (channels, height, width)
        Of outputs.

    Raises
    ------
    ParameterError
        If nodes and edges do not fit each other, or inputs do not fit a node; its name is given.
    """

    nodes: Mapping[str, Op]
    edges: Sequence[Edge]
    order: tuple[str, ...] = field(init=False)
    shapes: Mapping[str, Shape] = field(init=False)
    _before: dict[str, list[Edge]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_before", {name: [] for name in self.nodes})
        for edge in self.edges:
            for name in (edge.source, edge.target):
                if name not in self.nodes:
                    raise ParameterError(f"an edge from {edge.source} to {edge.target}: there is no node {name}")
            if edge.delay < 0:
                raise ParameterError(
                    f"an edge from {edge.source} to {edge.target}: delay = {edge.delay}; give 0 or more"
                )
            self._before[edge.target].append(edge)
        for name, op in self.nodes.items():
            (least, most), n = op.n_before, len(self._before[name])
            if not least <= n <= most:
                what = f"{least:g}" if least == most else f"at least {least:g}"
                raise ParameterError(f"{name}: takes inputs from {n} nodes; it needs {what}")
        object.__setattr__(self, "order", self._order())
        object.__setattr__(self, "shapes", self._shapes())

    @classmethod
    def chain(cls, nodes: Mapping[str, Op]) -> Graph:
        """Return nodes that follow each other as they stand."""
        names = list(nodes)
        return cls(nodes, list(starmap(Edge, pairwise(names))))

    def before(self, name: str) -> list[Edge]:
        """Return the edges that lead to a node."""
        return list(self._before[name])

    def after(self, name: str) -> list[Edge]:
        """Return the edges that lead away from a node."""
        return [edge for edge in self.edges if edge.source == name]

    @property
    def input(self) -> Input:
        """What drives it."""
        (op,) = (op for op in self.nodes.values() if isinstance(op, Input))
        return op

    def layers(self) -> list[Layer]:
        """Return the layers of a network: weights, their sum, pooling, batch norm, neurons; each after its inputs.

        Raises
        ------
        ParameterError
            If there is anything else between neurons and what they read, see :func:`mapping.lower.distribute`.
        """
        found = [self._layer(name) for name in self.order if isinstance(self.nodes[name], Activation)]
        used = {node.name for layer in found for node in layer.nodes}
        for name, op in self.nodes.items():
            if name not in used and not isinstance(op, Input | Add):
                raise ParameterError(f"{name}: has no neurons after it")
        if not found:
            raise ParameterError("the network has no layer with neurons")
        return found

    def changed(self, nodes: Mapping[str, Op], without: Sequence[str] = ()) -> Graph:
        """Return a graph with some other nodes, and without some that have one before them, which takes their place."""
        if not nodes and not without:
            return self
        edges = list(self.edges)
        for name in without:
            ((source, _, delay),) = (edge for edge in edges if edge.target == name)
            edges = [
                Edge(source, edge.target, delay + edge.delay) if edge.source == name else edge
                for edge in edges
                if edge.target != name
            ]
        return Graph({k: nodes.get(k, op) for k, op in self.nodes.items() if k not in without}, edges)

    def _order(self) -> tuple[str, ...]:
        """Return names, of those that could be next always the one that was given first."""
        names = list(self.nodes)
        number = {name: k for k, name in enumerate(names)}
        sorter: TopologicalSorter[str] = TopologicalSorter(
            {name: [edge.source for edge in self._before[name] if not edge.delay] for name in names}
        )
        try:
            sorter.prepare()
        except CycleError as error:
            loop = " -> ".join(reversed(error.args[1]))
            raise ParameterError(f"{loop}: is a loop without delay; one of its edges needs a delay of 1") from None
        ready, order = [number[name] for name in sorter.get_ready()], []
        heapify(ready)
        while ready:
            order.append(names[heappop(ready)])
            sorter.done(order[-1])
            for name in sorter.get_ready():
                heappush(ready, number[name])
        return tuple(order)

    def _shapes(self) -> dict[str, Shape]:
        """Infer all shapes, through loops too, and check that all inputs of a node fit."""
        if sum(isinstance(op, Input) for op in self.nodes.values()) != 1:
            raise ParameterError(f"a network of {', '.join(self.nodes)}: has to have one Input")
        shapes: dict[str, Shape] = {}
        left, partly = list(self.order), []
        while left:
            waiting = []
            for name in left:
                before = self._before[name]
                given = [shapes[edge.source] for edge in before if edge.source in shapes]
                if len(given) < (1 if isinstance(self.nodes[name], Add) else len(before)):
                    waiting.append(name)
                    continue
                if len(given) < len(before):
                    partly.append(name)
                shapes[name] = self._named(name, given)
            if len(waiting) == len(left):
                raise ParameterError(f"{left[0]}: nothing leads to it from the input")
            left = waiting
        for name in partly:
            self._named(name, [shapes[edge.source] for edge in self._before[name]])
        return shapes

    def _named(self, name: str, shapes: Sequence[Shape]) -> Shape:
        try:
            return self.nodes[name].after(*shapes)
        except ParameterError as error:
            raise ParameterError(f"{name}: {error}") from None

    def _layer(self, name: str) -> Layer:
        """Return the layer that ends in these neurons."""
        pool, norm = None, None
        at = self._only(name)
        while not isinstance(self.nodes[at.source], Weights | Add):
            node, op = Node(at.source, self.nodes[at.source]), self.nodes[at.source]
            if isinstance(op, Pool) and pool is None:
                pool = Node(node.name, op)
            elif isinstance(op, Norm) and norm is None:
                norm = Node(node.name, op)
            elif isinstance(op, Pool | Norm):
                what = "pooling" if isinstance(op, Pool) else "batch norm"
                raise ParameterError(f"{node.name}: only one {what} per layer is supported")
            else:
                raise ParameterError(f"{name}: comes without weights before it")
            at = self._only(node.name)
        added = isinstance(self.nodes[at.source], Add)
        edges = self.before(at.source) if added else [at]
        branches = tuple(self._branch(edge) for edge in edges)
        return Layer(branches, pool, norm, Node(name, cast(Activation, self.nodes[name])))

    def _branch(self, edge: Edge) -> Branch:
        """Return what an edge out of weights brings."""
        weights = self.nodes[edge.source]
        if not isinstance(weights, Weights):
            raise ParameterError(f"{edge.source}: is added to weighted inputs, but has no weights itself")
        if edge.delay:
            raise ParameterError(f"{edge.source}: its outputs come late; delay what it takes in instead")
        at, before = self._only(edge.source, late=True), list[Node[Pool | Gather]]()
        while isinstance(op := self.nodes[at.source], Pool | Gather):
            before.insert(0, Node(at.source, op))
            earlier = self._only(at.source, late=True)
            at = earlier._replace(delay=at.delay + earlier.delay)
        if not isinstance(op, Activation | Input):
            while not isinstance(self.nodes[at.source], Weights | Activation | Input):
                at = self.before(at.source)[0]
            raise ParameterError(f"{edge.source}: follows {at.source} without neurons between them")
        return Branch(Node(edge.source, weights), tuple(before), at.source, at.delay)

    def _only(self, name: str, late: bool = False) -> Edge:
        """Return the edge that leads to a node."""
        (edge,) = self.before(name)
        if edge.delay and not late:
            raise ParameterError(
                f"{name}: takes weighted inputs that come late; delay what the weights take in instead"
            )
        return edge
