"""The crossbar: conductances, cells and wires, the one input of every solver."""

from __future__ import annotations

from typing import Any

import numpy as np

from xbarsim.cells import Cell, Ohmic, OneTransistorOneResistor
from xbarsim.errors import ParameterError
from xbarsim.machine import check_reads
from xbarsim.plausible import SHORT, both
from xbarsim.wires import Wires

_PIECE = 1 << 20  # numbers that are looked at together


class Crossbar:
    """An array of cells between wordlines (rows, inputs) and bitlines (columns, outputs).

    Parameters
    ----------
    g : array, (n_rows, n_cols)
        Cell conductances in siemens; 0 is an open cell.
    wires : Wires, optional
        Line, driver and sense resistances; none means ideal wires.
    cell : Ohmic, Sinh, OneTransistorOneResistor, OneSelectorOneResistor or Table, optional
        The cell model.
    plausible : bool
        Whether to refuse an array most of whose cells conduct more than 1 kS: those are resistances. Files are held to
        the range of memristors, see :func:`xbarsim.read_conductances`.

    Raises
    ------
    ParameterError
        If a shape is wrong, a conductance is negative, not finite or implausible, or a read would exceed this machine's
        memory.
    """

    __slots__ = ("cell", "g", "wires")

    g: np.ndarray
    wires: Wires
    cell: Cell

    def __init__(self, g: Any, wires: Wires | None = None, cell: Cell | None = None, *, plausible: bool = True) -> None:
        if np.ndim(g) == 2:
            n_rows, n_cols = np.shape(g)
            check_reads(n_rows, n_cols)
        g = real_array(g, "g", "conductances in siemens")
        if g.ndim != 2 or g.size == 0:
            raise ParameterError(f"g has the shape {g.shape}; give conductances as (n_rows, n_cols)")
        if g.min() < 0:
            row, col = np.argwhere(g < 0)[0]
            raise ParameterError(f"g[{row}, {col}] = {g[row, col]:.6g} S: a conductance cannot be negative")
        if plausible and g.max() > SHORT and np.median(g[g > 0]) > SHORT:
            middle = float(np.median(g[g > 0]))
            raise ParameterError(
                f"g: half of the cells conduct {both(middle)} or more; give conductances in siemens, 1 / R of "
                "resistances in ohm, or plausible=False"
            )
        g.flags.writeable = False
        (wires or Wires()).check(*g.shape)
        object.__setattr__(self, "g", g)
        object.__setattr__(self, "wires", wires or Wires())
        object.__setattr__(self, "cell", cell or Ohmic())

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Crossbar is immutable; build a new one to change {name}")

    def __repr__(self) -> str:
        return f"Crossbar({self.n_rows} x {self.n_cols}, g {self.g.min():.3g}..{self.g.max():.3g} S, {self.wires!r})"

    @property
    def linear(self) -> bool:
        """Whether currents are proportional to voltages."""
        return isinstance(self.cell, Ohmic | OneTransistorOneResistor)

    @property
    def gated(self) -> bool:
        """Whether cells have transistors, gated by row."""
        return isinstance(self.cell, OneTransistorOneResistor)

    @property
    def n_rows(self) -> int:
        """Number of wordlines."""
        return int(self.g.shape[0])

    @property
    def n_cols(self) -> int:
        """Number of bitlines."""
        return int(self.g.shape[1])


def real_array(values: Any, name: str, meaning: str) -> np.ndarray:
    """Return ``values`` as contiguous float64; refuse what is not real and finite, naming it.

    In a copy, so that nobody changes them later; but an array that cannot be written to may be large and is not copied.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise TypeError
        array = (np.array if array.flags.writeable else np.asarray)(array, np.float64, order="C")
    except (TypeError, ValueError):
        raise ParameterError(f"{name} is no array of real numbers; give {meaning}") from None
    except RuntimeError:  # of a tensor with gradients, or on a GPU
        raise ParameterError(
            f"{name} is a {type(values).__name__} that is no array; give its .detach().cpu()"
        ) from None
    flat = array.reshape(-1)
    for start in range(0, flat.size, _PIECE):
        fine = np.isfinite(flat[start : start + _PIECE])
        if not fine.all():
            index = [int(k) for k in np.unravel_index(start + int(np.argmin(fine)), array.shape)]
            raise ParameterError(f"{name}{index} = {array[tuple(index)]}: give finite {meaning}")
    return array
