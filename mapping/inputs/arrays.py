"""Inputs as users give them: real numbers in an array, which of its axes is what, and spikes that are 0 or 1."""

from __future__ import annotations

from typing import Literal

import numpy as np

from xbarsim.errors import ParameterError, shown

Counts = Literal["refuse", "clip"]

ORDER = "ntchw"  # samples, time steps, channels, height, width


def arranged(x: np.ndarray, axes: str, what: str) -> np.ndarray:
    """Return an array as (n, c, h, w), or with time as (n, t, c, h, w); axes that it lacks have the length 1.

    Parameters
    ----------
    x : array
    axes : str
        A letter for each axis, in any order: n (samples), t (time steps), c (channels), h (height), w (width).
    what : str
        What errors call it.
    """
    fits = isinstance(axes, str) and len(axes) == x.ndim == len(set(axes)) and set(axes) <= set(ORDER)
    if not fits:
        raise ParameterError(
            f"axes = {shown(axes)} for {what} of the shape {x.shape}: give one letter for each axis, of n (samples), "
            "t (time steps), c (channels), h, w"
        )
    ordered = x.transpose([axes.index(letter) for letter in ORDER if letter in axes])
    full = ORDER if "t" in axes else ORDER.replace("t", "")
    return ordered[tuple(slice(None) if letter in axes else None for letter in full)]


def told(x: np.ndarray) -> str | None:
    """Return the axes of images (n, h, w) or (n, c, h, w), or spikes (n, t, c, h, w); None for others."""
    return {3: "nhw", 4: "nchw", 5: ORDER}.get(x.ndim)


def as_spikes(x: np.ndarray, counts: Counts = "refuse") -> np.ndarray:
    """Return spikes, 0 or 1: whole numbers in uint8, floats as they are; refuse others, or clip counts of events."""
    if not isinstance(counts, str) or counts not in ("refuse", "clip"):
        raise ParameterError(f"counts = {shown(counts)}: give 'refuse' or 'clip'")
    if x.dtype != bool and x.size and np.any((x != 0) & (x != 1)):
        if not np.isfinite(x).all() or x.min() < 0 or np.any(x != np.floor(x)):
            raise ParameterError("spikes hold values other than 0 and 1; give an image array for analog input")
        if counts == "refuse":
            raise ParameterError(
                f"spikes hold counts up to {x.max():g}, but a spike is 0 or 1: clip them to 1, "
                "mapping.events(..., counts='clip'), or take more, shorter time steps"
            )
        x = np.minimum(x, 1)
    return x if x.dtype.kind == "f" else x.astype(np.uint8, copy=False)
