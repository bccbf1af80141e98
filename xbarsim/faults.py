"""Cells and lines that came out wrong: stuck, open and shorted cells, broken lines, bridges between neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from xbarsim.errors import ParameterError
from xbarsim.files import read_table
from xbarsim.kernels.ladder import OPEN
from xbarsim.parameters import Parameters, beside_toml
from xbarsim.streams import stream, whole_number
from xbarsim.units import Resistance
from xbarsim.wires import Wires

HEALTHY, STUCK_LRS, STUCK_HRS, OPEN_CELL, SHORTED = range(5)

Pairs = tuple[tuple[int, int], ...]


def _places(value: Any) -> float | Pairs:
    if isinstance(value, bool):
        raise ValueError(f"{value}: give a probability, a map of 0 and 1, or a list of [row, column]")
    if isinstance(value, Real):
        if not 0 <= float(value) <= 1:
            raise ValueError(f"{value}: a probability lies in [0, 1]")
        return float(value)
    if isinstance(value, str | Path):
        value = read_table(beside_toml(value), "")
    if isinstance(value, np.ndarray):
        if value.ndim != 2 or value.dtype.kind not in "biuf" or not ((value == 0) | (value == 1)).all():
            raise ValueError(f"a map is an array (n_rows, n_cols) of 0 and 1; this one has the shape {value.shape}")
        return tuple((int(a), int(b)) for a, b in np.argwhere(value))
    try:
        return tuple((whole_number(a, "row or line"), whole_number(b, "column or position")) for a, b in value)
    except (TypeError, ValueError):
        raise ValueError("give a probability, a map of 0 and 1 (array or file), or a list of [row, column]") from None


Places = Annotated[float | Pairs, BeforeValidator(_places)]


class LineFaults(NamedTuple):
    """Faults of the lines of one array, as (line, position) pairs."""

    broken_wordlines: Pairs
    broken_bitlines: Pairs
    bridged_wordlines: Pairs
    bridged_bitlines: Pairs


class Faults(Parameters):
    """Fabrication faults of an array, each by probability (drawn once per die) or by map.

    A map is an array of 0 and 1 or a CSV file of it, or a list of pairs: [row, column] of cells, [line, position] of
    lines.

    Attributes
    ----------
    stuck_lrs, stuck_hrs, open_cells, shorted_cells : probability per cell, or map
        Cells that stay in a state whatever is written; that conduct nothing; that short their two lines.
    broken_wordlines, broken_bitlines : probability per line, or pairs
        Lines interrupted just before cell ``position`` as seen from the driver (wordlines) or just after it towards the
        sense node (bitlines); drawn uniformly. What lies beyond floats, tied to the rest by its cells.
    bridged_wordlines, bridged_bitlines : probability per pair of neighbours, or pairs
        Lines shorted to their next neighbour, beside cell ``position``.
    r_short : float
        Resistance of shorted cells and bridges [ohm].
    """

    stuck_lrs: Places = 0.0
    stuck_hrs: Places = 0.0
    open_cells: Places = 0.0
    shorted_cells: Places = 0.0
    broken_wordlines: Places = 0.0
    broken_bitlines: Places = 0.0
    bridged_wordlines: Places = 0.0
    bridged_bitlines: Places = 0.0
    r_short: Annotated[Resistance, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        total = sum(p for p in self._cells if isinstance(p, float))
        if total > 1:
            raise ValueError(f"Faults: the probabilities of cell faults add up to {total:g}; give at most 1")
        shorts = (self.shorted_cells, self.bridged_wordlines, self.bridged_bitlines)
        if self.r_short is None and any(shorts):
            raise ValueError("Faults.r_short is missing; give the resistance of shorts")
        return self

    @property
    def _cells(self) -> tuple[float | Pairs, ...]:
        return self.stuck_lrs, self.stuck_hrs, self.open_cells, self.shorted_cells

    def draw_cells(self, shape: tuple[int, int], seed: int, key: tuple[int, ...]) -> np.ndarray | None:
        """Return the fault of each cell, int8 (n_rows, n_cols), or None if there is none. Maps come before chance."""
        if not any(self._cells):
            return None
        codes = np.zeros(shape, np.int8)
        probabilities = [p if isinstance(p, float) else 0.0 for p in self._cells]
        if any(probabilities):
            u, edges = stream(seed, "cell faults", *key).random(shape), np.cumsum(probabilities)
            hit = u < edges[-1]
            codes[hit] = STUCK_LRS + np.searchsorted(edges, u[hit], side="right")
        for code, places in enumerate(self._cells, start=STUCK_LRS):
            if not isinstance(places, float):
                _check(places, shape, "cell")
                codes[tuple(np.array(places, int).reshape(-1, 2).T)] = code
        return codes

    def draw_lines(self, shape: tuple[int, int], seed: int, key: tuple[int, ...]) -> LineFaults | None:
        """Return the line faults of an array, or None if there is none."""
        n_rows, n_cols = shape
        kinds = (
            ("broken_wordlines", n_rows, n_cols),
            ("broken_bitlines", n_cols, n_rows),
            ("bridged_wordlines", n_rows - 1, n_cols),
            ("bridged_bitlines", n_cols - 1, n_rows),
        )
        if not any(getattr(self, name) for name, *_ in kinds):
            return None
        found, draws = [], stream(seed, "line faults", *key)
        for name, lines, positions in kinds:
            chance, place = draws.random((2, lines))  # whether or not they are used: kinds do not depend on each other
            places = getattr(self, name)
            if isinstance(places, float):
                hit = np.flatnonzero(chance < places)
                places = tuple((int(line), int(place[line] * positions)) for line in hit)
            _check(places, (lines, positions), name)
            found.append(places)
        return LineFaults(*found) if any(found) else None


def _check(places: Sequence[tuple[int, int]], shape: tuple[int, int], name: str) -> None:
    for a, b in places:
        if a >= shape[0] or b >= shape[1]:
            raise ParameterError(
                f"Faults: {name} [{a}, {b}] does not exist in this array; give pairs below [{shape[0]}, {shape[1]}]"
            )


def broken(wires: Wires, lines: LineFaults, n_rows: int, n_cols: int) -> Wires:
    """Return wires with interrupted segments or ends."""
    wordline, bitline, driver, sense = (array.copy() for array in _every(wires, n_rows, n_cols))
    for line, at in lines.broken_wordlines:
        if at == 0:
            driver[line] = OPEN
        else:
            wordline[line, at - 1] = OPEN
    for line, at in lines.broken_bitlines:
        if at == n_rows - 1:
            sense[line] = OPEN
        else:
            bitline[at, line] = OPEN
    return wires.replace(r_wordline=wordline, r_bitline=bitline, r_driver=driver, r_sense=sense)


def bridged(
    g: np.ndarray, wires: Wires, lines: LineFaults, r_short: float
) -> tuple[np.ndarray, Wires, np.ndarray, np.ndarray]:
    """Add bridges to a crossbar, each as a floating line more that two cells tie to the neighbours.

    A bridge of two bitlines beside row i is a wordline without a driver, joined to nothing but them: two cells of
    2 / r_short. It takes no length of its own: segments to the row above it are 0 ohm.

    Returns
    -------
    g, wires
        The larger crossbar.
    rows, cols : int arrays, (n_rows,) and (n_cols,)
        Where its true wordlines and bitlines are.
    """
    wordline, bitline, driver, sense = _every(wires, *g.shape)
    segments, ends, true = [wordline, bitline], [driver, sense], (np.arange(g.shape[0]), np.arange(g.shape[1]))
    for axis, bridges in ((0, lines.bridged_bitlines), (1, lines.bridged_wordlines)):
        across, along = true[axis], true[1 - axis]
        for line, at in bridges:
            new, pair = int(across[at]) + 1, np.zeros(g.shape[1 - axis])
            pair[along[[line, line + 1]]] = 2 / r_short
            g, ends[axis] = np.insert(g, new, pair, axis), np.insert(ends[axis], new, OPEN)
            segments[axis] = np.insert(segments[axis], new, 0.0, axis)
            segments[1 - axis] = np.insert(segments[1 - axis], new - 1, 0.0, axis)
            across[at + 1 :] += 1
    larger = wires.replace(r_wordline=segments[0], r_bitline=segments[1], r_driver=ends[0], r_sense=ends[1])
    return g, larger, *true


def _every(wires: Wires, n_rows: int, n_cols: int) -> list[np.ndarray]:
    wordline, bitline, driver, sense = wires.arrays(n_rows, n_cols)
    segments = np.broadcast_to(wordline, (n_rows, n_cols - 1)), np.broadcast_to(bitline, (n_rows - 1, n_cols))
    return [*segments, driver, sense]
