"""Block Gauss-Seidel between wordlines and bitlines, accelerated by Chebyshev polynomials.

Solving the bitlines exactly for the currents of the wordlines, and the wordlines for the bitlines, is x <- M x + f for
the bitline nodes x, with M = A^-1 D B^-1 D (see ``schur.py``). M has no negative entry, so its eigenvalues, real and
from 0 upward, are at most max(M 1) <= sag of wordlines times sag of bitlines = rho. With that bound the semi-iterative
method (G. H. Golub, R. S. Varga, Numer. Math. 3, 147, 1961) knows the error after k sweeps, at most
1 / T_k(2 / rho - 1) in the energy norm of A, before it starts: no inner products, and the same work for every input.
"""

import numpy as np

from xbarsim.kernels.jit import jit, parallel_jit, prange
from xbarsim.kernels.ladder import ROWS, bitline_sources, bitline_voltages, piece_of, wordline_voltages

LINES = 32  # wordlines of one piece of parallel work


@jit
def sweeps_needed(rho, tol, most):
    """Return the number of sweeps that lowers the error to ``tol``, or 0 if it takes more than ``most``."""
    steep = 2.0 / max(rho, 1e-15) - 1.0
    before, now = 1.0, steep
    for k in range(1, most + 1):
        if tol * now >= 1.0:
            return k
        before, now = now, 2.0 * steep * now - before
    return 0


@jit
def deliver(begin, end, v, x, g, pull, lean, added, y):
    """Fill the currents y of wordlines ``begin`` to ``end`` into bitline nodes at x."""
    for first in range(begin, end, ROWS):
        wordline_voltages(first, v, x, pull, lean, y)
    for i in range(begin, end):
        for j in range(y.shape[1]):
            y[i, j] *= g[i, j]
        if added.size:
            for j in range(y.shape[1]):
                y[i, j] += added[i, j]


@jit
def _advance(omega, gamma, lean, y, now, ahead, old):
    """Turn one row of sources y into voltages, in ``ahead``, and move ``old`` to the next iterate.

    ``ahead`` holds the voltages of the row before.
    """
    for j in range(len(y)):
        ahead[j] = y[j] + lean[j] * (ahead[j] - y[j])
    for j in range(len(y)):
        old[j] += omega * (gamma * ahead[j] + (1.0 - gamma) * now[j] - old[j])


@jit
def next_omega(k, sigma, omega):
    """Return the Chebyshev factor of the sweep after sweep k, which had ``omega``."""
    return 1.0 / (1.0 - 0.5 * sigma * sigma) if k == 0 else 1.0 / (1.0 - 0.25 * sigma * sigma * omega)


@jit
def _begin(v_end, keep, z, lean, now, old):
    """Fill the first iterate: bitlines without currents."""
    now[:] = 0.0
    old[:] = 0.0
    if np.any(v_end != 0.0):
        bitline_sources(0, len(v_end), v_end, keep, z, now)
        bitline_voltages(0, len(v_end), v_end, lean, now)


@jit
def sweep(sweeps, rho, wordlines, bitlines, v, v_end, added, work, x):
    """Fill the bitline node voltages x (n_rows, n_cols) by so many sweeps.

    rho : bound of the eigenvalues
    wordlines : (g, pull, lean), bitlines : (keep, z, lean), as ``ladder.py`` fills them
    added : (n_rows, n_cols) currents into the bitline nodes, or (0, 0) for none
    work : (2 or more, n_rows, n_cols), contents free
    """
    g, pull, lean_w = wordlines
    keep, z, lean_b = bitlines
    n_rows, n_cols = x.shape
    y, other, ahead = work[0], work[1], np.empty(n_cols)
    now, old = (x, other) if sweeps % 2 == 0 else (other, x)
    sigma, gamma, omega = rho / (2.0 - rho), 2.0 / (2.0 - rho), 1.0
    _begin(v_end, keep, z, lean_b, now, old)
    deliver(0, n_rows, v, now, g, pull, lean_w, added, y)
    for k in range(sweeps):
        bitline_sources(0, n_cols, v_end, keep, z, y)
        ahead[:] = v_end
        for first in range(0, n_rows, ROWS):  # while these rows are in the innermost cache
            last = min(first + ROWS, n_rows)
            for i in range(first, last):
                _advance(omega, gamma, lean_b[i], y[i], now[i], ahead, old[i])
            if k < sweeps - 1:
                deliver(first, last, v, old, g, pull, lean_w, added, y)
        now, old = old, now
        omega = next_omega(k, sigma, omega)


@parallel_jit
def sweep_wide(n_pieces, sweeps, rho, wordlines, bitlines, v, v_end, added, work, x):
    """Do :func:`sweep` on all threads, bitlines in so many pieces and wordlines in blocks."""
    g, pull, lean_w = wordlines
    keep, z, lean_b = bitlines
    n_rows, n_cols = x.shape
    n_blocks = (n_rows + LINES - 1) // LINES
    y, other = work[0], work[1]
    now, old = (x, other) if sweeps % 2 == 0 else (other, x)
    sigma, gamma, omega = rho / (2.0 - rho), 2.0 / (2.0 - rho), 1.0
    _begin(v_end, keep, z, lean_b, now, old)
    for k in range(sweeps):
        for block in prange(n_blocks):
            deliver(block * LINES, min((block + 1) * LINES, n_rows), v, now, g, pull, lean_w, added, y)
        for piece in prange(n_pieces):
            begin, end = piece_of(piece, n_pieces, n_cols)
            bitline_sources(begin, end, v_end, keep, z, y)
            ahead = v_end[begin:end].copy()
            for i in range(n_rows):
                part = i, slice(begin, end)
                _advance(omega, gamma, lean_b[part], y[part], now[part], ahead, old[part])
        now, old = old, now
        omega = next_omega(k, sigma, omega)
