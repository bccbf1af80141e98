"""Event-driven inference: one layer, all time steps, from spikes to spikes, and the sums that its energy needs.

Currents, noise, limiter, converter, membrane and comparator in one pass over each time step; inputs that are silent
take no part. A constant input is read once.
"""

from typing import NamedTuple

import numpy as np

from mapping.kernels.lif import (
    AT_ONCE,
    DELAYED,
    SNNTORCH,
    SUBTRACT,
    clip_membranes,
    copy,
    fire,
    inhibit,
    integrate,
    integrate_and_fire,
    keep_winners,
    reset_at_once,
)
from mapping.kernels.readout import add_noise, read_out
from mapping.kernels.sums import PLACES, SPIKES
from mapping.kernels.taps import Groups, Power, Reach, add_currents, deliver
from xbarsim.kernels.jit import inlined_jit, jit
from xbarsim.kernels.normal import fill_normal, of_image

_WORD = 8  # neurons that are looked at together


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


class Neurons(NamedTuple):
    """Neurons, channels last, each with its own parameters.

    level, least : where comparators are set, and the lowest number at which they fire
    rise : not less than where a constant input of 1 can bring membranes
    noise : of comparators
    """

    constant: np.ndarray
    threshold: np.ndarray
    level: np.ndarray
    least: np.ndarray
    beta: np.ndarray
    rise: np.ndarray
    noise: float
    reset: int
    timing: int
    clip: bool
    winner: bool
    inhibition: float
    channels: int


class Keys(NamedTuple):
    """Keys of noise, (n, 3) words, or (0, 3) for none: of reads and converters, by row tile; of comparators."""

    read: np.ndarray
    converter: np.ndarray
    comparator: np.ndarray


class Scratch(NamedTuple):
    """What reading a row of positions needs.

    begin : (height + 1), where each row of pixels begins in the list of inputs
    lines, variance : (n_row_tiles n_cols n_lines), or of length 0
    touched : (n_row_tiles, n_cols), whether a wordline is active
    seen, z_read, z_converter : (n_lines), or of length 0
    """

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
def _receive(events, start, stop, arrays, now, variance, field, sums):
    """Add up what a frame makes drivers deliver, and its currents, unless a read-out sees their lines one by one."""
    reach, groups, number = arrays.reach, arrays.groups, now.dtype.type
    for event in range(start, stop):
        channel, y, x, value = _input(events, event, arrays, number)
        deliver(arrays.power, channel, y, x, value, field, sums)
        if not arrays.by_line:
            top, bottom = reach.rows[y, 0], reach.rows[y, 1]
            add_currents(groups, reach, channel, y, x, top, bottom, 0, value, groups.table, now)
            if len(variance) > 0:
                add_currents(groups, reach, channel, y, x, top, bottom, 0, value * value, arrays.variance, variance)


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
                into = (row // readout.pool * readout.n_cols + col // readout.pool) * readout.n_out
                read_out(readout, tile, lines, variance, at, z_read, z_converter, seen, now, into, sums)


@inlined_jit
def _gather_awake(neurons, now, awake, current, least, threshold, beta):
    """Gather the neurons that a constant current can make fire, which then run alone; return how many."""
    count = 0
    for k in range(len(now)):
        if now[k] * neurons.rise[k] >= neurons.least[k]:
            awake[count] = k
            current[count], least[count] = now[k], neurons.least[k]
            threshold[count], beta[count] = neurons.threshold[k], neurons.beta[k]
            count += 1
    return count


@inlined_jit
def _list_fired(fired, names, channels, place, count, sums):
    """List the names of neurons that have fired, in bytes up to a multiple of _WORD; return how many there are now."""
    before, at = count, np.uint64(count)
    words = fired.view(np.uint64)
    for word in range(len(words)):
        if words[word] != 0:
            for k in range(_WORD * word, _WORD * (word + 1)):
                place[at] = names[k]
                at += np.uint64(fired[k])
    last, count = -1, np.int64(at)
    for k in range(before, count):
        position = place[k] // channels
        sums[PLACES] += position != last
        last = position
    sums[SPIKES] += count - before
    return count


@inlined_jit
def _fire_by_rules(neurons, now, variance, z, held, due, noise, t, u, fired):
    """Make a time step with all that neurons may have; held, due, fired : their state."""
    integrate(held, due, now, neurons.threshold, neurons.beta, neurons.reset, u)
    if len(variance) > 0:
        add_noise(variance, z, u)
    if neurons.inhibition > 0 and t > 0:
        inhibit(fired, neurons.threshold, neurons.inhibition, neurons.channels, u)
    if neurons.clip:
        clip_membranes(neurons.threshold, neurons.level, u)
    for k in range(len(noise)):
        noise[k] *= u.dtype.type(neurons.noise)
    fire(u, noise, neurons.least, fired)
    if neurons.timing == AT_ONCE:
        reset_at_once(u, fired, due, neurons.threshold, neurons.reset, held)  # nothing is due
    if neurons.timing == DELAYED:
        copy(fired, due)
        copy(u, held)
    if neurons.winner:
        keep_winners(u, noise, neurons.level, neurons.channels, fired)
    if neurons.timing == SNNTORCH:
        reset_at_once(u, fired, due, neurons.threshold, neurons.reset, held)
        fire(held, noise, neurons.least, due)


@jit
def run_layer(events, arrays, readout, neurons, keys, every_step, first, t_steps, out, sums, membrane, spikes):
    """Run samples ``first`` on; list what they fire in ``out``, and add to ``sums`` (n, N_SUMS).

    membrane, spikes : (t_steps, n, size) or (0, n, size)
    """
    size, number = len(neurons.level), neurons.level.dtype.type
    reach, frames = arrays.reach, events.stop.shape[1] - 1
    n_tiles = len(arrays.groups.bounds) if arrays.by_line else 0
    noisy, compared = len(keys.read) > 0, len(keys.comparator) > 0
    now, held, u = np.zeros(size, number), np.zeros(size, number), np.zeros(size, number)
    bytes_fired = np.zeros(-(-size // _WORD) * _WORD, np.uint8)
    fired, due = bytes_fired[:size], np.zeros(size, np.uint8)
    z, e = np.zeros(size, number), np.zeros(size if compared else 0, number)
    n_line_sums = n_tiles * reach.n_cols * reach.n_lines
    spread = np.zeros((n_line_sums if n_tiles else size) if noisy else 0, number)
    scratch = Scratch(
        np.zeros(len(reach.rows) + 1, np.int64),
        np.zeros(n_line_sums, number),
        spread,
        np.zeros((n_tiles, reach.n_cols), np.bool_),
        np.zeros(reach.n_lines, number),
        np.zeros(reach.n_lines if noisy else 0, number),
        np.zeros(reach.n_lines if len(keys.converter) > 0 else 0, number),
    )
    field = np.zeros(arrays.power.groups.bounds[:, 1].sum() * len(arrays.power.row_class) * arrays.width, number)
    plain = neurons.reset == SUBTRACT and neurons.timing == DELAYED and not (neurons.clip or neurons.winner or compared)
    plain = plain and neurons.inhibition == 0 and not (noisy and n_tiles == 0)
    held_input = plain and frames == 1 and not every_step and len(membrane) == 0
    n, names = size, np.arange(len(bytes_fired))
    room = size if held_input else 0
    current, least = np.empty(room, number), np.empty(room, number)
    threshold, beta = np.empty(room, number), np.empty(room, number)
    count = 0
    for sample in range(len(events.stop)):
        image = first + sample
        out.stop[sample, 0] = count
        u[:] = 0
        held[:] = 0
        due[:] = 0
        for t in range(t_steps):
            frame = min(t, frames - 1)
            start, stop = events.stop[sample, frame], events.stop[sample, frame + 1]
            if t < frames:
                field[:] = 0
                copy(neurons.constant, now)
                if n_tiles == 0:
                    spread[:] = 0
                _receive(events, start, stop, arrays, now, spread, field, sums[sample])
            if n_tiles > 0 and (t < frames or every_step):
                copy(neurons.constant, now)
                _read_lines(events, start, stop, arrays, readout, keys, image, t, scratch, now, sums[sample])
            if held_input:
                if t == 0:
                    fired[:] = 0
                    n = _gather_awake(neurons, now, names, current, least, threshold, beta)
                integrate_and_fire(u[:n], current[:n], least[:n], threshold[:n], beta[:n], fired[:n])
            elif plain:
                integrate_and_fire(u, now, neurons.least, neurons.threshold, neurons.beta, fired)
            else:
                if noisy and n_tiles == 0:
                    fill_normal(of_image(keys.read[0], image), t * size, z)
                if compared:
                    fill_normal(of_image(keys.comparator[0], image), t * size, e)
                _fire_by_rules(neurons, now, spread if n_tiles == 0 else e[:0], z, held, due, e, t, u, fired)
            words = bytes_fired[: -(-n // _WORD) * _WORD]
            count = _list_fired(words, names, neurons.channels, out.place, count, sums[sample])
            out.stop[sample, t + 1] = count
            if len(membrane) > 0:
                copy(u, membrane[t, sample])
                copy(fired, spikes[t, sample])
