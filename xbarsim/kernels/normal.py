"""Standard normal numbers that depend on a key and a counter alone, fast enough to draw one for every read.

A counter is mixed with the words of its key by a bijection of 32-bit words (multiplications and shifts: "lowbias32",
C. Wellons, "Prospecting for hash functions", 2018); two mixed words give one number (G. E. P. Box, M. E. Muller, Ann.
Math. Statist. 29, 1958). No state, no order of calls, and loops that compilers turn into vector instructions.
"""

import numpy as np

from xbarsim.kernels.jit import jit

_F = np.float32
_WORD = np.uint64(0xFFFFFFFF)
_STEP, _HALF, _QUARTER, _ONE, _TWO = _F(2.0**-32), _F(0.5), _F(0.25), _F(1), _F(2)
_LN2 = _F(np.log(2))
_ARTANH = tuple(_F(1 / k) for k in (9, 7, 5, 3))
_SINE = tuple(  # sin(2 pi w), its Taylor polynomial
    _F((-1) ** k * (2 * np.pi) ** (2 * k + 1) / np.prod(np.arange(1.0, 2 * k + 2))) for k in range(6, -1, -1)
)


@jit
def _mixed(word):
    """Mix a word, the lower half of a 64-bit one."""
    word = word & _WORD
    word = ((word ^ (word >> np.uint64(16))) * np.uint64(0x7FEB352D)) & _WORD
    word = ((word ^ (word >> np.uint64(15))) * np.uint64(0x846CA68B)) & _WORD
    return word ^ (word >> np.uint64(16))


@jit
def _log(x):
    """Return ln x for normal numbers x > 0: x = 2^k m with m in [1/sqrt 2, sqrt 2), ln m = 2 artanh((m-1)/(m+1))."""
    bits = _F(x).view(np.int32)
    k = np.int32(np.int32(bits - np.int32(0x3F3504F3)) >> 23)
    m = np.int32(bits - np.int32(k << 23)).view(np.float32)
    z = (m - _ONE) / (m + _ONE)
    square, tail = z * z, _F(0)
    for factor in _ARTANH:
        tail = tail * square + factor
    return _F(k) * _LN2 + _TWO * (z + z * square * tail)


@jit
def _normal(counter, a, b, c):
    first = _mixed(_mixed(counter ^ a) + b)
    second = _mixed(first + c)
    length = np.sqrt(-_TWO * _log((_F(np.uint32(first)) + _HALF) * _STEP))
    w = _QUARTER - abs(_F(np.uint32(second)) * _STEP - _HALF)  # cos(2 pi t) = sin(2 pi (1/4 - |t|)), |t| <= 1/2
    square, sine = w * w, _F(0)
    for factor in _SINE:
        sine = sine * square + factor
    return length * (w * sine)


@jit
def of_image(key, image):
    """Return the key, three words, of one image."""
    a = _mixed(np.uint64(key[0]) + np.uint64(image))
    b = _mixed(np.uint64(key[1]) ^ a)
    return a, b, _mixed(np.uint64(key[2]) ^ b)


@jit
def fill_normal(words, start, out):
    """Fill out with numbers ``start``, ``start`` + 1, ... of a key of one image."""
    a, b, c = words
    for k in range(len(out)):
        out[k] = _normal(np.uint64(start + k), a, b, c)


@jit
def fill_images(key, first, out):
    """Fill out (n, size) with numbers 0, 1, ... of images ``first``, ``first`` + 1, ..."""
    for k in range(len(out)):
        fill_normal(of_image(key, first + k), 0, out[k])
