"""Layers out of an ``nn.Sequential`` with snnTorch neurons; snnTorch itself is not needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from mapping.importers.fields import check_lines, convolution, input_shape, neurons, numbers, window
from mapping.ir.graph import Edge, Graph
from mapping.ir.ops import Add, Input, Lif, Norm, Op, Pool, Weights
from mapping.ir.shapes import Geometry
from mapping.networks.finite import decays, plain
from xbarsim.errors import ParameterError

_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.MaxPool1d, nn.MaxPool2d)
_KNOWN = (
    nn.Conv1d, nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, *_POOLS, nn.Flatten, nn.Dropout,
    nn.Dropout2d, nn.Identity,
)  # fmt: skip
_NEURONS = ("Leaky", "Synaptic", "RLeaky", "RSynaptic")
_RESETS = {"subtract": "_base_sub", "zero": "_base_zero", "none": "_base_int"}  # snnTorch's functions


def graph_of_modules(module: nn.Module, shape: int | tuple[int, ...] | None) -> Graph:
    """Return the graph of an ``nn.Sequential`` for inputs of a shape, which dense weights tell themselves.

    Where it ends without neurons, what its weights give is read.
    """
    nodes: dict[str, Op] = {}
    edges: list[Edge] = []
    at, weights, normed = "input", None, False  # where it goes on; the last weights, and whether a batch norm followed
    membranes: set[int] = set()
    for name, part in _chain(module):
        what = f"module {name!r} ({type(part).__name__})"
        if isinstance(part, nn.Flatten | nn.Dropout | nn.Dropout2d | nn.Identity):
            continue
        before = nodes.get(weights or "")
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Linear):
            nodes[what], weights, normed = _of_weights(part, what), what, False
        elif isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            nodes[what], normed = _of_norm(part, what, before), True
        elif isinstance(part, _POOLS):
            pool = _of_pool(part, what)
            divisor = getattr(part, "divisor_override", None)
            if divisor is not None and (normed or not isinstance(before, Weights)):
                raise ParameterError(f"{what}: divisor_override is supported right after weights only")
            if divisor is not None and isinstance(before, Weights):
                nodes[str(weights)] = before.times(pool.area / divisor)
            if pool.side == 1:
                continue
            nodes[what] = pool
        else:
            if id(part) in membranes:
                raise ParameterError(f"{what}: occurs twice and would share its membrane; give each layer its own")
            membranes.add(id(part))
            nodes[what] = _of_neurons(part, what, before)
            if type(part).__name__.startswith("R"):
                nodes |= {f"{what}, back": _of_recurrence(part, what, before), f"{what}, sum": Add()}
                edges += [
                    Edge(at, f"{what}, sum"),
                    Edge(what, f"{what}, back", 1),
                    Edge(f"{what}, back", f"{what}, sum"),
                ]
                at = f"{what}, sum"
            weights = None
        edges.append(Edge(at, what))
        at = what
    if weights is not None:
        rules = {"reset_mechanism": "none", "fire": "never"}
        nodes["read-out"] = neurons(at, np.ones(()), np.zeros(()), **rules)
        edges.append(Edge(at, "read-out"))
    first = next(iter(nodes.values()), None)
    if shape is None and isinstance(first, Weights) and first.geometry.kind == "dense":
        shape = first.values.shape[1]
    lines = [name for name in nodes if name.endswith("1d)") and not isinstance(nodes[name], Norm)]
    graph = Graph({"input": Input(shape=input_shape(shape, bool(lines)))} | nodes, edges)
    check_lines(graph, lines)
    return graph


def _chain(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the modules one after the other, only those that compute what their class says."""
    if not isinstance(module, nn.Sequential) or _forward(module) is not nn.Sequential.forward:
        where = f"module {prefix.rstrip('.')!r} " if prefix else ""
        raise ParameterError(
            f"{where}({type(module).__name__}): its forward may compute anything, residual and recurrent "
            "paths included; give an nn.Sequential of its modules"
        )
    _refuse_hooks(module, f"module {prefix.rstrip('.')!r}")
    for name, part in module._modules.items():  # with those that occur twice
        if isinstance(part, nn.Sequential):
            yield from _chain(part, f"{prefix}{name}.")
            continue
        what = f"module {prefix + name!r} ({type(part).__name__})"
        neuron = type(part).__name__ in _NEURONS and type(part).__module__.startswith("snntorch")
        if part is None or not (neuron or any(_forward(part) is kind.forward for kind in _KNOWN)):
            raise ParameterError(f"{what}: is not supported, or has a forward of its own; see load_network for what is")
        _refuse_hooks(part, what)
        yield prefix + name, part


def _forward(module: nn.Module) -> Any:
    return type(module).forward


def _refuse_hooks(module: nn.Module, what: str) -> None:
    if module._forward_hooks or module._forward_pre_hooks:
        raise ParameterError(f"{what}: has forward hooks, which may compute anything; remove them")


def _of_weights(part: nn.Conv1d | nn.Conv2d | nn.Linear, what: str) -> Weights:
    values = numbers(plain(part.weight), what, "weight")
    bias = None if part.bias is None else numbers(plain(part.bias), what, "bias")
    if isinstance(part, nn.Linear):
        geometry = Geometry(kind="dense", out=len(values), bias=bias is not None)
        return Weights(geometry=geometry, values=values[:, :, None, None], levels="float", bias=bias)
    axes = {"stride": part.stride, "padding": part.padding, "dilation": part.dilation}
    return convolution(what, values, bias, part.groups, part.padding_mode, **axes)


def _of_norm(part: nn.BatchNorm1d | nn.BatchNorm2d, what: str, weights: Op | None) -> Norm:
    if part.running_mean is None or part.running_var is None:
        raise ParameterError(f"{what}: has no running statistics; train it with track_running_stats")
    if isinstance(weights, Weights) and len(part.running_mean) != len(weights.values):
        raise ParameterError(f"{what}: has {len(part.running_mean)} features, the layer {len(weights.values)} channels")
    mean = numbers(plain(part.running_mean), what, "running_mean")
    var = numbers(plain(part.running_var), what, "running_var", least=0)
    numbers(var + part.eps, what, "running_var + eps", above=0)
    return Norm(
        mean=mean,
        var=var,
        eps=part.eps,
        gamma=np.ones_like(mean) if part.weight is None else numbers(plain(part.weight), what, "weight"),
        shift=np.zeros_like(mean) if part.bias is None else numbers(plain(part.bias), what, "bias"),
    )


def _of_pool(part: Any, what: str) -> Pool:
    line = isinstance(part, nn.AvgPool1d | nn.MaxPool1d)
    steps = part.kernel_size if part.stride is None else part.stride
    side = window(part.kernel_size, steps, part.padding, what, line)
    if part.ceil_mode:
        raise ParameterError(f"{what}: ceil_mode is not supported; pad its input instead")
    if isinstance(part, nn.AvgPool1d | nn.AvgPool2d):
        return Pool(side=side, by="average")
    if np.any(np.not_equal(part.dilation, 1)):
        raise ParameterError(f"{what}: dilation is not supported")
    return Pool(side=side, by="maximum")


def _of_recurrence(part: Any, what: str, weights: Op | None) -> Weights:
    """Return what brings the spikes of a step back in the next one: dense, a convolution, or one to one."""
    if isinstance(part.recurrent, nn.Linear | nn.Conv1d | nn.Conv2d):
        return _of_weights(part.recurrent, f"{what}, recurrent")
    if not isinstance(weights, Weights):
        raise ParameterError(f"{what}: comes back one to one without weights before it; give it some")
    n = len(weights.values)
    values = numbers(plain(torch.as_tensor(part.recurrent.V)), what, "V").ravel()
    if len(values) not in (1, n if weights.geometry.kind == "dense" else 1):
        raise ParameterError(f"{what}: V has {len(values)} numbers; give one, or one for each of {n} dense neurons")
    each = np.broadcast_to(values, n).reshape(-1, 1, 1, 1).copy()
    return Weights(geometry=Geometry(kind="conv", out=n, depthwise=True), values=each, levels="float")


def _of_neurons(part: Any, what: str, weights: Op | None) -> Lif:
    rules: dict[str, Any] = {}
    if type(part).__name__ != "Leaky" and (part.reset_mechanism == "zero" or not part.reset_delay):
        raise ParameterError(
            f"{what}: reset to zero, which takes the current of the step too, and reset_delay = False are not "
            "supported here; use 'subtract' or 'none', one step later"
        )
    if type(part).__name__.endswith("Synaptic"):
        alpha = numbers(plain(decays(torch.as_tensor(part.alpha))), what, "alpha", least=0, most=1)
        if alpha.size != 1:
            raise ParameterError(f"{what}: alpha has {alpha.size} numbers; one for all neurons is supported")
        rules["alpha"] = float(alpha.ravel()[0])
    graded = getattr(part, "graded_spikes_factor", 1.0)
    if part.state_quant or float(torch.as_tensor(graded).detach().double().sub(1).abs().max()):
        raise ParameterError(f"{what}: quantized membranes and graded spikes are not supported")
    if part.state_function.__name__ != _RESETS[part.reset_mechanism]:
        raise ParameterError(
            f"{what}: reset_mechanism was changed after it was made, which its forward does not follow"
        )
    with torch.no_grad():
        fires = tuple(part.spike_grad(torch.tensor([-1.0, 0.0, 1.0])).tolist())
    if fires not in ((0, 0, 1), (0, 1, 1)):
        raise ParameterError(f"{what}: its spike_grad gives {fires} for membranes below, at and above the threshold")
    conv = isinstance(weights, Weights) and weights.geometry.kind == "conv"
    if part.inhibition and (conv or torch.as_tensor(part.threshold).unique().numel() > 1):
        raise ParameterError(f"{what}: inhibition is supported on dense layers with one threshold only")
    threshold = numbers(plain(torch.as_tensor(part.threshold)), what, "threshold", above=0)
    # its forward clamps decays too
    beta = numbers(plain(decays(torch.as_tensor(part.beta))), what, "beta", least=0, most=1)
    return neurons(
        what,
        threshold,
        beta,
        reset_mechanism=part.reset_mechanism,
        reset_delay=True if part.reset_delay else "snntorch",
        fire=">=" if fires[1] else ">",
        winner_take_all=bool(part.inhibition),
        **rules,
    )
