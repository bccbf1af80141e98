"""Random streams keyed by what they are for, never by the order of calls."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from xbarsim.errors import ParameterError


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
    if seed < 0:
        raise ParameterError(f"seed = {seed}: give a whole number from 0")
    return np.random.Generator(np.random.SFC64([seed, crc32(purpose.encode()), *key]))
