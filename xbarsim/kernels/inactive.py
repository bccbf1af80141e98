"""Reads in which inactive wordlines are open at both ends, or their cells gated off: every pattern is its own circuit.

Open: with H what the drivers see and T the transfer of the grounded circuit, drivers of impedance Z = H^-1 carry the
currents i of the active wordlines A alone, Z_AA i = v_A, and the bitlines T Z i.

Gated: an inactive row is two pieces of bitline wire in series. The circuit is a crossbar of the active rows whose
segments are the sums of those in between.
"""

import numpy as np

from xbarsim.kernels.jit import jit, parallel_jit, prange
from xbarsim.kernels.ladder import OPEN, ladders
from xbarsim.kernels.read import read


@jit
def _active(v, rows):
    """List the rows with a voltage; return how many."""
    count = 0
    for i in range(len(v)):
        if v[i] != 0.0:
            rows[count] = i
            count += 1
    return count


@jit
def _currents(impedance, rows, v, factor, current):
    """Solve Z_AA i = v_A by Cholesky's factors of the symmetric, positive definite Z_AA."""
    count = len(rows)
    for a in range(count):
        total = v[rows[a]]
        for b in range(a + 1):
            entry = impedance[rows[a], rows[b]]
            for c in range(b):
                entry -= factor[a, c] * factor[b, c]
            factor[a, b] = entry / factor[b, b] if b < a else np.sqrt(entry)
            if b < a:
                total -= factor[a, b] * current[b]
        current[a] = total / factor[a, a]
    for a in range(count - 1, -1, -1):
        for b in range(a + 1, count):
            current[a] -= factor[b, a] * current[b]
        current[a] /= factor[a, a]


@parallel_jit
def open_reads(threads, impedance, spread, v, i_bitline, power):
    """Fill bitline currents (n, n_cols) and power (n) of reads v (n, n_rows), inactive where v is 0.

    impedance : (n_rows, n_rows), Z
    spread : (n_rows, n_cols), the transpose of T Z
    """
    n, n_rows = v.shape
    for thread in prange(threads):
        rows, current, factor = np.empty(n_rows, np.int64), np.empty(n_rows), np.empty((n_rows, n_rows))
        for k in range(thread, n, threads):
            count = _active(v[k], rows)
            _currents(impedance, rows[:count], v[k], factor, current)
            power[k] = 0.0
            for j in range(i_bitline.shape[1]):
                i_bitline[k, j] = 0.0
            for a in range(count):
                power[k] += v[k, rows[a]] * current[a]
                line = spread[rows[a]]
                for j in range(i_bitline.shape[1]):
                    i_bitline[k, j] += current[a] * line[j]


@jit
def segments(rows, r_bitline, near, far):
    """Return bitline segments and ends of the active rows alone: (count - 1, n_cols), (n_cols), (n_cols)."""
    count, n_cols = len(rows), len(near)
    between, below, above = np.zeros((max(count - 1, 1), n_cols)), near.copy(), far.copy()
    for a in range(count - 1):
        for i in range(rows[a], rows[a + 1]):
            between[a] += r_bitline[i]
    for i in range(rows[count - 1], len(r_bitline)):
        below += r_bitline[i]
    for i in range(rows[0]):
        above += r_bitline[i]
    return between[: max(count - 1, 0)], np.minimum(below, OPEN), np.minimum(above, OPEN)


@parallel_jit
def gated_reads(threads, g, ends, v, tol, max_iterations, i_bitline, power, certificates):
    """Fill bitline currents (n, n_cols), power (n) and certificates (n, 4) of reads v (n, n_rows), gated where v is 0.

    ends : resistances of all segments, one by one, and ends, as ``ladder.py`` takes them
    """
    n, n_rows = v.shape
    n_cols = g.shape[1]
    r_wordline, r_bitline, near_w, far_w, near_b, far_b = ends
    for thread in prange(threads):
        rows, grounded = np.empty(n_rows, np.int64), np.zeros(n_cols)
        for k in range(thread, n, threads):
            count = _active(v[k], rows)
            if count == 0:
                i_bitline[k], power[k], certificates[k] = 0.0, 0.0, 0.0
                continue
            active = rows[:count]
            between, below, above = segments(active, r_bitline, near_b, far_b)
            part = (r_wordline[active], between, near_w[active], far_w[active], below, above)
            wires = (1.0 / part[0], 1.0 / part[1], 1.0 / part[2], 1.0 / part[3], 1.0 / part[4], 1.0 / part[5])
            cells, i_wordline, memory = g[active], np.empty(count), np.empty((11, count, n_cols))
            pull, lean, keep, z, lean_b = memory[0], memory[1], memory[2], memory[3], memory[4]
            rho = ladders(1, cells, part, pull, lean, keep, z, lean_b)
            read(
                wires, (cells, pull, lean), (keep, z, lean_b), rho, v[k][active], grounded, tol, max_iterations,
                memory[5:9], memory[9], memory[10], i_wordline, i_bitline[k], certificates[k],
            )  # fmt: skip
            power[k] = 0.0
            for a in range(count):
                power[k] += v[k, active[a]] * i_wordline[a]
