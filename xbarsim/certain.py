"""Reads whose line currents are right to 1e-9 of the largest, whatever the circuit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xbarsim.cells import Cell
from xbarsim.circuit import Resistances
from xbarsim.elimination import eliminated_cells, eliminated_reads
from xbarsim.errors import ConvergenceError
from xbarsim.kernels.bound import drawn, line_conductances, uncertainties
from xbarsim.kernels.schur import CONVERGED, ROUNDED
from xbarsim.reads import Outcome, nonlinear_reads
from xbarsim.solution import LARGEST_RESIDUAL

SMALLEST_TOLERANCE = float(np.finfo(float).eps)


def largest_residual(tol: float) -> float:
    """Return the residual, and the error of currents over the largest, that is accepted at a tolerance."""
    return max(LARGEST_RESIDUAL, 100 * tol)


def certain_reads(
    way: Callable[..., Outcome],
    reads: tuple[np.ndarray, Resistances, np.ndarray, np.ndarray],
    tol: float,
    max_iterations: int,
) -> Outcome:
    """Read one way; more tightly, or by elimination, where that may be off by more than is accepted.

    Parameters
    ----------
    way : :func:`linear_reads` or :func:`port_reads`
    reads : tuple
        g, r, v and v_end, as these take them.
    tol, max_iterations
        Likewise. Reads that miss the tolerance within the iterations allowed come back as they are.

    Raises
    ------
    ConvergenceError
        If elimination is needed, but too large.
    """
    g, r, v, v_end = reads
    limit = largest_residual(tol)
    rows, columns = line_conductances(g)
    line = max(rows.max(), columns.max())

    def uncertainty(outcome: Outcome, tol: float, rows: np.ndarray) -> tuple[float, float]:
        held = float(limit == LARGEST_RESIDUAL)  # a loose tolerance is what was asked for
        found = outcome.i_wordline, outcome.i_bitline, held * outcome.certificates[:, 2]
        both: tuple[float, float] = uncertainties(line, outcome.rho, rows, columns, v, v_end, *found, held * tol, limit)
        return both

    outcome = way(*reads, tol, max_iterations)
    rounding, loose = uncertainty(outcome, tol, rows)
    if loose > 1:
        rows = drawn(g, tuple(r), *np.empty((3, *g.shape)))
        loose = uncertainty(outcome, tol, rows)[1]
        tighter = 0.5 * tol / max(loose, 1.0)
        if loose > 1 >= rounding and tighter >= SMALLEST_TOLERANCE:
            outcome = way(*reads, tighter, max_iterations)
            rounding, loose = uncertainty(outcome, tighter, rows)
    iterations, status, residual = outcome.certificates[:, 0], outcome.certificates[:, 1], outcome.certificates[:, 2]
    missed = status != CONVERGED
    if (iterations[missed] >= max_iterations).any():
        return outcome
    if rounding <= 1 and loose <= 1 and not missed.any() and (residual <= limit).all():
        return outcome
    try:
        return eliminated_reads(*reads)
    except ConvergenceError:
        if missed.any() or not (residual <= limit).all():
            return outcome
        raise


def certain_cells(
    cell: Cell,
    reads: tuple[np.ndarray, Resistances, np.ndarray, np.ndarray],
    tol: float,
    max_iterations: int,
) -> Outcome:
    """Read non-linear cells; by elimination where that may be off by more than is accepted.

    Parameters and errors are those of :func:`certain_reads`.
    """
    g, r, v, v_end = reads
    outcome = nonlinear_reads(cell, *reads, tol, max_iterations, largest_residual(tol))
    uncertain = np.flatnonzero(outcome.certificates[:, 1] == ROUNDED)
    if not len(uncertain):
        return outcome
    u, x, c = nodes = outcome.nodes()
    for k in uncertain:
        part = slice(k, k + 1)
        u[k], x[k], c[k], residual, power = eliminated_cells(cell, g, r, v[part], v_end[part], u[k] - x[k])
        outcome.i_wordline[k], outcome.i_bitline[k] = c[k].sum(1), c[k].sum(0)
        outcome.certificates[k, 1:] = CONVERGED, residual, power
    return outcome._replace(nodes=lambda: nodes)
