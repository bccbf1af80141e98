"""Layers out of a NIR file, the "neuromorphic intermediate representation".

J. E. Pedersen et al., Nature Communications 15, 8122 (2024).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mapping.bsnn.chain import Gathered, square, zeros_around
from mapping.bsnn.finite import fault
from xbarsim.apart import check_apart
from xbarsim.errors import UNREADABLE, FileError, ParameterError, brief, extra

_READ = "import sys, nir; nir.read(sys.argv[1], type_check=False)"
_FAR = 2.0  # from 1, as a gain that only the time step makes


def layers_of_nir(path: Path, dt: float, how: dict[str, Any]) -> tuple[list[Gathered], tuple[int, ...] | None]:
    """Gather the layers of a NIR file, and the shape of its input."""
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
    layers: list[Gathered] = []
    open_layer: Gathered | None = None
    shape, flattened = None, False
    chain = [(f"{path}: node {name!r} ({type(node).__name__})", node) for name, node in _path(path, graph)]
    _check_gain(chain, dt)
    for what, node in chain:
        kind = type(node).__name__
        if kind == "Input":
            given = tuple(int(n) for n in np.ravel(next(iter(node.input_type.values()))))
            shape = given if len(given) in (1, 3) else None
        elif kind == "Flatten":
            flattened = True
        elif kind == "Output":
            _check_output(layers, node, what)
        elif kind in ("Linear", "Affine", "Conv2d"):
            if open_layer is not None:
                raise ParameterError(f"{what}: follows {open_layer.name} without neurons between them")
            open_layer = _of_weights(node, kind, what)
            open_layer.flattened = flattened
        elif kind in ("AvgPool2d", "SumPool2d", "Scale", "LIF", "IF", "Threshold"):
            if open_layer is None:
                raise ParameterError(f"{what}: comes without weights before it")
            if kind in ("AvgPool2d", "SumPool2d"):
                _take_pool_node(open_layer, node, kind, what)
            elif kind == "Scale":
                open_layer.gain *= _positive(_numbers(node, "scale", what), what, "scale")
            else:
                _take_neurons(open_layer, node, kind, what, dt, how)
                layers.append(open_layer)
                open_layer = None
        else:
            raise ParameterError(f"{what}: is not supported; see load_network for what is")
    if open_layer is not None:
        raise ParameterError(f"{open_layer.name}: has no neurons after it")
    return layers, shape


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


def _check_output(layers: list[Gathered], node: Any, what: str) -> None:
    """Refuse an output that has not as many numbers as the last layer, where no positions change their number."""
    size = int(np.prod(next(iter(node.output_type.values()))))
    if layers and layers[-1].kind == "dense" and size != len(layers[-1].weight):
        raise ParameterError(f"{what}: has {size} numbers, {layers[-1].name} gives {len(layers[-1].weight)}")


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


def _of_weights(node: Any, kind: str, what: str) -> Gathered:
    weight = torch.from_numpy(_numbers(node, "weight", what))
    bias = torch.from_numpy(_numbers(node, "bias", what)) if kind in ("Affine", "Conv2d") else None
    if weight.ndim != (4 if kind == "Conv2d" else 2) or (bias is not None and bias.shape != weight.shape[:1]):
        shapes = [tuple(x.shape) for x in (weight, bias) if x is not None]
        raise ParameterError(f"{what}: weights and bias of shape {shapes}; give (out, in, ...) and (out,)")
    bias = None if bias is None or not bias.any() else bias
    if kind != "Conv2d":
        return Gathered(what, "dense", weight, bias, strict=True)
    if square(node.dilation, what, "dilation") != 1 or node.groups != 1:
        raise ParameterError(f"{what}: dilation and groups are not supported")
    side = square(weight.shape[-2:], what, "kernel")
    padding = zeros_around(node.padding, side, what)
    stride = square(node.stride, what, "stride")
    return Gathered(what, "conv", weight, bias, stride=stride, padding=padding, strict=True)


def _take_pool_node(layer: Gathered, node: Any, kind: str, what: str) -> None:
    pool = square(node.kernel_size, what, "kernel_size")
    if square(node.stride, what, "stride") != pool or square(node.padding, what, "padding") or layer.pool > 1:
        raise ParameterError(f"{what}: only one pooling per layer, with stride = kernel_size and no padding")
    layer.pool = pool
    layer.gain *= pool**2 if kind == "SumPool2d" else 1


def _take_neurons(layer: Gathered, node: Any, kind: str, what: str, dt: float, how: dict[str, Any]) -> None:
    """Take U' = (1 - dt/tau) U + r dt/tau I + dt/tau v_leak; the gain moves into the threshold.

    Integrate-and-fire neurons have tau -> inf with r dt as gain; a threshold alone is one without memory.
    """
    theta = _numbers(node, "threshold" if kind == "Threshold" else "v_threshold", what, above=0)
    gain, decay = np.ones_like(theta), np.zeros_like(theta)
    layer.neuron = how | ({"reset_mechanism": "none"} if kind == "Threshold" else {})
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
            _take_leak(layer, v_leak / r / layer.gain, what)
    if not (np.all(gain > 0) and np.all(np.isfinite(gain))):
        raise ParameterError(f"{what}: r has to be above 0 and finite")
    gain = np.where(np.abs(gain - 1) < 1e-6, 1.0, gain)  # written in single precision
    layer.threshold, layer.beta = torch.from_numpy(np.asarray(theta / gain)), torch.from_numpy(np.asarray(decay))


def _take_leak(layer: Gathered, rest: np.ndarray, what: str) -> None:
    """Add the current that stands for a resting potential to the bias."""
    rest = rest.reshape(1 if rest.size == 1 else len(layer.weight), -1)
    if not np.allclose(rest, rest[:, :1], rtol=1e-6, atol=0):
        raise ParameterError(f"{what}: v_leak / r has to be one number for each output channel")
    before = torch.zeros(len(layer.weight), dtype=torch.float64) if layer.bias is None else layer.bias
    layer.bias = before + torch.from_numpy(rest[:, 0].copy())


def _numbers(node: Any, name: str, what: str, *, infinite: bool = False, **limits: float) -> np.ndarray:
    """Return a field of a node in double precision; refuse it, by their names, for a :func:`fault`."""
    given = np.asarray(getattr(node, name))
    if given.dtype.kind not in "biufc" or not given.size:
        raise ParameterError(f"{what}, tensor {name!r} is of type {given.dtype} and shape {given.shape}; give numbers")
    whole = given.astype(complex if given.dtype.kind == "c" else float)
    wrong = fault(torch.from_numpy(np.where(whole == np.inf, 1, whole) if infinite else whole), **limits)
    if wrong is not None:
        raise ParameterError(f"{what}, tensor {name!r} {wrong}")
    return whole


def _positive(value: np.ndarray, what: str, name: str) -> float:
    if np.unique(value).size != 1 or np.min(value) <= 0:
        raise ParameterError(f"{what}: {name} has to be one number above 0")
    return float(np.ravel(value)[0])
