"""solve(): the node voltages and currents of a crossbar, one read or a batch."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, Literal, get_args

import numpy as np

from xbarsim.cells import Cell, Sinh
from xbarsim.certain import SMALLEST_TOLERANCE, certain_cells, certain_reads, largest_residual
from xbarsim.circuit import Resistances, conductances, mask, resistances
from xbarsim.crossbar import Crossbar, real_array
from xbarsim.elimination import Eliminated, eliminated_reads
from xbarsim.errors import ConvergenceError, ParameterError
from xbarsim.kernels.ladder import OPEN
from xbarsim.kernels.lanes import LANES
from xbarsim.kernels.schur import CONVERGED
from xbarsim.machine import check_memory
from xbarsim.plausible import SHORT
from xbarsim.reads import Outcome, in_pieces, linear_reads, port_reads, row_reads
from xbarsim.solution import LARGEST_RESIDUAL, Solution, check_residual

Method = Literal["auto", "nodes", "ports", "elimination"]
_WORK = 24.0  # arrays of the crossbar's size that a read works with, at most
_PIECE = 1 << 24  # numbers, of voltages or cells, that are worked on together
_BATCH = 1.25  # reads per bitline from which one solve for each bitline, and products, are less work


def solve(
    crossbar: Crossbar,
    v_wordline: Any,
    *,
    v_bitline: Any = 0.0,
    floating_wordlines: Any = None,
    floating_bitlines: Any = None,
    selected: Any = None,
    method: Method = "auto",
    tol: float = 1e-12,
    max_iterations: int = 10_000,
) -> Solution:
    """Solve Kirchhoff's equations of a crossbar exactly, up to a tolerance.

    Wordlines and bitlines in turn, each line exactly, accelerated by Chebyshev polynomials; where lines sag too much
    for that, conjugate gradients on the bitline Schur complement; in double precision; with non-linear cells inside a
    globally convergent Newton iteration. Where that leaves line currents in doubt by more than 1e-9 of the largest,
    because cells conduct so much more than their lines that currents drown in the rounding of voltages, every node is
    eliminated without a subtraction; non-linear cells as the linear ones that their chords are, until these settle.

    Parameters
    ----------
    crossbar : Crossbar
        The circuit.
    v_wordline : array, (..., n_rows)
        Driver voltages [V]; leading axes are independent reads. They are copied, but for arrays that cannot be written
        to, as ``np.load(..., mmap_mode="r")`` gives; reads are worked on in pieces, so that 10 million of them need
        little more memory than their voltages and currents.
    v_bitline : array broadcastable to (..., n_cols), optional
        Voltages of the sense nodes [V].
    floating_wordlines, floating_bitlines : bool array, (n_rows,) and (n_cols,), optional
        Lines whose ends are open; the voltages given for them do not matter, their currents are 0.
    selected : bool array, (n_rows,), optional
        Rows whose transistors conduct, with 1T1R cells; all unless told.
    method : {"auto", "nodes", "ports", "elimination"}
        Solve for the nodes of each read; or solve once for each bitline, after which a read is a product with the port
        matrices (linear cells; currents of drivers, power and nodes are solved for when asked for). The default is
        ports from 1.25 reads per bitline. ``"elimination"`` (linear cells) is slow, takes up to 2 GB, and gives each
        current to about 1e-14 of the largest that reaches its line, however small that is.
    tol : float
        Error of the bitline node voltages, relative to what reading moves them by, in an energy norm: of the bitlines
        with their cells (sweeps), or of the whole circuit (conjugate gradients). A residual up to 100 ``tol``, or 1e-9
        if that is more, is accepted.
    max_iterations : int
        Limit per read.

    Returns
    -------
    Solution

    Raises
    ------
    ParameterError
        If a shape, voltage or tolerance is not allowed, a node has no path to any source, or a sinh cell would conduct
        more than 1 kS.
    ConvergenceError
        If a read did not reach the tolerance.
    """
    if isinstance(v_wordline, np.ndarray):
        _check_room(crossbar, v_wordline)
    v = real_array(v_wordline, "v_wordline", "voltages in volts")
    if v.ndim == 0 or v.shape[-1] != crossbar.n_rows:
        raise ParameterError(f"v_wordline has the shape {v.shape}; the last axis must be the {crossbar.n_rows} rows")
    given, lead = real_array(v_bitline, "v_bitline", "voltages in volts"), v.shape[:-1]
    shape = (*lead, crossbar.n_cols)
    try:
        v_end = np.broadcast_to(given, shape)
    except ValueError:
        raise ParameterError(f"v_bitline has the shape {given.shape}; give one that fits {shape}") from None
    _check_limits(tol, max_iterations)
    if method not in get_args(Method) or (method in ("ports", "elimination") and not crossbar.linear):
        linear = "" if crossbar.linear else f"; {type(crossbar.cell).__name__} cells have no port matrices"
        raise ParameterError(f"method = {method!r}: give one of {', '.join(get_args(Method))}{linear}")
    if floating_wordlines is not None:
        v = np.where(mask(floating_wordlines, "floating_wordlines", crossbar.n_rows), 0.0, v)
    if floating_bitlines is not None:
        v_end = np.where(mask(floating_bitlines, "floating_bitlines", crossbar.n_cols), 0.0, v_end)

    g, n = conductances(crossbar, selected), math.prod(lead)
    r = resistances(crossbar, floating_wordlines, floating_bitlines, selected)
    voltages = v.reshape(n, crossbar.n_rows), v_end.reshape(-1, crossbar.n_cols)

    def complete(v: np.ndarray, v_end: np.ndarray) -> Outcome:
        if not crossbar.linear:
            outcome = certain_cells(crossbar.cell, (g, r, v, v_end), tol, max_iterations)
        elif method == "elimination":
            outcome = eliminated_reads(g, r, v, v_end)
        else:
            outcome = certain_reads(linear_reads, (g, r, v, v_end), tol, max_iterations)
        outcome = _checked(outcome, r, tol)
        _check_law(crossbar.cell, g, v, v_end, outcome)
        return outcome

    def by_ports(v: np.ndarray, v_end: np.ndarray) -> Outcome:
        return _checked(certain_reads(port_reads, (g, r, v, v_end), tol, max_iterations), r, tol)

    step = _step(crossbar)
    if method == "ports" or (method == "auto" and crossbar.linear and n > _BATCH * crossbar.n_cols):
        first = in_pieces(by_ports, *voltages, step)
    else:
        first = in_pieces(complete, *voltages, step)
    later = (lambda: first) if first.i_wordline.size else (lambda: in_pieces(complete, *voltages, step))
    return Solution(
        crossbar,
        i_bitline=first.i_bitline.reshape(shape),
        iterations=first.certificates[:, 0].astype(np.int64).reshape(lead),
        residual=first.certificates[:, 2].reshape(lead),
        v_driver=v,
        v_sense=v_end,
        _complete=later,
    )


def _step(crossbar: Crossbar) -> int:
    """Return how many reads are worked on together: in pieces of a bounded size, any number of reads has room."""
    numbers = crossbar.n_rows + crossbar.n_cols if crossbar.linear else 3 * crossbar.g.size
    return max(1, _PIECE // numbers // LANES) * LANES


def _check_room(crossbar: Crossbar, v: np.ndarray) -> None:
    """Refuse reads that do not fit into memory, before they are copied."""
    m, n = crossbar.g.shape
    n_reads = v.size // m
    pieces = 3 * min(n_reads, _step(crossbar)) * (m + n)
    copied = m * (v.flags.writeable or not v.flags.c_contiguous or v.dtype != np.float64)
    needed = 8 * (_WORK * m * n + pieces + n_reads * (copied + n + 6))
    remedy = "solve fewer reads at a time"
    if v.flags.writeable and n_reads > 1:
        remedy += "; v_wordline.flags.writeable = False saves a copy"
    check_memory(needed, f"{n_reads} read(s) of {m} x {n} cells", remedy)


def _check_law(cell: Cell, g: np.ndarray, v: np.ndarray, v_end: np.ndarray, outcome: Outcome) -> None:
    """Refuse cells that a sinh law makes conduct more than 1 S: at 1000 v_char they would carry 1e430 A."""
    if not isinstance(cell, Sinh) or not v.size:
        return
    span = max(v.max(), v_end.max(), 0.0) - min(v.min(), v_end.min(), 0.0)  # no cell sees more
    a = min(span / cell.v_char, 700.0)
    if span == 0 or g.max() * np.sinh(a) / a <= SHORT:
        return
    u, x, current = outcome.nodes()
    v_cell = np.abs(u - x)
    beyond = (np.abs(current) > SHORT * v_cell) & (g <= SHORT)
    if beyond.any():
        worst, most = float(v_cell[beyond].max()), float(np.abs(current[beyond]).max())
        raise ParameterError(
            f"a cell at {worst:.3g} V, {worst / cell.v_char:.3g} v_char, carries {most:.3g} A: "
            "no sinh law holds there; lower voltages or raise v_char"
        )


def row_cells(
    crossbar: Crossbar, v_wordline: Any, rows: Any, *, tol: float = 1e-12, max_iterations: int = 10_000
) -> np.ndarray:
    """Return the voltages of the cells on one row of each read, sense nodes at 0 V, on one thread.

    Converged as :func:`solve` is, but no Kirchhoff residual is taken.

    Parameters
    ----------
    crossbar : Crossbar
        Its cells linear.
    v_wordline : array, (n, n_rows)
        Driver voltages [V].
    rows : int array, (n,)
        Which row is wanted of each read.
    tol, max_iterations
        As for :func:`solve`.

    Returns
    -------
    array, (n, n_cols)
        Wordline minus bitline [V].

    Raises
    ------
    ParameterError
        If cells are not linear, a shape, row or tolerance is not allowed, or a node has no path to any source.
    ConvergenceError
        If a read did not reach the tolerance.
    """
    if not crossbar.linear:
        raise ParameterError(f"cells are {type(crossbar.cell).__name__}; give linear cells, or use solve()")
    v, rows = real_array(v_wordline, "v_wordline", "voltages in volts"), np.asarray(rows, np.int64)
    if v.ndim != 2 or v.shape[1] != crossbar.n_rows or rows.shape != (len(v),):
        raise ParameterError(f"v_wordline {v.shape} and rows {rows.shape}: give (n, {crossbar.n_rows}) and (n,)")
    if len(rows) and not (rows.min() >= 0 and rows.max() < crossbar.n_rows):
        raise ParameterError(f"rows from {rows.min()} to {rows.max()}: the array has {crossbar.n_rows}, from 0")
    _check_limits(tol, max_iterations)
    circuit = conductances(crossbar, None), resistances(crossbar, None, None, None)
    v_cell, certificates = row_reads(*circuit, v, rows, tol, max_iterations)
    stalled = np.flatnonzero((certificates[:, 1] != CONVERGED) & (certificates[:, 0] < max_iterations))
    if len(stalled):
        eliminated = Eliminated(*circuit)
        for k in stalled:
            u, x, _ = eliminated.nodes(v[k : k + 1], np.zeros((1, crossbar.n_cols)))
            v_cell[k], certificates[k, 1] = (u - x)[0, rows[k]], CONVERGED
    check_certificates(certificates, tol, LARGEST_RESIDUAL)
    return v_cell


def _checked(outcome: Outcome, r: Resistances, tol: float) -> Outcome:
    """Return an outcome whose certificates hold; lines that are open at both ends carry nothing, not even rounding."""
    check_certificates(outcome.certificates, tol, largest_residual(tol))
    for currents, near, far in (
        (outcome.i_wordline, r.near_wordline, r.far_wordline),
        (outcome.i_bitline, r.near_bitline, r.far_bitline),
    ):
        if currents.size:
            currents[:, np.minimum(near, far) >= OPEN] = 0.0
    return outcome


def _check_limits(tol: Any, max_iterations: Any) -> None:
    """Raise an error if a tolerance or a limit is no number, or out of range."""
    if not (isinstance(tol, Real) and SMALLEST_TOLERANCE <= float(tol) < 1):
        raise ParameterError(
            f"tol = {tol!r}: give a number below 1 and from {SMALLEST_TOLERANCE:.1e}, the precision of numbers"
        )
    if not (isinstance(max_iterations, Integral) and int(max_iterations) >= 1):
        raise ParameterError(f"max_iterations = {max_iterations!r}: give a whole number from 1")


def check_certificates(certificates: np.ndarray, tol: float, limit: float) -> None:
    """Raise an error if any of n reads did not converge, or has a residual above the limit."""
    iterations, status, residual = certificates[:, 0], certificates[:, 1], certificates[:, 2]
    missed = np.count_nonzero(status != CONVERGED)
    if missed:
        raise ConvergenceError(
            f"{missed} of {len(status)} reads missed tol = {tol:g} within {int(iterations.max())} iterations; "
            "raise max_iterations or tol"
        )
    check_residual(residual, limit)
