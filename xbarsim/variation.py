"""What tells devices apart (D2D, drawn once per die) and writes apart (C2C, drawn per write): parameters and samplers.

A cell's D2D draw is a standard normal number z; its conductance in a state is a quantile of that state's law at z. One
field of z therefore serves every law, and may be correlated in space.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from xbarsim.files import read
from xbarsim.kernels.variation import autoregress
from xbarsim.levels import Levels, States, nominal, picked
from xbarsim.parameters import Parameters, beside_toml
from xbarsim.streams import stream
from xbarsim.units import Fraction, parse_quantity

Law = Literal["lognormal", "normal"]


Share = Annotated[float, Field(gt=0, lt=1)]


class PerState(Parameters):
    """A quantity from 0, relative to the conductance, of either state; one number stands for both.

    Attributes
    ----------
    lrs, hrs : float
    between : sequence of (share, value)
        What it is on levels between the two, see :class:`Device`: in siemens it is linear in conductance between these
        points and the states. ``share`` tells how far they are on the way from HRS to LRS in conductance, rising.
    """

    bare: ClassVar = ("lrs", "hrs")
    later: ClassVar = ("between",)
    lrs: Fraction = 0.0
    hrs: Fraction = 0.0
    between: tuple[tuple[Share, Fraction], ...] = ()

    @model_validator(mode="after")
    def _rising(self) -> Self:
        shares = [share for share, _ in self.between]
        if any(b <= a for a, b in pairwise(shares)):
            raise ValueError(f"{type(self).__name__}.between: shares {shares} do not rise")
        return self

    def __bool__(self) -> bool:
        return self.lrs > 0 or self.hrs > 0 or any(value > 0 for _, value in self.between)

    def of(self, states: States) -> Any:
        """Return the quantity of each cell; a number if all agree."""
        if self.lrs == self.hrs and not self.between:
            return self.lrs
        if isinstance(states, Levels):
            return self._law(states, ((0.0, self.hrs), *self.between, (1.0, self.lrs)))
        return np.where(states, self.lrs, self.hrs)

    def _law(self, levels: Levels, points: Sequence[tuple[float, float]]) -> np.ndarray:
        return levels.amount(points)


class ExponentPerState(PerState):
    """An exponent of either state; ``between`` points and states it is linear in the logarithm of conductance."""

    def _law(self, levels: Levels, points: Sequence[tuple[float, float]]) -> np.ndarray:
        return levels.exponent(points)


def _measured(value: Any, unit: str | None = None) -> np.ndarray | None:
    """Return conductances [S] in rising order; ``unit`` tells what plain numbers are."""
    if value is None:
        return None
    path = beside_toml(value) if isinstance(value, str | Path) else None
    if path:
        reading = read(path, ("S", "Ohm") if unit is None else (unit,))
        given, unit = reading.values, reading.unit or unit
    else:
        try:
            given = np.array([parse_quantity(one, unit or "S") for one in np.ravel(value)])
            if np.ndim(value) == 0 or given.dtype.kind not in "iuf":
                raise TypeError
        except (TypeError, ValueError):
            known = "siemens" if unit != "Ohm" else "ohm"
            raise ValueError(f"give measured conductances in {known}, as a file or an array") from None
    sample = np.sort(given.astype(np.float64), axis=None)
    if unit == "Ohm":
        if sample.size and not (sample[0] > 0 and np.isfinite(sample).all()):
            raise ValueError(f"{path or 'the array'} holds {sample[0]:g} Ohm; resistances are finite and above 0")
        sample = 1 / sample[::-1]
    if not (sample.size and np.isfinite(sample).all() and sample[0] >= 0):
        worst = (
            "no values" if not sample.size else f"{sample[0]:g} S" if sample[0] < 0 else "values that are not finite"
        )
        raise ValueError(f"{path or 'the array'} holds {worst}; conductances are finite and not negative")
    sample.flags.writeable = False
    return sample


Samples = Annotated[np.ndarray | None, BeforeValidator(_measured)]


def factor(law: Law, spread: PerState, states: States, z: np.ndarray) -> np.ndarray:
    """Return factors of mean 1 and relative standard deviation s at standard normal numbers z.

    Normal: 1 + s z, which may be negative. Lognormal: exp(sigma z - sigma^2 / 2) with sigma^2 = ln(1 + s^2).
    """
    if law == "normal":
        return np.asarray(1 + spread.of(states) * z)
    if isinstance(states, Levels):
        variance = np.log1p(np.square(spread.of(states)))
        return np.asarray(np.exp(np.sqrt(variance) * z - variance / 2))
    lrs, hrs = np.log1p(spread.lrs**2), np.log1p(spread.hrs**2)
    if lrs == hrs:
        return np.asarray(np.exp(np.sqrt(lrs) * z - lrs / 2))
    return np.asarray(np.exp(np.where(states, np.sqrt(lrs), np.sqrt(hrs)) * z - np.where(states, lrs / 2, hrs / 2)))


class D2D(Parameters):
    """Device-to-device variation, drawn once per die; a bare number is the lognormal spread of both states.

    Attributes
    ----------
    law : {"lognormal", "normal"}
        Of a cell's conductance around that of its state, with mean 1.
    spread : PerState
        Relative standard deviation in either state.
    samples_lrs, samples_hrs : file or array, optional
        Measured conductances [S], resampled instead of the law in that state. With ``unit="Ohm"`` beside them, or if
        a file says so in its header, resistances.
    correlation_length : float
        L, in cells: draws at a distance of di rows and dj columns have the correlation exp(-(|di| + |dj|) / L); 0 for
        independent cells. A first-order autoregression in each direction, which is stationary from the first cell on.
    state_correlation : float
        Correlation of a cell's draws in its two states; by default a cell that conducts more does so in both.
    die_spread : float
        Relative standard deviation of a lognormal factor that all arrays of a die have in common.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    bare: ClassVar = ("spread",)

    law: Law = "lognormal"
    spread: PerState = PerState()
    samples_lrs: Samples = None
    samples_hrs: Samples = None
    correlation_length: Fraction = 0.0
    state_correlation: float = Field(default=1.0, ge=-1, le=1)
    die_spread: Fraction = 0.0

    @model_validator(mode="before")
    @classmethod
    def _from_unit(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "unit" not in values:
            return values
        values, unit = dict(values), values["unit"]
        del values["unit"]
        samples = [name for name in ("samples_lrs", "samples_hrs") if values.get(name) is not None]
        if unit not in ("S", "Ohm") or not samples:
            raise ValueError(f"D2D.unit = {unit!r}: give 'S' or 'Ohm', beside samples_lrs or samples_hrs")
        for name in samples:
            try:
                values[name] = _measured(values[name], unit)
            except ValueError as error:
                raise ValueError(f"D2D.{name}: {error}") from None
        return values

    @property
    def varies(self) -> bool:
        """Whether cells of one die differ."""
        return bool(self.spread) or self.samples_lrs is not None or self.samples_hrs is not None

    def draw(self, shape: tuple[int, int], seed: int, key: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the standard normal numbers of the cells in LRS, and others that are independent of them, if needed.

        None if cells do not vary.
        """
        if not self.varies:
            return None
        draws = stream(seed, "d2d", *key)
        lrs = correlated(draws.standard_normal(shape), self.correlation_length)
        if self.state_correlation == 1:
            return lrs, lrs
        return lrs, correlated(draws.standard_normal(shape), self.correlation_length)

    def _numbers(self, states: States, z: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Return the standard normal numbers of cells: from LRS to HRS they turn by the angle of their correlation."""
        lrs, other = z
        if self.state_correlation == 1:
            return lrs
        if isinstance(states, Levels):
            angle = (1 - states.share) * np.arccos(self.state_correlation)
            return np.asarray(np.cos(angle) * lrs + np.sin(angle) * other)
        hrs = self.state_correlation * lrs + np.sqrt(1 - self.state_correlation**2) * other
        return np.where(states, lrs, hrs)

    def offset(self, seed: int, die: int) -> float:
        """Return the factor that all cells of a die have in common."""
        if self.die_spread == 0:
            return 1.0
        variance = np.log1p(self.die_spread**2)
        return float(np.exp(np.sqrt(variance) * stream(seed, "die", die).standard_normal() - variance / 2))

    def conductance(
        self, states: States, g: tuple[float, float], z: tuple[np.ndarray, np.ndarray] | None
    ) -> np.ndarray:
        """Return conductances [S] at the draws z; g holds those of LRS and HRS as they should be.

        Between measured states, they are as far on the way as they should be from what the cell has in one to what it
        has in the other.
        """
        if z is None:
            return nominal(states, *g)
        samples = self.samples_lrs, self.samples_hrs
        if isinstance(states, Levels) and any(sample is not None for sample in samples):
            lrs, hrs = (self.conductance(np.full(states.share.shape, state), g, z) for state in (True, False))
            return np.asarray(hrs + states.share * (lrs - hrs))
        number = self._numbers(states, z)
        drawn = np.asarray(nominal(states, *g) * factor(self.law, self.spread, states, number))
        if not isinstance(states, Levels):
            for sample, there in zip(samples, (states, ~states)):
                if sample is not None:
                    drawn[there] = resample(sample, number[there])
        return drawn


def correlated(z: np.ndarray, length: float) -> np.ndarray:
    """Turn independent standard normal numbers (n_rows, n_cols) into ones of correlation exp(-(|di| + |dj|) / length).

    In place.
    """
    if length > 0:
        autoregress(z, np.exp(-1 / length), np.sqrt(-np.expm1(-2 / length)))
    return z


def resample(sample: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the values of a sorted sample at the quantiles of standard normal numbers z: each value equally likely."""
    from scipy.special import ndtr

    place = (ndtr(z) * len(sample)).astype(np.intp)
    return np.asarray(sample[np.minimum(place, len(sample) - 1)])


class WriteVerify(Parameters):
    """Pulses until a cell reads right.

    The first pulse lands at the cell's own conductance times a C2C factor; a cell that reads outside
    ``tolerance`` gets another pulse, corrected for its deviation, which lands at the nominal conductance of the state
    times another C2C factor; at most ``max_pulses``. A stuck cell never gets there.

    Attributes
    ----------
    tolerance : float
        Largest relative deviation from the nominal conductance.
    max_pulses : int
        Most pulses per cell and write.
    """

    tolerance: float = Field(gt=0, allow_inf_nan=False)
    max_pulses: int = Field(ge=1, le=1000)


class C2C(Parameters):
    """Cycle-to-cycle variation of programming, drawn per write; a bare number is the lognormal spread of both states.

    Attributes
    ----------
    law : {"lognormal", "normal"}
        Of the factor of mean 1 that each pulse brings.
    spread : PerState
        Relative standard deviation in either state.
    write_verify : WriteVerify, optional
        One blind pulse without it.
    """

    bare: ClassVar = ("spread",)

    law: Law = "lognormal"
    spread: PerState = PerState()
    write_verify: WriteVerify | None = None

    def write(
        self,
        own: np.ndarray,
        target: np.ndarray,
        states: States,
        fixed: np.ndarray | None,
        draws: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Program cells; return their conductances [S] and, with write-verify, the pulses that each cell took.

        Parameters
        ----------
        own, target : array, (n_rows, n_cols)
            What one pulse reaches in each cell on average, and what the state should be [S].
        states : States, (n_rows, n_cols)
            What cells are to be in.
        fixed : bool array, (n_rows, n_cols), optional
            Cells that no pulse changes.
        draws : numpy.random.Generator
        """
        g = own.copy()
        if self.spread:
            change = factor(self.law, self.spread, states, draws.standard_normal(own.shape))
            g *= change
            if self.law == "normal":  # a negative factor of a negative conductance makes no positive one
                g[change < 0] = -np.abs(g[change < 0])
        if fixed is not None:
            g[fixed] = own[fixed]
        if self.write_verify is None:
            return g, None
        pulses, most = np.ones(own.shape, np.int32), self.write_verify.max_pulses
        wrong = np.abs(g - target) > self.write_verify.tolerance * target
        if fixed is not None:
            pulses[wrong & fixed] = most
            wrong &= ~fixed
        at = np.flatnonzero(wrong)
        aims, aimed = target.reshape(-1)[at], picked(states, at)
        for _ in range(most - 1):
            if not len(at):
                break
            reached = aims * factor(self.law, self.spread, aimed, draws.standard_normal(len(at)))
            pulses.reshape(-1)[at] += 1
            g.reshape(-1)[at] = reached
            still = np.abs(reached - aims) > self.write_verify.tolerance * aims
            at, aims, aimed = at[still], aims[still], picked(aimed, still)
        return g, pulses
