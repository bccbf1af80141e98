"""The range of conductances that memristors have: values outside are refused where they enter, unless told."""

from __future__ import annotations

import numpy as np

from xbarsim.units import format_quantity

SMALLEST, LARGEST = 1e-15, 0.1
"""Range of a memristor's conductance [S], from 1 fS to 100 mS.

Tunnel junctions and undamaged oxides reach 1e12 to 1e14 ohm in the high state; metallic filaments, which start at the
quantum of conductance, 77.5 uS for each channel, come down to some 10 ohm in unipolar cells. Resistances in ohm that
are taken for conductances lie above: a memristor of 10 ohm to 1e15 ohm would become 10 S to 1e15 S.
"""
SHORT = 1.0  # [S], 10 times LARGEST: if most cells of an array conduct more, they are no cells


def implausible(g: np.ndarray) -> tuple[int, ...] | None:
    """Return the place of the conductance [S] furthest outside the range, or None; 0 is an open cell, and allowed."""
    conducts = g[g > 0]
    if not conducts.size or (conducts.min() >= SMALLEST and conducts.max() <= LARGEST):
        return None
    worst = np.argmax(g) if conducts.max() > LARGEST else np.argmin(np.where(g > 0, g, np.inf))
    return tuple(int(k) for k in np.unravel_index(worst, g.shape))


def both(g: float) -> str:
    """Write a conductance as one and as a resistance, "10 uS = 100 kOhm"."""
    return f"{format_quantity(g, 'S')} = {format_quantity(1 / g, 'Ohm')}" if g > 0 else "0 S, open"


def spread(g: np.ndarray) -> str:
    """Say what conductances [S] are like: smallest, median and largest of those that conduct, and how many do not."""
    conducts = g[g > 0]
    n_open = g.size - conducts.size
    if not conducts.size:
        return "all cells are open"
    low, middle, high = (float(value) for value in (conducts.min(), np.median(conducts), conducts.max()))
    opened = f"; {n_open} open" if n_open else ""
    return f"smallest {both(low)}, median {both(middle)}, largest {both(high)}{opened}"


RANGE = f"{format_quantity(SMALLEST, 'S')} to {format_quantity(LARGEST, 'S')} (10 Ohm)"
