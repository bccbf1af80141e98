"""Lines as resistor ladders, in Thevenin form: exact for any resistance from zero upward.

A line has nodes k = 0..n-1, counted from its near terminal (driver or sense node), which node 0 reaches through
``r_near``; neighbours are joined by ``r_wire[k]``, and the last node reaches the far terminal, at the same voltage v,
through ``r_far``. At node k a cell of conductance g[k] leads to a voltage x[k] on the crossing line. Looking from node
k back to the near terminal, cell k included, the ladder is a source e[k] behind Z[k]:

    Z[k] = Zb / (1 + Zb g[k]),   Zb = r_near (k = 0) or Z[k-1] + r_wire[k-1]
    e[k] = e[k-1] + pull[k] (x[k] - e[k-1]),   pull[k] = Z[k] g[k],   e[-1] = v
    u[k] = e[k] + lean[k] (u[k+1] - e[k]),   lean[k] = Z[k] / (Z[k] + r_wire[k]),   u[n] = v with r_wire[n-1] = r_far

No step divides by a resistance, so r = 0 (nodes that coincide) needs no special case; an open connection is OPEN, so
large that what passes through it is below rounding. Wire resistances of one row stand for all rows.

With its terminals at 1 V and all crossing lines at 0 V a line falls at most to the product of 1 - pull: it is the
voltage at the far end of a line that is fed from the near end alone, and a second source only raises it. The ladders'
``sag`` is 1 less the smallest such product.
"""

import numpy as np

from xbarsim.kernels.jit import jit, parallel_jit, prange

OPEN = 1e30
ROWS = 4  # wordlines whose sweeps advance together, to hide the latency of each
_TINY = 1e-300


@jit
def _step(back, g, ahead):
    """Return keep = 1 / (1 + back g) and lean = Z / (Z + ahead), Z = back keep, by one division."""
    load = 1.0 + back * g
    total = max(back + ahead * load, _TINY)
    inverse = 1.0 / (load * total)
    return total * inverse, back * load * inverse


@jit
def wordline_ladders(begin, end, g, r_wire, r_near, r_far, pull, lean):
    """Fill the coefficients (n_rows, n_cols) of wordlines ``begin`` to ``end``.

    r_wire : (n_rows or 1, n_cols - 1), r_near, r_far : (n_rows,)
    Returns their sag.
    """
    last, n_cols = end - 1, g.shape[1]
    step, least = 1 if len(r_wire) > 1 else 0, 1.0
    for first in range(begin, end, ROWS):
        i0, i1, i2, i3 = first, min(first + 1, last), min(first + 2, last), min(first + 3, last)
        b0, b1, b2, b3 = r_near[i0], r_near[i1], r_near[i2], r_near[i3]
        left0 = left1 = left2 = left3 = 1.0
        for j in range(n_cols):
            if j < n_cols - 1:
                a0, a1, a2, a3 = r_wire[i0 * step, j], r_wire[i1 * step, j], r_wire[i2 * step, j], r_wire[i3 * step, j]
            else:
                a0, a1, a2, a3 = r_far[i0], r_far[i1], r_far[i2], r_far[i3]
            g0, g1, g2, g3 = g[i0, j], g[i1, j], g[i2, j], g[i3, j]
            k0, lean[i0, j] = _step(b0, g0, a0)
            k1, lean[i1, j] = _step(b1, g1, a1)
            k2, lean[i2, j] = _step(b2, g2, a2)
            k3, lean[i3, j] = _step(b3, g3, a3)
            left0, left1, left2, left3 = left0 * k0, left1 * k1, left2 * k2, left3 * k3
            z0, z1, z2, z3 = b0 * k0, b1 * k1, b2 * k2, b3 * k3
            pull[i0, j], pull[i1, j], pull[i2, j], pull[i3, j] = z0 * g0, z1 * g1, z2 * g2, z3 * g3
            b0, b1, b2, b3 = z0 + a0, z1 + a1, z2 + a2, z3 + a3
        least = min(least, left0, left1, left2, left3)
    return 1.0 - least


@jit
def _bitline_row(back, left, g, ahead, keep, z, lean):
    for j in range(len(g)):
        keep[j], lean[j] = _step(back[j], g[j], ahead[j])
    for j in range(len(g)):
        z[j] = back[j] * keep[j]
        left[j] *= keep[j]
        back[j] = z[j] + ahead[j]


@jit
def bitline_ladders(begin, end, g, r_wire, r_near, r_far, keep, z, lean):
    """Fill keep = 1 - Z g, Z and the leanings (n_rows, n_cols) of bitlines ``begin`` to ``end``.

    The near terminal is after the last row, the far one before row 0. Returns their sag.
    """
    part = slice(begin, end)
    back, left, step = r_near[part].copy(), np.ones(end - begin), 1 if len(r_wire) > 1 else 0
    for i in range(g.shape[0] - 1, 0, -1):
        ahead = r_wire[(i - 1) * step, part]
        _bitline_row(back, left, g[i, part], ahead, keep[i, part], z[i, part], lean[i, part])
    _bitline_row(back, left, g[0, part], r_far[part], keep[0, part], z[0, part], lean[0, part])
    return 1.0 - left.min() if begin < end else 0.0


@jit
def piece_of(piece, n_pieces, length):
    """Return begin and end of one of so many pieces of lines, at multiples of 8 so that they share no cache line."""
    width = 8 * ((length + 8 * n_pieces - 1) // (8 * n_pieces))
    return min(piece * width, length), min((piece + 1) * width, length)


def _ladders(n_pieces, g, ends, pull, lean, keep, z, lean_b):
    """Fill the coefficients of all lines, in so many pieces; return the product of the sags of both kinds.

    ends : resistances of wordline and bitline segments, near and far ends of wordlines, and of bitlines
    """
    r_wordline, r_bitline, near_w, far_w, near_b, far_b = ends
    sag_w, sag_b = np.zeros(n_pieces), np.zeros(n_pieces)
    for piece in prange(n_pieces):
        begin, end = piece_of(piece, n_pieces, g.shape[0])
        sag_w[piece] = wordline_ladders(begin, end, g, r_wordline, near_w, far_w, pull, lean)
        begin, end = piece_of(piece, n_pieces, g.shape[1])
        sag_b[piece] = bitline_ladders(begin, end, g, r_bitline, near_b, far_b, keep, z, lean_b)
    return sag_w.max() * sag_b.max()


ladders, ladders_wide = jit(_ladders), parallel_jit(_ladders)


@jit
def wordline_voltages(first, v, x, pull, lean, u):
    """Fill the node voltages u of ROWS wordlines from ``first`` for drivers v (n_rows) and bitline nodes x.

    Beyond the last row it repeats that row, which changes nothing.
    """
    last, n_cols = len(v) - 1, x.shape[1]
    i0, i1, i2, i3 = first, min(first + 1, last), min(first + 2, last), min(first + 3, last)
    x0, x1, x2, x3 = x[i0], x[i1], x[i2], x[i3]
    u0, u1, u2, u3 = u[i0], u[i1], u[i2], u[i3]
    p0, p1, p2, p3 = pull[i0], pull[i1], pull[i2], pull[i3]
    l0, l1, l2, l3 = lean[i0], lean[i1], lean[i2], lean[i3]
    e0, e1, e2, e3 = v[i0], v[i1], v[i2], v[i3]
    for j in range(n_cols):
        e0 = (1.0 - p0[j]) * e0 + p0[j] * x0[j]
        e1 = (1.0 - p1[j]) * e1 + p1[j] * x1[j]
        e2 = (1.0 - p2[j]) * e2 + p2[j] * x2[j]
        e3 = (1.0 - p3[j]) * e3 + p3[j] * x3[j]
        u0[j], u1[j], u2[j], u3[j] = e0, e1, e2, e3
    e0, e1, e2, e3 = v[i0], v[i1], v[i2], v[i3]
    for j in range(n_cols - 1, -1, -1):
        e0 = l0[j] * e0 + (1.0 - l0[j]) * u0[j]
        e1 = l1[j] * e1 + (1.0 - l1[j]) * u1[j]
        e2 = l2[j] * e2 + (1.0 - l2[j]) * u2[j]
        e3 = l3[j] * e3 + (1.0 - l3[j]) * u3[j]
        u0[j], u1[j], u2[j], u3[j] = e0, e1, e2, e3


@jit
def _source_row(before, keep, z, x):
    for j in range(len(x)):
        x[j] = keep[j] * before[j] + z[j] * x[j]


@jit
def _voltage_row(ahead, lean, x):
    for j in range(len(x)):
        x[j] += lean[j] * (ahead[j] - x[j])


@jit
def bitline_sources(begin, end, v_end, keep, z, x):
    """Turn currents x (n_rows, n_cols) into the nodes of bitlines ``begin`` to ``end`` into the sources e.

    The cells of a bitline lead to 0 V here; what the wordlines deliver is part of those currents. Rows are functions of
    their own since numba makes vectors of loops from 0 only.
    """
    last, part = len(x) - 1, slice(begin, end)
    _source_row(v_end[part], keep[last, part], z[last, part], x[last, part])
    for i in range(last - 1, -1, -1):
        _source_row(x[i + 1, part], keep[i, part], z[i, part], x[i, part])


@jit
def bitline_voltages(begin, end, v_end, lean, x):
    """Turn the sources in x into node voltages."""
    part = slice(begin, end)
    _voltage_row(v_end[part], lean[0, part], x[0, part])
    for i in range(1, len(x)):
        _voltage_row(x[i - 1, part], lean[i, part], x[i, part])
