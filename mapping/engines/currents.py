"""What drives the wordlines of a layer, and the currents that come of it, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mapping.chip.activity import Activity
from mapping.chip.layer import MappedLayer
from mapping.chip.neurons import Neurons
from mapping.chip.periphery.ledger import Ledger
from mapping.chip.row_tile import noisy, weighted
from mapping.chip.wordlines import Wordlines
from xbarsim.draws import normal


class Draws(NamedTuple):
    """Normal numbers (t_steps, n, ...) for reads and for conversions, of each row tile; none where nothing is noisy."""

    reads: list[Tensor]
    conversions: list[Tensor]


@dataclass(frozen=True)
class Drive:
    """What drives some wordlines of a layer.

    Attributes
    ----------
    part : Wordlines
    x : array, (t_steps, n, *in_shape) or (1, n, *in_shape)
        Wordline voltages over v_read, in [0, 1], a frame for each step. One frame is a constant input.
    tensor : Tensor
        The same.
    analog : bool
        Whether a DAC drives the wordlines; otherwise x is spikes, 0 or 1.
    held : bool
        Whether a constant input is read in the first step only.
    repeats : int
        How often each of its frames is read.
    """

    part: Wordlines
    x: np.ndarray
    tensor: Tensor
    analog: bool
    held: bool
    repeats: int

    @classmethod
    def of(cls, layer: MappedLayer, part: Wordlines, x: np.ndarray, analog: bool, late: bool = False) -> Drive:
        """Return what outputs of the source of some wordlines, (t_steps or 1, n, ...), do to them.

        With ``late`` they are those of one time step, and have been delayed already.
        """
        rows = replace(part.rows, delay=0) if late else part.rows
        x = np.ascontiguousarray(rows.taken(x, layer.t_steps))
        constant = len(x) == 1 and not late
        held = constant and layer.chip.constant_input == "once"
        repeats = layer.t_steps if constant and not held else 1
        return cls(part, x, torch.from_numpy(x).to(layer.dtype), analog, held, repeats)

    @cached_property
    def whole(self) -> list[Activity]:
        """What the wordlines of each row tile do in all time steps together."""
        return self.part.activity(self.x.reshape(-1, *self.x.shape[2:]), self.analog)

    def at(self, steps: slice) -> Tensor:
        """Return the frames of some time steps, or the one of all."""
        return self.tensor if len(self.tensor) == 1 else self.tensor[steps]

    def count(self, ledger: Ledger, steps: slice = slice(None), repeats: int | None = None) -> None:
        """Count what reading the frames of some time steps makes of the arrays as they were solved."""
        flat = (self.x if len(self.x) == 1 else self.x[steps]).reshape(-1, *self.x.shape[2:])
        sums = self.part.sums(flat, self.analog)
        self.part.count_reads(len(flat), sums, self.analog, self.repeats if repeats is None else repeats, ledger)


def contribution(
    layer: MappedLayer, drive: Drive, steps: slice, noise: Draws, ledger: Ledger, repeats: int | None = None
) -> list[Tensor]:
    """Return what some wordlines give to a layer's currents in some time steps.

    Of a layer whose currents are a product with one matrix, they and the variance of their noise if they have any;
    otherwise the currents of each row tile, noise included. Each (steps, n, ...), or (1, n, ...) if it is the same in
    all of them.

    ``repeats`` is how often each of the reads happens.
    """
    x, part, spec = drive.at(steps), drive.part, drive.part.rows.spec
    flat, n = x.flatten(0, 1), x.shape[1]
    if layer.chip.linear:
        matrices = [part.effective_weights, *([part.noise] if noise.reads else [])]
        found = [
            _merged(part, weighted(flat**power, matrix, spec, spec.pool), power)
            for power, matrix in enumerate(matrices, 1)
        ]
    else:
        of = range(part.first, part.first + len(part.row_tiles))
        times, steps = drive.repeats if repeats is None else repeats, slice(0, 1) if drive.held else steps
        found = [
            row.partial(flat, _drawn(noise.reads, k, steps), _drawn(noise.conversions, k, steps), times, ledger)
            for k, row in zip(of, part.row_tiles)
        ]
        if isinstance(layer.neurons, Neurons):
            found = [_merged(part, current, 1) for current in found]
    return [current.unflatten(0, (-1, n)) for current in found]


def _drawn(draws: list[Tensor], k: int, steps: slice) -> Tensor | None:
    return draws[k][steps] if draws else None


def _merged(part: Wordlines, x: Tensor, power: int) -> Tensor:
    """Add up the bits of the same outputs, by what they count to some power."""
    if part.rows.slices == 1:
        return x
    worth = torch.from_numpy(part.rows.digits**power).to(x)
    return torch.einsum("s,ns...->n...", worth, x.unflatten(1, (part.rows.slices, -1)))


def combined(layer: MappedLayer, contributions: Sequence[list[Tensor]], noise: Draws, steps: slice) -> Tensor:
    """Return the currents of a layer from those of all its wordlines, (steps, n, ...), or (1, n, ...) if constant."""
    if layer.chip.linear:
        current, *variance = (_sum(parts) for parts in zip(*contributions))
        if not variance:
            return current
        n, z = current.shape[1], noise.reads[0][steps]
        found: Tensor = noisy(current.flatten(0, 1), variance[0].flatten(0, 1), z).unflatten(0, (-1, n))
        return found
    parts = [part for one in contributions for part in one]
    if layer.neurons.n_votes > 1:
        most = max(len(part) for part in parts)
        return torch.cat([part.expand(most, *part.shape[1:]) for part in parts], 2)
    current = _sum(parts)
    pool = layer.layer.spec
    if pool.pool_by == "average" or pool.pool == 1:
        return current
    largest: Tensor = F.max_pool2d(current.flatten(0, 1), pool.pool).unflatten(0, current.shape[:2])
    return largest


def _sum(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def noise_draws(layer: MappedLayer, t_steps: int, n: int, first: int) -> Draws:
    """Return standard normal numbers (t_steps, n, ...) for reads and conversions, the same in any batch."""
    positions = layer.layer.spec.read_positions(layer.layer.rows[0].in_shape)
    reads: list[tuple[int, int, int]] = []
    conversions: list[tuple[int, int, int]] = []
    if layer.reads_are_noisy:
        by_row_tile: list[tuple[int, int, int]] = [(row.n_seen, *positions) for row in layer.row_tiles]
        reads = [layer.layer.neurons] if layer.chip.linear else by_row_tile
    adc = layer.row_tiles[0].adc
    if adc is not None and adc.noise:
        conversions = [(row.n_conversions, *positions) for row in layer.row_tiles]
    drawn = Draws([], [])
    for into, keys, shapes in zip(drawn, layer.noise_keys(), (reads, conversions)):
        for key, shape in zip(keys, shapes):
            z = normal(key, first, n, t_steps, shape)
            into.append(torch.from_numpy(z).to(layer.dtype))
    return drawn
