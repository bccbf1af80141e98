"""One array of the chip: programmed, reduced to its ports, and cut down to the lines in use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapping.chip import Chip
from mapping.placement import Patch, bitlines, cell_bits, decoder, first_row
from xbarsim.crossbar import Crossbar
from xbarsim.ports import reduce


@dataclass(frozen=True)
class Tile:
    """The exact linear behaviour of one array with its silent wordlines grounded.

    Attributes
    ----------
    patch : Patch
        The inputs and outputs that it holds.
    crossbar : Crossbar
        The whole array, unused cells included.
    transfer : array, (n_lines, n_rows)
        Current of each used bitline per volt on each used wordline [S].
    driver_admittance : array, (n_rows, n_rows)
        H of the used wordlines [S]; the sources deliver v^t H v.
    decode : array, (n_outputs, n_lines)
        How bitline currents combine into outputs.
    """

    patch: Patch
    crossbar: Crossbar
    transfer: np.ndarray
    driver_admittance: np.ndarray
    decode: np.ndarray

    @property
    def n_lines(self) -> int:
        """Bitlines in use."""
        return len(self.transfer)

    @property
    def used_cells(self) -> int:
        """Cells that hold a weight or a reference."""
        return self.n_lines * self.patch.n_rows


def build_tile(weights: np.ndarray, patch: Patch, chip: Chip, seed: int, key: tuple[int, ...]) -> Tile:
    """Program one array with its part of ``weights`` (n_out, n_in) and reduce it to its ports.

    ``key`` tells the array from others of the same chip, so that its devices are drawn independently.
    """
    die = chip.device.fabricate((chip.rows, chip.cols), seed=seed, key=key)
    crossbar = Crossbar(die.program(cell_bits(weights, patch, chip)), wires=chip.wires, cell=chip.cell)
    ports = reduce(crossbar)
    rows, lines = slice(first_row(patch, chip), None), slice(0, bitlines(patch, chip))
    return Tile(
        patch,
        crossbar,
        transfer=np.ascontiguousarray(ports.transfer[lines, rows]),
        driver_admittance=np.ascontiguousarray(ports.driver_admittance[rows, rows]),
        decode=decoder(patch, chip),
    )
