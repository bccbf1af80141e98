"""Memory reads: one cell selected, the others biased by a scheme; sneak currents, half-select voltages, read margin."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal, get_args

import numpy as np

from xbarsim.cells import Cell
from xbarsim.crossbar import Crossbar
from xbarsim.errors import ConvergenceError, NoPathError, ParameterError
from xbarsim.machine import check_reads
from xbarsim.nodal import solve
from xbarsim.plausible import SHORT
from xbarsim.solution import Solution
from xbarsim.wires import Wires

Scheme = Literal["ground", "float", "v/2", "v/3"]
_ROUNDING = 1e-14  # of the source's voltage on each cell of the sensed line


@dataclass(frozen=True, eq=False)
class MemoryRead:
    """The read of one cell.

    What the selected bitline's sense node collects, i_sensed, is split by opening the selected cell and reading again:
    i_sensed = i_selected + i_sneak. The sense node is at the lowest voltage of all sources (v_read > 0; the highest
    otherwise), so that i_sensed and i_sneak have the sign of v_read, wires or not, whatever the scheme.

    Attributes
    ----------
    i_selected : float
        What the selected cell adds to the sensed current, i_sensed - i_sneak [A]. In a linear circuit this is the
        share of the cell's own current, ``solution.i_cell[row, col]``, that reaches the sense node: all of it without
        wires; with wires some leaks from its bitline into other lines.
    i_sneak : float
        What the sense node collects with the selected cell open [A].
    v_wordline, v_bitline : array, (n_rows,), (n_cols,)
        Voltages applied to the lines [V]; nan where a line floats.
    v_half_select : float
        Largest magnitude of the voltage on any other cell of the selected wordline or bitline [V].
    margin : float
        Share of the selected cell in the sensed current, i_selected / i_sensed = 1 - i_sneak / i_sensed, from 0 to 1;
        nan if nothing above rounding is sensed, or if the cell takes from the sensed current instead of adding to it
        (weak lines can leave its bitline at a higher voltage than its wordline).
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
    v_w, v_b, masks = _biased(crossbar, row, col, v_read, scheme)
    solution, sensed, rounding = _sensed(crossbar, col, v_w, v_b, masks)
    g = crossbar.g.copy()
    g[row, col] = 0.0
    try:
        opened = Crossbar(g, wires=crossbar.wires, cell=crossbar.cell, plausible=False)
        sneak = _sensed(opened, col, v_w, v_b, masks, beside=abs(sensed))[1]
    except NoPathError:  # the cell is all that leads to some nodes: it carries nothing
        sneak = sensed
    v_cell = np.abs(solution.v_wordline - solution.v_bitline)
    other_w, other_b = np.arange(crossbar.n_rows) != row, np.arange(crossbar.n_cols) != col
    if scheme == "float":
        v_w[other_w], v_b[other_b] = np.nan, np.nan
    return MemoryRead(
        i_selected=sensed - sneak,
        i_sneak=sneak,
        v_wordline=v_w,
        v_bitline=v_b,
        v_half_select=float(max(v_cell[row, other_b].max(initial=0.0), v_cell[other_w, col].max(initial=0.0))),
        margin=_share(sensed, sneak, rounding),
        solution=solution,
    )


def _biased(
    crossbar: Crossbar, row: int, col: int, v_read: float, scheme: Scheme
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Return the voltages of wordlines and bitlines, and which lines float and rows are selected."""
    row, col = _index(row, "row"), _index(col, "col")
    if not (0 <= row < crossbar.n_rows and 0 <= col < crossbar.n_cols):
        raise ParameterError(
            f"cell ({row}, {col}): the crossbar has {crossbar.n_rows} rows and {crossbar.n_cols} columns"
        )
    if not isinstance(scheme, str) or scheme not in get_args(Scheme):
        raise ParameterError(f"scheme = {scheme!r}: give one of {', '.join(get_args(Scheme))}")
    if not (_is_number(v_read) and np.isfinite(v_read) and v_read != 0):
        raise ParameterError(f"v_read = {v_read!r}: give a finite voltage other than 0 V")
    share_w, share_b = {"ground": (0.0, 0.0), "float": (0.0, 0.0), "v/2": (0.5, 0.5), "v/3": (1 / 3, 2 / 3)}[scheme]
    v_w, v_b = np.full(crossbar.n_rows, share_w * v_read), np.full(crossbar.n_cols, share_b * v_read)
    v_w[row], v_b[col] = v_read, 0.0
    masks: dict[str, Any] = {}
    other_w, other_b = np.arange(crossbar.n_rows) != row, np.arange(crossbar.n_cols) != col
    if scheme == "float":
        masks = {"floating_wordlines": other_w, "floating_bitlines": other_b}
    if crossbar.gated:
        masks["selected"] = ~other_w
    return v_w, v_b, masks


def _sensed(
    crossbar: Crossbar, col: int, v_w: np.ndarray, v_b: np.ndarray, masks: dict[str, Any], beside: float = 0.0
) -> tuple[Solution, float, float]:
    """Return the solution, the current into the sense node of a bitline, and what of that may be rounding [A].

    A current that may be off by more than 1e-7 of itself, or of another one beside it, is found by elimination, where
    cells are linear and the array is not too large for that. A current against the voltage can but be rounding: no
    source is beyond the sense node's 0 V.
    """
    solution = solve(crossbar, v_w, v_bitline=v_b, **masks)
    sensed, highest = float(solution.i_bitline[col]), max(v_w.max(), v_w.min(), key=abs)
    rounding = _ROUNDING * float(abs(highest) * crossbar.g[:, col].sum())
    if crossbar.linear and rounding > 1e-7 * max(abs(sensed), beside):
        with suppress(ConvergenceError):
            solution = solve(crossbar, v_w, v_bitline=v_b, method="elimination", **masks)
            sensed, rounding = float(solution.i_bitline[col]), 0.0
    return solution, (sensed if sensed * highest > 0 else 0.0), rounding


def _share(sensed: float, sneak: float, rounding: float) -> float:
    """Return (sensed - sneak) / sensed; nan if nothing above rounding is sensed, or the share is below 0 and that."""
    if not abs(sensed) > rounding:
        return float("nan")
    share = 1 - sneak / sensed
    return max(share, 0.0) if share > -max(1e-9, rounding / abs(sensed)) else float("nan")


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

    The margin is (i_1 - i_0) / i_1: sensed currents with the selected cell in LRS and in HRS; from 0 to 1, or nan as
    for :attr:`MemoryRead.margin`. Worst case: every other cell is in LRS, and the selected cell is the one farthest
    from its driver and from its sense node.

    Parameters
    ----------
    sizes : sequence of int
        Wordlines, and as many bitlines.
    on_off_ratios : sequence of float
        g_lrs / g_hrs, above 1; inf for an HRS that does not conduct.
    g_lrs : float
        Conductance in LRS [S], above 0.
    wires, cell, v_read, scheme
        As in :class:`Crossbar` and :func:`read_cell`.

    Raises
    ------
    ParameterError
        If a size, ratio or conductance is out of range, or a line has no path to any source.
    """
    ratios = np.array(on_off_ratios, dtype=object).ravel()
    for k, ratio in enumerate(ratios):
        if not (_is_number(ratio) and ratio > 1):
            raise ParameterError(f"on_off_ratios[{k}] = {ratio!r}: each ratio must be above 1")
    if not (_is_number(g_lrs) and 0 < g_lrs <= SHORT):
        raise ParameterError(f"g_lrs = {g_lrs!r}: give a conductance above 0 S and up to {SHORT:g} S")
    widths = [_index(size, "sizes") for size in np.array(sizes, dtype=object).ravel()]
    if min(widths, default=1) < 1:
        raise ParameterError(f"sizes holds {min(widths)}: each array needs a wordline")
    margins = np.empty((len(widths), len(ratios)))
    for a, size in enumerate(widths):
        check_reads(size, size)
        g, far = np.full((size, size), float(g_lrs)), (0, size - 1)
        high, rounding = _read_out(g, wires, cell, far, v_read, scheme)
        for b, ratio in enumerate(ratios):
            g[far] = g_lrs / ratio
            low, _ = _read_out(g, wires, cell, far, v_read, scheme, beside=abs(high))
            margins[a, b] = _share(high, low, rounding)
    return margins


def _read_out(
    g: np.ndarray,
    wires: Wires | None,
    cell: Cell | None,
    at: tuple[int, int],
    v_read: float,
    scheme: Scheme,
    beside: float = 0.0,
) -> tuple[float, float]:
    """Return the sensed current of a read, and what of that may be rounding [A]."""
    crossbar = Crossbar(g, wires=wires, cell=cell)
    return _sensed(crossbar, at[1], *_biased(crossbar, *at, v_read, scheme), beside=beside)[1:]


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _index(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ParameterError(f"{name} = {value!r}: give a whole number")
    return int(value)
