"""Read noise: white (a new draw per read), and telegraph and 1/f noise, whose states advance in time."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import model_validator

from xbarsim.levels import States, shares
from xbarsim.parameters import Parameters
from xbarsim.units import Fraction, Frequency, Probability, Time
from xbarsim.variation import PerState

_PER_DECADE = 2


class Telegraph(Parameters):
    """Random telegraph noise: some cells have a trap that lowers their conductance while it is filled.

    The trap is a two-state Markov process; G (1 + amplitude (q - s)), s = 1 while filled, q = tau_emission /
    (tau_capture + tau_emission) its share of time, so that G is the average. Over a time dt the probability of being
    filled relaxes to q by exp(-dt (1 / tau_capture + 1 / tau_emission)): S. Machlup, J. Appl. Phys. 25, 1954.

    Attributes
    ----------
    amplitude : PerState
        Conductance of an empty minus a filled trap, over the average.
    share : float
        Share of cells with a trap, drawn once per die.
    tau_capture, tau_emission : float
        Mean time before an empty trap is filled, and a filled one emptied [s].
    decades : float
        Both times of a cell are scaled by one factor, log-uniform over so many decades around 1.
    """

    amplitude: PerState
    share: Probability = 1.0
    tau_capture: Time
    tau_emission: Time
    decades: Fraction = 0.0

    @property
    def filled_share(self) -> float:
        """Share of time for which a trap is filled."""
        return self.tau_emission / (self.tau_capture + self.tau_emission)


class Flicker(Parameters):
    """1/f-like noise: a sum of Lorentzian spectra with corner frequencies spaced evenly in their logarithm.

    Ornstein-Uhlenbeck processes of equal variance, two per decade from ``f_low`` to ``f_high``: between these the power
    density follows 1/f (P. Dutta, P. M. Horn, Rev. Mod. Phys. 53, 1981), below it is flat, above it falls as 1/f^2.

    Attributes
    ----------
    spread : PerState
        Relative standard deviation of the whole noise.
    f_low, f_high : float
        Band [Hz].
    """

    spread: PerState
    f_low: Frequency
    f_high: Frequency

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.f_high <= self.f_low:
            raise ValueError(f"Flicker.f_high = {self.f_high:g} Hz is not above f_low = {self.f_low:g} Hz")
        return self

    @property
    def rates(self) -> np.ndarray:
        """Relaxation rates of the processes [1/s]."""
        n = max(2, 1 + round(_PER_DECADE * np.log10(self.f_high / self.f_low)))
        return 2 * np.pi * np.geomspace(self.f_low, self.f_high, n)


class ReadNoise(Parameters):
    """Noise of reading; a bare number is the Gaussian spread of both states.

    Attributes
    ----------
    gaussian : PerState
        Relative standard deviation of a conductance from read to read, white.
    telegraph : Telegraph, optional
    flicker : Flicker, optional
    """

    bare: ClassVar = ("gaussian",)

    gaussian: PerState = PerState()
    telegraph: Telegraph | None = None
    flicker: Flicker | None = None

    @property
    def remembers(self) -> bool:
        """Whether there is noise whose state advances in time."""
        return self.telegraph is not None or self.flicker is not None


class NoiseState:
    """Telegraph and 1/f noise of one array: stationary at first, then advanced by :meth:`advance`.

    Parameters
    ----------
    noise : ReadNoise
    shape : (n_rows, n_cols)
    traps, draws : numpy.random.Generator
        For what a die keeps (which cells have a trap, and how fast it is), and for what fluctuates.
    """

    def __init__(
        self, noise: ReadNoise, shape: tuple[int, int], traps: np.random.Generator, draws: np.random.Generator
    ) -> None:
        self.noise = noise
        if noise.telegraph is not None:
            trap = noise.telegraph
            self.cells = np.flatnonzero(traps.random(shape) < trap.share)
            self.speed = 10 ** (trap.decades * (traps.random(len(self.cells)) - 0.5))
            self.filled = draws.random(len(self.cells)) < trap.filled_share
        if noise.flicker is not None:
            self.waves = draws.standard_normal((len(noise.flicker.rates), *shape))

    def advance(self, dt: float, draws: np.random.Generator) -> None:
        """Move on by ``dt`` seconds, exactly, however long that is."""
        if self.noise.telegraph is not None:
            trap = self.noise.telegraph
            keep = np.exp(-dt * self.speed * (1 / trap.tau_capture + 1 / trap.tau_emission))
            share = trap.filled_share
            self.filled = draws.random(len(self.filled)) < share + (self.filled - share) * keep
        if self.noise.flicker is not None:
            passed = dt * self.noise.flicker.rates[:, None, None]
            fresh = draws.standard_normal(self.waves.shape)
            self.waves = np.exp(-passed) * self.waves + np.sqrt(-np.expm1(-2 * passed)) * fresh

    def factor(self, states: States) -> np.ndarray:
        """Return what the conductance of each cell is multiplied with now."""
        shape = shares(states).shape
        factor = np.ones(shape)
        if self.noise.flicker is not None:
            spread = self.noise.flicker.spread.of(states)
            factor += spread / np.sqrt(len(self.waves)) * self.waves.sum(0)
        if self.noise.telegraph is not None:
            trap = self.noise.telegraph
            amplitude = np.broadcast_to(trap.amplitude.of(states), shape).ravel()[self.cells]
            factor.ravel()[self.cells] += amplitude * (trap.filled_share - self.filled)
        return factor
