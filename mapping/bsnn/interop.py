"""Networks from elsewhere: a chain of snnTorch modules, or a NIR file; what cannot be taken over exactly is refused.

NIR: J. E. Pedersen et al., "Neuromorphic intermediate representation", Nature Communications 15, 8122 (2024).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mapping.bsnn.layers import SpikingLayer
from mapping.bsnn.network import Network
from mapping.bsnn.spec import LayerSpec, NetworkSpec, Shape
from mapping.bsnn.store import load_file, shipped_network
from xbarsim.errors import FileError, ParameterError


def load_network(
    source: str | Path | nn.Module,
    *,
    input_shape: tuple[int, ...] | None = None,
    t_steps: int = 25,
    dt: float | None = None,
    reset_mechanism: str | None = None,
    reset_delay: bool = True,
    fire: str | None = None,
) -> Network:
    """Load a network of this project, a NIR file, or a chain of snnTorch modules.

    Parameters
    ----------
    source : str, path or nn.Sequential
        ``"mnist-bsnn"`` (see :func:`list_networks`); a ``.safetensors`` file of this project; a ``.nir`` file; or an
        ``nn.Sequential`` of Conv2d, Linear, batch norm, pooling, Flatten, Dropout and ``snntorch.Leaky``, as for
        inference. Layers whose weights are plus and minus one number for each output become binary ones.
    input_shape : tuple of int, optional
        Channels, height, width of an input, or its features, where the source does not tell.
    t_steps : int
        Time steps of one inference of an imported network.
    dt, reset_mechanism, reset_delay, fire
        What a NIR file does not store: its time step [s] (snnTorch exports with 1e-4), and how neurons reset and
        compare, see :class:`NeuronSpec`. Decay is 1 - dt/tau, gain r dt/tau.

    Returns
    -------
    Network

    Raises
    ------
    FileError
        If a file is missing, damaged, or its tensors do not fit its specification.
    ParameterError
        If the name is unknown, or a module or node cannot be taken over; its name is given.
    """
    if isinstance(source, nn.Module):
        return _build(_modules(source), input_shape, t_steps)
    path = Path(source)
    if path.suffix == ".nir":
        if dt is None or reset_mechanism is None or fire is None:
            raise ParameterError(
                f"{path}: NIR stores neither time step, reset nor comparison; give dt (1e-4 for snnTorch's exports), "
                "reset_mechanism ('subtract', 'zero', 'none') and fire ('>=', '>')"
            )
        how = {"reset_mechanism": reset_mechanism, "reset_delay": reset_delay, "fire": fire}
        stages, stored_shape = _nodes(path, dt, how)
        return _build(stages, input_shape or stored_shape, t_steps)
    return load_file(path) if path.suffix == ".safetensors" else shipped_network(str(source))


@dataclass
class _Layer:
    """What was gathered of one layer; threshold and decay are numbers, or arrays as their source has them."""

    name: str
    kind: str
    weight: Tensor
    bias: Tensor | None = None
    stride: int = 1
    padding: int = 0
    pool: int = 1
    pool_by: str = "average"
    gain: float = 1.0
    norm: dict[str, Tensor] | None = None
    neuron: dict[str, Any] = field(default_factory=dict)
    threshold: Tensor = field(default_factory=lambda: torch.tensor(1.0))
    beta: Tensor = field(default_factory=lambda: torch.tensor(0.0))


def _build(layers: list[_Layer], input_shape: tuple[int, ...] | None, t_steps: int) -> Network:
    if not layers:
        raise ParameterError("the network has no layer with neurons")
    first = layers[0]
    if input_shape is None and first.kind == "dense":
        input_shape = (first.weight.shape[1],)
    if input_shape is None or len(input_shape) not in (1, 3):
        raise ParameterError(f"input_shape = {input_shape}: give (channels, height, width) of an input")
    specs, shape = [], _three(input_shape)
    for layer in layers:
        n_in = shape[0] if layer.kind == "conv" else shape[0] * shape[1] * shape[2]
        if layer.weight.shape[1] != n_in:
            raise ParameterError(f"{layer.name} takes {layer.weight.shape[1]} inputs; there are {n_in} (shape {shape})")
        spec, in_shape = _spec(layer), shape
        try:
            shape = spec.shapes(in_shape)[1]
        except ParameterError as error:
            raise ParameterError(f"{layer.name}: {error}") from None
        layer.threshold, layer.beta = (_on(x, shape, layer.name) for x in (layer.threshold, layer.beta))
        specs.append(spec.replace(neuron=_neuron(layer)))
    common = specs[0].neuron
    network = Network(
        NetworkSpec(input_shape=_three(input_shape), layers=specs, weights="float", t_steps=t_steps, **common)
    )
    for layer, ours in zip(layers, network.layers):
        _fill(layer, ours)
    return network.eval()


def _three(shape: tuple[int, ...]) -> Shape:
    numbers = tuple(int(size) for size in shape)
    return (numbers[0], 1, 1) if len(numbers) == 1 else (numbers[0], numbers[1], numbers[2])


def _spec(layer: _Layer) -> LayerSpec:
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


def _magnitudes(layer: _Layer) -> Tensor | None:
    """Return |w| of each output if it is one number above 0 for all of its inputs."""
    size = layer.weight.flatten(1).abs()
    same = torch.allclose(size, size[:, :1].expand_as(size), rtol=1e-6, atol=0) and bool((size > 0).all())
    return size[:, 0].double() if same else None


def _neuron(layer: _Layer) -> dict[str, Any]:
    scalars = {"beta": float(layer.beta.double().mean()), "threshold": float(layer.threshold.double().mean())}
    if not bool((layer.threshold > 0).all()):
        raise ParameterError(f"{layer.name}: a threshold is not above 0")
    return layer.neuron | scalars


def _on(x: Tensor, shape: Shape, name: str) -> Tensor:
    """Bring a number, or an array that is broadcast to outputs (channels, height, width), into this form."""
    x = x.detach().double()
    x = x[0] if x.ndim == 4 and len(x) == 1 else x
    if x.numel() == 1:
        return x.reshape(())
    if x.ndim == 1 and shape[1:] == (1, 1):
        x = x[:, None, None]
    try:
        return x.broadcast_to(shape).contiguous()
    except RuntimeError:
        raise ParameterError(f"{name}: an array of shape {tuple(x.shape)} for neurons of shape {shape}") from None


def _fill(layer: _Layer, ours: SpikingLayer) -> None:
    """Copy what was gathered; the magnitudes of binary weights and a gain move into thresholds, bias and batch norm."""
    size = _magnitudes(layer)
    scale = torch.ones(len(layer.weight), dtype=torch.float64) if size is None else size
    bias = None if layer.bias is None else layer.bias.double() / scale
    inner = scale * layer.gain  # what the currents of ours have to be multiplied with
    if layer.norm is not None and ours.norm is not None:
        mean, var, eps = layer.norm["mean"].double(), layer.norm["var"].double(), float(layer.norm["eps"])
        ours.norm.eps = eps
        ours.norm.running_mean = (mean / inner).float()
        ours.norm.running_var = ((var + eps) / inner**2 - eps).float()  # may be below 0; with eps it is not
        ours.norm.weight.data, ours.norm.bias.data = layer.norm["weight"].clone(), layer.norm["bias"].clone()
        inner = torch.ones_like(inner)
    threshold = layer.threshold if torch.all(inner == 1) else layer.threshold / inner.reshape(-1, 1, 1)
    weight = layer.weight.detach() if size is None else torch.sign(layer.weight.detach())
    ours.weight.data = weight.float().reshape(ours.weight.shape)
    if bias is not None and ours.bias is not None:
        ours.bias.data = bias.float()
    ours.threshold, ours.beta = threshold, layer.beta.clamp(0, 1)


def _modules(module: nn.Module) -> list[_Layer]:
    """Gather the layers of an ``nn.Sequential``."""
    layers: list[_Layer] = []
    open_layer: _Layer | None = None
    for name, part in _chain(module):
        kind = type(part).__name__
        what = f"module {name!r} ({kind})"
        if isinstance(part, nn.Flatten | nn.Dropout | nn.Dropout2d | nn.Identity):
            continue
        if isinstance(part, nn.Conv2d | nn.Linear):
            if open_layer is not None:
                raise ParameterError(f"{what}: follows {open_layer.name} without neurons between them")
            open_layer = _of_conv(part, what) if isinstance(part, nn.Conv2d) else _Layer(what, "dense", part.weight)
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


def _one(value: Any, what: str, name: str) -> int:
    """Return the one number of a square setting."""
    numbers = {int(v) for v in np.ravel(value)}
    if len(numbers) != 1:
        raise ParameterError(f"{what}: {name} = {value}; only square ones are supported")
    return numbers.pop()


def _of_conv(part: nn.Conv2d, what: str) -> _Layer:
    kernel = _one(part.kernel_size, what, "kernel_size")
    if _one(part.dilation, what, "dilation") != 1 or part.groups != 1 or part.padding_mode != "zeros":
        raise ParameterError(f"{what}: dilation, groups and padding other than by zeros are not supported")
    padding = _padding(part.padding, kernel, what)
    return _Layer(what, "conv", part.weight, stride=_one(part.stride, what, "stride"), padding=padding)


def _padding(value: Any, kernel: int, what: str) -> int:
    """Return the zeros on each side, from a number or a name."""
    if not isinstance(value, str | bytes):
        return _one(value, what, "padding")
    name = value.decode() if isinstance(value, bytes) else value
    if name == "same" and kernel % 2 == 0:
        raise ParameterError(f"{what}: padding = 'same' with the even kernel {kernel} is not supported")
    return {"same": kernel // 2, "valid": 0}[name]


def _take_norm(layer: _Layer, part: nn.BatchNorm1d | nn.BatchNorm2d, what: str) -> None:
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


def _take_pool(layer: _Layer, part: nn.AvgPool2d | nn.MaxPool2d, what: str) -> None:
    pool = _one(part.kernel_size, what, "kernel_size")
    steps = pool if part.stride is None else _one(part.stride, what, "stride")
    if steps != pool or _one(part.padding, what, "padding") or part.ceil_mode or layer.pool > 1:
        raise ParameterError(f"{what}: only one pooling per layer, with stride = kernel_size and no padding")
    layer.pool = pool
    if isinstance(part, nn.MaxPool2d):
        layer.pool_by = "maximum"
        if layer.norm is not None and bool((layer.norm["weight"] < 0).any()):
            raise ParameterError(f"{what}: follows a batch norm with weights below 0; put the pooling before it")


def _take_leaky(layer: _Layer, part: Any, what: str) -> None:
    if part.state_quant or float(torch.as_tensor(part.graded_spikes_factor).detach().double().sub(1).abs().max()):
        raise ParameterError(f"{what}: quantized membranes and graded spikes are not supported")
    layer.neuron = {
        "reset_mechanism": part.reset_mechanism,
        "reset_delay": bool(part.reset_delay),
        "fire": ">",
        "winner_take_all": bool(part.inhibition),
    }
    layer.threshold, layer.beta = part.threshold, part.beta.detach().clamp(0, 1)


def _nodes(path: Path, dt: float, how: dict[str, Any]) -> tuple[list[_Layer], tuple[int, ...] | None]:
    """Gather the layers of a NIR file, and the shape of its input."""
    try:
        import nir
    except ImportError:
        raise ParameterError(f"{path}: reading NIR needs the package nir; install xbarsim[nir]") from None
    try:
        graph = nir.read(path)
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise FileError(f"{path}: cannot be read as NIR ({error})") from None
    layers: list[_Layer] = []
    open_layer: _Layer | None = None
    shape = None
    for name, node in _path(path, graph):
        kind = type(node).__name__
        what = f"{path}: node {name!r} ({kind})"
        if kind == "Input":
            given = tuple(int(n) for n in np.ravel(next(iter(node.input_type.values()))))
            shape = given if len(given) in (1, 3) else None
        elif kind in ("Output", "Flatten"):
            continue
        elif kind in ("Linear", "Affine", "Conv2d"):
            if open_layer is not None:
                raise ParameterError(f"{what}: follows {open_layer.name} without neurons between them")
            open_layer = _of_weights(node, kind, what)
        elif kind in ("AvgPool2d", "SumPool2d", "Scale", "LIF", "IF", "Threshold"):
            if open_layer is None:
                raise ParameterError(f"{what}: comes without weights before it")
            if kind in ("AvgPool2d", "SumPool2d"):
                _take_pool_node(open_layer, node, kind, what)
            elif kind == "Scale":
                open_layer.gain *= _positive(np.asarray(node.scale), what, "scale")
            else:
                _take_neurons(open_layer, node, kind, what, dt, how)
                layers.append(open_layer)
                open_layer = None
        else:
            raise ParameterError(f"{what}: is not supported; see load_network for what is")
    if open_layer is not None:
        raise ParameterError(f"{open_layer.name}: has no neurons after it")
    return layers, shape


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


def _of_weights(node: Any, kind: str, what: str) -> _Layer:
    weight = torch.from_numpy(np.array(node.weight, np.float32))
    bias = torch.from_numpy(np.array(node.bias, np.float32)) if kind in ("Affine", "Conv2d") else None
    bias = None if bias is None or not bias.any() else bias
    if kind != "Conv2d":
        return _Layer(what, "dense", weight, bias)
    if _one(node.dilation, what, "dilation") != 1 or node.groups != 1:
        raise ParameterError(f"{what}: dilation and groups are not supported")
    side = _one(weight.shape[-2:], what, "kernel")
    padding = _padding(node.padding, side, what)
    return _Layer(what, "conv", weight, bias, stride=_one(node.stride, what, "stride"), padding=padding)


def _take_pool_node(layer: _Layer, node: Any, kind: str, what: str) -> None:
    pool = _one(node.kernel_size, what, "kernel_size")
    if _one(node.stride, what, "stride") != pool or _one(node.padding, what, "padding") or layer.pool > 1:
        raise ParameterError(f"{what}: only one pooling per layer, with stride = kernel_size and no padding")
    layer.pool = pool
    layer.gain *= pool**2 if kind == "SumPool2d" else 1


def _take_neurons(layer: _Layer, node: Any, kind: str, what: str, dt: float, how: dict[str, Any]) -> None:
    """Take U' = (1 - dt/tau) U + r dt/tau I + dt/tau v_leak; the gain moves into the threshold.

    Integrate-and-fire neurons have tau -> inf with r dt as gain; a threshold alone is one without memory.
    """
    theta = np.asarray(getattr(node, "threshold" if kind == "Threshold" else "v_threshold"), float)
    gain, decay = np.ones_like(theta), np.zeros_like(theta)
    if kind == "Threshold":
        layer.neuron = how | {"reset_mechanism": "none"}
    else:
        layer.neuron = dict(how)
        decay, gain = np.ones_like(theta), np.asarray(node.r, float) * dt
        if getattr(node, "v_reset", None) is not None and np.any(np.asarray(node.v_reset) != 0):
            raise ParameterError(f"{what}: v_reset other than 0 is not supported")
    if kind == "LIF":
        tau = np.asarray(node.tau, float)
        if np.any(tau < dt * (1 - 1e-9)):
            raise ParameterError(f"{what}: tau = {tau.min():g} s is shorter than dt = {dt:g} s; give a smaller dt")
        decay, gain = 1 - dt / tau, gain / tau
        if np.any(np.asarray(node.v_leak) != 0):
            rest = np.ravel(np.asarray(node.v_leak, float) * (dt / tau) / gain / layer.gain)
            rest = rest.reshape(1 if rest.size == 1 else len(layer.weight), -1)
            if np.any(rest != rest[:, :1]):
                raise ParameterError(f"{what}: v_leak, by its gain, has to be one number for each output channel")
            before = torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias
            layer.bias = before + torch.from_numpy(rest[:, 0]).float()
    if np.any(gain <= 0):
        raise ParameterError(f"{what}: r has to be above 0")
    layer.threshold, layer.beta = torch.from_numpy(np.asarray(theta / gain)), torch.from_numpy(np.asarray(decay))


def _positive(value: np.ndarray, what: str, name: str) -> float:
    if np.unique(value).size != 1 or np.min(value) <= 0:
        raise ParameterError(f"{what}: {name} has to be one number above 0")
    return float(np.ravel(value)[0])
