"""Successive-approximation ADC: quantized bitline currents, and the energy of converting them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from xbarsim.parameters import Parameters
from xbarsim.units import Current, Frequency, Power


class SarAdc(Parameters):
    """A converter that turns each tile column into a number; partial sums are added digitally.

    Attributes
    ----------
    n_bits : int
        Resolution, 1 to 12; codes are 0 .. 2^n_bits - 1, rounded to nearest, saturating.
    f_sample : float
        Conversions per second [Hz].
    power : float
        Power [W] while converting at ``f_sample`` with ``anchor_bits``.
    anchor_bits : int
        The resolution for which ``power`` is known.
    law : "2^b"
        Power against resolution: doubles with each bit, the assumption of Eshraghian et al. 2022
        (doi 10.1109/MNANO.2022.3141443). Published converters disagree by orders of magnitude.
    columns_per_adc : int
        Bitlines that share one converter, one after the other.
    sense : {"bitline", "difference"}
        Each bitline by itself, subtracted digitally (codes from 0 to full scale); or the output's analog difference
        (codes symmetric about 0, the sign taking one bit).
    full_scale : float or "worst-case"
        Largest current [A]; "worst-case" is, per layer, the largest that all rows at v_read can drive.
    """

    kind: Literal["sar-adc"] = "sar-adc"
    n_bits: int = Field(ge=1, le=12)
    f_sample: Frequency
    power: Power
    anchor_bits: int = Field(default=8, ge=1, le=12)
    law: Literal["2^b"] = "2^b"
    columns_per_adc: int = Field(default=8, gt=0)
    sense: Literal["bitline", "difference"] = "bitline"
    full_scale: Literal["worst-case"] | Current = "worst-case"

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.sense == "difference" and self.n_bits < 2:
            raise ValueError("SarAdc.n_bits = 1: a difference needs a bit for its sign; use sense = 'bitline'")
        return self

    @property
    def energy(self) -> float:
        """Energy of one conversion [J]."""
        return self.power / self.f_sample * 2.0 ** (self.n_bits - self.anchor_bits)

    @property
    def top_code(self) -> int:
        """Largest code: of a bitline's current, or of the magnitude of a difference."""
        return (1 << self.n_bits) - 1 if self.sense == "bitline" else (1 << self.n_bits - 1) - 1
