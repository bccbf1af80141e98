"""Layers out of an ``nn.Sequential`` with snnTorch neurons; snnTorch itself is not needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from mapping.bsnn.chain import Gathered, Norm, own, square, zeros_around
from mapping.bsnn.finite import decays
from xbarsim.errors import ParameterError

_KNOWN = (
    nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.AvgPool2d, nn.MaxPool2d, nn.Flatten, nn.Dropout,
    nn.Dropout2d, nn.Identity,
)  # fmt: skip
_RESETS = {"subtract": "_base_sub", "zero": "_base_zero", "none": "_base_int"}  # snnTorch's functions


def layers_of_modules(module: nn.Module) -> list[Gathered]:
    """Gather the layers of an ``nn.Sequential``."""
    layers: list[Gathered] = []
    open_layer: Gathered | None = None
    neurons: set[int] = set()
    for name, part in _chain(module):
        what = f"module {name!r} ({type(part).__name__})"
        if isinstance(part, nn.Flatten | nn.Dropout | nn.Dropout2d | nn.Identity):
            continue
        if isinstance(part, nn.Conv2d | nn.Linear):
            if open_layer is not None:
                raise ParameterError(f"{what}: follows {open_layer.name} without neurons between them")
            open_layer = _of_weights(part, what)
        elif open_layer is None:
            raise ParameterError(f"{what}: comes without weights before it; it has to lie between weights and neurons")
        elif isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            _take_norm(open_layer, part, what)
        elif isinstance(part, nn.AvgPool2d | nn.MaxPool2d):
            _take_pool(open_layer, part, what)
        else:
            if id(part) in neurons:
                raise ParameterError(f"{what}: occurs twice and would share its membrane; give each layer its own")
            neurons.add(id(part))
            _take_leaky(open_layer, part, what)
            layers.append(open_layer)
            open_layer = None
    if open_layer is not None:
        raise ParameterError(f"{open_layer.name}: has no neurons after it")
    return layers


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
        leaky = type(part).__name__ == "Leaky" and type(part).__module__.startswith("snntorch")
        if part is None or not (leaky or any(_forward(part) is kind.forward for kind in _KNOWN)):
            raise ParameterError(f"{what}: is not supported, or has a forward of its own; see load_network for what is")
        _refuse_hooks(part, what)
        yield prefix + name, part


def _forward(module: nn.Module) -> Any:
    return type(module).forward


def _refuse_hooks(module: nn.Module, what: str) -> None:
    if module._forward_hooks or module._forward_pre_hooks:
        raise ParameterError(f"{what}: has forward hooks, which may compute anything; remove them")


def _of_weights(part: nn.Conv2d | nn.Linear, what: str) -> Gathered:
    weight = own(part.weight, what, "weight")
    layer = _of_conv(part, weight, what) if isinstance(part, nn.Conv2d) else Gathered(what, "dense", weight)
    layer.bias = None if part.bias is None else own(part.bias, what, "bias")
    return layer


def _of_conv(part: nn.Conv2d, weight: torch.Tensor, what: str) -> Gathered:
    kernel = square(part.kernel_size, what, "kernel_size")
    if square(part.dilation, what, "dilation") != 1 or part.groups != 1 or part.padding_mode != "zeros":
        raise ParameterError(f"{what}: dilation, groups and padding other than by zeros are not supported")
    padding = zeros_around(part.padding, kernel, what)
    return Gathered(what, "conv", weight, stride=square(part.stride, what, "stride"), padding=padding)


def _take_norm(layer: Gathered, part: nn.BatchNorm1d | nn.BatchNorm2d, what: str) -> None:
    if part.running_mean is None or part.running_var is None:
        raise ParameterError(f"{what}: has no running statistics; train it with track_running_stats")
    if layer.norm is not None:
        raise ParameterError(f"{what}: is the second batch norm of a layer")
    if len(part.running_mean) != len(layer.weight):
        raise ParameterError(f"{what}: has {len(part.running_mean)} features, the layer {len(layer.weight)} channels")
    mean, var = own(part.running_mean, what, "running_mean"), own(part.running_var, what, "running_var", least=0)
    own(var + part.eps, what, "running_var + eps", above=0)
    layer.norm = Norm(
        mean=mean,
        var=var,
        eps=part.eps,
        weight=torch.ones_like(mean) if part.weight is None else own(part.weight, what, "weight"),
        bias=torch.zeros_like(mean) if part.bias is None else own(part.bias, what, "bias"),
    )


def _take_pool(layer: Gathered, part: nn.AvgPool2d | nn.MaxPool2d, what: str) -> None:
    pool = square(part.kernel_size, what, "kernel_size")
    steps = pool if part.stride is None else square(part.stride, what, "stride")
    if steps != pool or square(part.padding, what, "padding") or part.ceil_mode or layer.pool > 1:
        raise ParameterError(f"{what}: only one pooling per layer, with stride = kernel_size and no padding")
    if isinstance(part, nn.AvgPool2d):
        layer.pool, layer.pool_by = pool, "average"
        layer.gain *= 1 if part.divisor_override is None else pool**2 / part.divisor_override
        if layer.norm is not None and part.divisor_override is not None:
            raise ParameterError(f"{what}: divisor_override after a batch norm is not supported")
        return
    layer.pool, layer.pool_by = pool, "maximum"
    if square(part.dilation, what, "dilation") != 1:
        raise ParameterError(f"{what}: dilation is not supported")
    if layer.norm is not None and bool((layer.norm.weight < 0).any()):
        raise ParameterError(f"{what}: follows a batch norm with weights below 0; put the pooling before it")


def _take_leaky(layer: Gathered, part: Any, what: str) -> None:
    if part.state_quant or float(torch.as_tensor(part.graded_spikes_factor).detach().double().sub(1).abs().max()):
        raise ParameterError(f"{what}: quantized membranes and graded spikes are not supported")
    if part.state_function.__name__ != _RESETS[part.reset_mechanism]:
        raise ParameterError(
            f"{what}: reset_mechanism was changed after it was made, which its forward does not follow"
        )
    with torch.no_grad():
        fires = tuple(part.spike_grad(torch.tensor([-1.0, 0.0, 1.0])).tolist())
    if fires not in ((0, 0, 1), (0, 1, 1)):
        raise ParameterError(f"{what}: its spike_grad gives {fires} for membranes below, at and above the threshold")
    if part.inhibition and (layer.kind == "conv" or torch.as_tensor(part.threshold).unique().numel() > 1):
        raise ParameterError(f"{what}: inhibition is supported on dense layers with one threshold only")
    layer.neuron = {
        "reset_mechanism": part.reset_mechanism,
        "reset_delay": True if part.reset_delay else "snntorch",
        "fire": ">=" if fires[1] else ">",
        "winner_take_all": bool(part.inhibition),
    }
    layer.threshold = own(torch.as_tensor(part.threshold), what, "threshold", above=0)
    layer.beta = own(decays(torch.as_tensor(part.beta)), what, "beta", least=0, most=1)  # its forward clamps it too
