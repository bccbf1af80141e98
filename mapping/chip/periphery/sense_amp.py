"""Charge-based comparator: one bit per output neuron and time step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar, Literal

from mapping.chip.periphery.ledger import Inventory, Ledger, Reads
from mapping.chip.periphery.part import Part, times
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


class SenseAmp(Part):
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

    module: ClassVar[str] = "conversion"
    title: ClassVar[str] = "data conversion"
    converts: ClassVar[bool] = False
    sense: ClassVar[str] = "output"
    columns_per_adc: ClassVar[int] = 0
    full_scale: ClassVar[None] = None
    n_bits: ClassVar[int] = 1
    settling_bits: ClassVar[int] = 8  # lines settle to half a step of so many bits before it decides

    kind: Literal["sense-amp"] = "sense-amp"
    energy: Energy
    offset: VoltageOrZero = 0.0
    noise: VoltageOrZero = 0.0
    t_decision: TimeOrZero = 0.0
    area: Area | None = None

    def checks(self) -> Iterator[str]:
        """Yield a line if a decision takes less than any that is published."""
        if not DECISION_ENERGY.holds(self.energy):
            yield DECISION_ENERGY.told("SenseAmp.energy", self.energy, "J")

    @property
    def text(self) -> str:
        """What it is, in a few words."""
        return f"{self.kind}, 1 bit"

    @property
    def decision_spread(self) -> float:
        """Standard deviation of the offset of decisions [V]."""
        return self.offset

    @property
    def decision_noise(self) -> float:
        """Standard deviation of the noise of decisions [V]."""
        return self.noise

    def lines(self, bitlines: int, outputs: int) -> int:
        """Return how many lines of an array it converts."""
        return 0

    def t_conversion(self, lines: int) -> float:
        """Return how long the conversions of one read take [s]."""
        return 0.0

    def converters(self, lines: int) -> int:
        """Return how many converters so many lines of an array have."""
        return 0

    def energy_of(self, ledger: Ledger, reads: Reads) -> float:
        """Return the energy of all decisions [J]."""
        return self.energy * ledger.updates

    def area_of(self, inventory: Inventory) -> float | None:
        """Return the area of all comparators [m^2]."""
        return times(inventory.comparators, self.area)
