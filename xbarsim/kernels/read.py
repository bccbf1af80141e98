"""A complete read: bitline nodes by conjugate gradients, then the currents of all lines and the certificate."""

import numpy as np

from xbarsim.kernels.jit import jit, parallel_jit, prange
from xbarsim.kernels.residual import kirchhoff_residual
from xbarsim.kernels.schur import deliver, solve_bitlines


@jit
def read(g, wires, wordlines, bitlines, v, v_end, tol, max_iterations, work, x, i_wordline, i_bitline):
    """Fill bitline node voltages x (n_rows, n_cols) and line currents (n_rows), (n_cols).

    wires : conductances, as ``residual.py`` takes them
    wordlines, bitlines : the ladders, as ``schur.py`` takes them
    v, v_end : (n_rows) driver and (n_cols) sense-node voltages
    work : (5, n_rows, n_cols), contents free
    Returns (iterations, status, residual).
    """
    none = np.empty((0, 0))
    iterations, status = solve_bitlines(wordlines, bitlines, v, v_end, none, tol, max_iterations, work, x)
    u, current = work[0], work[1]
    deliver(v, x, *wordlines, u, current)
    i_bitline[:] = 0.0
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            current[i, j] = g[i, j] * (u[i, j] - x[i, j])
            i_bitline[j] += current[i, j]
        i_wordline[i] = current[i].sum()
    return iterations, status, kirchhoff_residual(g, wires, v, v_end, u, x)


@parallel_jit
def read_batch(g, wires, wordlines, bitlines, v, v_end, tol, max_iterations, x, i_w, i_b, iterations, status, residual):
    """Do :func:`read` for each of the n vectors, on all threads; outputs have a leading axis of n."""
    for k in prange(len(v)):
        work = np.empty((5, *g.shape))
        iterations[k], status[k], residual[k] = read(
            g, wires, wordlines, bitlines, v[k], v_end[k], tol, max_iterations, work, x[k], i_w[k], i_b[k]
        )


@jit
def wordline_nodes(wordlines, v, x, u, current):
    """Fill wordline node voltages u and D u of each of n reads, (n, n_rows, n_cols), from bitline nodes x."""
    for k in range(len(v)):
        deliver(v[k], x[k], *wordlines, u[k], current[k])
