"""The arrays of a layer whose wordlines one source drives: what its inputs become there, and what they draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mapping.chip.activity import Activity
from mapping.chip.array import Tile
from mapping.chip.chip import Chip
from mapping.chip.periphery.ledger import Ledger
from mapping.chip.reading import Reading, Sums
from mapping.chip.row_tile import RowTile
from mapping.lower.stages import Rows


class Wordlines:
    """The row tiles that one source drives.

    Parameters
    ----------
    rows : Rows
    chip : Chip
    row_tiles : list of RowTile
    reading : Reading
    first : int
        The number of the first row tile in the layer.

    Attributes
    ----------
    uncalibrated, cell_weights : array, (n_out, n_in)
        What arrives of the weights, and what the cells hold, one being the ideal unit of current.
    effective_weights : array, the same shape
        What arrives with calibration.
    noise : array, the same shape
        Variance of their read noise, where reads are noisy and a layer's currents are a product with one matrix.
    admittance : array, (n_row_tiles, rows, rows)
        H summed over the arrays on the same wordlines.
    line_conductance : array, (1 or 2, n_in)
        Each wordline's sum over bitlines of T; a second one counts them as often as mirrors copy them, if they do.
    """

    def __init__(self, rows: Rows, chip: Chip, row_tiles: list[RowTile], reading: Reading, first: int) -> None:
        self.rows, self.chip, self.row_tiles, self.reading, self.first = rows, chip, row_tiles, reading, first

    @property
    def tiles(self) -> list[Tile]:
        """All arrays."""
        return [tile for row in self.row_tiles for tile in row.tiles]

    def collect(self) -> None:
        """Take over the arrays as they were last solved."""
        scale = self.chip.device.v_read / self.chip.unit_current

        def weights(what: str) -> np.ndarray:
            rows = [np.vstack([t.decode @ getattr(t, what) for t in row.tiles]) for row in self.row_tiles]
            return np.hstack(rows) * scale

        self.uncalibrated, self.cell_weights = weights("transfer"), weights("cells")
        chip, row_tiles = self.chip, self.row_tiles
        self.admittance = np.zeros((len(row_tiles), chip.rows, chip.rows))
        for block, row in zip(self.admittance, row_tiles):
            block[: row.n_rows, : row.n_rows] = sum(tile.driver_admittance for tile in row.tiles)
        supply = [[sum(tile.transfer.sum(0) for tile in row.tiles) for row in row_tiles]]
        if chip.neuron.mirrors and (chip.weights == "reference" or self.rows.slices > 1):
            supply.append([sum(tile.copies @ tile.transfer for tile in row.tiles) for row in row_tiles])
        self.line_conductance = np.stack([np.concatenate(one) for one in supply])

    def calibrate(self, noisy: bool) -> None:
        """Take over what calibration multiplies outputs by; with ``noisy``, combine read noise too."""
        scale = self.chip.device.v_read / self.chip.unit_current
        gains = np.hstack([np.repeat(row.gains[:, None], row.n_rows, 1) for row in self.row_tiles])
        self.effective_weights = self.uncalibrated * gains
        if noisy:
            self.noise = np.hstack([row.lines("noise") for row in self.row_tiles])
            self.noise *= (scale * gains / self.rows.spec.area**0.5) ** 2  # the average of independent reads

    def sums(self, x: np.ndarray, analog: bool) -> Sums:
        """Return what reading samples (n, ...) draws, see :meth:`mapping.chip.reading.Reading.sums`."""
        return self.reading.sums(x, analog, self.admittance, self.line_conductance)

    def activity(self, x: np.ndarray, analog: bool) -> list[Activity]:
        """Count what the wordlines of each row tile do in the reads of samples (n, ...)."""
        return self.reading.activity(x, analog, [row.rows for row in self.row_tiles])

    def worst_case(self) -> list[Activity]:
        """Return one read with every wordline of each row tile at v_read."""
        return [Activity.worst_case(row.n_rows) for row in self.row_tiles]

    def count_reads(self, n: int, sums: Sums, analog: bool, repeats: int, ledger: Ledger) -> None:
        """Count what reading n samples, each ``repeats`` times, makes of the arrays as they were solved.

        ``sums`` are those of :meth:`sums`.
        """
        chip, v_read, (quadratic, supplied, driven) = self.chip, self.chip.device.v_read, sums
        reads = repeats * n * self.rows.n_positions
        ledger.ors += repeats * n * self.rows.n_ors
        ledger.written += repeats * n * self.rows.n_waiting * (self.chip.driver.code_bits if analog else 1)
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
        ledger.unused += reads * len(self.tiles) * chip.converted_lines - conversions


def side_by_side(parts: Sequence[Wordlines], what: str) -> np.ndarray:
    """Return a matrix of all wordlines of a layer, (n_out, n_in)."""
    found = [getattr(part, what) for part in parts]
    whole: np.ndarray = found[0] if len(found) == 1 else np.hstack(found)
    return whole
