"""Many reads of one crossbar at once, vector index innermost: the sweeps of ``chebyshev.py`` in vector instructions.

Coefficients are loaded once for all lanes, and no lane waits for its own recursion. Each lane goes through the same
arithmetic as a single read; only the order of the sum of a bitline's currents differs.
"""

import numpy as np

from xbarsim.kernels.certificate import any_joined, certify, unbalance
from xbarsim.kernels.chebyshev import next_omega
from xbarsim.kernels.jit import jit, parallel_jit, prange
from xbarsim.kernels.schur import CONVERGED

LANES = 24  # three vectors of eight; the node voltages of a 256 x 64 array in as many lanes fit a shared cache
_1, _2, _3 = np.uint64(LANES), np.uint64(2 * LANES), np.uint64(3 * LANES)  # numba makes vectors of unsigned indices


@jit
def _forth(lanes, p0, p1, p2, p3, at, x, e, u):
    """Fill the sources u of four columns from index ``at`` on; e (lanes) is the source before and then behind them."""
    k0, k1, k2, k3 = 1.0 - p0, 1.0 - p1, 1.0 - p2, 1.0 - p3
    for k in range(lanes):
        e0 = k0 * e[k] + p0 * x[at + k]
        e1 = k1 * e0 + p1 * x[at + _1 + k]
        e2 = k2 * e1 + p2 * x[at + _2 + k]
        e3 = k3 * e2 + p3 * x[at + _3 + k]
        u[at + k], u[at + _1 + k], u[at + _2 + k], u[at + _3 + k] = e0, e1, e2, e3
        e[k] = e3


@jit
def _back(lanes, l0, l1, l2, l3, g0, g1, g2, g3, at, u, e, y):
    """Fill y = g times the nodes of four columns for sources u; e (lanes) is the node behind and then before them."""
    s0, s1, s2, s3 = 1.0 - l0, 1.0 - l1, 1.0 - l2, 1.0 - l3
    for k in range(lanes):
        e3 = l3 * e[k] + s3 * u[at + _3 + k]
        e2 = l2 * e3 + s2 * u[at + _2 + k]
        e1 = l1 * e2 + s1 * u[at + _1 + k]
        e0 = l0 * e1 + s0 * u[at + k]
        e[k] = e0
        y[at + k], y[at + _1 + k], y[at + _2 + k], y[at + _3 + k] = g0 * e0, g1 * e1, g2 * e2, g3 * e3


@jit
def _deliver(v, x, g, pull, lean, u, e, y):
    """Fill y = g times the nodes of one wordline for its driver v (lanes) and bitline nodes x.

    x, y : (columns * LANES,), columns a multiple of four; g, pull, lean : (columns,)
    u, e : (columns * LANES,), (lanes,), contents free
    """
    lanes = np.uint64(len(v))
    e[:] = v
    for j in range(0, len(g), 4):
        _forth(lanes, pull[j], pull[j + 1], pull[j + 2], pull[j + 3], np.uint64(j * LANES), x, e, u)
    e[:] = v
    for j in range(len(g) - 4, -1, -4):
        ahead, cells = (lean[j], lean[j + 1], lean[j + 2], lean[j + 3]), (g[j], g[j + 1], g[j + 2], g[j + 3])
        _back(lanes, *ahead, *cells, np.uint64(j * LANES), u, e, y)


@jit
def _source_row(lanes, before, keep, z, x):
    for j in range(len(keep)):
        held, pushed, at = keep[j], z[j], np.uint64(j * LANES)
        for k in range(lanes):
            x[at + k] = held * before[at + k] + pushed * x[at + k]


@jit
def _sources(lanes, v_end, keep, z, y):
    """Turn the currents y (n_rows, columns * LANES) into bitline nodes into the sources of the bitlines."""
    last = len(y) - 1
    _source_row(lanes, v_end, keep[last], z[last], y[last])
    for i in range(last - 1, -1, -1):
        _source_row(lanes, y[i + 1], keep[i], z[i], y[i])


@jit
def _advance(lanes, omega, gamma, lean, y, now, ahead, old):
    """Turn one row of sources y into voltages, in ``ahead``, and ``old`` into the next iterate.

    ``ahead`` holds the voltages of the row before.
    """
    for j in range(len(lean)):
        onward, stay, at = lean[j], 1.0 - lean[j], np.uint64(j * LANES)
        for k in range(lanes):
            ahead[at + k] = onward * ahead[at + k] + stay * y[at + k]
    a, b, c = omega * gamma, omega * (1.0 - gamma), 1.0 - omega
    for k in range(len(old)):
        old[k] = a * ahead[k] + b * now[k] + c * old[k]


@jit
def _check_nodes(lanes, here, across, g, before, wire_before, after, wire_after, volts, worst, lost):
    """Add a row of nodes (columns * LANES,) to the residuals, and the wires before them to the losses (lanes)."""
    for j in range(len(g)):
        cell, back, on, at = g[j], wire_before[j], wire_after[j], np.uint64(j * LANES)
        for k in range(lanes):
            p = at + k
            worst[k] = max(worst[k], unbalance(here[p], across[p], cell, before[p], back, after[p], on, volts[k]))
        for k in range(lanes):
            lost[k] += back * (before[at + k] - here[at + k]) ** 2


@jit
def _collect(lanes, g, u, x, across, along, lost):
    """Add the cells of one row, nodes u and x, to the line currents and losses."""
    for j in range(len(g)):
        cell, at = g[j], np.uint64(j * LANES)
        for k in range(lanes):
            along[at + k] += cell * (u[at + k] - x[at + k])
        for k in range(lanes):
            drop = u[at + k] - x[at + k]
            across[k] += cell * drop
            lost[k] += cell * drop * drop


@jit
def _certify(lanes, g, wires, v, v_end, u, x, worst, lost):
    """Fill the residuals and add the losses in wires (lanes) of nodes u, x (n_rows, columns * LANES), none joined."""
    wire_w, wire_b, near_w, far_w, near_b, far_b = wires
    n_rows, n_cols = g.shape
    step_w, step_b = 1 if len(wire_w) > 1 else 0, 1 if len(wire_b) > 1 else 0
    size = n_cols * LANES
    volts = np.zeros(len(worst))
    for k in range(len(worst)):
        volts[k] = max(np.abs(v[:, k]).max(), np.abs(v_end[k::LANES]).max())
    line, wire = np.empty(size + 2 * LANES), np.empty(n_cols + 1)  # of one wordline, with its terminals
    for i in range(n_rows):
        before, wire_before = (x[i - 1], wire_b[(i - 1) * step_b]) if i > 0 else (v_end, far_b)
        after, wire_after = (x[i + 1], wire_b[i * step_b]) if i < n_rows - 1 else (v_end, near_b)
        _check_nodes(lanes, x[i], u[i], g[i], before, wire_before, after, wire_after, volts, worst, lost)
        line[: len(worst)], line[LANES : LANES + size], line[LANES + size : LANES + size + len(worst)] = (
            v[i],
            u[i, :size],
            v[i],
        )
        wire[0], wire[1:-1], wire[-1] = near_w[i], wire_w[i * step_w], far_w[i]
        here = line[LANES:]
        _check_nodes(lanes, here, x[i], g[i], line, wire[:-1], line[2 * LANES :], wire[1:], volts, worst, lost)
        for k in range(len(worst)):
            lost[k] += far_w[i] * (v[i, k] - u[i, size - LANES + k]) ** 2
    for j in range(n_cols):
        for k in range(len(worst)):
            lost[k] += near_b[j] * (v_end[j * LANES + k] - x[n_rows - 1, j * LANES + k]) ** 2


@jit
def _read_lanes(sweeps, wires, wordlines, bitlines, rho, v, v_end, memory, i_wordline, i_bitline, certificates):
    """Read for drivers v (lanes, n_rows) and sense nodes v_end (lanes, n_cols).

    memory : (3, n_rows, columns * LANES); columns, n_cols rounded up to four, are those of wordlines' coefficients
    """
    g, pull, lean_w = wordlines
    keep, z, lean_b = bitlines
    n_rows, n_cols = keep.shape
    size = memory.shape[2]
    y, now, old = memory[0], memory[1], memory[2]
    u, e, ahead = np.empty(size), np.empty(len(v)), np.zeros(size)
    lanes, drivers = np.uint64(len(v)), np.ascontiguousarray(v.T)
    ends, ones = np.zeros(size), np.ones(g.shape[1])
    for j in range(n_cols):
        for k in range(len(v)):
            ends[j * LANES + k] = v_end[k, j]
    sigma, gamma, omega = rho / (2.0 - rho), 2.0 / (2.0 - rho), 1.0
    now[:] = 0.0
    old[:] = 0.0
    if np.any(ends != 0.0):
        _sources(lanes, ends, keep, z, now)
        ahead[:] = ends
        for i in range(n_rows):
            _advance(lanes, 1.0, 1.0, lean_b[i], now[i], old[i], ahead, now[i])
    for i in range(n_rows):
        _deliver(drivers[i], now[i], g[i], pull[i], lean_w[i], u, e, y[i])
    for sweep in range(sweeps):
        _sources(lanes, ends, keep, z, y)
        ahead[:] = ends
        for i in range(n_rows):
            _advance(lanes, omega, gamma, lean_b[i], y[i], now[i], ahead, old[i])
            _deliver(drivers[i], old[i], g[i] if sweep < sweeps - 1 else ones, pull[i], lean_w[i], u, e, y[i])
        now, old = old, now
        omega = next_omega(sweep, sigma, omega)
    worst, lost, along = np.zeros(len(v)), np.zeros(len(v)), np.zeros(size)
    cells = g[:, :n_cols].copy()
    for i in range(n_rows):
        across = np.zeros(len(v))
        _collect(lanes, cells[i], y[i], now[i], across, along, lost)
        i_wordline[:, i] = across
    for k in range(len(v)):
        for j in range(n_cols):
            i_bitline[k, j] = along[j * LANES + k]
    if any_joined(wires):
        for k in range(len(v)):
            nodes = (
                np.ascontiguousarray(y[:, k : n_cols * LANES : LANES]),
                np.ascontiguousarray(now[:, k : n_cols * LANES : LANES]),
            )
            worst[k], lost[k] = certify(cells, wires, v[k], v_end[k], *nodes)
    else:
        _certify(lanes, cells, wires, drivers, ends, y, now, worst, lost)
    certificates[:, 0] = sweeps
    certificates[:, 1] = CONVERGED
    certificates[:, 2] = np.where(lost < np.inf, worst, np.inf)  # maxima lose nan, sums keep it
    certificates[:, 3] = lost


@jit
def _padded(a, fill):
    """Return the rows of a (n_rows, n_cols) with columns rounded up to a multiple of four."""
    out = np.full((a.shape[0], (a.shape[1] + 3) // 4 * 4), fill)
    out[:, : a.shape[1]] = a
    return out


@parallel_jit
def read_lanes(sweeps, wires, wordlines, bitlines, rho, v, v_end, memory, i_wordline, i_bitline, certificates):
    """Do n reads of a crossbar, LANES at a time, on all threads.

    memory : (threads, 3, n_rows, columns * LANES), columns being n_cols rounded up to a multiple of four; contents free
    other arguments : as ``read.py`` takes them, with a leading axis of n; certificates (n, 4)
    """
    g, pull, lean = wordlines
    padded = _padded(g, 0.0), _padded(pull, 0.0), _padded(lean, 1.0)  # columns that neither take nor give
    groups, threads = (len(v) + LANES - 1) // LANES, len(memory)
    for thread in prange(threads):
        for group in range(thread, groups, threads):
            part = slice(group * LANES, min((group + 1) * LANES, len(v)))
            lines = i_wordline[part], i_bitline[part], certificates[part]
            _read_lanes(sweeps, wires, padded, bitlines, rho, v[part], v_end[part], memory[thread], *lines)
