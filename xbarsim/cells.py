"""Cell models: the current of a cell as a function of its voltage v and of its programmed conductance g."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from xbarsim.curves import Branch, measured, monotone
from xbarsim.errors import ParameterError
from xbarsim.parameters import Parameters
from xbarsim.plausible import RANGE, both, implausible
from xbarsim.units import ConductanceOrZero, Current, Resistance, Volt, Voltage

_MOST_V_CHAR = 50.0  # at a reference of so many v_char, the conductance at zero bias is 2e-20 of the one given


class Ohmic(Parameters):
    """A linear cell, i = g v."""


class Sinh(Parameters):
    """A cell that conducts by hopping or tunnelling: i = g0 v_char sinh(v / v_char), g0 its conductance at zero bias.

    Attributes
    ----------
    v_char : float
        Voltage scale of the non-linearity [V].
    v_reference : float, optional
        Voltage at which conductances are given, g = i / v there [V]; at zero bias without it.
    """

    v_char: Voltage
    v_reference: Voltage | None = None

    @model_validator(mode="after")
    def _within_law(self) -> Self:
        if self.v_reference is not None and self.v_reference > _MOST_V_CHAR * self.v_char:
            raise ValueError(
                f"Sinh.v_reference = {self.v_reference:g} V: give at most {_MOST_V_CHAR:g} v_char, "
                f"{_MOST_V_CHAR * self.v_char:g} V"
            )
        return self

    @property
    def zero_bias(self) -> float:
        """Conductance at zero bias over the one at ``v_reference``."""
        if self.v_reference is None:
            return 1.0
        a = self.v_reference / self.v_char
        return float(a / np.sinh(a)) if a > 1e-8 else 1.0  # and 0 / 0 where a is too small a number


class OneTransistorOneResistor(Parameters):
    """A memristor g in series with a transistor whose gate runs along the wordline.

    Attributes
    ----------
    r_on : float
        Channel resistance on selected rows [ohm].
    g_off : float
        Channel leakage conductance on the other rows [S].
    """

    r_on: Resistance
    g_off: ConductanceOrZero = 0.0


class OneSelectorOneResistor(Parameters):
    """A memristor g in series with a bipolar exponential selector, i = i_selector sinh(v_s / v_selector).

    Attributes
    ----------
    i_selector : float
        Current scale [A].
    v_selector : float
        Voltage scale [V]; a slope of S volts per decade is v_selector = S / ln 10.
    """

    i_selector: Current
    v_selector: Voltage


class Table(Parameters):
    """A measured I-V curve, i = g h(v): h is the measured current, linear between points, over a conductance.

    That conductance is i / v of the curve at ``v_reference``. Without it, it is the slope at 0 V, which of a measured
    curve is mostly noise and depends on the spacing of its points: give the read voltage.

    Attributes
    ----------
    v, i : tuple of float
        Voltages [V] and currents [A] of one device, both strictly increasing and including the point (0, 0); beyond
        the ends the last slope continues. :meth:`from_csv` makes them of a measured loop.
    v_reference : float, optional
        Voltage within the curve at which cells have the conductance that they are given [V].
    """

    v: tuple[float, ...] = Field(min_length=3)
    i: tuple[float, ...] = Field(min_length=3)
    v_reference: Volt | None = None

    @model_validator(mode="after")
    def _monotone(self) -> Self:
        if len(self.v) != len(self.i):
            raise ValueError(f"Table: {len(self.v)} voltages and {len(self.i)} currents; give as many of each")
        for name, values in (("v", self.v), ("i", self.i)):
            if not np.all(np.isfinite(values)) or not np.all(np.diff(values) > 0):
                raise ValueError(f"Table.{name} is not strictly increasing; sort and smooth the measured curve")
        if not any(v == 0 and i == 0 for v, i in zip(self.v, self.i)):
            raise ValueError("Table: the curve does not include (0 V, 0 A); add the point, or use Table.from_csv")
        if self.v_reference is not None and (not self.v[0] <= self.v_reference <= self.v[-1] or self.v_reference == 0):
            raise ValueError(
                f"Table.v_reference = {self.v_reference:g} V: give a voltage of the curve, "
                f"{self.v[0]:g} V to {self.v[-1]:g} V, other than 0 V"
            )
        return self

    @classmethod
    def from_csv(
        cls,
        file: str | Path,
        v: str | int = "V",
        i: str | int = "I",
        branch: Branch | None = None,
        *,
        v_range: tuple[float | str, float | str] | None = None,
        v_reference: float | str | None = None,
        name: str | None = None,
        plausible: bool = True,
    ) -> Self:
        """Read a measured curve or loop from a file, of any kind that :func:`xbarsim.read_table` reads.

        One sweep direction is taken out of a loop; its points are sorted by voltage, and where noise makes the current
        fall, neighbours are replaced by their mean until it rises (isotonic regression: R. E. Barlow et al.,
        "Statistical Inference under Order Restrictions", 1972). (0 V, 0 A) takes the place of what has the wrong sign
        within the noise; a curve that misses the origin by more is refused.

        Parameters
        ----------
        file : str or path
        v, i : str or int
            Names of the columns of voltages and currents, or their numbers from 0. Units are read from the header, V
            and A without one. A file of two columns without names needs neither.
        branch : {"rising", "falling"}, optional
            The points at which the voltage rises, from the most negative to the most positive, or those at which it
            falls; needed if the file holds both.
        v_range : (float, float), optional
            Leave out points outside [V], such as those where the instrument limits the current.
        v_reference : float, optional
            See :class:`Table`.
        name : str, optional
            Worksheet, if there are several.
        plausible : bool
            Whether to refuse a curve with i / v outside 1 fS to 100 mS.

        Raises
        ------
        FileError
            If the file cannot be read, has no such columns, or another unit in them.
        ParameterError
            If the curve is a loop and no branch is given, does not rise on the whole, misses the origin, or is
            implausible.

        Examples
        --------
        >>> cell = xb.Table.from_csv("iv.csv", v="Voltage", i="Current", branch="falling", v_reference=0.2)
        ... # doctest: +SKIP
        """
        points = measured(file, v, i, name)
        try:
            voltage, current = monotone(*points, branch, v_range)
        except ParameterError:
            raise
        except ValueError as error:
            raise ParameterError(f"{file}: {error}") from None
        g = current[current != 0] / voltage[current != 0]
        where = implausible(g) if plausible else None
        if where is not None:
            raise ParameterError(
                f"{file}: i / v is {both(float(g[where]))}, memristors have {RANGE}; give the unit of the current in "
                "the header, or plausible=False"
            )
        return cls(v=tuple(voltage.tolist()), i=tuple(current.tolist()), v_reference=v_reference)

    @property
    def zero_bias(self) -> float:
        """Slope of the curve at 0 V, the mean of both sides, over i / v at ``v_reference``."""
        if self.v_reference is None:
            return 1.0
        return float(self._slope() * self.v_reference / np.interp(self.v_reference, self.v, self.i))

    def _slope(self) -> float:
        v, i = np.array(self.v), np.array(self.i)
        k = int(np.flatnonzero(v == 0)[0])
        sides = [(i[b] - i[a]) / (v[b] - v[a]) for a, b in ((k - 1, k), (k, k + 1)) if a >= 0 and b < len(v)]
        return float(np.mean(sides))

    def normalized(self) -> tuple[np.ndarray, np.ndarray]:
        """Return voltages and the currents at them over the slope at 0 V; cells are g times ``zero_bias`` of it."""
        return np.array(self.v), np.array(self.i) / self._slope()


MIEC_SELECTOR = OneSelectorOneResistor(
    i_selector=10e-9 / np.sinh(0.77 / (85e-3 / np.log(10))), v_selector=85e-3 / np.log(10)
)
"""Mixed-ionic-electronic-conduction selector: 85 mV per decade, 10 nA at half its voltage margin of 1.54 V.

Margin: P. Narayanan et al., "Exploring the Design Space for Crossbar Arrays Built With
Mixed-Ionic-Electronic-Conduction (MIEC) Access Devices", IEEE J. Electron Devices Society, 2015. Slope, and that the
margin is at 10 nA: CrossSim's parameter file, which names that paper.
"""

Cell = Ohmic | Sinh | OneTransistorOneResistor | OneSelectorOneResistor | Table
