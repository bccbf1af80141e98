"""Cell models: the current of a cell as a function of its voltage v and of its programmed conductance g."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from xbarsim.parameters import Parameters
from xbarsim.units import Current, Resistance, Voltage


class Ohmic(Parameters):
    """A linear cell, i = g v."""


class Sinh(Parameters):
    """A cell that conducts by hopping or tunnelling: i = g v_char sinh(v / v_char), g being its zero-bias conductance.

    Attributes
    ----------
    v_char : float
        Voltage scale of the non-linearity [V].
    """

    v_char: Voltage


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
    g_off: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


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
    """A measured I-V curve, i = g h(v): h is the table divided by its slope at 0 V, linear between its points.

    Attributes
    ----------
    v, i : tuple of float
        Voltages [V] and currents [A] of one device, both strictly increasing and including the point (0, 0); beyond
        the ends the last slope continues.
    """

    v: tuple[float, ...] = Field(min_length=3)
    i: tuple[float, ...] = Field(min_length=3)

    @model_validator(mode="after")
    def _monotone(self) -> Self:
        if len(self.v) != len(self.i):
            raise ValueError(f"Table: {len(self.v)} voltages and {len(self.i)} currents; give as many of each")
        for name, values in (("v", self.v), ("i", self.i)):
            if not np.all(np.isfinite(values)) or not np.all(np.diff(values) > 0):
                raise ValueError(f"Table.{name} is not strictly increasing; sort and smooth the measured curve")
        if not any(v == 0 and i == 0 for v, i in zip(self.v, self.i)):
            raise ValueError("Table: the curve does not include (0 V, 0 A); add the point")
        return self

    def normalized(self) -> tuple[np.ndarray, np.ndarray]:
        """Return voltages and h at them, the slope of h at 0 V (mean of both sides) being 1."""
        v, i = np.array(self.v), np.array(self.i)
        k = int(np.flatnonzero(v == 0)[0])
        sides = [(i[b] - i[a]) / (v[b] - v[a]) for a, b in ((k - 1, k), (k, k + 1)) if a >= 0 and b < len(v)]
        return v, i / np.mean(sides)


MIEC_SELECTOR = OneSelectorOneResistor(
    i_selector=10e-9 / np.sinh(0.77 / (85e-3 / np.log(10))), v_selector=85e-3 / np.log(10)
)
"""Mixed-ionic-electronic-conduction selector: 85 mV per decade, 10 nA at half its voltage margin of 1.54 V.

Margin: P. Narayanan et al., "Exploring the Design Space for Crossbar Arrays Built With
Mixed-Ionic-Electronic-Conduction (MIEC) Access Devices", IEEE J. Electron Devices Society, 2015. Slope, and that the
margin is at 10 nA: CrossSim's parameter file, which names that paper.
"""

Cell = Ohmic | Sinh | OneTransistorOneResistor | OneSelectorOneResistor | Table
