"""Block elimination: what the drivers and sense nodes of an ohmic crossbar see, row after row.

Row i, its wordline nodes eliminated, injects a_i v_i - K_i x_i into its bitline nodes x_i. Seen from row i upward the
circuit is an admittance M_i; the next segment, of resistance r, turns it into M_i P_i with P_i = (I + r M_i)^-1. The
response G_i of x_i to currents injected at row i follows on the way back, G_i = r P_i + P_i G_(i+1) P_i, and so do the
voltages of x_i for sources further down, x_i = P_i x_(i+1). All factors are finite for r = 0.
"""

import numpy as np

from xbarsim.kernels.jit import jit


@jit
def _eliminate_wordline(g, r_wire, r_end, lean, beyond, k_row, a_row):
    """Fill K (n, n) and a (n) of one row: its cells draw a v - K x from the driver at v and bitline nodes at x.

    ``beyond[j]`` is the admittance past node j, away from the driver; ``lean[j]`` the voltage ratio of node j+1 to j.
    """
    n = len(g)
    beyond[n - 1] = 0.0
    for j in range(n - 2, -1, -1):
        branch = g[j + 1] + beyond[j + 1]
        lean[j] = 1.0 / (1.0 + r_wire * branch)
        beyond[j] = branch * lean[j]
    z = r_end
    driven = 1.0 / (1.0 + z * (g[0] + beyond[0]))
    for j in range(n):
        response = z / (1.0 + z * (g[j] + beyond[j]))
        a_row[j] = g[j] * driven
        k_row[j, j] = g[j] * (1.0 + z * beyond[j]) / (1.0 + z * (g[j] + beyond[j]))
        for k in range(j + 1, n):
            response *= lean[k - 1]
            k_row[j, k] = -g[j] * response * g[k]
            k_row[k, j] = k_row[j, k]
        if j < n - 1:
            driven *= lean[j]
            z = r_wire + z / (1.0 + z * g[j])


@jit
def eliminate(g, r_wordline, r_bitline, r_driver, r_sense, transfer, admittance, driver_admittance):
    """Fill T (n_cols, n_rows), Y (n_cols, n_cols) and H (n_rows, n_rows) for drivers at column 0."""
    n_rows, n_cols = g.shape
    a = np.empty((n_rows, n_cols))
    p = np.empty((n_rows, n_cols, n_cols))
    identity = np.eye(n_cols)
    lean, beyond = np.empty(n_cols), np.empty(n_cols)
    k_row = np.empty((n_cols, n_cols))
    above = np.zeros((n_cols, n_cols))
    for i in range(n_rows):
        _eliminate_wordline(g[i], r_wordline, r_driver, lean, beyond, k_row, a[i])
        above += k_row
        r = r_bitline if i < n_rows - 1 else r_sense
        p[i] = np.linalg.inv(identity + r * above)
        above = np.dot(above, p[i])
    admittance[:] = above

    response = np.zeros((n_cols, n_cols))
    sensed = identity.copy()
    further, moved = np.empty((n_rows, n_cols)), np.empty((n_rows, n_cols))
    for i in range(n_rows - 1, -1, -1):
        r = r_bitline if i < n_rows - 1 else r_sense
        response = r * p[i] + np.dot(np.dot(p[i], response), p[i])
        sensed = np.dot(p[i], sensed)
        if i < n_rows - 1:
            np.dot(further[i + 1 :], p[i], moved[i + 1 :])
            further, moved = moved, further
        further[i] = np.dot(response, a[i])
        transfer[:, i] = np.dot(a[i], sensed)
        coupling = np.dot(further[i:], a[i])
        for k in range(i, n_rows):
            driver_admittance[i, k] = -coupling[k - i]
            driver_admittance[k, i] = -coupling[k - i]
        driver_admittance[i, i] += np.sum(a[i])
