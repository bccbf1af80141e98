"""A complete read: bitline nodes, then the nodes of wordlines, the currents of all lines and the certificate."""

import numpy as np

from xbarsim.kernels.certificate import certify, certify_wide
from xbarsim.kernels.chebyshev import LINES
from xbarsim.kernels.jit import in_order, jit, parallel_jit, prange
from xbarsim.kernels.ladder import ROWS, wordline_voltages
from xbarsim.kernels.linear import solve_bitlines, solve_bitlines_wide


def _finish(wordlines, v, x, u, i_wordline, i_bitline):
    """Fill wordline nodes u and the currents of all lines for bitline nodes x (n_rows, n_cols)."""
    g, pull, lean = wordlines
    n_rows, n_cols = x.shape
    n_blocks = (n_rows + LINES - 1) // LINES
    share = np.zeros((n_blocks, n_cols))
    for block in prange(n_blocks):
        begin, end = block * LINES, min((block + 1) * LINES, n_rows)
        for first in range(begin, end, ROWS):
            wordline_voltages(first, v, x, pull, lean, u)
        current = np.empty(n_cols)
        for i in range(begin, end):
            for j in range(n_cols):
                current[j] = g[i, j] * (u[i, j] - x[i, j])
                share[block, j] += current[j]
            i_wordline[i] = in_order(current)
    i_bitline[:] = 0.0
    for block in range(n_blocks):
        i_bitline += share[block]


_finish_one, _finish_wide = jit(_finish), parallel_jit(_finish)


@jit
def read(
    wires, wordlines, bitlines, rho, v, v_end, tol, max_iterations, work, x, u, i_wordline, i_bitline, certificate
):
    """Fill node voltages x (bitlines) and u (wordlines), (n_rows, n_cols), and line currents (n_rows), (n_cols).

    wires : conductances, as ``certificate.py`` takes them
    wordlines, bitlines, rho, work : as ``linear.py`` takes them
    v, v_end : (n_rows) driver and (n_cols) sense-node voltages
    certificate : (4,), filled with iterations, status, residual, dissipated power
    """
    none = np.empty((0, 0))
    iterations, status = solve_bitlines(wordlines, bitlines, rho, v, v_end, none, tol, max_iterations, work, x)
    _finish_one(wordlines, v, x, u, i_wordline, i_bitline)
    certificate[0], certificate[1] = iterations, status
    certificate[2], certificate[3] = certify(wordlines[0], wires, v, v_end, u, x)


@jit
def read_rows(wordlines, bitlines, rho, v, rows, tol, max_iterations, memory, reached, v_cell):
    """Solve for each of n vectors, sense nodes at 0 V, and keep the voltages of the cells on one row of each.

    rows : (n), which one
    memory : (6, n_rows, n_cols), contents free
    reached, v_cell : (n, 2), filled with iterations and status; (n, n_cols)
    """
    x, u, work = memory[0], memory[1], memory[2:]
    none, v_end = np.empty((0, 0)), np.zeros(x.shape[1])
    for k in range(len(v)):
        reached[k, 0], reached[k, 1] = solve_bitlines(
            wordlines, bitlines, rho, v[k], v_end, none, tol, max_iterations, work, x
        )
        wordline_voltages(rows[k], v[k], x, wordlines[1], wordlines[2], u)
        for j in range(x.shape[1]):
            v_cell[k, j] = u[rows[k], j] - x[rows[k], j]


@jit
def read_wide(
    n_pieces,
    wires,
    wordlines,
    bitlines,
    rho,
    v,
    v_end,
    tol,
    max_iterations,
    work,
    x,
    u,
    i_wordline,
    i_bitline,
    certificate,
):
    """Do :func:`read` on ``n_pieces`` threads."""
    none = np.empty((0, 0))
    iterations, status = solve_bitlines_wide(
        n_pieces, wordlines, bitlines, rho, v, v_end, none, tol, max_iterations, work, x
    )
    _finish_wide(wordlines, v, x, u, i_wordline, i_bitline)
    certificate[0], certificate[1] = iterations, status
    certificate[2], certificate[3] = certify_wide(wordlines[0], wires, v, v_end, u, x)


@parallel_jit
def read_batch(wires, wordlines, bitlines, rho, v, v_end, tol, max_iterations, memory, i_w, i_b, certificates):
    """Do :func:`read` for each of n vectors, on all threads, and keep no nodes.

    memory : (threads, 6, n_rows, n_cols), contents free
    i_w, i_b, certificates : (n, n_rows), (n, n_cols), (n, 4), what :func:`read` fills
    """
    threads = len(memory)
    for thread in prange(threads):
        x, u, work = memory[thread, 0], memory[thread, 1], memory[thread, 2:]
        for k in range(thread, len(v), threads):
            lines = i_w[k], i_b[k], certificates[k]
            read(wires, wordlines, bitlines, rho, v[k], v_end[k], tol, max_iterations, work, x, u, *lines)
