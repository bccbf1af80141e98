"""The network that computes what a graph of real weights and spiking neurons says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch

from mapping.ir.components import components
from mapping.ir.graph import Branch, Graph, Layer
from mapping.ir.ops import Lif, Norm, Op, Pool, Weights
from mapping.ir.shapes import Shape
from mapping.lower.distribute import distribute
from mapping.lower.fuse import fuse
from mapping.networks.layers import SpikingLayer, Synapses
from mapping.networks.network import Network
from mapping.networks.spec import BranchSpec, LayerSpec, NetworkSpec
from xbarsim.errors import ParameterError


def network_of(graph: Graph, t_steps: int, decoder: str | None = None) -> Network:
    """Return the network; weights that are plus and minus one number for each output become binary ones.

    Raises
    ------
    ParameterError
        If something lies between neurons that layers do not have, or numbers cannot be computed with.
    """
    graph = _alike(fuse(distribute(graph)))
    layers = graph.layers()
    names = {layer.activation.name: f"layer {k}" for k, layer in enumerate(layers, 1)} | {
        name: "input" for name in graph.nodes if graph.nodes[name] is graph.input
    }
    specs = [_layer_spec(layer, names) for layer in layers]
    common = {name: specs[0].neuron[name] for name in ("beta", "threshold")}
    network = Network(
        NetworkSpec(
            input_shape=graph.input.shape,
            layers=specs,
            weights="float",
            t_steps=t_steps,
            decoder=decoder or ("membrane" if specs[-1].neuron.get("fire") == "never" else "count"),
            **common,
        )
    )
    for layer, ours in zip(layers, network.layers):
        neurons, shape = cast(Lif, layer.activation.op), graph.shapes[layer.activation.name]
        ours.threshold, ours.beta = (_on(x, shape, layer.name) for x in (neurons.threshold, neurons.beta))
        _fill(layer, ours)
        for tensor, value in ours.state_dict().items():
            wrong = ours.fault(tensor, value)
            if wrong is not None:  # finite as it came, but not with its batch norm and scales folded
                raise ParameterError(f"{layer.name}: its {tensor} here {wrong}")
    return network.eval()


def _alike(graph: Graph) -> Graph:
    """Return the graph with one scale for all weights of a layer, and without batch norm in loops."""
    layers = graph.layers()
    number = {layer.activation.name: k for k, layer in enumerate(layers)}
    order = components([[number.get(branch.source, -1) for branch in layer.branches] for layer in layers])
    looped = {k for component in order if component.loops for k in component.layers}
    changed: dict[str, Op] = {}
    gone = []
    for k, layer in enumerate(layers):
        ops = {branch.weights.name: branch.weights.op for branch in layer.branches}
        if layer.norm is not None and k in looped:
            gone.append(layer.norm.name)
            ops = {name: _normed(op, layer.norm.op, first=not j) for j, (name, op) in enumerate(ops.items())}
        if k in looped or len(ops) > 1:
            binary = _magnitudes(*ops.values()) is not None
            changed |= ops if binary else {name: _unscaled(op) for name, op in ops.items()}
    return graph.changed(changed, without=gone)


def _normed(op: Weights, norm: Norm, first: bool) -> Weights:
    """Return weights that a batch norm has joined; the first ones of a layer have its constants."""
    gain = norm.gamma / norm.deviation
    bias = gain * ((0 if op.bias is None else op.bias) - (norm.mean if first else 0)) + (norm.shift if first else 0)
    return replace(op, scale=op.scale * gain, bias=bias, geometry=op.geometry.replace(bias=True))


def _unscaled(op: Weights) -> Weights:
    scale = np.broadcast_to(op.scale, len(op.values)).reshape(-1, 1, 1, 1)
    return replace(op, values=op.values * scale, scale=1.0)


def _layer_spec(layer: Layer, names: dict[str, str]) -> LayerSpec:
    kind = "float" if _size(layer) is None else "binary"
    own, *others = (_branch_values(branch, names) | {"weights": kind} for branch in layer.branches)
    pool = layer.branches[0].weights.op.geometry
    return LayerSpec(
        **own,
        pool=pool.pool,
        pool_by=pool.pool_by,
        branches=tuple(BranchSpec(**values) for values in others),
        batch_norm=layer.norm is not None,
        neuron=cast(Lif, layer.activation.op).neuron.model_dump(exclude_unset=True),
    )


def _branch_values(branch: Branch, names: dict[str, str]) -> dict[str, Any]:
    """Return what a specification says of a branch."""
    weights, pools = branch.weights.op, [node.op for node in branch.before if isinstance(node.op, Pool)]
    if len(branch.before) > 1 or len(pools) < len(branch.before):
        raise ParameterError(f"{branch.before[0].name}: only one pooling of spikes before weights is supported")
    geometry = {name: value for name, value in weights.geometry.model_dump().items() if not name.startswith("pool")}
    pooling = {"input_pool": pools[0].side, "input_pool_by": pools[0].by} if pools else {}
    return geometry | pooling | {"inputs": (names[branch.source],), "delay": branch.delay}


def _magnitudes(*weights: Weights) -> np.ndarray | None:
    """Return |w| of each output, scale included, if it is one number above 0 for all of its inputs."""
    size = np.hstack([np.abs(op.values.reshape(len(op.values), -1) * np.reshape(op.scale, (-1, 1))) for op in weights])
    same = np.allclose(size, size[:, :1], rtol=1e-6, atol=0) and (size > 0).all()
    return size[:, 0] if same else None


def _size(layer: Layer) -> np.ndarray | None:
    return _magnitudes(*(branch.weights.op for branch in layer.branches))


def _on(x: np.ndarray, shape: Shape, name: str) -> torch.Tensor:
    """Bring a number, or an array that is broadcast to outputs (channels, height, width), into this form."""
    x = x[0] if x.ndim == 4 and len(x) == 1 else x
    if x.size == 1:
        return torch.tensor(x.item(), dtype=torch.float64)
    if x.ndim == 1 and shape[1:] == (1, 1):
        x = x[:, None, None]
    try:
        return torch.from_numpy(np.broadcast_to(x, shape).copy())
    except ValueError:
        raise ParameterError(f"{name}: an array of shape {x.shape} for neurons of shape {shape}") from None


def _fill(layer: Layer, ours: SpikingLayer) -> None:
    """Copy numbers; the magnitudes of binary weights and a scale move into thresholds, bias and batch norm."""
    weights, norm = layer.branches[0].weights.op, None if layer.norm is None else layer.norm.op
    size = _size(layer)
    inner = np.ones(len(weights.values)) * weights.scale if size is None else size
    if norm is not None and ours.norm is not None:
        ours.norm.running_mean = _single(norm.mean / inner)
        # may be below 0; with our eps it is not
        ours.norm.running_var = _single((norm.var + norm.eps) / inner**2 - ours.norm.eps)
        ours.norm.weight.data, ours.norm.bias.data = _single(norm.gamma), _single(norm.shift)
    elif np.any(inner != 1):
        ours.threshold = ours.threshold / torch.from_numpy(inner.reshape(-1, 1, 1))
    for branch, part in zip(layer.branches, (ours, *ours.branches)):
        _fill_weights(branch.weights.op, part, inner, signs=size is not None)


def _fill_weights(weights: Weights, ours: Synapses, inner: np.ndarray, signs: bool) -> None:
    """Copy the numbers of weights, or their signs; outputs of ours have to be multiplied with ``inner``."""
    if weights.bias is not None and ours.bias is not None:
        ours.bias.data = _single(weights.bias / inner)
    values = np.sign(weights.values) if signs else weights.values
    ours.weight.data = _single(values).reshape(ours.weight.shape)


def _single(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x).float()
