"""Event-driven inference: one layer, from spikes to spikes, and the sums that its energy needs.

A time step has two parts: :func:`receive` turns spikes into currents, through arrays, limiter and converter;
:func:`fire` turns currents into spikes, through membranes and comparators. Inputs that are silent take no part; a
constant input is read once. What neurons keep between time steps stands outside, so that these may be run one by one.
"""

from typing import NamedTuple

import numpy as np

from mapping.kernels.fire import awake, fire, is_plain, of_sample, rest
from mapping.kernels.lif import copy
from mapping.kernels.readout import read_out
from mapping.kernels.taps import Groups, Power, Reach, add_currents, deliver
from xbarsim.kernels.jit import inlined_jit, jit
from xbarsim.kernels.normal import fill_normal, of_image


class Events(NamedTuple):
    """The inputs of samples that are not zero, sample after sample and frame after frame, each in ascending order.

    place : (room), which input
    value : (room), or (0) where all are 1
    stop : (n, n_frames + 1), where the frames of each sample begin and end
    """

    place: np.ndarray
    value: np.ndarray
    stop: np.ndarray


class Arrays(NamedTuple):
    """The arrays of a layer as their ports.

    order : (n_inputs) or empty, the number of each input as the layer counts them
    n_channels, width : of the inputs
    variance : as the table of groups, or empty: of the noise that a unit input squared gives the lines
    by_line : whether a read-out sees each line of each row tile at each position, or neurons their sum
    """

    order: np.ndarray
    n_channels: int
    width: int
    reach: Reach
    groups: Groups
    variance: np.ndarray
    power: Power
    by_line: bool


class Keys(NamedTuple):
    """Keys of noise, (n, 3) words, or (0, 3) for none: of reads and converters, by row tile; of comparators."""

    read: np.ndarray
    converter: np.ndarray
    comparator: np.ndarray


class Steps(NamedTuple):
    """Time steps to run: ``start`` to ``stop``.

    begin : step of the first frame; the last one is held
    every_step : whether a read-out reads a frame that is held anew in each step
    spikes_only : whether the state that they leave is not wanted
    """

    start: int
    stop: int
    begin: int
    every_step: bool
    spikes_only: bool


class Scratch(NamedTuple):
    """What a time step needs, the rest for a row of positions.

    name, parameters : (size, up to a multiple of WORD) and (3, size), of neurons that run alone
    field : of what drivers deliver
    z_current, z_comparator : (size), or of length 0
    begin : (height + 1), where each row of pixels begins in the list of inputs
    lines, variance : (n_row_tiles n_cols n_lines), or of length 0
    touched : (n_row_tiles, n_cols), whether a wordline is active
    seen, z_read, z_converter : (n_lines), or of length 0
    """

    name: np.ndarray
    parameters: np.ndarray
    field: np.ndarray
    z_current: np.ndarray
    z_comparator: np.ndarray
    begin: np.ndarray
    lines: np.ndarray
    variance: np.ndarray
    touched: np.ndarray
    seen: np.ndarray
    z_read: np.ndarray
    z_converter: np.ndarray


@jit
def list_events(x, place, value, stop):
    """List what is not zero in x (n_frames, n, size), all 0 or 1 if value has no room."""
    count = 0
    for sample in range(len(stop)):
        stop[sample, 0] = count
        for frame in range(len(x)):
            line = x[frame, sample]
            for k in range(len(line)):
                if line[k] != 0:
                    place[count] = k
                    if len(value) > 0:
                        value[count] = line[k]
                    count += 1
            stop[sample, frame + 1] = count


@jit
def count_levels(events, counts):
    """Count how often inputs have which of len(counts) levels, evenly spaced up to 1: counts (n_levels, n_inputs)."""
    for event in range(events.stop[-1, -1]):
        level = len(counts) - 1
        if len(events.value) > 0:
            level = int(np.ceil(events.value[event] * len(counts))) - 1
        counts[level, events.place[event]] += 1


@inlined_jit
def _input(events, event, arrays, number):
    """Return channel, y, x and value of an input."""
    place, value = events.place[event], number(1)
    if len(events.value) > 0:
        value = events.value[event]
    if len(arrays.order) > 0:
        place = arrays.order[place]
    position = np.uint64(place) // np.uint64(arrays.n_channels)
    y = np.int64(position // np.uint64(arrays.width))
    channel, x = place - np.int64(position) * arrays.n_channels, np.int64(position) - y * arrays.width
    return channel, y, x, value


@inlined_jit
def _read_lines(events, start, stop, arrays, readout, keys, image, step, scratch, now, sums):
    """Read all row tiles, one row of positions after the other, and add what they give to now.

    Rows of pixels take part in several of these; their inputs lie one after the other.
    """
    reach, groups, number = arrays.reach, arrays.groups, now.dtype.type
    n_lines, n_cols, height = reach.n_lines, reach.n_cols, len(reach.rows)
    begin, lines, variance, touched = scratch.begin, scratch.lines, scratch.variance, scratch.touched
    seen, z_read, z_converter = scratch.seen, scratch.z_read, scratch.z_converter
    begin[:] = start
    for event in range(start, stop):
        begin[_input(events, event, arrays, number)[1] + 1] = event + 1
    for y in range(height):
        begin[y + 1] = max(begin[y + 1], begin[y])
    top, bottom = 0, 0
    for row in range(reach.n_rows):
        while reach.rows[top, 1] <= row and top < height - 1:
            top += 1
        while bottom < height and reach.rows[bottom, 0] <= row:
            bottom += 1
        lines[:] = 0
        variance[:] = 0
        touched[:] = False
        for event in range(begin[top], begin[bottom]):
            channel, y, x, value = _input(events, event, arrays, number)
            if not reach.rows[y, 0] <= row < reach.rows[y, 1]:
                continue
            add_currents(groups, reach, channel, y, x, row, row + 1, row, value, groups.table, lines)
            if len(variance) > 0:
                square = value * value
                add_currents(groups, reach, channel, y, x, row, row + 1, row, square, arrays.variance, variance)
            for tile in range(groups.of_channel[channel, 0], groups.of_channel[channel, 1]):
                for col in range(reach.cols[x, 0], reach.cols[x, 1]):
                    touched[tile, col] = True
        for tile in range(len(touched)):
            for col in range(n_cols):
                if not (touched[tile, col] or readout.always):
                    continue
                at = (tile * n_cols + col) * n_lines
                counter = ((step * reach.n_rows + row) * n_cols + col) * n_lines
                if len(keys.read) > 0:
                    fill_normal(of_image(keys.read[tile], image), counter, z_read)
                if len(keys.converter) > 0:
                    fill_normal(of_image(keys.converter[tile], image), counter, z_converter)
                into = (row // readout.pool * readout.n_cols + col // readout.across) * readout.n_out
                read_out(readout, tile, lines, variance, at, z_read, z_converter, seen, now, into, sums)


@inlined_jit
def receive(events, start, stop, arrays, readout, keys, image, t, fresh, scratch, state, sums):
    """Add to the currents of a sample what a frame, events ``start`` to ``stop``, gives them at time step t.

    fresh : whether drivers deliver it now; if not, ``sums`` have no meaning but for lines that are read anew
    """
    reach, groups, number, now, variance = arrays.reach, arrays.groups, state.now.dtype.type, state.now, state.variance
    if fresh or not arrays.by_line:
        scratch.field[:] = 0
        for event in range(start, stop):
            channel, y, x, value = _input(events, event, arrays, number)
            deliver(arrays.power, channel, y, x, value, scratch.field, sums)
            if not arrays.by_line:
                top, bottom = reach.rows[y, 0], reach.rows[y, 1]
                add_currents(groups, reach, channel, y, x, top, bottom, 0, value, groups.table, now)
                if len(variance) > 0:
                    add_currents(groups, reach, channel, y, x, top, bottom, 0, value * value, arrays.variance, variance)
    if arrays.by_line:
        _read_lines(events, start, stop, arrays, readout, keys, image, t, scratch, now, sums)


@jit
def scratch_of(arrays, neurons, keys):
    """Make room for a time step of a sample."""
    reach, number, size, noisy = arrays.reach, neurons.level.dtype.type, len(neurons.level), len(keys.read) > 0
    n_tiles = len(arrays.groups.bounds) if arrays.by_line else 0
    n_lines = n_tiles * reach.n_cols * reach.n_lines
    return Scratch(
        np.zeros(len(neurons.name), np.int64),
        np.zeros((3, size), number),
        np.zeros(arrays.power.groups.bounds[:, 1].sum() * len(arrays.power.row_class) * arrays.width, number),
        np.zeros(size if noisy and not arrays.by_line else 0, number),
        np.zeros(size if len(keys.comparator) > 0 else 0, number),
        np.zeros(len(reach.rows) + 1, np.int64),
        np.zeros(n_lines, number),
        np.zeros(n_lines if noisy else 0, number),
        np.zeros((n_tiles, reach.n_cols), np.bool_),
        np.zeros(reach.n_lines, number),
        np.zeros(reach.n_lines if noisy else 0, number),
        np.zeros(reach.n_lines if len(keys.converter) > 0 else 0, number),
    )


@inlined_jit
def run_layer(events, arrays, readout, neurons, keys, steps, first, state, scratch, out, sums, membrane, spikes):
    """Run samples ``first`` on; list what they fire in ``out``, and add to ``sums`` (n, N_SUMS).

    state : of as many samples, or of one, which serves them one after the other; step 0 begins at rest
    membrane, spikes : (t_steps, n, size) or (0, n, size)
    """
    frames, count = events.stop.shape[1] - 1, 0
    alone = steps.spikes_only and frames == 1 and not steps.every_step and is_plain(neurons, keys, state.variance)
    for sample in range(len(events.stop)):
        image, running, own = first + sample, neurons, of_sample(state, sample % len(state.now))
        out.stop[sample, 0] = count
        for t in range(steps.start, steps.stop):
            frame, fresh = min(t - steps.begin, frames - 1), t - steps.begin < frames
            if t == 0:
                rest(own)
            if fresh or (steps.every_step and arrays.by_line):
                start, stop = events.stop[sample, frame], events.stop[sample, frame + 1]
                copy(neurons.constant, own.now)
                own.variance[:] = 0
                receive(events, start, stop, arrays, readout, keys, image, t, fresh, scratch, own, sums[sample])
            if alone and t == 0:
                running, own = awake(neurons, own, scratch.name, scratch.parameters)
            count = fire(running, keys, image, t, scratch, own, out.place, count, sums[sample])
            out.stop[sample, t + 1 - steps.start] = count
            if len(membrane) > 0:
                copy(own.u, membrane[t, sample])
                copy(own.fired, spikes[t, sample])


@inlined_jit
def begin_step(neurons, t, state):
    """Give samples the constant currents of time step t; step 0 begins at rest."""
    for sample in range(len(state.now)):
        own = of_sample(state, sample)
        if t == 0:
            rest(own)
        copy(neurons.constant, own.now)
        own.variance[:] = 0


@inlined_jit
def receive_frame(events, frame, arrays, readout, keys, t, first, fresh, scratch, state, sums):
    """Add to the currents of samples ``first`` on what a frame gives them, see :func:`receive`; sums (N_SUMS)."""
    for sample in range(len(events.stop)):
        start, stop = events.stop[sample, frame], events.stop[sample, frame + 1]
        own = of_sample(state, sample)
        receive(events, start, stop, arrays, readout, keys, first + sample, t, fresh, scratch, own, sums)


@inlined_jit
def fire_frame(neurons, keys, t, first, scratch, state, out, sums):
    """Make time step t of samples ``first`` on; list what they fire in ``out``, one frame of each."""
    count = 0
    for sample in range(len(out.stop)):
        out.stop[sample, 0] = count
        own = of_sample(state, sample)
        count = fire(neurons, keys, first + sample, t, scratch, own, out.place, count, sums)
        out.stop[sample, 1] = count


@jit
def place_frame(events, frame, out):
    """Copy one frame of each sample to its place in ``out``, its ``frame``-th."""
    for sample in range(len(out.stop)):
        at = out.stop[sample, frame]
        for event in range(events.stop[sample, 0], events.stop[sample, 1]):
            out.place[at] = events.place[event]
            at += 1


@jit
def rewire(events, start, target, filled, out):
    """List the inputs that each input drives: ``target``, from ``start`` of its number on; the largest counts.

    filled : (n_targets), zeros, and left so
    """
    count = 0
    for sample in range(len(out.stop)):
        out.stop[sample, 0] = count
        for frame in range(out.stop.shape[1] - 1):
            event, stop = events.stop[sample, frame], events.stop[sample, frame + 1]
            while event < stop:
                first, place = event, events.place[event]
                while event < stop and events.place[event] == place:
                    event += 1
                value = filled.dtype.type(event - first)  # as often as it fired
                if len(events.value) > 0:
                    value = events.value[first]
                for k in range(start[place], start[place + 1]):
                    filled[target[k]] = max(filled[target[k]], value)
            for k in range(len(filled)):
                if filled[k] != 0:
                    for _ in range(1 if len(out.value) > 0 else int(filled[k])):
                        out.place[count] = k
                        if len(out.value) > 0:
                            out.value[count] = filled[k]
                        count += 1
                    filled[k] = 0
            out.stop[sample, frame + 1] = count


@jit
def delay_frames(events, delay, out):
    """List the frames ``delay`` later, the last one again and again, as many as ``out`` has."""
    count, last = 0, events.stop.shape[1] - 2
    for sample in range(len(out.stop)):
        out.stop[sample, 0] = count
        for frame in range(out.stop.shape[1] - 1):
            if frame >= delay:
                source = min(frame - delay, last)
                for event in range(events.stop[sample, source], events.stop[sample, source + 1]):
                    out.place[count] = events.place[event]
                    if len(out.value) > 0:
                        out.value[count] = events.value[event]
                    count += 1
            out.stop[sample, frame + 1] = count
