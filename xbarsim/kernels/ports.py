"""Block elimination: what the drivers and sense nodes of an ohmic crossbar see, row after row.

Row i, its wordline nodes eliminated, injects a_i v - K_i x_i into its bitline nodes x_i. Seen from row i upward the
circuit is an admittance M_i (and, where a far sense node drives, a current J_i); the next segments, resistances R on
the diagonal, turn them into M_i P_i and P_i^t J_i with P_i = (I + R M_i)^-1. The response G_i of x_i to currents
injected at row i follows on the way back, G_i = P_i R + P_i G_(i+1) P_i^t, and so do the voltages for sources further
down, x_i = P_i (R J_i + x_(i+1)). All factors are finite for R = 0 and for R = OPEN.
"""

import numpy as np

from xbarsim.kernels.jit import jit

_LARGEST = 1e30


@jit
def _admittance(r):
    return min(1.0 / r, _LARGEST) if r > 0.0 else _LARGEST


@jit
def _wordline(g, r_wire, r_near, r_far, lean, beyond, k_row, a_row):
    """Fill K (n, n) and a (n) of one row: its cells carry a v - K x for drivers at v and bitline nodes at x.

    ``beyond[j]`` is the admittance past node j, away from the near end; ``lean[j]`` the voltage ratio of node j+1 to j.
    """
    last = len(g) - 1
    beyond[last] = _admittance(r_far)
    for j in range(last - 1, -1, -1):
        branch = g[j + 1] + beyond[j + 1]
        lean[j] = 1.0 / (1.0 + r_wire[j] * branch)
        beyond[j] = branch * lean[j]
    z, driven = r_near, 1.0
    for j in range(last + 1):
        total = 1.0 + z * (g[j] + beyond[j])
        response = z / total
        k_row[j, j] = g[j] * (1.0 + z * beyond[j]) / total
        for k in range(j + 1, last + 1):
            response *= lean[k - 1]
            k_row[j, k] = -g[j] * response * g[k]
            k_row[k, j] = k_row[j, k]
        load = 1.0 + z * g[j]
        driven /= load
        a_row[j] = driven  # the source behind node j, looking back at the near end
        ahead = r_wire[j] if j < last else r_far
        lean[j] = z / max(z + ahead * load, 1e-300)
        z = ahead + z / load
    ahead_voltage = 1.0
    for j in range(last, -1, -1):
        ahead_voltage = a_row[j] + lean[j] * (ahead_voltage - a_row[j])
        a_row[j] = g[j] * ahead_voltage


@jit
def eliminate(
    g, r_wordline, r_bitline, near_w, far_w, near_b, far_b, two_sided, transfer, admittance, driver_admittance
):
    """Fill T (n_cols, n_rows), Y (n_cols, n_cols) and H (n_rows, n_rows).

    Near ends are at column 0 and after the last row; ``two_sided`` tells whether any bitline has a far sense node.
    """
    n_rows, n_cols = g.shape
    step_w, step_b = 1 if len(r_wordline) > 1 else 0, 1 if len(r_bitline) > 1 else 0
    a, p = np.empty((n_rows, n_cols)), np.empty((n_rows, n_cols, n_cols))
    injected = np.zeros((n_rows if two_sided else 1, n_cols, n_cols))
    lean, beyond, k_row = np.empty(n_cols), np.empty(n_cols), np.empty((n_cols, n_cols))
    above, matrix, weight = np.zeros((n_cols, n_cols)), np.empty((n_cols, n_cols)), np.empty(n_cols)
    if two_sided:
        for j in range(n_cols):
            above[j, j] = injected[0, j, j] = _admittance(far_b[j])
    for i in range(n_rows):
        _wordline(g[i], r_wordline[i * step_w], near_w[i], far_w[i], lean, beyond, k_row, a[i])
        above += k_row
        r = r_bitline[i * step_b] if i < n_rows - 1 else near_b
        for j in range(n_cols):  # rows scaled to a diagonal of 1, since R spans many decades
            weight[j] = 1.0 / (1.0 + r[j] * above[j, j])
            for k in range(n_cols):
                matrix[j, k] = weight[j] * r[j] * above[j, k]
            matrix[j, j] = 1.0
        p[i] = np.linalg.inv(matrix) * weight
        if two_sided and i < n_rows - 1:
            injected[i + 1] = np.dot(p[i].T, injected[i])
        above = np.dot(above, p[i])
    admittance[:] = above
    if two_sided:
        admittance[:] = 0.0

    response, sensed = np.zeros((n_cols, n_cols)), np.eye(n_cols)
    further, moved = np.empty((n_rows, n_cols)), np.empty((n_rows, n_cols))
    for i in range(n_rows - 1, -1, -1):
        r = r_bitline[i * step_b] if i < n_rows - 1 else near_b
        response = np.dot(np.dot(p[i], response), p[i].T)
        for j in range(n_cols):
            for k in range(n_cols):
                response[j, k] += p[i, j, k] * r[k]
        if two_sided:
            for j in range(n_cols):
                for k in range(n_cols):
                    sensed[j, k] += r[j] * injected[i, j, k]
        sensed = np.dot(p[i], sensed)
        if two_sided:
            _wordline(g[i], r_wordline[i * step_w], near_w[i], far_w[i], lean, beyond, k_row, a[i])
            admittance += np.dot(k_row, sensed)
        if i < n_rows - 1:
            np.dot(further[i + 1 :], p[i].T, moved[i + 1 :])
            further, moved = moved, further
        further[i] = np.dot(response, a[i])
        transfer[:, i] = np.dot(a[i], sensed)
        coupling = np.dot(further[i:], a[i])
        for k in range(i, n_rows):
            driver_admittance[i, k] = -coupling[k - i]
            driver_admittance[k, i] = -coupling[k - i]
        driver_admittance[i, i] += np.sum(a[i])
