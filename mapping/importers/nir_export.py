"""Spiking networks as NIR files, which read back to the same spikes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mapping.importers.nir import late_edges
from mapping.importers.nir_file import read_nir
from mapping.inputs.resources import path_of
from mapping.ir.graph import Graph, Layer
from mapping.ir.ops import Lif, Pool, Weights
from mapping.ir.shapes import Geometry, Pair, pair
from mapping.lower.distribute import distribute
from mapping.networks.network import Network
from xbarsim.errors import ParameterError, extra, of_kind
from xbarsim.outputs import write
from xbarsim.units import quantity

_RULES = ("reset_mechanism", "reset_delay", "fire")


def export_nir(network: Network, path: str | Path, *, dt: float | str = 1.0) -> dict[str, Any]:
    """Write a spiking network to a NIR file (extra ``nir``).

    Batch norm and scales become weights and biases, a decay beta the time constant dt / (1 - beta).

    Parameters
    ----------
    network : Network
    path : path
    dt : float or str
        Time of one step [s].

    Returns
    -------
    dict
        What NIR does not store, and :func:`load_network` has to be given to read back the same spikes.

    Raises
    ------
    ParameterError
        If NIR has no node for what the network does; the layer is named.
    FileError
        If the file cannot be written.
    """
    of_kind(Network, network, "network", "a Network")
    step = quantity(dt, "s", "dt")
    if not 0 < step < float("inf"):
        raise ParameterError(f"dt = {step:g} s: give the time of one step, above 0")
    with extra("nir", str(path)):
        import nir
    how = _rules(network)
    graph = distribute(network.graph())
    made = _Nodes(nir, graph, step, network.spec.output_layers)
    buffer = io.BytesIO()
    nir.write(buffer, made.graph())
    write(path_of(path, "path"), buffer.getvalue())
    return {"dt": step, "t_steps": network.t_steps, "decoder": network.spec.decoder} | how


def _rules(network: Network) -> dict[str, Any]:
    """Return what NIR does not store of neurons, which has to be the same for all that fire."""
    neurons = [neuron for neuron in network.spec.neurons() if neuron.fire != "never"]
    for name in ("clip", "winner_take_all", "inhibition", "late_current", "adaptation"):
        if any(getattr(neuron, name) for neuron in neurons):
            raise ParameterError(f"{name}: NIR has no neurons of this kind")
    if any(neuron.most_spikes > 1 for neuron in neurons):
        raise ParameterError("most_spikes: NIR has no neurons of this kind")
    if network.spec.encoding != "direct":
        raise ParameterError(f"encoding = {network.spec.encoding!r}: NIR does not store it; give the network spikes")
    found = {name: {getattr(neuron, name) for neuron in neurons} for name in _RULES}
    for name, values in found.items():
        if len(values) > 1:
            raise ParameterError(f"{name}: NIR does not store it, and layers differ: {sorted(map(str, values))}")
    rules = {name: next(iter(values), None) for name, values in found.items()}
    return rules if neurons else {"reset_mechanism": "none", "reset_delay": True, "fire": ">="}


class _Nodes:
    """Nodes and edges of a NIR graph."""

    def __init__(self, nir: Any, graph: Graph, dt: float, outputs: Sequence[int]) -> None:
        self._nir, self._graph, self._dt, self._lines = nir, graph, dt, _is_of_lines(graph)
        self.nodes: dict[str, Any] = {
            "input": nir.Input(input_type={"input": np.array(self._sizes(graph.input.shape))})
        }
        self.edges: list[tuple[str, str]] = []
        self.delays: list[tuple[tuple[str, str], int]] = []  # of edges out of neurons, in steps
        self.called = {name: "input" for name, op in graph.nodes.items() if op is graph.input}
        layers = graph.layers()
        self.called |= {layer.activation.name: f"neurons {k}" for k, layer in enumerate(layers, 1)}
        for k, layer in enumerate(layers, 1):
            self._layer(k, layer)
        for j, k in enumerate(outputs, 1):
            name, shape = "output" if len(outputs) == 1 else f"output {j}", graph.shapes[layers[k].activation.name]
            self.nodes[name] = nir.Output(output_type={"output": np.array(self._sizes(shape))})
            self.edges.append((f"neurons {k + 1}", name))

    def graph(self) -> Any:
        """Return the graph, with a delay where an edge takes more steps than it has by itself."""
        plain = self._nir.NIRGraph(self.nodes, self.edges, type_check=False)
        late = late_edges(read_nir(plain))
        for edge, delay in self.delays:
            if delay < (edge in late):
                raise ParameterError(f"{edge[0]}: its spikes come back in the same step, which NIR does not have")
            if steps := delay - (edge in late):
                name = f"{edge[0]} to {edge[1]}, delay"
                self.nodes[name] = self._nir.Delay(delay=np.array([steps * self._dt]))
                self.edges.remove(edge)
                self.edges += [(edge[0], name), (name, edge[1])]
        return self._nir.NIRGraph(self.nodes, self.edges, type_check=False)

    def _layer(self, k: int, layer: Layer) -> None:
        graph, neurons = self._graph, layer.activation.op
        assert isinstance(neurons, Lif)
        norm = None if layer.norm is None else layer.norm.op
        gain = 1.0 if norm is None else norm.gamma / norm.deviation
        shift = 0.0 if norm is None else norm.shift - gain * norm.mean
        for j, branch in enumerate(layer.branches):
            name, (_, op) = f"weights {k}" + (f", {j + 1}" if j else ""), branch.weights
            at = self.called[branch.source]
            first = (at, name)
            for node in branch.before:
                if not isinstance(node.op, Pool) or node.op.by == "maximum":
                    raise ParameterError(f"{node.name}: NIR has no node for it")
                kind = self._nir.AvgPool2d if node.op.by == "average" else self._nir.SumPool2d
                self.nodes[f"{name}, pool"] = kind(**_window(node.op.side))
                self.edges.append((at, f"{name}, pool"))
                first, at = (at, f"{name}, pool"), f"{name}, pool"
            (edge,) = graph.before(branch.weights.name)
            given = graph.shapes[edge.source]
            if op.geometry.kind == "dense" and given[1:] != (1, 1):
                self.nodes[f"{name}, flat"] = self._nir.Flatten({"input": np.array(self._sizes(given))}, 0, -1)
                self.edges.append((at, f"{name}, flat"))
                first = first if branch.before else (at, f"{name}, flat")
                at = f"{name}, flat"
            bias = gain * (0.0 if op.bias is None else op.bias) + (0.0 if j else shift)
            self.nodes[name] = self._weights(op, np.broadcast_to(gain * op.scale, len(op.values)), bias, given)
            self.edges.append((at, name))
            self.delays.append((first, branch.delay))
            self._after(k, layer, name)
        self.nodes[f"neurons {k}"] = self._neurons(neurons, graph.shapes[layer.activation.name])

    def _after(self, k: int, layer: Layer, name: str) -> None:
        """Lead from weights to neurons, through the pooling that all weights of a layer share."""
        if layer.pool is None:
            self.edges.append((name, f"neurons {k}"))
            return
        if layer.pool.op.by == "maximum":
            raise ParameterError(f"{layer.pool.name}: NIR has no node for a maximum")
        if f"pooled {k}" not in self.nodes:
            self.nodes[f"pooled {k}"] = self._nir.AvgPool2d(**_window(layer.pool.op.side))
            self.edges.append((f"pooled {k}", f"neurons {k}"))
        self.edges.append((name, f"pooled {k}"))

    def _weights(self, op: Weights, gain: np.ndarray, bias: Any, given: tuple[int, ...]) -> Any:
        values = op.values * gain.reshape(-1, 1, 1, 1)
        constant = np.broadcast_to(bias, len(values)).astype(float)
        if op.geometry.kind == "dense" or (given[1:] == (1, 1) and op.geometry.depthwise):
            flat = np.diag(values.ravel()) if op.geometry.depthwise else values[:, :, 0, 0]
            return self._nir.Affine(weight=flat, bias=constant)
        if op.geometry.depthwise:
            n = len(values)
            values = np.eye(n)[:, :, None, None] * values
        axes = {"stride": op.geometry.stride, "padding": _padding(op.geometry), "dilation": op.geometry.dilation}
        more = {"groups": op.geometry.groups, "bias": constant}
        if not self._lines:
            return self._nir.Conv2d(input_shape=tuple(given[1:]), weight=values, **axes, **more)
        own = {name: of if isinstance(of, str) else int(np.ravel(of)[-1]) for name, of in axes.items()}
        return self._nir.Conv1d(input_shape=given[2], weight=values[:, :, 0], **own, **more)

    def _sizes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return a shape as NIR has it: features alone without positions, length alone where all are lines."""
        return shape[:1] if shape[1:] == (1, 1) else shape[::2] if self._lines else shape

    def _neurons(self, op: Lif, shape: tuple[int, ...]) -> Any:
        sizes, dt = self._sizes(shape), self._dt
        theta, beta = (np.broadcast_to(_column(x), shape).reshape(sizes).astype(float) for x in (op.threshold, op.beta))
        with np.errstate(divide="ignore"):
            tau = dt / (1 - beta)
        zero, r = np.zeros(sizes), np.where(np.isinf(tau), 1.0, tau / dt)
        silent, alpha = op.neuron.fire == "never", op.neuron.alpha
        leaks = {"v_leak": zero, "r": np.where(np.isinf(tau), np.inf, r)}
        fires = {} if silent else {"v_threshold": theta, "v_reset": zero}
        if silent:  # what is read is a membrane over its threshold
            leaks["r"] = leaks["r"] / theta
        if alpha is not None:
            if alpha == 1 or np.isinf(tau).any():
                raise ParameterError("alpha or beta = 1: NIR has no synaptic neurons without a leak")
            arrives = np.full(sizes, 1 / (1 - alpha))
            kind = self._nir.CubaLI if silent else self._nir.CubaLIF
            return kind(tau_syn=dt * arrives, tau_mem=tau, w_in=arrives, **leaks, **fires)
        if np.isinf(tau).all():
            r = np.full(sizes, 1 / dt)
            return self._nir.I(r=r / theta) if silent else self._nir.IF(r=r, **fires)
        return (self._nir.LI if silent else self._nir.LIF)(tau=tau, **leaks, **fires)


def _is_of_lines(graph: Graph) -> bool:
    """Whether all there is runs along one axis, as Conv1d does."""
    if any(isinstance(op, Pool) for op in graph.nodes.values()) or any(shape[1] > 1 for shape in graph.shapes.values()):
        return False
    weights = {name: op for name, op in graph.nodes.items() if isinstance(op, Weights)}
    long = any(graph.shapes[name][2] > 1 for name in weights)
    return long and all(op.geometry.sides[0] == 1 for op in weights.values())


def _padding(geometry: Geometry) -> int | tuple[int, int] | str:
    """Return the zeros at both ends of rows and columns, or a name where ends differ."""
    (top, bottom), (left, right) = geometry.margins
    if geometry.padding_mode != "zeros":
        raise ParameterError(f"padding_mode = {geometry.padding_mode!r}: NIR pads by zeros only; train the network so")
    if (top, left) == (bottom, right):
        return top if top == left else (top, left)
    if geometry.stride != 1:
        raise ParameterError(f"kernel = {geometry.kernel}: NIR has no uneven padding with a stride; give padding")
    return "same"


def _column(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1, 1, 1) if x.ndim == 1 else x


def _window(side: int | Pair) -> dict[str, np.ndarray]:
    return {"kernel_size": np.array(pair(side)), "stride": np.array(pair(side)), "padding": np.array([0, 0])}
