"""Layers as tensors: all that a chip can be made of, in dense operations, and arrays that age meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mapping.chip.ageing import Ageing, CellVoltages, wear
from mapping.chip.layer import MappedLayer
from mapping.chip.periphery.ledger import Ledger
from mapping.chip.reading import Sums
from mapping.chip.row_tile import noisy, weighted
from mapping.engines.base import Done, Task
from xbarsim.draws import normal

Draws = tuple[list[Tensor], list[Tensor]]  # normal numbers for reads and for conversions, one of each row tile


_BATCHES = 25, 50  # images whose tensors are held in memory: of many frames, and of up to 8


class DenseEngine:
    """Adds up currents by dense tensors."""

    name = "dense"
    in_threads = False  # tensors have threads of their own

    def refusal(self, layer: MappedLayer) -> str:
        """Return nothing: it runs all layers."""
        return ""

    def size(self, layers: Sequence[MappedLayer], n_images: int) -> int:
        """Return how many images a task has."""
        return _BATCHES[layers[0].t_steps <= 8]

    def prepare(self, task: Task) -> None:
        """Make nothing."""

    def outputs(self, task: Task) -> list[np.ndarray]:
        """Return the outputs of every layer."""
        return [outputs for outputs, _, _ in self.run(task)]

    def classify(self, task: Task) -> Done:
        """Return classes and counts; the latter without what wordlines do."""
        outputs, states, ledgers = zip(*self.run(task))
        return Done(task.codec.classes(outputs[-1], states[-1]), list(ledgers))

    def run(self, task: Task) -> Iterator[tuple[np.ndarray, Tensor, Ledger]]:
        """Yield outputs, what they were made from, and counts of each layer, see :func:`forward`."""
        x, analog = task.codec.encoded(task.images, task.first)
        for layer in task.layers:
            outputs, state, ledger = forward(layer, x, analog, task.first, task.ageing)
            yield outputs, state, ledger
            if layer is not task.layers[-1]:
                x, analog = task.codec.passed_on(outputs)


def forward(
    layer: MappedLayer, x: np.ndarray, analog: bool, first: int = 0, ageing: Ageing | None = None
) -> tuple[np.ndarray, Tensor, Ledger]:
    """Run all time steps; return outputs, what they were made from, and what was counted.

    Parameters
    ----------
    x : array, (t_steps, n, ...) or (1, n, ...)
        Wordline voltages over v_read, in [0, 1], a frame for each step. One frame is a constant input.
    analog : bool
        Whether a DAC drives the wordlines; otherwise x is spikes, 0 or 1.
    first : int
        Number of the first image, part of the key of noise.
    ageing : Ageing, optional
        How the reads age the arrays while they happen.

    Returns
    -------
    outputs : array, (t_steps, n, channels, height, width)
        Spikes, 0 or 1; of a conventional layer whole numbers or logits, (1, ...).
    state : Tensor, the same shape
        Membranes before they are reset, in units of a weight; of a conventional layer the outputs again.
    ledger : Ledger
    """
    ledger, t_steps, (flat, inputs) = Ledger(), layer.t_steps, _prepared(layer, x)
    frames, n = x.shape[:2]
    held = frames == 1 and layer.chip.constant_input == "once"
    noise = noise_draws(layer, 1 if held else t_steps, n, first)
    if ageing is None:
        repeats = t_steps if frames == 1 and not held else 1
        current = currents(layer, inputs, slice(0, t_steps), noise, repeats, ledger)
        layer.count_reads(len(flat), _sums(layer, flat, analog), analog, repeats, ledger)
    else:
        current = currents_while_ageing(layer, flat, inputs, analog, held, noise, ledger, ageing)
    fired, state, reset = layer.neurons.fire(current, first)
    outputs = fired.contiguous().numpy()
    layer.neurons.count(n, *layer.neurons.tally(outputs), reset, ledger)
    if layer.neurons.serial:  # as an operation an input counts once, whatever its bits
        ledger.driven = layer.reading.driven(x.reshape(frames, n, *layer.layer.in_shape).max(0))
    return outputs, state, ledger


def _prepared(layer: MappedLayer, x: np.ndarray) -> tuple[np.ndarray, Tensor]:
    """Return samples (t_steps, n, ...) one after the other, and as a tensor with both axes."""
    flat = np.ascontiguousarray(x.reshape(-1, *layer.layer.in_shape))
    return flat, torch.from_numpy(flat).to(layer.dtype).reshape(*x.shape[:2], *layer.layer.in_shape)


def currents(layer: MappedLayer, inputs: Tensor, steps: slice, noise: Draws, repeats: int, ledger: Ledger) -> Tensor:
    """Return the current of some time steps, (steps, n, ...), or (1, n, ...) if it is the same in all of them.

    ``repeats`` is how often each of its reads happens.
    """
    x, spec = inputs if len(inputs) == 1 else inputs[steps], layer.layer.spec
    flat = x.flatten(0, 1)
    of_reads, of_adcs = ([z[steps] for z in part] for part in noise)
    if layer.chip.linear:
        current = weighted(flat, layer.effective_weights, spec, spec.pool)
        if of_reads:
            current = noisy(current, weighted(flat**2, layer.noise, spec, spec.pool), of_reads[0])
    else:
        draws = zip_longest(layer.row_tiles, of_reads, of_adcs)  # None where nothing is drawn
        parts = [row.partial(flat, reads, adcs, repeats, ledger) for row, reads, adcs in draws]
        current = torch.cat(parts, 1) if layer.neurons.n_votes > 1 else sum(parts[1:], parts[0])
        if spec.pool_by == "maximum":
            current = F.max_pool2d(current, spec.pool)
    return current.reshape(-1, x.shape[1], *current.shape[1:])


def currents_while_ageing(
    layer: MappedLayer,
    x: np.ndarray,
    inputs: Tensor,
    analog: bool,
    held: bool,
    noise: Draws,
    ledger: Ledger,
    ageing: Ageing,
) -> Tensor:
    """Return the current of all time steps, each of them ageing the arrays, which are solved again as they move."""
    t_steps, n = layer.t_steps, inputs.shape[1]
    dt = n * ageing.step_time * (t_steps if held else 1)
    parts, start, whole = [], 0, None
    for t in range(1 if held else t_steps):
        if len(inputs) > 1 or t == 0:
            now = layer.activity(x[t * n : (t + 1) * n], analog)
        moved = []
        for row, activity in enumerate(now):
            for tile in layer.row_tiles[row].tiles:
                if tile not in ageing.voltages:
                    whole = whole or layer.activity(x, analog)
                    ageing.voltages[tile] = CellVoltages.of(tile, whole[row])
                wear(tile, ageing.voltages[tile], activity, 1.0, ageing.temperature)
                tile.die.advance(dt=dt, temperature=ageing.temperature)
                if tile.moved > ageing.tolerance:
                    moved.append(tile)
        if moved or t + 1 == t_steps or held:
            repeats = t + 1 - start if len(inputs) == 1 else 1
            current = currents(layer, inputs, slice(start, t + 1), noise, repeats, ledger)
            read = x if len(inputs) == 1 else x[start * n : (t + 1) * n]
            layer.count_reads(len(read), _sums(layer, read, analog), analog, repeats, ledger)
            parts.append(current if held else current.expand(t + 1 - start, *current.shape[1:]))
            start = t + 1
        for tile in moved:
            tile.refresh()
            del ageing.voltages[tile]
        ageing.refreshes += len(moved)
        if moved:
            layer.assemble()
    return torch.cat(parts)


def noise_draws(layer: MappedLayer, t_steps: int, n: int, first: int) -> Draws:
    """Return standard normal numbers (t_steps, n, ...) for reads and conversions, the same in any batch."""
    positions = layer.layer.spec.read_positions(layer.layer.in_shape)
    reads: list[tuple[int, int, int]] = []
    conversions: list[tuple[int, int, int]] = []
    if layer.reads_are_noisy:
        by_row_tile: list[tuple[int, int, int]] = [(row.n_seen, *positions) for row in layer.row_tiles]
        reads = [layer.layer.out_shape] if layer.chip.linear else by_row_tile
    adc = layer.row_tiles[0].adc
    if adc is not None and adc.noise:
        conversions = [(row.n_conversions, *positions) for row in layer.row_tiles]
    drawn: Draws = ([], [])
    for into, keys, shapes in zip(drawn, layer.noise_keys(), (reads, conversions)):
        for key, shape in zip(keys, shapes):
            z = normal(key, first, n, t_steps, shape)
            into.append(torch.from_numpy(z).to(layer.dtype))
    return drawn


def _sums(layer: MappedLayer, x: np.ndarray, analog: bool) -> Sums:
    return layer.reading.sums(x, analog, layer.admittance, layer.line_conductance)
