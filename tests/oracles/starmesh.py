"""Any crossbar solved anew: linear ones by the star-mesh rule, node by node, without a subtraction; and circuits.

Written from Kirchhoff's laws. Nodes joined by zero resistance are merged first, open connections are no branches, the
rest are conductances, none negative. Numbers may be floats, each then right to a few last digits whatever the spread,
or fractions, each then exact. Non-linear cells by Newton's method on Kirchhoff's equations in 45 digits.
"""

from fractions import Fraction
from itertools import pairwise

import mpmath as mp
import numpy as np

import xbarsim as xb


def branches(crossbar, floating_rows=(), floating_cols=(), selected=None, number=float):
    """Return ports, merged nodes and conductances of a crossbar: ({name: node}, node of each, {node: {node: S}}).

    Ports are ("driver", i), ("sense", j); others ("wordline", i, j), ("bitline", i, j).
    """
    (m, n), wires, cell = crossbar.g.shape, crossbar.wires, crossbar.cell
    r_wordline, r_bitline = np.broadcast_to(wires.r_wordline, (m, n - 1)), np.broadcast_to(wires.r_bitline, (m - 1, n))
    r_driver, r_sense = np.array(np.broadcast_to(wires.r_driver, m)), np.array(np.broadcast_to(wires.r_sense, n))
    r_driver[list(floating_rows)] = r_sense[list(floating_cols)] = np.inf
    wire, edges = [], []
    for i in range(m):
        wire.append((("driver", i), ("wordline", i, 0), r_driver[i]))
        if wires.drive_both_ends:
            wire.append((("driver", i), ("wordline", i, n - 1), r_driver[i]))
        for j in range(n):
            if j < n - 1:
                wire.append((("wordline", i, j), ("wordline", i, j + 1), r_wordline[i, j]))
            if i < m - 1:
                wire.append((("bitline", i, j), ("bitline", i + 1, j), r_bitline[i, j]))
            if crossbar.g[i, j] > 0:
                g = number(float(crossbar.g[i, j]))
                if isinstance(cell, xb.OneTransistorOneResistor):
                    on = selected is None or selected[i]
                    g = 1 / (1 / g + number(cell.r_on)) if on else g * number(cell.g_off) / (g + number(cell.g_off))
                edges.append((("wordline", i, j), ("bitline", i, j), g))
    for j in range(n):
        wire.append((("bitline", m - 1, j), ("sense", j), r_sense[j]))
        if wires.sense_both_ends:
            wire.append((("bitline", 0, j), ("sense", j), r_sense[j]))
    ports = [("driver", i) for i in range(m)] + [("sense", j) for j in range(n)]
    nodes = [(kind, i, j) for i in range(m) for kind in ("wordline", "bitline") for j in range(n)]
    of = {name: name for name in ports + nodes}

    def merged(a):
        while of[a] != a:
            a = of[a]
        return a

    for a, b, r in wire:
        if r == 0:
            kept, joined = sorted((merged(a), merged(b)), key=len)  # a port, if any, keeps its name
            of[joined] = kept
        elif r < xb.kernels.ladder.OPEN:
            edges.append((a, b, 1 / number(float(r))))
    node = {name: merged(name) for name in of}
    mesh = {name: {} for name in sorted(set(node.values()))}
    for a, b, g in ((node[a], node[b], g) for a, b, g in edges):
        if a != b:
            mesh[a][b] = mesh[a].get(b, 0) + g
            mesh[b][a] = mesh[a][b]
    return ports, node, mesh


def connected(ports, mesh):
    """Whether every node has a path to a port."""
    reached = [port for port in ports if mesh[port]]
    seen = set(reached)
    while reached:
        more = [b for b in mesh[reached.pop()] if b not in seen]
        seen.update(more)
        reached.extend(more)
    return all(name in seen for name in mesh if name not in ports)


def port_conductances(ports, mesh):
    """Eliminate every node that is no port: {port: {port: S}}."""
    mesh = {name: dict(line) for name, line in mesh.items()}
    inner = sorted((name for name in mesh if name not in set(ports)), key=lambda name: (name[1], name[0], *name[2:]))
    for e in inner:
        star = list(mesh.pop(e).items())
        total = sum(g for _, g in star)
        for a, _ in star:
            del mesh[a][e]
        for k, (a, g_a) in enumerate(star):
            share = g_a / total
            for b, g_b in star[k + 1 :]:
                mesh[a][b] = mesh[b][a] = mesh[a].get(b, 0) + share * g_b
    return mesh


def line_currents(mesh, m, n, v, v_sense):
    """Return currents out of the drivers (m,) and into the sense nodes (n,) from port conductances."""
    volts = {("driver", i): v[i] for i in range(m)} | {("sense", j): v_sense[j] for j in range(n)}
    out = {p: sum(g * (volts[p] - volts[q]) for q, g in line.items()) for p, line in mesh.items()}
    return (
        np.array([float(out[("driver", i)]) for i in range(m)]),
        np.array([-float(out[("sense", j)]) for j in range(n)]),
    )


def oracle(crossbar, v, v_sense, floating_rows=(), floating_cols=(), selected=None):
    """Return i_wordline, i_bitline; None if a node has no path to any source."""
    ports, _, mesh = branches(crossbar, floating_rows, floating_cols, selected)
    if not connected(ports, mesh):
        return None
    return line_currents(port_conductances(ports, mesh), *crossbar.g.shape, v, v_sense)


def exact_currents(crossbar, v, v_sense, floating_rows=(), floating_cols=()):
    """Line currents by nodal analysis in fractions: Gaussian elimination of Kirchhoff's equations, nothing rounded."""
    ports, _, mesh = branches(crossbar, floating_rows, floating_cols, number=Fraction)
    m, n = crossbar.g.shape
    known = {("driver", i): Fraction(float(v[i])) for i in range(m)}
    known |= {("sense", j): Fraction(float(v_sense[j])) for j in range(n)}
    inner = [name for name in mesh if name not in known]
    rows = []
    for name in inner:
        row = {b: -g for b, g in mesh[name].items() if b not in known}
        row[name] = sum(mesh[name].values())
        rows.append([row, sum(g * known[b] for b, g in mesh[name].items() if b in known)])
    for k, name in enumerate(inner):
        pivot, right = rows[k]
        for row in rows[k + 1 :]:
            if name in row[0]:
                factor = row[0].pop(name) / pivot[name]
                for b, value in pivot.items():
                    if b != name:
                        row[0][b] = row[0].get(b, 0) - factor * value
                row[1] -= factor * right
    volts = dict(known)
    for name, (row, right) in reversed(list(zip(inner, rows))):
        volts[name] = (right - sum(value * volts[b] for b, value in row.items() if b != name)) / row[name]
    out = {p: sum(g * (volts[p] - volts[b]) for b, g in mesh[p].items()) for p in ports}
    drivers, senses = [out[("driver", i)] for i in range(m)], [-out[("sense", j)] for j in range(n)]
    return np.array(drivers, float), np.array(senses, float)


def cell_law(cell):
    """Return the law of Sinh cells or of a Table with a reference: current and slope of a cell g at v."""
    if isinstance(cell, xb.Sinh):
        scale = mp.mpf(cell.v_char)
        return lambda g, v: (g * scale * mp.sinh(v / scale), g * mp.cosh(v / scale))
    points = [(mp.mpf(v), mp.mpf(i)) for v, i in zip(cell.v, cell.i)]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(points)]
    unit = dict(points)[mp.mpf(cell.v_reference)] / mp.mpf(cell.v_reference)

    def table(g, v):
        k = sum(v > point for point, _ in points[1:-1])
        return g * (points[k][1] + slopes[k] * (v - points[k][0])) / unit, g * slopes[k] / unit

    return table


@mp.workdps(45)
def nonlinear_currents(crossbar, v, v_sense, floating_rows=(), floating_cols=()):
    """Return i_wordline and i_bitline of Sinh or Table cells; None if a node has no path to any source."""
    m, n = crossbar.g.shape
    ports, node, mesh = branches(crossbar, floating_rows, floating_cols)
    if not connected(ports, mesh):
        return None
    empty, law = xb.Crossbar(np.zeros((m, n)), wires=crossbar.wires), cell_law(crossbar.cell)
    _, _, wires = branches(empty, floating_rows, floating_cols, number=mp.mpf)
    ends = [(node["wordline", i, j], node["bitline", i, j], i, j) for i, j in np.ndindex(m, n) if crossbar.g[i, j] > 0]
    cells = [(a, b, mp.mpf(float(crossbar.g[i, j]))) for a, b, i, j in ends if a != b]
    lines = [(a, b, g) for a in wires for b, g in wires[a].items() if a < b]
    volts = {("driver", i): mp.mpf(float(v[i])) for i in range(m)}
    volts |= {("sense", j): mp.mpf(float(v_sense[j])) for j in range(n)}
    at = {name: k for k, name in enumerate(name for name in mesh if name not in volts)}
    volts |= dict.fromkeys(at, mp.mpf(0))
    step = 2 * crossbar.cell.v_char if isinstance(crossbar.cell, xb.Sinh) else np.inf
    for _ in range(1000):
        stamps = [(a, b, g * (volts[a] - volts[b]), g) for a, b, g in lines]
        stamps += [(a, b, *law(g, volts[a] - volts[b])) for a, b, g in cells]
        matrix, right, out = mp.zeros(len(at)), mp.zeros(len(at), 1), dict.fromkeys(mesh, mp.mpf(0))
        for a, b, current, slope in stamps:
            for here, there, leaves in ((a, b, current), (b, a, -current)):
                out[here] += leaves
                if here in at:
                    right[at[here]] -= leaves
                    matrix[at[here], at[here]] += slope
                    if there in at:
                        matrix[at[here], at[there]] -= slope
        moves = mp.lu_solve(matrix, right) if at else []
        if max(map(abs, moves), default=0) < mp.mpf(10) ** -30:
            drivers, senses = [out["driver", i] for i in range(m)], [-out["sense", j] for j in range(n)]
            return np.array(drivers, float), np.array(senses, float)
        move = {name: moves[k] for name, k in at.items()}
        largest = max((abs(move.get(a, 0) - move.get(b, 0)) for a, b, _ in cells), default=0)
        for name in at:
            volts[name] += move[name] * (min(1, step / largest) if largest else 1)
    raise AssertionError("Newton's method of the twin does not converge")


def random_cells(rng):
    """Return cells of a random law: sinh with v_char of 10 mV to 2 V, or the curve of a table."""
    if rng.random() < 0.7:
        return xb.Sinh(v_char=float(10 ** rng.uniform(-2, 0.3)))
    v = np.cumsum(rng.uniform(0.05, 0.4, 6))
    i = np.cumsum(10 ** rng.uniform(-1, 1, 6) * np.diff(v, prepend=0))
    return xb.Table(v=tuple(v - v[2]), i=tuple(i - i[2]), v_reference=float(v[4] - v[2]))


def random_circuit(rng, largest=12):
    """A circuit of every kind: crossbar, v, v_bitline and masks of floating lines, as keyword arguments of solve().

    Cells of 1e-12 to 1 S and 0, wires of 0 and 1e-6 to 1e6 ohm, alike or each its own, single breaks, any boundary.
    """
    m, n = (int(size) for size in np.exp(rng.uniform(0, np.log(largest + 0.99), 2)))
    low, high = np.sort(rng.uniform(-12, 0, 2)) if rng.random() < 0.5 else (-12, 0)
    g = 10 ** rng.uniform(low, high, (m, n)) * (rng.random((m, n)) >= rng.choice([0.0, 0.1, 0.4]))

    def line(*shape):
        kind = rng.random()
        if kind < 0.2:
            return 0.0
        if kind < 0.6:
            return 10 ** rng.uniform(-6, 6)
        low, high = np.sort(rng.uniform(-6, 6, 2))
        r = 10 ** rng.uniform(low, high, shape) * (rng.random(shape) >= rng.choice([0.0, 0.2]))
        if r.size and rng.random() < 0.15:
            r.flat[rng.integers(r.size)] = np.inf
        return r

    wires = xb.Wires(
        r_wordline=line(m, n - 1),
        r_bitline=line(m - 1, n),
        r_driver=line(m),
        r_sense=line(n),
        drive_both_ends=bool(rng.random() < 0.3),
        sense_both_ends=bool(rng.random() < 0.3),
    )
    v = rng.uniform(-1, 1, m) if rng.random() < 0.7 else 0.3 * (rng.random(m) < 0.5)
    v_bitline = np.zeros(n) if rng.random() < 0.6 else rng.uniform(-0.3, 0.3, n)
    floating = {}
    if rng.random() < 0.35:
        floating["floating_wordlines"] = rng.random(m) < 0.3
    if rng.random() < 0.35:
        floating["floating_bitlines"] = rng.random(n) < 0.3
    return xb.Crossbar(g, wires=wires), v, v_bitline, floating


def floating_lines(floating):
    """Return the floating rows and columns of keyword arguments of solve()."""
    kinds = (floating.get(f"floating_{kind}") for kind in ("wordlines", "bitlines"))
    return tuple(() if kind is None else np.flatnonzero(kind) for kind in kinds)
