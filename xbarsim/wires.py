"""Resistances of lines and of their ends."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, ConfigDict

from xbarsim.errors import ParameterError
from xbarsim.kernels.ladder import OPEN
from xbarsim.parameters import Parameters
from xbarsim.units import format_quantity, parse_quantity


def _resistance(value: Any) -> float | np.ndarray:
    if isinstance(value, int | float | str):
        value = parse_quantity(value, "Ohm")
    try:
        array = np.array(value)
    except (TypeError, ValueError):
        array = np.array(None)
    if array.dtype.kind not in "iuf":  # texts and truth values would become numbers
        raise ValueError("give a resistance in ohm, or an array of them")
    array = array.astype(np.float64)
    if np.isnan(array).any() or (array < 0).any():
        raise ValueError(f"{value!r}: a resistance is 0 or more; give ohm, or inf for an open connection")
    if array.ndim == 0:
        return float(array)
    array.flags.writeable = False
    return array


LineResistance = Annotated[float | np.ndarray, BeforeValidator(_resistance)]


class Wires(Parameters):
    """Wire, driver and sense resistances in ohm; 0 joins its two nodes, 1e30 or more (inf) is a broken connection.

    Wordline i is driven at column 0, bitline j is sensed after the last row::

        driver i --r_driver-- (i,0) --r_wordline-- (i,1) -- ... -- (i,n-1)
        (0,j) --r_bitline-- (1,j) -- ... -- (m-1,j) --r_sense-- sense node j

    Attributes
    ----------
    r_wordline : float or array (n_rows, n_cols - 1)
        Each segment of wire between neighbouring cells of a wordline.
    r_bitline : float or array (n_rows - 1, n_cols)
        Each segment of wire between neighbouring cells of a bitline.
    r_driver : float or array (n_rows,)
        Everything between the ideal source and the first cell of a wordline.
    r_sense : float or array (n_cols,)
        Everything between the last cell of a bitline and its sense node.
    drive_both_ends, sense_both_ends : bool
        Whether the same driver (sense node), through the same resistance, is also at the other end of each line.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    r_wordline: LineResistance = 0.0
    r_bitline: LineResistance = 0.0
    r_driver: LineResistance = 0.0
    r_sense: LineResistance = 0.0
    drive_both_ends: bool = False
    sense_both_ends: bool = False

    def check(self, n_rows: int, n_cols: int) -> None:
        """Raise :class:`ParameterError` if an array does not have the shape that a crossbar of this size needs."""
        for name, shape in _shapes(n_rows, n_cols):
            value = getattr(self, name)
            if not isinstance(value, float) and value.shape != shape:
                raise ParameterError(
                    f"Wires.{name} has the shape {value.shape}; this crossbar needs {shape} or a number"
                )

    @property
    def broken(self) -> bool:
        """Whether any connection is open."""
        values = (self.r_wordline, self.r_bitline, self.r_driver, self.r_sense)
        return any(value >= OPEN if isinstance(value, float) else bool((value >= OPEN).any()) for value in values)

    def summary(self) -> str:
        """Say in one line what the wires are: "wires: r_wordline 2 Ohm, r_driver 1 kOhm", or that they are ideal."""
        parts, texts = [], []
        for name in ("r_wordline", "r_bitline", "r_driver", "r_sense"):
            value = getattr(self, name)
            low, high = (np.min(value), np.max(value)) if np.size(value) else (0.0, 0.0)
            if high > 0:
                texts.append(" to ".join(dict.fromkeys(format_quantity(float(end), "Ohm") for end in (low, high))))
                parts.append(f"{name} {texts[-1]}")
        if len(texts) == 4 and len(set(texts)) == 1:
            parts = [f"{texts[0]} each"]
        parts += [name.replace("_", " ") for name in ("drive_both_ends", "sense_both_ends") if getattr(self, name)]
        return f"wires: {', '.join(parts)}" if texts else "wires: 0 Ohm (ideal)"

    def arrays(self, n_rows: int, n_cols: int) -> list[np.ndarray]:
        """Return r_wordline, r_bitline, r_driver and r_sense as arrays for a crossbar that they fit.

        Segments of one resistance everywhere come as one row, which kernels read for every row.
        """
        arrays = []
        for name, shape in _shapes(n_rows, n_cols):
            value = getattr(self, name)
            if isinstance(value, float):
                value = np.full((1, shape[1]) if len(shape) == 2 else shape, value)
            arrays.append(value)
        return arrays


def _shapes(n_rows: int, n_cols: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
    segments = ("r_wordline", (n_rows, n_cols - 1)), ("r_bitline", (n_rows - 1, n_cols))
    return *segments, ("r_driver", (n_rows,)), ("r_sense", (n_cols,))
