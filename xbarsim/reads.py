"""How the reads of a circuit are computed: node by node, one read or many at a time, or through port matrices."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from xbarsim.cells import Cell
from xbarsim.circuit import Resistances, cell_law, wire_conductances
from xbarsim.kernels.chebyshev import sweeps_needed
from xbarsim.kernels.jit import launching, thread_count
from xbarsim.kernels.ladder import ladders, ladders_wide
from xbarsim.kernels.lanes import LANES, read_lanes
from xbarsim.kernels.newton import newton_batch, newton_read
from xbarsim.kernels.read import read, read_batch, read_rows, read_wide
from xbarsim.machine import check_memory, check_reads
from xbarsim.threads import one_blas_thread

_WIDE = 1 << 17  # cells from which one read is worth several threads
_FEWEST_LANES = 8
_MOST_LANE_SWEEPS = 24  # beyond this, conjugate gradients for one read after another are as fast
_LARGEST_LANES = 1 << 16  # cells; the lanes of larger arrays outgrow a shared cache

Nodes = tuple[np.ndarray, np.ndarray, np.ndarray]  # wordline nodes, bitline nodes [V], cell currents [A]
Lines = tuple[np.ndarray, np.ndarray, np.ndarray]  # currents of wordlines and bitlines [A], certificates


class Outcome(NamedTuple):
    """Line currents of n reads (n, n_rows), (n, n_cols), their certificates (n, 4), and how to get their nodes.

    A certificate is (iterations, status, residual, dissipated power); rho is the product of the sags of wordlines and
    bitlines, if it is known.
    """

    i_wordline: np.ndarray
    i_bitline: np.ndarray
    certificates: np.ndarray
    nodes: Callable[[], Nodes]
    rho: float = 1.0


def linear_reads(
    g: np.ndarray, r: Resistances, v: np.ndarray, v_end: np.ndarray, tol: float, max_iterations: int
) -> Outcome:
    """Read cells g (n_rows, n_cols) [S] with drivers at v (n, n_rows) and sense nodes at v_end (n, n_cols) [V]."""
    n, out = len(v), _outputs(v, v_end)
    wide, pieces = g.size >= _WIDE, thread_count()
    memory = _aligned(9, *g.shape)  # one block, which the allocator keeps for the next solve
    with launching if wide else nullcontext():
        rho = (ladders_wide if wide else ladders)(pieces if wide else 1, g, tuple(r), *memory[:5])
    pull, lean, *bitlines = memory[:5]
    circuit = (wire_conductances(r), (g, pull, lean), tuple(bitlines), rho)
    limits, kernel = (tol, max_iterations), partial(read_wide, pieces) if wide else read

    def one(k: int, x: np.ndarray, u: np.ndarray, out: Lines) -> None:
        with launching if wide else nullcontext():
            kernel(*circuit, v[k], v_end[k], *limits, memory[5:], x, u, *(array[k] for array in out))

    def nodes() -> Nodes:
        (u, x), lines = _node_arrays(n, g), _outputs(v, v_end)
        for k in range(n):
            one(k, x[k], u[k], lines)
        return u, x, g * (u - x)

    if n == 1:
        u, x = _node_arrays(1, g)
        one(0, x[0], u[0], out)
        return Outcome(*out, lambda: (u, x, g * (u - x)), rho)
    if wide:
        u, x = _node_arrays(1, g)
        for k in range(n):
            one(k, x[0], u[0], out)
        return Outcome(*out, nodes, rho)

    sweeps, laned = sweeps_needed(rho, tol, min(_MOST_LANE_SWEEPS, max_iterations)), 0
    if sweeps and g.size <= _LARGEST_LANES:
        laned = n if n % LANES >= _FEWEST_LANES else n - n % LANES
    if laned:
        part = slice(0, laned)
        columns = -(-g.shape[1] // 4) * 4
        lanes = np.empty((_workers(-(-laned // LANES)), 3, g.shape[0], columns * LANES))
        with launching:
            read_lanes(sweeps, *circuit, v[part], v_end[part], lanes, *(array[part] for array in out))
    if laned < n:
        part = slice(laned, n)
        work = np.empty((_workers(n - laned), 6, *g.shape))
        with launching:
            read_batch(*circuit, v[part], v_end[part], *limits, work, *(array[part] for array in out))
    return Outcome(*out, nodes, rho)


def in_pieces(way: Callable[[np.ndarray, np.ndarray], Outcome], v: np.ndarray, v_end: np.ndarray, step: int) -> Outcome:
    """Read at v (n, n_rows) and v_end (n, n_cols), of any layout, ``step`` reads at a time."""
    if len(v) <= step:
        return way(_own(v), _own(v_end))
    parts = [slice(start, start + step) for start in range(0, len(v), step)]
    i_wordline, i_bitline, certificates = np.empty((len(v), 0)), np.empty(v_end.shape), np.empty((len(v), 4))
    for part in parts:
        outcome = way(_own(v[part]), _own(v_end[part]))
        if part.start == 0 and outcome.i_wordline.size:
            what = f"the wordline currents of {len(v)} reads at {v.shape[1]} wordlines"
            check_memory(8 * v.size, what, "solve fewer reads at a time")
            i_wordline = np.empty(v.shape)
        if i_wordline.size and outcome.i_wordline.size:
            i_wordline[part] = outcome.i_wordline
        else:  # unknown of all if they are of some
            i_wordline = np.empty((len(v), 0))
        i_bitline[part], certificates[part] = outcome.i_bitline, outcome.certificates

    def nodes() -> Nodes:
        m, n = v.shape[1], v_end.shape[1]
        check_reads(m, n, len(v), 3.0 * len(v))
        u, x, c = (np.empty((len(v), m, n)) for _ in range(3))
        for part in parts:
            u[part], x[part], c[part] = way(_own(v[part]), _own(v_end[part])).nodes()
        return u, x, c

    return Outcome(i_wordline, i_bitline, certificates, nodes)


def _own(x: np.ndarray) -> np.ndarray:
    """Return an array as kernels are compiled for: contiguous, and not read-only."""
    return x if x.flags.c_contiguous and x.flags.writeable else x.copy()


def row_reads(
    g: np.ndarray, r: Resistances, v: np.ndarray, rows: np.ndarray, tol: float, max_iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the voltages of the cells on one row of each read, (n, n_cols) [V], and certificates without residual."""
    memory = _aligned(11, *g.shape)
    rho = ladders(1, g, tuple(r), *memory[:5])
    pull, lean, *bitlines = memory[:5]
    v_cell, reached = np.empty((len(v), g.shape[1])), np.zeros((len(v), 3))
    read_rows((g, pull, lean), tuple(bitlines), rho, v, rows, tol, max_iterations, memory[5:], reached, v_cell)
    return v_cell, reached


def port_reads(
    g: np.ndarray, r: Resistances, v: np.ndarray, v_end: np.ndarray, tol: float, max_iterations: int
) -> Outcome:
    """Read bitline currents only, through the port matrices of the sense nodes; arguments as for :func:`linear_reads`.

    With sense node k at 1 V and all others at 0 V, drivers and sense nodes deliver row k of -T and of -Y: by
    reciprocity, one solve for each bitline serves every read. Each read has the worst certificate of those solves;
    currents of wordlines come as (n, 0), nodes are unknown.
    """
    n_rows, n_cols = g.shape
    fields = linear_reads(g, r, np.zeros((n_cols, n_rows)), np.eye(n_cols), tol, max_iterations)
    certificates = np.broadcast_to(fields.certificates.max(0), (len(v), 4))
    with one_blas_thread():
        i_bitline = v_end @ fields.i_bitline.T - v @ fields.i_wordline.T
    return Outcome(np.empty((len(v), 0)), i_bitline, certificates, fields.nodes, fields.rho)


def nonlinear_reads(
    cell: Cell,
    g: np.ndarray,
    r: Resistances,
    v: np.ndarray,
    v_end: np.ndarray,
    tol: float,
    max_iterations: int,
    limit: float,
) -> Outcome:
    """Read non-linear cells; arguments as for :func:`linear_reads`.

    Reads have the status ROUNDED whose currents may be off by more than ``limit`` of the largest.
    """
    limits = tol, max_iterations, limit
    n, out = len(v), _outputs(v, v_end)
    circuit = (g, tuple(r), wire_conductances(r), *cell_law(cell))

    def nodes(certificates: np.ndarray) -> Nodes:
        (u, x), c, work = _node_arrays(n, g), np.empty((n, *g.shape)), np.empty((17, *g.shape))
        for k in range(n):
            newton_read(*circuit, v[k], v_end[k], *limits, work, x[k], u[k], c[k], certificates[k])
        return u, x, c

    i_wordline, i_bitline, certificates = out
    if n == 1:
        solved = nodes(certificates)
        i_wordline[0], i_bitline[0] = solved[2][0].sum(1), solved[2][0].sum(0)
        return Outcome(*out, lambda: solved)
    with launching:
        newton_batch(*circuit, v, v_end, *limits, np.empty((_workers(n), 20, *g.shape)), *out)
    return Outcome(*out, lambda: nodes(np.empty((n, 4))))


def _workers(pieces: int) -> int:
    return max(1, min(int(thread_count()), pieces))


def _outputs(v: np.ndarray, v_end: np.ndarray) -> Lines:
    return np.empty_like(v), np.empty_like(v_end), np.empty((len(v), 4))


def _node_arrays(n: int, g: np.ndarray) -> Any:
    check_reads(g.shape[0], g.shape[1], n, 3.0 * n)
    return _aligned(2, n, *g.shape)


def _aligned(*shape: int) -> np.ndarray:
    """Return an array whose first entry starts a cache line, so that threads with columns of their own share none."""
    size, line = math.prod(shape), 8
    block = np.empty(size + line - 1)
    first = -(block.__array_interface__["data"][0] // block.itemsize) % line
    return block[first : first + size].reshape(shape)
