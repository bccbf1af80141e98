"""What a solve returns: currents, power, a certificate, and node voltages when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xbarsim.circuit import Resistances
from xbarsim.crossbar import Crossbar
from xbarsim.errors import ConvergenceError
from xbarsim.kernels.ladder import OPEN
from xbarsim.units import format_quantity

Nodes = tuple[np.ndarray, np.ndarray]  # wordline node voltages and cell currents, each (..., n_rows, n_cols)


@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """Currents of a crossbar at given line voltages; leading axes are those of the voltages given to ``solve``.

    Attributes
    ----------
    crossbar : Crossbar
        The circuit that was solved.
    i_bitline : array, (..., n_cols)
        Current into each sense node, both ends together [A].
    i_wordline : array, (..., n_rows)
        Current out of each driver, both ends together [A].
    v_bitline : array, (..., n_rows, n_cols)
        Bitline node voltages [V].
    iterations : int array, (...)
        Conjugate-gradient iterations; with non-linear cells summed over Newton steps.
    residual : array, (...)
        Largest |sum of branch currents at a node| over the sum of |branch conductance| (|v_a| + |v_b|) there.
    v_driver, v_sense : array, (..., n_rows), (..., n_cols)
        The voltages given [V].
    """

    crossbar: Crossbar
    i_bitline: np.ndarray
    i_wordline: np.ndarray
    v_bitline: np.ndarray
    iterations: np.ndarray
    residual: np.ndarray
    v_driver: np.ndarray
    v_sense: np.ndarray
    _resistances: Resistances
    _nodes: Callable[[], Nodes]

    @cached_property
    def _computed(self) -> Nodes:
        return self._nodes()

    @property
    def v_wordline(self) -> np.ndarray:
        """Wordline node voltages, (..., n_rows, n_cols) [V]."""
        return self._computed[0]

    @property
    def i_cell(self) -> np.ndarray:
        """Current of each cell, from wordline to bitline, (..., n_rows, n_cols) [A]."""
        return self._computed[1]

    @property
    def power(self) -> np.ndarray:
        """Power delivered by all sources, drivers and sense nodes, (...) [W]."""
        return np.asarray((self.v_driver * self.i_wordline).sum(-1) - (self.v_sense * self.i_bitline).sum(-1))

    @cached_property
    def power_balance(self) -> np.ndarray:
        """Difference of delivered and dissipated power over the dissipated power, or over 1e-20 W if that is more.

        (...); dissipated in cells, wire segments, drivers and sense resistances.
        """
        r, u, x = self._resistances, self.v_wordline, self.v_bitline
        lost = (self.i_cell * (u - x)).sum((-2, -1))
        drops = [
            (np.diff(u, axis=-1), r.wordline),
            (np.diff(x, axis=-2), r.bitline),
            (self.v_driver - u[..., 0], r.near_wordline),
            (self.v_driver - u[..., -1], r.far_wordline),
            (self.v_sense - x[..., -1, :], r.near_bitline),
            (self.v_sense - x[..., 0, :], r.far_bitline),
        ]
        for drop, resistance in drops:
            wire = np.where((resistance > 0) & (resistance < OPEN), resistance, np.inf)
            lost = lost + (drop**2 / wire).sum(tuple(range(-wire.ndim, 0)))
        return np.asarray(np.abs(self.power - lost) / np.maximum(np.abs(lost), 1e-20))

    def check(self, residual: float = 1e-9, power_balance: float | None = None) -> Solution:
        """Return the solution itself, or raise :class:`ConvergenceError` if it is worse than asked for.

        Parameters
        ----------
        residual : float
            Largest Kirchhoff residual allowed.
        power_balance : float, optional
            Largest relative power imbalance allowed; computing it needs all node voltages.
        """
        worst = float(np.max(self.residual, initial=0.0))
        if not worst <= residual:
            raise ConvergenceError(
                f"the largest Kirchhoff residual is {worst:.1e}, above {residual:.1e}; "
                "segment resistances far below 1 uOhm are better given as 0"
            )
        if power_balance is not None:
            imbalance = float(np.max(self.power_balance, initial=0.0))
            if not imbalance <= power_balance:
                raise ConvergenceError(f"the power imbalance is {imbalance:.1e}, above {power_balance:.1e}; lower tol")
        return self

    def __repr__(self) -> str:
        peak = format_quantity(float(np.abs(self.i_bitline).max(initial=0.0)), "A")
        return (
            f"Solution({self.crossbar.n_rows} x {self.crossbar.n_cols}, {self.residual.size} read(s), "
            f"largest bitline current {peak}, {int(np.max(self.iterations, initial=0))} iterations, "
            f"Kirchhoff residual {float(np.max(self.residual, initial=0.0)):.0e})"
        )
