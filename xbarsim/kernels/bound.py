"""How far the line currents of a read may be off: what rounding and the tolerance leave, from what is known anyway.

Currents are sums of g (u - x) over a line's cells. Rounding moves node voltages by some units in the last place of the
largest source V, and so a line's current by that times the conductance of its cells: much, where lines conduct far less
than their cells and u - x is far below V.

An error e of the bitline nodes x moves the current of a port by a' S e, a being the nodes with that port at 1 V and all
others at 0 V, by at most sqrt(a' S a) sqrt(e' S e). The first is at most the root of the conductance of the line, the
second ``tol`` times the root of x' S x (see ``schur.py``), and that at most V times what drivers at V deliver into
bitlines held at 0 V.
"""

import numpy as np

from xbarsim.kernels.jit import jit
from xbarsim.kernels.ladder import ROWS, wordline_ladders, wordline_voltages

_ROUNDING = 2.0**-41  # of voltages, 2,048 last digits: 8 times what was seen on 10,000 circuits where lines are weak
_TINY = 1e-300


@jit
def line_conductances(g):
    """Return the largest conductance of all cells of a line, and that of all cells [S]."""
    columns, largest = np.zeros(g.shape[1]), 0.0
    for i in range(len(g)):
        for j in range(g.shape[1]):
            columns[j] += g[i, j]
    last = len(g) - 1
    for i in range(0, len(g), 4):  # four rows at a time, to hide the latency of each sum
        a = b = c = d = 0.0
        i1, i2, i3 = min(i + 1, last), min(i + 2, last), min(i + 3, last)
        for j in range(g.shape[1]):
            a, b, c, d = a + g[i, j], b + g[i1, j], c + g[i2, j], d + g[i3, j]
        largest = max(largest, a, b, c, d)
    return max(largest, columns.max()), columns.sum()


@jit
def drawn(g, ends, pull, lean, u):
    """Return what drivers of 1 V deliver into bitlines held at 0 V [A].

    ends : resistances, as ``ladder.py`` takes them
    pull, lean, u : (n_rows, n_cols), contents free
    """
    r_wordline, _, near_w, far_w, _, _ = ends
    wordline_ladders(0, len(g), g, r_wordline, near_w, far_w, pull, lean)
    ones, grounded, total = np.ones(len(g)), np.zeros(g.shape), 0.0
    for first in range(0, len(g), ROWS):
        wordline_voltages(first, ones, grounded, pull, lean, u)
    for i in range(len(g)):
        for j in range(g.shape[1]):
            total += g[i, j] * u[i, j]
    return total


@jit
def doubts(line, cells, driven, v, v_end, i_wordline, i_bitline, tol, limit):
    """Return by how much the error of n reads may exceed ``limit`` of their largest current: by rounding, by ``tol``.

    line, cells : conductance of the cells of a line, and of those that round into its current [S]
    driven : what drivers of 1 V deliver into bitlines held at 0 V, or more [A]
    v, v_end : (n, n_rows), (n, n_cols) voltages
    i_wordline, i_bitline : (n, n_rows) or (n, 0) for unknown, (n, n_cols) currents
    """
    rounding = loose = 0.0
    for k in range(len(v)):
        volts = max(np.abs(v[k]).max(), np.abs(v_end[k]).max())
        if volts == 0.0:
            continue
        largest = 0.0
        for current in i_wordline[k]:
            largest = max(largest, abs(current))
        for current in i_bitline[k]:
            largest = max(largest, abs(current))
        allowed = max(limit * largest, _TINY)
        rounding = max(rounding, _ROUNDING * cells * volts / allowed)
        loose = max(loose, tol * np.sqrt(line * driven) * volts / allowed)
    return rounding, loose
