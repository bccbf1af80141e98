"""Event-driven convolution: work in proportion to the inputs that are not zero.

x : (n, height, width, channels) inputs, mostly zero; as integers, only zero or not is seen
out, grad : (n, rows, cols, n_out); out[y, x] meets weight[ky, kx] at x[stride y + ky - padding, ...]
weight : (channels, kernel, stride, taps, n_out); kx = phase + stride (taps - 1 - tap), so that the outputs that one
    input reaches in a row, and their weights, each lie side by side; 0 where kx is beyond the kernel
"""

import numpy as np

from xbarsim.kernels.jit import jit, parallel_jit, prange

_BLOCK = 32  # inputs that are looked at together


@jit
def _add_scaled(target, source, factor):
    for k in range(len(target)):
        target[k] += factor * source[k]


@jit
def _any_bit(words):
    bits = words[0]
    for k in range(len(words)):
        bits |= words[k]
    return bits != 0


@jit
def _list_events(values, words, place):
    """List where a sample, flat, is not zero; return how many."""
    count = 0
    for start in range(0, len(values), _BLOCK):
        stop = min(start + _BLOCK, len(values))
        if _any_bit(words[start:stop]):
            for k in range(start, stop):
                place[count] = k
                count += values[k] != 0
    return count


@jit
def _reach(position, kernel, stride, padding, n_out):
    """Return the first and one past the last output that a position of the input contributes to."""
    first = (position + padding - kernel + stride) // stride
    return max(0, first), min(n_out, (position + padding) // stride + 1)


@parallel_jit
def event_conv(x, words, weight, stride, padding, out):
    """Fill out with the convolution of x; words are its bits, as integers."""
    n, height, width, channels = x.shape
    kernel, taps, n_out = weight.shape[1], weight.shape[3], weight.shape[4]
    rows, cols = out.shape[1], out.shape[2]
    size = height * width * channels
    for sample in prange(n):
        total = out[sample].reshape(rows, cols * n_out)
        total[:] = 0
        place = np.empty(size + 1, np.int32)
        values = x[sample].reshape(size)
        for event in range(_list_events(values, words[sample].reshape(size), place)):
            position, c = divmod(place[event], channels)
            y, col = divmod(position, width)
            top, bottom = _reach(y, kernel, stride, padding, rows)
            left, right = _reach(col, taps * stride, stride, padding, cols)
            phase = (col + padding) % stride
            tap = taps - 1 - (col + padding) // stride + left
            for oy in range(top, bottom):
                lines = weight[c, y + padding - stride * oy, phase].reshape(taps * n_out)
                _add_scaled(
                    total[oy, left * n_out : right * n_out],
                    lines[tap * n_out : (tap + right - left) * n_out],
                    values[place[event]],
                )


@parallel_jit
def event_weight_grad(x, words, grad, stride, padding, pieces):
    """Add the gradient of the weights to pieces, (n_pieces, *weight.shape).

    Piece p takes every n_pieces-th sample from p on, so that their sum depends on no number of threads.
    """
    n, height, width, channels = x.shape
    kernel, taps, n_out = pieces.shape[2], pieces.shape[4], pieces.shape[5]
    rows, cols = grad.shape[1], grad.shape[2]
    size = height * width * channels
    for piece in prange(len(pieces)):
        place = np.empty(size + 1, np.int32)
        for sample in range(piece, n, len(pieces)):
            source = grad[sample].reshape(rows, cols * n_out)
            values = x[sample].reshape(size)
            for event in range(_list_events(values, words[sample].reshape(size), place)):
                position, c = divmod(place[event], channels)
                y, col = divmod(position, width)
                top, bottom = _reach(y, kernel, stride, padding, rows)
                left, right = _reach(col, taps * stride, stride, padding, cols)
                phase = (col + padding) % stride
                tap = taps - 1 - (col + padding) // stride + left
                for oy in range(top, bottom):
                    lines = pieces[piece, c, y + padding - stride * oy, phase].reshape(taps * n_out)
                    _add_scaled(
                        lines[tap * n_out : (tap + right - left) * n_out],
                        source[oy, left * n_out : right * n_out],
                        values[place[event]],
                    )
