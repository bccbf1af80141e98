"""The memristor: its two states, its read pulse, and everything that makes cells, writes and reads differ."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PlainSerializer, WrapValidator, field_validator, model_validator

from xbarsim.die import Die
from xbarsim.drift import PowerLawDisturb, ReadDisturb, Retention, ThermalLaw
from xbarsim.errors import MissingError, ParameterError, shown
from xbarsim.faults import Faults
from xbarsim.levels import Levels, States
from xbarsim.parameters import Parameters
from xbarsim.plausible import RANGE, both, implausible
from xbarsim.presets import list_devices, load_preset
from xbarsim.read_noise import ReadNoise
from xbarsim.units import Conductance, ConductanceOrZero, Time, Voltage, parse_quantity
from xbarsim.validity import Exposure, Valid
from xbarsim.variation import C2C, D2D

_MOST_LEVELS = 1 << 15
_FAR = 100.0  # how far measured samples may be from the device's own conductance
_EXAMPLES = {"v_read": "0.2 V", "t_read": "100 ns"}  # of the fields that are asked for only where they are used
_LEFT_OUT: Any = None
_MaybeLeftOut = (
    WrapValidator(lambda value, check: None if value is None else check(value)),
    PlainSerializer(lambda value: value),
)


class Device(Parameters):
    """A memristor of two states, or of levels between them.

    ``Device(preset="pcm-ibm", v_read=0.2)`` starts from a published device, see :func:`xbarsim.list_devices`.
    ``v_read`` and ``t_read`` may be left out, as some sources do: they are asked for, by an error that names them,
    where they are used. Writing and solving an array needs neither.

    Attributes
    ----------
    g_lrs : float
        Conductance in the low-resistance state [S]; may be given as ``i_lrs`` [A] at ``v_read`` instead.
    on_off_ratio : float
        g_lrs / g_hrs, above 1.
    levels : int or "analog"
        How many conductances cells are written to, evenly spaced from g_hrs to g_lrs; with "analog" any between them.
        A cell between the states is as far on its way as it should be, and what makes cells differ follows from both
        states: in siemens, spreads and noise are linear in conductance; drift exponents are linear in its logarithm;
        disturb moves both parts of a conductance like the state that they are of, by a power law like LRS and down to
        HRS at most. The ``between`` of a quantity, see :class:`xbarsim.variation.PerState`, has what is measured there.
    v_read : float, optional
        Read voltage [V].
    t_read : float, optional
        Length of a read pulse [s].
    d2d : D2D
        Device-to-device variation, drawn once per die; a number is the lognormal spread of both states.
    c2c : C2C
        Cycle-to-cycle variation, drawn per write; a number is the lognormal spread of both states.
    read_noise : ReadNoise
        Drawn per read, or advancing in time; a number is the Gaussian spread of both states.
    faults : Faults
        Cells and lines that came out wrong.
    retention, read_disturb : optional
        Drift with time, and with reads.
    g_min, g_max : float
        The physical range [S]: conductances that variation, drift or noise would bring beyond are cut there, and
        counted.
    plausible : bool
        Whether to refuse states and measured samples outside 1 fS to 100 mS, and samples whose median is 100 times off
        their state: those are other units, or resistances.
    valid : Valid
        Where the device as a whole is backed by data; reports warn outside, of this and of its laws.
    """

    beside: ClassVar = ("valid",)
    later: ClassVar = ("levels",)
    g_lrs: Conductance
    on_off_ratio: float = Field(gt=1, allow_inf_nan=False)
    levels: int | Literal["analog"] = 2
    v_read: Annotated[Voltage, *_MaybeLeftOut] = Field(default=_LEFT_OUT)
    t_read: Annotated[Time, *_MaybeLeftOut] = Field(default=_LEFT_OUT)
    d2d: D2D = D2D()
    c2c: C2C = C2C()
    read_noise: ReadNoise = ReadNoise()
    faults: Faults = Faults()
    retention: Retention | None = None
    read_disturb: ReadDisturb | None = None
    g_min: ConductanceOrZero = 0.0
    g_max: Conductance | None = None
    plausible: bool = True
    valid: Valid = Valid()

    @model_validator(mode="before")
    @classmethod
    def _from_preset_and_current(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = _with_preset(dict(values))
        if isinstance(values.get("read_disturb"), str):
            values["read_disturb"] = {"kind": values["read_disturb"]}
        if "i_lrs" in values:
            if "g_lrs" in values:
                raise ValueError("Device: give g_lrs or i_lrs, not both")
            if values.get("v_read") is None:
                raise ValueError("Device.v_read is missing; i_lrs needs the voltage at which it flows")
            values["g_lrs"] = _conductance(values.pop("i_lrs"), values["v_read"])
        return values

    @field_validator("levels", mode="before")
    @classmethod
    def _counted(cls, given: Any) -> Any:
        whole = not isinstance(given, bool) and isinstance(given, Real) and given == given // 1
        if given != "analog" and not (whole and 2 <= given <= _MOST_LEVELS):
            raise ValueError(f"{shown(given)} is none; give a whole number from 2 to {_MOST_LEVELS}, or 'analog'")
        return given

    @model_validator(mode="after")
    def _leave_out(self) -> Self:
        for name in _EXAMPLES:
            if self.__dict__.get(name, 0) is None:
                del self.__dict__[name]  # so that reading it is an error
        return self

    if not TYPE_CHECKING:  # whoever reads a field that is there gets a number

        def __getattr__(self, name: str) -> Any:
            if name in _EXAMPLES:
                raise MissingError(
                    f"Device.{name} is missing: it is used here, and its source does not give it; give your own, for "
                    f'example {name} = "{_EXAMPLES[name]}"'
                )
            return super().__getattr__(name)

    @model_validator(mode="after")
    def _states_in_range(self) -> Self:
        low, high = self.g_range
        if not low <= self.g_hrs < self.g_lrs <= high:
            raise ValueError(
                f"Device: the states, {self.g_hrs:.3g} and {self.g_lrs:.3g} S, do not lie between g_min = {low:.3g} "
                f"and g_max = {high:.3g} S"
            )
        return self

    @model_validator(mode="after")
    def _plausible(self) -> Self:
        if not self.plausible:
            return self
        lift = "or plausible=False"
        for name, g in (("g_lrs", self.g_lrs), ("g_hrs", self.g_hrs)):
            if implausible(np.array(g)) is not None:
                raise ValueError(f"Device.{name} is {both(g)}; memristors have {RANGE}: give siemens, {lift}")
        for name, nominal in (("samples_lrs", self.g_lrs), ("samples_hrs", self.g_hrs)):
            sample = getattr(self.d2d, name)
            if sample is None or not sample.any():
                continue
            middle = float(np.median(sample[sample > 0]))
            where = implausible(sample)
            if where is not None or not 1 / _FAR < middle / nominal < _FAR:
                worst = middle if where is None else float(sample[where])
                raise ValueError(
                    f"Device.d2d.{name}: {both(worst)} where the state is {both(nominal)}; if these are resistances, "
                    f'give unit = "Ohm" beside them, {lift}'
                )
        return self

    @property
    def g_hrs(self) -> float:
        """Conductance in the high-resistance state [S]."""
        return float(self.g_lrs / self.on_off_ratio)

    @property
    def g_range(self) -> tuple[float, float]:
        """Physical range of conductances [S]."""
        return self.g_min, np.inf if self.g_max is None else self.g_max

    @property
    def written(self) -> str:
        """What cells are written with."""
        return "bits" if self.levels == 2 else "levels"

    def states(self, levels: np.ndarray) -> States:
        """Return the states of cells that are written with bits, whole numbers below ``levels``, or shares."""
        top = 1 if self.levels == "analog" else self.levels - 1
        known = {"analog": "outside 0 to 1", 2: "other than 0 and 1"}
        if not (
            levels.dtype.kind in "biuf"
            and ((levels >= 0) & (levels <= top)).all()
            and (self.levels == "analog" or (levels == np.floor(levels)).all())
        ):
            raise ParameterError(f"{self.written} hold values {known.get(self.levels, f'other than 0, 1, ... {top}')}")
        if self.levels == 2:
            return levels.astype(bool)
        return Levels(levels.astype(np.float64) / top, self.on_off_ratio)

    def replace(self, **values: Any) -> Self:
        """Return a copy with some fields changed, see :meth:`Parameters.replace`; ``i_lrs`` in place of ``g_lrs``.

        Of a published device, another conductance is not bound to the voltage at which the source gives its own.
        """
        if "i_lrs" in values and "g_lrs" not in values:
            read = values if "v_read" in values else {"v_read": self.v_read}
            try:
                values["g_lrs"] = _conductance(values.pop("i_lrs"), read["v_read"])
            except ValueError as error:
                raise ParameterError(str(error)) from None
        if "g_lrs" in values and self.valid.model in list_devices():
            values.setdefault("valid", self.valid.replace(v_read=None))
        return super().replace(**values)

    def ask(self, *names: str) -> None:
        """Raise an error that names the first of some fields that was left out."""
        for name in names:
            getattr(self, name)

    def check_temperature(self, temperature: float, *, time: bool, reads: bool) -> None:
        """Raise an error if a law that ``time`` or ``reads`` act through does not hold at a temperature [K]."""
        if time and self.retention is not None:
            self.retention.ageing(temperature)
        if reads and isinstance(self.read_disturb, ThermalLaw):
            self.read_disturb.ageing(temperature)

    def checks(self, exposure: Exposure) -> Iterator[str]:
        """Yield one line for each range that reads, or what an array went through, lie outside of."""
        v_read, t_read = (self.__dict__.get(name) for name in _EXAMPLES)
        time, read_time = exposure.time or None, exposure.read_time or None
        lasting = {"time": time, "read_time": read_time, "temperature": exposure.temperatures}
        yield from self.valid.checks("Device", v_read=v_read, t_read=t_read, **lasting)
        if self.retention is not None and time:
            yield from self.retention.valid.checks("Retention", time=time, temperature=exposure.temperatures)
        law = self.read_disturb
        if law is not None and read_time:
            n_cycles = law.n_cycles if isinstance(law, PowerLawDisturb) else None
            v_cell = self.v_read if exposure.v_cell is None else exposure.v_cell
            known = law.known(v_cell)
            yield from known.checks(type(law).__name__, v_read=v_cell, n_cycles=n_cycles, **lasting)

    def fabricate(self, shape: tuple[int, int], *, seed: int, die: int = 0, key: tuple[int, ...] = ()) -> Die:
        """Make an array of devices; device-to-device variation and faults are drawn here, once.

        Parameters
        ----------
        shape : (n_rows, n_cols)
            Size of the array.
        seed : int
            Root seed.
        die : int
            Tells dies apart: the arrays of one die have its offset in common.
        key : tuple of int
            Tells the arrays of one die apart, for example (layer, row tile, column tile).
        """
        return Die(self, shape, seed, die, key)

    def program(self, bits: Any, *, seed: int) -> np.ndarray:
        """Fabricate an array and write bits or levels (n_rows, n_cols) into it; return conductances [S]."""
        bits = np.asarray(bits)
        if bits.ndim != 2:
            raise ParameterError(f"{self.written} have the shape {bits.shape}; give (n_rows, n_cols)")
        return self.fabricate((bits.shape[0], bits.shape[1]), seed=seed).program(bits)


def _number(value: Any, unit: str, field: str) -> float:
    try:
        return float(parse_quantity(value, unit))
    except (TypeError, ValueError) as error:
        raise ValueError(f"Device.{field}: {error}") from None


def _conductance(i_lrs: Any, v_read: Any) -> float:
    """Return the conductance [S] of a current at a voltage."""
    current, voltage = _number(i_lrs, "A", "i_lrs"), _number(v_read, "V", "v_read")
    if not 0 < current < np.inf:
        raise ValueError(f"Device.i_lrs = {i_lrs!r}: give a current above 0 A")
    if not 0 < voltage < np.inf:
        raise ValueError(f"Device.v_read = {v_read!r}: give a voltage above 0 V")
    return current / voltage


def _with_preset(values: dict[str, Any]) -> dict[str, Any]:
    """Complete fields by those of the preset that they name."""
    name = values.pop("preset", None)
    if name is None:
        return values
    preset = load_preset(str(name))
    given = preset.device | {"valid": {"model": preset.name} | preset.valid}
    if "g_lrs" in values or "i_lrs" in values:  # another conductance, known at another voltage
        given.pop("g_lrs", None)
        given.pop("i_lrs", None)
        given["valid"].pop("v_read", None)
    if "i_lrs" in given:  # it flows at the source's own voltage, whatever the reads will be at
        given["g_lrs"] = _conductance(given.pop("i_lrs"), given["v_read"])
    for field, table in given.items():  # what is given of a table does not take away the rest of it
        if isinstance(table, dict) and isinstance(values.get(field), dict):
            values[field] = table | values[field]
    return given | values


def load_device(source: str | Path, **values: Any) -> Device:
    """Load a published device by name (see :func:`xbarsim.list_devices`), or any device from a TOML file.

    Parameters
    ----------
    source : str or path
        Name, or path of a file ending in ``.toml`` with the fields of :class:`Device`.
    **values
        Fields to add or to change; ``v_read`` and ``t_read``, if a published source does not give them, must be added
        where they are used.

    Raises
    ------
    FileError
        If the file is missing or not TOML.
    ParameterError
        If the name is unknown, or a field is missing or not allowed.
    """
    if Path(source).suffix == ".toml":
        return Device.from_toml(source, **values)
    return Device(**(values | {"preset": str(source)}))
