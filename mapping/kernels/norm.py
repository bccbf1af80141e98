"""Batch norm over channels-last data (n, channels): sums in pieces, so that they depend on no number of threads."""

import numpy as np

from xbarsim.kernels.jit import jit, parallel_jit, prange


@jit
def _add_squares(line, centre, total, squares):
    for k in range(len(total)):
        distance = np.float64(line[k]) - centre[k]
        total[k] += distance
        squares[k] += distance * distance


@parallel_jit
def channel_sums(x, centre, total, squares):
    """Fill total and squares, (n_pieces, channels), with the sums of x - centre and of its square."""
    for piece in prange(len(total)):
        total[piece] = 0
        squares[piece] = 0
        for row in range(piece * len(x) // len(total), (piece + 1) * len(x) // len(total)):
            _add_squares(x[row], centre, total[piece], squares[piece])


@jit
def _add_products(grad, x, total, products):
    for k in range(len(total)):
        total[k] += np.float64(grad[k])
        products[k] += np.float64(grad[k]) * np.float64(x[k])


@parallel_jit
def gradient_sums(grad, x, total, products):
    """Fill total and products, (n_pieces, channels), with the sums of grad and of grad x."""
    for piece in prange(len(total)):
        total[piece] = 0
        products[piece] = 0
        for row in range(piece * len(x) // len(total), (piece + 1) * len(x) // len(total)):
            _add_products(grad[row], x[row], total[piece], products[piece])


@jit
def _combine_line(a, grad, b, x, c, out):
    for k in range(len(out)):
        out[k] = a[k] * grad[k] + b[k] * x[k] + c[k]


@parallel_jit
def combine(a, grad, b, x, c, out):
    """Fill out = a grad + b x + c, with a, b and c per channel."""
    for row in prange(len(out)):
        _combine_line(a, grad[row], b, x[row], c, out[row])


@jit
def _scale_line(b, x, c, out):
    for k in range(len(out)):
        out[k] = b[k] * x[k] + c[k]


@parallel_jit
def scale(b, x, c, out):
    """Fill out = b x + c, with b and c per channel."""
    for row in prange(len(out)):
        _scale_line(b, x[row], c, out[row])
