"""Circuit solves against badcrossbar and SciPy's sparse LU, in one run, one thread each, compilation excluded.

Case of the tables: LRS 100 kohm, HRS 1 Mohm, half and half, 1 ohm per wire segment, inputs 0 or 0.3 V. Times are
medians of wall-clock time; both sides start from an array of cells and end with bitline currents.
Run with OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 (``make bench`` sets both).
"""

import logging
import os
import platform
import statistics
import sys
import time
from importlib.metadata import version

import badcrossbar
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

import xbarsim as xb

R_WIRE = 1.0
WIRES = xb.Wires(r_wordline=R_WIRE, r_bitline=R_WIRE, r_driver=R_WIRE, r_sense=R_WIRE)


def case(n_rows, n_cols, n_vectors):
    rng = np.random.default_rng(0)
    g = np.where(rng.random((n_rows, n_cols)) < 0.5, 1e-5, 1e-6)
    return g, 0.3 * (rng.random((n_vectors, n_rows)) < 0.5)


def median_time(function, repeats, at_least=0.0):
    """Return the median time of so many calls, or of as many as fill ``at_least`` seconds, the first not counted."""
    function()
    times = []
    while len(times) < repeats or sum(times) < at_least:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peer_currents(g, v):
    solution = badcrossbar.compute(v.T, 1 / g, r_i=R_WIRE, node_voltages=False, all_currents=False)
    return solution.currents.output


def nodal_matrix(g):
    """Return the sparse conductance matrix of all wordline, then all bitline nodes, terminals at known voltages."""
    m, n = g.shape
    wordline = np.arange(m * n).reshape(m, n)
    bitline = wordline + m * n
    pairs = [(wordline.ravel(), bitline.ravel(), g.ravel())]
    for nodes in ((wordline[:, :-1], wordline[:, 1:]), (bitline[:-1], bitline[1:])):
        pairs.append((nodes[0].ravel(), nodes[1].ravel(), np.full(nodes[0].size, 1 / R_WIRE)))
    a, b, c = (np.concatenate(part) for part in zip(*pairs))
    ends = np.concatenate([wordline[:, 0], bitline[-1]])
    rows = np.concatenate([a, b, a, b, ends])
    cols = np.concatenate([a, b, b, a, ends])
    values = np.concatenate([c, c, -c, -c, np.full(len(ends), 1 / R_WIRE)])
    return coo_array((values, (rows, cols)), shape=(2 * m * n,) * 2).tocsc()


def lu_currents(g, v):
    m, n = g.shape
    right = np.zeros((2 * m * n, len(v)))
    right[np.arange(m) * n] = v.T / R_WIRE
    return (splu(nodal_matrix(g)).solve(right)[-n:] / R_WIRE).T


def lu_ports(g):
    """Return T, Y and H from one factorization and a solve for each terminal."""
    m, n = g.shape
    right = np.zeros((2 * m * n, m + n))
    right[np.arange(m) * n, np.arange(m)] = 1 / R_WIRE
    right[np.arange(2 * m * n - n, 2 * m * n), np.arange(m, m + n)] = 1 / R_WIRE
    nodes = splu(nodal_matrix(g)).solve(right)
    first, last = nodes[np.arange(m) * n] / R_WIRE, nodes[-n:] / R_WIRE
    return last[:, :m], np.eye(n) / R_WIRE - last[:, m:], np.eye(m) / R_WIRE - first[:, :m]


def agreement(ours, theirs):
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def main():
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        if os.environ.get(name) != "1":
            sys.exit(f"set {name}=1: the comparison is of one thread with one thread")
    logging.disable(logging.INFO)
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "numba", "badcrossbar"))
    print(f"Python {platform.python_version()}, {versions}, one thread\n")
    print("| case | xbarsim | peer | ratio | largest difference |\n|---|---|---|---|---|")

    def row(label, ours, theirs, peer, repeats):
        mine, other = median_time(ours, 5, at_least=0.3), median_time(theirs, repeats)
        apart = max(agreement(a, b) for a, b in zip(ours(), theirs()))
        print(f"| {label} | {mine * 1e3:.3g} ms | {peer} {other * 1e3:.4g} ms | {other / mine:.0f} | {apart:.0e} |")

    for size, vectors in (((256, 64), 1), ((256, 64), 100), ((512, 512), 1)):
        g, v = case(*size, vectors)
        label = f"{size[0]} x {size[1]}, {vectors} vector{'s' * (vectors > 1)}"
        solve = lambda g=g, v=v: [xb.solve(xb.Crossbar(g, wires=WIRES), v).i_bitline]  # noqa: E731
        row(label, solve, lambda g=g, v=v: [peer_currents(g, v)], "badcrossbar", 3)
        if size == (256, 64):
            row(label, solve, lambda g=g, v=v: [lu_currents(g, v)], "sparse LU", 3)
    g, _ = case(256, 64, 1)

    def ports():
        model = xb.reduce(xb.Crossbar(g, wires=WIRES))
        return model.transfer, model.admittance, model.driver_admittance

    row("256 x 64, T, Y and H", ports, lambda: lu_ports(g), "sparse LU", 3)
    against_itself(g)


def against_itself(g):
    """Print how heavier circuits compare with the mild ohmic one, 256 x 64, one vector."""
    v = case(256, 64, 1)[1]
    heavy = xb.Wires(r_wordline=5, r_bitline=5, r_driver=5, r_sense=5)
    cases = {
        "mild": (g, WIRES, xb.Ohmic()),
        "LRS 5 k, HRS 1 M, 5 ohm": (np.where(g > 5e-6, 2e-4, 1e-6), heavy, xb.Ohmic()),
        "sinh cells, v_char 0.3 V": (g, WIRES, xb.Sinh(v_char=0.3)),
    }
    print("\n| 256 x 64, 1 vector | time | of the mild case | iterations |\n|---|---|---|---|")
    mild = None
    for label, (cells, wires, cell) in cases.items():
        solution = xb.solve(xb.Crossbar(cells, wires=wires, cell=cell), v)
        solve = lambda c=cells, w=wires, k=cell: xb.solve(xb.Crossbar(c, wires=w, cell=k), v)  # noqa: E731
        taken = median_time(solve, 5, at_least=0.3)
        mild = mild or taken
        print(f"| {label} | {taken * 1e3:.3g} ms | {taken / mild:.1f} | {int(solution.iterations.max())} |")


if __name__ == "__main__":
    main()
