"""The neurons of a layer as circuits: thresholds with offsets, leaks with spread, votes of row tiles."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor

from mapping.bsnn.fold import FoldedLayer
from mapping.bsnn.neuron import lif
from mapping.bsnn.spec import NetworkSpec
from mapping.chip import Chip
from mapping.cost import Charges
from mapping.draws import noise_key, normal
from mapping.periphery.neuron_circuit import ChargeNeuron, DigitalNeuron
from mapping.periphery.sense_amp import SenseAmp
from xbarsim.streams import stream


class Neurons:
    """All neurons of a layer, in units of a weight; of each row tile, if row tiles decide by themselves.

    Parameters
    ----------
    layer : FoldedLayer
    chip : Chip
    network : NetworkSpec
    n_row_tiles : int
    key : (seed, die, layer number)
        Of what is drawn.
    dtype : torch.dtype

    Attributes
    ----------
    last : bool
        Whether no layer follows.
    n_votes : int
        How many membranes decide about one output.
    capacitance : float
        Of one membrane [F]; that of a charge neuron without one is such that the largest threshold lies at half its
        supply.
    v_unit : float
        What a unit of weight moves it by [V].
    offset : array, (n_votes out, 1, 1)
        Of each comparator, as drawn [V].
    trim, scale : array, the same shape, or float
        What calibration subtracts from offsets [V], and multiplies thresholds and constants by.
    """

    def __init__(
        self,
        layer: FoldedLayer,
        chip: Chip,
        network: NetworkSpec,
        n_row_tiles: int,
        key: tuple[int, int, int],
        dtype: torch.dtype,
    ) -> None:
        self._layer, self._chip, self._network, self._key, self._dtype = layer, chip, network, key, dtype
        self._row_tiles = n_row_tiles
        self.last = key[2] == len(network.layers) - 1
        self.n_votes = n_row_tiles if chip.merging == "majority" else 1
        share = 1 / self.n_votes
        self.threshold, self.constant = (
            self._repeated(x * share) for x in (layer.threshold, layer.constant.reshape(-1, 1, 1))
        )
        self.beta = self._repeated(layer.beta)
        spread = 0.0 if isinstance(chip.neuron, DigitalNeuron) else chip.neuron.leak_spread
        if spread:
            shape = (self.n_votes * layer.out_shape[0], *layer.out_shape[1:])
            z = stream(key[0], "leak", *key[1:]).standard_normal(shape)
            self.beta = np.where(self.beta > 0, self.beta ** np.maximum(1 + spread * z, 0), 0.0)
        self.offset = np.zeros((self.n_votes * layer.spec.out, 1, 1))
        if isinstance(chip.readout, SenseAmp):
            self.offset = stream(key[0], "comparators", *key[1:]).standard_normal(self.offset.shape)
            self.offset *= chip.readout.offset
        self.trim: np.ndarray | float = 0.0
        self.scale: np.ndarray | float = 1.0
        self.set_unit(1.0)

    def _repeated(self, x: np.ndarray) -> np.ndarray:
        per_channel = np.broadcast_to(x, (self._layer.spec.out, *x.shape[1:]))
        return np.concatenate([per_channel] * self.n_votes)

    def set_unit(self, gain: float) -> None:
        """Set what a unit of weight moves membranes by; ``gain`` is what arrives of it at passive ones."""
        neuron, device = self._chip.neuron, self._chip.device
        if isinstance(neuron, DigitalNeuron):
            self.capacitance = self.v_unit = 0.0
            return
        charge = self._chip.unit_current * device.t_read * gain
        if isinstance(neuron, ChargeNeuron):
            charge *= neuron.mirror_ratio * self._layer.spec.pool**2  # the reads of a pool add up
            largest = float(self.threshold.max()) * charge
            self.capacitance = largest / (neuron.v_supply / 2) if neuron.capacitance is None else neuron.capacitance
        else:
            self.capacitance = neuron.capacitance
        self.v_unit = charge / self.capacitance
        if self._chip.merging == "charge-sharing":
            self.v_unit /= self._row_tiles

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
        noise = self._noise(current.shape[1], first)
        spec, t_steps = self._layer.neuron, self._network.t_steps
        spikes, membrane = lif(current + constant, threshold, beta, spec, t_steps, level=level, noise=noise)
        if self.n_votes == 1:
            return spikes, membrane, float(spikes.sum(dtype=torch.float64))
        votes, parts = (x.unflatten(2, (self.n_votes, -1)).sum(2) for x in (spikes, membrane))
        return (2 * votes > self.n_votes).to(votes), parts, float(votes.sum(dtype=torch.float64))

    def parameters(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return constants, thresholds, where comparators fire, and decays, (n_votes out, 1 or height, 1 or width)."""
        level = threshold = self.threshold * self.scale
        if self.offset.any():
            shifted = threshold + (self.offset - self.trim) / self.v_unit
            level = np.maximum(shifted, 1e-30)  # one below 0 fires at any membrane above 0
        return self.constant * self.scale, threshold, level, self.beta

    @property
    def noise(self) -> float:
        """Standard deviation of a comparator's noise, in units of a weight."""
        readout = self._chip.readout
        return readout.noise / self.v_unit if isinstance(readout, SenseAmp) else 0.0

    @property
    def noise_key(self) -> np.ndarray:
        """Key of that noise."""
        seed, *key = self._key
        return noise_key(seed, "comparator noise", *key)

    def charge(self, n: int, fired: float, places: float, reset: float, charges: Charges) -> None:
        """Add the energy of the neurons, of their decisions, and of what their spikes send.

        Parameters
        ----------
        n : int
            Images.
        fired, places : float
            Spikes, and positions and time steps with any.
        reset : float
            Membranes that crossed their threshold: spikes, or votes for them.
        charges : Charges
            Added to.
        """
        chip, outputs = self._chip, n * self._network.t_steps * prod(self._layer.out_shape)
        updates = outputs * self.n_votes
        if isinstance(chip.readout, SenseAmp):
            charges.conversion += chip.readout.energy * updates
        if isinstance(chip.neuron, DigitalNeuron):
            charges.neuron += chip.neuron.energy_per_update * updates
        else:
            charges.neuron += chip.neuron.energy_per_spike * reset
        if isinstance(chip.neuron, ChargeNeuron):
            times = outputs / self._layer.spec.out * self._layer.spec.pool**2  # as large as the reads of a pool
            constants = np.abs(self.constant * self.scale).sum() * times * chip.unit_current
            charges.neuron += chip.neuron.energy_per_ampere(chip.device.t_read) * constants
        if chip.link is not None and not self.last:
            charges.link += chip.link.energy_per_spike * fired
        charges.spikes += fired
        charges.collided += fired - places

    def _noise(self, n: int, first: int) -> Tensor | None:
        if not self.noise:
            return None
        shape = (self.n_votes * self._layer.out_shape[0], *self._layer.out_shape[1:])
        z = normal(self.noise_key, first, n, self._network.t_steps, shape)
        return torch.from_numpy(z).to(self._dtype) * self.noise

    def _tensor(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(x)).to(self._dtype)
