"""One array of the chip: a die, programmed, reduced to its ports, and cut down to the lines in use."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from mapping.chip import Chip
from mapping.periphery.sar_adc import SarAdc
from mapping.placement import Patch, bitlines, cell_bits, decoder, first_row
from xbarsim.noise import noise_squares
from xbarsim.ports import reduce, sensitivities

_AT_ONCE = 32  # outputs whose sensitivities are held in memory


class Tile:
    """The exact linear behaviour of one array with its silent wordlines grounded, at its last refresh.

    Parameters
    ----------
    weights : int8 array, (n_out, n_in)
        Of the whole layer; the array is programmed with its part of them.
    patch : Patch
        The inputs and outputs that it holds.
    chip : Chip
    seed, die, key
        Tell its devices from those of other chips and arrays, see :meth:`xbarsim.Device.fabricate`.

    Attributes
    ----------
    die : xbarsim.Die
        The array itself, which reads and time age.
    circuit : xbarsim.die.DieCircuit
        The whole array as a circuit, unused cells included.
    transfer : array, (n_lines, n_rows)
        Current of each used bitline per volt on each used wordline [S].
    cells : array, (n_lines, n_rows)
        The used cells themselves, what ``transfer`` would be without wires [S].
    driver_admittance : array, (n_rows, n_rows)
        H of the used wordlines [S]; the sources deliver v^t H v.
    decode : array, (n_outputs, n_lines)
        How bitline currents combine into outputs.
    seen : array, (n_lines or n_outputs, n_lines)
        How they combine into what the read-out sees: each bitline by itself (a SAR ADC per bitline), or the outputs.
    noise : array, (n_seen, n_rows), or None
        Variance that white read noise gives what the read-out sees, per squared volt on each used wordline [S^2], to
        first order with nominal cell voltages; None without it. What several outputs see is drawn independently: the
        correlation of outputs that share reference bitlines (0.4 with ``weights = "reference"``) is left out.
    beyond_range : float
        Share of the noisy reads of cells that would leave the physical range; to first order they are not cut.
    """

    def __init__(
        self, weights: np.ndarray, patch: Patch, chip: Chip, seed: int, die: int, key: tuple[int, ...]
    ) -> None:
        self.patch, self.chip = patch, chip
        self.decode = decoder(patch, chip)
        single = isinstance(chip.readout, SarAdc) and chip.readout.sense == "bitline"
        self.seen = np.eye(self.decode.shape[1]) if single else self.decode
        self.die = chip.device.fabricate((chip.rows, chip.cols), seed=seed, die=die, key=key)
        self.die.program(cell_bits(weights, patch, chip))
        self.refresh()

    def refresh(self) -> None:
        """Solve the array as its cells are now."""
        chip, patch = self.chip, self.patch
        self._solved = self.die.conductance
        self.circuit = self.die.circuit(chip.wires, chip.cell)
        ports = reduce(self.circuit.crossbar)
        rows = self.circuit.rows[first_row(patch, chip) :]
        lines = self.circuit.cols[: bitlines(patch, chip)]
        self.transfer = ports.transfer[np.ix_(lines, rows)]
        self.cells = self._solved[first_row(patch, chip) :, : len(lines)].T
        self.driver_admittance = ports.driver_admittance[np.ix_(rows, rows)]
        self.noise: np.ndarray | None = None
        self.beyond_range = 0.0
        if chip.device.read_noise.gaussian:
            self.noise = self._output_noise(rows, lines)
            self.beyond_range = self._beyond_range()

    def _output_noise(self, rows: np.ndarray, lines: np.ndarray) -> np.ndarray:
        """Return ``noise``, solving for the bitlines of some outputs at a time."""
        spread, squares = self.die.read_spread[-len(rows) :], []
        for start in range(0, len(self.seen), _AT_ONCE):
            seen = self.seen[start : start + _AT_ONCE]
            within = np.flatnonzero(seen.any(0))
            field = sensitivities(self.circuit.crossbar, lines[within])[:, rows[:, None], self.circuit.cols]
            squares.append(noise_squares(np.tensordot(seen[:, within], field, 1), spread).T)
        return np.concatenate(squares)

    def _beyond_range(self) -> float:
        """Return the share of noisy reads of cells that would leave the physical range."""
        g, (low, high) = self.die.conductance, self.chip.device.g_range
        spread = np.maximum(self.die.read_spread, np.finfo(float).tiny)
        return float(np.mean(ndtr((low - g) / spread) * (g > 0) + ndtr((g - high) / spread)))

    @property
    def moved(self) -> float:
        """Largest change of a conductance since the last refresh, over that of the LRS."""
        return float(np.abs(self.die.conductance - self._solved).max() / self.chip.device.g_lrs)

    @property
    def n_lines(self) -> int:
        """Bitlines in use."""
        return len(self.transfer)

    @property
    def used_cells(self) -> int:
        """Cells that hold a weight or a reference."""
        return self.n_lines * self.patch.n_rows
