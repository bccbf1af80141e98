"""The network that computes what a graph of real weights and spiking neurons says."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch

from mapping.ir.graph import Graph
from mapping.ir.ops import Lif, Norm, Weights
from mapping.ir.shapes import Shape
from mapping.lower.fuse import fuse
from mapping.networks.layers import SpikingLayer
from mapping.networks.network import Network
from mapping.networks.spec import LayerSpec, NetworkSpec
from xbarsim.errors import ParameterError


def network_of(graph: Graph, t_steps: int) -> Network:
    """Return the network; weights that are plus and minus one number for each output become binary ones.

    Raises
    ------
    ParameterError
        If layers do not follow each other, or numbers cannot be computed with.
    """
    graph = fuse(graph)
    layers = graph.layers()
    specs = [
        LayerSpec(
            **weights.geometry.model_dump(),
            batch_norm=norm is not None,
            weights="float" if _magnitudes(weights) is None else "binary",
            neuron=cast(Lif, neurons).neuron.model_dump(exclude_unset=True),
        )
        for (_, weights), _, norm, (_, neurons) in layers
    ]
    common = specs[0].neuron
    network = Network(
        NetworkSpec(input_shape=graph.input.shape, layers=specs, weights="float", t_steps=t_steps, **common)
    )
    for ((name, weights), _, norm, (activation, op)), ours in zip(layers, network.layers):
        neurons, shape = cast(Lif, op), graph.shapes[activation]
        ours.threshold, ours.beta = (_on(x, shape, name) for x in (neurons.threshold, neurons.beta))
        _fill(weights, None if norm is None else norm.op, ours)
        for tensor, value in ours.state_dict().items():
            wrong = ours.fault(tensor, value)
            if wrong is not None:  # finite as it came, but not with its batch norm and scales folded
                raise ParameterError(f"{name}: its {tensor} here {wrong}")
    return network.eval()


def _magnitudes(weights: Weights) -> np.ndarray | None:
    """Return |w| of each output if it is one number above 0 for all of its inputs."""
    size = np.abs(weights.values.reshape(len(weights.values), -1))
    same = np.allclose(size, size[:, :1], rtol=1e-6, atol=0) and (size > 0).all()
    return size[:, 0] if same else None


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


def _fill(weights: Weights, norm: Norm | None, ours: SpikingLayer) -> None:
    """Copy numbers; the magnitudes of binary weights and a scale move into thresholds, bias and batch norm."""
    size = _magnitudes(weights)
    inner = np.ones(len(weights.values)) if size is None else size
    inner = inner * weights.scale  # what the currents of ours have to be multiplied with
    if weights.bias is not None and ours.bias is not None:
        ours.bias.data = _single(weights.bias / inner)
    if norm is not None and ours.norm is not None:
        ours.norm.running_mean = _single(norm.mean / inner)
        # may be below 0; with our eps it is not
        ours.norm.running_var = _single((norm.var + norm.eps) / inner**2 - ours.norm.eps)
        ours.norm.weight.data, ours.norm.bias.data = _single(norm.gamma), _single(norm.shift)
        inner = np.ones_like(inner)
    if np.any(inner != 1):
        ours.threshold = ours.threshold / torch.from_numpy(inner.reshape(-1, 1, 1))
    values = weights.values if size is None else np.sign(weights.values)
    ours.weight.data = _single(values).reshape(ours.weight.shape)


def _single(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x).float()
