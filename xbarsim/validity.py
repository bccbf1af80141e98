"""Where a model is backed by data, and what to say of its use outside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from xbarsim.parameters import Parameters
from xbarsim.units import format_quantity, format_time, parse_quantity

_ENDS = {"from": "low", "to": "high"}
_SLACK = 1e-9  # of a bound: what units and sums leave of it


class Range(Parameters):
    """Values for which a model is backed by data, and the data's source; in TOML ``{ from, to, source }``.

    Attributes
    ----------
    low, high : float
        Both inclusive, in SI units; ``high`` may be infinite.
    source : str
    """

    low: float = Field(allow_inf_nan=False)
    high: float
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= self.high:
            raise ValueError(f"Range: from {self.low:g} to {self.high:g} holds nothing; exchange them")
        return self

    def holds(self, value: float) -> bool:
        """Whether a value lies inside."""
        return self.low - _SLACK * abs(self.low) <= value <= self.high + _SLACK * abs(self.high)

    def told(self, what: str, value: float, unit: str) -> str:
        """Return the line that tells of a value outside, which begins with ``what`` it is of."""
        for digits in (3, 6, 12):  # as many as tell the value from the bounds
            shown, bounds = _shown(value, unit, digits), self._bounds(unit, digits)
            if shown not in bounds:
                break
        where = f"below {bounds[0]}" if np.isinf(self.high) else f"outside {' to '.join(bounds)}"
        return f"{what} = {shown} is {where} ({self.source})"

    def text(self, unit: str) -> str:
        """Return both ends with their unit."""
        return f"from {self._bounds(unit, 3)[0]}" if np.isinf(self.high) else " to ".join(self._bounds(unit, 3))

    def _bounds(self, unit: str, digits: int) -> list[str]:
        ends = [self.low] if self.low == self.high else [self.low, self.high]
        return [_shown(end, unit, digits) for end in ends if np.isfinite(end)]


def _shown(value: float, unit: str, digits: int = 3) -> str:
    if unit == "s" and digits == 3:
        return format_time(value)
    if unit in ("", "K", "bit"):  # no prefixes: "1.5 kK" and "77 k" mislead
        return f"{value:.{max(digits, 4)}g} {unit}".rstrip()
    return format_quantity(value, unit, digits)


def _range(unit: str) -> BeforeValidator:
    def parse(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        named = {_ENDS.get(str(key), str(key)): each for key, each in value.items()}
        if len(named) < len(value):
            raise ValueError(f"{', '.join(map(str, value))}: low is from and high is to; give each end once")
        return {key: parse_quantity(each, unit) if key in _ENDS.values() else each for key, each in named.items()}

    return BeforeValidator(parse)


class Valid(Parameters):
    """Ranges of a model, by what it is used with; what is not given is not known.

    Attributes
    ----------
    model : str
        Whose they are, in words; the name of the class unless told.
    v_read, t_read : Range, optional
        Voltage [V] and length [s] of a read.
    time : Range, optional
        Since programming [s].
    read_time : Range, optional
        Time under voltage since programming [s], reads times ``t_read``.
    temperature : Range, optional
        During both [K].
    n_cycles : Range, optional
        Set and reset cycles before.
    """

    UNITS: ClassVar[dict[str, str]] = {
        "v_read": "V",
        "t_read": "s",
        "time": "s",
        "read_time": "s",
        "temperature": "K",
        "n_cycles": "",
    }

    model: str = ""
    v_read: Annotated[Range | None, _range("V")] = None
    t_read: Annotated[Range | None, _range("s")] = None
    time: Annotated[Range | None, _range("s")] = None
    read_time: Annotated[Range | None, _range("s")] = None
    temperature: Annotated[Range | None, _range("K")] = None
    n_cycles: Annotated[Range | None, _range("")] = None

    @property
    def ranges(self) -> dict[str, Range]:
        """Those that are known, by name."""
        every = ((name, getattr(self, name)) for name in self.UNITS)
        return {name: known for name, known in every if known is not None}

    def checks(self, model: str, **used: float | Iterable[float] | None) -> Iterator[str]:
        """Yield one line for each range that something used lies outside of; what was not used is None."""
        for name, known in self.ranges.items():
            values = used.get(name)
            values = () if values is None else values if isinstance(values, Iterable) else (values,)
            for value in [value for value in values if not known.holds(value)][:1]:
                yield known.told(f"{self.model or model}: {name}", value, self.UNITS[name])


@dataclass(frozen=True)
class Exposure:
    """What an array went through since it was programmed.

    Attributes
    ----------
    time, read_time : float
        [s]; as in :class:`Valid`, of the cell that was longest under voltage, whatever voltage.
    temperatures : tuple of float
        The coldest and the hottest meanwhile [K]; empty if neither time passed nor reads happened.
    v_cell : float, optional
        The largest magnitude of the voltage on a cell that reads can move [V]; the device's ``v_read`` unless known.
    """

    time: float = 0.0
    read_time: float = 0.0
    temperatures: tuple[float, ...] = ()
    v_cell: float | None = None

    def __or__(self, other: Exposure) -> Exposure:
        """Return the utmost of two."""
        both = self.temperatures + other.temperatures
        voltages = [v for v in (self.v_cell, other.v_cell) if v is not None]
        return Exposure(
            max(self.time, other.time),
            max(self.read_time, other.read_time),
            (min(both), max(both)) if both else (),
            max(voltages, default=None),
        )
