"""Noise of reads, converters and comparators: normal numbers keyed by what they are for, the same in any batch."""

from __future__ import annotations

import numpy as np

from xbarsim.kernels.normal import fill_images
from xbarsim.streams import stream


def noise_key(seed: int, purpose: str, *key: int) -> np.ndarray:
    """Return the three words by which the draws of (seed, purpose, key) differ from all others."""
    return stream(seed, purpose, *key).integers(0, 1 << 32, 3, dtype=np.uint32)


def normal(key: np.ndarray, first: int, n: int, t_steps: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Return numbers (t_steps, n, channels, height, width) of images ``first`` on; counted channels last."""
    channels, height, width = shape
    z = np.empty((n, t_steps * channels * height * width), np.float32)
    fill_images(key, first, z)
    return np.moveaxis(z.reshape(n, t_steps, height, width, channels), (0, 4), (1, 2))
