"""Layers as tensors: all that a chip can be made of, in dense operations, and arrays that age meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mapping.chip.activity import Activity
from mapping.chip.ageing import Ageing, CellVoltages, wear
from mapping.chip.layer import MappedLayer
from mapping.chip.neurons import Neurons
from mapping.chip.periphery.ledger import Ledger
from mapping.chip.row_tile import noisy, weighted
from mapping.chip.wordlines import Wordlines
from mapping.engines.base import Done, Task
from mapping.engines.codecs import Frames
from mapping.ir.components import Component
from mapping.lower.stages import INPUT
from mapping.networks.dynamics import LifState
from xbarsim.draws import normal
from xbarsim.errors import ParameterError


class Draws(NamedTuple):
    """Normal numbers (t_steps, n, ...) for reads and for conversions, of each row tile; none where nothing is noisy."""

    reads: list[Tensor]
    conversions: list[Tensor]


class Outcome(NamedTuple):
    """What a layer did: its outputs, what they were made from, and what was counted.

    outputs : array, (t_steps, n, channels, height, width)
        Spikes, 0 or 1; of a conventional layer whole numbers or logits, (1, ...).
    state : Tensor, the same shape
        Membranes before they are reset, in units of a weight; of a conventional layer the outputs again.
    ledger : Ledger
    """

    outputs: np.ndarray
    state: Tensor
    ledger: Ledger


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
        return [done.outputs for done in self.run(task)]

    def classify(self, task: Task) -> Done:
        """Return classes and counts; the latter without what wordlines do."""
        done = self.run(task)
        read = [done[k] for k in task.codec.outputs]
        classes = task.codec.classes([one.outputs for one in read], [one.state for one in read])
        return Done(classes, [one.ledger for one in done])

    @staticmethod
    def _is_read(task: Task, k: int) -> bool:
        return any(part.rows.source == k for layer in task.layers for part in layer.wordlines)

    def run(self, task: Task) -> list[Outcome]:
        """Return what every layer does."""
        given = {INPUT: task.codec.encoded(task.images, task.first)}
        done: dict[int, Outcome] = {}
        for component in task.order:
            found = run_component(task.layers, component, given, task.first, task.ageing)
            given |= {k: task.codec.passed_on(one.outputs) for k, one in found.items() if self._is_read(task, k)}
            done |= found
        return [done[k] for k in range(len(task.layers))]


def run_component(
    layers: Sequence[MappedLayer],
    component: Component,
    given: Mapping[int, Frames],
    first: int = 0,
    ageing: Ageing | None = None,
) -> dict[int, Outcome]:
    """Run all time steps of layers that run together; return what each of them does, by its number.

    Parameters
    ----------
    layers : sequence of MappedLayer
        Of the whole network.
    component : Component
    given : mapping of Frames
        What drives the layers of other components, by the numbers of those that give it.
    first : int
        Number of the first image, part of the key of noise.
    ageing : Ageing, optional
        How the reads age the arrays while they happen.
    """
    if component.loops:
        if ageing is not None:
            raise ParameterError("ageing_by = 'step': layers in a loop age by batches only; give ageing_by = 'batch'")
        return _loop(layers, component.layers, given, first)
    (k,) = component.layers
    layer, ledger = layers[k], Ledger()
    drives = [Drive.of(layer, part, *given[part.rows.source]) for part in layer.wordlines]
    n = drives[0].x.shape[1]
    noise = noise_draws(layer, 1 if all(d.held for d in drives) else layer.t_steps, n, first)
    if ageing is None:
        steps = slice(0, layer.t_steps)
        current = combined(layer, [contribution(layer, d, steps, noise, ledger) for d in drives], noise, steps)
        for drive in drives:
            drive.count(ledger)
    else:
        current = currents_while_ageing(layer, drives, noise, ledger, ageing)
    fired, state, reset = layer.neurons.fire(current, first)
    outputs = fired.contiguous().numpy()
    layer.neurons.count(n, *layer.neurons.tally(outputs), reset, ledger)
    if layer.neurons.serial:  # as an operation an input counts once, whatever its bits
        ledger.driven = sum(drive.part.reading.driven(drive.x.max(0)) for drive in drives)
    return {k: Outcome(outputs, state, ledger)}


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


def _loop(
    layers: Sequence[MappedLayer], numbers: Sequence[int], given: Mapping[int, Frames], first: int
) -> dict[int, Outcome]:
    """Run layers that read what they fired in steps before, step by step."""
    runs = {k: _Stepwise(layers[k], given, first) for k in numbers}
    fired: dict[int, list[np.ndarray]] = {k: [] for k in numbers}
    for t in range(layers[numbers[0]].t_steps):
        for k in numbers:
            fired[k].append(runs[k].step(t, fired))
    return {k: runs[k].outcome(fired) for k in numbers}


class _Stepwise:
    """A layer in a loop: what drives it from outside, and what its neurons have kept."""

    def __init__(self, layer: MappedLayer, given: Mapping[int, Frames], first: int) -> None:
        assert isinstance(layer.neurons, Neurons)  # conventional networks have no loops
        self.layer, self.neurons, self.ledger = layer, layer.neurons, Ledger()
        self.n = next(iter(given.values()))[0].shape[1]
        self.outer = {
            j: Drive.of(layer, part, *given[part.rows.source])
            for j, part in enumerate(layer.wordlines)
            if part.rows.source in given
        }
        self.noise = noise_draws(layer, layer.t_steps, self.n, first)
        self.comparators = layer.neurons.comparator_noise(self.n, first)
        self.constant: dict[int, list[Tensor]] = {}
        self.state: LifState | None = None
        self.membranes: list[Tensor] = []
        self.reset = 0.0

    def step(self, t: int, fired: Mapping[int, list[np.ndarray]]) -> np.ndarray:
        """Return the spikes of time step t, (n, channels, height, width)."""
        parts = [self._from(j, t, fired) for j in range(len(self.layer.wordlines))]
        current = combined(self.layer, parts, self.noise, slice(t, t + 1))
        spikes, membrane, reset, self.state = self.neurons.step(current, self.state, t, self.comparators)
        self.membranes.append(membrane[0])
        self.reset += reset
        return spikes[0].numpy()

    def _from(self, j: int, t: int, fired: Mapping[int, list[np.ndarray]]) -> list[Tensor]:
        """Return what wordlines number j give in time step t."""
        layer, part, steps = self.layer, self.layer.wordlines[j], slice(t, t + 1)
        if j not in self.outer:
            drive = self._inner(part, t, fired)
            return contribution(layer, drive, steps, self.noise, self.ledger)
        drive = self.outer[j]
        once = len(drive.x) == 1 and (drive.held or layer.chip.linear or not any(self.noise))
        if not once:
            return contribution(layer, drive, steps, self.noise, self.ledger, 1)
        if t == 0:
            self.constant[j] = contribution(layer, drive, steps, self.noise, self.ledger)
        return self.constant[j]

    def _inner(self, part: Wordlines, t: int, fired: Mapping[int, list[np.ndarray]]) -> Drive:
        """Return what drives wordlines that read the spikes of the same loop."""
        rows = part.rows
        none = np.zeros((self.n, *rows.after), self.layer.number_type)
        x = fired[rows.source][t - rows.delay] if t >= rows.delay else none
        return Drive.of(self.layer, part, x[None], False, late=True)

    def outcome(self, fired: Mapping[int, list[np.ndarray]]) -> Outcome:
        """Return what the layer did in all steps, counted."""
        layer = self.layer
        number = layer.number
        for j, part in enumerate(layer.wordlines):
            inner = j not in self.outer
            drive = Drive.of(layer, part, np.array(fired[part.rows.source]), False) if inner else self.outer[j]
            drive.count(self.ledger)
        outputs = np.array(fired[number])
        self.neurons.count(self.n, *self.neurons.tally(outputs), self.reset, self.ledger)
        return Outcome(outputs, torch.stack(self.membranes), self.ledger)


def currents_while_ageing(
    layer: MappedLayer, drives: Sequence[Drive], noise: Draws, ledger: Ledger, ageing: Ageing
) -> Tensor:
    """Return the current of all time steps, each of them ageing the arrays, which are solved again as they move."""
    t_steps, n = layer.t_steps, drives[0].x.shape[1]
    held, constant = all(drive.held for drive in drives), all(len(drive.x) == 1 for drive in drives)
    dt = n * ageing.step_time * (t_steps if held else 1)
    parts, start = [], 0
    now: list[list[Activity]] = []
    whole: list[list[Activity]] | None = None
    for t in range(1 if held else t_steps):
        if not constant or t == 0:
            now = [drive.part.activity(drive.x[t if len(drive.x) > 1 else 0], drive.analog) for drive in drives]
        moved = []
        for j, (drive, rows) in enumerate(zip(drives, now)):
            for number, (row, activity) in enumerate(zip(drive.part.row_tiles, rows)):
                for tile in row.tiles:
                    if tile not in ageing.voltages:
                        whole = whole or [d.part.activity(d.x.reshape(-1, *d.x.shape[2:]), d.analog) for d in drives]
                        ageing.voltages[tile] = CellVoltages.of(tile, whole[j][number])
                    wear(tile, ageing.voltages[tile], activity, 1.0, ageing.temperature)
                    tile.die.advance(dt=dt, temperature=ageing.temperature)
                    if tile.moved > ageing.tolerance:
                        moved.append(tile)
        if moved or t + 1 == t_steps or held:
            steps = slice(start, t + 1)
            times = [t + 1 - start if len(drive.x) == 1 and not drive.held else 1 for drive in drives]
            given = [contribution(layer, d, steps, noise, ledger, repeats) for d, repeats in zip(drives, times)]
            current = combined(layer, given, noise, steps)
            for drive, repeats in zip(drives, times):
                drive.count(ledger, steps, repeats)
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
