"""The neurons of a layer as circuits: thresholds with offsets, leaks with spread, votes of row tiles."""

from __future__ import annotations

from math import prod
from typing import cast

import numpy as np
import torch
from torch import Tensor

from mapping.chip.chip import Chip
from mapping.chip.periphery.ledger import Ledger
from mapping.ir.ops import Lif
from mapping.lower.stages import Stage
from mapping.networks.dynamics import LifState, lif, lif_step
from xbarsim.draws import noise_key, normal
from xbarsim.streams import stream


class Neurons:
    """All neurons of a layer, in units of a weight; of each row tile, if row tiles decide by themselves.

    Parameters
    ----------
    layer : Stage
        Of spiking neurons.
    chip : Chip
    t_steps : int
    last : bool
        Whether no layer follows.
    n_row_tiles : int
    key : (seed, die, layer number)
        Of what is drawn.
    dtype : torch.dtype

    Attributes
    ----------
    spec : NeuronSpec
        Which recurrence they follow.
    n_votes, n_integrators : int
        How many membranes decide about one output, and how many integrators each has, one for synaptic currents too.
    capacitance : float
        Of one membrane [F]; that of a charge neuron without one is such that the largest threshold lies at half its
        supply.
    v_unit : float
        What a unit of weight moves it by [V].
    offset : array, (n_votes out, 1, 1)
        Of each comparator, as drawn [V].
    correction, scale : array, the same shape, or float
        What calibration subtracts from offsets [V], and multiplies thresholds and constants by.
    """

    serial = False  # frames are time steps

    def __init__(
        self,
        layer: Stage,
        chip: Chip,
        t_steps: int,
        last: bool,
        n_row_tiles: int,
        key: tuple[int, int, int],
        dtype: torch.dtype,
    ) -> None:
        self._layer, self._chip, self._t_steps, self._key, self._dtype = layer, chip, t_steps, key, dtype
        neurons = cast(Lif, layer.activation)
        self.spec = neurons.neuron
        self._row_tiles = n_row_tiles
        self.n_integrators = 1 if self.spec.alpha is None else 2
        self.last = last
        self.n_votes = n_row_tiles if chip.merging == "majority" else 1
        share = 1 / self.n_votes
        self.threshold, self.constant = (
            self._repeated(x * share) for x in (neurons.threshold, layer.constant.reshape(-1, 1, 1))
        )
        self.beta = self._repeated(neurons.beta)
        spread = chip.neuron.leak_spread
        if spread:
            shape = (self.n_votes * layer.neurons[0], *layer.neurons[1:])
            z = stream(key[0], "leak", *key[1:]).standard_normal(shape)
            self.beta = np.where(self.beta > 0, self.beta ** np.maximum(1 + spread * z, 0), 0.0)
        z = stream(key[0], "comparators", *key[1:]).standard_normal((self.n_votes * layer.neurons[0], 1, 1))
        self.offset = z * chip.readout.decision_spread
        self.correction: np.ndarray | float = 0.0
        self.scale: np.ndarray | float = 1.0
        self.set_unit(1.0)

    def _repeated(self, x: np.ndarray) -> np.ndarray:
        per_channel = np.broadcast_to(x, (self._layer.neurons[0], *x.shape[1:]))
        return np.concatenate([per_channel] * self.n_votes)

    def set_unit(self, gain: float) -> None:
        """Set what a unit of weight moves membranes by; ``gain`` is what arrives of it at passive ones."""
        charge = self._chip.unit_current * self._chip.device.t_read * gain
        largest, pool = float(self.threshold.max()), self._layer.spec.area
        if self.spec.fire == "never":  # room for a step in which all inputs are active
            sums = self._layer.rows[0].worth * np.abs(self._layer.weights).sum(1)
            largest = float(sums.reshape(self._layer.slices, -1).sum(0).max())
        self.capacitance, self.v_unit = self._chip.neuron.membrane(charge, largest, pool)
        if self._chip.merging == "charge-sharing":
            self.v_unit /= self._row_tiles
        if self._chip.neuron.floating and self._layer.slices > 1:
            self.v_unit /= 2**self._layer.slices  # each slice shares its charge with what came before

    def fire(self, current: Tensor, first: int) -> tuple[Tensor, Tensor, float]:
        """Run all time steps; return spikes and membranes, (t_steps, n, out, height, width), and how many were reset.

        Parameters
        ----------
        current : Tensor, (t_steps or 1, n, n_votes out, height, width)
            From the arrays.
        first : int
            Number of the first image, part of the key of comparator noise.
        """
        constant, threshold, level, beta = map(self._tensor, self.parameters())
        noise = self.comparator_noise(current.shape[1], first)
        spikes, membrane = lif(current + constant, threshold, beta, self.spec, self._t_steps, level=level, noise=noise)
        return self._decided(spikes, membrane)

    def step(
        self, current: Tensor, state: LifState | None, t: int, noise: Tensor | None
    ) -> tuple[Tensor, Tensor, float, LifState]:
        """Run time step t alone; all of them, one after the other, do what :meth:`fire` does.

        Parameters
        ----------
        current : Tensor, (1, n, n_votes out, height, width)
        state : LifState, optional
            After the step before.
        t : int
        noise : Tensor, optional
            Of all steps, by :meth:`comparator_noise`.
        """
        constant, threshold, level, beta = map(self._tensor, self.parameters())
        error = None if noise is None else noise[t]
        now = current[0] + constant
        spikes, membrane, state = lif_step(now, state, threshold, beta, self.spec, level=level, noise=error)
        return *self._decided(spikes[None], membrane[None]), state

    def _decided(self, spikes: Tensor, membrane: Tensor) -> tuple[Tensor, Tensor, float]:
        """Return spikes, membranes, and how many were reset, where row tiles vote too."""
        if self.n_votes == 1:
            return spikes, membrane, float(spikes.sum(dtype=torch.float64))
        votes, parts = (x.unflatten(2, (self.n_votes, -1)).sum(2) for x in (spikes, membrane))
        return (2 * votes > self.n_votes).to(votes), parts, float(votes.sum(dtype=torch.float64))

    def parameters(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return constants, thresholds, where comparators fire, and decays, (n_votes out, 1 or height, 1 or width)."""
        level = threshold = self.threshold * self.scale
        if self.offset.any():
            shifted = threshold + (self.offset - self.correction) / self.v_unit
            level = np.maximum(shifted, 1e-30)  # one below 0 fires at any membrane above 0
        return self.constant * self.scale, threshold, level, self.beta

    @property
    def noise(self) -> float:
        """Standard deviation of a comparator's noise, in units of a weight."""
        noise = self._chip.readout.decision_noise
        return noise / self.v_unit if noise else 0.0

    @property
    def noise_key(self) -> np.ndarray:
        """Key of that noise."""
        seed, *key = self._key
        return noise_key(seed, "comparator noise", *key)

    def tally(self, spikes: np.ndarray) -> tuple[float, float]:
        """Return how many spikes there are, and positions and time steps with any."""
        return float(spikes.sum()), float(np.count_nonzero(spikes.any(2)))

    def count(self, n: int, fired: float, places: float, reset: float, ledger: Ledger) -> None:
        """Count what the neurons did and sent.

        Parameters
        ----------
        n : int
            Images.
        fired, places : float
            Spikes, and positions and time steps with any.
        reset : float
            Membranes that crossed their threshold: spikes, or votes for them.
        ledger : Ledger
            Added to.
        """
        outputs = n * self._t_steps * prod(self._layer.neurons)
        ledger.updates += outputs * self.n_votes * self.n_integrators
        if self.spec.alpha is not None and self._chip.neuron.mirrors:
            lasts = self.spec.alpha ** np.arange(self._t_steps)
            ledger.mirrored += ledger.mirrored * float(np.cumsum(lasts).mean())
        ledger.resets += reset
        if self._chip.neuron.mirrors:
            times = outputs / self._layer.neurons[0] * self._layer.spec.area  # as large as the reads of a pool
            ledger.mirrored += float(np.abs(self.constant * self.scale).sum()) * times * self._chip.unit_current
        ledger.spikes += fired
        ledger.collided += fired - places
        ledger.sent += 0.0 if self.last else fired

    def comparator_noise(self, n: int, first: int) -> Tensor | None:
        """Return the noise of all comparators, (t_steps, n, n_votes out, height, width), if they have any."""
        if not self.noise:
            return None
        shape = (self.n_votes * self._layer.neurons[0], *self._layer.neurons[1:])
        z = normal(self.noise_key, first, n, self._t_steps, shape)
        return torch.from_numpy(z).to(self._dtype) * self.noise

    def _tensor(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(x)).to(self._dtype)
