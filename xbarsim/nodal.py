"""solve(): the node voltages and currents of a crossbar, one read or a batch."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xbarsim.cells import Cell
from xbarsim.circuit import Resistances, cell_law, conductances, ladders, mask, resistances, wire_conductances
from xbarsim.crossbar import Crossbar, real_array
from xbarsim.errors import ConvergenceError, ParameterError
from xbarsim.kernels.newton import newton_batch, newton_read
from xbarsim.kernels.read import read, read_batch, wordline_nodes
from xbarsim.kernels.schur import CONVERGED
from xbarsim.solution import Nodes, Solution
from xbarsim.units import format_quantity

SMALLEST_TOLERANCE = 1e-14


def solve(
    crossbar: Crossbar,
    v_wordline: Any,
    *,
    v_bitline: Any = 0.0,
    floating_wordlines: Any = None,
    floating_bitlines: Any = None,
    selected: Any = None,
    tol: float = 1e-12,
    max_iterations: int = 10_000,
) -> Solution:
    """Solve Kirchhoff's equations of a crossbar exactly, up to a tolerance.

    Conjugate gradients on the bitline Schur complement, preconditioned by the bitlines, in double precision; with
    non-linear cells inside a globally convergent Newton iteration.

    Parameters
    ----------
    crossbar : Crossbar
        The circuit.
    v_wordline : array, (..., n_rows)
        Driver voltages [V]; leading axes are independent reads.
    v_bitline : array broadcastable to (..., n_cols), optional
        Voltages of the sense nodes [V].
    floating_wordlines, floating_bitlines : bool array, (n_rows,) and (n_cols,), optional
        Lines whose ends are open; the voltages given for them do not matter, their currents are 0.
    selected : bool array, (n_rows,), optional
        Rows whose transistors conduct, with 1T1R cells; all unless told.
    tol : float
        Error of the solution in the energy norm, relative to its own norm.
    max_iterations : int
        Limit per read.

    Returns
    -------
    Solution

    Raises
    ------
    ParameterError
        If a shape, voltage or tolerance is not allowed, or a node has no path to any source.
    ConvergenceError
        If a read did not reach the tolerance.
    """
    _fits(crossbar, np.size(v_wordline) // crossbar.n_rows)
    v = real_array(v_wordline, "v_wordline", "voltages in volts")
    if v.ndim == 0 or v.shape[-1] != crossbar.n_rows:
        raise ParameterError(f"v_wordline has the shape {v.shape}; the last axis must be the {crossbar.n_rows} rows")
    v_end = real_array(v_bitline, "v_bitline", "voltages in volts")
    lead = v.shape[:-1]
    try:
        v_end = np.array(np.broadcast_to(v_end, (*lead, crossbar.n_cols)))
    except ValueError:
        raise ParameterError(
            f"v_bitline has the shape {v_end.shape}; give one that broadcasts to {(*lead, crossbar.n_cols)}"
        ) from None
    if not SMALLEST_TOLERANCE <= tol < 1:
        raise ParameterError(
            f"tol = {tol}: give a value below 1 and from {SMALLEST_TOLERANCE:g}, the limit of rounding"
        )
    if max_iterations < 1:
        raise ParameterError(f"max_iterations = {max_iterations}: at least 1 is needed")
    v[..., mask(floating_wordlines, "floating_wordlines", crossbar.n_rows)] = 0.0
    v_end[..., mask(floating_bitlines, "floating_bitlines", crossbar.n_cols)] = 0.0

    g, n = conductances(crossbar, selected), int(np.prod(lead))
    r = resistances(crossbar, floating_wordlines, floating_bitlines)
    flat = v.reshape(n, g.shape[0]), v_end.reshape(n, g.shape[1])
    method = _solve_linear if crossbar.linear else _solve_nonlinear
    outcome = method(crossbar.cell, g, r, *flat, tol, max_iterations)
    missed = np.count_nonzero(outcome.status != CONVERGED)
    if missed:
        raise ConvergenceError(
            f"{missed} of {n} reads missed tol = {tol:g} within {int(outcome.iterations.max())} iterations; "
            "raise max_iterations or tol"
        )

    def nodes() -> Nodes:
        u, i_cell = outcome.nodes()
        return u.reshape(*lead, *g.shape), i_cell.reshape(*lead, *g.shape)

    return Solution(
        crossbar,
        i_bitline=outcome.i_bitline.reshape(*lead, g.shape[1]),
        i_wordline=outcome.i_wordline.reshape(*lead, g.shape[0]),
        v_bitline=outcome.x.reshape(*lead, *g.shape),
        iterations=outcome.iterations.reshape(lead),
        residual=outcome.residual.reshape(lead),
        v_driver=v,
        v_sense=v_end,
        _resistances=r,
        _nodes=nodes,
    ).check()


def _fits(crossbar: Crossbar, n_reads: int) -> None:
    """Raise an error if the node voltages of so many reads, with five arrays of work, exceed this machine's memory."""
    needed = 8 * crossbar.g.size * (n_reads + 16)
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > 0.9 * installed:
        raise ParameterError(
            f"{n_reads} read(s) of {crossbar.n_rows} x {crossbar.n_cols} cells need {format_quantity(needed, 'B')} of "
            f"memory, this machine has {format_quantity(installed, 'B')}; solve fewer reads at a time, or use reduce()"
        )


class _Outcome(NamedTuple):
    """What kernels return for n reads: bitline nodes, line currents, certificate; and how to get the other nodes."""

    x: np.ndarray
    i_wordline: np.ndarray
    i_bitline: np.ndarray
    iterations: np.ndarray
    status: np.ndarray
    residual: np.ndarray
    nodes: Callable[[], Nodes]


def _solve_linear(
    cell: Cell, g: np.ndarray, r: Resistances, v: np.ndarray, v_end: np.ndarray, tol: float, max_iterations: int
) -> _Outcome:
    n = len(v)
    wordlines, bitlines = ladders(g, r)
    x, i_w, i_b = np.empty((n, *g.shape)), np.empty((n, g.shape[0])), np.empty((n, g.shape[1]))
    iterations, status, residual = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    circuit = (g, wire_conductances(r), wordlines, bitlines)
    if n == 1:
        work = np.empty((5, *g.shape))
        iterations[0], status[0], residual[0] = read(
            *circuit, v[0], v_end[0], tol, max_iterations, work, x[0], i_w[0], i_b[0]
        )
    else:
        read_batch(*circuit, v, v_end, tol, max_iterations, x, i_w, i_b, iterations, status, residual)

    def nodes() -> Nodes:
        u, current = np.empty_like(x), np.empty_like(x)
        wordline_nodes(wordlines, v, x, u, current)
        return u, g * (u - x)

    return _Outcome(x, i_w, i_b, iterations, status, residual, nodes)


def _solve_nonlinear(
    cell: Cell, g: np.ndarray, r: Resistances, v: np.ndarray, v_end: np.ndarray, tol: float, max_iterations: int
) -> _Outcome:
    n = len(v)
    x, u, i_cell = (np.empty((n, *g.shape)) for _ in range(3))
    iterations, status, residual = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    circuit = (g, tuple(r), wire_conductances(r), *cell_law(cell))
    if n == 1:
        iterations[0], status[0], residual[0] = newton_read(
            *circuit, v[0], v_end[0], tol, max_iterations, x[0], u[0], i_cell[0]
        )
    else:
        newton_batch(*circuit, v, v_end, tol, max_iterations, x, u, i_cell, iterations, status, residual)
    return _Outcome(x, i_cell.sum(2), i_cell.sum(1), iterations, status, residual, lambda: (u, i_cell))
