"""Layers out of an ``nn.Sequential`` with snnTorch neurons; snnTorch itself is not needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from mapping.bsnn.chain import Gathered, square, zeros_around
from xbarsim.errors import ParameterError


def layers_of_modules(module: nn.Module) -> list[Gathered]:
    """Gather the layers of an ``nn.Sequential``."""
    layers: list[Gathered] = []
    open_layer: Gathered | None = None
    for name, part in _chain(module):
        kind = type(part).__name__
        what = f"module {name!r} ({kind})"
        if isinstance(part, nn.Flatten | nn.Dropout | nn.Dropout2d | nn.Identity):
            continue
        if isinstance(part, nn.Conv2d | nn.Linear):
            if open_layer is not None:
                raise ParameterError(f"{what}: follows {open_layer.name} without neurons between them")
            open_layer = _of_conv(part, what) if isinstance(part, nn.Conv2d) else Gathered(what, "dense", part.weight)
            open_layer.bias = None if part.bias is None else part.bias.detach()
        elif kind == "Leaky" and type(part).__module__.startswith("snntorch"):
            if open_layer is None:
                raise ParameterError(f"{what}: neurons without weights before them")
            _take_leaky(open_layer, part, what)
            layers.append(open_layer)
            open_layer = None
        elif isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.AvgPool2d | nn.MaxPool2d):
            if open_layer is None:
                raise ParameterError(f"{what}: comes after neurons; it has to lie between weights and neurons")
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                _take_norm(open_layer, part, what)
            else:
                _take_pool(open_layer, part, what)
        else:
            raise ParameterError(f"{what}: is not supported; see load_network for what is")
    if open_layer is not None:
        raise ParameterError(f"{open_layer.name}: has no neurons after it")
    return layers


def _chain(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    if not isinstance(module, nn.Sequential):
        raise ParameterError(
            f"{type(module).__name__}: its forward may compute anything, residual and recurrent paths included; "
            "give an nn.Sequential of its modules"
        )
    for name, part in module.named_children():
        if isinstance(part, nn.Sequential):
            yield from _chain(part, f"{prefix}{name}.")
        else:
            yield prefix + name, part


def _of_conv(part: nn.Conv2d, what: str) -> Gathered:
    kernel = square(part.kernel_size, what, "kernel_size")
    if square(part.dilation, what, "dilation") != 1 or part.groups != 1 or part.padding_mode != "zeros":
        raise ParameterError(f"{what}: dilation, groups and padding other than by zeros are not supported")
    padding = zeros_around(part.padding, kernel, what)
    return Gathered(what, "conv", part.weight, stride=square(part.stride, what, "stride"), padding=padding)


def _take_norm(layer: Gathered, part: nn.BatchNorm1d | nn.BatchNorm2d, what: str) -> None:
    if part.running_mean is None or part.running_var is None:
        raise ParameterError(f"{what}: has no running statistics; train it with track_running_stats")
    if layer.norm is not None:
        raise ParameterError(f"{what}: is the second batch norm of a layer")
    ones = torch.ones_like(part.running_mean)
    layer.norm = {
        "mean": part.running_mean,
        "var": part.running_var,
        "eps": torch.tensor(part.eps, dtype=torch.float64),
        "weight": ones if part.weight is None else part.weight.detach(),
        "bias": 0 * ones if part.bias is None else part.bias.detach(),
    }


def _take_pool(layer: Gathered, part: nn.AvgPool2d | nn.MaxPool2d, what: str) -> None:
    pool = square(part.kernel_size, what, "kernel_size")
    steps = pool if part.stride is None else square(part.stride, what, "stride")
    if steps != pool or square(part.padding, what, "padding") or part.ceil_mode or layer.pool > 1:
        raise ParameterError(f"{what}: only one pooling per layer, with stride = kernel_size and no padding")
    layer.pool = pool
    if isinstance(part, nn.MaxPool2d):
        layer.pool_by = "maximum"
        if layer.norm is not None and bool((layer.norm["weight"] < 0).any()):
            raise ParameterError(f"{what}: follows a batch norm with weights below 0; put the pooling before it")


def _take_leaky(layer: Gathered, part: Any, what: str) -> None:
    if part.state_quant or float(torch.as_tensor(part.graded_spikes_factor).detach().double().sub(1).abs().max()):
        raise ParameterError(f"{what}: quantized membranes and graded spikes are not supported")
    layer.neuron = {
        "reset_mechanism": part.reset_mechanism,
        "reset_delay": bool(part.reset_delay),
        "fire": ">",
        "winner_take_all": bool(part.inhibition),
    }
    layer.threshold, layer.beta = part.threshold, part.beta.detach().clamp(0, 1)
