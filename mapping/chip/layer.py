"""A layer on its arrays: inputs to membrane currents through the exact circuits, and what that costs."""

from __future__ import annotations

from math import ceil, prod
from typing import Any

import numpy as np
import torch

from mapping.chip.activity import Activity
from mapping.chip.array import Solve, Tile
from mapping.chip.calibration_codes import CalibrationCodes, find_codes
from mapping.chip.chip import Chip
from mapping.chip.neurons import Neurons
from mapping.chip.periphery.ledger import Inventory, Ledger
from mapping.chip.reading import Reading, Sums
from mapping.chip.rectifiers import Rectifiers
from mapping.chip.row_tile import RowTile
from mapping.ir.ops import Lif
from mapping.lower.placement import Patch, place
from mapping.lower.stages import Stage
from xbarsim.draws import noise_key
from xbarsim.errors import ParameterError
from xbarsim.ports import reduce
from xbarsim.threads import in_threads


class MappedLayer:
    """The tiles of one layer, the merging of their partial sums, and the neurons behind them.

    Copies of its arrays (``Chip.replication``) are taken to be identical.

    Parameters
    ----------
    layer : Stage
    chip : Chip
    planes : array, (t_steps,)
        What the frames of an input stand for: time steps, the value of each of its bits, or of a DAC's top level.
    last : bool
        Whether no layer follows.
    seed, die : int
        Root seed of device variation, and which die of that seed.
    number : int
        Position of the layer in the network, from 0; part of the key of its random draws.
    dtype : torch.dtype
        Precision of inference; circuits are always solved in double precision.
    solve : callable
        See :class:`mapping.chip.array.Tile`.
    """

    def __init__(
        self,
        layer: Stage,
        chip: Chip,
        planes: np.ndarray,
        last: bool,
        seed: int,
        die: int,
        number: int,
        dtype: torch.dtype,
        solve: Solve = reduce,
    ) -> None:
        t_steps = len(planes)
        self.layer, self.chip, self.t_steps, self.dtype = layer, chip, t_steps, dtype
        self.number, self._key = number, (seed, die, number)
        self._refuse()
        patches = place(layer.weights.shape[1], layer.weights.shape[0], chip)
        keyed = [((number, r, c), patch) for r, row in enumerate(patches) for c, patch in enumerate(row)]
        tiles = list(in_threads(lambda item: self._tile(*item, solve), keyed))
        n_cols = len(patches[0])
        self.reading = Reading(layer, chip.rows)
        self.row_tiles = [
            RowTile(layer, chip, tiles[i : i + n_cols], self.reading, (*self._key, i // n_cols), dtype)
            for i in range(0, len(tiles), n_cols)
        ]
        self.set_full_scale(max(row.full_scale for row in self.row_tiles))  # does not follow drift
        self.neurons: Neurons | Rectifiers
        if isinstance(layer.activation, Lif):
            self.neurons = Neurons(layer, chip, t_steps, last, len(self.row_tiles), self._key, dtype)
        else:
            self.neurons = Rectifiers(layer, planes)
        self.apply(self.no_codes)
        self.calibrate()

    @property
    def die(self) -> int:
        """Which die of its seed it is on."""
        return self._key[1]

    @property
    def tiles(self) -> list[Tile]:
        """All arrays."""
        return [tile for row in self.row_tiles for tile in row.tiles]

    def set_full_scale(self, current: float) -> None:
        """Set the full scale of all converters [A]."""
        for row in self.row_tiles:
            row.full_scale = current

    def fit_full_scale(self, x: np.ndarray) -> None:
        """Set the full scale of converters to the quantile of the currents that samples (n, ...) cause."""
        adc = self.row_tiles[0].adc
        if adc is not None and adc.full_scale == "calibrated":
            samples = torch.from_numpy(np.ascontiguousarray(x)).to(self.dtype)
            parts = [row.seen(samples, None, 1, Ledger()).abs().flatten().numpy() for row in self.row_tiles]
            largest = float(np.quantile(np.concatenate(parts), adc.full_scale_quantile))
            if largest > 0:
                self.set_full_scale(largest * self.chip.unit_current)

    def _refuse(self) -> None:
        """Raise an error if the chip cannot run this layer."""
        layer, chip, where = self.layer, self.chip, f"{self.chip.name}, layer {self.number + 1}"
        chip.device.ask("v_read", "t_read")
        if chip.weights == "reference" and not layer.weights.all():
            raise ParameterError(f"{where}: weights of 0 need a pair of bitlines; set weights = 'differential'")
        if layer.spec.pool_by == "maximum" and chip.merging != "digital":
            raise ParameterError(
                f"{where}: pool_by = 'maximum', but {chip.neuron.kind} neurons only add currents; "
                "use average pooling, or a sar-adc with digital neurons"
            )

    def _tile(self, key: tuple[int, int, int], patch: Patch, solve: Solve) -> Tile:
        seed, die, number = self._key
        try:
            return Tile(self.layer.weights, patch, self.chip, seed, die, key, solve)
        except ParameterError as error:
            place = f"die {die}, layer {number + 1}, array ({key[1]}, {key[2]})"
            raise ParameterError(f"{self.chip.name}, {place}: {error}") from None

    def assemble(self) -> None:
        """Combine the arrays as they were last solved, with the calibration codes that are set."""
        scale = self.chip.device.v_read / self.chip.unit_current

        def weights(what: str) -> np.ndarray:
            rows = [np.vstack([t.decode @ getattr(t, what) for t in row.tiles]) for row in self.row_tiles]
            return np.hstack(rows) * scale  # (n_out, n_in), one being the ideal unit of current

        self._uncalibrated, self.cell_weights = weights("transfer"), weights("cells")
        if self.chip.neuron.floating:  # its unit is what arrives on average
            arrives = self._share(self._uncalibrated)
            if arrives <= 0:
                raise ParameterError(f"{self.chip.name}, layer {self.number + 1}: nothing of its weights arrives")
            self._uncalibrated /= arrives
            self.neurons.set_unit(arrives)
            for row in self.row_tiles:
                row.arrives = arrives
        gains = np.hstack([np.repeat(row.gains[:, None], row.n_rows, 1) for row in self.row_tiles])
        self.effective_weights = self._uncalibrated * gains
        if self.reads_are_noisy and self.chip.linear:
            self.noise = np.hstack([row.lines("noise") for row in self.row_tiles])
            self.noise *= (scale * gains / self.layer.spec.pool) ** 2  # the average of pool^2 independent reads
        self.admittance, self.line_conductance = self._driver_model()
        self.prepared: dict[str, Any] = {}  # what engines make of it as it is now

    @property
    def reads_are_noisy(self) -> bool:
        """Whether white noise is drawn for every read."""
        return self.tiles[0].noise is not None

    def calibrate(self) -> None:
        """Set the calibration codes to what the arrays are now."""
        calibration, neurons = self.chip.calibration, self.neurons
        if calibration is not None:
            rows = [row.rows for row in self.row_tiles]
            votes = rows if neurons.n_votes > 1 else [slice(None)]
            ideal, spread = self.layer.weights, self.chip.readout.decision_spread
            self.apply(find_codes(calibration, ideal, self._uncalibrated, rows, votes, neurons.offset, spread))

    def apply(self, codes: CalibrationCodes) -> None:
        """Set calibration codes that were found before."""
        self.codes = codes
        self.neurons.scale, self.neurons.correction = codes.threshold, codes.offset
        for row, gains in zip(self.row_tiles, codes.gains):
            row.gains = gains
            for adc in row.converters:
                adc.apply(codes.converters)
        self.assemble()

    @property
    def no_codes(self) -> CalibrationCodes:
        """Calibration codes that change nothing."""
        return CalibrationCodes([np.ones(self.layer.spec.out)] * len(self.row_tiles))

    @property
    def inventory(self) -> Inventory:
        """What it is made of, all copies of its arrays."""
        chip, neurons, outputs = self.chip, self.neurons, self.layer.spec.out
        copies, calibration = chip.copies(self.number), chip.calibration
        adcs = sum(adc.n_converters for row in self.row_tiles for adc in row.converters)  # of lines in use
        comparators = 0 if adcs else neurons.n_votes * outputs
        room = len(self.row_tiles) * outputs, adcs + comparators, neurons.n_votes * outputs
        return Inventory(
            positions=ceil(self.layer.n_positions / copies),
            places=ceil(prod(self.layer.out_shape[1:]) / copies),
            outputs=outputs // self.layer.slices,
            cells=copies * self.n_tiles * chip.rows * chip.cols,
            wordlines=copies * self.n_tiles * chip.rows,
            converters=copies * self.n_tiles * chip.readout.converters(chip.converted_lines),
            comparators=copies * comparators,
            neurons=neurons.n_votes * prod(self.layer.out_shape) // self.layer.slices,
            codes=copies * calibration.n_codes(*room) if calibration else 0,
            capacitance=neurons.capacitance,
            sends=not neurons.last,
        )

    def refresh(self) -> None:
        """Solve all arrays as their cells are now."""
        list(in_threads(Tile.refresh, self.tiles))
        self.assemble()

    @property
    def n_tiles(self) -> int:
        """Arrays in use."""
        return len(self.tiles)

    @property
    def utilization(self) -> float:
        """Cells that hold a weight or a reference, over all cells of the arrays."""
        used = sum(tile.used_cells for tile in self.tiles)
        return used / (self.n_tiles * self.chip.rows * self.chip.cols)

    @property
    def ir_drop(self) -> float:
        """Share of the weights, as the cells hold them, that the wires take away: 1 - <W, W_eff> / <W, W_cells>.

        Before calibration; of passive neurons, whose unit is what arrives on average, none. No number if the cells hold
        less than a hundredth of their weights.
        """
        held = self.weights_kept
        if abs(held) < 0.01 or self.chip.neuron.floating:
            return float("nan")
        return 1 - self._share(self._uncalibrated) / held

    @property
    def weights_kept(self) -> float:
        """Share of the weights that the cells hold, after variation, faults and drift: <W, W_cells> / <W, W>."""
        return self._share(self.cell_weights)

    def _share(self, weights: np.ndarray) -> float:
        """Return <W, weights> / <W, W>."""
        ideal = self.layer.weights.astype(float)
        return float(np.sum(ideal * weights) / np.sum(ideal**2))

    def _driver_model(self) -> tuple[np.ndarray, np.ndarray]:
        """Return H summed over the arrays on the same wordlines, and each wordline's sums over bitlines of T.

        The first of these counts every bitline in use once, a second one as often as mirrors copy it, if they do.
        """
        admittance = np.zeros((len(self.row_tiles), self.chip.rows, self.chip.rows))
        for block, row in zip(admittance, self.row_tiles):
            block[: row.n_rows, : row.n_rows] = sum(tile.driver_admittance for tile in row.tiles)
        supply = [[sum(tile.transfer.sum(0) for tile in row.tiles) for row in self.row_tiles]]
        if self.chip.neuron.mirrors and self.chip.weights == "reference":
            supply.append([sum(tile.copies @ tile.transfer for tile in row.tiles) for row in self.row_tiles])
        return admittance, np.stack([np.concatenate(one) for one in supply])

    @property
    def number_type(self) -> np.dtype:
        """Precision of inference."""
        return np.dtype(np.float32 if self.dtype == torch.float32 else np.float64)

    def noise_keys(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the keys of reads and of conversions, (n_row_tiles, 3) each."""
        seed, die, number = self._key
        reads, conversions = (
            np.stack([noise_key(seed, purpose, die, number, row) for row in range(len(self.row_tiles))])
            for purpose in ("read noise", "converter noise")
        )
        return reads, conversions

    def count_reads(self, n: int, sums: Sums, analog: bool, repeats: int, ledger: Ledger) -> None:
        """Count what reading n samples, each ``repeats`` times, makes of the arrays as they were solved.

        ``sums`` are those of :meth:`mapping.chip.reading.Reading.sums`.
        """
        chip, v_read, (quadratic, supplied, driven) = self.chip, self.chip.device.v_read, sums
        reads = repeats * n * self.layer.n_positions
        ledger.driven += repeats * driven
        # a tile column adds arrays on the same wordlines, each with drivers of its own
        lines = repeats * driven * len(self.row_tiles[0].tiles)
        ledger.wordlines += 0.0 if analog else lines
        ledger.dac_wordlines += lines if analog else 0.0
        ledger.power += repeats * v_read**2 * quadratic
        if chip.inactive == "ground":
            ledger.current += repeats * v_read * supplied[0]
            if chip.neuron.mirrors and not chip.by_bitline:
                ledger.mirrored += repeats * v_read * supplied[-1]
        ledger.sampled += reads * sum(row.n_lines for row in self.row_tiles)
        conversions = reads * sum(row.n_conversions for row in self.row_tiles)
        ledger.conversions += conversions
        ledger.added += conversions
        ledger.unused += reads * self.n_tiles * chip.converted_lines - conversions

    def activity(self, x: np.ndarray, analog: bool) -> list[Activity]:
        """Count what the wordlines of each row tile do in the reads of samples (n, ...)."""
        return self.reading.activity(x, analog, [row.rows for row in self.row_tiles])
