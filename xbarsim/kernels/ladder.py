"""Lines as resistor ladders, in Thevenin form: exact for any resistance from zero upward.

A line has nodes k = 0..n-1, counted from its near terminal (driver or sense node), which node 0 reaches through
``r_near``; neighbours are joined by ``r_wire[k]``, and the last node reaches the far terminal, at the same voltage v,
through ``r_far``. At node k a cell of conductance g[k] leads to a voltage x[k] on the crossing line. Looking from node
k back to the near terminal, cell k included, the ladder is a source e[k] behind Z[k]:

    Z[k] = Zb / (1 + Zb g[k]),   Zb = r_near (k = 0) or Z[k-1] + r_wire[k-1]
    e[k] = e[k-1] + pull[k] (x[k] - e[k-1]),   pull[k] = Z[k] g[k],   e[-1] = v
    u[k] = e[k] + lean[k] (u[k+1] - e[k]),   lean[k] = Z[k] / (Z[k] + r_wire[k]),   u[n] = v with r_wire[n-1] = r_far

No step divides by a resistance, so r = 0 (nodes that coincide) needs no special case; an open connection is OPEN, so
large that what passes through it is below rounding.
"""

from xbarsim.kernels.jit import jit

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
def wordline_ladders(g, r_wire, r_near, r_far, pull, lean):
    """Fill the coefficients (n_rows, n_cols) of all wordlines; r_wire (n_rows, n_cols - 1), ends (n_rows)."""
    n_rows, n_cols = g.shape
    back = r_near.copy()
    for first in range(0, n_rows, 2 * ROWS):
        for j in range(n_cols):
            for i in range(first, min(first + 2 * ROWS, n_rows)):
                ahead = r_wire[i, j] if j < n_cols - 1 else r_far[i]
                keep, lean[i, j] = _step(back[i], g[i, j], ahead)
                z = back[i] * keep
                pull[i, j] = z * g[i, j]
                back[i] = z + ahead


@jit
def bitline_ladders(g, r_wire, r_near, r_far, keep, z, lean):
    """Fill keep = 1 - Z g, Z and the leanings (n_rows, n_cols); near terminal after the last row, far before row 0."""
    back = r_near.copy()
    for i in range(g.shape[0] - 1, -1, -1):
        ahead = r_wire[i - 1] if i > 0 else r_far
        for j in range(g.shape[1]):
            keep[i, j], lean[i, j] = _step(back[j], g[i, j], ahead[j])
            z[i, j] = back[j] * keep[i, j]
            back[j] = z[i, j] + ahead[j]


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
def bitline_voltages(v_end, current, keep, z, lean, x):
    """Fill the node voltages x for terminals v_end (n_cols) and currents (n_rows, n_cols) into the nodes.

    The cells of the line lead to 0 V here; what the wordlines deliver is part of ``current``.
    """
    last = x.shape[0] - 1
    for i in range(last, -1, -1):
        before = v_end if i == last else x[i + 1]
        for j in range(x.shape[1]):
            x[i, j] = keep[i, j] * before[j] + z[i, j] * current[i, j]
    for i in range(last + 1):
        ahead = v_end if i == 0 else x[i - 1]
        for j in range(x.shape[1]):
            x[i, j] += lean[i, j] * (ahead[j] - x[i, j])
