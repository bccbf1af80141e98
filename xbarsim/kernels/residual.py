"""The certificate: the largest Kirchhoff residual of given node voltages, recomputed from the circuit itself.

At each node: |sum of branch currents| / sum of |branch conductance| (|v_a| + |v_b|). Nodes joined by zero resistance
count as one and must agree in voltage; a node joined to its terminal must have the terminal's voltage, and the source
delivers any current.
"""

import numpy as np

from xbarsim.kernels.jit import jit


@jit
def _onward(here, ahead, wire):
    """Return the current into a node from the next one and its scale, 0 if they are joined (infinite conductance)."""
    if wire == np.inf:
        return 0.0, 0.0
    return wire * (ahead - here), wire * (abs(ahead) + abs(here))


@jit
def _apart(here, ahead):
    return abs(ahead - here) / max(abs(ahead) + abs(here), 1e-300)


@jit
def _node(flow, scale, known, here, across, g, ahead, wire, worst):
    """Close one node: what came from behind (flow, scale) plus its cell plus the wire ahead must vanish.

    Returns (flow, scale, known, worst) for the next node; ``known`` means joined to a terminal.
    """
    flow += g * (across - here)
    scale += g * (abs(across) + abs(here))
    if wire == np.inf:
        return flow, scale, known, max(worst, _apart(here, ahead))
    onward, onward_scale = _onward(here, ahead, wire)
    if not known and abs(flow + onward) > worst * (scale + onward_scale):
        worst = abs(flow + onward) / (scale + onward_scale)
    return -onward, onward_scale, False, worst


@jit
def kirchhoff_residual(g, wires, v, v_end, u, x):
    """Return the largest residual of node voltages u (wordlines) and x (bitlines), each (n_rows, n_cols).

    wires : conductances of wordline and bitline segments, near and far ends of wordlines, and of bitlines; inf = joined
    """
    wire_w, wire_b, near_w, far_w, near_b, far_b = wires
    n_rows, n_cols = g.shape
    worst = 0.0
    for i in range(n_rows):
        known = near_w[i] == np.inf
        flow, scale = _onward(u[i, 0], v[i], near_w[i])
        if known:
            worst = max(worst, _apart(u[i, 0], v[i]))
        for j in range(n_cols - 1):
            flow, scale, known, worst = _node(
                flow, scale, known, u[i, j], x[i, j], g[i, j], u[i, j + 1], wire_w[i, j], worst
            )
        _, _, _, worst = _node(flow, scale, known, u[i, -1], x[i, -1], g[i, -1], v[i], far_w[i], worst)

    flows, scales, joined = np.empty(n_cols), np.empty(n_cols), near_b == np.inf
    for j in range(n_cols):
        flows[j], scales[j] = _onward(x[-1, j], v_end[j], near_b[j])
        if joined[j]:
            worst = max(worst, _apart(x[-1, j], v_end[j]))
    for i in range(n_rows - 1, -1, -1):
        ahead = x[i - 1] if i > 0 else v_end
        wire = wire_b[i - 1] if i > 0 else far_b
        for j in range(n_cols):
            flows[j], scales[j], joined[j], worst = _node(
                flows[j], scales[j], joined[j], x[i, j], u[i, j], g[i, j], ahead[j], wire[j], worst
            )
    return worst
