"""Engineering notation in and out: "100 kOhm" to 1e5, 1e5 to "100 kOhm"."""

from __future__ import annotations

import math
import re
from numbers import Real
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from quantiphy import InvalidNumber, Quantity

from xbarsim.errors import ParameterError

# what a text may carry instead of the SI unit: a factor and an offset
_ALIASES: dict[str, dict[str, tuple[float, float]]] = {
    "s": dict.fromkeys(("min", "minute", "minutes"), (60, 0))
    | dict.fromkeys(("h", "hour", "hours"), (3600, 0))
    | dict.fromkeys(("d", "day", "days"), (86400, 0))
    | dict.fromkeys(("week", "weeks"), (7 * 86400, 0))
    | dict.fromkeys(("year", "years"), (365.25 * 86400, 0)),
    "K": {"k": (1, 0)} | dict.fromkeys(("c", "°c"), (1, 273.15)),  # "300 K" is no kilo
}


def parse_quantity(value: Any, unit: str) -> Any:
    """Turn a text such as ``"3 uA"`` into SI units; anything that is not a text passes unchanged.

    Parameters
    ----------
    value : str or number
        A text with an SI prefix and, optionally, the unit; or a number in SI units. Times may also be in min, h, days,
        weeks or years, temperatures in C.
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
        return float(value) if isinstance(value, Real) else value
    text, factor, offset = value.strip(), 1.0, 0.0
    parts = re.fullmatch(r"(.*[\d.])\s*(\D+)", text)
    if parts and parts[2].lower() in _ALIASES.get(unit, {}):
        text, (factor, offset) = parts[1], _ALIASES[unit][parts[2].lower()]
    try:
        quantity = Quantity(text, ignore_sf=False)
    except InvalidNumber:
        raise ValueError(f"{value!r} is no quantity; write it as a number with the unit {unit or '1'}") from None
    others = f"; {', '.join(_ALIASES[unit])} will do too" if unit in _ALIASES else ""
    if quantity.units not in ("", unit):
        found = parts[2] if parts and others else quantity.units
        raise ValueError(f"{value!r} has the unit {found!r} where {unit or 'no unit'} is expected{others}")
    if others and not quantity.units and text[-1:].isalpha():  # of times and temperatures a prefix alone misleads
        raise ValueError(f"{value!r} has no unit where {unit} is expected{others}")
    return float(quantity) * factor + offset


def quantity(value: Any, unit: str, name: str) -> float:
    """Return a finite number in SI units from a text or number; otherwise raise an error that names it."""
    try:
        number = parse_quantity(value, unit)
    except ValueError as error:
        raise ParameterError(f"{name}: {error}") from None
    if not isinstance(number, float) or not math.isfinite(number):
        raise ParameterError(f"{name} = {value!r}: give a finite number with the unit {unit}")
    return number


def format_quantity(value: float, unit: str, digits: int = 3) -> str:
    """Write a value in engineering notation, for example ``format_quantity(3e-6, "A")`` gives ``"3 uA"``."""
    return Quantity(value, unit).render(prec=max(digits - 1, 0), strip_zeros=True)


def format_time(seconds: float) -> str:
    """Write a time in the largest unit of which it has at least one: ``format_time(86400)`` gives "1 day"."""
    for name, unit in (("year", 365.25 * 86400), ("day", 86400), ("h", 3600), ("min", 60)):
        if seconds >= unit:
            count = f"{seconds / unit:.3g}"
            return f"{count} {name}{'s' if name in ('year', 'day') and count != '1' else ''}"
    return format_quantity(seconds, "s")


def _in(unit: str) -> BeforeValidator:
    return BeforeValidator(lambda value: parse_quantity(value, unit))


_AREAS = {"um": 1e-12, "µm": 1e-12, "mm": 1e-6, "m": 1.0}  # [m^2]


def _parse_area(value: Any) -> Any:
    """Read a text such as "1200 um^2": the prefix belongs to the length, not to its square."""
    if not isinstance(value, str):
        return parse_quantity(value, "m^2")
    parts = re.fullmatch(r"(.*?)\s*([uµm]?m)(\^2|²)", value.strip())
    if not parts:
        raise ValueError(f"{value!r} is no area; write it as a number with the unit um^2, mm^2 or m^2")
    return parse_quantity(parts[1], "") * _AREAS[parts[2]]


Fraction = Annotated[float, _in(""), Field(ge=0, allow_inf_nan=False)]
Resistance = Annotated[float, _in("Ohm"), Field(ge=0, allow_inf_nan=False)]
Conductance = Annotated[float, _in("S"), Field(gt=0, allow_inf_nan=False)]
ConductanceOrZero = Annotated[float, _in("S"), Field(ge=0, allow_inf_nan=False)]
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
