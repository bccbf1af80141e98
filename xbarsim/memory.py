"""Memory reads: one cell selected, the others biased by a scheme; sneak currents, half-select voltages, read margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from xbarsim.cells import Cell
from xbarsim.crossbar import Crossbar
from xbarsim.errors import ParameterError
from xbarsim.nodal import solve
from xbarsim.solution import Solution
from xbarsim.wires import Wires

Scheme = Literal["ground", "float", "v/2", "v/3"]


@dataclass(frozen=True, eq=False)
class MemoryRead:
    """The read of one cell.

    Attributes
    ----------
    i_selected : float
        Current of the selected cell [A].
    i_sneak : float
        What else the selected bitline's sense node collects [A].
    v_wordline, v_bitline : array, (n_rows,), (n_cols,)
        Voltages applied to the lines [V]; nan where a line floats.
    v_half_select : float
        Largest magnitude of the voltage on any other cell of the selected wordline or bitline [V].
    margin : float
        Share of the selected cell in the sensed current: i_selected / (i_selected + i_sneak).
    solution : Solution
        The solved circuit.
    """

    i_selected: float
    i_sneak: float
    v_wordline: np.ndarray
    v_bitline: np.ndarray
    v_half_select: float
    margin: float
    solution: Solution


def read_cell(crossbar: Crossbar, row: int, col: int, v_read: float = 0.3, scheme: Scheme = "ground") -> MemoryRead:
    """Read one cell: its wordline at ``v_read``, its bitline sensed at 0 V, the other lines by ``scheme``.

    ==========  ===================  ==================
    scheme      other wordlines      other bitlines
    ==========  ===================  ==================
    ground      0 V                  0 V
    float       open                 open
    v/2         v_read / 2           v_read / 2
    v/3         v_read / 3           2 v_read / 3
    ==========  ===================  ==================

    1T1R cells are selected by their row.

    Parameters
    ----------
    crossbar : Crossbar
    row, col : int
        The selected cell.
    v_read : float
        Read voltage [V].
    scheme : {"ground", "float", "v/2", "v/3"}
        Bias of the other lines (for the half-bias schemes: Y. Chen, X. Wang, NANOARCH 2009).

    Raises
    ------
    ParameterError
        If there is no such cell or scheme.
    """
    if not (0 <= row < crossbar.n_rows and 0 <= col < crossbar.n_cols):
        raise ParameterError(
            f"cell ({row}, {col}): the crossbar has {crossbar.n_rows} rows and {crossbar.n_cols} columns"
        )
    if scheme not in get_args(Scheme):
        raise ParameterError(f"scheme = {scheme!r}: give one of {', '.join(get_args(Scheme))}")
    if not (np.isfinite(v_read) and v_read != 0):
        raise ParameterError(f"v_read = {v_read}: give a finite voltage other than 0 V")
    share_w, share_b = {"ground": (0.0, 0.0), "float": (0.0, 0.0), "v/2": (0.5, 0.5), "v/3": (1 / 3, 2 / 3)}[scheme]
    v_w, v_b = np.full(crossbar.n_rows, share_w * v_read), np.full(crossbar.n_cols, share_b * v_read)
    v_w[row], v_b[col] = v_read, 0.0
    masks: dict[str, Any] = {}
    other_w, other_b = np.arange(crossbar.n_rows) != row, np.arange(crossbar.n_cols) != col
    if scheme == "float":
        masks = {"floating_wordlines": other_w, "floating_bitlines": other_b}
    if crossbar.gated:
        masks["selected"] = ~other_w
    solution = solve(crossbar, v_w, v_bitline=v_b, **masks)
    v_cell = np.abs(solution.v_wordline - solution.v_bitline)
    selected, sensed = float(solution.i_cell[row, col]), float(solution.i_bitline[col])
    if scheme == "float":
        v_w[other_w], v_b[other_b] = np.nan, np.nan
    return MemoryRead(
        i_selected=selected,
        i_sneak=sensed - selected,
        v_wordline=v_w,
        v_bitline=v_b,
        v_half_select=float(max(v_cell[row, other_b].max(initial=0.0), v_cell[other_w, col].max(initial=0.0))),
        margin=selected / sensed,
        solution=solution,
    )


def read_margin(
    sizes: Sequence[int],
    on_off_ratios: Sequence[float],
    *,
    g_lrs: float,
    wires: Wires | None = None,
    cell: Cell | None = None,
    v_read: float = 0.3,
    scheme: Scheme = "ground",
) -> np.ndarray:
    """Return the worst-case read margin of square arrays, (len(sizes), len(on_off_ratios)).

    The margin is (i_1 - i_0) / i_1: sensed currents with the selected cell in LRS and in HRS. Worst case: every other
    cell is in LRS, and the selected cell is the one farthest from its driver and from its sense node.

    Parameters
    ----------
    sizes : sequence of int
        Wordlines, and as many bitlines.
    on_off_ratios : sequence of float
        g_lrs / g_hrs, above 1.
    g_lrs : float
        Conductance in LRS [S].
    wires, cell, v_read, scheme
        As in :class:`Crossbar` and :func:`read_cell`.
    """
    if min(on_off_ratios, default=2.0) <= 1:
        raise ParameterError(f"on_off_ratios holds {min(on_off_ratios)}: each ratio must be above 1")
    margins = np.empty((len(sizes), len(on_off_ratios)))
    for a, size in enumerate(sizes):
        g = np.full((size, size), g_lrs)
        far = (0, size - 1)
        high = _sensed(g, wires, cell, far, v_read, scheme)
        for b, ratio in enumerate(on_off_ratios):
            g[far] = g_lrs / ratio
            margins[a, b] = 1 - _sensed(g, wires, cell, far, v_read, scheme) / high
    return margins


def _sensed(
    g: np.ndarray, wires: Wires | None, cell: Cell | None, at: tuple[int, int], v_read: float, scheme: Scheme
) -> float:
    read = read_cell(Crossbar(g, wires=wires, cell=cell), *at, v_read=v_read, scheme=scheme)
    return read.i_selected + read.i_sneak
