"""What one spike does: it adds its row of the port model to the currents of all reads that it takes part in.

Inputs are numbered channels last, k = (y width + x) channels + c. The wordlines of a layer lie in groups: channels
``first`` to ``first + count`` of a kernel, whose rows are one table. A layer without non-linear read-out has one group
and a kernel that pooling is fused into; otherwise each row tile is one, with currents of its own.

What drivers deliver, the sum over reads of s^t H s, is a sum over pairs of inputs too. Each spike adds what it has to
do with those that may come after it to a field, which they look up: work in proportion to spikes, not to pairs.
"""

from typing import NamedTuple

import numpy as np

from mapping.kernels.sums import COPIED, DRIVEN, QUADRATIC, SUPPLIED
from xbarsim.kernels.jit import inlined_jit


class Groups(NamedTuple):
    """Groups of channels and their tables.

    bounds : (n_groups, 4), first channel, how many, where its table begins, and where its currents or field do
    of_channel : (channels, 2), first group and one past the last of each channel
    """

    bounds: np.ndarray
    of_channel: np.ndarray
    table: np.ndarray


class Reach(NamedTuple):
    """Which positions of a kernel each pixel takes part in.

    rows : (height, 3), first row of positions, one past the last, and kernel row at the first of all
    cols : (width, 4), first, one past the last, phase, and tap at the first; see ``mapping.kernels.event_conv``
    kernel, stride, step, taps, n_rows, n_cols, n_lines : rows of the kernel, from one to the next of its positions
        by row and by column, its positions, and currents at each of them
    """

    rows: np.ndarray
    cols: np.ndarray
    kernel: int
    stride: int
    step: int
    taps: int
    n_rows: int
    n_cols: int
    n_lines: int


class Power(NamedTuple):
    """H as a sum over pairs of inputs.

    groups : Groups, with table (row class, column class, channel, rows below 0 to reach, columns -reach to reach,
        channel of the same group), flat; both orders of a pair together
    row_class, col_class : (height), (width); pixels in the same classes take part in reads with the same wordlines
    own : (row classes, column classes, channels, 3 or 4), its own term of H, its supply, in how many reads it is, and
        its second supply, if there is one
    reach : how far apart the pixels of a pair may be
    """

    groups: Groups
    row_class: np.ndarray
    col_class: np.ndarray
    own: np.ndarray
    reach: int


@inlined_jit
def _add_scaled(target, into, source, at, n, factor):
    """Add n numbers of source from ``at`` on to target from ``into`` on.

    Slices would be counted references, and signed indices could be negative: both are slow here.
    """
    to, of = np.uint64(into), np.uint64(at)
    for k in range(np.uint64(n)):
        target[to + k] += factor * source[of + k]


@inlined_jit
def add_currents(groups, reach, channel, y, x, top, bottom, origin, value, table, currents):
    """Add an input to the currents of its groups at rows ``top`` to ``bottom``, of which they begin with ``origin``."""
    bounds, of_channel, cols, down = groups.bounds, groups.of_channel, reach.cols, reach.rows[y, 2]
    left, right, phase, tap = cols[x, 0], cols[x, 1], cols[x, 2], cols[x, 3]
    n, per_row = (right - left) * reach.n_lines, reach.n_cols * reach.n_lines
    up = reach.stride * reach.step * reach.taps * reach.n_lines
    for g in range(of_channel[channel, 0], of_channel[channel, 1]):
        line = ((channel - bounds[g, 0]) * reach.kernel + down - reach.stride * top) * reach.step + phase
        line = bounds[g, 2] + (line * reach.taps + tap) * reach.n_lines
        into = bounds[g, 3] + (top - origin) * per_row + left * reach.n_lines
        for _ in range(bottom - top):
            _add_scaled(currents, into, table, line, n, value)
            line -= up
            into += per_row


@inlined_jit
def deliver(power, channel, y, x, value, field, sums):
    """Add to sums what an input, after all earlier ones, makes the drivers deliver, its supplies, and its reads."""
    bounds, of_channel, table = power.groups.bounds, power.groups.of_channel, power.groups.table
    height, width, reach = len(power.row_class), len(power.col_class), power.reach
    rows, cols = power.row_class[y], power.col_class[x]
    total = value * power.own[rows, cols, channel, 0]
    position, span = y * width + x, 2 * reach + 1
    left, right = min(reach, x), min(reach, width - 1 - x) + 1
    kind = rows * power.own.shape[1] + cols
    for g in range(of_channel[channel, 0], of_channel[channel, 1]):
        first, count = bounds[g, 0], bounds[g, 1]
        into = bounds[g, 3] + position * count
        line = bounds[g, 2] + ((kind * count + channel - first) * (reach + 1) * span + reach) * count
        total += field[into + channel - first]
        _add_scaled(field, into, table, line, right * count, value)  # what is left of it in its own row came before
        for _ in range(min(reach, height - 1 - y)):
            into += width * count
            line += span * count
            _add_scaled(field, into - left * count, table, line - left * count, (left + right) * count, value)
    sums[QUADRATIC] += value * total
    sums[SUPPLIED] += value * power.own[rows, cols, channel, 1]
    sums[DRIVEN] += power.own[rows, cols, channel, 2]
    if power.own.shape[3] > 3:
        sums[COPIED] += value * power.own[rows, cols, channel, 3]
