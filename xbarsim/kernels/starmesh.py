"""Elimination of nodes without subtraction, for circuits whose conductances span more than rounding leaves.

A circuit is the conductances between every two of its nodes, none negative, a node's total never stored. Eliminating
node e joins its neighbours by the star-mesh rule, N_ij += N_ie N_ej / sum_k N_ek. Nothing is ever subtracted, so every
conductance that is left between ports has full relative accuracy, whatever the spread (W. K. Grassmann, M. I. Taksar,
D. P. Heyman, Oper. Res. 33, 1107, 1985). Nodes joined by zero resistance conduct JOINED to each other.

The voltage of e is the mean of its neighbours' voltages by N_ek. Going back through the nodes, the *differences* of
voltages, D_eb = sum_k N_ek D_kb / sum_k N_ek, are kept instead: what a cell carries is then off by rounding of the
currents that flow around e, not of the voltages there.

Rows are added one after another; ``mesh`` holds two nodes of a wordline, the bitline nodes of two rows, and the ports:
sense nodes, drivers. Only the entries above its diagonal count.
"""

import numpy as np

from xbarsim.kernels.jit import jit

JOINED = 1e30
_WORDLINE = 2  # nodes of a wordline that exist at a time


@jit
def _join(a, b, conductance, mesh):
    mesh[min(a, b), max(a, b)] += conductance


@jit
def _eliminate(e, end, mesh, share):
    """Remove node e from the first ``end`` nodes of the mesh and fill each neighbour's share of what e conducts."""
    total = 0.0
    for k in range(end):
        share[k] = mesh[k, e] if k < e else mesh[e, k]
        total += share[k]
        mesh[min(k, e), max(k, e)] = 0.0
    for k in range(end):
        share[k] = share[k] / total if total > 0.0 else 0.0
    for i in range(end - 1):
        if share[i] > 0.0:
            row, conductance = mesh[i], share[i] * total
            for j in range(i + 1, end):
                row[j] += conductance * share[j]


@jit
def _restore(e, end, share, apart):
    """Fill the voltage differences of node e to the first ``end`` nodes, a mean of those of its neighbours."""
    mean = np.zeros(end)
    for k in range(end):
        if share[k] > 0.0:
            line = apart[k]
            for b in range(end):
                mean[b] += share[k] * line[b]
    mean[e] = 0.0
    for b in range(end):
        apart[e, b] = mean[b]
        apart[b, e] = -mean[b]


@jit
def reduce_to_ports(g, wires, shares, mesh):
    """Leave in ``mesh`` what the ports conduct to each other, from index 2 + 2 n_cols: sense nodes, then drivers.

    wires : conductances of segments, one row or all, and of near and far ends, at most JOINED, 0 if open
    shares : (2 n_rows n_cols, nodes of mesh), filled with the shares of every node; or (1, ...), to be left out
    mesh : (2 + 3 n_cols + n_rows,) * 2, zeros
    """
    wire_w, wire_b, near_w, far_w, near_b, far_b = wires
    n_rows, n_cols = g.shape
    step_w, step_b = 1 if len(wire_w) > 1 else 0, 1 if len(wire_b) > 1 else 0
    kept = 1 if len(shares) > 1 else 0
    sense = _WORDLINE + 2 * n_cols
    for j in range(n_cols):
        _join(_WORDLINE + j, sense + j, far_b[j], mesh)
    for i in range(n_rows):
        driver = sense + n_cols + i
        here, there = _WORDLINE + i % 2 * n_cols, _WORDLINE + (i + 1) % 2 * n_cols
        _join(0, driver, near_w[i], mesh)
        for j in range(n_cols):
            _join(j % 2, here + j, g[i, j], mesh)
            if j < n_cols - 1:
                _join(0, 1, wire_w[i * step_w, j], mesh)
            else:
                _join(j % 2, driver, far_w[i], mesh)
            _eliminate(j % 2, driver + 1, mesh, shares[kept * (2 * i * n_cols + j)])
        for j in range(n_cols):
            if i < n_rows - 1:
                _join(here + j, there + j, wire_b[i * step_b, j], mesh)
            else:
                _join(here + j, sense + j, near_b[j], mesh)
        for j in range(n_cols):
            _eliminate(here + j, driver + 1, mesh, shares[kept * ((2 * i + 1) * n_cols + j)])


@jit
def port_currents(mesh, v, v_end, i_wordline, i_bitline, power):
    """Fill the currents (n, n_rows), (n, n_cols) and the dissipated power (n) of reads v (n, n_rows), v_end.

    mesh : what :func:`reduce_to_ports` leaves
    """
    n_reads, n_cols = v_end.shape
    volts = np.empty(n_cols + v.shape[1])
    first = _WORDLINE + 2 * n_cols
    for k in range(n_reads):
        volts[:n_cols], volts[n_cols:] = v_end[k], v[k]
        out, power[k] = np.zeros(len(volts)), 0.0
        for p in range(len(volts)):
            line = mesh[first + p]
            for q in range(p + 1, len(volts)):
                current = line[first + q] * (volts[p] - volts[q])
                out[p] += current
                out[q] -= current
                power[k] += current * (volts[p] - volts[q])
        for j in range(n_cols):
            i_bitline[k, j] = 0.0 - out[j]
        i_wordline[k] = out[n_cols:]


@jit
def node_voltages(g, shares, v, v_end, apart, u, x, c):
    """Fill nodes u (wordlines), x (bitlines) and cell currents c, (n_rows, n_cols), of one read v (n_rows), v_end.

    shares : what :func:`reduce_to_ports` fills
    apart : of the shape of its mesh, contents free
    """
    n_rows, n_cols = g.shape
    sense = _WORDLINE + 2 * n_cols
    volts = np.concatenate((v_end, v))
    apart[:] = 0.0
    for p in range(len(volts)):
        for q in range(len(volts)):
            apart[sense + p, sense + q] = volts[p] - volts[q]
    for i in range(n_rows - 1, -1, -1):
        end, here = sense + n_cols + i + 1, _WORDLINE + i % 2 * n_cols
        for j in range(n_cols - 1, -1, -1):
            _restore(here + j, end, shares[(2 * i + 1) * n_cols + j], apart)
            x[i, j] = v_end[0] + apart[here + j, sense]
        for j in range(n_cols - 1, -1, -1):
            _restore(j % 2, end, shares[2 * i * n_cols + j], apart)
            u[i, j] = v_end[0] + apart[j % 2, sense]
            c[i, j] = g[i, j] * apart[j % 2, here + j]


@jit
def floating_currents(ports, v, i_bitline, power):
    """Fill bitline currents (n, n_cols) and delivered power (n) of reads v (n, n_rows); drivers at 0 V float.

    ports : (n_cols + n_rows,) * 2, conductances above the diagonal; sense nodes, at 0 V, then drivers
    """
    n_cols, n_ports = i_bitline.shape[1], len(ports)
    share, volts = np.empty(n_ports), np.zeros(n_ports)
    for k in range(len(v)):
        mesh = ports.copy()
        volts[n_cols:] = v[k]
        for i in range(v.shape[1]):
            if v[k, i] == 0.0:
                _eliminate(n_cols + i, n_ports, mesh, share)
        i_bitline[k], power[k] = 0.0, 0.0
        for p in range(n_ports):
            for q in range(p + 1, n_ports):
                current = mesh[p, q] * (volts[q] - volts[p])
                power[k] += current * (volts[q] - volts[p])
                if p < n_cols:
                    i_bitline[k, p] += current
                if q < n_cols:
                    i_bitline[k, q] -= current
