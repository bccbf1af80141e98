"""Networks in NIR, the "neuromorphic intermediate representation", as graphs.

J. E. Pedersen et al., Nature Communications 15, 8122 (2024).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mapping.importers.fields import check_lines, convolution, input_shape, neurons, window
from mapping.importers.nir_file import NirGraph, NirNode, read_nir
from mapping.ir.graph import Edge, Graph
from mapping.ir.ops import Add, Gather, Input, Lif, Norm, Op, Pool, Weights
from mapping.ir.shapes import Geometry
from xbarsim.errors import ParameterError

_FAR = 2.0  # from 1, as a gain that only the time step makes
_NEURONS = ("IF", "LIF", "CubaLIF", "Threshold", "LI", "CubaLI", "I")
_TAPS = {"Conv1d": 3, "Conv2d": 4}  # axes of weights
_WIRES = ("Flatten", "Output", "Identity", "Delay")


def graph_of_nir(
    source: Any, shape: int | tuple[int, ...] | None, dt: float, how: dict[str, Any]
) -> tuple[Graph, list[str]]:
    """Return the graph of a NIR file, or ``nir.NIRGraph``, for inputs of the shape given or its own, and its outputs.

    Edges that close a loop are taken one time step later. Of several inputs the channels follow each other.
    """
    given = read_nir(source)
    _check_gain(given, dt)
    made = _Imported(given, shape, dt, how)
    return made.graph(), made.outputs


class _Imported:
    """The graph that is made: ``nodes``, and ``edges`` with their delays."""

    def __init__(self, given: NirGraph, shape: int | tuple[int, ...] | None, dt: float, how: dict[str, Any]) -> None:
        self.given, self.dt, self.how = given, dt, how
        self.lines = [node.what for node in given.nodes.values() if node.kind == "Conv1d"]
        self.nodes: dict[str, Op] = {}
        self.constants: dict[str, np.ndarray] = {}  # of neurons, what their resting potential adds
        self.late = late_edges(given)
        self.called = {name: node.what for name, node in given.nodes.items()}
        self._inputs(shape)
        for name, node in given.nodes.items():
            if node.kind not in ("Input", *_WIRES):
                self.nodes[node.what] = self._op(node)
                for source, delay, flat in self._sources(name):
                    if isinstance(self.nodes[node.what], Weights) and node.kind not in _TAPS and not flat:
                        self.unflattened.append((source, node.what))
                    self.edges.append(Edge(source, node.what, delay))
        self._readouts()

    def _inputs(self, given: int | tuple[int, ...] | None) -> None:
        """Add what drives the network: one input, of which several inputs are some channels each."""
        self.edges: list[Edge] = []
        self.unflattened: list[tuple[str, str]] = []
        inputs = {name: node for name, node in self.given.nodes.items() if node.kind == "Input"}
        if not inputs:
            raise ParameterError(f"{self.given.label}: has no Input node; give one")
        if len(inputs) == 1:
            (name,) = inputs
            stored = self._shape_of(inputs[name])
            weights = [self.given.nodes[after] for after in self.given.after(name)]
            if given is None and stored is None and weights[0].kind in ("Linear", "Affine"):
                given = weights[0].numbers("weight").shape[1]
            self.called[name] = "input"
            self.nodes["input"] = Input(shape=input_shape(stored if given is None else given, bool(self.lines)))
            return
        shapes = [input_shape(self._shape_of(node), bool(self.lines)) for node in inputs.values()]
        if len({shape[1:] for shape in shapes}) > 1:
            raise ParameterError(f"{self.given.label}: has inputs of the shapes {shapes}; sizes have to be alike")
        channels = np.cumsum([0, *(shape[0] for shape in shapes)])
        whole = (int(channels[-1]), *shapes[0][1:])
        self.nodes["input"] = Input(shape=whole)
        numbers = np.arange(np.prod(whole)).reshape(whole)
        for node, shape, first, last in zip(inputs.values(), shapes, channels, channels[1:]):
            self.nodes[node.what] = Gather(shape=shape, table=numbers[first:last].reshape(-1, 1))
            self.edges.append(Edge("input", node.what))

    def _shape_of(self, node: NirNode) -> tuple[int, ...] | None:
        """Return the shape of an input or output node, if it says one that is of use."""
        stored = node.fields.get("shape", node.fields.get("input_type", node.fields.get("output_type")))
        if isinstance(stored, dict):
            stored = next(iter(stored.values()))
        if stored is None:
            return None
        shape = tuple(int(n) for n in np.ravel(stored))
        return shape if len(shape) in (1, 2 if self.lines else 3, 3) else None

    def _sources(self, name: str, delay: int = 0, flat: bool = False) -> list[tuple[str, int, bool]]:
        """Return what a node takes in, past wires: from which nodes, how late, and whether it is flattened."""
        found = []
        for before in self.given.before(name):
            node, late = self.given.nodes[before], delay + ((before, name) in self.late)
            if node.kind in _WIRES:
                late += self._steps(node) if node.kind == "Delay" else 0
                found += self._sources(before, late, flat or node.kind == "Flatten")
            else:
                found.append((self.called[before], late, flat))
        if not found:
            raise ParameterError(f"{self.given.nodes[name].what}: nothing leads to it from the input")
        return found

    def _steps(self, node: NirNode) -> int:
        """Return the delay of a node in time steps."""
        delay = np.unique(node.numbers("delay", least=0))
        if len(delay) > 1:
            raise ParameterError(f"{node.what}: delays by {delay.min():g} to {delay.max():g} s; give one delay")
        return round(float(delay[0]) / self.dt)

    def _op(self, node: NirNode) -> Op:
        if node.kind in ("Linear", "Affine", *_TAPS):
            return _of_weights(node)
        if node.kind in ("AvgPool2d", "SumPool2d"):
            return _of_pool(node)
        if node.kind == "Scale":
            scale = node.numbers("scale").ravel()
            none = np.zeros(len(scale))
            return Norm(mean=none, var=none + 1, gamma=scale, shift=none, eps=0.0)
        if node.kind not in _NEURONS:
            raise ParameterError(f"{node.what}: is not supported; see load_network for what is")
        op, constant = _of_neurons(node, self.dt, self.how)
        if constant is not None:
            self.constants[node.what] = constant
        return op

    def _readouts(self) -> None:
        """Find the outputs, with neurons that never fire behind weights: their membranes are what weights give."""
        self.outputs: list[str] = []
        for name, node in self.given.nodes.items():
            if node.kind != "Output":
                continue
            (source, delay, _), *others = self._sources(name)
            if others or delay:
                what = "adds up what several nodes give" if others else "comes late"
                raise ParameterError(f"{node.what}: {what}; let an output follow one node, without a delay")
            if isinstance(self.nodes[source], Weights):
                rules, at = self.how | {"reset_mechanism": "none", "fire": "never"}, f"{source}, read-out"
                self.nodes[at] = neurons(source, np.ones(()), np.zeros(()), **rules)
                self.edges.append(Edge(source, at))
                source = at
            self.outputs.append(source)

    def graph(self) -> Graph:
        """Return all that was added: sums where nodes take in several, scales of any size, resting potentials."""
        nodes, edges = dict(self.nodes), list(self.edges)
        for name in self.nodes:
            several = [edge for edge in edges if edge.target == name]
            if len(several) > 1:
                nodes[f"{name}, sum"] = Add()
                edges = [edge._replace(target=f"{name}, sum") if edge in several else edge for edge in edges]
                edges.append(Edge(f"{name}, sum", name))
        sized = {name: op for name, op in nodes.items() if isinstance(op, Norm) and len(op.mean) == 1}
        if sized:
            shapes = Graph({k: Op() if k in sized else op for k, op in nodes.items()}, edges).shapes
            nodes |= {name: _repeated(op, shapes[name][0]) for name, op in sized.items()}
        made = Graph(nodes, edges)
        check_lines(made, self.lines)
        self._check_shapes(made)
        return self._rested(made)

    def _rested(self, graph: Graph) -> Graph:
        """Add the currents that stand for resting potentials: to a bias, or as constants of their own."""
        nodes, edges = dict(graph.nodes), list(graph.edges)
        for name, constant in self.constants.items():
            (edge,), channels = graph.before(name), graph.shapes[name][0]
            each = constant.reshape(1 if constant.size == 1 else channels, -1)
            if not np.allclose(each, each[:, :1], rtol=1e-6, atol=0):
                raise ParameterError(f"{name}: v_leak / r has to be one number for each output channel")
            shift = np.broadcast_to(each[:, 0], channels).copy()
            before = nodes[edge.source]
            if isinstance(before, Weights) and len(graph.after(edge.source)) == 1:
                bias = shift if before.bias is None else before.bias + shift
                nodes[edge.source] = replace(before, bias=bias, geometry=before.geometry.replace(bias=True))
                continue
            ones = np.ones(channels)
            nodes[f"{name}, rest"] = Norm(mean=0 * ones, var=ones, gamma=ones, shift=shift, eps=0.0)
            edges[edges.index(edge)] = edge._replace(target=f"{name}, rest")
            edges.append(Edge(f"{name}, rest", name))
        return Graph(nodes, edges)

    def _check_shapes(self, graph: Graph) -> None:
        """Refuse shapes that NIR does not have: dense weights after positions, neurons and outputs of other shapes."""
        for source, name in self.unflattened:
            if graph.shapes[source][1:] != (1, 1):
                raise ParameterError(
                    f"{name}: takes inputs of shape {graph.shapes[source]} that nothing flattens; add a Flatten"
                )
        for name, op in graph.nodes.items():
            for x in (op.threshold, op.beta) if isinstance(op, Lif) else ():
                shape = graph.shapes[name]
                if x.size > 1 and [n for n in x.shape if n > 1] != [n for n in shape if n > 1]:
                    raise ParameterError(f"{name}: an array of shape {x.shape} for neurons of shape {shape}")
        for name, node in self.given.nodes.items():
            stored = self._shape_of(node) if node.kind == "Output" else None
            if stored is None:
                continue
            for source, _, _ in self._sources(name):
                size, gives = int(np.prod(stored)), int(np.prod(graph.shapes[source]))
                if graph.shapes[source][1:] == (1, 1) and size != gives:
                    raise ParameterError(f"{node.what}: has {size} numbers, {source} gives {gives}")


def _repeated(op: Norm, n: int) -> Norm:
    """Return a scale that is one number for so many channels."""
    mean, var, gamma, shift = (np.repeat(x, n) for x in (op.mean, op.var, op.gamma, op.shift))
    return Norm(mean=mean, var=var, gamma=gamma, shift=shift, eps=op.eps)


def late_edges(given: NirGraph) -> set[tuple[str, str]]:
    """Return the edges out of neurons that close a loop: they lead to neurons that are no further from the input."""
    rank = {name: 0 for name, node in given.nodes.items() if node.kind == "Input"}
    frontier = list(rank)
    while frontier:
        reached = []
        for name in frontier:
            for after in given.after(name):
                if after not in rank:
                    rank[after] = rank[name] + (given.nodes[after].kind in _NEURONS)
                    reached.append(after)
        frontier = reached
    loops = _loops(given)
    late = set()
    for name, node in given.nodes.items():
        if node.kind in _NEURONS and name in rank:
            late |= {(name, to) for to in given.after(name) if _comes_back(given, rank, loops, name, to)}
    return late


def _loops(given: NirGraph) -> dict[str, int]:
    """Return numbers of nodes that are the same for those that reach each other."""
    number = {name: k for k, name in enumerate(given.nodes)}
    before, after = np.array([[number[start], number[end]] for start, end in given.edges], int).reshape(-1, 2).T
    edges = coo_array((np.ones(len(before)), (before, after)), (len(number), len(number)))
    _, of = connected_components(edges, connection="strong")
    return {name: int(of[k]) for name, k in number.items()}


def _comes_back(given: NirGraph, rank: dict[str, int], loops: dict[str, int], name: str, after: str) -> bool:
    """Whether what a neuron gives to a node reaches neurons of its loop that are no further from the input."""
    seen, frontier = set(), [after]
    while frontier:
        at = frontier.pop()
        if at in seen or loops[at] != loops[name]:
            continue
        seen.add(at)
        if given.nodes[at].kind in _NEURONS:
            if rank.get(at, 0) <= rank[name]:
                return True
        else:
            frontier += given.after(at)
    return False


def _check_gain(given: NirGraph, dt: float) -> None:
    """Refuse a time step that brings the gain of IF nodes far from 1, where no leak tells that it is the right one."""
    nodes = [node for node in given.nodes.values() if node.kind == "IF"]
    leaky = [(node, "tau") for node in given.nodes.values() if node.kind in ("LIF", "LI")]
    leaky += [(node, "tau_mem") for node in given.nodes.values() if node.kind in ("CubaLIF", "CubaLI")]
    if not nodes or any(np.isfinite(node.numbers(name, infinite=True)).any() for node, name in leaky):
        return
    r = np.concatenate([node.numbers("r", above=0).ravel() for node in nodes])
    typical = float(np.exp(np.log(r).mean()))
    if not 1 / _FAR <= typical * dt <= _FAR:
        raise ParameterError(
            f"{nodes[0].what}: the gain of IF nodes is r dt = {typical:.3g} x {dt:.3g} = {typical * dt:.3g}, far from "
            f"1, and no LIF node tells the time step; give dt = {1 / typical:.3g}"
        )


def _of_weights(node: NirNode) -> Weights:
    values = node.numbers("weight")
    bias = node.numbers("bias") if node.kind != "Linear" and node.has("bias") else None
    if values.ndim != _TAPS.get(node.kind, 2) or (bias is not None and bias.shape != values.shape[:1]):
        shapes = [x.shape for x in (values, bias) if x is not None]
        raise ParameterError(f"{node.what}: weights and bias of shape {shapes}; give (out, in, ...) and (out,)")
    bias = None if bias is None or not bias.any() else bias
    if node.kind not in _TAPS:
        geometry = Geometry(kind="dense", out=len(values), bias=bias is not None)
        return Weights(geometry=geometry, values=values[:, :, None, None], levels="float", bias=bias)
    axes = {name: node.fields[name] for name in ("stride", "padding", "dilation")}
    return convolution(node.what, values, bias, int(node.fields["groups"]), **axes)


def _of_pool(node: NirNode) -> Pool:
    kernel_size, stride, padding = (node.fields[name] for name in ("kernel_size", "stride", "padding"))
    return Pool(
        side=window(kernel_size, stride, padding, node.what), by="average" if node.kind == "AvgPool2d" else "sum"
    )


def _of_neurons(node: NirNode, dt: float, how: dict[str, Any]) -> tuple[Lif, np.ndarray | None]:
    """Return neurons, and the current that stands for their resting potential if that is not 0.

    U' = (1 - dt/tau) U + r dt/tau I + dt/tau v_leak, of which the gain moves into the threshold. Synaptic currents
    are C' = (1 - dt/tau_syn) C + w_in dt/tau_syn I. Integrators have tau -> inf with r dt as gain; a threshold alone is
    a neuron without memory. Neurons start from the potential that they are reset to, from which all others are counted.
    """
    fires = node.kind in ("IF", "LIF", "CubaLIF", "Threshold")
    if fires:
        theta = node.numbers("threshold" if node.kind == "Threshold" else "v_threshold")
    else:
        theta = np.ones_like(node.numbers("r"))
        how = how | {"reset_mechanism": "none", "fire": "never"}
    rest = np.zeros_like(theta)
    if fires and node.has("v_reset"):
        rest = node.numbers("v_reset")
    if rest.any() and how["reset_mechanism"] != "zero":
        raise ParameterError(f"{node.what}: v_reset is not 0, to which only reset_mechanism = 'zero' resets")
    if np.any(theta - rest <= 0):
        name = "threshold" if node.kind == "Threshold" else "v_threshold"
        raise ParameterError(f"{node.what}: {name} has to be above {'v_reset' if rest.any() else 0}")
    theta = theta - rest
    gain, decay, constant = np.ones_like(theta), np.zeros_like(theta), None
    if node.kind == "Threshold":
        how = how | {"reset_mechanism": "none"}
    if node.kind in ("IF", "I"):
        decay, gain = np.ones_like(theta), node.numbers("r", above=0) * dt
    if node.kind.startswith("Cuba"):
        alpha, arrives = _decay(node, "tau_syn", dt)
        if np.ptp(alpha) > 1e-6:
            raise ParameterError(f"{node.what}: tau_syn has to be one number for all neurons")
        how = how | {"alpha": float(np.ravel(alpha)[0])}
        gain = gain * arrives * (node.numbers("w_in", above=0) if node.has("w_in") else 1)
    if node.kind in ("LIF", "LI", "CubaLIF", "CubaLI"):
        tau = "tau_mem" if node.kind.startswith("Cuba") else "tau"
        decay, arrives = _decay(node, tau, dt)
        r, no_leak = node.numbers("r", infinite=True, above=0), arrives == 0
        if np.any(np.not_equal(no_leak, np.isinf(r))):
            raise ParameterError(f"{node.what}: {tau} and r have to be finite, or infinite together for no leak")
        gain = gain * np.where(no_leak, 1.0, np.where(no_leak, 1.0, r) * arrives)
        leak = node.numbers("v_leak") - rest
        if np.any(leak != 0):
            if "alpha" in how:
                raise ParameterError(f"{node.what}: v_leak has to be v_reset, or 0, where currents are synaptic")
            constant = leak / r
    gain = np.where(np.abs(gain - 1) < 1e-6, 1.0, gain)  # written in single precision
    if not (np.all(gain > 0) and np.all(np.isfinite(gain))):
        raise ParameterError(f"{node.what}: r has to be above 0 and finite")
    return neurons(node.what, np.asarray(theta / gain), np.asarray(decay), **how), constant


def _decay(node: NirNode, name: str, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Return what is left after a time step, and what of an input arrives in it; of no leak, all and nothing."""
    tau = node.numbers(name, infinite=True, above=0)
    if not np.all(tau >= dt * (1 - 1e-6)):
        raise ParameterError(f"{node.what}: {name} = {tau.min():g} s is shorter than dt = {dt:g} s; give a smaller dt")
    return np.clip(1 - dt / tau, 0, 1), dt / tau
