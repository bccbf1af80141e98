"""Spike by spike: the arrays, read-out and neurons of layers as the tables of event-driven inference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
import torch

from mapping.chip.activity import LEVELS, Counts
from mapping.chip.layer import MappedLayer
from mapping.chip.neurons import Neurons
from mapping.chip.periphery.ledger import Ledger
from mapping.chip.wordlines import Wordlines
from mapping.engines.base import Done, Task
from mapping.kernels import inference, sums
from mapping.kernels.inference import Arrays, Events, Keys
from mapping.kernels.readout import PAIRS, REFERENCE, SINGLE, Readout
from mapping.lower.stages import INPUT
from mapping.networks import event_tables as tables
from mapping.networks.event_layers import (
    NO_KEYS,
    EventInput,
    EventLayer,
    input_order,
    list_inputs,
    neuron_tables,
    wires_of,
)
from mapping.networks.event_runs import Fired, run_layers

_FEWEST, _MOST, _TASKS = 25, 500, 16  # images of a task, and how many tasks there should be
_ROOM = 1 << 26  # spikes that a layer's list has room for


class EventEngine:
    """Adds up currents spike by spike; with the sums that energy needs it is faster than tensors at any spike rate."""

    name = "events"
    in_threads = True

    def refusal(self, layer: MappedLayer) -> str:
        """Return what of a layer has no tables."""
        chip = layer.chip
        reasons = {
            "it does not spike": not isinstance(layer.neurons, Neurons),
            "its rows are not grounded": chip.inactive != "ground",
            "its arrays vote": chip.merging == "majority",
            "its pool takes the maximum": layer.layer.spec.pool_by == "maximum",
            "a limiter is read by differences": chip.readout.sense == "difference" and chip.limiting is not None,
        }
        return next((reason for reason, holds in reasons.items() if holds), "")

    def size(self, layers: Sequence[MappedLayer], n_images: int) -> int:
        """Return how many of so many images a task has."""
        most = _ROOM // (layers[0].t_steps * max(prod(layer.layer.out_shape) for layer in layers))
        return max(1, min(max(-(-n_images // _TASKS), _FEWEST), _MOST, most))

    def prepare(self, task: Task) -> None:
        """Make the tables of all layers."""
        for layer in task.layers:
            tables_of(layer)

    def outputs(self, task: Task) -> list[np.ndarray]:
        """Return the spikes of every layer."""
        return [fired.states[0] for fired in self._run(task, _listed(task), lambda k: True)]

    def classify(self, task: Task) -> Done:
        """Return classes and counts."""
        events, read = _listed(task), task.codec.outputs
        done, inputs = self._run(task, events, lambda k: k in read), []
        for layer in task.layers if task.counting else ():
            for part, given in zip(layer.wordlines, tables_of(layer).inputs):
                source = part.rows.source
                taken = given.taken(events if source == INPUT else done[source].events, layer.t_steps)
                inputs.append(count_inputs(part, given, taken))
        frames = events.stop.shape[1] - 1
        analog = len(events.value) > 0
        n = len(events.stop)
        ledgers = [ledger_of(layer, fired, n, frames, analog) for layer, fired in zip(task.layers, done)]
        spikes, membranes = zip(*(done[k].states for k in read))
        return Done(task.codec.classes(spikes, [torch.from_numpy(x) for x in membranes]), ledgers, inputs)

    @staticmethod
    def _run(task: Task, events: Events, dense: Callable[[int], bool]) -> list[Fired]:
        layers = [tables_of(layer) for layer in task.layers]
        return run_layers(layers, task.order, events, task.first, dense=dense)


def _listed(task: Task) -> Events:
    """Return images as events, which dies share."""
    events = (task.shared or {}).get(task.first)
    if events is None:
        events = list_inputs(*task.codec.encoded(task.images, task.first), task.layers[0].number_type)
    if task.shared is not None:
        task.shared[task.first] = events
    return events


def tables_of(layer: MappedLayer) -> EventLayer:
    """Return the tables of a layer, made once for as long as it stays as it is solved and trimmed."""
    if "events" not in layer.prepared:
        layer.prepared["events"] = event_layer(layer)
    made: EventLayer = layer.prepared["events"]
    return made


def event_layer(layer: MappedLayer) -> EventLayer:
    """Build the tables of a layer, as it is solved and trimmed now."""
    neurons, out_shape, t_steps, dtype = _neurons(layer), layer.layer.neurons, layer.t_steps, layer.number_type
    made = neuron_tables(neurons.spec, out_shape, neurons.parameters(), neurons.noise, t_steps, dtype)
    keys, comparator = _keys(layer), neurons.noise_key[None] if neurons.noise else NO_KEYS.comparator
    inputs = tuple(
        EventInput(
            source=part.rows.source,
            delay=part.rows.delay,
            wires=wires_of(part.rows.gather, part.rows.after, part.rows.given),
            arrays=_arrays(layer, part),
            readout=_readout(layer, part),
            keys=own,
        )
        for part, own in zip(layer.wordlines, keys)
    )
    noisy_lines = len(keys[0].read) + len(keys[0].converter) > 0 and not layer.chip.linear
    every_step = noisy_lines and layer.chip.constant_input != "once"
    return EventLayer(inputs, made, comparator, t_steps, out_shape, every_step)


def ledger_of(layer: MappedLayer, fired: Fired, n: int, frames: int, analog: bool) -> Ledger:
    """Return what a layer did to n samples; those of the network's input have so many frames, by a DAC or not."""
    chip, t_steps, ledger = layer.chip, layer.t_steps, Ledger()
    every_step = tables_of(layer).every_step
    for part, totals in zip(layer.wordlines, fired.sums):
        outer = part.rows.source == INPUT
        own = frames if outer and not part.rows.delay else t_steps
        held = own == 1 and chip.constant_input == "once"
        repeats = t_steps if own == 1 and not held else 1
        reads = n * (t_steps if every_step else own) * part.rows.n_positions  # as simulated
        times = repeats * n * own * part.rows.n_positions / reads
        ledger.clipped += int(totals[sums.CLIPPED])
        ledger.limited += int(totals[sums.LIMITED])
        ledger.simulated += reads * sum(row.n_conversions for row in part.row_tiles)
        if chip.limiting is not None:
            ledger.passed += reads * sum(row.n_lines for row in part.row_tiles)
            if chip.neuron.mirrors:
                ledger.mirrored += times * chip.unit_current * float(totals[sums.PASSED])
        quadratic, driven, *supplied = (
            float(totals[k]) for k in (sums.QUADRATIC, sums.DRIVEN, sums.SUPPLIED, sums.COPIED)
        )
        supplies = tuple(supplied[: len(part.line_conductance)])
        part.count_reads(n * own, (quadratic, supplies, driven), outer and analog, repeats, ledger)
    spiked, places = float(fired.sums[0, sums.SPIKES]), float(fired.sums[0, sums.PLACES])
    layer.neurons.count(n, spiked, places, spiked, ledger)
    return ledger


def count_inputs(part: Wordlines, given: EventInput, events: Events) -> np.ndarray:
    """Count how often the inputs of some wordlines, as these number them, have which level, (n_levels, n_inputs)."""
    counts = np.zeros((LEVELS if len(events.value) else 1, prod(part.rows.in_shape)), np.int64)
    inference.count_levels(events, counts)
    order = given.arrays.order
    return counts[:, np.argsort(order)] if len(order) else counts


def wordline_counts(layer: MappedLayer, part: Wordlines, inputs: np.ndarray, frames: int, n: int) -> Counts:
    """Return how often wordlines are driven in the reads of n samples of so many frames, whose inputs were counted."""
    spec, (channels, height, width) = part.rows.spec, part.rows.in_shape
    levels = np.ones(1) if len(inputs) == 1 else (np.arange(LEVELS) + 0.5) / LEVELS
    images = inputs.reshape(-1, height, width, channels)
    rows, cols = spec.read_positions(part.rows.in_shape)
    wide = np.pad(images, ((0, 0), (spec.margin,) * 2, (spec.margin,) * 2, (0, 0)))
    counts = np.empty((len(levels), channels, spec.side, spec.side))
    for ky in range(spec.side):
        for kx in range(spec.side):
            read = wide[:, ky : ky + rows * spec.step : spec.step, kx : kx + cols * spec.step : spec.step]
            counts[:, :, ky, kx] = read[:, :rows, :cols].sum((1, 2))
    held = frames == 1 and layer.chip.constant_input == "every-step"
    times = layer.t_steps if held else 1
    reads = float(times * n * frames * part.rows.n_positions)
    return Counts(reads, levels, times * counts.reshape(len(levels), -1))


def _arrays(layer: MappedLayer, part: Wordlines) -> Arrays:
    spec, chip, dtype = part.rows.spec, layer.chip, layer.number_type
    in_shape, rows = part.rows.in_shape, [row.rows for row in part.row_tiles]
    channels = in_shape[0]
    if chip.linear:
        matrices = [part.effective_weights, *([part.noise] if layer.reads_are_noisy else [])]
        wide = (
            _merged(m, part.rows.worth**power, part.rows.slices).reshape(-1, channels, spec.side, spec.side)
            for power, m in enumerate(matrices, 1)
        )
        ordered, *spreads = ([tables.fused_lines(kernel, spec.pool, spec.step)] for kernel in wide)
        parts, pool, n_lines = [(0, channels)], spec.pool, layer.layer.neurons[0]
    else:
        parts, pool, n_lines = [tables.channels_of(row, spec) for row in rows], 1, part.row_tiles[0].n_seen

        def of_lines(what: str, power: int) -> list[np.ndarray]:
            scale = chip.device.v_read / chip.unit_current
            return [
                tables.lines(tables.kernel_of(row.lines(what) * (scale / row.lsb) ** power, row.rows, spec), spec.step)
                for row in part.row_tiles
            ]

        ordered, spreads = of_lines("transfer", 1), [of_lines("noise", 2)] if layer.reads_are_noisy else []
    reach = tables.reach(spec, in_shape, n_lines, pool)
    room = 0 if chip.linear else reach.n_cols * n_lines  # of a row of positions
    groups = tables.groups(parts, channels, ordered, [room] * len(parts), dtype)
    variance = np.concatenate([s.astype(dtype).ravel() for each in spreads for s in each] or [np.empty(0, dtype)])
    power = tables.power(spec, in_shape, rows, part.admittance, part.line_conductance, dtype)
    order = input_order(spec, part.rows.given)
    return Arrays(order, channels, in_shape[2], reach, groups, variance, power, not chip.linear)


def _merged(matrix: np.ndarray, worth: np.ndarray, slices: int) -> np.ndarray:
    """Add up the rows of a matrix that carry bits of the same output."""
    if slices == 1:
        return matrix
    merged: np.ndarray = (matrix * worth[:, None]).reshape(slices, -1, matrix.shape[1]).sum(0)
    return merged


def _readout(layer: MappedLayer, part: Wordlines) -> Readout:
    chip, dtype, rows = layer.chip, layer.number_type, part.row_tiles
    adc = rows[0].adc
    number, spec, made = dtype.type, part.rows.spec, tables.no_readout(dtype)
    if chip.linear:
        return made
    if adc is not None:
        firsts = np.cumsum([0, *(c.n_converters for c in rows[0].converters)])
        converter = np.concatenate([c.of_lines + first for c, first in zip(rows[0].converters, firsts)])
        offset = np.stack([np.concatenate([c.offsets for c in row.converters])[converter] for row in rows])
        levels = [np.concatenate([c.levels for c in row.converters]) for row in rows] if adc.mismatch else []
        made = made._replace(
            top=number(adc.top_code),
            low=number(0 if adc.sense == "bitline" else -adc.top_code),
            noise=number(adc.noise * adc.top_code),
            levels=np.stack(levels).astype(dtype) if adc.mismatch else made.levels,
            converter=converter,
            offset=offset.astype(dtype),
            always=bool(adc.noise or adc.mismatch or offset.any()),
        )
    else:
        made = made._replace(offset=np.zeros((len(rows), rows[0].n_seen), dtype))
    if chip.limiting is not None:
        limit = chip.limiting.i_max / chip.unit_current / rows[0].lsb
        copies = np.concatenate([tile.copies for tile in rows[0].tiles]).astype(dtype)
        made = made._replace(limit=number(limit), smooth=chip.limiting.kind == "smooth", copies=copies)
    return made._replace(
        pairing=SINGLE if not chip.by_bitline else PAIRS if chip.weights == "differential" else REFERENCE,
        tile_stop=np.cumsum([tile.patch.n_outputs for tile in rows[0].tiles]),
        gain=np.stack([part.rows.worth * row.gains * row.lsb / spec.area for row in rows]).astype(dtype),
        pool=spec.window[0],
        across=spec.window[1],
        n_cols=layer.layer.out_shape[2],
        n_out=layer.layer.neurons[0],
        slices=part.rows.slices,
    )


def _keys(layer: MappedLayer) -> list[Keys]:
    """Return the keys of the noise of reads and converters, for the wordlines of each source."""
    (reads, conversions), adc, found = layer.noise_keys(), layer.row_tiles[0].adc, []
    none = NO_KEYS.read
    for part in layer.wordlines:
        own = slice(part.first, part.first + len(part.row_tiles))
        found.append(
            Keys(
                read=none if not layer.reads_are_noisy else reads[:1] if layer.chip.linear else reads[own],
                converter=conversions[own] if adc is not None and adc.noise else none,
                comparator=none,
            )
        )
    return found


def _neurons(layer: MappedLayer) -> Neurons:
    assert isinstance(layer.neurons, Neurons)  # refusal sees to that
    return layer.neurons
