"""Lines as resistor ladders, in Thevenin form: exact for any resistance from zero upward.

A line has nodes k = 0..n-1, counted from its terminal (driver or sense node), which node 0 reaches through ``r_end``;
neighbours are joined by ``r_wire``. At node k a cell of conductance g[k] leads to a voltage x[k] on the crossing line.
Looking from node k back to the terminal, cell k included, the ladder is a source e[k] behind Z[k]:

    Z[k] = Zb / (1 + Zb g[k]),   Zb = r_end (k = 0) or Z[k-1] + r_wire
    e[k] = e[k-1] + pull[k] (x[k] - e[k-1]),   pull[k] = Z[k] g[k],   e[-1] = terminal voltage
    u[n-1] = e[n-1],   u[k] = e[k] + lean[k] (u[k+1] - e[k]),   lean[k] = Z[k] / (Z[k] + r_wire)

No step divides by a resistance, so r = 0 (nodes that coincide) needs no special case.
"""

from xbarsim.kernels.jit import jit


@jit
def wordline_ladders(g, r_wire, r_end, pull, lean):
    """Fill the coefficients of all wordlines, (n_rows, n_cols), terminal before column 0."""
    for i in range(g.shape[0]):
        z = r_end
        for j in range(g.shape[1]):
            z = z / (1.0 + z * g[i, j])
            pull[i, j] = z * g[i, j]
            lean[i, j] = z / (z + r_wire) if z > 0.0 else 0.0
            z += r_wire


@jit
def bitline_ladders(g, r_wire, r_end, z, lean):
    """Fill Z and the leanings of all bitlines, (n_rows, n_cols), terminal after the last row."""
    last = g.shape[0] - 1
    for i in range(last, -1, -1):
        for j in range(g.shape[1]):
            back = r_end if i == last else z[i + 1, j] + r_wire
            z[i, j] = back / (1.0 + back * g[i, j])
            lean[i, j] = z[i, j] / (z[i, j] + r_wire) if z[i, j] > 0.0 else 0.0


@jit
def wordline_voltages(v, x, pull, lean, u):
    """Fill the wordline node voltages u for drivers v (n_rows) and bitline node voltages x (n_rows, n_cols)."""
    n_cols = x.shape[1]
    for i in range(x.shape[0]):
        e = v[i]
        for j in range(n_cols):
            e += pull[i, j] * (x[i, j] - e)
            u[i, j] = e
        for j in range(n_cols - 2, -1, -1):
            u[i, j] += lean[i, j] * (u[i, j + 1] - u[i, j])


@jit
def bitline_voltages(v_end, current, g, z, lean, x):
    """Fill the bitline node voltages x for terminals v_end (n_cols) and currents (n_rows, n_cols) into the nodes.

    The cells of the line lead to 0 V here; what the wordlines deliver is part of ``current``.
    """
    last = x.shape[0] - 1
    for i in range(last, -1, -1):
        for j in range(x.shape[1]):
            before = v_end[j] if i == last else x[i + 1, j]
            x[i, j] = before + z[i, j] * (current[i, j] - g[i, j] * before)
    for i in range(1, last + 1):
        for j in range(x.shape[1]):
            x[i, j] += lean[i, j] * (x[i - 1, j] - x[i, j])
