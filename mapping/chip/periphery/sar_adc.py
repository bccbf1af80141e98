"""Successive-approximation ADC: its resolution and imperfections, and what conversions cost in energy and area."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mapping.chip.periphery.ledger import Inventory, Ledger, Reads
from mapping.chip.periphery.part import Part, times
from mapping.chip.periphery.sense_amp import DECISION_ENERGY
from xbarsim.adc_laws import LAW_FIELDS, LAWS, SURVEY, SURVEYED_BITS, LawName, survey_envelope
from xbarsim.units import Area, Current, Energy, Frequency, Power, Probability, Resistance, Voltage
from xbarsim.units import parse_quantity as parse
from xbarsim.validity import Range

Decibel = Annotated[float, BeforeValidator(lambda value: parse(value, "dB")), Field(allow_inf_nan=False)]
Bits = Annotated[int, Field(ge=1, le=12)]


class SarAdc(Part):
    """A converter that turns each tile column into a number; partial sums are added digitally.

    Imperfections are those of :class:`mapping.chip.periphery.converters.Converters`, laws of energy those of
    :data:`xbarsim.adc_laws.LAWS`.

    Attributes
    ----------
    n_bits : int
        Resolution, 1 to 12; codes are 0 .. 2^n_bits - 1, rounded to nearest, saturating.
    f_sample : float
        Conversions per second [Hz].
    columns_per_adc : int
        Bitlines that share one converter, one after the other.
    sense : {"bitline", "difference"}
        Each bitline by itself, subtracted digitally (codes from 0 to full scale); or the output's analog difference
        (codes symmetric about 0, the sign taking one bit). What subtracts currents before a conversion is not charged.
    full_scale : float, "worst-case" or "calibrated"
        Largest current [A]. Per layer, "worst-case" is the largest that all rows at v_read can drive: v_read times the
        sum over rows of |T|, of a bitline or of an output's difference. A limiter has no part in it: where one is to
        cut currents, its ``i_max`` given here spends all codes on what it passes. "calibrated" is a quantile of the
        currents that a calibration set causes, as limited.
    full_scale_quantile : float
        That quantile of "calibrated", above 0 to 1; no other full scale has one.
    offset : float
        Standard deviation of a converter's offset, as a fraction of full scale.
    noise : float
        Thermal noise at the input, rms in each conversion, as a fraction of full scale.
    mismatch : float
        Relative standard deviation of one unit capacitor. Bit k switches 2^k of them: mismatch / 2^(k/2).
    law : str
        Energy against resolution, a key of ``LAWS``. Published converters disagree by orders of magnitude; reports warn
        where a law is not backed by data, or asks for less than any of them.
    anchor_bits : int
        The resolution for which ``power``, figures of merit and ``area`` are known.
    power : float, optional
        Power [W] while converting at ``f_sample`` with ``anchor_bits``; law "2^b".
    v_supply : float, optional
        Supply [V]; law "linear+4^b".
    fom_walden : float, optional
        Energy per conversion step [J]; law "walden".
    fom_schreier : float, optional
        SNDR + 10 log10(f_sample / (2 power)) [dB]; law "schreier".
    enob_loss : float
        Bits of ``n_bits`` that noise and distortion take: the effective number of bits, (SNDR / 1 dB - 1.76) / 6.02, is
        smaller by them; laws "walden" and "schreier".
    node : int, optional
        Technology node [nm]; law "neurosim".
    column_resistance : float, optional
        Resistance of the column that is read [Ohm], referred to 0.5 V; law "neurosim".
    energies : dict, optional
        Energy of a conversion [J] for each resolution; law "table".
    area : float, optional
        Area of one converter with ``anchor_bits`` [m^2].
    capacitor_share : float
        Share of ``area`` that doubles with each bit, the capacitors; the rest is constant. One half is our assumption.
    """

    module: ClassVar[str] = "conversion"
    title: ClassVar[str] = "data conversion"
    converts: ClassVar[bool] = True
    decision_spread: ClassVar[float] = 0.0
    decision_noise: ClassVar[float] = 0.0
    t_decision: ClassVar[float] = 0.0

    kind: Literal["sar-adc"] = "sar-adc"
    n_bits: Bits
    f_sample: Frequency
    columns_per_adc: int = Field(default=8, gt=0)
    sense: Literal["bitline", "difference"] = "bitline"
    full_scale: Literal["worst-case", "calibrated"] | Current = "worst-case"
    full_scale_quantile: float = Field(default=0.999, gt=0, le=1)
    offset: Probability = 0.0
    noise: Probability = 0.0
    mismatch: Probability = 0.0
    law: LawName = "2^b"
    anchor_bits: Bits = 8
    power: Power | None = None
    v_supply: Voltage | None = None
    fom_walden: Energy | None = None
    fom_schreier: Decibel | None = None
    enob_loss: float = Field(default=0.0, ge=0)
    node: Literal[65, 45, 22, 14, 7] | None = None
    column_resistance: Annotated[Resistance, Field(gt=0)] | None = None
    energies: dict[Bits, Energy] | None = None
    area: Area | None = None
    capacitor_share: Probability = 0.5

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.sense == "difference" and self.n_bits < 2:
            raise ValueError("SarAdc.n_bits = 1: a difference needs a bit for its sign; use sense = 'bitline'")
        for name in LAW_FIELDS:
            needed, given = name in LAWS[self.law].needs, getattr(self, name) is not None
            if needed and not given:
                raise ValueError(f"SarAdc.{name} is missing; law = {self.law!r} needs it")
            if given and not needed:
                raise ValueError(f"SarAdc.{name} is not used by law = {self.law!r}; leave it out")
        if self.enob_loss and "enob_loss" not in LAWS[self.law].needs:
            raise ValueError(f"SarAdc.enob_loss is not used by law = {self.law!r}; leave it out")
        if self.enob_loss >= self.n_bits:
            raise ValueError(f"SarAdc.enob_loss = {self.enob_loss:g}: give less than n_bits = {self.n_bits}")
        self.energy_at(self.n_bits)
        return self

    def energy_at(self, n_bits: int) -> float:
        """Energy of one conversion [J] that the law gives for another resolution."""
        return LAWS[self.law].energy(self, n_bits)

    def checks(self) -> Iterator[str]:
        """Yield a line if the law is not backed by data at this resolution, or asks for less than any do."""
        known = LAWS[self.law].backed(self.anchor_bits)
        if known is not None and not known.holds(self.n_bits):
            yield known.told(f"SarAdc.law {self.law!r}: n_bits", self.n_bits, "bit")
            return
        least, source = survey_envelope(self.n_bits - self.enob_loss), f"published converters of {self.n_bits} bit"
        if self.n_bits not in SURVEYED_BITS:
            least, source = self.n_bits * DECISION_ENERGY.low, "n_bits times the least published decision"
        published = Range(low=least, high=math.inf, source=f"{source}, {SURVEY}")
        if not published.holds(self.energy):
            yield published.told(f"SarAdc.law {self.law!r}: energy", self.energy, "J")

    @property
    def energy(self) -> float:
        """Energy of one conversion [J]."""
        return self.energy_at(self.n_bits)

    @property
    def converter_area(self) -> float | None:
        """Area of one converter [m^2], shared by ``columns_per_adc`` bitlines; None if ``area`` is not given."""
        if self.area is None:
            return None
        return self.area * (1 - self.capacitor_share + self.capacitor_share * 2.0 ** (self.n_bits - self.anchor_bits))

    @property
    def settling_bits(self) -> int:
        """Lines settle to half a step of so many bits before they are converted."""
        return self.n_bits

    @property
    def text(self) -> str:
        """What it is, in a few words."""
        return f"{self.kind}, {self.n_bits} bit by {self.sense}, {self.columns_per_adc} to a converter"

    def lines(self, bitlines: int, outputs: int) -> int:
        """Return how many lines of an array it converts: bitlines, or outputs."""
        return bitlines if self.sense == "bitline" else outputs

    def t_conversion(self, lines: int) -> float:
        """Return how long the conversions of one read take [s], one line of a converter after the other."""
        return min(self.columns_per_adc, lines) / self.f_sample

    def converters(self, lines: int) -> int:
        """Return how many converters so many lines of an array have."""
        return -(-lines // self.columns_per_adc)

    def energy_of(self, ledger: Ledger, reads: Reads) -> float:
        """Return the energy of all conversions [J]."""
        return self.energy * ledger.conversions

    def area_of(self, inventory: Inventory) -> float | None:
        """Return the area of all converters [m^2]."""
        return times(inventory.converters, self.converter_area)

    @property
    def top_code(self) -> int:
        """Largest code: of a bitline's current, or of the magnitude of a difference."""
        return (1 << self.n_bits) - 1 if self.sense == "bitline" else (1 << self.n_bits - 1) - 1


def published_adcs() -> dict[LawName, SarAdc]:
    """Return a converter for each law that has published numbers."""
    return {name: SarAdc(law=name, **law.example) for name, law in LAWS.items() if law.example}
