"""What time and reads do to a conductance: retention, and read disturb by the voltage that each cell really saw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from xbarsim.errors import ParameterError
from xbarsim.files import read
from xbarsim.kernels.disturb import power_law, ratios
from xbarsim.kernels.elementary import LARGEST
from xbarsim.levels import States, above_hrs, either, shares
from xbarsim.parameters import Parameters, beside_toml
from xbarsim.units import ElectronVolt, Temperature, Time, Voltage
from xbarsim.validity import Range, Valid
from xbarsim.variation import ExponentPerState, Share

Finite = Annotated[float, Field(allow_inf_nan=False)]
BOLTZMANN = 8.617333262e-5  # eV/K, CODATA 2018
ROOM_TEMPERATURE = 300.0


class SignedPerState(ExponentPerState):
    """An exponent of either state, of any sign; one number stands for both."""

    lrs: Finite = 0.0
    hrs: Finite = 0.0
    between: tuple[tuple[Share, Finite], ...] = ()


class ThermalLaw(Parameters):
    """A law in time that was fitted at one temperature, and may be scaled to others.

    Attributes
    ----------
    activation_energy : float, optional
        Arrhenius energy [eV]: a time at temperature T counts like one exp(E / k (1 / T_ref - 1 / T)) times as long at
        ``t_ref``. Without it the law holds at ``t_ref`` alone and any other temperature is refused; 0 eV says that
        temperature does not matter.
    t_ref : float
        Temperature at which the law holds [K].
    valid : Valid
        Where it is backed by data; reports warn outside.
    """

    beside: ClassVar = ("valid",)
    activation_energy: ElectronVolt | None = None
    t_ref: Temperature = ROOM_TEMPERATURE
    valid: Valid = Valid()

    def ageing(self, temperature: float) -> float:
        """Return how much faster than at ``t_ref`` times count at a temperature [K]."""
        if self.activation_energy is None:
            if not np.isclose(temperature, self.t_ref, rtol=1e-9):
                raise ParameterError(
                    f"temperature = {temperature:g} K: {type(self).__name__} holds at {self.t_ref:g} K; give its "
                    "activation_energy, by which its times scale (0 eV: heat does not matter)"
                )
            return 1.0
        exponent = self.activation_energy / BOLTZMANN * (1 / self.t_ref - 1 / temperature)
        if not abs(exponent) < 700:
            raise ParameterError(
                f"temperature = {temperature:g} K: with an activation energy of {self.activation_energy:g} eV devices "
                f"would age exp({exponent:.3g}) times as fast as at {self.t_ref:g} K; give one nearer to that"
            )
        return float(np.exp(exponent))


class Retention(ThermalLaw):
    """Drift with the time since programming: G(t) = G_programmed (1 + t / t0)^-nu.

    The law of amorphous phase-change cells (Nandakumar et al., ICECS 2019; Joshi et al., Nature Communications
    11, 2473, 2020), with t counted from the first reading t0 after programming, as IBM's aihwkit does. A negative nu
    lets the conductance grow.

    Attributes
    ----------
    nu : SignedPerState
        Drift exponent.
    nu_spread : ExponentPerState
        Standard deviation of nu from device to device, normal, drawn once per die.
    t0 : float
        Time of the first reading after programming [s].
    activation_energy, t_ref, valid
        As of :class:`ThermalLaw`; ``valid`` by ``time`` and ``temperature``.
    """

    nu: SignedPerState
    nu_spread: ExponentPerState = ExponentPerState()
    t0: Time

    def factor(self, nu: Any, age: float) -> np.ndarray:
        """Return G / G_programmed after a time at ``t_ref`` [s], for each cell's exponent."""
        return np.asarray(np.exp(-nu * np.log1p(age / self.t0)))


_CHECKS = "checks of the law in analog-cim-sim, which restates it; the paper's own range is not open to us"
PUBLISHED_RANGE = Valid(
    v_read=Range(low=0.0, high=0.4, source=_CHECKS),
    read_time=Range(low=0.0, high=20e-3, source=_CHECKS),
    temperature=Range(low=ROOM_TEMPERATURE, high=ROOM_TEMPERATURE, source="the temperature of the fit"),
    n_cycles=Range(low=0.0, high=1000.0, source=_CHECKS),
)


class PowerLawDisturb(ThermalLaw):
    """Read disturb by a power law in the time under voltage, of cells in the low-resistance state.

    G = G0 while t < t_onset, and G0 (t / t_onset)^-p from then on, with p = c exp(a |V| / (k T / q)) and
    t_onset = t0 (A (1 - k_cycles N^m))^(1/p); never below what the cell's
    own HRS would be by then. C.-M. Jiang et al., "An
    Analytical Model of Read-Disturb Failure Time in a Post-Cycling Resistive Switching Memory",
    https://ieeexplore.ieee.org/document/9580480; equations and values (at 300 K, A read from the paper's figures) as
    restated by the simulator analog-cim-sim. How reads at different voltages add up is our reading: a cell goes on from
    the time at which the new voltage would have brought it to where it is.

    k T in the exponent belongs to the fit, at ``t_ref``: taken at another temperature, heat would heal (0.808 at 300 K,
    0.900 at 358 K after 250 s at 0.3 V). Heat shortens all times by Arrhenius' law instead.

    With a steep voltage dependence one read is enough: destructive read-out is the limit of a large ``a``.

    Attributes
    ----------
    t0 : float
        Onset at high voltage [s].
    c : float
        Exponent p at 0 V.
    a : float
        Growth of ln p with |V| in units of kT/q, at ``t_ref``.
    onset : float
        A, above 1.
    k_cycles, m_cycles, n_cycles : float
        Wear by ``n_cycles`` set and reset cycles before.
    activation_energy, t_ref, valid
        As of :class:`ThermalLaw`; ``valid`` by ``v_read``, ``read_time``, ``temperature`` and ``n_cycles``, that of the
        published law unless told, or unless t0, c, a and onset are all given, a fit of one's own. Only such a fit has
        another ``t_ref``.
    """

    stops_at_hrs: ClassVar = True
    kind: Literal["power-law"] = "power-law"
    t0: Time = 1.55e-8
    c: float = Field(default=0.0068, gt=0, allow_inf_nan=False)
    a: float = Field(default=0.11, ge=0, allow_inf_nan=False)
    onset: float = Field(default=1.43339, gt=1, allow_inf_nan=False)
    k_cycles: float = Field(default=0.003, ge=0, allow_inf_nan=False)
    m_cycles: float = Field(default=0.41, gt=0, allow_inf_nan=False)
    n_cycles: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _published(self) -> Self:
        fitted = ("t0", "c", "a", "onset")
        of_the_source = {name: type(self).model_fields[name].default for name in fitted}
        given = self.model_fields_set.issuperset(fitted)
        if given and any(getattr(self, name) != value for name, value in of_the_source.items()):
            return self
        if not np.isclose(self.t_ref, ROOM_TEMPERATURE, rtol=1e-9):
            raise ValueError(
                f"PowerLawDisturb.t_ref = {self.t_ref:g} K: the published constants hold at {ROOM_TEMPERATURE:g} K; "
                "give t0, c, a and onset of a fit of your own, or activation_energy to age at other temperatures"
            )
        if "valid" not in self.model_fields_set:
            self.__dict__["valid"] = PUBLISHED_RANGE
        return self

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        if not self._worn > 1:
            with np.errstate(over="ignore"):
                most = np.float64((1 - 1 / self.onset) / self.k_cycles) ** (1 / self.m_cycles)
            raise ValueError(
                f"PowerLawDisturb.n_cycles = {self.n_cycles:g}: the law ends at {most:.3g} cycles, beyond which low "
                "voltages would disturb sooner than high ones; give fewer cycles"
            )
        return self

    @property
    def _worn(self) -> float:
        if not self.k_cycles:
            return self.onset
        with np.errstate(over="ignore"):
            return float(self.onset * (1 - self.k_cycles * np.float64(self.n_cycles) ** self.m_cycles))

    def known(self, v_read: float) -> Valid:
        """Return where the law is backed by data, for reads at ``v_read`` [V]."""
        return self.valid

    def moving(self, states: States) -> np.ndarray:
        """Return which cells reads can move: those that conduct more than in HRS."""
        return above_hrs(states)

    def start(self, n_cells: int) -> np.ndarray:
        """Return the state of n cells that have not been read, (2, n): stress up to the onset, and -ln(G / G0)."""
        return np.zeros((2, n_cells))

    def advance(self, state: np.ndarray, states: States, v: np.ndarray, t: np.ndarray, temperature: float) -> None:
        """Move the state of moving cells by reads of ``t`` seconds in all at ``v`` volts on each cell, all (n,)."""
        slope = self.a / (BOLTZMANN * self.t_ref)
        power_law(v, t * self.ageing(temperature), self.c, slope, np.log(self._worn), self.t0, state[0], state[1])

    def ratio(self, state: np.ndarray, states: States) -> np.ndarray:
        """Return G over what it was before the reads, of each moving cell."""
        ratio = np.empty_like(state[1])
        ratios(state[1], ratio)
        return np.asarray(ratio)


def _from_file(path: Path) -> np.ndarray:
    """Return the columns of a file: times [s] and ratios, which have no unit."""
    reading = read(path, None)
    if (reading.units or ("",))[0] not in ("", "s") or any(reading.units[1:]):
        raise ParameterError(f"{path}: give times in seconds, as 't (s)' or 't (ms)', and ratios G/G0 without a unit")
    return reading.values


def _points(value: Any) -> np.ndarray:
    path = beside_toml(value) if isinstance(value, str | Path) else None
    try:
        points = _from_file(path) if path else np.array(value, dtype=np.float64)
    except ParameterError:
        raise
    except (TypeError, ValueError):
        raise ValueError("give rows of time [s], G/G0 in LRS, G/G0 in HRS, as a file or an array") from None
    where = str(path or "points")
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise ValueError(f"{where}: the shape is {points.shape}; give rows of time [s], G/G0 in LRS, G/G0 in HRS")
    if not np.isfinite(points).all():
        raise ValueError(f"{where}: some values are not finite")
    if points[0, 0] <= 0 or (np.diff(points[:, 0]) <= 0).any() or (points[:, 1:] < 0).any():
        raise ValueError(f"{where}: times must be above 0 s and rise, ratios must not be negative")
    points.flags.writeable = False
    return points


class TableDisturb(ThermalLaw):
    """Read disturb as measured: G / G0 against the time under one voltage, and how a voltage shortens that time.

    A read of t seconds at V stresses a cell like one of t sinh(|V| / v_char) / sinh(v_measured / v_char) at the voltage
    of the measurement: field-driven ion hopping, exponential in large voltages. G / G0 falls or rises from 1 linearly
    in time to the first point, then linearly in the logarithm of time, and stays at the last one.

    Attributes
    ----------
    points : file or array, (n, 3)
        Rows of time [s], G/G0 in LRS, G/G0 in HRS. The heading of a file may state another unit of time; ratios have
        no unit.
    v_measured : float
        Voltage of the measurement [V].
    v_char : float
        Characteristic voltage of the acceleration [V].
    activation_energy, t_ref, valid
        As of :class:`ThermalLaw`; backed by data up to the last point's time at least.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    stops_at_hrs: ClassVar = False
    kind: Literal["table"] = "table"
    points: Annotated[np.ndarray, BeforeValidator(_points)]
    v_measured: Voltage
    v_char: Voltage

    def known(self, v_read: float) -> Valid:
        """Return where the law is backed by data, for reads at ``v_read`` [V]."""
        if self.valid.read_time is not None:
            return self.valid
        longest = self.points[-1, 0] * np.exp(-np.clip(self._faster(np.asarray(v_read)), -LARGEST, LARGEST))
        within = Range(low=0.0, high=float(longest), source="its last point, at the voltage of the reads")
        return self.valid.replace(read_time=within)

    def _faster(self, v: np.ndarray) -> Any:
        """Return the logarithm of how much faster than at the voltage of the measurement time counts."""
        return _log_sinh(np.abs(v) / self.v_char) - _log_sinh(self.v_measured / self.v_char)

    def moving(self, states: States) -> np.ndarray:
        """Return which cells reads can move: all."""
        return np.ones_like(above_hrs(states))

    def start(self, n_cells: int) -> np.ndarray:
        """Return the state of cells that have not been read: no equivalent time [s]."""
        return np.zeros(n_cells)

    def advance(self, state: np.ndarray, states: States, v: np.ndarray, t: np.ndarray, temperature: float) -> None:
        """Add the equivalent time of reads; arguments as for :class:`PowerLawDisturb`."""
        state += t * self.ageing(temperature) * np.exp(np.minimum(self._faster(v), LARGEST))

    def ratio(self, state: np.ndarray, states: States) -> np.ndarray:
        """Return G over what it was before the reads, of each moving cell."""
        time, in_lrs, in_hrs = self.points.T
        later, early = np.log(np.maximum(state, time[0])), np.minimum(state / time[0], 1.0) - 1.0
        curves = (np.interp(later, np.log(time), curve) + (curve[0] - 1) * early for curve in (in_lrs, in_hrs))
        return either(states, *curves)


def _log_sinh(x: Any) -> Any:
    with np.errstate(divide="ignore"):
        return x + np.log(-np.expm1(-2 * x)) - np.log(2)


class CustomDisturb(Parameters):
    """Read disturb by a function of yours, which is given the temperature and has to make sense of it.

    Attributes
    ----------
    law : callable
        ``law(ratio, v, t, lrs, temperature) -> ratio``: G over its value before any read, after a further ``t`` seconds
        at ``v`` volts; all arrays (n,) over cells, ``lrs`` telling those in the low-resistance state, or with levels
        between the states how far each is on the way there, 0 to 1.
    valid : Valid
        Where it is backed by data; reports warn outside.
    """

    stops_at_hrs: ClassVar = False
    beside: ClassVar = ("valid",)
    kind: Literal["custom"] = "custom"
    law: Callable[..., Any]
    valid: Valid = Valid()

    def known(self, v_read: float) -> Valid:
        """Return where the law is backed by data, for reads at ``v_read`` [V]."""
        return self.valid

    def moving(self, states: States) -> np.ndarray:
        """Return which cells reads can move: all."""
        return np.ones_like(above_hrs(states))

    def start(self, n_cells: int) -> np.ndarray:
        """Return the state of cells that have not been read."""
        return np.ones(n_cells)

    def advance(self, state: np.ndarray, states: States, v: np.ndarray, t: np.ndarray, temperature: float) -> None:
        """Apply the law; arguments as for :class:`PowerLawDisturb`."""
        after = np.asarray(self.law(state.copy(), v, t, shares(states), temperature))
        if after.shape != state.shape or after.dtype.kind not in "iuf" or not np.isfinite(after).all():
            raise ParameterError(
                f"CustomDisturb.law returned {after.dtype} values of the shape {after.shape}, or some not finite; "
                f"it must return a finite ratio for each of {len(state)} cells"
            )
        state[:] = after

    def ratio(self, state: np.ndarray, states: States) -> np.ndarray:
        """Return G over what it was before the reads, of each moving cell."""
        return state


ReadDisturb = Annotated[PowerLawDisturb | TableDisturb | CustomDisturb, Field(discriminator="kind")]
