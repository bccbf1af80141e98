"""What a solve returns: currents, power, a certificate, and node voltages when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xbarsim.crossbar import Crossbar
from xbarsim.errors import ConvergenceError
from xbarsim.reads import Outcome
from xbarsim.units import format_result

LARGEST_RESIDUAL = 1e-9


def check_residual(residuals: np.ndarray, limit: float) -> None:
    """Raise :class:`ConvergenceError` if any residual is above the limit, or is no number."""
    worst = float(np.max(residuals, initial=0.0))
    if not worst <= limit:
        raise ConvergenceError(
            f"the largest Kirchhoff residual is {worst:.1e}, above {limit:.1e}; lower tol, or give segment resistances "
            "far below 1 uOhm as 0"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """Currents of a crossbar at given line voltages; leading axes are those of the voltages given to ``solve``.

    Attributes
    ----------
    crossbar : Crossbar
        The circuit that was solved.
    i_bitline : array, (..., n_cols)
        Current into each sense node, both ends together [A]; with linear cells, it and those of the wordlines are right
        to 1e-9 of the largest of them (of the bitlines alone through port matrices). Where a line's true current is 0
        while others are not, rounding may remain, about 1e-15 of the conductance of its cells times the largest source
        voltage and never more than that 1e-9; it is exactly 0 on lines open at both ends, without any source voltage,
        and where nodes were eliminated.
    iterations : int array, (...)
        Sweeps or conjugate-gradient iterations; with non-linear cells summed over Newton steps; 0 where nodes were
        eliminated.
    residual : array, (...)
        Largest |sum of branch currents at a node| over the sum of |branch conductance| (|v_a| + |v_b| + V) there, V
        being the largest source voltage; for reads through port matrices that of the solves that these come from; for
        reads by elimination that of the first of them.
    v_driver, v_sense : array, (..., n_rows), (..., n_cols)
        The voltages given [V].

    The other quantities of a batch are computed when first asked for, and kept.
    """

    crossbar: Crossbar
    i_bitline: np.ndarray
    iterations: np.ndarray
    residual: np.ndarray
    v_driver: np.ndarray
    v_sense: np.ndarray
    _complete: Callable[[], Outcome]

    @cached_property
    def _lines(self) -> Outcome:
        return self._complete()

    @cached_property
    def _nodes(self) -> tuple[np.ndarray, ...]:
        return tuple(part.reshape(*self.residual.shape, *part.shape[1:]) for part in self._lines.nodes())

    @property
    def i_wordline(self) -> np.ndarray:
        """Current out of each driver, both ends together, (..., n_rows) [A]."""
        return self._lines.i_wordline.reshape(self.v_driver.shape)

    @property
    def dissipated(self) -> np.ndarray:
        """Power lost in cells, wire segments, drivers and sense resistances, (...) [W]."""
        return self._lines.certificates[:, 3].reshape(self.residual.shape)

    @property
    def v_wordline(self) -> np.ndarray:
        """Wordline node voltages, (..., n_rows, n_cols) [V]."""
        return self._nodes[0]

    @property
    def v_bitline(self) -> np.ndarray:
        """Bitline node voltages, (..., n_rows, n_cols) [V]."""
        return self._nodes[1]

    @property
    def v_cell(self) -> np.ndarray:
        """Voltage across each cell, wordline minus bitline, (..., n_rows, n_cols) [V]."""
        return np.asarray(self._nodes[0] - self._nodes[1])

    @property
    def i_cell(self) -> np.ndarray:
        """Current of each cell, from wordline to bitline, (..., n_rows, n_cols) [A]."""
        return self._nodes[2]

    @property
    def power(self) -> np.ndarray:
        """Power delivered by all sources, drivers and sense nodes, (...) [W]."""
        return np.asarray((self.v_driver * self.i_wordline).sum(-1) - (self.v_sense * self.i_bitline).sum(-1))

    @property
    def power_balance(self) -> np.ndarray:
        """Difference of delivered and dissipated power over the dissipated power or, if more, over 1e-20 W; (...)."""
        return np.asarray(np.abs(self.power - self.dissipated) / np.maximum(self.dissipated, 1e-20))

    def check(self, residual: float = LARGEST_RESIDUAL, power_balance: float | None = None) -> Solution:
        """Return the solution itself, or raise :class:`ConvergenceError` if it is worse than asked for.

        Parameters
        ----------
        residual : float
            Largest Kirchhoff residual allowed.
        power_balance : float, optional
            Largest relative power imbalance allowed.
        """
        check_residual(self.residual, residual)
        if power_balance is not None:
            imbalance = float(np.max(self.power_balance, initial=0.0))
            if not imbalance <= power_balance:
                raise ConvergenceError(f"the power imbalance is {imbalance:.1e}, above {power_balance:.1e}; lower tol")
        return self

    def __repr__(self) -> str:
        peak = format_result(float(np.abs(self.i_bitline).max(initial=0.0)), "A")
        return (
            f"Solution({self.crossbar.n_rows} x {self.crossbar.n_cols}, {self.residual.size} read(s), "
            f"largest bitline current {peak}, {int(np.max(self.iterations, initial=0))} iterations, "
            f"Kirchhoff residual {float(np.max(self.residual, initial=0.0)):.0e})"
        )
