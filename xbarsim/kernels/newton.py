"""Newton's method for crossbars of non-linear cells, globally convergent because cells and wires are passive.

Cells of rising current minimise a convex function of the node voltages, wire losses / 2 + the integrals of i dv (the
co-content, W. Millar, Phil. Mag. 42, 1951). Each step replaces cells by their tangents, i = d v + s, and solves that
linear circuit; wires and tangents then obey Kirchhoff's laws exactly, with cell currents c. Along the step, currents c
and voltages are interpolated, and the slope of the convex function is sum (i(v) - c) dv: a full step is taken unless
that slope turns positive and large, and then bisection finds where it is small.
"""

import numpy as np

from xbarsim.kernels.bound import line_conductances, uncertainties
from xbarsim.kernels.cells import cell, cells
from xbarsim.kernels.certificate import certify
from xbarsim.kernels.jit import jit, parallel_jit, prange
from xbarsim.kernels.ladder import ROWS, ladders, wordline_voltages
from xbarsim.kernels.linear import solve_bitlines
from xbarsim.kernels.schur import CONVERGED, ROUNDED, STALLED

_NEWTON_STEPS = 100
_CELL_ERROR = 1e-11  # largest difference of cell and tangent current, relative to the largest cell current,
_ROUNDING = 4e-16  # beyond what rounding of the node voltages makes


@jit
def _respond(v, x, offset, tangent, pull, lean, u, c):
    """Fill wordline nodes u and cell currents c = tangent (u - x + offset) for drivers v and bitline nodes x."""
    c[:] = x - offset
    for first in range(0, len(x), ROWS):
        wordline_voltages(first, v, c, pull, lean, u)
    for i in range(len(x)):
        for j in range(x.shape[1]):
            c[i, j] = tangent[i, j] * (u[i, j] - c[i, j])


@jit
def _linear(tangent, offset, ends, v, v_end, tol, max_iterations, work, x, u, c):
    """Solve the circuit of tangent cells, i = tangent (v_cell + offset); fill x, u and cell currents c."""
    pull, lean, keep, z, lean_b = work[0], work[1], work[2], work[3], work[4]
    rho = ladders(1, tangent, ends, pull, lean, keep, z, lean_b)
    x[:] = 0.0
    _respond(np.zeros(len(v)), x, offset, tangent, pull, lean, u, c)
    wordlines, bitlines = (tangent, pull, lean), (keep, z, lean_b)
    iterations, status = solve_bitlines(
        wordlines, bitlines, rho, v, v_end, c, tol, max_iterations, work[5:], x
    )  # what offsets deliver into grounded bitlines is in c
    _respond(v, x, offset, tangent, pull, lean, u, c)
    return iterations, status


@jit
def _evaluate(law, parameters, g, u, x, c, current, slope, v_cell):
    """Fill cell voltages, currents i(v) and slopes; return the largest |i(v) - c| over the largest |i(v)|."""
    wrong, largest = 0.0, 0.0
    for i in range(len(g)):
        for j in range(g.shape[1]):
            v_cell[i, j] = u[i, j] - x[i, j]
        cells(law, parameters, g[i], v_cell[i], current[i], slope[i])
        for j in range(g.shape[1]):
            rounding = _ROUNDING * slope[i, j] * (abs(u[i, j]) + abs(x[i, j]))
            wrong = max(wrong, abs(current[i, j] - c[i, j]) - rounding)
            largest = max(largest, abs(current[i, j]))
    return wrong / largest if largest > 0.0 else wrong


@jit
def _along(current, c, v_old, v_new):
    """Return sum (i(v) - c) (v_new - v_old), the slope of the convex function along a step."""
    total = 0.0
    for i in range(len(c)):
        for j in range(c.shape[1]):
            total += (current[i, j] - c[i, j]) * (v_new[i, j] - v_old[i, j])
    return total


@jit
def _fraction(law, parameters, g, start, v_old, v_new, c_old, c_new):
    """Return a fraction of a step at which the slope along it is at most half of ``start``, by bisection."""
    low, high, t = 0.0, 1.0, 0.5
    for _ in range(50):
        slope = 0.0
        for i in range(len(g)):
            for j in range(g.shape[1]):
                move = v_new[i, j] - v_old[i, j]
                current = cell(law, parameters, g[i, j], v_old[i, j] + t * move)[0]
                slope += (current - c_old[i, j] - t * (c_new[i, j] - c_old[i, j])) * move
        if abs(slope) <= 0.5 * start:
            break
        low, high = (low, t) if slope > 0.0 else (t, high)
        t = 0.5 * (low + high)
    return t


@jit
def _descend(g, ends, law, parameters, v, v_end, tol, max_iterations, work, x, u, c):
    """Run Newton's method from the cell voltages u - x; return (iterations, status)."""
    current, slope, offset, v_old, v_new = work[9], work[10], work[11], work[12], work[13]
    x_new, u_new, c_new = work[14], work[15], work[16]
    _evaluate(law, parameters, g, u, x, c, current, slope, v_old)
    total = 0
    for step in range(_NEWTON_STEPS):
        for i in range(len(g)):
            for j in range(g.shape[1]):
                offset[i, j] = current[i, j] / slope[i, j] - v_old[i, j] if slope[i, j] > 0.0 else 0.0
        more, status = _linear(slope, offset, ends, v, v_end, tol, max_iterations, work[:9], x_new, u_new, c_new)
        total += more
        if status not in (CONVERGED, ROUNDED):  # what rounding leaves shows in the currents of cells
            return total, status
        v_new[:] = u_new - x_new
        start = abs(_along(current, c, v_old, v_new))
        wrong = _evaluate(law, parameters, g, u_new, x_new, c_new, current, slope, v_new)
        # the first step is taken in full: wires do not carry the currents it starts from
        if step > 0 and wrong > _CELL_ERROR and _along(current, c_new, v_old, v_new) > 0.5 * start:
            t = _fraction(law, parameters, g, start, v_old, v_new, c, c_new)
            for old, new in ((x, x_new), (u, u_new), (c, c_new)):
                new[:] = old + t * (new - old)
            wrong = _evaluate(law, parameters, g, u_new, x_new, c_new, current, slope, v_new)
        for kept, new in ((x, x_new), (u, u_new), (c, c_new), (v_old, v_new)):
            kept[:] = new
        if wrong <= _CELL_ERROR:
            return total, CONVERGED
    return total, STALLED


@jit
def newton_read(g, ends, wires, law, parameters, v, v_end, tol, max_iterations, allowed, work, x, u, c, certificate):
    """Fill node voltages x (bitlines) and u (wordlines) and cell currents c, each (n_rows, n_cols).

    Where Newton's method fails from zero voltage, sources are raised in steps, halved at each failure; conjugate
    gradients get 300 iterations at first and twice as many after each failure.

    ends : resistances of segments and line ends; wires : their conductances, as ``certificate.py`` takes them
    law, parameters : of the cells, see ``cells.py``
    allowed : error of line currents, over the largest, from which on the status is ROUNDED
    work : (17, n_rows, n_cols), contents free
    certificate : (4,), filled with iterations over all Newton steps, status, residual, dissipated power
    """
    x[:] = 0.0
    u[:] = 0.0
    c[:] = 0.0
    total, raised, step, limit = 0, 0.0, 1.0, 300
    while raised < 1.0:
        target = min(1.0, raised + step)
        x_try, u_try, c_try = x.copy(), u.copy(), c.copy()
        most = min(limit, max_iterations)
        more, status = _descend(
            g, ends, law, parameters, target * v, target * v_end, tol, most, work, x_try, u_try, c_try
        )
        total += more
        if status == CONVERGED:
            raised, step = target, 2.0 * step
            x[:] = x_try
            u[:] = u_try
            c[:] = c_try
            continue
        if step < 1e-4 or limit > 16 * max_iterations:
            certificate[0], certificate[1], certificate[2], certificate[3] = total, STALLED, np.inf, np.nan
            return
        step, limit = 0.5 * step, 2 * limit
    chord, v_cell = work[9], u - x
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            chord[i, j] = c[i, j] / v_cell[i, j] if v_cell[i, j] != 0.0 else g[i, j]
    certificate[0], certificate[1] = total, CONVERGED
    certificate[2], certificate[3] = certify(chord, wires, v, v_end, u, x)
    rows, columns = line_conductances(work[10])  # of the tangents, as they were last
    sources, lines = (v.reshape(1, -1), v_end.reshape(1, -1)), (c.sum(1).reshape(1, -1), c.sum(0).reshape(1, -1))
    line, residual = max(rows.max(), columns.max()), certificate[2:3]
    if uncertainties(line, 1.0, rows, columns, *sources, *lines, residual, 0.0, allowed)[0] > 1.0:
        certificate[1] = ROUNDED


@parallel_jit
def newton_batch(
    g, ends, wires, law, parameters, v, v_end, tol, max_iterations, allowed, memory, i_wordline, i_bitline, certificates
):
    """Do :func:`newton_read` for each of the n vectors, on all threads, and keep line currents only.

    memory : (threads, 20, n_rows, n_cols), contents free
    i_wordline, i_bitline, certificates : (n, n_rows), (n, n_cols), (n, 4), the last as :func:`newton_read` fills it
    """
    threads = len(memory)
    for thread in prange(threads):
        x, u, c, work = memory[thread, 0], memory[thread, 1], memory[thread, 2], memory[thread, 3:]
        for k in range(thread, len(v), threads):
            limits, out = (tol, max_iterations, allowed), (x, u, c, certificates[k])
            newton_read(g, ends, wires, law, parameters, v[k], v_end[k], *limits, work, *out)
            i_wordline[k] = c.sum(1)
            i_bitline[k] = c.sum(0)
