"""Charge-based comparator: one bit per output neuron and time step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from xbarsim.parameters import Parameters
from xbarsim.units import Area, Energy, TimeOrZero, VoltageOrZero
from xbarsim.validity import Range

DECISION_ENERGY = Range(
    low=19e-15,
    high=math.inf,
    source="the least published: 0.19 pJ for 10 bits, Murmann's survey to 2025; a 65 nm comparator takes 67 fJ, "
    "Satapathy and Kaur 2023",
)
"""Of decisions, as published: a conversion of n bits is at least n of them. The survey is
https://github.com/bmurmann/ADC-survey; the comparator's energy is simulated, doi 10.1007/s00034-023-02375-6."""


class SenseAmp(Parameters):
    """Compares the membrane of an output neuron with its threshold, once per time step.

    One comparator serves an output channel at all its positions, one after the other.

    Attributes
    ----------
    energy : float
        Energy of one decision [J]; reports warn outside :data:`DECISION_ENERGY`, as with what a converter's law of
        energy gives for 1 bit.
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

    def doubts(self) -> Iterator[str]:
        """Yield a line if a decision takes less than any that is published."""
        if not DECISION_ENERGY.holds(self.energy):
            yield DECISION_ENERGY.told("SenseAmp.energy", self.energy, "J")
