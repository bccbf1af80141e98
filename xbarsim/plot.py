"""Pictures of a solved read: node voltages, IR drop and cell currents as maps of the array, drawn on a given axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from xbarsim.errors import ParameterError
from xbarsim.solution import Solution

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def node_voltages(
    solution: Solution, line: Literal["wordline", "bitline"] = "wordline", ax: Axes | None = None
) -> Axes:
    """Draw the node voltages of all wordlines or bitlines; one read only. Returns the axis."""
    if line not in ("wordline", "bitline"):
        raise ParameterError(f"line = {line!r}: give 'wordline' or 'bitline'")
    nodes = solution.v_wordline if line == "wordline" else solution.v_bitline
    return _map(solution, 1e3 * nodes, f"{line} node voltage [mV]", ax)


def ir_drop(solution: Solution, ax: Axes | None = None) -> Axes:
    """Draw how much of the voltage between driver and sense node each cell lacks [mV]; one read only."""
    ideal = solution.v_driver[..., :, None] - solution.v_sense[..., None, :]
    lost = np.abs(ideal) - np.abs(solution.v_wordline - solution.v_bitline)
    return _map(solution, 1e3 * lost, "voltage lost before the cell [mV]", ax)


def cell_currents(solution: Solution, ax: Axes | None = None) -> Axes:
    """Draw the current of each cell [uA]; one read only."""
    return _map(solution, 1e6 * solution.i_cell, "cell current [uA]", ax)


def overview(solution: Solution) -> Figure:
    """Return a figure with wordline and bitline voltages, IR drop and cell currents of one read."""
    import matplotlib.pyplot as plt

    figure: Figure
    figure, axes = plt.subplots(2, 2, figsize=(9, 8), layout="constrained")
    node_voltages(solution, "wordline", axes[0, 0])
    node_voltages(solution, "bitline", axes[0, 1])
    ir_drop(solution, axes[1, 0])
    cell_currents(solution, axes[1, 1])
    return figure


def _map(solution: Solution, values: np.ndarray, label: str, ax: Axes | None) -> Axes:
    import matplotlib.pyplot as plt

    if values.ndim != 2:
        raise ParameterError(f"the solution holds {solution.residual.size} reads; draw one, solve one voltage vector")
    axis: Axes = plt.subplots(layout="constrained")[1] if ax is None else ax
    image = axis.imshow(values, aspect="auto", interpolation="nearest")
    axis.set(xlabel="bitline (driven at column 0)", ylabel="wordline (sensed below the last)")
    axis.figure.colorbar(image, ax=axis, label=label)
    return axis
