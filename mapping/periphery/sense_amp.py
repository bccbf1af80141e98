"""Charge-based comparator: one bit per output neuron and time step."""

from __future__ import annotations

from typing import Literal

from xbarsim.parameters import Parameters
from xbarsim.units import Area, Energy, TimeOrZero, VoltageOrZero


class SenseAmp(Parameters):
    """Compares the membrane of an output neuron with its threshold, once per time step.

    One comparator serves an output channel at all its positions, one after the other.

    Attributes
    ----------
    energy : float
        Energy of one decision [J].
    offset : float
        Standard deviation [V] of the input offset, drawn once per comparator and die.
    noise : float
        Standard deviation [V] of the input noise of each decision.
    t_decision : float
        Time of one decision [s].
    area : float, optional
        Of one comparator [m^2].
    """

    kind: Literal["sense-amp"] = "sense-amp"
    energy: Energy
    offset: VoltageOrZero = 0.0
    noise: VoltageOrZero = 0.0
    t_decision: TimeOrZero = 0.0
    area: Area | None = None
