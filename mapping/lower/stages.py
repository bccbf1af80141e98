"""Stages: what each layer of a network asks of arrays and of the circuits behind them; plain data."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import cast

import numpy as np

from mapping.ir.components import Component, components
from mapping.ir.graph import Graph
from mapping.ir.ops import Activation, Gather, Pool, added
from mapping.ir.shapes import Geometry, Shape
from xbarsim.errors import ParameterError

INPUT = -1  # as a source


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Wordlines of a layer: weights as arrays hold them, and what drives them.

    Attributes
    ----------
    source, delay : int
        Which stage drives them, :data:`INPUT` for what drives the network, with the spikes of how many steps before.
    after, given : (channels, height, width)
        The shape of its outputs, and of what is left of them behind wires.
    gather : int array, (n_inputs, width), optional
        Which of them drive each input, as in :class:`mapping.ir.ops.Gather`; without it each drives the one of its
        number.
    spec : Geometry
        Kernel, pooling, kind.
    in_shape : (channels, height, width)
        Of the inputs as weights see them.
    weights : array, (n_out, n_in)
        +-1, or 0, of cells of two states; whole numbers up to the highest level, or real ones from -1 to 1, of others;
        inputs in the order (channel, kernel row, kernel column).
    slices, base : int
        Outputs that carry one digit each of the same output, as of multi-bit weights, and what the digits are to.
    """

    source: int
    delay: int
    after: Shape
    given: Shape
    gather: np.ndarray | None
    spec: Geometry
    in_shape: Shape
    weights: np.ndarray
    slices: int = 1
    base: int = 2

    @property
    def digits(self) -> np.ndarray:
        """What one of each slice counts, (slices,): 1, 2, 4 and so on where they carry bits."""
        return float(self.base) ** np.arange(self.slices)

    @property
    def worth(self) -> np.ndarray:
        """What one of each output counts, (n_out,)."""
        return np.repeat(self.digits, len(self.weights) // self.slices)

    @property
    def n_positions(self) -> int:
        """Reads of its arrays per time step: positions of the kernel for a convolution, one for a dense layer."""
        rows, cols = self.spec.read_positions(self.in_shape)
        return rows * cols

    @property
    def n_ors(self) -> int:
        """Gates of two inputs that make one of all that drives each input."""
        return 0 if self.gather is None else int(np.maximum((self.gather >= 0).sum(1) - 1, 0).sum())

    @property
    def n_waiting(self) -> int:
        """Outputs of the source that wait for a later time step."""
        return self.delay * prod(self.after)

    def taken(self, x: np.ndarray, t_steps: int) -> np.ndarray:
        """Return outputs of the source, (t_steps or 1, n, ...), as they arrive here, (t_steps or 1, n, *in_shape)."""
        if self.delay:
            x = np.broadcast_to(x, (t_steps, *x.shape[1:]))
            x = np.concatenate([np.zeros_like(x[: self.delay]), x[: t_steps - self.delay]])
        if self.gather is not None:
            padded = np.concatenate([x.reshape(*x.shape[:2], -1), np.zeros((*x.shape[:2], 1), x.dtype)], 2)
            x = padded[:, :, self.gather].max(3)
        return x.reshape(*x.shape[:2], *self.in_shape)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Weights whose outputs are added up, and the neurons behind them.

    Attributes
    ----------
    name : str
    rows : tuple of Rows
        The wordlines that each source drives.
    out_shape : (channels, height, width)
        Of what its arrays give, slices one by one.
    constant : array, (n_out,)
        What bias and batch norm add for spiking neurons at every step.
    activation : Lif or QuantizedRelu
        Thresholds in units of a weight.
    """

    name: str
    rows: tuple[Rows, ...]
    out_shape: Shape
    constant: np.ndarray
    activation: Activation

    @property
    def slices(self) -> int:
        """Outputs that carry one digit each of the same output."""
        return self.rows[0].slices

    @property
    def neurons(self) -> Shape:
        """Shape of its outputs, slices added up."""
        return added(self.out_shape, self.slices)

    @property
    def spec(self) -> Geometry:
        """That of its first rows; outputs and pooling are those of all."""
        return self.rows[0].spec

    @property
    def weights(self) -> np.ndarray:
        """Of all rows, (n_out, n_in)."""
        return self.rows[0].weights if len(self.rows) == 1 else np.hstack([rows.weights for rows in self.rows])

    @property
    def n_positions(self) -> int:
        """Reads of its arrays per time step."""
        return self.rows[0].n_positions


def stages(graph: Graph) -> list[Stage]:
    """Each sum of weights and its neurons become a stage, in the order in which they run."""
    layers, made = graph.layers(), []
    number = {layer.activation.name: k for k, layer in enumerate(layers)}
    for layer in layers:
        rows = []
        for (name, weights), before, source, delay in layer.branches:
            if any(isinstance(node.op, Pool) for node in before) or len(before) > 1:
                raise ParameterError(f"{before[0].name}: lies before weights; pool_spikes makes one set of wires of it")
            (edge,) = graph.before(name)
            rows.append(
                Rows(
                    source=number.get(source, INPUT),
                    delay=delay,
                    after=graph.shapes[source],
                    given=graph.shapes[edge.source],
                    gather=cast(Gather, before[0].op).table if before else None,
                    spec=weights.geometry,
                    in_shape=weights.geometry.shapes(graph.shapes[edge.source])[0],
                    weights=weights.values.reshape(len(weights.values), -1),
                    slices=weights.slices,
                    base=layer.activation.op.base,
                )
            )
        first, n_out = layer.branches[0].weights, len(rows[0].weights)
        made.append(
            Stage(
                name=layer.name,
                rows=tuple(rows),
                out_shape=graph.shapes[first.name],
                constant=np.zeros(n_out) if first.op.bias is None else first.op.bias,
                activation=layer.activation.op,
            )
        )
    return made


def order_of(made: list[Stage]) -> list[Component]:
    """Return the stages in the order in which they run, those of loops together."""
    return components([[rows.source for rows in stage.rows] for stage in made])
