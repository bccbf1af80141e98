"""Which numbers a network may be made of: real, finite, in their range."""

from __future__ import annotations

import numpy as np


def fault(
    x: np.ndarray, *, above: float | None = None, least: float = -float("inf"), most: float = float("inf")
) -> str | None:
    """Return what is wrong with an array, as the rest of a sentence that names it; None if nothing is.

    Parameters
    ----------
    x : array
        Any shape and type. What counts is what it becomes in single precision, in which networks are run.
    above : float, optional
        What all numbers have to exceed.
    least, most : float
        The limits of their range.
    """
    if np.iscomplexobj(x):
        return "holds complex values; give real ones"
    with np.errstate(over="ignore"):  # becomes infinite, and is refused
        numbers = x.astype(np.float32)
    wrong, what = ~np.isfinite(numbers), "not finite in single precision"
    if not wrong.any() and above is not None:
        wrong, what = numbers <= above, f"not above {above:g}"
    elif not wrong.any():
        wrong = (numbers < least) | (numbers > most)
        what = f"below {least:g}" if np.isinf(most) else f"not from {least:g} to {most:g}"
    if not wrong.any():
        return None
    first = x[wrong].flat[0].item()
    return f"holds values that are {what}: {first:g} at {int(wrong.sum())} of {wrong.size} places"


def spread(x: np.ndarray) -> str:
    """Say what numbers there are: one, or from the smallest to the largest."""
    low, high = float(np.min(x)), float(np.max(x))
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
