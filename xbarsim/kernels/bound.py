"""How far the line currents of a read may be off: what rounding and the tolerance leave, from what is known anyway.

Currents are sums of g (u - x) over a line's cells. Rounding moves node voltages by some units in the last place of the
largest source V, and so a line's current by that times the conductance of its cells: much, where lines conduct far less
than their cells and u - x is far below V. Going back and forth between weak lines multiplies it, as 1 / (1 - rho).

An error e of the bitline nodes x moves the current of a port by a' S e, a being the nodes with that port at 1 V and all
others at 0 V, by at most sqrt(a' S a) sqrt(e' S e). The first is at most the root of the conductance of the line, the
second ``tol`` times the root of x' S x (see ``schur.py``), and that at most V times what the sources deliver into
lines held at 0 V.
"""

import numpy as np

from xbarsim.kernels.jit import jit
from xbarsim.kernels.ladder import ROWS, wordline_ladders, wordline_voltages

_ROUNDING, _MOST = 16 * 2.2e-16, 128.0  # of voltages; how often weak lines were seen to multiply it, and a margin
_TINY = 1e-300


@jit
def line_conductances(g):
    """Return what the cells of each wordline conduct together (n_rows), and those of each bitline (n_cols) [S]."""
    rows, columns = np.empty(len(g)), np.zeros(g.shape[1])
    for i in range(len(g)):
        for j in range(g.shape[1]):
            columns[j] += g[i, j]
    last = len(g) - 1
    for i in range(0, len(g), 4):  # four rows at a time, to hide the latency of each sum
        a = b = c = d = 0.0
        i1, i2, i3 = min(i + 1, last), min(i + 2, last), min(i + 3, last)
        for j in range(g.shape[1]):
            a, b, c, d = a + g[i, j], b + g[i1, j], c + g[i2, j], d + g[i3, j]
        rows[i], rows[i1], rows[i2], rows[i3] = a, b, c, d
    return rows, columns


@jit
def drawn(g, ends, pull, lean, u):
    """Return what each driver of 1 V delivers into bitlines held at 0 V, (n_rows) [S].

    ends : resistances, as ``ladder.py`` takes them
    pull, lean, u : (n_rows, n_cols), contents free
    """
    r_wordline, _, near_w, far_w, _, _ = ends
    wordline_ladders(0, len(g), g, r_wordline, near_w, far_w, pull, lean)
    ones, grounded, rows = np.ones(len(g)), np.zeros(g.shape), np.zeros(len(g))
    for first in range(0, len(g), ROWS):
        wordline_voltages(first, ones, grounded, pull, lean, u)
    for i in range(len(g)):
        for j in range(g.shape[1]):
            rows[i] += g[i, j] * u[i, j]
    return rows


@jit
def uncertainties(line, rho, rows, columns, v, v_end, i_wordline, i_bitline, residuals, tol, limit):
    """Return by how much the error of n reads may exceed ``limit`` of their largest current: by rounding, by ``tol``.

    line : largest conductance of the cells of a line [S]
    rho : product of the sags of wordlines and bitlines, see ``chebyshev.py``
    rows, columns : what drivers and sense nodes of 1 V deliver into grounded lines, at most (n_rows), (n_cols) [S]
    v, v_end : (n, n_rows), (n, n_cols) voltages
    i_wordline, i_bitline : (n, n_rows) or (n, 0) for unknown, (n, n_cols) currents
    residuals : (n), see ``certificate.py``
    """
    rounding = loose = 0.0
    weak = _ROUNDING * min(1.0 / max(1.0 - rho, _TINY), _MOST)
    for k in range(len(v)):
        volts, driven, largest = 0.0, 0.0, 0.0
        for i in range(v.shape[1]):
            volts, driven = max(volts, abs(v[k, i])), driven + abs(v[k, i]) * rows[i]
        for j in range(v_end.shape[1]):
            volts, driven = max(volts, abs(v_end[k, j])), driven + abs(v_end[k, j]) * columns[j]
        if volts == 0.0:
            continue
        for current in i_wordline[k]:
            largest = max(largest, abs(current))
        for current in i_bitline[k]:
            largest = max(largest, abs(current))
        allowed = max(limit * largest, _TINY)
        rounding = max(rounding, max(weak, residuals[k]) * line * volts / allowed)
        loose = max(loose, tol * np.sqrt(line * volts * driven) / allowed)
    return rounding, loose
