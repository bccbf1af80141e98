"""Exponential and logarithm that compilers turn into vector instructions, unlike a library's; to rounding."""

import numpy as np

from xbarsim.kernels.jit import jit

_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # ln 2, the first part with its last bits zero
_LN2 = _LN2_HIGH + _LN2_LOW
_EVEN = tuple(1.0 / float(np.prod(np.arange(1.0, k + 1))) for k in range(12, 1, -2))
_ODD = tuple(1.0 / float(np.prod(np.arange(1.0, k + 1))) for k in range(13, 2, -2))
_INVERSE_ODDS = tuple(1.0 / k for k in range(19, 1, -2))
LARGEST = 700.0  # the largest argument whose exponential is a number


@jit
def _power_and_series(a):
    """Return 2^k and exp(f) - 1 of a = k ln 2 + f: a Taylor polynomial in f, at most 0.35."""
    k = np.floor(a / _LN2 + 0.5)
    f = (a - k * _LN2_HIGH) - k * _LN2_LOW
    square, even, odd = f * f, 0.0, 0.0
    for factor in _EVEN:  # two short chains of operations instead of a long one, which processors overlap
        even = even * square + factor
    for factor in _ODD:
        odd = odd * square + factor
    return np.int64((np.int64(k) + 1023) << 52).view(np.float64), f + square * (even + f * odd)


@jit
def expm1(a):
    """Return exp(a) - 1 for |a| <= LARGEST."""
    power, series = _power_and_series(a)
    return power * series + (power - 1.0)


@jit
def exp(a):
    """Return exp(a) for |a| <= LARGEST, small values to as many digits as large ones."""
    power, series = _power_and_series(a)
    return power * series + power


@jit
def log1p(x):
    """Return ln(1 + x) for finite x >= 0.

    1 + x = 2^k m with m in [1/sqrt 2, sqrt 2): ln m = 2 artanh(f / (2 + f)) of f = m - 1, by its Taylor polynomial.
    """
    bits = np.float64(1.0 + x).view(np.int64)
    k = (bits - np.int64(0x3FE6A09E667F3BCD)) >> 52
    m = np.int64(bits - (k << 52)).view(np.float64)
    f = x if k == 0 else m - 1.0
    z = f / (2.0 + f)
    square, tail = z * z, 0.0
    for factor in _INVERSE_ODDS:
        tail = tail * square + factor
    return k * _LN2 + 2.0 * (z + z * square * tail)
