"""Engineering notation in and out: "100 kOhm" to 1e5, 1e5 to "100 kOhm"."""

from __future__ import annotations

import math
import re
from numbers import Real
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from quantiphy import Quantity

from xbarsim.errors import ParameterError, shown

# powers of ten
_PREFIXES = {"": 0, "c": -2} | {prefix: 3 * k for k, prefix in enumerate("yzafpnum kMGTPEZY", -8) if k} | {"K": 3}
UNITS = ("Ohm", "S", "V", "A", "s", "Hz", "W", "J", "F", "K", "eV", "dB")
# other spellings of units
_SPELLINGS = {
    "Ohm": ("Ω", "ohm", "ohms", "Ohms", "OHM"),
    "S": ("siemens", "Siemens"),
}
# what a text may carry instead of the SI unit: a factor and an offset
_ALIASES: dict[str, dict[str, tuple[float, float]]] = {
    "s": dict.fromkeys(("min", "minute", "minutes"), (60, 0))
    | dict.fromkeys(("h", "hour", "hours"), (3600, 0))
    | dict.fromkeys(("d", "day", "days"), (86400, 0))
    | dict.fromkeys(("week", "weeks"), (7 * 86400, 0))
    | dict.fromkeys(("year", "years"), (365.25 * 86400, 0)),
    "K": {"k": (1, 0)} | dict.fromkeys(("c", "°c"), (1, 273.15)),  # "300 K" is no kilo
}
# one spelling of each sign: micro and mu, ohm and omega, minus, spaces that do not break
_SIGNS = str.maketrans(
    {"\u00b5": "u", "\u03bc": "u", "\u2126": "\u03a9", "\u2212": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " "}
)
_NUMBER = r"[+-]?(?:(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf|nan)"
_TEXT = re.compile(rf"({_NUMBER})\s*([^\s0-9.,'](?:\S*[^\s0-9.,'])?)?")
_SEPARATED = re.compile(r"([+-]?)([0-9][0-9.,'\u2019 ]*[0-9])((?:[eE][+-]?[0-9]+)?\s*[^\s0-9.,']*)")
_LONGEST = 60  # characters; no quantity is longer


def parse_quantity(value: Any, unit: str) -> Any:
    """Turn a text such as ``"3 uA"`` into SI units; anything that is not a text passes unchanged.

    A number has a decimal point and, if at all, underscores between its thousands (1_000). A comma is refused, since
    2,5 and 2,500 mean different things in different places; so are apostrophes and spaces inside a number.

    Parameters
    ----------
    value : str or number
        A text with an SI prefix and, optionally, the unit, as "100 kOhm", "1e-3 MΩ", "2 ohms", "3 µA"; or a number in
        SI units. Times may also be in min, h, days, weeks or years, temperatures in C.
    unit : str
        The expected unit, for example ``"A"``.

    Returns
    -------
    float or object
        The value in SI units.

    Raises
    ------
    ValueError
        If the text is no number or carries another unit.
    """
    if isinstance(value, bool):
        raise ValueError(f"{value} is no quantity; write it as a number with the unit {unit or '1'}")
    if not isinstance(value, str):
        try:
            return float(value) if isinstance(value, Real) else value
        except OverflowError:
            raise ValueError("the number is beyond the range of numbers") from None
    number, suffix = split_quantity(value)
    aliases = _ALIASES.get(unit, {})
    if suffix.lower() in aliases:
        factor, offset = aliases[suffix.lower()]
        return float(number) * factor + offset
    power = unit_power(suffix, unit)
    others = f"; {', '.join(aliases)} will do too" if aliases else ""
    if power is None:
        expected = f"{unit} is expected; write it in {unit}" if unit else "no unit is expected; write the number alone"
        raise ValueError(f"{value!r} has the unit {known_unit(suffix) or suffix!r} where {expected}{others}")
    if suffix in _PREFIXES and suffix != "" and (aliases or suffix.lower() == unit.lower()) and suffix != unit:
        # of times and temperatures a prefix alone misleads, and so it does if it is the letter of the unit
        raise ValueError(f"{value!r} has no unit where {unit} is expected{others}")
    return scaled(number, power)


def split_quantity(text: str) -> tuple[str, str]:
    """Return the number of a text and the unit after it; raise ValueError, with a remedy, if it is no quantity."""
    plain = text[:_LONGEST].translate(_SIGNS).strip()
    parts = _TEXT.fullmatch(plain)
    if parts and len(text) <= _LONGEST:
        return parts[1].lower(), parts[2] or ""
    shown = text if len(text) <= _LONGEST else f"{text[:20]}..."
    separated = _SEPARATED.fullmatch(plain)
    if not separated or len(text) > _LONGEST:
        raise ValueError(f"{shown!r} is no quantity; write a number and its unit, as '2.5 kOhm' or '3e-6 A'")
    choices = [f"{separated[1]}{number}{separated[3]}" for number in _without_separators(separated[2])]
    remedy = f"write {' or '.join(choices)}" if choices and len(text) < 30 else "write one number"
    if " " in separated[2]:
        remedy += ", or put a semicolon or tab between two numbers"
    raise ValueError(f"{shown!r} is no quantity: numbers have a decimal point and no other separator; {remedy}")


def scaled(number: str, power: int) -> float:
    """Return a number in a text times a power of ten, correctly rounded."""
    if not number.strip("+-infa"):
        return float(number)
    mantissa, _, exponent = number.partition("e")
    value = float(f"{mantissa}e{int(exponent or 0) + power}")
    if math.isinf(value) or (value == 0 and mantissa.strip("+-0._")):
        raise ValueError(f"{number} with a factor of 1e{power} is beyond the range of numbers")
    return value


def _without_separators(digits: str) -> list[str]:
    """Return what digits with commas, points, apostrophes or spaces may mean."""
    marks = {mark: digits.count(mark) for mark in ",.'\u2019 " if mark in digits}
    whole, last = re.sub(r"[^0-9]", "", digits), max(digits.rfind(mark) for mark in marks)
    grouped = bool(re.fullmatch(r"[1-9][0-9]{0,2}(?:[^0-9][0-9]{3})+", digits))
    tail = digits[last + 1 :]
    decimal = f"{whole[: -len(tail)]}.{tail}"
    if len(marks) == 1 and digits.count(digits[last]) > 1:
        return [whole] if grouped else []
    if len(marks) == 1:
        return ([decimal] if digits[last] == "," else []) + ([whole] if grouped else [])
    head = digits[:last]
    fits = re.fullmatch(r"[1-9][0-9]{0,2}(?:([^0-9])[0-9]{3}(?:\1[0-9]{3})*)", head)
    return [decimal] if fits and digits[last] in ".," and len(marks) == 2 else []


def unit_power(text: str, unit: str) -> int | None:
    """Return the power of ten of a unit's prefix, 3 of "kΩ" as Ohm, or None if it is another unit."""
    text = text.translate(_SIGNS)
    names = ("", unit, *_SPELLINGS.get(unit, ()))
    if text in names:
        return 0
    return _PREFIXES.get(text[0]) if text[1:] in names else None


def known_unit(text: str) -> str | None:
    """Return which of ``UNITS`` a text names, "Ohm" for "kΩ", or None; a prefix alone names none."""
    found = (unit for unit in UNITS if text not in _PREFIXES or text == unit)
    return next((unit for unit in found if unit_power(text, unit) is not None), None)


def quantity(value: Any, unit: str, name: str) -> float:
    """Return a finite number in SI units from a text or number; otherwise raise an error that names it."""
    try:
        number = parse_quantity(value, unit)
    except ValueError as error:
        raise ParameterError(f"{name}: {error}") from None
    if not isinstance(number, float) or not math.isfinite(number):
        raise ParameterError(f"{name} = {shown(value)}: give a finite number{f' with the unit {unit}' if unit else ''}")
    return number


def format_quantity(value: float, unit: str, digits: int = 3) -> str:
    """Write a value in engineering notation, for example ``format_quantity(3e-6, "A")`` gives ``"3 uA"``."""
    return Quantity(value, unit).render(prec=max(digits - 1, 0), strip_zeros=True)


def format_result(value: float, unit: str, digits: int = 3) -> str:
    """Write what was computed, zeros at the end included: ``format_result(4.9e-9, "J")`` gives ``"4.90 nJ"``."""
    return Quantity(value, unit).render(prec=max(digits - 1, 0), strip_zeros=value == 0)


def format_time(seconds: float) -> str:
    """Write a time in the largest unit of which it has at least one: ``format_time(86400)`` gives "1 day"."""
    for name, unit in (("year", 365.25 * 86400), ("day", 86400), ("h", 3600), ("min", 60)):
        if seconds >= unit:
            count = f"{seconds / unit:.3g}"
            return f"{count} {name}{'s' if name in ('year', 'day') and count != '1' else ''}"
    return format_quantity(seconds, "s")


def _in(unit: str) -> BeforeValidator:
    return BeforeValidator(lambda value: parse_quantity(value, unit))


_AREAS = {"nm": 1e-18, "um": 1e-12, "mm": 1e-6, "m": 1.0}  # [m^2]


def _parse_area(value: Any) -> Any:
    """Read a text such as "1200 um^2": the prefix belongs to the length, not to its square."""
    if not isinstance(value, str):
        return parse_quantity(value, "m^2")
    parts = re.fullmatch(r"(.*?)\s*([num]?m)(\^2|²)", value.translate(_SIGNS).strip())
    if not parts:
        raise ValueError(f"{value!r:.80} is no area; write it as a number with the unit um^2, mm^2 or m^2")
    return parse_quantity(parts[1], "") * _AREAS[parts[2]]


Fraction = Annotated[float, _in(""), Field(ge=0, allow_inf_nan=False)]
Resistance = Annotated[float, _in("Ohm"), Field(ge=0, allow_inf_nan=False)]
Conductance = Annotated[float, _in("S"), Field(gt=0, allow_inf_nan=False)]
ConductanceOrZero = Annotated[float, _in("S"), Field(ge=0, allow_inf_nan=False)]
Volt = Annotated[float, _in("V"), Field(allow_inf_nan=False)]
Voltage = Annotated[float, _in("V"), Field(gt=0, allow_inf_nan=False)]
VoltageOrZero = Annotated[float, _in("V"), Field(ge=0, allow_inf_nan=False)]
Current = Annotated[float, _in("A"), Field(gt=0, allow_inf_nan=False)]
Time = Annotated[float, _in("s"), Field(gt=0, allow_inf_nan=False)]
TimeOrZero = Annotated[float, _in("s"), Field(ge=0, allow_inf_nan=False)]
Frequency = Annotated[float, _in("Hz"), Field(gt=0, allow_inf_nan=False)]
Power = Annotated[float, _in("W"), Field(ge=0, allow_inf_nan=False)]
Temperature = Annotated[float, _in("K"), Field(gt=0, allow_inf_nan=False)]
Probability = Annotated[float, _in(""), Field(ge=0, le=1)]
Energy = Annotated[float, _in("J"), Field(ge=0, allow_inf_nan=False)]
Capacitance = Annotated[float, _in("F"), Field(gt=0, allow_inf_nan=False)]
CapacitanceOrZero = Annotated[float, _in("F"), Field(ge=0, allow_inf_nan=False)]
Area = Annotated[float, BeforeValidator(_parse_area), Field(ge=0, allow_inf_nan=False)]
ElectronVolt = Annotated[float, _in("eV"), Field(ge=0, allow_inf_nan=False)]


def significant(value: float, digits: int = 3) -> str:
    """Write a number with so many significant digits and no exponent: 1722.5 as "1720", 2.6 as "2.60"."""
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    rounded = float(f"{value:.{digits - 1}e}")
    places = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(0, places)}f}".replace(",", "")


def percent(share: float) -> str:
    """Write a share in percent with three significant digits."""
    return f"{significant(100 * share)}%"
