"""Engineering notation in and out: "100 kOhm" to 1e5, 1e5 to "100 kOhm"."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from quantiphy import InvalidNumber, Quantity


def parse_quantity(value: Any, unit: str) -> Any:
    """Turn a text such as ``"3 uA"`` into SI units; anything that is not a text passes unchanged.

    Parameters
    ----------
    value : str or number
        A text with an SI prefix and, optionally, the unit; or a number in SI units.
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
        return value
    try:
        quantity = Quantity(value.strip(), ignore_sf=False)
    except InvalidNumber:
        raise ValueError(f"{value!r} is no quantity; write it as a number with the unit {unit or '1'}") from None
    if quantity.units not in ("", unit):
        raise ValueError(f"{value!r} has the unit {quantity.units!r} where {unit or 'no unit'} is expected")
    return float(quantity)


def format_quantity(value: float, unit: str, digits: int = 3) -> str:
    """Write a value in engineering notation, for example ``format_quantity(3e-6, "A")`` gives ``"3 uA"``."""
    return Quantity(value, unit).render(prec=max(digits - 1, 0), strip_zeros=True)


def _in(unit: str) -> BeforeValidator:
    return BeforeValidator(lambda value: parse_quantity(value, unit))


Resistance = Annotated[float, _in("Ohm"), Field(ge=0, allow_inf_nan=False)]
Conductance = Annotated[float, _in("S"), Field(gt=0, allow_inf_nan=False)]
Voltage = Annotated[float, _in("V"), Field(gt=0, allow_inf_nan=False)]
Current = Annotated[float, _in("A"), Field(gt=0, allow_inf_nan=False)]
Time = Annotated[float, _in("s"), Field(gt=0, allow_inf_nan=False)]
Frequency = Annotated[float, _in("Hz"), Field(gt=0, allow_inf_nan=False)]
Power = Annotated[float, _in("W"), Field(ge=0, allow_inf_nan=False)]
Energy = Annotated[float, _in("J"), Field(ge=0, allow_inf_nan=False)]
