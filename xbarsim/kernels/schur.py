"""Conjugate gradients on the bitline Schur complement of an ohmic crossbar.

Eliminating the wordline nodes leaves S x = b for the bitline nodes x, S = A - D B^-1 D, where A and B hold the
bitlines and wordlines (tridiagonal per line, D = diag(g) on each diagonal). S is symmetric positive definite; A is its
preconditioner. Both inverses are ladder sweeps. A p is never formed: with p = z + beta p and A z = r it obeys
s = r + beta s, so that zero wire resistance, where A is infinite, needs no special case.

Step k lowers the squared error in the energy norm by gain_k = alpha_k r_k.z_k (Hestenes and Stiefel 1952), so what is
left after it is the sum of all later gains. Iteration ends when that, extrapolated from the fall of the last two gains
with a margin of 100 and no fall below 1e-4 believed, is below (``tol`` times the norm)^2.
"""

import numpy as np

from xbarsim.kernels.jit import jit
from xbarsim.kernels.ladder import ROWS, bitline_voltages, wordline_voltages

CONVERGED, STALLED = 0, 1


@jit
def deliver(v, x, g, pull, lean, u, current):
    """Fill u = B^-1 (D x + drivers) and current = D u, both (n_rows, n_cols), for bitline node voltages x."""
    for first in range(0, len(x), ROWS):
        wordline_voltages(first, v, x, pull, lean, u)
    for i in range(len(x)):
        for j in range(x.shape[1]):
            current[i, j] = g[i, j] * u[i, j]


@jit
def _direction(beta, z, r, g, pull, lean, p, s, q):
    """Update p = z + beta p and s = r + beta s, fill q = s - D B^-1 D p, and return p.q."""
    n_rows, n_cols = p.shape
    grounded, total = np.zeros(n_rows), np.zeros(n_cols)
    for first in range(0, n_rows, ROWS):
        rows = range(first, min(first + ROWS, n_rows))
        for i in rows:
            for j in range(n_cols):
                p[i, j] = z[i, j] + beta * p[i, j]
                s[i, j] = r[i, j] + beta * s[i, j]
        wordline_voltages(first, grounded, p, pull, lean, q)
        for i in rows:
            for j in range(n_cols):
                q[i, j] = s[i, j] - g[i, j] * q[i, j]
                total[j] += p[i, j] * q[i, j]
    return total.sum()


@jit
def _precondition(alpha, q, keep, z_line, lean, r, z):
    """Update r -= alpha q, fill z = A^-1 r, and return r.z."""
    last, n_cols = len(r) - 1, r.shape[1]
    grounded, total = np.zeros(n_cols), np.zeros(n_cols)
    for i in range(last, -1, -1):
        before = grounded if i == last else z[i + 1]
        for j in range(n_cols):
            r[i, j] -= alpha * q[i, j]
            z[i, j] = keep[i, j] * before[j] + z_line[i, j] * r[i, j]
    for i in range(last + 1):
        ahead = grounded if i == 0 else z[i - 1]
        for j in range(n_cols):
            z[i, j] += lean[i, j] * (ahead[j] - z[i, j])
            total[j] += r[i, j] * z[i, j]
    return total.sum()


@jit
def solve_bitlines(wordlines, bitlines, v, v_end, offset, tol, max_iterations, work, x):
    """Fill the bitline node voltages x (n_rows, n_cols); return (iterations, status).

    offset : (n_rows, n_cols) voltages in series with the cells, i = g (v_cell + offset), or (0, 0) for none

    wordlines : (g, pull, lean), bitlines : (keep, z, lean), as ``ladder.py`` fills them
    work : (5, n_rows, n_cols), contents free
    """
    g, pull, lean_w = wordlines
    keep, z_line, lean_b = bitlines
    r, z, p, s, q = work
    q[:] = 0.0
    bitline_voltages(v_end, q, keep, z_line, lean_b, x)
    if offset.size:
        q[:] = x - offset
        deliver(v, q, g, pull, lean_w, p, r)
        r += g * offset
        q[:] = 0.0
    else:
        deliver(v, x, g, pull, lean_w, p, r)
    p[:] = 0.0
    s[:] = 0.0
    rz = _precondition(0.0, q, keep, z_line, lean_b, r, z)
    energy, beta, gain = 0.0, 0.0, 0.0
    for iteration in range(max_iterations):
        if rz <= 0.0:
            return iteration, CONVERGED
        pq = _direction(beta, z, r, g, pull, lean_w, p, s, q)
        if not pq > 0.0:
            return iteration, STALLED
        alpha = rz / pq
        fall = alpha * rz / gain if iteration > 0 else 1.0
        gain = alpha * rz
        energy += gain
        for i in range(len(x)):
            for j in range(x.shape[1]):
                x[i, j] += alpha * p[i, j]
        if gain * min(1.0, 100.0 * max(fall, 1e-4)) <= tol * tol * energy:
            return iteration + 1, CONVERGED
        rz_new = _precondition(alpha, q, keep, z_line, lean_b, r, z)
        beta = rz_new / rz
        rz = rz_new
    return max_iterations, STALLED
