"""Random streams keyed by what they are for, never by the order of calls."""

from __future__ import annotations

from numbers import Integral
from typing import Any
from zlib import crc32

import numpy as np

from xbarsim.errors import ParameterError, shown


def whole_number(value: Any, name: str) -> int:
    """Return a whole number from 0 below 2^64; raise :class:`ParameterError` otherwise."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 0:
        raise ParameterError(f"{name} = {shown(value)}: give a whole number from 0")
    if int(value) >= 1 << 64:
        raise ParameterError(f"{name} = {shown(value)}: give a whole number below 2^64")
    return int(value)


def numbered(name: str, number: int, count: int) -> int:
    """Return the number of one of ``count`` things, from 0; refuse others."""
    if whole_number(number, name) >= count:
        raise ParameterError(f"{name} = {number}: there are {count}; give a number from 0 to {count - 1}")
    return int(number)


def stream(seed: int, purpose: str, *key: int) -> np.random.Generator:
    """Return the generator of (seed, purpose, key), the same wherever and whenever it is asked for.

    Parameters
    ----------
    seed : int
        Root seed of the study, 0 or above.
    purpose : str
        What is drawn, for example ``"d2d"``.
    *key : int
        Die, layer, tile, image, step: whatever tells this draw from others of the same purpose.
    """
    numbers = (whole_number(seed, "seed"), *(whole_number(part, "key") for part in key))
    words = [crc32(purpose.encode()), len(key)]  # two words for each number: no two keys give the same words
    for number in numbers:
        words += [number & 0xFFFFFFFF, number >> 32]
    return np.random.Generator(np.random.SFC64(words))
