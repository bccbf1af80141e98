"""Wordline drivers: one bit for spikes, a DAC where inputs are analog."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from mapping.chip.periphery.ledger import Inventory, Ledger, Reads
from mapping.chip.periphery.part import Part, times
from xbarsim.units import Area, Power


class Driver(Part):
    """Drives wordlines at 0 V or v_read, or, in a layer with analog inputs, at the levels of a DAC.

    Attributes
    ----------
    dac_bits : int or None
        Resolution for analog inputs; None is an ideal, unquantized DAC that is charged like ``n_bits`` = 8.
    power_per_bit : float
        Power [W] of a driver per bit of resolution while it drives a wordline above 0 V.
    area : float, optional
        Of the driver of one wordline [m^2].
    """

    module: ClassVar[str] = "driver"
    title: ClassVar[str] = "wordline drivers"

    dac_bits: int | None = Field(default=8, ge=1, le=16)
    power_per_bit: Power
    area: Area | None = None

    @property
    def code_bits(self) -> int:
        """Bits that an analog input is charged for."""
        return self.dac_bits or 8

    def quantize(self, x: np.ndarray) -> np.ndarray:
        """Return inputs in [0, 1] at the nearest of the 2^dac_bits levels."""
        if self.dac_bits is None:
            return x
        top = 2**self.dac_bits - 1
        return np.asarray(np.rint(x * top) / top, dtype=x.dtype)

    def energy_of(self, ledger: Ledger, reads: Reads) -> float:
        """Return the energy of driving wordlines above 0 V, and of charging them [J]."""
        bits = ledger.wordlines + self.code_bits * ledger.dac_wordlines
        charging = (ledger.wordlines + ledger.dac_wordlines) * reads.line_energy
        return bits * self.power_per_bit * reads.t_on + charging

    def area_of(self, inventory: Inventory) -> float | None:
        """Return the area of the drivers of all wordlines [m^2]."""
        return times(inventory.wordlines, self.area)
