"""A chain of layers gathered from another framework, and the network that computes the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mapping.bsnn.finite import fault
from mapping.bsnn.layers import SpikingLayer
from mapping.bsnn.network import Network
from mapping.bsnn.spec import LayerSpec, NetworkSpec, Shape
from xbarsim.errors import ParameterError


@dataclass(frozen=True)
class Norm:
    """A batch norm as for inference."""

    mean: Tensor
    var: Tensor
    weight: Tensor
    bias: Tensor
    eps: float


def own(x: Tensor, what: str, name: str, **limits: float) -> Tensor:
    """Return a copy on the CPU, in double precision; refuse it, by these names, for a :func:`fault`."""
    wrong = fault(x, **limits)
    if wrong is not None:
        raise ParameterError(f"{what}, tensor {name!r} {wrong}")
    return x.detach().cpu().double().clone()


@dataclass
class Gathered:
    """What was gathered of one layer; threshold and decay are numbers, or arrays as their source has them.

    ``strict``: arrays have exactly the shape of the neurons, and inputs of several positions reach a dense layer only
    after they are flattened.
    """

    name: str
    kind: str
    weight: Tensor
    bias: Tensor | None = None
    stride: int = 1
    padding: int = 0
    pool: int = 1
    pool_by: str = "average"
    gain: float = 1.0
    norm: Norm | None = None
    neuron: dict[str, Any] = field(default_factory=dict)
    threshold: Tensor = field(default_factory=lambda: torch.ones((), dtype=torch.float64))
    beta: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    strict: bool = False
    flattened: bool = False


def build(layers: list[Gathered], input_shape: int | tuple[int, ...] | None, t_steps: int) -> Network:
    """Return the network that computes what the gathered layers do.

    Raises
    ------
    ParameterError
        If layers do not follow each other, or a shape cannot be told.
    """
    if not layers:
        raise ParameterError("the network has no layer with neurons")
    first = layers[0]
    if isinstance(input_shape, int):
        input_shape = (input_shape,)
    if input_shape is None and first.kind == "dense":
        input_shape = (first.weight.shape[1],)
    if input_shape is None or len(input_shape) not in (1, 3):
        raise ParameterError(f"input_shape = {input_shape}: give (channels, height, width) of an input")
    specs, shape = [], _three(input_shape)
    for layer in layers:
        n_in = shape[0] if layer.kind == "conv" else shape[0] * shape[1] * shape[2]
        if layer.weight.shape[1] != n_in:
            raise ParameterError(f"{layer.name} takes {layer.weight.shape[1]} inputs; there are {n_in} (shape {shape})")
        if layer.strict and layer.kind == "dense" and not layer.flattened and shape[1:] != (1, 1):
            raise ParameterError(f"{layer.name}: takes inputs of shape {shape} that nothing flattens; add a Flatten")
        spec, in_shape = _spec(layer), shape
        try:
            shape = spec.shapes(in_shape)[1]
        except ParameterError as error:
            raise ParameterError(f"{layer.name}: {error}") from None
        for x in (layer.threshold, layer.beta):
            if layer.strict and x.numel() > 1 and [n for n in x.shape if n > 1] != [n for n in shape if n > 1]:
                raise ParameterError(f"{layer.name}: an array of shape {tuple(x.shape)} for neurons of shape {shape}")
        layer.threshold, layer.beta = (_on(x, shape, layer.name) for x in (layer.threshold, layer.beta))
        specs.append(spec.replace(neuron=_neuron(layer)))
    common = specs[0].neuron
    network = Network(
        NetworkSpec(input_shape=_three(input_shape), layers=specs, weights="float", t_steps=t_steps, **common)
    )
    for layer, ours in zip(layers, network.layers):
        _fill(layer, ours)
    for layer, ours in zip(layers, network.layers):
        for name, value in ours.state_dict().items():
            wrong = ours.fault(name, value)
            if wrong is not None:  # finite as it came, but not with its batch norm and scales folded
                raise ParameterError(f"{layer.name}: its {name} here {wrong}")
    return network.eval()


def _three(shape: tuple[int, ...]) -> Shape:
    numbers = tuple(int(size) for size in shape)
    return (numbers[0], 1, 1) if len(numbers) == 1 else (numbers[0], numbers[1], numbers[2])


def _spec(layer: Gathered) -> LayerSpec:
    conv = layer.kind == "conv"
    geometry = {"kernel": layer.weight.shape[-1], "stride": layer.stride, "padding": layer.padding} if conv else {}
    return LayerSpec(
        kind=layer.kind,
        out=len(layer.weight),
        bias=layer.bias is not None,
        pool=layer.pool,
        pool_by=layer.pool_by,
        batch_norm=layer.norm is not None,
        weights="binary" if _magnitudes(layer) is not None else "float",
        **geometry,
    )


def _magnitudes(layer: Gathered) -> Tensor | None:
    """Return |w| of each output if it is one number above 0 for all of its inputs."""
    size = layer.weight.flatten(1).abs()
    same = torch.allclose(size, size[:, :1].expand_as(size), rtol=1e-6, atol=0) and bool((size > 0).all())
    return size[:, 0] if same else None


def _neuron(layer: Gathered) -> dict[str, Any]:
    scalars = {"beta": float(layer.beta.mean()), "threshold": float(layer.threshold.mean())}
    if not bool((layer.threshold > 0).all()):
        raise ParameterError(f"{layer.name}: a threshold is not above 0")
    return layer.neuron | scalars


def _on(x: Tensor, shape: Shape, name: str) -> Tensor:
    """Bring a number, or an array that is broadcast to outputs (channels, height, width), into this form."""
    x = x[0] if x.ndim == 4 and len(x) == 1 else x
    if x.numel() == 1:
        return x.reshape(())
    if x.ndim == 1 and shape[1:] == (1, 1):
        x = x[:, None, None]
    try:
        return x.broadcast_to(shape).contiguous()
    except RuntimeError:
        raise ParameterError(f"{name}: an array of shape {tuple(x.shape)} for neurons of shape {shape}") from None


def _fill(layer: Gathered, ours: SpikingLayer) -> None:
    """Copy what was gathered; the magnitudes of binary weights and a gain move into thresholds, bias and batch norm."""
    size = _magnitudes(layer)
    inner = torch.ones(len(layer.weight), dtype=torch.float64) if size is None else size
    bias = None if layer.bias is None else layer.bias / inner
    inner = inner * layer.gain  # what the currents of ours have to be multiplied with
    if layer.norm is not None and ours.norm is not None:
        norm = layer.norm
        ours.norm.running_mean = (norm.mean / inner).float()
        # may be below 0; with our eps it is not
        ours.norm.running_var = ((norm.var + norm.eps) / inner**2 - ours.norm.eps).float()
        ours.norm.weight.data, ours.norm.bias.data = norm.weight.float(), norm.bias.float()
        inner = torch.ones_like(inner)
    ours.threshold = layer.threshold if torch.all(inner == 1) else layer.threshold / inner.reshape(-1, 1, 1)
    ours.beta = layer.beta
    weight = layer.weight if size is None else torch.sign(layer.weight)
    ours.weight.data = weight.float().reshape(ours.weight.shape)
    if bias is not None and ours.bias is not None:
        ours.bias.data = bias.float()


def square(value: Any, what: str, name: str) -> int:
    """Return the one number of a square setting."""
    numbers = {int(v) for v in np.ravel(value)}
    if len(numbers) != 1:
        raise ParameterError(f"{what}: {name} = {value}; only square ones are supported")
    return numbers.pop()


def zeros_around(value: Any, kernel: int, what: str) -> int:
    """Return the zeros on each side, from a number or a name."""
    if not isinstance(value, str | bytes):
        return square(value, what, "padding")
    name = value.decode() if isinstance(value, bytes) else value
    if name == "same" and kernel % 2 == 0:
        raise ParameterError(f"{what}: padding = 'same' with the even kernel {kernel} is not supported")
    return {"same": kernel // 2, "valid": 0}[name]
