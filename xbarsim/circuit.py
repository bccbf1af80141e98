"""The crossbar as kernels see it: conductances, line resistances with their ends, ladders; what is connected."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xbarsim.cells import Cell, OneSelectorOneResistor, OneTransistorOneResistor, Sinh, Table
from xbarsim.crossbar import Crossbar
from xbarsim.errors import NoPathError, ParameterError
from xbarsim.kernels.cells import OHMIC, SELECTOR, SINH, TABLE
from xbarsim.kernels.ladder import OPEN


class Resistances(NamedTuple):
    """Wire segments and line ends [ohm]; an open connection is ``OPEN``."""

    wordline: np.ndarray  # (n_rows, n_cols - 1), or one row for all
    bitline: np.ndarray  # (n_rows - 1, n_cols), or one row for all
    near_wordline: np.ndarray  # (n_rows,), at column 0
    far_wordline: np.ndarray  # (n_rows,), after the last column
    near_bitline: np.ndarray  # (n_cols,), after the last row
    far_bitline: np.ndarray  # (n_cols,), before row 0


def resistances(
    crossbar: Crossbar, floating_wordlines: Any = None, floating_bitlines: Any = None, selected: Any = None
) -> Resistances:
    """Return the resistances of a crossbar with some lines floating, open at both ends; ``selected`` gates 1T1R rows.

    Raises
    ------
    ParameterError
        If a mask has the wrong shape.
    NoPathError
        If a node has no path to any source.
    """
    wires = crossbar.wires
    wordline, bitline, driver, sense = wires.arrays(crossbar.n_rows, crossbar.n_cols)
    floating = floating_wordlines is not None or floating_bitlines is not None
    if floating:
        driver = np.where(mask(floating_wordlines, "floating_wordlines", crossbar.n_rows), OPEN, driver)
        sense = np.where(mask(floating_bitlines, "floating_bitlines", crossbar.n_cols), OPEN, sense)
    far_driver = driver if wires.drive_both_ends else np.full(crossbar.n_rows, OPEN)
    far_sense = sense if wires.sense_both_ends else np.full(crossbar.n_cols, OPEN)
    parts = Resistances(wordline, bitline, driver, far_driver, sense, far_sense)
    if wires.broken or floating:
        parts = Resistances(*(np.minimum(part, OPEN) for part in parts))
        _check_paths(conductances(crossbar, selected), parts)
    return Resistances(*map(fixed, parts))


def fixed(array: np.ndarray) -> np.ndarray:
    """Return a view that cannot be written to: kernels are compiled anew for arrays that can, and that cannot."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def every_segment(r: Resistances, n_rows: int, n_cols: int) -> Resistances:
    """Return the resistances with an entry for every segment."""
    segments = np.broadcast_to(r.wordline, (n_rows, n_cols - 1)), np.broadcast_to(r.bitline, (n_rows - 1, n_cols))
    return Resistances(*map(fixed, (*segments, *r[2:])))


def exchanged(r: Resistances) -> Resistances:
    """Return the resistances, every segment given, of the same circuit with wordlines and bitlines exchanged.

    Both are counted from their other ends, so that near ends are again at column 0 and after the last row.
    """
    turned = (r.bitline[::-1, ::-1].T, r.wordline[::-1, ::-1].T)
    ends = (r.near_bitline, r.far_bitline, r.near_wordline, r.far_wordline)
    return Resistances(*map(fixed, (*turned, *(end[::-1] for end in ends))))


def mask(values: Any, name: str, length: int) -> np.ndarray:
    """Return a boolean mask (length,); None means nowhere."""
    if values is None:
        return np.zeros(length, bool)
    array = np.asarray(values)
    if array.shape != (length,) or array.dtype != bool:
        raise ParameterError(f"{name} has the shape {array.shape} and type {array.dtype}; give ({length},) booleans")
    return array


def conductances(crossbar: Crossbar, selected: Any = None) -> np.ndarray:
    """Return what the cells conduct at small voltages, (n_rows, n_cols) [S]; 1T1R cells with their transistors.

    ``selected`` (n_rows,) tells the rows whose transistors are on; None means all.
    """
    g, cell = crossbar.g, crossbar.cell
    if not isinstance(cell, OneTransistorOneResistor):
        if selected is not None:
            raise ParameterError(f"selected is given, but cells are {type(cell).__name__}; only 1T1R cells have gates")
        return fixed(g * cell.zero_bias if isinstance(cell, Sinh | Table) and cell.v_reference is not None else g)
    on = np.ones(crossbar.n_rows, bool) if selected is None else mask(selected, "selected", crossbar.n_rows)
    leak = g * cell.g_off / np.maximum(g + cell.g_off, np.finfo(float).tiny)
    return fixed(np.where(on[:, None], g / (1 + g * cell.r_on), leak))


def cell_law(cell: Cell) -> tuple[int, np.ndarray]:
    """Return the number of a cell's law and its parameters (2, k), as kernels take them."""
    if isinstance(cell, Sinh):
        return SINH, np.array([[cell.v_char], [0.0]])
    if isinstance(cell, OneSelectorOneResistor):
        return SELECTOR, np.array([[cell.i_selector], [cell.v_selector]])
    if isinstance(cell, Table):
        return TABLE, np.array(cell.normalized())
    return OHMIC, np.zeros((2, 1))


def wire_conductances(r: Resistances) -> tuple[np.ndarray, ...]:
    """Return the conductances [S] of all segments and ends, inf where nodes are joined."""
    with np.errstate(divide="ignore"):
        return tuple(1.0 / part for part in r)


def _check_paths(g: np.ndarray, r: Resistances) -> None:
    """Raise an error that names the line of a node without a path to any source."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    m, n = g.shape
    r = every_segment(r, m, n)
    wordline = np.arange(m * n).reshape(m, n)
    bitline = wordline + m * n
    ground = 2 * m * n
    pairs = [
        (wordline[g > 0], bitline[g > 0]),
        (wordline[:, :-1][r.wordline < OPEN], wordline[:, 1:][r.wordline < OPEN]),
        (bitline[:-1][r.bitline < OPEN], bitline[1:][r.bitline < OPEN]),
    ]
    ends = (
        (wordline[:, 0], r.near_wordline),
        (wordline[:, -1], r.far_wordline),
        (bitline[-1], r.near_bitline),
        (bitline[0], r.far_bitline),
    )
    pairs += [(nodes[end < OPEN], np.full(np.count_nonzero(end < OPEN), ground)) for nodes, end in ends]
    a, b = (np.concatenate(part) for part in zip(*pairs))
    graph = coo_array((np.ones(len(a)), (a, b)), shape=(ground + 1, ground + 1))
    _, label = connected_components(graph, directed=False)
    lost = np.flatnonzero(label[:-1] != label[-1])
    if len(lost):
        kind, node = ("wordline", lost[0]) if lost[0] < m * n else ("bitline", lost[0] - m * n)
        row, col = divmod(int(node), n)
        line = row if kind == "wordline" else col
        raise NoPathError(
            f"{kind} {line} has no path to any source at row {row}, column {col}; "
            "connect its driver or sense node, or a cell that conducts"
        )
