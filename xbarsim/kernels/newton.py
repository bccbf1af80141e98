"""Newton's method for crossbars of non-linear cells, globally convergent because cells and wires are passive.

Cells of rising current minimise a convex function of the node voltages, wire losses / 2 + the integrals of i dv (the
co-content, W. Millar, Phil. Mag. 42, 1951). Each step replaces cells by their tangents, i = d v + s, and solves that
linear circuit; wires and tangents then obey Kirchhoff's laws exactly, with cell currents c. Along the step, currents c
and voltages are interpolated, and the slope of the convex function is sum (i(v) - c) dv: a full step is taken unless
that slope turns positive and large, and then bisection finds where it is small.
"""

import numpy as np

from xbarsim.kernels.cells import cell
from xbarsim.kernels.jit import jit, parallel_jit, prange
from xbarsim.kernels.ladder import bitline_ladders, wordline_ladders
from xbarsim.kernels.residual import kirchhoff_residual
from xbarsim.kernels.schur import CONVERGED, STALLED, deliver, solve_bitlines

_NEWTON_STEPS = 100
_CELL_ERROR = 1e-11  # largest difference of cell and tangent current, relative to the largest cell current


@jit
def _linear(tangent, offset, ends, v, v_end, tol, max_iterations, work, x, u, c):
    """Solve the circuit of tangent cells, i = tangent (v_cell + offset); fill x, u and cell currents c."""
    r_wordline, r_bitline, near_w, far_w, near_b, far_b = ends
    pull, lean, keep, z, lean_b = (
        np.empty_like(x),
        np.empty_like(x),
        np.empty_like(x),
        np.empty_like(x),
        np.empty_like(x),
    )
    wordline_ladders(tangent, r_wordline, near_w, far_w, pull, lean)
    bitline_ladders(tangent, r_bitline, near_b, far_b, keep, z, lean_b)
    wordlines = (tangent, pull, lean)
    iterations, status = solve_bitlines(wordlines, (keep, z, lean_b), v, v_end, offset, tol, max_iterations, work, x)
    work[0] = x - offset
    deliver(v, work[0], *wordlines, u, c)
    for i in range(len(x)):
        for j in range(x.shape[1]):
            c[i, j] = tangent[i, j] * (u[i, j] - x[i, j] + offset[i, j])
    return iterations, status


@jit
def _slope(law, parameters, g, t, v_old, v_new, c_old, c_new):
    """Return sum (i(v) - c) (v_new - v_old) at the fraction t of the step."""
    total = 0.0
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            v = v_old[i, j] + t * (v_new[i, j] - v_old[i, j])
            c = c_old[i, j] + t * (c_new[i, j] - c_old[i, j])
            total += (cell(law, parameters, g[i, j], v)[0] - c) * (v_new[i, j] - v_old[i, j])
    return total


@jit
def _fraction(law, parameters, g, excess, v_old, v_new, c_old, c_new):
    """Return the fraction of a Newton step to take; ``excess`` is i(v) - c at its start."""
    before = abs(np.sum(excess * (v_new - v_old)))
    low, high = 0.0, 1.0
    t = 1.0
    for _ in range(50):
        slope = _slope(law, parameters, g, t, v_old, v_new, c_old, c_new)
        if abs(slope) <= 0.5 * before or (t == 1.0 and slope <= 0.0):
            return t
        if slope > 0.0:
            high = t
        else:
            low = t
        t = 0.5 * (low + high)
    return t


@jit
def _tangents(law, parameters, g, u, x, c, tangent, offset, v_cell, excess):
    """Fill the tangent cells at u - x and excess = i(v) - c; return the largest |excess| over the largest |i(v)|."""
    wrong, largest = 0.0, 0.0
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            v = u[i, j] - x[i, j]
            current, slope = cell(law, parameters, g[i, j], v)
            excess[i, j] = current - c[i, j]
            wrong, largest = max(wrong, abs(excess[i, j])), max(largest, abs(current))
            v_cell[i, j], tangent[i, j] = v, slope
            offset[i, j] = current / slope - v if slope > 0.0 else 0.0
    return wrong / largest if largest > 0.0 else wrong


@jit
def _descend(g, ends, law, parameters, v, v_end, tol, max_iterations, work, x, u, c):
    """Run Newton's method from the cell voltages u - x; return (iterations, status)."""
    tangent, offset, v_old, excess, x_new, u_new, c_new = work[5:]
    _tangents(law, parameters, g, u, x, c, tangent, offset, v_old, excess)
    total, status = _linear(tangent, offset, ends, v, v_end, tol, max_iterations, work[:5], x, u, c)
    for _ in range(_NEWTON_STEPS):
        if status != CONVERGED:
            return total, status
        if _tangents(law, parameters, g, u, x, c, tangent, offset, v_old, excess) <= _CELL_ERROR:
            return total, CONVERGED
        more, status = _linear(tangent, offset, ends, v, v_end, tol, max_iterations, work[:5], x_new, u_new, c_new)
        total += more
        t = _fraction(law, parameters, g, excess, v_old, u_new - x_new, c, c_new)
        x += t * (x_new - x)
        u += t * (u_new - u)
        c += t * (c_new - c)
    return total, STALLED


@jit
def newton_read(g, ends, wires, law, parameters, v, v_end, tol, max_iterations, x, u, c):
    """Fill node voltages x (bitlines) and u (wordlines) and cell currents c, each (n_rows, n_cols).

    Where Newton's method fails from zero voltage, sources are raised in steps, halved at each failure; conjugate
    gradients get 300 iterations at first and twice as many after each failure.

    ends : resistances of segments and line ends; wires : their conductances, as ``residual.py`` takes them
    law, parameters : of the cells, see ``cells.py``
    Returns (iterations, status, residual); iterations are summed over Newton steps.
    """
    work = np.zeros((12, *g.shape))
    x[:] = 0.0
    u[:] = 0.0
    c[:] = 0.0
    total, raised, step, limit = 0, 0.0, 1.0, 300
    while raised < 1.0:
        target = min(1.0, raised + step)
        x_try, u_try, c_try = x.copy(), u.copy(), c.copy()
        more, status = _descend(
            g,
            ends,
            law,
            parameters,
            target * v,
            target * v_end,
            tol,
            min(limit, max_iterations),
            work,
            x_try,
            u_try,
            c_try,
        )
        total += more
        if status == CONVERGED:
            raised, step = target, 2.0 * step
            x[:] = x_try
            u[:] = u_try
            c[:] = c_try
            continue
        if step < 1e-4 or limit > 16 * max_iterations:
            return total, STALLED, np.inf
        step, limit = 0.5 * step, 2 * limit
    chord, v_cell = work[5], work[7]
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            chord[i, j] = c[i, j] / v_cell[i, j] if v_cell[i, j] != 0.0 else g[i, j]
    return total, CONVERGED, kirchhoff_residual(chord, wires, v, v_end, u, x)


@parallel_jit
def newton_batch(g, ends, wires, law, parameters, v, v_end, tol, max_iterations, x, u, c, iterations, status, residual):
    """Do :func:`newton_read` for each of the n vectors, on all threads; outputs have a leading axis of n."""
    for k in prange(len(v)):
        iterations[k], status[k], residual[k] = newton_read(
            g, ends, wires, law, parameters, v[k], v_end[k], tol, max_iterations, x[k], u[k], c[k]
        )
