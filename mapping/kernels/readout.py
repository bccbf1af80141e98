"""The non-linear part of a read: noise, limiter, converter, and how lines combine into outputs, in one pass."""

from typing import NamedTuple

import numpy as np

from mapping.kernels.sums import CLIPPED, LIMITED, PASSED
from xbarsim.kernels.jit import inlined_jit, jit

SINGLE, PAIRS, REFERENCE = 0, 1, 2


class Readout(NamedTuple):
    """What reads the lines of each row tile at each position.

    pairing : int
        Lines are outputs; or pairs, their differences; or followed, in each array, by two whose mean is the reference.
    tile_stop : (n_column_tiles), one past the last output of each array
    limit, smooth : largest current, infinite for none, and whether it is approached smoothly
    copies : (n_lines), how often mirrors copy what passes
    top, low : codes of the converter; top = 0 for none. Currents are in its steps.
    noise : of the converter, in its steps
    offset : (n_row_tiles, n_lines), in its steps
    levels : (n_row_tiles, n_converters, top), where its codes begin; or empty, at half steps
    converter : (n_lines), which one
    gain : (n_row_tiles, n_out)
    always : whether positions without an active wordline are not zero
    pool, across : rows and columns of a pool
    n_cols, n_out : of the outputs; slices of them add up, whose gains tell what each counts
    """

    pairing: int
    tile_stop: np.ndarray
    limit: float
    smooth: bool
    copies: np.ndarray
    top: float
    low: float
    noise: float
    offset: np.ndarray
    levels: np.ndarray
    converter: np.ndarray
    gain: np.ndarray
    always: bool
    pool: int
    across: int
    n_cols: int
    n_out: int
    slices: int


@inlined_jit
def add_noise(variance, z, seen):
    """Add noise of a variance."""
    for k in range(len(seen)):
        seen[k] += np.sqrt(variance[k]) * z[k]


@inlined_jit
def _limit(limit, smooth, copies, seen, sums):
    beyond, passed = 0, 0.0
    for k in range(len(seen)):
        beyond += seen[k] > limit
        seen[k] = limit * np.tanh(seen[k] / limit) if smooth else min(seen[k], limit)
        passed += copies[k] * seen[k]
    sums[LIMITED] += beyond
    sums[PASSED] += passed


@inlined_jit
def _round(readout, tile, seen, sums):
    top, low, offset, clipped = readout.top, readout.low, readout.offset, np.int32(0)
    for k in range(len(seen)):
        code = np.rint(seen[k] + offset[tile, k])
        clipped = np.int32(clipped + np.int32((code > top) | (code < low)))
        seen[k] = min(max(code, low), top)
    sums[CLIPPED] += clipped


@jit
def _search(readout, tile, seen, sums):
    """Find the codes of converters whose transitions are not at half steps."""
    for k in range(len(seen)):
        value = seen[k] + readout.offset[tile, k]
        sums[CLIPPED] += (np.rint(value) > readout.top) | (np.rint(value) < readout.low)
        levels, size = readout.levels[tile, readout.converter[k]], abs(value) if readout.low < 0 else value
        code = np.searchsorted(levels, size, side="right")
        seen[k] = code * np.sign(value) if readout.low < 0 else code


@inlined_jit
def _add_slice(readout, tile, seen, first, out, into):
    """Add the outputs of a slice, from number ``first`` on."""
    gain, at, base = readout.gain, np.uint64(into), np.uint64(first)
    if readout.pairing == PAIRS:
        for k in range(np.uint64(readout.n_out)):
            out[at + k] += gain[tile, base + k] * (seen[2 * (base + k)] - seen[2 * (base + k) + 1])
    else:
        for k in range(np.uint64(readout.n_out)):
            out[at + k] += gain[tile, base + k] * seen[base + k]


@inlined_jit
def _combine(readout, tile, seen, out, into):
    if readout.pairing in (PAIRS, SINGLE):
        _add_slice(readout, tile, seen, 0, out, into)
        for part in range(1, readout.slices):
            _add_slice(readout, tile, seen, part * readout.n_out, out, into)
    else:
        first = 0
        for array, stop in enumerate(readout.tile_stop):
            half = (seen[stop + 2 * array] + seen[stop + 2 * array + 1]) / 2
            for k in range(first, stop):
                out[into + k % readout.n_out] += readout.gain[tile, k] * (seen[k + 2 * array] - half)
            first = stop


@inlined_jit
def read_out(readout, tile, currents, variance, at, z_read, z_converter, seen, out, into, sums):
    """Read the lines of a row tile at one position, from ``at`` on, and add what they give to out from ``into`` on.

    variance : as currents, or of length 0
    z_read, z_converter : (n_lines), or of length 0
    seen : (n_lines), scratch
    sums : see ``mapping.kernels.sums``
    """
    start = np.uint64(at)
    for k in range(np.uint64(len(seen))):
        seen[k] = currents[start + k]
    if len(z_read) > 0:
        for k in range(np.uint64(len(seen))):
            seen[k] += np.sqrt(variance[start + k]) * z_read[k]
    if readout.limit < np.inf:
        _limit(readout.limit, readout.smooth, readout.copies, seen, sums)
    if readout.top > 0:
        for k in range(len(z_converter)):
            seen[k] += readout.noise * z_converter[k]
        if readout.levels.size > 0:
            _search(readout, tile, seen, sums)
        else:
            _round(readout, tile, seen, sums)
    _combine(readout, tile, seen, out, into)
