"""Spike by spike: the arrays, read-out and neurons of layers as the tables of event-driven inference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
import torch

from mapping.chip.activity import LEVELS, Counts
from mapping.chip.layer import MappedLayer
from mapping.chip.neurons import Neurons
from mapping.chip.periphery.ledger import Ledger
from mapping.engines.base import Done, Task
from mapping.ir.shapes import Shape
from mapping.kernels import inference, sums
from mapping.kernels.inference import Arrays, Events, Keys
from mapping.kernels.readout import PAIRS, REFERENCE, SINGLE, Readout
from mapping.networks import event_tables as tables
from mapping.networks.event_layers import EventLayer, input_order, list_inputs, neuron_tables

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
        for layer, after in _with_shapes(task):
            tables_of(layer, after)

    def outputs(self, task: Task) -> list[np.ndarray]:
        """Return the spikes of every layer."""
        events, found = _listed(task), []
        for layer, after in _with_shapes(task):
            events, (spikes, _), _ = run(layer, events, after, task.first, dense=True)
            found.append(spikes)
        return found

    def classify(self, task: Task) -> Done:
        """Return classes and counts."""
        events, ledgers, inputs = _listed(task), [], []
        for layer, after in _with_shapes(task):
            if task.counting:
                inputs.append(count_inputs(layer, events, after))
            last = layer is task.layers[-1]
            events, (spikes, membrane), ledger = run(layer, events, after, task.first, dense=last)
            ledgers.append(ledger)
        return Done(task.codec.classes(spikes, torch.from_numpy(membrane)), ledgers, inputs)


def _listed(task: Task) -> Events:
    """Return images as events, which dies share."""
    events = (task.shared or {}).get(task.first)
    if events is None:
        events = list_inputs(*task.codec.encoded(task.images, task.first), task.layers[0].number_type)
    if task.shared is not None:
        task.shared[task.first] = events
    return events


def _with_shapes(task: Task) -> Iterator[tuple[MappedLayer, Shape]]:
    """Yield layers, each with the shape of its inputs."""
    before = [task.codec.network.spec.input_shape, *(layer.layer.out_shape for layer in task.layers[:-1])]
    yield from zip(task.layers, before)


def tables_of(layer: MappedLayer, after: Shape) -> EventLayer:
    """Return the tables of a layer, made once for as long as it stays as it is solved and trimmed."""
    if "events" not in layer.prepared:
        layer.prepared["events"] = event_layer(layer, after)
    made: EventLayer = layer.prepared["events"]
    return made


def event_layer(layer: MappedLayer, after: Shape) -> EventLayer:
    """Build the tables of a layer, as it is solved and trimmed now.

    ``after`` is the shape of its inputs, those of images or the spikes of the layer before.
    """
    neurons, out_shape, t_steps, dtype = _neurons(layer), layer.layer.out_shape, layer.t_steps, layer.number_type
    made = neuron_tables(neurons.spec, out_shape, neurons.parameters(), neurons.noise, t_steps, dtype)
    return EventLayer(_arrays(layer, after), _readout(layer), made, _keys(layer), t_steps, out_shape)


def run(
    layer: MappedLayer, events: Events, after: Shape, first: int, dense: bool
) -> tuple[Events, tuple[np.ndarray, np.ndarray], Ledger]:
    """Run all time steps; return what is fired, spikes and membranes as :meth:`EventLayer.run` does, and the cost.

    Parameters
    ----------
    events : Events
        One frame, which is held for all time steps, or a frame for each of them.
    after : (channels, height, width)
        Their shape.
    first : int
    dense : bool
        Whether to return spikes and membranes too.
    """
    made = tables_of(layer, after)
    t_steps, n, frames = layer.t_steps, len(events.stop), events.stop.shape[1] - 1
    held = frames == 1 and layer.chip.constant_input == "once"
    noisy_lines = len(made.keys.read) + len(made.keys.converter) > 0 and not layer.chip.linear
    every_step = noisy_lines and not held
    spikes, totals, states = made.run(events, first, dense=dense, every_step=every_step)
    repeats = t_steps if frames == 1 and not held else 1
    reads = n * (t_steps if every_step else frames) * layer.layer.n_positions  # as simulated
    times = repeats * n * frames * layer.layer.n_positions / reads
    ledger = Ledger(clipped=int(totals[sums.CLIPPED]), limited=int(totals[sums.LIMITED]))
    ledger.simulated = reads * sum(row.n_conversions for row in layer.row_tiles)
    if layer.chip.limiting is not None:
        ledger.passed = reads * sum(row.n_lines for row in layer.row_tiles)
        if layer.chip.neuron.mirrors:
            ledger.mirrored = times * layer.chip.unit_current * float(totals[sums.PASSED])
    quadratic, driven, *supplied = (float(totals[k]) for k in (sums.QUADRATIC, sums.DRIVEN, sums.SUPPLIED, sums.COPIED))
    supplies = tuple(supplied[: len(layer.line_conductance)])
    layer.count_reads(n * frames, (quadratic, supplies, driven), len(events.value) > 0, repeats, ledger)
    spiked, places = float(totals[sums.SPIKES]), float(totals[sums.PLACES])
    layer.neurons.count(n, spiked, places, spiked, ledger)
    return spikes, states, ledger


def count_inputs(layer: MappedLayer, events: Events, after: Shape) -> np.ndarray:
    """Count how often the inputs of a layer, as it numbers them, have which level, (n_levels, n_inputs)."""
    counts = np.zeros((LEVELS if len(events.value) else 1, prod(layer.layer.in_shape)), np.int64)
    inference.count_levels(events, counts)
    order = tables_of(layer, after).arrays.order
    return counts[:, np.argsort(order)] if len(order) else counts


def wordline_counts(layer: MappedLayer, inputs: np.ndarray, frames: int, n: int) -> Counts:
    """Return how often wordlines are driven in the reads of n samples of so many frames, whose inputs were counted."""
    spec, (channels, height, width) = layer.layer.spec, layer.layer.in_shape
    levels = np.ones(1) if len(inputs) == 1 else (np.arange(LEVELS) + 0.5) / LEVELS
    images = inputs.reshape(-1, height, width, channels)
    rows, cols = spec.read_positions(layer.layer.in_shape)
    wide = np.pad(images, ((0, 0), (spec.margin,) * 2, (spec.margin,) * 2, (0, 0)))
    counts = np.empty((len(levels), channels, spec.kernel, spec.kernel))
    for ky in range(spec.kernel):
        for kx in range(spec.kernel):
            read = wide[:, ky : ky + rows * spec.stride : spec.stride, kx : kx + cols * spec.stride : spec.stride]
            counts[:, :, ky, kx] = read[:, :rows, :cols].sum((1, 2))
    held = frames == 1 and layer.chip.constant_input == "every-step"
    times = layer.t_steps if held else 1
    reads = float(times * n * frames * layer.layer.n_positions)
    return Counts(reads, levels, times * counts.reshape(len(levels), -1))


def _arrays(layer: MappedLayer, after: Shape) -> Arrays:
    spec, chip, dtype = layer.layer.spec, layer.chip, layer.number_type
    in_shape, rows = layer.layer.in_shape, [row.rows for row in layer.row_tiles]
    channels = in_shape[0]
    if chip.linear:
        matrices = [layer.effective_weights, *([layer.noise] if layer.reads_are_noisy else [])]
        wide = (m.reshape(spec.out, channels, spec.kernel, spec.kernel) for m in matrices)
        ordered, *spreads = ([tables.fused_lines(kernel, spec.pool, spec.stride)] for kernel in wide)
        parts, pool, n_lines = [(0, channels)], spec.pool, spec.out
    else:
        parts, pool, n_lines = [tables.channels_of(part, spec) for part in rows], 1, layer.row_tiles[0].n_seen

        def of_lines(what: str, power: int) -> list[np.ndarray]:
            scale = chip.device.v_read / chip.unit_current
            return [
                tables.lines(
                    tables.kernel_of(row.lines(what) * (scale / row.lsb) ** power, row.rows, spec), spec.stride
                )
                for row in layer.row_tiles
            ]

        ordered, spreads = of_lines("transfer", 1), [of_lines("noise", 2)] if layer.reads_are_noisy else []
    reach = tables.reach(spec, in_shape, n_lines, pool)
    room = 0 if chip.linear else reach.n_cols * n_lines  # of a row of positions
    groups = tables.groups(parts, channels, ordered, [room] * len(parts), dtype)
    variance = np.concatenate([s.astype(dtype).ravel() for part in spreads for s in part] or [np.empty(0, dtype)])
    power = tables.power(spec, in_shape, rows, layer.admittance, layer.line_conductance, dtype)
    return Arrays(input_order(spec, after), channels, in_shape[2], reach, groups, variance, power, not chip.linear)


def _readout(layer: MappedLayer) -> Readout:
    chip, dtype, rows = layer.chip, layer.number_type, layer.row_tiles
    adc = rows[0].adc
    number, pool, made = dtype.type, layer.layer.spec.pool, tables.no_readout(dtype)
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
        gain=np.stack([row.gains * row.lsb / pool**2 for row in rows]).astype(dtype),
        pool=pool,
        n_cols=layer.layer.out_shape[2],
        n_out=layer.layer.spec.out,
    )


def _keys(layer: MappedLayer) -> Keys:
    (reads, conversions), adc, neurons = layer.noise_keys(), layer.row_tiles[0].adc, _neurons(layer)
    none = np.empty((0, 3), np.uint32)
    return Keys(
        read=none if not layer.reads_are_noisy else reads[:1] if layer.chip.linear else reads,
        converter=conversions if adc is not None and adc.noise else none,
        comparator=neurons.noise_key[None] if neurons.noise else none,
    )


def _neurons(layer: MappedLayer) -> Neurons:
    assert isinstance(layer.neurons, Neurons)  # refusal sees to that
    return layer.neurons
