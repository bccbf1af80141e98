"""Layers out of an ``nn.Sequential`` with snnTorch neurons; snnTorch itself is not needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from mapping.importers.fields import check_lines, input_shape, neurons, numbers
from mapping.importers.torch_ops import convolution, norm, pool, product
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
NEURONS = ("Leaky", "Synaptic", "RLeaky", "RSynaptic")
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
            pooling = _of_pool(part, what)
            divisor = getattr(part, "divisor_override", None)
            if divisor is not None and (normed or not isinstance(before, Weights)):
                raise ParameterError(f"{what}: divisor_override is supported right after weights only")
            if divisor is not None and isinstance(before, Weights):
                nodes[str(weights)] = before.times(pooling.area / divisor)
            if pooling.side == 1:
                continue
            nodes[what] = pooling
        else:
            if id(part) in membranes:
                raise ParameterError(f"{what}: occurs twice and would share its membrane; give each layer its own")
            membranes.add(id(part))
            nodes[what] = neurons_of(part, what, before, type(part).__name__)
            if type(part).__name__.startswith("R"):
                nodes |= {f"{what}, back": recurrence_of(part, what, before), f"{what}, sum": Add()}
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
            f"{where}({type(module).__name__}): its forward may compute anything; give sample=a batch of inputs, on "
            "which it is run to find out"
        )
    _refuse_hooks(module, f"module {prefix.rstrip('.')!r}")
    for name, part in module._modules.items():  # with those that occur twice
        if isinstance(part, nn.Sequential):
            yield from _chain(part, f"{prefix}{name}.")
            continue
        what = f"module {prefix + name!r} ({type(part).__name__})"
        neuron = type(part).__name__ in NEURONS and type(part).__module__.startswith("snntorch")
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
    if isinstance(part, nn.Linear):
        return product(what, part.weight, part.bias)
    axes = {"stride": part.stride, "padding": part.padding, "dilation": part.dilation}
    return convolution(what, part.weight, part.bias, part.groups, part.padding_mode, **axes)


def _of_norm(part: nn.BatchNorm1d | nn.BatchNorm2d, what: str, weights: Op | None) -> Norm:
    found = norm(what, part.running_mean, part.running_var, part.weight, part.bias, part.eps)
    if isinstance(weights, Weights) and len(found.mean) != len(weights.values):
        raise ParameterError(f"{what}: has {len(found.mean)} features, the layer {len(weights.values)} channels")
    return found


def _of_pool(part: Any, what: str) -> Pool:
    maximum, dilation = isinstance(part, nn.MaxPool1d | nn.MaxPool2d), getattr(part, "dilation", 1)
    line = isinstance(part, nn.AvgPool1d | nn.MaxPool1d)
    return pool(what, maximum, part.kernel_size, part.stride, part.padding, dilation, part.ceil_mode, line)


def recurrence_of(part: Any, what: str, weights: Op | None) -> Weights:
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


def neurons_of(part: Any, what: str, weights: Op | None, kind: str) -> Lif:
    """Return the neurons of a module of some kind that follow such weights."""
    rules: dict[str, Any] = {}
    if kind != "Leaky" and (part.reset_mechanism == "zero" or not part.reset_delay):
        raise ParameterError(
            f"{what}: reset to zero, which takes the current of the step too, and reset_delay = False are not "
            "supported here; use 'subtract' or 'none', one step later"
        )
    if kind.endswith("Synaptic"):
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
