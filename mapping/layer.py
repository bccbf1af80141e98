"""A layer on its arrays: inputs to membrane currents through the exact ports, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import block_diag
from torch import Tensor

from mapping.ageing import Activity, Ageing, CellVoltages, wear
from mapping.bsnn.fold import FoldedLayer
from mapping.bsnn.layers import weighted_input
from mapping.bsnn.neuron import lif
from mapping.bsnn.spec import NetworkSpec
from mapping.chip import Chip
from mapping.cost import Charges
from mapping.kernels.reads import pair_counts, read_sums
from mapping.periphery.neuron_circuit import ChargeNeuron, DigitalNeuron
from mapping.periphery.sar_adc import SarAdc
from mapping.periphery.sense_amp import SenseAmp
from mapping.placement import Patch, place
from mapping.tile import Tile
from xbarsim.errors import ParameterError
from xbarsim.kernels.jit import launching
from xbarsim.streams import stream


class MappedLayer:
    """The tiles of one layer, the merging of their partial sums, and the neurons behind them.

    Parameters
    ----------
    layer : FoldedLayer
    chip : Chip
    network : NetworkSpec
        Decay, clip and time steps.
    seed, die : int
        Root seed of device variation, and which die of that seed.
    number : int
        Position of the layer in the network, from 0; part of the key of its random draws.
    dtype : torch.dtype
        Precision of inference; circuits are always solved in double precision.
    """

    def __init__(
        self, layer: FoldedLayer, chip: Chip, network: NetworkSpec, seed: int, die: int, number: int, dtype: torch.dtype
    ) -> None:
        self.layer, self.chip, self.network, self.dtype = layer, chip, network, dtype
        self._key = (seed, die, number)
        if chip.weights == "reference" and not layer.weights.all():
            raise ParameterError(
                f"{chip.name}, layer {number + 1}: weights of 0 need a pair of bitlines; set weights = 'differential'"
            )
        if layer.spec.pool_by == "maximum" and isinstance(chip.neuron, ChargeNeuron):
            raise ParameterError(
                f"{chip.name}, layer {number + 1}: pool_by = 'maximum', but charge neurons only add currents; "
                "use average pooling, or a sar-adc with digital neurons"
            )
        patches = place(layer.weights.shape[1], layer.weights.shape[0], chip)
        keyed = [((number, r, c), patch) for r, row in enumerate(patches) for c, patch in enumerate(row)]
        with ThreadPoolExecutor(max_workers=2) as pool:
            tiles = list(pool.map(lambda item: self._tile(*item), keyed))
        n_cols = len(patches[0])
        self.tiles: list[list[Tile]] = [tiles[i : i + n_cols] for i in range(0, len(tiles), n_cols)]
        self.threshold, self._beta = (torch.from_numpy(x.copy()).to(dtype) for x in (layer.threshold, layer.beta))
        self._constant = torch.from_numpy(layer.constant.reshape(-1, 1, 1)).to(dtype)
        self.assemble()
        if isinstance(chip.readout, SarAdc):
            lines = (self._by_output(row, "transfer") * chip.device.v_read for row in self.tiles)
            worst, given = max(map(_largest, lines)), chip.readout.full_scale
            self._full_scale = given if isinstance(given, float) else worst  # does not follow drift

    def _tile(self, key: tuple[int, int, int], patch: Patch) -> Tile:
        seed, die, number = self._key
        try:
            return Tile(self.layer.weights, patch, self.chip, seed, die, key)
        except ParameterError as error:
            place = f"die {die}, layer {number + 1}, array ({key[1]}, {key[2]})"
            raise ParameterError(f"{self.chip.name}, {place}: {error}") from None

    def assemble(self) -> None:
        """Combine the arrays as they were last solved."""
        scale = self.chip.device.v_read / self.chip.unit_current

        def weights(what: str) -> np.ndarray:
            rows = [np.vstack([tile.decode @ getattr(tile, what) for tile in row]) for row in self.tiles]
            return np.hstack(rows) * scale  # (n_out, n_in), one being the ideal unit of current

        self.effective_weights, self.cell_weights = weights("transfer"), weights("cells")
        if self.tiles[0][0].noise is not None and not isinstance(self.chip.readout, SarAdc):
            self._noise = np.hstack([self._by_output(row, "noise") for row in self.tiles])
            self._noise *= (scale / self.layer.spec.pool) ** 2  # the average of pool^2 independent reads
        self._admittance, self._line_conductance = self._driver_model()

    def refresh(self) -> None:
        """Solve all arrays as their cells are now."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(Tile.refresh, [tile for row in self.tiles for tile in row]))
        self.assemble()

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
        """Share of the weights, as the cells hold them, that the wires take away: 1 - <W, W_eff> / <W, W_cells>.

        No number if the cells hold less than a hundredth of them.
        """
        ideal, held = self.layer.weights, self.weights_kept
        if abs(held) < 0.01:  # next to nothing to lose
            return float("nan")
        return float(1 - np.sum(ideal * self.effective_weights) / (held * ideal.size))

    @property
    def weights_kept(self) -> float:
        """Share of the weights that the cells hold, after variation, faults and drift: <W, W_cells> / <W, W>."""
        return float(np.sum(self.layer.weights * self.cell_weights) / self.layer.weights.size)

    def _driver_model(self) -> tuple[np.ndarray, np.ndarray]:
        """Return H summed over the arrays on the same wordlines, and each wordline's sum over bitlines of T."""
        rows = self.chip.rows
        admittance = np.zeros((len(self.tiles), rows, rows))
        for block, row in zip(admittance, self.tiles):
            used = row[0].patch.n_rows
            block[:used, :used] = sum(tile.driver_admittance for tile in row)
        return admittance, np.concatenate([sum(tile.transfer.sum(0) for tile in row) for row in self.tiles])

    def forward(
        self, x: np.ndarray, analog: bool, first: int = 0, ageing: Ageing | None = None
    ) -> tuple[np.ndarray, Tensor, Charges]:
        """Run all time steps; return spikes, membranes and what they cost.

        Parameters
        ----------
        x : array, (t_steps, n, ...) or (1, n, ...)
            Wordline voltages over v_read, in [0, 1]. One entry is a constant input.
        analog : bool
            Whether a DAC drives the wordlines; otherwise x is spikes, 0 or 1.
        first : int
            Number of the first image, part of the key of read noise.
        ageing : Ageing, optional
            How the reads age the arrays while they happen.

        Returns
        -------
        spikes : array, (t_steps, n, channels, height, width)
            0 or 1.
        membrane : Tensor, the same shape
            Before it is reset, in units of a weight.
        charges : Charges
        """
        charges, spec = Charges(), self.network
        frames, n = x.shape[:2]
        flat = np.ascontiguousarray(x.reshape(frames * n, *self.layer.in_shape))
        held = frames == 1 and self.chip.constant_input == "once"
        inputs = torch.from_numpy(flat).to(self.dtype).reshape(frames, n, *self.layer.in_shape)
        noise = self._noise_draws(1 if held else spec.t_steps, n, first)
        if ageing is None:
            current = self._current(inputs, slice(0, spec.t_steps), noise, charges)
            self._charge_reads(flat, analog, spec.t_steps if frames == 1 and not held else 1, charges)
        else:
            current = self._current_while_ageing(flat, inputs, analog, held, noise, charges, ageing)
        current = current + self._constant
        fired, membrane = lif(current, self.threshold, self._beta, self.layer.neuron, spec.t_steps)
        spikes = fired.contiguous().numpy()
        self._charge_outputs(spikes, charges)
        return spikes, membrane, charges

    def _current(self, inputs: Tensor, steps: slice, noise: list[Tensor], charges: Charges) -> Tensor:
        """Return the current of some time steps, (steps, n, ...), or (1, n, ...) if it is the same in all of them."""
        readout = self.chip.readout
        x = inputs if len(inputs) == 1 else inputs[steps]
        flat, drawn = x.flatten(0, 1), [z[steps] for z in noise]
        if isinstance(readout, SarAdc):
            current = self._converted(flat, drawn, readout, charges)
        else:
            current = self._weighted(flat, self.effective_weights, self.layer.spec.pool)
            if drawn:
                current = self._noisy(current, self._weighted(flat**2, self._noise, self.layer.spec.pool), drawn[0])
        return current.reshape(-1, x.shape[1], *current.shape[1:])

    def _current_while_ageing(
        self,
        x: np.ndarray,
        inputs: Tensor,
        analog: bool,
        held: bool,
        noise: list[Tensor],
        charges: Charges,
        ageing: Ageing,
    ) -> Tensor:
        """Return the current of all time steps, each of them ageing the arrays, which are solved again as they move."""
        t_steps, n = self.network.t_steps, inputs.shape[1]
        dt = n * ageing.step_time
        parts, start, whole = [], 0, None
        for t in range(1 if held else t_steps):
            if len(inputs) > 1 or t == 0:
                now = self.activity(x[t * n : (t + 1) * n], analog)
            moved = []
            for row, activity in enumerate(now):
                for tile in self.tiles[row]:
                    if tile not in ageing.voltages:
                        whole = whole or self.activity(x, analog)
                        ageing.voltages[tile] = CellVoltages.of(tile, whole[row])
                    wear(tile, ageing.voltages[tile], activity, 1.0, ageing.temperature)
                    tile.die.advance(dt=dt, temperature=ageing.temperature)
                    if tile.moved > ageing.tolerance:
                        moved.append(tile)
            if moved or t + 1 == t_steps or held:
                current = self._current(inputs, slice(start, t + 1), noise, charges)
                if len(inputs) == 1:
                    self._charge_reads(x, analog, t + 1 - start, charges)
                else:
                    self._charge_reads(x[start * n : (t + 1) * n], analog, 1, charges)
                parts.append(current if held else current.expand(t + 1 - start, *current.shape[1:]))
                start = t + 1
            for tile in moved:
                tile.refresh()
                del ageing.voltages[tile]
            ageing.refreshes += len(moved)
            if moved:
                self.assemble()
        return torch.cat(parts)

    def _noise_draws(self, t_steps: int, n: int, first: int) -> list[Tensor]:
        """Return standard normal numbers (t_steps, n, ...) for each draw of a step, the same in any batch."""
        if self.tiles[0][0].noise is None:
            return []
        seed, die, number = self._key
        shapes: list[tuple[int, ...]] = [self.layer.out_shape]
        if isinstance(self.chip.readout, SarAdc):
            positions = self.layer.spec.read_positions(self.layer.in_shape)
            shapes = [(sum(len(tile.seen) for tile in row), *positions) for row in self.tiles]
        drawn = []
        for row, shape in enumerate(shapes):
            z = np.empty((t_steps, n, *shape), np.float32)
            for k in range(n):
                z[:, k] = stream(seed, "read noise", die, first + k, number, row).standard_normal(
                    (t_steps, *shape), np.float32
                )
            drawn.append(torch.from_numpy(z).to(self.dtype))
        return drawn

    def _noisy(self, current: Tensor, variance: Tensor, z: Tensor) -> Tensor:
        """Add noise of a variance, z (steps, n, ...), to currents (n, ...) of all steps or (steps n, ...)."""
        shape = (-1, z.shape[1], *current.shape[1:])
        return (current.reshape(shape) + variance.reshape(shape).sqrt() * z).flatten(0, 1)

    def _weighted(self, x: Tensor, weights: np.ndarray, pool: int) -> Tensor:
        """Apply a matrix (n_out, n_in) at every position, average pooling included."""
        side = self.layer.spec.kernel
        kernel = torch.from_numpy(weights.reshape(len(weights), -1, side, side)).to(self.dtype)
        return weighted_input(x, kernel, pool, self.layer.spec.margin, self.layer.spec.stride)

    def _converted(self, x: Tensor, noise: list[Tensor], adc: SarAdc, charges: Charges) -> Tensor:
        """Quantize each tile column at every position; pool, decode and add the codes digitally."""
        chip, pool, average = self.chip, self.layer.spec.pool, self.layer.spec.pool_by == "average"
        lines = [self._by_output(row, "transfer") * chip.device.v_read for row in self.tiles]
        lsb = self._full_scale / adc.top_code
        total: Tensor | float = 0.0
        for k, (row, line) in enumerate(zip(self.tiles, lines)):
            channels, matrix = self._on_channels(row, line / lsb)
            codes = self._weighted(x[:, channels], matrix, 1)
            if noise:
                _, squares = self._on_channels(row, self._by_output(row, "noise") * (chip.device.v_read / lsb) ** 2)
                codes = self._noisy(codes, self._weighted(x[:, channels] ** 2, squares, 1), noise[k])
            codes = codes.round_()
            low = 0 if adc.sense == "bitline" else -adc.top_code
            charges.conversions += codes.numel()
            charges.clipped += int(torch.count_nonzero((codes > adc.top_code) | (codes < low)))
            codes.clamp_(low, adc.top_code)
            codes = F.avg_pool2d(codes, pool) if pool > 1 and average else codes
            decode = torch.from_numpy(self._decoder(row, adc) * (lsb / chip.unit_current)).to(self.dtype)
            total = total + weighted_input(codes, decode[:, :, None, None], 1)
        assert isinstance(total, Tensor)
        return total if average else F.max_pool2d(total, pool)

    def _on_channels(self, row: list[Tile], matrix: np.ndarray) -> tuple[slice, np.ndarray]:
        """Widen a matrix (n, rows of a row tile) to whole input channels; return these and the matrix."""
        area, patch = self.layer.spec.kernel**2, row[0].patch
        first, last = patch.rows.start // area, -(-patch.rows.stop // area)
        wide = np.zeros((len(matrix), (last - first) * area))
        start = patch.rows.start - first * area
        wide[:, start : start + patch.n_rows] = matrix
        return slice(first, last), wide

    def _by_output(self, row: list[Tile], what: str) -> np.ndarray:
        """Return transfer [S] or noise [S^2] of a row tile as its read-out sees it, (n_conversions, n_rows)."""
        parts = (tile.noise if what == "noise" else tile.seen @ tile.transfer for tile in row)
        return np.vstack([part for part in parts if part is not None])

    def _decoder(self, row: list[Tile], adc: SarAdc) -> np.ndarray:
        """Return how the conversions of a row tile combine into outputs, (n_out, n_conversions)."""
        blocks = (t.decode if adc.sense == "bitline" else np.eye(t.patch.n_outputs) for t in row)
        return np.asarray(block_diag(*blocks))

    def _charge_reads(self, x: np.ndarray, analog: bool, repeats: int, charges: Charges) -> None:
        """Add the energy of reading samples x (n, ...), each ``repeats`` times, from the arrays as they were solved."""
        chip, device = self.chip, self.chip.device
        quadratic, linear, driven = (self._analog_sums if analog else self._spike_sums)(x)
        charges.driven += repeats * driven
        charges.array += repeats * device.t_read * device.v_read**2 * quadratic
        # a tile column adds arrays on the same wordlines, each with drivers of its own
        charges.driver += repeats * driven * len(self.tiles[0]) * chip.driver.energy(device.t_read, analog)
        if isinstance(chip.neuron, ChargeNeuron):
            charges.neuron += chip.neuron.energy_per_ampere(device.t_read) * repeats * device.v_read * linear
        elif isinstance(chip.readout, SarAdc):
            columns = sum(len(tile.seen) for row in self.tiles for tile in row)
            conversions = repeats * len(x) * self.layer.n_positions * columns
            charges.conversion += chip.readout.energy * conversions
            charges.neuron += chip.neuron.energy_per_add * conversions

    def _charge_outputs(self, spikes: np.ndarray, charges: Charges) -> None:
        """Add the energy of the neurons behind ``spikes``, and of their decisions."""
        chip, updates = self.chip, spikes.size
        if isinstance(chip.neuron, ChargeNeuron) and isinstance(chip.readout, SenseAmp):
            constants = np.abs(self.layer.constant).sum() * updates / len(self.layer.constant) * chip.unit_current
            charges.neuron += chip.neuron.energy_per_ampere(chip.device.t_read) * constants
            charges.neuron += chip.neuron.energy_per_spike * float(spikes.sum())
            charges.conversion += chip.readout.energy * updates
        elif isinstance(chip.neuron, DigitalNeuron):
            charges.neuron += chip.neuron.energy_per_update * updates

    def _spike_sums(self, x: np.ndarray) -> tuple[float, float, float]:
        """Return the sums over all reads of x^t H x, of the bitline currents per volt, and of driven wordlines."""
        quadratic, linear, driven = (np.empty(len(x)) for _ in range(3))
        with launching:
            read_sums(
                x, *self._reading, self._admittance, self._line_conductance, self.chip.rows, quadratic, linear, driven
            )
        return float(quadratic.sum()), float(linear.sum()), float(driven.sum())

    def _analog_sums(self, x: np.ndarray) -> tuple[float, float, float]:
        """Return the same sums as :meth:`_spike_sums` for any levels, by dense products."""
        rows = self.chip.rows
        quadratic = linear = driven = 0.0
        for reads in self._reads(x):
            linear += float((reads @ self._line_conductance).sum())
            driven += float(np.count_nonzero(reads))
            for tile, block in enumerate(self._admittance):
                part = reads[:, tile * rows : (tile + 1) * rows]
                used = part.shape[1]
                quadratic += float(np.einsum("ij,ij->", part @ block[:used, :used], part))
        return quadratic, linear, driven

    def _reads(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the reads of samples (n, ...) some at a time, each (n_reads, n_wordlines)."""
        side, margin, stride = self._reading
        for first in range(0, len(x), 64):
            samples = torch.from_numpy(x[first : first + 64]).double()
            yield F.unfold(samples, side, padding=margin, stride=stride).transpose(1, 2).flatten(0, 1).numpy()

    @property
    def _reading(self) -> tuple[int, int, int]:
        """Kernel, padding and stride of the reads."""
        spec = self.layer.spec
        return spec.kernel, spec.margin, spec.stride

    def activity(self, x: np.ndarray, analog: bool) -> list[Activity]:
        """Count what the wordlines of each row tile do in the reads of samples (n, ...)."""
        if analog:
            parts = (
                [Activity.of_levels(reads[:, row[0].patch.rows]) for row in self.tiles] for reads in self._reads(x)
            )
            return [sum(of_tile[1:], of_tile[0]) for of_tile in zip(*parts)]
        rows = self.chip.rows
        pairs = np.zeros((2, len(self.tiles), rows, rows))
        with launching:
            pair_counts(x, *self._reading, rows, pairs)
        n_reads, used = float(len(x) * self.layer.n_positions), [row[0].patch.n_rows for row in self.tiles]
        return [Activity.of_spikes(n_reads, block[:n, :n]) for block, n in zip(pairs.sum(0), used)]


def _largest(line: np.ndarray) -> float:
    return float(np.abs(line).sum(1).max())
