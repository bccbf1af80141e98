"""A crossbar as an ngspice netlist, and the comparison of a solve with ngspice."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarsim.cells import Ohmic, OneSelectorOneResistor, OneTransistorOneResistor, Sinh, Table
from xbarsim.circuit import conductances, every_segment, mask, resistances
from xbarsim.crossbar import Crossbar, real_array
from xbarsim.errors import FileError, ParameterError
from xbarsim.kernels.ladder import OPEN
from xbarsim.nodal import solve

_OPTIONS = ".options reltol=1e-12 abstol=1e-18 vntol=1e-14 gmin=1e-20 itl1=2000 itl2=2000"
_FAR = 1e3  # volts at which the straight ends of a measured curve end in a netlist


@dataclass(frozen=True, eq=False)
class SpiceRun:
    """What ngspice found.

    Attributes
    ----------
    i_bitline : array, (n_cols,)
        Currents into the sense nodes [A].
    i_wordline : array, (n_rows,)
        Currents out of the drivers [A].
    """

    i_bitline: np.ndarray
    i_wordline: np.ndarray


def to_spice(
    crossbar: Crossbar,
    v_wordline: Any,
    *,
    v_bitline: Any = 0.0,
    floating_wordlines: Any = None,
    floating_bitlines: Any = None,
    selected: Any = None,
) -> str:
    """Write one read of a crossbar as a netlist that ngspice runs unchanged: ``ngspice -b file``.

    Nodes are w<row>_<col>, b<row>_<col>, drivers d<row> and sense nodes s<col>; nodes joined by zero resistance carry
    one name. It prints the currents of all sources: i(vd<row>) is minus the current out of a driver, i(vs<col>) the
    current into a sense node.

    Parameters
    ----------
    crossbar : Crossbar
    v_wordline : array, (n_rows,)
        Driver voltages [V].
    v_bitline, floating_wordlines, floating_bitlines, selected
        As in :func:`xbarsim.solve`.

    Returns
    -------
    str
    """
    v = real_array(v_wordline, "v_wordline", "voltages in volts")
    if v.shape != (crossbar.n_rows,):
        raise ParameterError(f"v_wordline has the shape {v.shape}; a netlist is one read, give ({crossbar.n_rows},)")
    v_end = np.broadcast_to(real_array(v_bitline, "v_bitline", "voltages in volts"), crossbar.n_cols)
    wires = list(_wires(crossbar, floating_wordlines, floating_bitlines, selected))
    name = _merge(wires)
    lines = [f"* crossbar {crossbar.n_rows} x {crossbar.n_cols}", _OPTIONS]
    lines += [f"vd{i} {name(f'd{i}')} 0 dc {value!r}" for i, value in enumerate(v.tolist())]
    lines += [f"vs{j} {name(f's{j}')} 0 dc {value!r}" for j, value in enumerate(v_end.tolist())]
    for k, (a, b, r) in enumerate(wires):
        if 0 < r < OPEN:
            lines.append(f"rw{k} {name(a)} {name(b)} {r!r}")
    on = np.ones(crossbar.n_rows, bool) if selected is None else mask(selected, "selected", crossbar.n_rows)
    # 1T1R cells are written with their transistor, the others at small voltages, as the kernels take them
    g = crossbar.g if crossbar.gated else conductances(crossbar)
    for i, j in np.argwhere(crossbar.g > 0).tolist():
        ends = name(f"w{i}_{j}"), name(f"b{i}_{j}")
        lines += _cell(crossbar, float(g[i, j]), f"{i}_{j}", *ends, bool(on[i]))
    sources = [f"vd{i}" for i in range(crossbar.n_rows)] + [f"vs{j}" for j in range(crossbar.n_cols)]
    lines += [".control", "set numdgt=16", "op", *(f"print i({s})" for s in sources), "quit", ".endc", ".end"]
    return "\n".join(lines) + "\n"


def run_ngspice(netlist: str, timeout: float = 600.0) -> SpiceRun:
    """Run a netlist of :func:`to_spice` in ngspice.

    Raises
    ------
    FileError
        If ngspice is not installed, fails, takes longer than ``timeout`` seconds, or leaves out a current.
    """
    if shutil.which("ngspice") is None:
        raise FileError("ngspice: no such program; install the Debian package ngspice")
    try:
        done = subprocess.run(
            ["ngspice", "-b"], input=netlist.encode(), capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise FileError(
            f"ngspice took longer than {timeout:g} s; give a smaller crossbar or a longer timeout"
        ) from None
    said, wrong = (part.decode(errors="replace") for part in (done.stdout, done.stderr))
    found = dict(re.findall(r"^i\((v[ds]\d+)\) = ([-+.\de]+)$", said, re.MULTILINE))
    sources = re.findall(r"^(v([ds])\d+) ", netlist, re.MULTILINE)
    try:
        currents = {kind: np.array([float(found[name]) for name, its in sources if its == kind]) for kind in "ds"}
    except (LookupError, ValueError):
        currents = {}
    if done.returncode or not sources or not currents:
        reason = (wrong.strip() or said.strip() or "no output").splitlines()[-1][:100]
        raise FileError(f"ngspice found no solution ({reason}); check the netlist")
    return SpiceRun(i_bitline=currents["s"], i_wordline=-currents["d"])


def verify(crossbar: Crossbar, v_wordline: Any, **boundary: Any) -> float:
    """Solve a read with xbarsim and with ngspice; return the largest deviation relative to the largest current.

    ``boundary`` are the other arguments of :func:`to_spice`.
    """
    ours, theirs = solve(crossbar, v_wordline, **boundary), run_ngspice(to_spice(crossbar, v_wordline, **boundary))
    pairs = ((ours.i_bitline, theirs.i_bitline), (ours.i_wordline, theirs.i_wordline))
    largest = max(np.abs(currents).max() for _, currents in pairs)
    return float(max(np.abs(a - b).max() for a, b in pairs) / largest) if largest > 0 else 0.0


def _wires(
    crossbar: Crossbar, floating_wordlines: Any, floating_bitlines: Any, selected: Any
) -> Iterator[tuple[str, str, float]]:
    """Yield (node, node, resistance) of every segment and line end; an open one has ``OPEN``."""
    m, n = crossbar.n_rows, crossbar.n_cols
    r = every_segment(resistances(crossbar, floating_wordlines, floating_bitlines, selected), m, n)
    for i in range(m):
        yield f"d{i}", f"w{i}_0", float(r.near_wordline[i])
        yield f"w{i}_{n - 1}", f"d{i}", float(r.far_wordline[i])
        for j in range(n - 1):
            yield f"w{i}_{j}", f"w{i}_{j + 1}", float(r.wordline[i, j])
    for j in range(n):
        yield f"b{m - 1}_{j}", f"s{j}", float(r.near_bitline[j])
        yield f"b0_{j}", f"s{j}", float(r.far_bitline[j])
        for i in range(m - 1):
            yield f"b{i}_{j}", f"b{i + 1}_{j}", float(r.bitline[i, j])


def _merge(wires: list[tuple[str, str, float]]) -> Any:
    """Return the function from a node to the one name of all nodes that zero resistance joins to it."""
    parent: dict[str, str] = {}

    def name(node: str) -> str:
        while node in parent:
            node = parent[node]
        return node

    for a, b, r in wires:
        first, second = name(a), name(b)
        if r == 0 and first != second:
            keep, drop = (first, second) if first[0] in "ds" else (second, first)
            parent[drop] = keep
    return name


def _cell(crossbar: Crossbar, g: float, label: str, a: str, b: str, on: bool) -> list[str]:
    """Return the elements of one cell between nodes a and b."""
    cell, across, inner = crossbar.cell, f"v({a},{b})", f"c{label}"
    match cell:
        case Ohmic():
            return [f"rc{label} {a} {b} {1 / g!r}"]
        case Sinh(v_char=scale):
            return [f"bc{label} {a} {b} i={g * scale!r}*sinh({across}/{scale!r})"]
        case OneTransistorOneResistor(r_on=r_on, g_off=g_off):
            series = r_on if on else (1 / g_off if g_off > 0 else OPEN)
            return [f"rc{label} {a} {b} {1 / g + series!r}"] if series < OPEN else []
        case OneSelectorOneResistor(i_selector=current, v_selector=scale):
            return [
                f"rc{label} {a} {inner} {1 / g!r}",
                f"bc{label} {inner} {b} i={current!r}*sinh(v({inner},{b})/{scale!r})",
            ]
        case Table():
            v, h = cell.normalized()
            first, last = (h[1] - h[0]) / (v[1] - v[0]), (h[-1] - h[-2]) / (v[-1] - v[-2])
            points = [(-_FAR, h[0] - first * (_FAR + v[0])), *zip(v, h), (_FAR, h[-1] + last * (_FAR - v[-1]))]
            listed = ", ".join(f"{float(x)!r}, {g * float(y)!r}" for x, y in points)
            return [f"bc{label} {a} {b} i=pwl({across}, {listed})"]
