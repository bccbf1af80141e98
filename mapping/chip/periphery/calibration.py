"""Calibration: codes of a limited number of bits that take systematic errors of bitlines and comparators away."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from mapping.chip.periphery.ledger import Inventory
from mapping.chip.periphery.part import Part, times
from xbarsim.units import Area, Energy, Time


class Calibration(Part):
    """What is measured after programming, and on a schedule, and set by codes.

    A code of b bits takes 2^b - 1 evenly spaced values over its range, the nearest to what was measured; the one in the
    middle changes nothing.

    Attributes
    ----------
    gain_bits : int, optional
        Gain of each output of each array, so that its weights have the strength that they should on average.
    gain_range : float
        Gains from 1 - gain_range to 1 + gain_range; each range belongs to its bits, and says nothing without them.
    offset_bits : int, optional
        Offset of each comparator or converter.
    offset_range : float
        From minus to plus so many standard deviations of the offset.
    threshold_bits : int, optional
        Threshold of each output channel, scaled by what all its arrays together keep of their weights after their
        gain codes.
    threshold_range : float
        Factors from 1 - threshold_range to 1 + threshold_range.
    interval : float, optional
        Time [s] after which codes are set anew; without it, once after programming.
    energy : float
        Of measuring and setting one code once [J]; charged for what ``interval`` schedules, not after programming.
    area : float, optional
        Of one code [m^2].
    """

    module: ClassVar[str] = "calibration"
    title: ClassVar[str] = "calibration"

    gain_bits: int | None = Field(default=None, ge=2, le=12)
    gain_range: float = Field(default=0.5, gt=0, lt=1)
    offset_bits: int | None = Field(default=None, ge=2, le=12)
    offset_range: float = Field(default=3.0, gt=0, allow_inf_nan=False)
    threshold_bits: int | None = Field(default=None, ge=2, le=12)
    threshold_range: float = Field(default=0.5, gt=0, lt=1)
    interval: Time | None = None
    energy: Energy = 0.0
    area: Area | None = None

    @model_validator(mode="after")
    def _sets_something(self) -> Self:
        if self.gain_bits is None and self.offset_bits is None and self.threshold_bits is None:
            raise ValueError("Calibration: nothing is trimmed; give gain_bits, offset_bits or threshold_bits")
        return self

    def gain(self, kept: np.ndarray) -> np.ndarray:
        """Return the gain codes of outputs that keep so much of their weights."""
        wanted = np.divide(1.0, kept, out=np.full_like(kept, np.inf), where=kept > 0)
        return _nearest(wanted, 1 - self.gain_range, 1 + self.gain_range, self.gain_bits, 1.0)

    def threshold(self, kept: np.ndarray) -> np.ndarray:
        """Return the factors of the thresholds of outputs that keep so much of their weights."""
        return _nearest(kept, 1 - self.threshold_range, 1 + self.threshold_range, self.threshold_bits, 1.0)

    def offset(self, drawn: np.ndarray, spread: float) -> np.ndarray:
        """Return what is subtracted from offsets whose standard deviation is ``spread``."""
        reach = self.offset_range * spread
        return _nearest(drawn, -reach, reach, self.offset_bits, 0.0)

    def n_codes(self, gains: int, offsets: int, thresholds: int) -> int:
        """Return how many of the codes that a layer has room for are set."""
        numbers = ((self.gain_bits, gains), (self.offset_bits, offsets), (self.threshold_bits, thresholds))
        return sum(count for bits, count in numbers if bits)

    def power(self, codes: int) -> float:
        """Return the average power of setting so many codes on schedule [W]; 0 if only once, after programming."""
        return 0.0 if self.interval is None else codes * self.energy / self.interval

    def area_of(self, inventory: Inventory) -> float | None:
        """Return the area of all codes [m^2]."""
        return times(inventory.codes, self.area)


def _nearest(wanted: np.ndarray, low: float, high: float, n_bits: int | None, neutral: float) -> np.ndarray:
    if n_bits is None or low == high:
        return np.full_like(wanted, neutral)
    step = (high - low) / (2**n_bits - 2)
    return np.asarray(neutral + step * np.rint((np.clip(wanted, low, high) - neutral) / step))
