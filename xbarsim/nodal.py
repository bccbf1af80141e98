"""solve(): the node voltages and currents of a crossbar, one read or a batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from xbarsim.crossbar import Crossbar, real_array
from xbarsim.errors import ConvergenceError, ParameterError
from xbarsim.kernels.ladder import bitline_ladders, wordline_ladders
from xbarsim.kernels.read import read, read_batch
from xbarsim.kernels.schur import CONVERGED
from xbarsim.solution import Solution

SMALLEST_TOLERANCE = 1e-14


def solve(
    crossbar: Crossbar,
    v_wordline: Any,
    *,
    v_bitline: Any = 0.0,
    tol: float = 1e-12,
    max_iterations: int = 10_000,
) -> Solution:
    """Solve Kirchhoff's equations of a crossbar exactly, up to a tolerance.

    Conjugate gradients on the bitline Schur complement, preconditioned by the bitlines, in double precision.

    Parameters
    ----------
    crossbar : Crossbar
        The circuit.
    v_wordline : array, (..., n_rows)
        Driver voltages [V]; leading axes are independent reads.
    v_bitline : array broadcastable to (..., n_cols), optional
        Voltages of the sense nodes [V].
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
        If a shape, voltage or tolerance is not allowed.
    ConvergenceError
        If a read did not reach the tolerance.
    """
    v = real_array(v_wordline, "v_wordline", "voltages in volts")
    if v.ndim == 0 or v.shape[-1] != crossbar.n_rows:
        raise ParameterError(f"v_wordline has the shape {v.shape}; the last axis must be the {crossbar.n_rows} rows")
    v_end = real_array(v_bitline, "v_bitline", "voltages in volts")
    lead = v.shape[:-1]
    try:
        v_end = np.broadcast_to(v_end, (*lead, crossbar.n_cols))
    except ValueError:
        raise ParameterError(
            f"v_bitline has the shape {v_end.shape}; give one that broadcasts to {(*lead, crossbar.n_cols)}"
        ) from None
    if not SMALLEST_TOLERANCE <= tol < 1:
        raise ParameterError(
            f"tol = {tol}: give a value from {SMALLEST_TOLERANCE:g}, the limit of rounding, to below 1"
        )
    if max_iterations < 1:
        raise ParameterError(f"max_iterations = {max_iterations}: at least 1 is needed")
    n = int(np.prod(lead))
    return _solve(crossbar, v.reshape(n, -1), np.array(v_end).reshape(n, -1), lead, tol, max_iterations)


def _solve(
    crossbar: Crossbar, v: np.ndarray, v_end: np.ndarray, lead: tuple[int, ...], tol: float, max_iterations: int
) -> Solution:
    g, wires = crossbar.g, crossbar.wires
    ladders = tuple(np.empty_like(g) for _ in range(4))
    wordline_ladders(g, wires.r_wordline, wires.r_driver, *ladders[:2])
    bitline_ladders(g, wires.r_bitline, wires.r_sense, *ladders[2:])
    resistances = (wires.r_wordline, wires.r_bitline, wires.r_driver, wires.r_sense)
    n = len(v)
    x, u, i_cell = (np.empty((n, *g.shape)) for _ in range(3))
    iterations, status, residual = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    circuit = (g, resistances, ladders)
    if n == 1:
        iterations[0], status[0], residual[0] = read(
            *circuit, v[0], v_end[0], tol, max_iterations, x[0], u[0], i_cell[0]
        )
    else:
        read_batch(*circuit, v, v_end, tol, max_iterations, x, u, i_cell, iterations, status, residual)
    if np.any(status != CONVERGED):
        raise ConvergenceError(
            f"{np.count_nonzero(status != CONVERGED)} of {n} reads missed tol = {tol:g} within "
            f"{int(iterations.max())} iterations; raise max_iterations or tol"
        )
    shape = (*lead, *g.shape)
    return Solution(
        crossbar,
        i_cell=i_cell.reshape(shape),
        v_wordline=u.reshape(shape),
        v_bitline=x.reshape(shape),
        iterations=iterations.reshape(lead),
        residual=residual.reshape(lead),
        _v_driver=v.reshape(*lead, -1),
        _v_sense=v_end.reshape(*lead, -1),
    ).check()
