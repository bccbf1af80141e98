"""Layers of spiking networks as software has them, as the tables of event-driven inference."""

from __future__ import annotations

from typing import cast

import numpy as np

from mapping.ir.graph import Branch, Graph
from mapping.ir.ops import Gather, Lif
from mapping.kernels.inference import Arrays
from mapping.networks import event_tables as tables
from mapping.networks.event_layers import NO_KEYS, EventInput, EventLayer, input_order, neuron_tables, wires_of


def ideal_layers(graph: Graph, t_steps: int, dtype: np.dtype) -> list[EventLayer]:
    """Return the tables of layers, their pooling fused, as software has them."""
    found, layers = [], graph.layers()
    number = {layer.activation.name: k for k, layer in enumerate(layers)}
    for branches, _, norm, (_, activation) in layers:
        neurons = cast(Lif, activation)
        ops = [branch.weights.op for branch in branches]
        n_out = len(ops[0].values)
        gain, constant = np.ones(n_out), sum((op.bias for op in ops if op.bias is not None), np.zeros(n_out))
        if norm is not None:
            gain = norm.op.gamma / norm.op.deviation
            constant = (constant - norm.op.mean) * gain + norm.op.shift
        inputs = tuple(_ideal_input(graph, branch, number.get(branch.source, -1), gain, dtype) for branch in branches)
        parameters = constant.reshape(-1, 1, 1), neurons.threshold, neurons.threshold, neurons.beta.clip(0, 1)
        out_shape = graph.shapes[branches[0].weights.name]
        made = neuron_tables(neurons.neuron, out_shape, parameters, 0.0, t_steps, dtype)
        found.append(EventLayer(inputs, made, NO_KEYS.comparator, t_steps, out_shape))
    return found


def _ideal_input(graph: Graph, branch: Branch, source: int, gain: np.ndarray, dtype: np.dtype) -> EventInput:
    (name, weights), spec, channels = branch.weights, branch.weights.op.geometry, branch.weights.op.values.shape[1]
    after, given = graph.shapes[branch.source], graph.shapes[graph.before(name)[0].source]
    in_shape, _ = spec.shapes(given)
    scale = (gain * weights.scale)[:, None, None, None]
    arrays = Arrays(
        order=input_order(spec, given),
        n_channels=channels,
        width=in_shape[2],
        reach=tables.reach(spec, in_shape, spec.out, spec.pool),
        groups=tables.groups(
            [(0, channels)], channels, [tables.fused_lines(weights.values * scale, spec.pool, spec.step)], [0], dtype
        ),
        variance=np.empty(0, dtype),
        power=tables.no_power(in_shape, dtype),
        by_line=False,
    )
    table = cast(Gather, branch.before[0].op).table if branch.before else None
    wires = wires_of(table, after, given)
    return EventInput(source, branch.delay, wires, arrays, tables.no_readout(dtype), NO_KEYS)
