"""What the reads of a layer draw from the drivers, and which wordlines they drive, from the spikes that occurred.

A read presents a kernel x kernel patch to the array, one every ``stride`` pixels from ``padding`` pixels outside the
image on, at ``rows`` x ``cols`` positions: active wordlines s in {0, 1}, in the order (channel, kernel row, kernel
column), zero outside the image. Wordline w is row w % tile_rows of row tile w // tile_rows.
"""

import numpy as np

from xbarsim.kernels.jit import jit, parallel_jit, prange


@jit
def _list_active(image, kernel, padding, stride, rows, cols, active, count):
    """List the active wordlines of each read of an image (channels, height, width).

    active : (n_reads, n_wordlines), filled up to count (n_reads)
    """
    channels, height, width = image.shape
    count[:] = 0
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                if image[c, y, x] == 0:
                    continue
                for row in range(max(0, (y + padding - kernel) // stride + 1), min(rows, (y + padding) // stride + 1)):
                    for col in range(
                        max(0, (x + padding - kernel) // stride + 1), min(cols, (x + padding) // stride + 1)
                    ):
                        position = row * cols + col
                        ky, kx = y + padding - row * stride, x + padding - col * stride
                        active[position, count[position]] = (c * kernel + ky) * kernel + kx
                        count[position] += 1


@parallel_jit
def read_sums(spikes, kernel, padding, stride, rows, cols, admittance, supply, tile_rows, quadratic, linear, driven):
    """Sum over all reads of each sample: s^t H s, each supply.s and the number of active wordlines.

    spikes : (n, channels, height, width)
    admittance : (n_tiles, tile_rows, tile_rows), H of each row tile
    supply : (n_supplies, n_wordlines)
    quadratic, driven : (n), filled; linear : (n, n_supplies), filled
    """
    n, channels = spikes.shape[:2]
    n_reads = rows * cols
    for sample in prange(n):
        active = np.empty((n_reads, channels * kernel * kernel), np.int32)
        count = np.zeros(n_reads, np.int64)
        _list_active(spikes[sample], kernel, padding, stride, rows, cols, active, count)
        total, lines = 0.0, 0
        linear[sample] = 0
        for position in range(n_reads):
            listed = active[position]
            lines += count[position]
            for a in range(count[position]):
                tile, row = listed[a] // tile_rows, listed[a] % tile_rows
                for k in range(len(supply)):
                    linear[sample, k] += supply[k, listed[a]]
                total += admittance[tile, row, row]
                for b in range(a):
                    if listed[b] // tile_rows == tile:
                        total += 2.0 * admittance[tile, row, listed[b] % tile_rows]
        quadratic[sample], driven[sample] = total, lines


@parallel_jit
def pair_counts(spikes, kernel, padding, stride, rows, cols, tile_rows, pairs):
    """Count in how many reads two wordlines of a row tile are active together.

    spikes : (n, channels, height, width)
    pairs : (n_pieces, n_tiles, tile_rows, tile_rows), added to, each piece by every n_pieces-th sample
    """
    n, channels = spikes.shape[:2]
    n_reads = rows * cols
    for piece in prange(len(pairs)):
        active = np.empty((n_reads, channels * kernel * kernel), np.int32)
        count = np.zeros(n_reads, np.int64)
        for sample in range(piece, n, len(pairs)):
            _list_active(spikes[sample], kernel, padding, stride, rows, cols, active, count)
            for position in range(n_reads):
                listed = active[position]
                for a in range(count[position]):
                    tile, row = listed[a] // tile_rows, listed[a] % tile_rows
                    for b in range(count[position]):
                        if listed[b] // tile_rows == tile:
                            pairs[piece, tile, row, listed[b] % tile_rows] += 1.0
