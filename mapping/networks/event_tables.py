"""A layer as the tables that event-driven inference adds up, see ``mapping.kernels.taps``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mapping.ir.shapes import Geometry, Pair, Shape, pair
from mapping.kernels.readout import SINGLE, Readout
from mapping.kernels.taps import Groups, Power, Reach
from mapping.networks.layers import fuse_pool, in_lines


def reach(spec: Geometry, in_shape: Shape, n_lines: int, pool: int | Pair) -> Reach:
    """Return the positions that pixels take part in, pooling over ``pool`` being part of the kernel."""
    _, height, width = in_shape
    window = pair(pool)
    kernel, across = (spec.side + spec.step * (side - 1) for side in window)
    stride, step = (spec.step * side for side in window)
    n_rows, n_cols = (size // side for size, side in zip(spec.read_positions(in_shape), window))
    taps = -(-across // step)

    def first_and_last(length: int, kernel: int, stride: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        shifted = np.arange(length) + spec.margin
        first = np.maximum(0, (shifted - kernel + stride) // stride)
        return shifted, first, np.maximum(first, np.minimum(n, shifted // stride + 1))

    shifted, top, bottom = first_and_last(height, kernel, stride, n_rows)
    rows = np.stack([top, bottom, shifted], 1)
    shifted, left, right = first_and_last(width, taps * step, step, n_cols)
    cols = np.stack([left, right, shifted % step, taps - 1 - shifted // step + left], 1)
    return Reach(rows, cols, kernel, stride, step, taps, n_rows, n_cols, n_lines)


def lines(kernel: np.ndarray, stride: int) -> np.ndarray:
    """Bring a kernel (out, in, k, k) into the order of ``Reach``."""
    ordered: np.ndarray = in_lines(torch.from_numpy(kernel), stride).numpy()
    return ordered


def fused_lines(kernel: np.ndarray, pool: int | Pair, stride: int) -> np.ndarray:
    """Do so with the average over a pool of positions, ``stride`` apart, as part of the kernel."""
    return lines(fuse_pool(torch.from_numpy(kernel), pool, stride).numpy(), pair(pool)[1] * stride)


def channels_of(rows: slice, spec: Geometry) -> tuple[int, int]:
    """Return the first input channel of which a row tile holds a part, and one past the last."""
    area = spec.side**2
    return rows.start // area, -(-rows.stop // area)


def kernel_of(matrix: np.ndarray, rows: slice, spec: Geometry) -> np.ndarray:
    """Return a matrix (n, rows of a row tile) as a kernel (n, channels of that tile, k, k), 0 where others have it."""
    (first, last), area = channels_of(rows, spec), spec.side**2
    wide = np.zeros((len(matrix), (last - first) * area))
    wide[:, rows.start - first * area : rows.stop - first * area] = matrix
    return wide.reshape(len(matrix), last - first, spec.side, spec.side)


def groups(
    channels: Sequence[tuple[int, int]],
    n_channels: int,
    tables: Sequence[np.ndarray],
    sizes: Sequence[int],
    dtype: np.dtype,
) -> Groups:
    """Return groups of channels (first, one past the last), each with a table and so much room for its sums."""
    at, start = (np.cumsum([0, *lengths]) for lengths in ([table.size for table in tables], sizes))
    bounds = [(first, last - first, a, s) for (first, last), a, s in zip(channels, at, start)]
    numbers = np.arange(n_channels)
    lasts, firsts = (np.array([pair[k] for pair in channels], np.int64) for k in (1, 0))
    of_channel = np.stack([np.searchsorted(lasts, numbers, "right"), np.searchsorted(firsts, numbers, "right")], 1)
    table = np.concatenate([np.asarray(table, dtype).ravel() for table in tables] or [np.empty(0, dtype)])
    return Groups(np.array(bounds, np.int64).reshape(-1, 4), of_channel, table)


def no_readout(dtype: np.dtype) -> Readout:
    """Return the read-out of a layer that has none."""
    whole = np.zeros(0, np.int64)
    zero = dtype.type(0)
    return Readout(
        pairing=SINGLE,
        tile_stop=whole,
        limit=dtype.type(np.inf),
        smooth=False,
        copies=np.zeros(0, dtype),
        top=zero,
        low=zero,
        noise=zero,
        offset=np.zeros((0, 0), dtype),
        levels=np.zeros((0, 0, 0), dtype),
        converter=whole,
        gain=np.zeros((0, 0), dtype),
        always=False,
        pool=1,
        across=1,
        n_cols=0,
        n_out=0,
        slices=1,
    )


def power(
    spec: Geometry, in_shape: Shape, rows: Sequence[slice], admittance: np.ndarray, supply: np.ndarray, dtype: np.dtype
) -> Power:
    """Return H of row tiles, (n_row_tiles, rows, rows), and each wordline's supply, or two, as sums over inputs.

    An input of kernel row ky in one read is of another one in the next; all reads of two pixels together take their
    sum. How many these are depends on how near the image's edge is: on the kernel rows in which a pixel is read.
    """
    n_channels, height, width = in_shape
    n_rows, n_cols = spec.read_positions(in_shape)
    row_class, row_kinds = _classes(height, n_rows, spec)
    col_class, col_kinds = _classes(width, n_cols, spec)
    far, tables, channels = spec.side - 1, [], []
    supplies = np.atleast_2d(supply)
    own = np.zeros((len(row_kinds), len(col_kinds), n_channels, 2 + len(supplies)))
    for block, part in zip(admittance, rows):
        used, (first, last) = part.stop - part.start, channels_of(part, spec)
        half = kernel_of(block[:used, :used], part, spec)  # (rows, channels, k, k)
        both = kernel_of(half.reshape(used, -1).T, part, spec)  # (channels k k, channels, k, k), H symmetric
        h = both.reshape(last - first, spec.side, spec.side, last - first, spec.side, spec.side)
        by_row = np.zeros((len(row_kinds), far + 1, *np.array(h.shape)[[0, 2, 3, 5]]))
        for ky, below in _pairs(range(far + 1), far):
            by_row[_with(ky, row_kinds), below - ky] += h[:, ky, :, :, below]
        table = np.zeros((len(row_kinds), len(col_kinds), last - first, far + 1, 2 * far + 1, last - first))
        for kx, beside in _pairs(range(-far, far + 1), far):
            table[:, _with(kx, col_kinds), :, :, far + beside - kx] += by_row[:, :, :, kx, :, beside].swapaxes(1, 2)
        own[:, :, first:last, 0] += np.einsum("ijcc->ijc", table[:, :, :, 0, far])
        tables.append(2 * table)
        channels.append((first, last))
    wide = supplies.reshape(-1, n_channels, spec.side, spec.side)
    for i, kys in enumerate(row_kinds):
        for j, kxs in enumerate(col_kinds):
            own[i, j, :, 1], *second = wide[:, :, kys][:, :, :, kxs].sum((2, 3))
            own[i, j, :, 2] = len(kys) * len(kxs)
            own[i, j, :, 3:] = np.transpose(second)
    sizes = [height * width * (last - first) for first, last in channels]
    return Power(groups(channels, n_channels, tables, sizes, dtype), row_class, col_class, own, far)


def no_power(in_shape: Shape, dtype: np.dtype) -> Power:
    """Return the same for a layer that draws none."""
    channels, height, width = in_shape
    none = groups([], channels, [], [], dtype)
    return Power(none, np.zeros(height, np.int64), np.zeros(width, np.int64), np.zeros((1, 1, channels, 3)), 0)


def _pairs(distances: range, far: int) -> list[tuple[int, int]]:
    """Return the kernel rows, or columns, that are so far apart."""
    return [(k, k + distance) for distance in distances for k in range(far + 1) if 0 <= k + distance <= far]


def _with(k: int, kinds: list[list[int]]) -> list[int]:
    """Return the classes that are read in kernel row, or column, k."""
    return [number for number, kind in enumerate(kinds) if k in kind]


def _classes(length: int, n_positions: int, spec: Geometry) -> tuple[np.ndarray, list[list[int]]]:
    """Return the class of each row of pixels, and the kernel rows in which those of each class are read."""
    kinds: list[list[int]] = []
    number = np.empty(length, np.int64)
    side, margin, step = spec.side, spec.margin, spec.step
    for y in range(length):
        read = [k for k in range(side) if _is_position(y + margin - k, step, n_positions)]
        if read not in kinds:
            kinds.append(read)
        number[y] = kinds.index(read)
    return number, kinds


def _is_position(start: int, stride: int, n_positions: int) -> bool:
    return start % stride == 0 and 0 <= start // stride < n_positions
