"""Correlated draws: a first-order autoregression along the rows and columns of an array."""

from xbarsim.kernels.jit import jit


@jit
def _mix(before, now, a, b):
    for j in range(len(now)):
        now[j] = a * before[j] + b * now[j]


@jit
def autoregress(z, a, b):
    """Turn independent numbers z (n_rows, n_cols) into x_k = a x_(k-1) + b z_k down the columns, then along the rows.

    With a^2 + b^2 = 1 the variance of z stays. In place; x_0 = z_0.
    """
    for i in range(1, len(z)):
        _mix(z[i - 1], z[i], a, b)
    for i in range(len(z)):
        row = z[i]
        for j in range(1, len(row)):
            row[j] = a * row[j - 1] + b * row[j]
