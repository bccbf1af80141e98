"""Cell laws: current and slope of one cell at a voltage. The law is an integer, its parameters an array (2, k)."""

import numpy as np

from xbarsim.kernels.elementary import expm1
from xbarsim.kernels.jit import jit

OHMIC, SINH, SELECTOR, TABLE = 0, 1, 2, 3
_STEEPEST = (
    300.0  # beyond this argument exponentials continue as straight lines, here 1e130 times the small-signal current
)


@jit
def _sinh(a):
    """Return sinh(a) and its slope, continued as a straight line beyond +-_STEEPEST."""
    inside = min(abs(a), _STEEPEST)
    grown = expm1(inside)  # one exponential for both, exact for small a
    shrunk = grown / (1.0 + grown)
    slope = 1.0 + 0.5 * (grown - shrunk)
    rise = 0.5 * (grown + shrunk) + slope * (abs(a) - inside)
    return (rise if a >= 0.0 else -rise), slope


@jit
def _selector(g, v, scale, v_scale):
    """Return current and slope of a resistor 1/g in series with i = scale sinh(v_s / v_scale), by Newton's method.

    The branch equation scale sinh(s) + g (v_scale s - v) = 0 is convex for s > 0, so that Newton's method falls
    monotonously from an upper bound to its root.
    """
    if g == 0.0 or v == 0.0:
        return 0.0, g * scale / (scale + g * v_scale) if g > 0.0 else 0.0
    bound = abs(v)
    s = min(bound / v_scale, np.arcsinh(g * bound / scale))
    for _ in range(60):
        rise, slope = _sinh(s)
        step = (scale * rise + g * (v_scale * s - bound)) / (scale * slope + g * v_scale)
        s -= step
        if abs(step) <= 1e-15 * s:
            break
    rise, slope = _sinh(s)
    steep = scale * slope / v_scale
    return scale * rise * np.sign(v), g * steep / (g + steep)


@jit
def _table(g, v, points):
    """Return current and slope of g h(v), h piecewise linear through ``points`` (2, k), continued beyond its ends."""
    k = min(max(np.searchsorted(points[0], v), 1), points.shape[1] - 1)
    slope = (points[1, k] - points[1, k - 1]) / (points[0, k] - points[0, k - 1])
    return g * (points[1, k] + slope * (v - points[0, k])), g * slope


@jit
def cell(law, parameters, g, v):
    """Return the current of a cell of conductance g at voltage v, and its slope."""
    if law == SINH:
        scale = parameters[0, 0]
        rise, slope = _sinh(v / scale)
        return g * scale * rise, g * slope
    if law == SELECTOR:
        return _selector(g, v, parameters[0, 0], parameters[1, 0])
    if law == TABLE:
        return _table(g, v, parameters)
    return g * v, g


@jit
def cells(law, parameters, g, v, current, slope):
    """Fill currents and slopes of one row of cells (n,) at voltages v."""
    if law == SINH:  # without a branch inside, so that it is done in vectors
        scale = parameters[0, 0]
        for j in range(len(g)):
            rise, steepness = _sinh(v[j] / scale)
            current[j] = g[j] * scale * rise
            slope[j] = g[j] * steepness
    else:
        for j in range(len(g)):
            current[j], slope[j] = cell(law, parameters, g[j], v[j])
