"""A complete read: bitline nodes by conjugate gradients, then wordline nodes, cell currents and the certificate."""

from xbarsim.kernels.jit import jit, parallel_jit, prange
from xbarsim.kernels.ladder import wordline_voltages
from xbarsim.kernels.residual import kirchhoff_residual
from xbarsim.kernels.schur import solve_bitlines


@jit
def read(g, resistances, ladders, v, v_end, tol, max_iterations, x, u, i_cell):
    """Fill node voltages x (bitlines) and u (wordlines) and cell currents, each (n_rows, n_cols).

    resistances : (r_wordline, r_bitline, r_driver, r_sense)
    ladders : pull and lean of the wordlines, Z and lean of the bitlines, as ``ladder.py`` fills them
    v, v_end : (n_rows) driver and (n_cols) sense-node voltages
    Returns (iterations, status, residual).
    """
    pull, lean, z_bitline, lean_bitline = ladders
    iterations, status = solve_bitlines(g, pull, lean, z_bitline, lean_bitline, v, v_end, tol, max_iterations, x)
    wordline_voltages(v, x, pull, lean, u)
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            i_cell[i, j] = g[i, j] * (u[i, j] - x[i, j])
    r_wordline, r_bitline, r_driver, r_sense = resistances
    residual = kirchhoff_residual(g, u, x, v, v_end, r_wordline, r_bitline, r_driver, r_sense)
    return iterations, status, residual


@parallel_jit
def read_batch(g, resistances, ladders, v, v_end, tol, max_iterations, x, u, i_cell, iterations, status, residual):
    """Do :func:`read` for each of the n vectors, on all threads; outputs have a leading axis of n."""
    for k in prange(len(v)):
        iterations[k], status[k], residual[k] = read(
            g, resistances, ladders, v[k], v_end[k], tol, max_iterations, x[k], u[k], i_cell[k]
        )
