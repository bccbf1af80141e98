"""The certificate: the largest Kirchhoff residual and the dissipated power of given node voltages.

Both are computed from the circuit itself, not from anything a solver left behind. Residual at each node: |sum of branch
currents| / sum of |branch conductance| (|v_a| + |v_b| + V), V being the largest voltage of any source: nodes near 0 V,
where lines are long or float, must not count rounding as error. Nodes joined by zero resistance count as one and must
agree in voltage; a node joined to its terminal must have the terminal's voltage, and the source delivers any current.
"""

import numpy as np

from xbarsim.kernels.chebyshev import LINES
from xbarsim.kernels.jit import in_order, jit, parallel_jit, prange

_TINY = 1e-300


def _certify(g, wires, v, v_end, u, x):
    """Return the largest residual and the power [W] of node voltages u (wordlines), x (bitlines), (n_rows, n_cols).

    wires : conductances of wordline and bitline segments, near and far ends of wordlines, and of bitlines; inf = joined
    """
    n_rows = len(g)
    n_blocks = (n_rows + LINES - 1) // LINES
    worst, lost = np.zeros(n_blocks), np.zeros(n_blocks)
    joined, volts = any_joined(wires), max(np.abs(v).max(), np.abs(v_end).max())
    for block in prange(n_blocks):
        begin, end = block * LINES, min((block + 1) * LINES, n_rows)
        if not joined:
            worst[block] = _worst_of_separate_nodes(begin, end, g, wires, v, v_end, volts, u, x)
        lost[block] = _dissipated(begin, end, g, wires, v, v_end, u, x)
    largest = _worst_of_joined_nodes(g, wires, v, v_end, volts, u, x) if joined else worst.max()
    power = in_order(lost)
    return (largest if power < np.inf else np.inf), power  # maxima lose nan, sums keep it


@jit
def any_joined(wires):
    """Return whether any conductance of ``wires`` is infinite."""
    for part in wires[2:]:
        if np.any(part == np.inf):
            return True
    return np.any(wires[0] == np.inf) or np.any(wires[1] == np.inf)


@jit
def loss(wire, drop):
    """Return the power lost in a wire of that conductance; none if it joins its nodes."""
    return wire * drop * drop if wire < np.inf else 0.0


@jit
def _dissipated(begin, end, g, wires, v, v_end, u, x):
    """Return the power lost in cells and wires of rows ``begin`` to ``end``, with the bitline segments above them."""
    wire_w, wire_b, near_w, far_w, near_b, far_b = wires
    n_rows, n_cols = x.shape
    step_w, step_b = 1 if len(wire_w) > 1 else 0, 1 if len(wire_b) > 1 else 0
    lost, total = np.zeros(n_cols), 0.0
    for i in range(begin, end):
        for j in range(n_cols):
            lost[j] += g[i, j] * (u[i, j] - x[i, j]) ** 2
        for j in range(n_cols - 1):
            lost[j] += loss(wire_w[i * step_w, j], u[i, j + 1] - u[i, j])
        if i > 0:
            for j in range(n_cols):
                lost[j] += loss(wire_b[(i - 1) * step_b, j], x[i, j] - x[i - 1, j])
        total += loss(near_w[i], v[i] - u[i, 0]) + loss(far_w[i], v[i] - u[i, n_cols - 1])
    for j in range(n_cols):
        if begin == 0:
            total += loss(far_b[j], v_end[j] - x[0, j])
        if end == n_rows:
            total += loss(near_b[j], v_end[j] - x[n_rows - 1, j])
    return total + lost.sum()


@jit
def unbalance(here, across, g, before, wire_before, after, wire_after, volts):
    """Return the residual of one node with its cell and its two neighbours along the line."""
    total = g + wire_before + wire_after
    flow = g * across + wire_before * before + wire_after * after - total * here
    scale = g * abs(across) + wire_before * abs(before) + wire_after * abs(after) + total * (abs(here) + volts)
    return abs(flow) / (scale + _TINY)


@jit
def _worst_of_nodes(here, across, g, before, wire_before, after, wire_after, volts, worst):
    for j in range(len(here)):
        wrong = unbalance(here[j], across[j], g[j], before[j], wire_before[j], after[j], wire_after[j], volts)
        worst[j] = max(worst[j], wrong)


@jit
def _worst_of_separate_nodes(begin, end, g, wires, v, v_end, volts, u, x):
    wire_w, wire_b, near_w, far_w, near_b, far_b = wires
    n_rows, n_cols = g.shape
    step_w, step_b = 1 if len(wire_w) > 1 else 0, 1 if len(wire_b) > 1 else 0
    last, worst = n_cols - 1, np.zeros(n_cols)  # worst of each column, so that columns are independent
    for i in range(begin, end):
        above, below = (i - 1) * step_b, i * step_b
        if 0 < i < n_rows - 1:
            _worst_of_nodes(x[i], u[i], g[i], x[i - 1], wire_b[above], x[i + 1], wire_b[below], volts, worst)
        else:
            before, wire_before = (x[i - 1], wire_b[above]) if i > 0 else (v_end, far_b)
            after, wire_after = (x[i + 1], wire_b[below]) if i < n_rows - 1 else (v_end, near_b)
            _worst_of_nodes(x[i], u[i], g[i], before, wire_before, after, wire_after, volts, worst)
        line, across, cells, wire = u[i], x[i], g[i], wire_w[i * step_w]
        for j in range(1, last):
            wrong = unbalance(line[j], across[j], cells[j], line[j - 1], wire[j - 1], line[j + 1], wire[j], volts)
            worst[j] = max(worst[j], wrong)
        for j in (0, last):
            left, wire_left = (line[j - 1], wire[j - 1]) if j > 0 else (v[i], near_w[i])
            right, wire_right = (line[j + 1], wire[j]) if j < last else (v[i], far_w[i])
            wrong = unbalance(line[j], across[j], cells[j], left, wire_left, right, wire_right, volts)
            worst[j] = max(worst[j], wrong)
    return worst.max()


@jit
def _onward(here, ahead, wire, volts):
    """Return the current into a node from the next one and its scale, 0 if they are joined (infinite conductance)."""
    if wire == np.inf:
        return 0.0, 0.0
    return wire * (ahead - here), wire * (abs(ahead) + abs(here) + volts)


@jit
def _apart(here, ahead, volts):
    return abs(ahead - here) / max(abs(ahead) + abs(here) + volts, _TINY)


@jit
def _node(flow, scale, known, here, across, g, ahead, wire, volts, worst):
    """Close one node: what came from behind (flow, scale) plus its cell plus the wire ahead must vanish.

    Returns (flow, scale, known, worst) for the next node; ``known`` means joined to a terminal.
    """
    flow += g * (across - here)
    scale += g * (abs(across) + abs(here) + volts)
    if wire == np.inf:
        return flow, scale, known, max(worst, _apart(here, ahead, volts))
    onward, onward_scale = _onward(here, ahead, wire, volts)
    if not known and abs(flow + onward) > worst * (scale + onward_scale):
        worst = abs(flow + onward) / (scale + onward_scale)
    return -onward, onward_scale, False, worst


@jit
def _worst_of_joined_nodes(g, wires, v, v_end, volts, u, x):
    wire_w, wire_b, near_w, far_w, near_b, far_b = wires
    n_rows, n_cols = g.shape
    step_w, step_b = 1 if len(wire_w) > 1 else 0, 1 if len(wire_b) > 1 else 0
    worst = 0.0
    for i in range(n_rows):
        known = near_w[i] == np.inf
        flow, scale = _onward(u[i, 0], v[i], near_w[i], volts)
        if known:
            worst = max(worst, _apart(u[i, 0], v[i], volts))
        for j in range(n_cols - 1):
            flow, scale, known, worst = _node(
                flow, scale, known, u[i, j], x[i, j], g[i, j], u[i, j + 1], wire_w[i * step_w, j], volts, worst
            )
        _, _, _, worst = _node(flow, scale, known, u[i, -1], x[i, -1], g[i, -1], v[i], far_w[i], volts, worst)

    flows, scales, joined = np.empty(n_cols), np.empty(n_cols), near_b == np.inf
    for j in range(n_cols):
        flows[j], scales[j] = _onward(x[-1, j], v_end[j], near_b[j], volts)
        if joined[j]:
            worst = max(worst, _apart(x[-1, j], v_end[j], volts))
    for i in range(n_rows - 1, -1, -1):
        for j in range(n_cols):
            ahead = x[i - 1, j] if i > 0 else v_end[j]
            wire = wire_b[(i - 1) * step_b, j] if i > 0 else far_b[j]
            flows[j], scales[j], joined[j], worst = _node(
                flows[j], scales[j], joined[j], x[i, j], u[i, j], g[i, j], ahead, wire, volts, worst
            )
    return worst


certify, certify_wide = jit(_certify), parallel_jit(_certify)
