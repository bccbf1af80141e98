"""Layers out of a NIR file, the "neuromorphic intermediate representation".

J. E. Pedersen et al., Nature Communications 15, 8122 (2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mapping.importers.fields import input_shape, neurons, numbers, square, zeros_around
from mapping.ir.graph import Graph, layers_in
from mapping.ir.ops import Input, Lif, Op, Pool, Weights
from mapping.ir.shapes import Geometry
from xbarsim.apart import check_apart
from xbarsim.errors import UNREADABLE, FileError, ParameterError, brief, extra

_READ = "import sys, nir; nir.read(sys.argv[1], type_check=False)"
_FAR = 2.0  # from 1, as a gain that only the time step makes


def graph_of_nir(path: Path, shape: int | tuple[int, ...] | None, dt: float, how: dict[str, Any]) -> Graph:
    """Return the graph of a NIR file, for inputs of the shape given or of the file's own."""
    with extra("nir", f"{path}"):
        import nir
    check_apart(path, _READ, "NIR")
    try:
        try:
            graph = nir.read(path)
        except ValueError as error:  # also where shapes are written in several ways; build checks those that count
            if "Type inference error" not in str(error):
                raise
            graph = nir.read(path, type_check=False)
    except UNREADABLE as error:
        raise FileError(f"{path}: cannot be read as NIR ({brief(error)})") from None
    chain = [(f"{path}: node {name!r} ({type(node).__name__})", node) for name, node in _path(path, graph)]
    _check_gain(chain, dt)
    nodes: dict[str, Op] = {}
    weights: str | None = None  # which neurons have not followed yet
    flat, unflattened, outputs = False, [], None
    for what, node in chain:
        kind = type(node).__name__
        if kind == "Input":
            given = tuple(int(n) for n in np.ravel(next(iter(node.input_type.values()))))
            shape = shape or (given if len(given) in (1, 3) else None)
        elif kind == "Flatten":
            flat = True
        elif kind == "Output":
            outputs = what, int(np.prod(next(iter(node.output_type.values()))))
        elif kind in ("Linear", "Affine", "Conv2d"):
            nodes[what], weights = _of_weights(node, kind, what), what
            unflattened += [what] if kind != "Conv2d" and not flat else []
        elif kind in ("AvgPool2d", "SumPool2d", "Scale", "LIF", "IF", "Threshold"):
            before = nodes.get(weights or "")
            if not isinstance(before, Weights) or weights is None:
                raise ParameterError(f"{what}: comes without weights before it")
            if kind == "Scale":
                nodes[weights] = before.times(_positive(_numbers(node, "scale", what), what, "scale"))
            elif kind in ("AvgPool2d", "SumPool2d"):
                pool = _of_pool(node, what)
                nodes |= {what: pool} if pool.side > 1 else {}
                nodes[weights] = before.times(pool.side**2) if kind == "SumPool2d" else before
            else:
                nodes[weights], nodes[what] = _of_neurons(before, node, kind, what, dt, how)
                weights = None
        else:
            raise ParameterError(f"{what}: is not supported; see load_network for what is")
    layers_in(nodes)  # what is wrong with them, before their shapes
    first = next(iter(nodes.values()))
    if shape is None and isinstance(first, Weights) and first.geometry.kind == "dense":
        shape = first.values.shape[1]
    made = Graph.chain({"input": Input(shape=input_shape(shape))} | nodes)
    _check_shapes(made, unflattened, outputs)
    return made


def _check_shapes(graph: Graph, unflattened: Sequence[str], outputs: tuple[str, int] | None) -> None:
    """Refuse shapes that NIR does not have: dense weights after positions, neurons and outputs of other shapes."""
    for name in unflattened:
        before = graph.shapes[graph.before(name)[0].source]
        if before[1:] != (1, 1):
            raise ParameterError(f"{name}: takes inputs of shape {before} that nothing flattens; add a Flatten")
    for name, op in graph.nodes.items():
        for x in (op.threshold, op.beta) if isinstance(op, Lif) else ():
            shape = graph.shapes[name]
            if x.size > 1 and [n for n in x.shape if n > 1] != [n for n in shape if n > 1]:
                raise ParameterError(f"{name}: an array of shape {x.shape} for neurons of shape {shape}")
    last, weights = graph.layers()[-1].weights
    if outputs is not None and weights.geometry.kind == "dense":
        what, size = outputs
        if size != len(weights.values):
            raise ParameterError(f"{what}: has {size} numbers, {last} gives {len(weights.values)}")


def _check_gain(chain: list[tuple[str, Any]], dt: float) -> None:
    """Refuse a time step that brings the gain of IF nodes far from 1, where no leak tells that it is the right one."""
    nodes = [(what, node) for what, node in chain if type(node).__name__ == "IF"]
    leaks = any(np.isfinite(_numbers(node, "tau", what, infinite=True)).any() for what, node in chain if _leaks(node))
    if leaks or not nodes:
        return
    r = np.concatenate([_numbers(node, "r", what, above=0).ravel() for what, node in nodes])
    typical = float(np.exp(np.log(r).mean()))
    if not 1 / _FAR <= typical * dt <= _FAR:
        raise ParameterError(
            f"{nodes[0][0]}: the gain of IF nodes is r dt = {typical:.3g} x {dt:.3g} = {typical * dt:.3g}, far from 1, "
            f"and no LIF node tells the time step; give dt = {1 / typical:.3g}"
        )


def _leaks(node: Any) -> bool:
    return type(node).__name__ == "LIF"


def _path(path: Path, graph: Any) -> list[tuple[str, Any]]:
    """Return the nodes of a graph from input to output, if they form a chain."""
    following: dict[str, str] = {}
    reached: set[str] = set()
    for start, end in graph.edges:
        if start in following or end in reached:
            what = f"{start!r} has several successors" if start in following else f"{end!r} has several predecessors"
            raise ParameterError(f"{path}: node {what}; residual and recurrent networks are not supported")
        following[start] = end
        reached.add(end)
    starts = [name for name, node in graph.nodes.items() if name not in reached]
    if len(starts) != 1:
        raise ParameterError(f"{path}: the graph has {len(starts)} nodes without a predecessor; one chain is supported")
    chain = [starts[0]]
    while chain[-1] in following:
        chain.append(following[chain[-1]])
    if len(chain) != len(graph.nodes):
        left = sorted(graph.nodes.keys() - set(chain))
        raise ParameterError(
            f"{path}: node {left[0]!r} is not on the chain from the input; recurrence is not supported"
        )
    return [(name, graph.nodes[name]) for name in chain]


def _of_weights(node: Any, kind: str, what: str) -> Weights:
    values = _numbers(node, "weight", what)
    bias = _numbers(node, "bias", what) if kind in ("Affine", "Conv2d") else None
    if values.ndim != (4 if kind == "Conv2d" else 2) or (bias is not None and bias.shape != values.shape[:1]):
        shapes = [x.shape for x in (values, bias) if x is not None]
        raise ParameterError(f"{what}: weights and bias of shape {shapes}; give (out, in, ...) and (out,)")
    bias = None if bias is None or not bias.any() else bias
    if kind != "Conv2d":
        geometry = Geometry(kind="dense", out=len(values), bias=bias is not None)
        return Weights(geometry=geometry, values=values[:, :, None, None], levels="float", bias=bias)
    if square(node.dilation, what, "dilation") != 1 or node.groups != 1:
        raise ParameterError(f"{what}: dilation and groups are not supported")
    kernel = square(values.shape[-2:], what, "kernel")
    geometry = Geometry(
        kind="conv",
        out=len(values),
        kernel=kernel,
        padding=zeros_around(node.padding, kernel, what),
        stride=square(node.stride, what, "stride"),
        bias=bias is not None,
    )
    return Weights(geometry=geometry, values=values, levels="float", bias=bias)


def _of_pool(node: Any, what: str) -> Pool:
    pool = square(node.kernel_size, what, "kernel_size")
    if square(node.stride, what, "stride") != pool or square(node.padding, what, "padding"):
        raise ParameterError(f"{what}: only pooling with stride = kernel_size and no padding is supported")
    return Pool(side=pool, by="average")


def _of_neurons(
    weights: Weights, node: Any, kind: str, what: str, dt: float, how: dict[str, Any]
) -> tuple[Weights, Lif]:
    """Take U' = (1 - dt/tau) U + r dt/tau I + dt/tau v_leak; the gain moves into the threshold, the rest into the bias.

    Integrate-and-fire neurons have tau -> inf with r dt as gain; a threshold alone is one without memory.
    """
    theta = _numbers(node, "threshold" if kind == "Threshold" else "v_threshold", what, above=0)
    gain, decay = np.ones_like(theta), np.zeros_like(theta)
    if kind != "Threshold" and node.v_reset is not None and np.any(_numbers(node, "v_reset", what) != 0):
        raise ParameterError(f"{what}: v_reset other than 0 is not supported")
    if kind == "IF":
        decay, gain = np.ones_like(theta), _numbers(node, "r", what, above=0) * dt
    if kind == "LIF":
        tau, r = (_numbers(node, name, what, infinite=True, above=0) for name in ("tau", "r"))
        if np.any(np.not_equal(np.isinf(tau), np.isinf(r))):
            raise ParameterError(f"{what}: tau and r have to be finite, or infinite together for no leak")
        if not np.all(tau >= dt * (1 - 1e-6)):
            raise ParameterError(f"{what}: tau = {tau.min():g} s is shorter than dt = {dt:g} s; give a smaller dt")
        no_leak = np.isinf(tau)  # what snnTorch writes for beta = 1
        decay = np.clip(1 - dt / tau, 0, 1)
        gain = np.where(no_leak, 1.0, np.divide(r * dt, tau, where=~no_leak, out=np.ones(np.broadcast(r, tau).shape)))
        v_leak = _numbers(node, "v_leak", what)
        if np.any(v_leak != 0):
            weights = _with_leak(weights, v_leak / r, what)
    if not (np.all(gain > 0) and np.all(np.isfinite(gain))):
        raise ParameterError(f"{what}: r has to be above 0 and finite")
    gain = np.where(np.abs(gain - 1) < 1e-6, 1.0, gain)  # written in single precision
    threshold, decay = np.asarray(theta / gain), np.asarray(decay)
    rules = how | ({"reset_mechanism": "none"} if kind == "Threshold" else {})
    return weights, neurons(what, threshold, decay, **rules)


def _with_leak(weights: Weights, rest: np.ndarray, what: str) -> Weights:
    """Add the current that stands for a resting potential to the bias."""
    n_out = len(weights.values)
    rest = rest.reshape(1 if rest.size == 1 else n_out, -1)
    if not np.allclose(rest, rest[:, :1], rtol=1e-6, atol=0):
        raise ParameterError(f"{what}: v_leak / r has to be one number for each output channel")
    bias = (np.zeros(n_out) if weights.bias is None else weights.bias) + rest[:, 0]
    return replace(weights, bias=bias, geometry=weights.geometry.replace(bias=True))


def _numbers(node: Any, name: str, what: str, *, infinite: bool = False, **limits: float) -> np.ndarray:
    """Return a field of a node in double precision, as :func:`numbers`."""
    given = np.asarray(getattr(node, name))
    if given.dtype.kind not in "biufc" or not given.size:
        raise ParameterError(f"{what}, tensor {name!r} is of type {given.dtype} and shape {given.shape}; give numbers")
    numbers(np.where(given == np.inf, 1, given) if infinite else given, what, name, **limits)
    return given.astype(float)


def _positive(value: np.ndarray, what: str, name: str) -> float:
    if np.unique(value).size != 1 or np.min(value) <= 0:
        raise ParameterError(f"{what}: {name} has to be one number above 0")
    return float(np.ravel(value)[0])
