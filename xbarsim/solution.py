"""What a solve returns: currents, power, a certificate, and node voltages when asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from xbarsim.crossbar import Crossbar
from xbarsim.errors import ConvergenceError
from xbarsim.units import format_quantity


@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """Currents of a crossbar at given line voltages; leading axes are those of the voltages given to ``solve``.

    Attributes
    ----------
    crossbar : Crossbar
        The circuit that was solved.
    i_bitline : array, (..., n_cols)
        Current into each sense node [A].
    i_wordline : array, (..., n_rows)
        Current out of each driver [A].
    power : array, (...)
        Power delivered by all sources, drivers and sense nodes [W].
    v_wordline, v_bitline : array, (..., n_rows, n_cols)
        Node voltages [V].
    i_cell : array, (..., n_rows, n_cols)
        Current of each cell, from wordline to bitline [A].
    iterations : int array, (...)
        Conjugate-gradient iterations.
    residual : array, (...)
        Largest |sum of branch currents at a node| over the sum of |branch conductance| (|v_a| + |v_b|) there.
    """

    crossbar: Crossbar
    i_cell: np.ndarray
    v_wordline: np.ndarray
    v_bitline: np.ndarray
    iterations: np.ndarray
    residual: np.ndarray
    _v_driver: np.ndarray = field()
    _v_sense: np.ndarray = field()

    @cached_property
    def i_bitline(self) -> np.ndarray:
        """Current into each sense node, (..., n_cols) [A]."""
        return np.asarray(self.i_cell.sum(-2))

    @cached_property
    def i_wordline(self) -> np.ndarray:
        """Current out of each driver, (..., n_rows) [A]."""
        return np.asarray(self.i_cell.sum(-1))

    @cached_property
    def power(self) -> np.ndarray:
        """Power delivered by all sources, (...) [W]."""
        driven = (self._v_driver * self.i_wordline).sum(-1)
        return np.asarray(driven - (self._v_sense * self.i_bitline).sum(-1))

    def check(self, residual: float = 1e-9) -> Solution:
        """Return the solution itself, or raise :class:`ConvergenceError` if its Kirchhoff residual is larger."""
        worst = float(np.max(self.residual, initial=0.0))
        if not worst <= residual:
            raise ConvergenceError(
                f"the largest Kirchhoff residual is {worst:.1e}, above {residual:.1e}; "
                "segment resistances far below 1 uOhm are better given as 0"
            )
        return self

    def __repr__(self) -> str:
        peak = format_quantity(float(np.abs(self.i_bitline).max()), "A")
        return (
            f"Solution({self.crossbar.n_rows} x {self.crossbar.n_cols}, {self.residual.size} read(s), "
            f"largest bitline current {peak}, {int(np.max(self.iterations))} iterations, "
            f"Kirchhoff residual {float(np.max(self.residual)):.0e})"
        )
