"""A layer on its arrays: inputs to membrane currents through the exact ports, and what that costs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import block_diag
from torch import Tensor

from mapping.bsnn.fold import FoldedLayer
from mapping.bsnn.layers import weighted_input
from mapping.bsnn.neuron import lif
from mapping.bsnn.spec import NetworkSpec
from mapping.chip import Chip
from mapping.cost import Charges
from mapping.kernels.reads import read_sums
from mapping.periphery.neuron_circuit import ChargeNeuron, DigitalNeuron
from mapping.periphery.sar_adc import SarAdc
from mapping.periphery.sense_amp import SenseAmp
from mapping.placement import place
from mapping.tile import Tile, build_tile


class MappedLayer:
    """The tiles of one layer, the merging of their partial sums, and the neurons behind them.

    Parameters
    ----------
    layer : FoldedLayer
    chip : Chip
    network : NetworkSpec
        Decay, clip and time steps.
    seed : int
        Root seed of device variation.
    number : int
        Position of the layer in the network, from 0; part of the key of its random draws.
    dtype : torch.dtype
        Precision of inference; circuits are always solved in double precision.
    """

    def __init__(
        self, layer: FoldedLayer, chip: Chip, network: NetworkSpec, seed: int, number: int, dtype: torch.dtype
    ) -> None:
        self.layer, self.chip, self.network, self.dtype = layer, chip, network, dtype
        patches = place(layer.weights.shape[1], layer.weights.shape[0], chip)
        keyed = [((number, r, c), patch) for r, row in enumerate(patches) for c, patch in enumerate(row)]
        with ThreadPoolExecutor(max_workers=2) as pool:
            tiles = list(pool.map(lambda item: build_tile(layer.weights, item[1], chip, seed, item[0]), keyed))
        n_cols = len(patches[0])
        self.tiles: list[list[Tile]] = [tiles[i : i + n_cols] for i in range(0, len(tiles), n_cols)]
        self.effective_weights = self._effective_weights()
        shape = (-1, 1, 1)
        self._threshold = torch.from_numpy(layer.threshold.reshape(shape)).to(dtype)
        self._constant = torch.from_numpy(layer.constant.reshape(shape)).to(dtype)
        self._admittance, self._line_conductance = self._driver_model()

    @property
    def n_tiles(self) -> int:
        """Arrays in use."""
        return sum(map(len, self.tiles))

    @property
    def utilization(self) -> float:
        """Cells that hold a weight or a reference, over all cells of the arrays."""
        used = sum(tile.used_cells for row in self.tiles for tile in row)
        return used / (self.n_tiles * self.chip.rows * self.chip.cols)

    @property
    def ir_drop(self) -> float:
        """Share of the weights that the wires take away: 1 - <W, W_effective> / <W, W>."""
        ideal = self.layer.weights
        return float(1 - np.sum(ideal * self.effective_weights) / ideal.size)

    def _effective_weights(self) -> np.ndarray:
        """Return the weights (n_out, n_in) that the arrays realize, one being the ideal unit of current."""
        scale = self.chip.device.v_read / self.chip.unit_current
        rows = [np.vstack([tile.decode @ tile.transfer for tile in row]) for row in self.tiles]
        return np.asarray(np.hstack(rows) * scale)

    def _driver_model(self) -> tuple[np.ndarray, np.ndarray]:
        """Return H summed over the arrays on the same wordlines, and each wordline's sum over bitlines of T."""
        rows = self.chip.rows
        admittance = np.zeros((len(self.tiles), rows, rows))
        for block, row in zip(admittance, self.tiles):
            used = row[0].patch.n_rows
            block[:used, :used] = sum(tile.driver_admittance for tile in row)
        return admittance, np.concatenate([sum(tile.transfer.sum(0) for tile in row) for row in self.tiles])

    def forward(self, x: np.ndarray, analog: bool) -> tuple[np.ndarray, Charges]:
        """Run all time steps; return the spikes and what they cost.

        Parameters
        ----------
        x : array, (t_steps, n, ...) or (1, n, ...)
            Wordline voltages over v_read, in [0, 1]. One entry is a constant input.
        analog : bool
            Whether a DAC drives the wordlines; otherwise x is spikes, 0 or 1.

        Returns
        -------
        spikes : array, (t_steps, n, channels, height, width)
            0 or 1.
        charges : Charges
        """
        charges = Charges()
        steps, n = x.shape[:2]
        flat = np.ascontiguousarray(x.reshape(steps * n, *self.layer.in_shape))
        inputs = torch.from_numpy(flat).to(self.dtype)
        readout = self.chip.readout
        if isinstance(readout, SarAdc):
            current = self._converted(inputs, readout, charges)
        else:
            current = self._weighted(inputs, self.effective_weights)
        current = current.reshape(steps, n, *current.shape[1:]) + self._constant
        spec = self.network
        spikes = lif(current, self._threshold, spec.beta, spec.slope, spec.clip, spec.t_steps).numpy()
        repeats = spec.t_steps if steps == 1 and self.chip.constant_input == "every-step" else 1
        self._charge(flat, analog, repeats, spikes, charges)
        return spikes, charges

    def _weighted(self, x: Tensor, weights: np.ndarray) -> Tensor:
        """Apply a matrix (n_out, n_in) at every position, average pooling included."""
        side = self.layer.spec.kernel
        kernel = torch.from_numpy(weights.reshape(len(weights), -1, side, side)).to(self.dtype)
        return weighted_input(x, kernel, self.layer.spec.pool)

    def _converted(self, x: Tensor, adc: SarAdc, charges: Charges) -> Tensor:
        """Quantize each tile column at every position; pool, decode and add the codes digitally."""
        chip, side, pool = self.chip, self.layer.spec.kernel, self.layer.spec.pool
        unit = chip.unit_current
        lines = [self._line_matrix(row, adc) * chip.device.v_read for row in self.tiles]
        full_scale = adc.full_scale if isinstance(adc.full_scale, float) else max(_largest(line) for line in lines)
        lsb = full_scale / adc.top_code
        total: Tensor | float = 0.0
        for row, line in zip(self.tiles, lines):
            first, last = row[0].patch.rows.start // side**2, -(-row[0].patch.rows.stop // side**2)
            kernel = np.zeros((len(line), (last - first) * side**2))
            start = row[0].patch.rows.start - first * side**2
            kernel[:, start : start + row[0].patch.n_rows] = line / lsb
            kernels = torch.from_numpy(kernel.reshape(len(line), -1, side, side)).to(self.dtype)
            codes = weighted_input(x[:, first:last], kernels, 1).round_()
            low = 0 if adc.sense == "bitline" else -adc.top_code
            charges.conversions += codes.numel()
            charges.clipped += int(torch.count_nonzero((codes > adc.top_code) | (codes < low)))
            codes = F.avg_pool2d(codes.clamp_(low, adc.top_code), pool) if pool > 1 else codes.clamp_(low, adc.top_code)
            decode = torch.from_numpy(self._decoder(row, adc) * (lsb / unit)).to(self.dtype)
            total = total + weighted_input(codes, decode[:, :, None, None], 1)
        assert isinstance(total, Tensor)
        return total

    def _line_matrix(self, row: list[Tile], adc: SarAdc) -> np.ndarray:
        """Return what each conversion of a row tile sees per volt on its wordlines, (n_conversions, n_rows) [S]."""
        return np.vstack([t.transfer if adc.sense == "bitline" else t.decode @ t.transfer for t in row])

    def _decoder(self, row: list[Tile], adc: SarAdc) -> np.ndarray:
        """Return how the conversions of a row tile combine into outputs, (n_out, n_conversions)."""
        blocks = (t.decode if adc.sense == "bitline" else np.eye(t.patch.n_outputs) for t in row)
        return np.asarray(block_diag(*blocks))

    def _charge(self, x: np.ndarray, analog: bool, repeats: int, spikes: np.ndarray, charges: Charges) -> None:
        """Add the energy of the reads that led to ``spikes``; each read of ``x`` happened ``repeats`` times."""
        chip, device = self.chip, self.chip.device
        quadratic, linear, driven = (self._analog_sums if analog else self._spike_sums)(x)
        charges.driven += repeats * driven
        charges.array += repeats * device.t_read * device.v_read**2 * quadratic
        # a tile column adds arrays on the same wordlines, each with drivers of its own
        charges.driver += repeats * driven * len(self.tiles[0]) * chip.driver.energy(device.t_read, analog)
        updates = spikes.size
        if isinstance(chip.neuron, ChargeNeuron) and isinstance(chip.readout, SenseAmp):
            neuron = chip.neuron
            per_ampere = neuron.mirror_ratio * neuron.v_supply * device.t_read
            constants = np.abs(self.layer.constant).sum() * updates / len(self.layer.constant) * chip.unit_current
            charges.neuron += per_ampere * (repeats * device.v_read * linear + constants)
            charges.neuron += neuron.energy_per_spike * float(spikes.sum())
            charges.conversion += chip.readout.energy * updates
        elif isinstance(chip.neuron, DigitalNeuron) and isinstance(chip.readout, SarAdc):
            conversions = repeats * charges.conversions
            charges.conversion += chip.readout.energy * conversions
            charges.neuron += chip.neuron.energy_per_add * conversions + chip.neuron.energy_per_update * updates

    def _spike_sums(self, x: np.ndarray) -> tuple[float, float, float]:
        """Return the sums over all reads of x^t H x, of the bitline currents per volt, and of driven wordlines."""
        quadratic, linear, driven = (np.empty(len(x)) for _ in range(3))
        side = self.layer.spec.kernel
        read_sums(x, side, self._admittance, self._line_conductance, self.chip.rows, quadratic, linear, driven)
        return float(quadratic.sum()), float(linear.sum()), float(driven.sum())

    def _analog_sums(self, x: np.ndarray) -> tuple[float, float, float]:
        """Return the same sums as :meth:`_spike_sums` for any levels, by dense products."""
        side, rows = self.layer.spec.kernel, self.chip.rows
        quadratic = linear = driven = 0.0
        for first in range(0, len(x), 64):
            samples = torch.from_numpy(x[first : first + 64]).double()
            reads = F.unfold(samples, side, padding=side // 2).transpose(1, 2).flatten(0, 1).numpy()
            linear += float((reads @ self._line_conductance).sum())
            driven += float(np.count_nonzero(reads))
            for tile, block in enumerate(self._admittance):
                part = reads[:, tile * rows : (tile + 1) * rows]
                used = part.shape[1]
                quadratic += float(np.einsum("ij,ij->", part @ block[:used, :used], part))
        return quadratic, linear, driven


def _largest(line: np.ndarray) -> float:
    return float(np.abs(line).sum(1).max())
