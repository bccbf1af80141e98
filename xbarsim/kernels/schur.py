"""Conjugate gradients on the bitline Schur complement of an ohmic crossbar.

Eliminating the wordline nodes leaves S x = b for the bitline nodes x, S = A - D B^-1 D, where A and B hold the
bitlines and wordlines (tridiagonal per line, D = diag(g) on each diagonal). S is symmetric positive definite; A is its
preconditioner. Both inverses are ladder sweeps. A is never multiplied with: as A z = r, S z is r - D B^-1 D z, and
q = S p obeys q = S z + beta q, so that zero wire resistance, where A is infinite, needs no special case.

The squared error in the energy norm of S is r S^-1 r <= r.z / (1 - rho), rho bounding the eigenvalues of A^-1 D B^-1 D
(see ``chebyshev.py``), and what the steps have gained, the sum of alpha r.z, is at most the squared norm of the
solution (M. R. Hestenes, E. Stiefel, J. Res. NBS 49, 409, 1952). Iteration ends when the one is below ``tol``^2 times
the other. Lines that hang on almost nothing have rho near 1; 1 - rho is then taken as ``_LOOSEST``, and since rounding
parts the residual of the recurrence from the true one, iteration starts again from the bitlines' answer to the currents
found, whose residual is the change of those currents, until that is small at once.
"""

import numpy as np

from xbarsim.kernels.chebyshev import LINES, deliver
from xbarsim.kernels.jit import in_order, jit, parallel_jit, prange
from xbarsim.kernels.ladder import ROWS, bitline_sources, bitline_voltages, piece_of, wordline_voltages

CONVERGED, STALLED, ROUNDED = 0, 1, 2  # the last: rounding ended it, next to nothing being tied to any source
_LOOSEST = 1e-14  # the conductance that ties a line to any source, over that of its cells
_TIED, _STARTS = 0.05, 10  # where 1 - rho is above the first, one start is enough
_FLOOR = 1e-30  # of the squared norm of the solution: what may be left where rounding ends a start,
_SETTLED = 1e-26  # and where another start does not lower it


@jit
def _move(alpha, beta, z, r, g, current, x, p, q, total):
    for j in range(len(x)):
        x[j] += alpha * p[j]
        p[j] = z[j] + beta * p[j]
    for j in range(len(x)):
        q[j] = r[j] - g[j] * current[j] + beta * q[j]
    for j in range(len(x)):
        total[j] += p[j] * q[j]


@jit
def _direction(begin, end, alpha, beta, z, r, g, pull, lean, x, p, q):
    """Update x += alpha p, p = z + beta p and q = S z + beta q of rows ``begin`` to ``end``, and return p.q."""
    n_cols = p.shape[1]
    total, grounded, u = np.zeros(n_cols), np.zeros(ROWS), np.empty((ROWS, n_cols))
    for first in range(begin, end, ROWS):
        last = min(first + ROWS, end)
        part = slice(first, last)
        wordline_voltages(0, grounded[: last - first], z[part], pull[part], lean[part], u)
        for i in range(first, last):
            _move(alpha, beta, z[i], r[i], g[i], u[i - first], x[i], p[i], q[i], total)
    return total.sum()


@jit
def _back(alpha, q, keep, z_line, r, ahead, z):
    for j in range(len(r)):
        r[j] -= alpha * q[j]
    for j in range(len(r)):
        ahead[j] = keep[j] * ahead[j] + z_line[j] * r[j]
        z[j] = ahead[j]


@jit
def _forth(lean, r, z, ahead, total):
    for j in range(len(r)):
        ahead[j] = z[j] + lean[j] * (ahead[j] - z[j])
        z[j] = ahead[j]
    for j in range(len(r)):
        total[j] += r[j] * z[j]


@jit
def _precondition(begin, end, alpha, q, keep, z_line, lean, r, z, total):
    """Update r -= alpha q, fill z = A^-1 r and r.z per column of bitlines ``begin`` to ``end``."""
    ahead, part = np.zeros(end - begin), slice(begin, end)
    total[part] = 0.0
    for i in range(len(r) - 1, -1, -1):
        _back(alpha, q[i, part], keep[i, part], z_line[i, part], r[i, part], ahead, z[i, part])
    ahead[:] = 0.0
    for i in range(len(r)):
        _forth(lean[i, part], r[i, part], z[i, part], ahead, total[part])


def _conjugate_gradients(n_pieces, wordlines, bitlines, rho, v, v_end, added, tol, max_iterations, work, x):
    """Fill the bitline node voltages x (n_rows, n_cols); return (iterations, status).

    n_pieces : pieces of parallel work that bitlines are divided into
    rho : bound of the eigenvalues, see ``chebyshev.py``
    wordlines : (g, pull, lean), bitlines : (keep, z, lean), as ``ladder.py`` fills them
    added : (n_rows, n_cols) currents into the bitline nodes, or (0, 0) for none
    work : (4, n_rows, n_cols), contents free
    """
    g, pull, lean_w = wordlines
    keep, z_line, lean_b = bitlines
    r, z, p, q = work[0], work[1], work[2], work[3]  # unpacking would lose their contiguity
    n_rows, n_cols = x.shape
    n_blocks = (n_rows + LINES - 1) // LINES
    share_w, share_b = np.empty(n_blocks), np.empty(n_cols)
    enough = tol * tol * max(1.0 - rho, _LOOSEST)
    total, gained, status = 0, 0.0, STALLED
    q[:] = 0.0
    starts = _STARTS if 1.0 - rho < _TIED else 1
    begun = np.inf  # r.z at the beginning of the start before
    for start in range(starts):
        for piece in prange(n_pieces):
            begin, end = piece_of(piece, n_pieces, n_cols)
            for i in range(n_rows):
                x[i, begin:end] = q[i, begin:end]
            bitline_sources(begin, end, v_end, keep, z_line, x)
            bitline_voltages(begin, end, v_end, lean_b, x)
        for block in prange(n_blocks):
            begin, end = block * LINES, min((block + 1) * LINES, n_rows)
            deliver(begin, end, v, x, g, pull, lean_w, added, r)
            for i in range(begin, end):
                for j in range(n_cols):
                    r[i, j] -= q[i, j]
                    p[i, j] = 0.0
                    q[i, j] = 0.0
        alpha, beta, rz = 0.0, 0.0, 0.0
        most = min(max_iterations - total, 4 * x.size + 100)  # exact arithmetic would need x.size
        iterations, status = most, STALLED
        for iteration in range(most + 1):
            for piece in prange(n_pieces):
                begin, end = piece_of(piece, n_pieces, n_cols)
                _precondition(begin, end, alpha, q, keep, z_line, lean_b, r, z, share_b)
            rz_new = in_order(share_b)
            beta, rz = rz_new / rz if iteration > 0 else 0.0, rz_new
            if abs(rz) <= enough * gained:
                iterations, status = iteration, CONVERGED
                break
            if iteration == most:
                break
            if start > 0 and iteration == 0:
                settled = rz > 0.1 * begun or start == starts - 1
                begun = rz
                if settled:  # rounding leaves no more
                    iterations, status = 0, CONVERGED if rz <= _SETTLED * gained else ROUNDED
                    break
            for block in prange(n_blocks):
                begin, end = block * LINES, min((block + 1) * LINES, n_rows)
                share_w[block] = _direction(begin, end, alpha, beta, z, r, g, pull, lean_w, x, p, q)
            pq = in_order(share_w)
            if not (pq > 0.0 and rz > 0.0):  # rounding: a start has gained all it can
                iterations, alpha = iteration, 0.0
                status = CONVERGED if abs(rz) <= _FLOOR * gained else STALLED
                break
            alpha = rz / pq
            gained += alpha * rz
        for i in prange(n_rows):
            for j in range(n_cols):
                x[i, j] += alpha * p[i, j]
        total += iterations
        if total >= max_iterations or (start > 0 and iterations == 0):
            break
        for block in prange(n_blocks):
            deliver(block * LINES, min((block + 1) * LINES, n_rows), v, x, g, pull, lean_w, added, q)
    return total, status


conjugate_gradients, conjugate_gradients_wide = jit(_conjugate_gradients), parallel_jit(_conjugate_gradients)
