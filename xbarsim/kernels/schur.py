"""Conjugate gradients on the bitline Schur complement of an ohmic crossbar.

Eliminating the wordline nodes leaves S x = b for the bitline nodes x, S = A - D B^-1 D, where A and B hold the
bitlines and wordlines (tridiagonal per line, D = diag(g) on each diagonal). S is symmetric positive definite; A is its
preconditioner. Both inverses are ladder sweeps. A p is never formed: with p = z + beta p and A z = r it obeys
s = r + beta s, so that zero wire resistance, where A is infinite, needs no special case.

The error in the energy norm before step k is at least sqrt(alpha_k r_k.z_k) and, once convergence is fast, close to it
(Hestenes and Stiefel 1952); iteration ends when that falls to ``tol`` times the norm of the solution.
"""

import numpy as np

from xbarsim.kernels.jit import jit
from xbarsim.kernels.ladder import bitline_voltages, wordline_voltages

CONVERGED, STALLED = 0, 1


@jit
def _apply_schur(p, s, g, pull, lean, u, q):
    """Fill q = s - D B^-1 D p, where s = A p; return p.q."""
    wordline_voltages(np.zeros(len(p)), p, pull, lean, u)
    total = 0.0
    for i in range(p.shape[0]):
        for j in range(p.shape[1]):
            q[i, j] = s[i, j] - g[i, j] * u[i, j]
            total += p[i, j] * q[i, j]
    return total


@jit
def solve_bitlines(g, pull, lean_w, z_b, lean_b, v, v_end, tol, max_iterations, x):
    """Fill the bitline node voltages x (n_rows, n_cols); return (iterations, status)."""
    grounded = np.zeros(x.shape[1])
    r = np.zeros_like(x)
    bitline_voltages(v_end, r, g, z_b, lean_b, x)
    u = np.empty_like(x)
    wordline_voltages(v, x, pull, lean_w, u)
    r[:] = g * u
    z = np.empty_like(x)
    bitline_voltages(grounded, r, g, z_b, lean_b, z)
    rz = np.sum(r * z)
    if rz <= 0.0:
        return 0, CONVERGED
    p, s, q = z.copy(), r.copy(), np.empty_like(x)
    energy = 0.0
    for iteration in range(1, max_iterations + 1):
        pq = _apply_schur(p, s, g, pull, lean_w, u, q)
        if not pq > 0.0:
            return iteration, STALLED
        alpha = rz / pq
        gain = alpha * rz
        energy += gain
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                x[i, j] += alpha * p[i, j]
                r[i, j] -= alpha * q[i, j]
        if gain <= tol * tol * energy:
            return iteration, CONVERGED
        bitline_voltages(grounded, r, g, z_b, lean_b, z)
        rz_new = np.sum(r * z)
        beta = rz_new / rz
        rz = rz_new
        if rz <= 0.0:
            return iteration, CONVERGED
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                p[i, j] = z[i, j] + beta * p[i, j]
                s[i, j] = r[i, j] + beta * s[i, j]
    return max_iterations, STALLED
