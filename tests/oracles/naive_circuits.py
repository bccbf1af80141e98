"""Slow twins, written from Kirchhoff's laws, not from the code under test."""

import numpy as np


def solve_circuit(g, wires, v, v_sense=None, floating_rows=(), floating_cols=(), bridges=()):
    """Nodal analysis of a crossbar by one dense matrix; returns v_wordline, v_bitline, i_wordline, i_bitline.

    Nodes joined by zero resistance are merged first; merged groups that hold a source are known voltages. Infinite
    resistances are no branches. Bridges are further resistors, each ("wordline" or "bitline", (row, column), (row,
    column), ohm).
    """
    m, n = g.shape
    v_sense = np.zeros(n) if v_sense is None else v_sense
    r_wordline, r_bitline = np.broadcast_to(wires.r_wordline, (m, n - 1)), np.broadcast_to(wires.r_bitline, (m - 1, n))
    r_driver, r_sense = np.array(np.broadcast_to(wires.r_driver, m)), np.array(np.broadcast_to(wires.r_sense, n))
    r_driver[list(floating_rows)] = r_sense[list(floating_cols)] = np.inf
    driver, sense = 2 * m * n, 2 * m * n + m  # node numbers: wordline, bitline, drivers, sense nodes
    wordline = np.arange(m * n).reshape(m, n)
    bitline = wordline + m * n
    branches = [(wordline[i, j], bitline[i, j], g[i, j]) for i in range(m) for j in range(n)]
    joined = []

    def wire(a, b, r):
        if r == 0:
            joined.append((a, b))
        elif r < np.inf:
            branches.append((a, b, 1 / r))

    for i in range(m):
        wire(driver + i, wordline[i, 0], r_driver[i])
        if wires.drive_both_ends:
            wire(driver + i, wordline[i, n - 1], r_driver[i])
        for j in range(n - 1):
            wire(wordline[i, j], wordline[i, j + 1], r_wordline[i, j])
    for j in range(n):
        wire(sense + j, bitline[m - 1, j], r_sense[j])
        if wires.sense_both_ends:
            wire(sense + j, bitline[0, j], r_sense[j])
        for i in range(m - 1):
            wire(bitline[i, j], bitline[i + 1, j], r_bitline[i, j])

    for kind, a, b, r in bridges:
        nodes = {"wordline": wordline, "bitline": bitline}[kind]
        wire(nodes[a], nodes[b], r)

    group = np.arange(2 * m * n + m + n)
    for a, b in joined:
        group[group == group[b]] = group[a]
    sources = {int(group[driver + i]): v[i] for i in range(m)} | {int(group[sense + j]): v_sense[j] for j in range(n)}
    unknown = [k for k in np.unique(group) if k not in sources]
    index = {int(k): p for p, k in enumerate(unknown)}
    reached, grown = set(sources), True
    while grown:
        ends = [{int(group[a]), int(group[b])} for a, b, conductance in branches if conductance > 0]
        more = set().union(*(pair for pair in ends if pair & reached)) | reached
        reached, grown = more, len(more) > len(reached)
    if not set(index) <= reached:
        raise np.linalg.LinAlgError("a node has no path to any source")
    matrix, right = np.zeros((len(unknown), len(unknown))), np.zeros(len(unknown))
    for a, b, conductance in branches:
        for here, there in ((int(group[a]), int(group[b])), (int(group[b]), int(group[a]))):
            if here not in index:
                continue
            matrix[index[here], index[here]] += conductance
            if there in index:
                matrix[index[here], index[there]] -= conductance
            else:
                right[index[here]] += conductance * sources[there]
    solved = np.linalg.solve(matrix, right) if len(unknown) else right
    voltage = np.array([sources[int(k)] if int(k) in sources else solved[index[int(k)]] for k in group])
    v_w, v_b = voltage[wordline], voltage[bitline]
    i_cell = g * (v_w - v_b)
    return v_w, v_b, i_cell.sum(1), i_cell.sum(0)


def disturbed(law, v, times):
    """G / G0 of one cell after reads of so many seconds at each of some voltages, from the published law in time.

    At each voltage the cell goes on from the time at which that voltage alone would have brought it to where it is:
    before the onset from the same share of the onset time.
    """
    share, ratio = 0.0, 1.0
    for volt, t in zip(v, times):
        p = law.c * np.exp(law.a * abs(volt) / (8.617333262e-5 * 300.0))
        onset = law.t0 * (law.onset * (1 - law.k_cycles * law.n_cycles**law.m_cycles)) ** (1 / p)
        before = share * onset if ratio == 1.0 else onset * ratio ** (-1 / p)
        now = before + t
        share = now / onset
        ratio = share**-p if share > 1 else 1.0
    return ratio
