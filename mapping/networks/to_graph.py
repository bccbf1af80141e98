"""The graph of a spiking network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mapping.ir.graph import Edge, Graph
from mapping.ir.ops import Add, Concatenate, Input, Op, Pool, Weights
from mapping.ir.shapes import Geometry, Shape
from mapping.networks.layers import SpikingLayer
from mapping.networks.spec import NetworkSpec
from mapping.networks.wiring import INPUT, Reads, Wiring


def graph_of_layers(spec: NetworkSpec, wiring: Wiring, layers: Sequence[SpikingLayer]) -> Graph:
    """Return a network of these layers as plain data."""
    return _Made(spec, wiring, layers).graph()


class _Made:
    def __init__(self, spec: NetworkSpec, wiring: Wiring, layers: Sequence[SpikingLayer]) -> None:
        self._spec, self._wiring, self._layers = spec, wiring, layers
        self.nodes: dict[str, Op] = {"input": Input(shape=spec.input_shape)}
        self.edges: list[Edge] = []

    def graph(self) -> Graph:
        """Add layer after layer."""
        for k, name in enumerate(self._wiring.names):
            self._layer(k, name)
        return Graph(self.nodes, self.edges)

    def _layer(self, k: int, name: str) -> None:
        layer, reads = self._layers[k], self._wiring.reads[k]
        ops = [layer.node(), *(branch.node() for branch in layer.branches)]
        names = [name, *(f"{name}, branch {j}" for j in range(1, len(ops)))]
        for part, op, spec, read in zip(names, ops, (layer.spec, *layer.spec.branches), reads):
            joined = self._joined(part, spec.join, read)
            if spec.input_pool != 1:
                pooled = f"{part}, input pool"
                self._after(pooled, Pool(side=spec.input_pool, by=spec.input_pool_by), *joined)
                joined = pooled, 0
            self._after(part, op, *joined)
        for source, read in zip(layer.spec.shortcuts, reads[len(ops) :]):
            names.append(f"{name}, shortcut from {source}")
            self._after(names[-1], _ones(self._wiring.shape(read.sources[0])), self._called(read.sources[0]))
        at = name
        if len(names) > 1:
            at = f"{name}, sum"
            self.nodes[at] = Add()
            self.edges += [Edge(part, at) for part in names]
        for part, after in layer.nodes(name).items():
            self._after(part, after, at)
            at = part

    def _after(self, name: str, op: Op, source: str, delay: int = 0) -> None:
        """Add a node that follows another one."""
        self.nodes[name] = op
        self.edges.append(Edge(source, name, delay))

    def _joined(self, name: str, join: str, read: Reads) -> tuple[str, int]:
        """Return the node that gives what weights read, and how late."""
        if len(read.sources) == 1:
            return self._called(read.sources[0]), read.delay
        at = f"{name}, inputs"
        self.nodes[at] = Concatenate() if join == "concatenate" else Add()
        self.edges += [Edge(self._called(source), at) for source in read.sources]
        return at, read.delay

    def _called(self, source: int) -> str:
        return "input" if source == INPUT else f"{self._wiring.names[source]}, neurons"


def _ones(shape: Shape) -> Weights:
    """Return weights of 1, from each spike to the sum of its number."""
    geometry = Geometry(kind="conv", out=shape[0], depthwise=True)
    return Weights(geometry=geometry, values=np.ones((shape[0], 1, 1, 1), np.int8), levels="binary")
