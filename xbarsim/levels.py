"""Levels between the two states of a device, and the laws by which what is known of the states holds between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Levels:
    """Cells on levels between the two states.

    Parameters
    ----------
    share : array
        How far each is on its way in conductance, 0 for the high-resistance and 1 for the low-resistance state.
    ratio : float
        Conductance of the low-resistance over that of the high-resistance state.
    """

    share: np.ndarray
    ratio: float

    @property
    def g(self) -> np.ndarray:
        """Conductances over that of the high-resistance state."""
        return self._conductance(self.share)

    def _conductance(self, share: np.ndarray) -> np.ndarray:
        return np.asarray(1 + share * (self.ratio - 1))

    def amount(self, points: Sequence[tuple[float, float]]) -> np.ndarray:
        """Return a part of the conductance of each cell: what it is in siemens is linear in conductance between points.

        Parameters
        ----------
        points : sequence of (share, value)
            Both states, and what is known between them, in rising order.
        """
        shares, values = np.array(points).T
        known = self._conductance(shares)
        return np.asarray(np.interp(self.g, known, values * known) / self.g)

    def exponent(self, points: Sequence[tuple[float, float]]) -> np.ndarray:
        """Return an exponent of each cell, linear in the logarithm of conductance between points as of :meth:`amount`.

        Phase-change cells drift so: J. Joshi et al., Nature Communications 11, 2473, 2020.
        """
        shares, values = np.array(points).T
        return np.asarray(np.interp(np.log(self.g), np.log(self._conductance(shares)), values))


States = np.ndarray | Levels  # bool: whether cells are in the low-resistance state


def nominal(states: States, g_lrs: float, g_hrs: float) -> np.ndarray:
    """Return the conductances that cells should have [S]."""
    if isinstance(states, Levels):
        return np.asarray(g_hrs + states.share * (g_lrs - g_hrs))
    return np.where(states, g_lrs, g_hrs)


def either(states: States, lrs: np.ndarray, hrs: np.ndarray) -> np.ndarray:
    """Return factors of conductances: those of their state, of both parts of it between the two."""
    if isinstance(states, Levels):
        part = states.share * states.ratio / states.g
        return np.asarray(part * lrs + (1 - part) * hrs)
    return np.where(states, lrs, hrs)


def above_hrs(states: States) -> np.ndarray:
    """Return which cells conduct more than in the high-resistance state."""
    return states.share > 0 if isinstance(states, Levels) else states


def picked(states: States, at: np.ndarray) -> States:
    """Return some cells, by their flat numbers or a mask."""
    if isinstance(states, Levels):
        return Levels(states.share.reshape(-1)[at], states.ratio)
    return np.asarray(states.reshape(-1)[at])


def shares(states: States) -> np.ndarray:
    """Return how far cells are on the way to the low-resistance state, or whether they are in it."""
    return states.share if isinstance(states, Levels) else states


def stuck(states: States, lrs: np.ndarray, hrs: np.ndarray) -> States:
    """Return states where some cells, told by masks, are in one of the two whatever they should be in."""
    share = shares(states).copy()
    share[lrs], share[hrs] = 1, 0
    return Levels(share, states.ratio) if isinstance(states, Levels) else share
