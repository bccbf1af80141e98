"""The certificate: the largest Kirchhoff residual of given node voltages, recomputed from the circuit itself."""

from xbarsim.kernels.jit import jit


@jit
def _apart(a, b):
    return abs(a - b) / (abs(a) + abs(b)) if a != b else 0.0


@jit
def _line(u, x, g, v_end, r_wire, r_end):
    """Return the largest |sum of branch currents| / sum of |conductance| (|v_a| + |v_b|) of one line's nodes.

    Node 0 is the terminal's neighbour. Nodes joined by zero resistance count as one and must agree in voltage; a node
    without resistance to its terminal must have the terminal's voltage, and its source delivers any current.
    """
    flow, scale = 0.0, 0.0
    pinned = r_end == 0.0
    worst = _apart(u[0], v_end) if pinned else 0.0
    if not pinned:
        flow = (v_end - u[0]) / r_end
        scale = (abs(v_end) + abs(u[0])) / r_end
    last = len(u) - 1
    for k in range(len(u)):
        flow += g[k] * (x[k] - u[k])
        scale += g[k] * (abs(x[k]) + abs(u[k]))
        if k < last and r_wire == 0.0:
            worst = max(worst, _apart(u[k], u[k + 1]))
            continue
        wire, wire_scale = 0.0, 0.0
        if k < last:
            wire = (u[k + 1] - u[k]) / r_wire
            wire_scale = (abs(u[k + 1]) + abs(u[k])) / r_wire
        if not pinned and scale + wire_scale > 0.0:
            worst = max(worst, abs(flow + wire) / (scale + wire_scale))
        flow, scale, pinned = -wire, wire_scale, False
    return worst


@jit
def kirchhoff_residual(g, u, x, v, v_end, r_wordline, r_bitline, r_driver, r_sense):
    """Return the largest residual of node voltages u (wordlines) and x (bitlines), each (n_rows, n_cols)."""
    largest = 0.0
    for i in range(g.shape[0]):
        largest = max(largest, _line(u[i], x[i], g[i], v[i], r_wordline, r_driver))
    for j in range(g.shape[1]):
        largest = max(largest, _line(x[::-1, j], u[::-1, j], g[::-1, j], v_end[j], r_bitline, r_sense))
    return largest
