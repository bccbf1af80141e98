"""How the energy of a conversion grows with resolution: published laws, which disagree by orders of magnitude."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from xbarsim.errors import ParameterError
from xbarsim.validity import Range

LawName = Literal["2^b", "linear+4^b", "walden", "schreier", "isaac", "neurosim", "table"]

# the fields of SarAdc that belong to some laws only
LAW_FIELDS = ("power", "v_supply", "fom_walden", "fom_schreier", "node", "column_resistance", "energies")

SURVEY, SURVEYED_BITS = "Murmann's survey to 2025", range(4, 13)  # it has none below 3.7 effective bits
_SURVEYED = Range(low=4, high=12, source=f"where {SURVEY} has converters; the law's own source says nothing")

# NeuroSim's low-power nodes [nm]: power [W] per bit, constant power [W], power of a column of 1 Ohm [W]
_NEUROSIM = {
    65: (3.7506e-6, 25.844e-6, 0.121272),
    45: (2.1691e-6, 16.693e-6, 0.100225),
    22: (0.538e-6, 4.3753e-6, 0.072341),
    14: (0.3132e-6, 2.5681e-6, 0.061085),
    7: (0.1061e-6, 0.8847e-6, 0.043555),
}


@dataclass(frozen=True)
class Law:
    """A model of the energy of a conversion.

    Attributes
    ----------
    text : str
        What it says, in a line.
    source : str
        Authors, venue and year.
    needs : tuple of str
        The fields of :class:`SarAdc` that it uses.
    formula : callable
        From bits and those fields to the energy [J].
    bits : range
        Resolutions that it is evaluated for, by extrapolation outside those that are known.
    known : Range, "anchor_bits" or None
        Resolutions for which it is backed by data [bit]: of the law itself, or of the one converter that its numbers
        are of. None in "table", which is evaluated nowhere else.
    example : mapping
        Published numbers for the fields, if there are any.
    """

    text: str
    source: str
    needs: tuple[str, ...]
    formula: Callable[..., float]
    bits: range = range(1, 13)
    known: Range | Literal["anchor_bits"] | None = "anchor_bits"
    example: Mapping[str, Any] = field(default_factory=dict)

    def energy(self, adc: object, n_bits: int) -> float:
        """Energy of one conversion [J], of a converter like ``adc`` with ``n_bits``."""
        return self.formula(n_bits, *(getattr(adc, name) for name in self.needs))

    def backed(self, anchor_bits: int) -> Range | None:
        """Return the resolutions for which it is backed by data, of a converter whose numbers are of one [bit]."""
        if self.known != "anchor_bits":
            return self.known
        bits = float(anchor_bits)
        return Range(low=bits, high=bits, source="anchor_bits: the one converter that its numbers are of")


def survey_envelope(enob: float) -> float:
    """Return the least energy of a conversion with some effective bits that published converters come near to [J].

    The envelope of the energy plot in B. Murmann, ADC Performance Survey 1997-2025,
    https://github.com/bmurmann/ADC-survey, of 2025-06-09, 725 converters from 3.7 effective bits on: the mean of
    the three least energies, and of the three least energies over 4^ENOB. Between 3 and 5 effective bits the least is
    0.96 pJ, above it.
    """
    return float(0.267e-12 + 0.1446e-18 * 4.0**enob)


def _anchored(bits: int, power: float, f_sample: float, anchor_bits: int) -> float:
    return power / f_sample * 2.0 ** (bits - anchor_bits)


def _linear_and_noise(bits: int, v_supply: float) -> float:
    return (100e-15 * bits + 1e-18 * 4.0**bits) * v_supply**2


def _walden(bits: int, fom: float, enob_loss: float) -> float:
    return float(fom * 2.0 ** (bits - enob_loss))


def _schreier(bits: int, fom: float, enob_loss: float) -> float:
    sndr = 6.02 * (bits - enob_loss) + 1.76
    return float(0.5 * 10 ** ((sndr - fom) / 10))


def _isaac(bits: int) -> float:
    return 16e-3 / (8 * 1.2e9) * 2.0 ** (bits - 8)


def _neurosim(bits: int, node: int, column_resistance: float) -> float:
    per_bit, constant, column = _NEUROSIM[node]
    return (per_bit * bits + constant + column / column_resistance) * (bits + 1) * 1e-9


def _tabulated(bits: int, energies: Mapping[int, float]) -> float:
    if bits not in energies:
        known = ", ".join(map(str, sorted(energies)))
        raise ParameterError(f"SarAdc.energies has none for {bits} bits; it has {known or 'none at all'}")
    return energies[bits]


LAWS: dict[LawName, Law] = {
    "2^b": Law(
        "doubles with each bit from a known power at anchor_bits",
        "Eshraghian et al., IEEE Nanotechnology Magazine 2022, doi 10.1109/MNANO.2022.3141443: 40 uW, 40 MHz, 8 bit",
        ("power", "f_sample", "anchor_bits"),
        _anchored,
        example={"n_bits": 8, "f_sample": 40e6, "power": 40e-6},
    ),
    "linear+4^b": Law(
        "(100 fF b + 1 aF 4^b) V^2: logic and comparator, then thermal noise",
        "ZigZag-IMC: Sun, Houshmand and Verhelst, ICCAD 2023, arXiv 2405.14978; 28 nm at 0.9 V",
        ("v_supply",),
        _linear_and_noise,
        known=_SURVEYED,
        example={"n_bits": 8, "f_sample": 40e6, "v_supply": 0.9},
    ),
    "walden": Law(
        "a constant energy per conversion step, of n_bits - enob_loss effective bits",
        "Walden, IEEE J. Sel. Areas Commun. 1999; example: Ramkaj et al., JSSC 2018, 3.56 mW at 1.25 GS/s (2.848 pJ), "
        "7 bit, 40.1 dB or 6.37 effective bits, hence 34.5 fJ per step (34.4 in its abstract)",
        ("fom_walden", "enob_loss"),
        _walden,
        example={"n_bits": 7, "f_sample": 1.25e9, "fom_walden": 34.47e-15, "enob_loss": 0.631, "anchor_bits": 7},
    ),
    "schreier": Law(
        "limited by thermal noise: 4^ENOB, of n_bits - enob_loss effective bits",
        "Schreier and Temes, Understanding Delta-Sigma Data Converters, 2005; example: Ramkaj et al., JSSC 2018, as "
        "for walden, hence 152.54 dB",
        ("fom_schreier", "enob_loss"),
        _schreier,
        example={"n_bits": 7, "f_sample": 1.25e9, "fom_schreier": 152.544, "enob_loss": 0.631, "anchor_bits": 7},
    ),
    "isaac": Law(
        "1.67 pJ at 8 bit; doubling with each bit is our assumption",
        "Shafiee et al., ISCA 2016, table 1: eight 8-bit converters at 1.2 GS/s take 16 mW",
        (),
        _isaac,
        known=Range(low=8, high=8, source="Shafiee et al., ISCA 2016, table 1"),
        example={"n_bits": 8, "f_sample": 1.2e9},
    ),
    "neurosim": Law(
        "power linear in b and in the column's conductance, for b + 1 cycles of 1 ns; at 300 K and 0.5 V",
        "Peng et al., DNN+NeuroSim, IEDM 2019, as in SarADC.cpp of DNN_NeuroSim V1.3, low-power roadmap",
        ("node", "column_resistance"),
        _neurosim,
        known=_SURVEYED,
        example={"n_bits": 8, "f_sample": 1e9 / 9, "node": 22, "column_resistance": 100e3},
    ),
    "table": Law("energies given for each resolution", "the user", ("energies",), _tabulated, known=None),
}
