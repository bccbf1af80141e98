"""Sums and joined channels of spikes, as arrays add them: on rows of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from mapping.ir.graph import Edge, Graph
from mapping.ir.ops import Activation, Add, Concatenate, Input, Norm, Op, Pool, Weights
from mapping.ir.shapes import Geometry, Shape
from xbarsim.errors import ParameterError


@dataclass(frozen=True)
class _Term:
    """Some of what a node adds up: weights of what a source gave some steps before, or just that, without weights.

    ``before`` are the names of what lies between source and weights; ``channels`` are those of the node that it is.
    """

    source: str
    delay: int = 0
    before: tuple[str, ...] = ()
    weights: str | None = None
    channels: slice | None = None


def distribute(graph: Graph) -> Graph:
    """Move sums and joined channels of spikes past weights, which get rows of their own for each of them.

    A shortcut past weights gets weights of one. A batch norm of one of several weights becomes part of their scale and
    bias. What is computed stays exactly the same.

    Raises
    ------
    ParameterError
        If weights follow weights without neurons between them, or something else has no place on arrays; named.
    """
    return _Distribution(graph).run()


class _Distribution:
    """A graph that is made anew: ``nodes`` and ``edges`` of what is kept."""

    def __init__(self, graph: Graph) -> None:
        self.old, self.nodes, self.edges, self.seen = graph, dict[str, Op](), list[Edge](), set[str]()

    def run(self) -> Graph:
        """Keep layer after layer."""
        for name in self.old.order:
            op = self.old.nodes[name]
            if isinstance(op, Input):
                self.nodes[name] = op
            elif isinstance(op, Activation):
                self._layer(name, op)
        for name, op in self.old.nodes.items():
            if name not in self.seen and not isinstance(op, Activation | Input):
                raise ParameterError(f"{name}: has no neurons after it")
        return Graph(self.nodes, self.edges)

    def _layer(self, name: str, op: Op) -> None:
        """Keep neurons, with pooling and batch norm before them, and what they add up."""
        (edge,), after = self.old.before(name), name
        tail: list[str] = []
        while isinstance(self.old.nodes[edge.source], Pool | Norm) and self._is_weighted(edge.source):
            tail.append(edge.source)
            self.seen.add(edge.source)
            (edge,) = self.old.before(edge.source)
        terms = [self._weighted(term, name) for term in self._terms(edge)]
        joined = terms[0]
        if len(terms) > 1:
            joined = edge.source if isinstance(self.old.nodes[edge.source], Add) else f"{edge.source}, sum"
            self.nodes[joined] = Add()
            self.edges += [Edge(term, joined) for term in terms]
        for part, op_of in _composed([(part, self.old.nodes[part]) for part in reversed(tail)]):
            self._follow(part, op_of, joined)
            joined = part
        self._follow(after, op, joined)

    def _follow(self, name: str, op: Op, source: str, delay: int = 0) -> None:
        self.nodes[name] = op
        self.edges.append(Edge(source, name, delay))

    def _is_weighted(self, name: str) -> bool:
        """Whether there are weights on every way from neurons or inputs to a node."""
        op = self.old.nodes[name]
        if isinstance(op, Weights):
            return True
        return not isinstance(op, Activation | Input) and all(
            self._is_weighted(edge.source) for edge in self.old.before(name)
        )

    def _terms(self, edge: Edge) -> list[_Term]:
        """Return what an edge brings, as a sum; parts of joined channels are told by ``channels``."""
        name, op = edge.source, self.old.nodes[edge.source]
        self.seen.add(name)
        if isinstance(op, Activation | Input):
            return [_Term(name, edge.delay)]
        parts = [self._terms(before) for before in self.old.before(name)]
        if edge.delay and self._is_weighted(name):
            raise ParameterError(f"{name}: its outputs come late; delay what its weights take in instead")
        late = [[replace(term, delay=term.delay + edge.delay) for term in part] for part in parts]
        if isinstance(op, Add):
            return [term for part in late for term in part]
        if isinstance(op, Concatenate):
            return list(self._joined(name, late))
        (terms,) = late
        if isinstance(op, Weights):
            return [self._kept(name, op, term, first=not k) for k, term in enumerate(terms)]
        if isinstance(op, Norm):
            return [self._normed(name, op, term, first=not k) for k, term in enumerate(terms)]
        if any(term.weights for term in terms):
            raise ParameterError(f"{name}: lies between weights and a sum; put it after the sum")
        return [replace(term, before=(*term.before, name)) for term in terms]

    def _joined(self, name: str, parts: Sequence[Sequence[_Term]]) -> Iterator[_Term]:
        first = 0
        for edge, part in zip(self.old.before(name), parts):
            n = self.old.shapes[edge.source][0]
            for term in part:
                if term.weights or term.channels or term.before:
                    raise ParameterError(f"{name}: joins what is no spikes of neurons or inputs")
                yield replace(term, channels=slice(first, first + n))
            first += n

    def _kept(self, name: str, op: Weights, term: _Term, first: bool) -> _Term:
        """Keep weights of one of the terms that they are given; the first one has their bias."""
        if term.weights:
            raise ParameterError(f"{name}: follows {term.weights} without neurons between them")
        if term.channels is not None:
            (edge,) = self.old.before(name)
            shape = self.old.shapes[edge.source]
            op = _of_channels(op, term.channels, shape)
        if not first:
            op = replace(op, bias=None, geometry=op.geometry.replace(bias=False))
        return self._placed(name, op, term)

    def _placed(self, name: str, op: Weights, term: _Term) -> _Term:
        """Keep weights, and what lies between them and their source."""
        name = self._new(name)
        at, delay = term.source, term.delay
        for before in term.before:
            part = self._new(before)
            self._follow(part, self.old.nodes[before], at, delay)
            at, delay = part, 0
        self._follow(name, op, at, delay)
        return replace(term, weights=name)

    def _new(self, name: str) -> str:
        """Return a name that is not taken yet."""
        count, made = 1, name
        while made in self.nodes:
            count += 1
            made = f"{name}, {count}"
        return made

    def _normed(self, name: str, op: Norm, term: _Term, first: bool) -> _Term:
        """Make a batch norm of one of several terms part of its weights; the first one has its constants."""
        made = self._weighted(term, name)
        weights = self.nodes[made]
        assert isinstance(weights, Weights)
        if np.any(op.gamma == 0):
            raise ParameterError(f"{name}: batch norm has gamma = 0 in channel {int(np.argmin(op.gamma != 0))}")
        gain = op.gamma / op.deviation
        bias = gain * ((0 if weights.bias is None else weights.bias) - (op.mean if first else 0))
        bias = bias + op.shift if first else bias
        self.nodes[made] = replace(
            weights, scale=weights.scale * gain, bias=bias, geometry=weights.geometry.replace(bias=bool(bias.any()))
        )
        return replace(term, weights=made)

    def _weighted(self, term: _Term, name: str) -> str:
        """Return the weights of a term, ones if it has none."""
        if term.weights:
            return term.weights
        if term.channels is not None:
            raise ParameterError(f"{name}: gets joined channels without weights before it")
        n = (self.old.shapes[term.before[-1]] if term.before else self.old.shapes[term.source])[0]
        geometry = Geometry(kind="conv", out=n, depthwise=True)
        ones = Weights(geometry=geometry, values=np.ones((n, 1, 1, 1), np.int8), levels="binary")
        made = self._placed(f"{name}, shortcut", ones, term)
        assert made.weights is not None
        return made.weights


def _composed(tail: Sequence[tuple[str, Op]]) -> list[tuple[str, Op]]:
    """Return pooling and batch norms with those that follow each other made one."""
    found: list[tuple[str, Op]] = []
    for name, op in tail:
        before = found[-1][1] if found else None
        if isinstance(op, Norm) and isinstance(before, Norm):
            first, second = (norm.gamma / norm.deviation for norm in (before, op))
            shift = second * (before.shift - first * before.mean - op.mean) + op.shift
            none = np.zeros_like(shift)
            found[-1] = name, Norm(mean=none, var=none + 1, gamma=first * second, shift=shift, eps=0.0)
        else:
            found.append((name, op))
    return found


def _of_channels(op: Weights, channels: slice, shape: Shape) -> Weights:
    """Return the weights for some of the channels that an input of this shape has."""
    op = op.reading_all()
    if op.geometry.kind == "dense":
        places = prod(shape[1:])
        return replace(op, values=op.values[:, channels.start * places : channels.stop * places])
    return replace(op, values=op.values[:, channels])
