"""A layer on its arrays: inputs to membrane currents through the exact circuits, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from typing import Any

import numpy as np
import torch

from mapping.chip.array import Solve, Tile
from mapping.chip.calibration_codes import CalibrationCodes, find_codes
from mapping.chip.chip import Chip
from mapping.chip.neurons import Neurons
from mapping.chip.periphery.ledger import Inventory, Ledger
from mapping.chip.reading import Reading
from mapping.chip.rectifiers import Rectifiers
from mapping.chip.row_tile import RowTile
from mapping.chip.wordlines import Wordlines, side_by_side
from mapping.ir.ops import Lif
from mapping.lower.placement import Patch, place
from mapping.lower.stages import Rows, Stage
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
        self.wordlines: list[Wordlines] = []
        for rows in layer.rows:
            self.wordlines.append(self._wordlines(rows, solve))
        self.row_tiles = [row for part in self.wordlines for row in part.row_tiles]
        self.set_full_scale(max(row.full_scale for row in self.row_tiles))  # does not follow drift
        self.neurons: Neurons | Rectifiers
        if isinstance(layer.activation, Lif):
            self.neurons = Neurons(layer, chip, t_steps, last, len(self.row_tiles), self._key, dtype)
        else:
            self.neurons = Rectifiers(layer, planes)
        self.apply(self.no_codes)
        self.calibrate()

    def _wordlines(self, rows: Rows, solve: Solve) -> Wordlines:
        """Return the arrays of the next rows, whose row tiles are numbered on."""
        first, chip = sum(len(part.row_tiles) for part in self.wordlines), self.chip
        patches = place(rows.weights.shape[1], rows.weights.shape[0], chip)
        keyed = [((self.number, r, c), patch) for r, row in enumerate(patches, first) for c, patch in enumerate(row)]
        tiles = list(in_threads(lambda item: self._tile(rows, *item, solve), keyed))
        n_cols, reading = len(patches[0]), Reading(rows, chip.rows)
        row_tiles = [
            RowTile(rows, chip, tiles[i : i + n_cols], reading, (*self._key, first + i // n_cols), self.dtype)
            for i in range(0, len(tiles), n_cols)
        ]
        return Wordlines(rows, chip, row_tiles, reading, first)

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

    def fit_full_scale(self, given: Sequence[np.ndarray]) -> None:
        """Set the full scale of converters to the quantile of the currents that samples (n, ...) of inputs cause."""
        adc = self.row_tiles[0].adc
        if adc is not None and adc.full_scale == "calibrated":
            samples = [torch.from_numpy(np.ascontiguousarray(x)).to(self.dtype) for x in given]
            parts = [
                row.seen(x, None, 1, Ledger()).abs().flatten().numpy()
                for x, part in zip(samples, self.wordlines)
                for row in part.row_tiles
            ]
            largest = float(np.quantile(np.concatenate(parts), adc.full_scale_quantile))
            if largest > 0:
                self.set_full_scale(largest * self.chip.unit_current)

    def _refuse(self) -> None:
        """Raise an error if the chip cannot run this layer."""
        layer, chip, where = self.layer, self.chip, f"{self.chip.name}, layer {self.number + 1}"
        chip.device.ask("v_read", "t_read")
        refusal = chip.neuron.refusal(layer.activation.neuron) if isinstance(layer.activation, Lif) else ""
        if refusal:
            raise ParameterError(f"{where}: {refusal}")
        if chip.neuron.floating and layer.slices > 1 and chip.cell_levels != 2:
            raise ParameterError(
                f"{where}: passive neurons weigh digits by sharing charge with what came before, which halves it: give "
                f"bits_per_cell = 1, or cells that hold weights of {layer.slices} digits whole"
            )
        if chip.weights == "reference" and not layer.weights.all():
            raise ParameterError(f"{where}: weights of 0 need a pair of bitlines; set weights = 'differential'")
        if layer.spec.pool_by == "maximum" and chip.merging != "digital":
            raise ParameterError(
                f"{where}: pool_by = 'maximum', but {chip.neuron.kind} neurons only add currents; "
                "use average pooling, or a sar-adc with digital neurons"
            )

    def _tile(self, rows: Rows, key: tuple[int, int, int], patch: Patch, solve: Solve) -> Tile:
        seed, die, number = self._key
        try:
            return Tile(rows.weights, patch, self.chip, seed, die, key, solve, rows.worth)
        except ParameterError as error:
            place = f"die {die}, layer {number + 1}, array ({key[1]}, {key[2]})"
            raise ParameterError(f"{self.chip.name}, {place}: {error}") from None

    def assemble(self) -> None:
        """Combine the arrays as they were last solved, with the calibration codes that are set."""
        for part in self.wordlines:
            part.collect()
        if self.chip.neuron.floating:  # its unit is what arrives on average
            arrives = self._share(side_by_side(self.wordlines, "uncalibrated"))
            if arrives <= 0:
                raise ParameterError(f"{self.chip.name}, layer {self.number + 1}: nothing of its weights arrives")
            for part in self.wordlines:
                part.uncalibrated /= arrives
            self.neurons.set_unit(arrives)
            for row in self.row_tiles:
                row.arrives = arrives
        for part in self.wordlines:
            part.calibrate(self.reads_are_noisy and self.chip.linear)
        self.prepared: dict[str, Any] = {}  # what engines make of it as it is now

    @property
    def effective_weights(self) -> np.ndarray:
        """What arrives of the weights of all its inputs, with calibration, (n_out, n_in)."""
        return side_by_side(self.wordlines, "effective_weights")

    @property
    def cell_weights(self) -> np.ndarray:
        """What the cells hold of them."""
        return side_by_side(self.wordlines, "cell_weights")

    @property
    def reads_are_noisy(self) -> bool:
        """Whether white noise is drawn for every read."""
        return self.tiles[0].noise is not None

    def calibrate(self) -> None:
        """Set the calibration codes to what the arrays are now."""
        calibration, neurons = self.chip.calibration, self.neurons
        if calibration is not None:
            stops = np.cumsum([row.n_rows for row in self.row_tiles])
            rows = [slice(stop - row.n_rows, stop) for stop, row in zip(stops.tolist(), self.row_tiles)]
            votes = rows if neurons.n_votes > 1 else [slice(None)]
            ideal, spread = self.layer.weights, self.chip.readout.decision_spread
            arrives = side_by_side(self.wordlines, "uncalibrated")
            self.apply(find_codes(calibration, ideal, arrives, rows, votes, neurons.offset, spread))

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
            neurons=neurons.n_votes * neurons.n_integrators * prod(self.layer.neurons),
            codes=copies * calibration.n_codes(*room) if calibration else 0,
            ors=sum(part.rows.n_ors for part in self.wordlines),
            registers=sum(part.rows.n_waiting for part in self.wordlines),
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
        return 1 - self._share(side_by_side(self.wordlines, "uncalibrated")) / held

    @property
    def weights_kept(self) -> float:
        """Share of the weights that the cells hold, after variation, faults and drift: <W, W_cells> / <W, W>."""
        return self._share(self.cell_weights)

    def _share(self, weights: np.ndarray) -> float:
        """Return <W, weights> / <W, W>."""
        ideal = self.layer.weights.astype(float)
        return float(np.sum(ideal * weights) / np.sum(ideal**2))

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
