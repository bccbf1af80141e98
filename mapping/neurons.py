"""The neurons of a layer as circuits: thresholds with offsets, leaks with spread, votes of row tiles."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mapping.bsnn.fold import FoldedLayer
from mapping.bsnn.neuron import lif
from mapping.bsnn.spec import NetworkSpec
from mapping.chip import Chip
from mapping.cost import Charges
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
            self.beta = np.where(self.beta > 0, self.beta, 1e-300) ** np.maximum(1 + spread * z, 0)
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

    def fire(self, current: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """Run all time steps; return spikes and membranes, (t_steps, n, out, height, width).

        Parameters
        ----------
        current : Tensor, (t_steps or 1, n, n_votes out, height, width)
            From the arrays.
        first : int
            Number of the first image, part of the key of comparator noise.
        """
        threshold, constant = self._tensor(self.threshold * self.scale), self._tensor(self.constant * self.scale)
        level, beta, noise = threshold, self._tensor(self.beta), self._noise(current.shape[1], first)
        if self.offset.any():
            shifted = self.threshold * self.scale + (self.offset - self.trim) / self.v_unit
            level = self._tensor(np.maximum(shifted, 1e-30))  # one below 0 fires at any membrane above 0
        spec, t_steps = self._layer.neuron, self._network.t_steps
        spikes, membrane = lif(current + constant, threshold, beta, spec, t_steps, level=level, noise=noise)
        if self.n_votes == 1:
            return spikes, membrane
        votes, parts = (x.unflatten(2, (self.n_votes, -1)).sum(2) for x in (spikes, membrane))
        return (2 * votes > self.n_votes).to(votes), parts

    def charge(self, spikes: np.ndarray, charges: Charges) -> None:
        """Add the energy of the neurons behind ``spikes``, of their decisions, and of what their spikes send."""
        chip, updates, fired = self._chip, spikes.size * self.n_votes, float(spikes.sum())
        if isinstance(chip.readout, SenseAmp):
            charges.conversion += chip.readout.energy * updates
        if isinstance(chip.neuron, DigitalNeuron):
            charges.neuron += chip.neuron.energy_per_update * updates
        else:
            charges.neuron += chip.neuron.energy_per_spike * fired
        if isinstance(chip.neuron, ChargeNeuron):
            times = spikes.size / self._layer.spec.out * self._layer.spec.pool**2  # as large as the reads of a pool
            constants = np.abs(self.constant * self.scale).sum() * times * chip.unit_current
            charges.neuron += chip.neuron.energy_per_ampere(chip.device.t_read) * constants
        if chip.link is not None and not self.last:
            charges.link += chip.link.energy_per_spike * fired
        charges.spikes += fired
        charges.collided += fired - float(np.count_nonzero(spikes.any(2)))

    def _noise(self, n: int, first: int) -> Tensor | None:
        readout = self._chip.readout
        if not isinstance(readout, SenseAmp) or not readout.noise:
            return None
        shape = (self._network.t_steps, self.n_votes * self._layer.out_shape[0], *self._layer.out_shape[1:])
        z = np.empty((shape[0], n, *shape[1:]), np.float32)
        seed, die, number = self._key
        for k in range(n):
            z[:, k] = stream(seed, "comparator noise", die, first + k, number).standard_normal(shape, np.float32)
        return torch.from_numpy(z).to(self._dtype) * (readout.noise / self.v_unit)

    def _tensor(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(x)).to(self._dtype)
