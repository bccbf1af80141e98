"""A network as nodes and edges: checked, with the shapes of all outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise, starmap
from typing import Any, Generic, NamedTuple, TypeVar

from mapping.ir.ops import Activation, Input, Norm, Op, Pool, Weights
from mapping.ir.shapes import Shape
from xbarsim.errors import ParameterError

Kind = TypeVar("Kind", bound=Op, covariant=True)


class Edge(NamedTuple):
    """What one node gives to another: in the same time step, or one step later (``delay`` = 1)."""

    source: str
    target: str
    delay: int = 0


class Node(NamedTuple, Generic[Kind]):
    """A node with its name."""

    name: str
    op: Kind


class Layer(NamedTuple):
    """A node of weights and those that follow it, up to its neurons."""

    weights: Node[Weights]
    pool: Node[Pool] | None
    norm: Node[Norm] | None
    activation: Node[Activation]


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

    def __post_init__(self) -> None:
        for edge in self.edges:
            for name in (edge.source, edge.target):
                if name not in self.nodes:
                    raise ParameterError(f"an edge from {edge.source} to {edge.target}: there is no node {name}")
            if edge.delay not in (0, 1):
                raise ParameterError(f"an edge from {edge.source} to {edge.target}: delay = {edge.delay}; give 0 or 1")
        for name, op in self.nodes.items():
            least, most = op.n_before
            if not least <= len(self.before(name)) <= most:
                what = f"{least:g}" if least == most else f"at least {least:g}"
                raise ParameterError(f"{name}: takes inputs from {len(self.before(name))} nodes; it needs {what}")
        object.__setattr__(self, "order", self._order())
        object.__setattr__(self, "shapes", self._shapes())

    @classmethod
    def chain(cls, nodes: Mapping[str, Op]) -> Graph:
        """Return nodes that follow each other as they stand."""
        names = list(nodes)
        return cls(nodes, list(starmap(Edge, pairwise(names))))

    def before(self, name: str) -> list[Edge]:
        """Return the edges that lead to a node."""
        return [edge for edge in self.edges if edge.target == name]

    def after(self, name: str) -> list[Edge]:
        """Return the edges that lead away from a node."""
        return [edge for edge in self.edges if edge.source == name]

    @property
    def input(self) -> Input:
        """What drives it."""
        (op,) = (op for op in self.nodes.values() if isinstance(op, Input))
        return op

    def layers(self) -> list[Layer]:
        """Return the layers of a network in which they follow each other: weights, pooling, batch norm, neurons.

        Raises
        ------
        ParameterError
            If there is anything else, or a node has several before or after it.
        """
        return layers_in({name: self.nodes[name] for name in self._chain()})

    def changed(self, nodes: Mapping[str, Op], without: Sequence[str] = ()) -> Graph:
        """Return a graph with some other nodes, and without some that have one before them, which takes their place."""
        edges = list(self.edges)
        for name in without:
            ((source, _, delay),) = (edge for edge in edges if edge.target == name)
            edges = [
                Edge(source, edge.target, max(delay, edge.delay)) if edge.source == name else edge
                for edge in edges
                if edge.target != name
            ]
        return Graph({k: nodes.get(k, op) for k, op in self.nodes.items() if k not in without}, edges)

    def _order(self) -> tuple[str, ...]:
        sources = {name: [edge.source for edge in self.before(name) if not edge.delay] for name in self.nodes}
        try:
            return tuple(TopologicalSorter(sources).static_order())
        except CycleError as error:
            loop = " -> ".join(reversed(error.args[1]))
            raise ParameterError(f"{loop}: is a loop without delay; one of its edges needs a delay of 1") from None

    def _shapes(self) -> dict[str, Shape]:
        """Infer all shapes, through loops too, and check that all inputs of a node fit."""
        if sum(isinstance(op, Input) for op in self.nodes.values()) != 1:
            raise ParameterError(f"a network of {', '.join(self.nodes)}: has to have one Input")
        shapes: dict[str, Shape] = {}
        left = list(self.order)
        while left:
            given = {name: [edge.source for edge in self.before(name) if edge.source in shapes] for name in left}
            reached = [name for name in left if given[name] or isinstance(self.nodes[name], Input)]
            if not reached:
                raise ParameterError(f"{left[0]}: nothing leads to it from the input")
            shapes |= {name: self._named(name, [shapes[source] for source in given[name]]) for name in reached}
            left = [name for name in left if name not in shapes]
        for name in self.order:
            self._named(name, [shapes[edge.source] for edge in self.before(name)])
        return shapes

    def _named(self, name: str, shapes: Sequence[Shape]) -> Shape:
        try:
            return self.nodes[name].after(*shapes)
        except ParameterError as error:
            raise ParameterError(f"{name}: {error}") from None

    def _chain(self) -> Iterator[str]:
        for name in self.order:
            for edges, what in ((self.after(name), "successors"), (self.before(name), "predecessors")):
                if len(edges) > 1:
                    raise ParameterError(
                        f"{name}: has several {what}; residual and recurrent networks are not supported"
                    )
            yield name


def layers_in(nodes: Mapping[str, Op]) -> list[Layer]:
    """Return the layers of nodes that follow each other; see :meth:`Graph.layers`."""
    found: list[Layer] = []
    parts: dict[type[Op], Node[Any]] = {}
    for name, op in nodes.items():
        if isinstance(op, Input):
            continue
        if isinstance(op, Weights):
            if parts:
                raise ParameterError(f"{name}: follows {parts[Weights].name} without neurons between them")
        elif not parts:
            raise ParameterError(f"{name}: comes without weights before it; it has to lie between weights and neurons")
        elif isinstance(op, Pool | Norm) and type(op) in parts:
            what = "pooling" if isinstance(op, Pool) else "batch norm"
            raise ParameterError(f"{name}: only one {what} per layer is supported")
        parts[type(op)] = Node(name, op)
        if isinstance(op, Activation):
            found.append(Layer(parts[Weights], parts.get(Pool), parts.get(Norm), Node(name, op)))
            parts = {}
    if parts:
        raise ParameterError(f"{parts[Weights].name}: has no neurons after it")
    if not found:
        raise ParameterError("the network has no layer with neurons")
    return found
