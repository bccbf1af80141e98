"""One array of the chip: a die, programmed, reduced to its ports, and cut down to the lines in use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr

from mapping.chip.chip import Chip
from mapping.lower.placement import Patch, bitlines, cell_levels, decoder, first_row
from xbarsim.crossbar import Crossbar
from xbarsim.errors import ParameterError
from xbarsim.inactive import InactiveRows
from xbarsim.noise import noise_squares
from xbarsim.ports import PortModel, reduce, sensitivities

Solve = Callable[[Crossbar], PortModel]

_AT_ONCE = 32  # outputs whose sensitivities are held in memory


class Tile:
    """The exact behaviour of one array at its last refresh.

    Parameters
    ----------
    weights : array, (n_out, n_in)
        Of all arrays that one source drives; this one is programmed with its part of them.
    patch : Patch
        The inputs and outputs that it holds.
    chip : Chip
    seed, die, key
        Tell its devices from those of other chips and arrays, see :meth:`xbarsim.Device.fabricate`.
    solve : callable
        :func:`xbarsim.reduce`, or :class:`xbarsim.port_cache.PortCache`.
    worth : array, (n_out,), optional
        What one of each output counts; 1 unless given.

    Attributes
    ----------
    die : xbarsim.Die
        The array itself, which reads and time age.
    circuit : xbarsim.die.DieCircuit
        The whole array as a circuit, unused cells included.
    transfer : array, (n_lines, n_rows)
        Current of each used bitline per volt on each used wordline [S]: with inactive wordlines at 0 V they add; with
        open or gated ones they are those of a wordline that is active alone. Of a passive neuron, the charge that has
        come to the bitline at the end of the read, over its length.
    cells : array, (n_lines, n_rows)
        The used cells themselves, what ``transfer`` would be without wires [S].
    driver_admittance : array, (n_rows, n_rows)
        H of the used wordlines [S], on average over the read: the sources deliver v^t H v. Zero if inactive ones are
        not at 0 V.
    decode : array, (n_outputs, n_lines)
        How bitline currents combine into outputs.
    seen : array, (n_lines or n_outputs, n_lines)
        How they combine into what the read-out sees: each bitline by itself (a SAR ADC per bitline), or the outputs.
    copies : array, (n_lines,)
        How often mirrors copy each used bitline's current: into its own output, or half into each that it is a
        reference of; as often as that output counts.
    noise : array, (n_seen, n_rows), or None
        Variance that white read noise gives what the read-out sees, per squared volt on each used wordline [S^2], to
        first order with nominal cell voltages; None without it. What several outputs see is drawn independently: the
        correlation of outputs that share reference bitlines (0.4 with ``weights = "reference"``) is left out.
    beyond_range : float
        Share of the noisy reads of cells that would leave the physical range; to first order they are not cut.
    """

    def __init__(
        self,
        weights: np.ndarray,
        patch: Patch,
        chip: Chip,
        seed: int,
        die: int,
        key: tuple[int, ...],
        solve: Solve = reduce,
        worth: np.ndarray | None = None,
    ) -> None:
        self.patch, self.chip, self._solve = patch, chip, solve
        self.decode = decoder(patch, chip)
        counts = np.ones(patch.n_outputs) if worth is None else worth[patch.outputs]
        self.copies = counts @ np.abs(self.decode)
        self.seen = np.eye(self.decode.shape[1]) if chip.by_bitline else self.decode
        self.die = chip.device.fabricate((chip.rows, chip.cols), seed=seed, die=die, key=key)
        self.die.program(cell_levels(weights, patch, chip) * chip.level_step)
        self.refresh()

    def refresh(self) -> None:
        """Solve the array as its cells are now."""
        chip, patch = self.chip, self.patch
        self._solved = self.die.conductance
        self.circuit = self.die.circuit(chip.wires, chip.cell)
        self._used = self.circuit.rows[first_row(patch, chip) :]
        self._lines = self.circuit.cols[: bitlines(patch, chip)]
        self.cells = self._solved[first_row(patch, chip) :, : len(self._lines)].T
        if chip.inactive == "ground":
            transfer, admittance = self._ports()
            self.transfer = transfer[np.ix_(self._lines, self._used)]
            self.driver_admittance = admittance[np.ix_(self._used, self._used)]
        else:
            if chip.inactive == "gated" and self.circuit.crossbar.g.shape != (chip.rows, chip.cols):
                raise ParameterError("bridged lines with inactive = 'gated' are not modelled; use 'ground' or 'open'")
            self._inactive = InactiveRows(self.circuit.crossbar, chip.inactive)
            self.transfer = self.read(np.eye(len(self._used)))[0].T / chip.device.v_read
            self.driver_admittance = np.zeros((len(self._used), len(self._used)))
        self.noise: np.ndarray | None = None
        self.beyond_range = 0.0
        if chip.device.read_noise.gaussian:
            self.noise = self._output_noise()
            self.beyond_range = self._beyond_range()

    def read(self, levels: np.ndarray) -> tuple[np.ndarray, float]:
        """Read with open or gated inactive wordlines, each pattern as a circuit of its own.

        Parameters
        ----------
        levels : array, (n, n_rows)
            Voltages of the used wordlines over v_read.

        Returns
        -------
        currents : array, (n, n_lines)
            Of the used bitlines [A].
        power : float
            What the drivers deliver, summed over reads [W].
        """
        v = np.zeros((len(levels), self.circuit.crossbar.n_rows))
        v[:, self._used] = levels * self.chip.device.v_read
        currents, power = self._inactive.read(v)
        return currents[:, self._lines], float(power.sum())

    def _ports(self) -> tuple[np.ndarray, np.ndarray]:
        """Return T and H of the whole array, as its neurons read them."""
        return self.chip.neuron.ports(self._solve(self.circuit.crossbar), self.chip.device.t_read)

    def _output_noise(self) -> np.ndarray:
        """Return ``noise``, solving for the bitlines of some outputs at a time."""
        rows, lines = self._used, self._lines
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
