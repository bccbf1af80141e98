"""The network that computes what a graph of real weights and spiking neurons says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch

from mapping.ir.components import components
from mapping.ir.graph import Branch, Graph, Layer, Node
from mapping.ir.ops import Gather, Lif, Norm, Op, Pool, Weights
from mapping.ir.shapes import Shape
from mapping.lower.distribute import distribute
from mapping.lower.fuse import fuse
from mapping.lower.levels import Kind, made_levels, recognised
from mapping.networks.layers import SpikingLayer, Synapses
from mapping.networks.network import Network
from mapping.networks.spec import BranchSpec, LayerSpec, NetworkSpec
from xbarsim.errors import ParameterError


def network_of(
    graph: Graph,
    t_steps: int,
    decoder: str | None = None,
    quantize: Kind | None = None,
    outputs: Sequence[str] = (),
) -> Network:
    """Return the network; weights that are plus and minus one number for each output become binary ones.

    Others on a few evenly spaced levels become ternary or n-bit ones, with a scale. With ``quantize`` real weights are
    put on levels, see :func:`mapping.lower.levels.made_levels`. ``outputs`` are the neurons whose spikes are read, the
    last ones unless given.

    Raises
    ------
    ParameterError
        If something lies between neurons that layers do not have, or numbers cannot be computed with.
    """
    graph = lowered(graph, quantize)
    layers = graph.layers()
    names = {layer.activation.name: f"layer {k}" for k, layer in enumerate(layers, 1)} | {
        name: "input" for name in graph.nodes if graph.nodes[name] is graph.input
    }
    specs = [_layer_spec(layer, names) for layer in layers]
    read = () if list(outputs) in ([], [layers[-1].activation.name]) else tuple(names[name] for name in outputs)
    silent = any(spec.neuron.get("fire") == "never" for spec in specs)
    common = {name: specs[0].neuron[name] for name in ("beta", "threshold")}
    network = Network(
        NetworkSpec(
            input_shape=graph.input.shape,
            layers=specs,
            outputs=read,
            weights="float",
            t_steps=t_steps,
            decoder=decoder or ("membrane" if silent else "count"),
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


def lowered(graph: Graph, quantize: Kind | None = None) -> Graph:
    """Return the graph in layers as the network has them, in their order."""
    graph = _unwired(fuse(distribute(graph)))
    return _levelled(_without_norms_in_loops(graph if quantize is None else made_levels(graph, quantize)))


def _unwired(graph: Graph) -> Graph:
    """Return the graph with weights that read some channels, or some of all numbers, reading all, with zeros."""
    changed: dict[str, Op] = {}
    gone = []
    for branch in (branch for layer in graph.layers() for branch in layer.branches):
        for name, op in branch.before[-1:]:
            if isinstance(op, Gather) and op.table.shape[1] == 1:
                (edge,) = graph.before(name)
                changed[branch.weights.name] = _reading_all(branch.weights, op, graph.shapes[edge.source])
                gone.append(name)
    return graph.changed(changed, without=gone)


def _reading_all(node: Node[Weights], wires: Gather, shape: Shape) -> Weights:
    """Return weights for all outputs of a source of some shape, of which they read some through wires."""
    weights, of = node.op.reading_all(), wires.table[:, 0]
    channels, *places = shape
    if weights.geometry.kind == "dense":
        kept, size = of, int(np.prod(shape))
    else:
        kept, size = of[:: int(np.prod(places))] // int(np.prod(places)), channels
        whole = np.arange(np.prod(shape)).reshape(channels, -1)
        if not np.array_equal(whole[kept].ravel(), of):
            raise ParameterError(f"{node.name}: reads through wires that are no whole channels")
    values = np.zeros((len(weights.values), size, *weights.values.shape[2:]), weights.values.dtype)
    for number, source in enumerate(kept.tolist()):
        if source >= 0:
            values[:, source] += weights.values[:, number]
    levels = "ternary" if weights.levels == "binary" and not values.all() else weights.levels
    return replace(weights, values=values, levels=levels)


def _without_norms_in_loops(graph: Graph) -> Graph:
    """Return the graph with the batch norms of loops as part of weights."""
    layers = graph.layers()
    number = {layer.activation.name: k for k, layer in enumerate(layers)}
    order = components([[number.get(branch.source, -1) for branch in layer.branches] for layer in layers])
    changed: dict[str, Op] = {}
    gone = []
    for layer in (layers[k] for component in order if component.loops for k in component.layers):
        if layer.norm is not None:
            gone.append(layer.norm.name)
            for j, branch in enumerate(layer.branches):
                changed[branch.weights.name] = _normed(branch.weights.op, layer.norm.op, first=not j)
    return graph.changed(changed, without=gone)


def _levelled(graph: Graph) -> Graph:
    """Return the graph with weights on levels told; those that are not, without a scale."""
    changed: dict[str, Op] = {}
    for layer in graph.layers():
        for branch in layer.branches:
            op = recognised(branch.weights.op)
            changed[branch.weights.name] = (
                op if op.values.dtype.kind == "i" or len(layer.branches) == 1 else _unscaled(op)
            )
    return graph.changed(changed)


def _normed(op: Weights, norm: Norm, first: bool) -> Weights:
    """Return weights that a batch norm has joined; the first ones of a layer have its constants."""
    gain = norm.gamma / norm.deviation
    bias = gain * ((0 if op.bias is None else op.bias) - (norm.mean if first else 0)) + (norm.shift if first else 0)
    return replace(op, scale=op.scale * gain, bias=bias, geometry=op.geometry.replace(bias=True))


def _unscaled(op: Weights) -> Weights:
    scale = np.broadcast_to(op.scale, len(op.values)).reshape(-1, 1, 1, 1)
    return replace(op, values=op.values * scale, scale=1.0)


def _layer_spec(layer: Layer, names: dict[str, str]) -> LayerSpec:
    own, *others = (_branch_values(branch, names) | _kind(branch.weights.op, layer) for branch in layer.branches)
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


def _kind(weights: Weights, layer: Layer) -> dict[str, Any]:
    """Return what a specification says of weights; those of layers of plain signs have their scale in thresholds."""
    if weights.values.dtype.kind != "i":
        return {"weights": "float"}
    return {"weights": weights.levels, "scaled": not _is_plain(layer)}


def _is_plain(layer: Layer) -> bool:
    """Whether a layer has nothing but signs."""
    return len(layer.branches) == 1 and layer.branches[0].weights.op.levels == "binary"


def _on(x: np.ndarray, shape: Shape, name: str) -> torch.Tensor:
    """Bring a number, or an array that is broadcast to outputs (channels, height, width), into this form."""
    x = x[0] if x.ndim == 4 and len(x) == 1 else x
    if x.size == 1:
        return torch.tensor(x.item(), dtype=torch.float64)
    if x.ndim == 1 and shape[1:] == (1, 1):
        x = x[:, None, None]
    if x.ndim == 2 and shape[1] == 1:
        x = x[:, None]
    try:
        return torch.from_numpy(np.broadcast_to(x, shape).copy())
    except ValueError:
        raise ParameterError(f"{name}: an array of shape {x.shape} for neurons of shape {shape}") from None


def _fill(layer: Layer, ours: SpikingLayer) -> None:
    """Copy numbers; the magnitudes of binary weights and a scale move into thresholds, bias and batch norm."""
    weights, norm = layer.branches[0].weights.op, None if layer.norm is None else layer.norm.op
    scaled = weights.values.dtype.kind == "i" and not _is_plain(layer)
    inner = np.ones(len(weights.values)) * (1.0 if scaled or len(layer.branches) > 1 else weights.scale)
    if norm is not None and ours.norm is not None:
        ours.norm.running_mean = _single(norm.mean / inner)
        # may be below 0; with our eps it is not
        ours.norm.running_var = _single((norm.var + norm.eps) / inner**2 - ours.norm.eps)
        ours.norm.weight.data, ours.norm.bias.data = _single(norm.gamma), _single(norm.shift)
    elif np.any(inner != 1):
        ours.threshold = ours.threshold / torch.from_numpy(inner.reshape(-1, 1, 1))
    for branch, part in zip(layer.branches, (ours, *ours.branches)):
        _fill_weights(branch.weights.op, part, inner)


def _fill_weights(weights: Weights, ours: Synapses, inner: np.ndarray) -> None:
    """Copy the numbers of weights; outputs of ours have to be multiplied with ``inner``."""
    if weights.bias is not None and ours.bias is not None:
        ours.bias.data = _single(weights.bias / inner)
    if ours.scale is not None:
        ours.scale = torch.from_numpy(np.ones(len(weights.values)) * weights.scale)
    ours.weight.data = _single(weights.values).reshape(ours.weight.shape)


def _single(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x).float()
