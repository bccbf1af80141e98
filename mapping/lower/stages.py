"""Stages: what each layer of a network asks of arrays and of the circuits behind them; plain data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapping.ir.graph import Graph
from mapping.ir.ops import Activation
from mapping.ir.shapes import Geometry, Shape


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Weights as arrays hold them, and the neurons behind them.

    Attributes
    ----------
    name : str
    spec : Geometry
        Kernel, pooling, kind.
    in_shape, out_shape : (channels, height, width)
    weights : int8 array, (n_out, n_in)
        +-1, or 0; inputs in the order (channel, kernel row, kernel column).
    constant : array, (n_out,)
        What bias and batch norm add for spiking neurons at every step.
    activation : Lif or QuantizedRelu
        Thresholds in units of a weight.
    slices : int
        Outputs that carry one bit each of the same output, as of multi-bit weights.
    """

    name: str
    spec: Geometry
    in_shape: Shape
    out_shape: Shape
    weights: np.ndarray
    constant: np.ndarray
    activation: Activation
    slices: int = 1

    @property
    def n_positions(self) -> int:
        """Reads of the array per time step: positions of the kernel for a convolution, one for a dense layer."""
        rows, cols = self.spec.read_positions(self.in_shape)
        return rows * cols


def stages(graph: Graph) -> list[Stage]:
    """Each node of weights and its neurons become a stage, in the order in which they run."""
    made = []
    for (name, weights), _, _, (_, neurons) in graph.layers():
        n_out = len(weights.values)
        (before,) = graph.before(name)
        made.append(
            Stage(
                name=name,
                spec=weights.geometry,
                in_shape=weights.geometry.shapes(graph.shapes[before.source])[0],
                out_shape=graph.shapes[name],
                weights=weights.values.reshape(n_out, -1),
                constant=np.zeros(n_out) if weights.bias is None else weights.bias,
                activation=neurons,
                slices=weights.slices,
            )
        )
    return made
