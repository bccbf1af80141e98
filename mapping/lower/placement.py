"""Placement: a layer's weight matrix cut into arrays, each as the bits of its cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapping.chip import Chip


@dataclass(frozen=True)
class Patch:
    """The part of a layer that one array holds: inputs ``rows`` of outputs ``outputs``."""

    rows: slice
    outputs: slice

    @property
    def n_rows(self) -> int:
        """Inputs, one wordline each."""
        return int(self.rows.stop - self.rows.start)

    @property
    def n_outputs(self) -> int:
        """Outputs."""
        return int(self.outputs.stop - self.outputs.start)


def place(n_inputs: int, n_outputs: int, chip: Chip) -> list[list[Patch]]:
    """Cut a weight matrix (n_outputs, n_inputs) into patches: a list of row tiles, each a list of column tiles."""
    columns = _cut(n_outputs, chip.outputs_per_array)
    return [[Patch(rows, outputs) for outputs in columns] for rows in _cut(n_inputs, chip.rows)]


def _cut(length: int, most: int) -> list[slice]:
    return [slice(start, min(start + most, length)) for start in range(0, length, most)]


def bitlines(patch: Patch, chip: Chip) -> int:
    """Return how many bitlines of an array a patch uses."""
    return 2 * patch.n_outputs if chip.weights == "differential" else patch.n_outputs + 2


def first_row(patch: Patch, chip: Chip) -> int:
    """Return the wordline of the patch's first input; the used rows lie at the sense end, where IR drop is least."""
    return chip.rows - patch.n_rows


def cell_bits(weights: np.ndarray, patch: Patch, chip: Chip) -> np.ndarray:
    """Return the bits (rows, cols) of the whole array, 1 for LRS; unused cells are HRS.

    Differential pairs take bitlines 2k (LRS where the weight is +1) and 2k+1 (LRS where it is -1); both are HRS where
    it is 0. With a reference, output k takes bitline k, followed by an all-LRS and an all-HRS bitline.
    """
    part = weights[patch.outputs, patch.rows].T
    used = np.zeros((patch.n_rows, bitlines(patch, chip)), dtype=np.uint8)
    if chip.weights == "differential":
        used[:, 0::2], used[:, 1::2] = part > 0, part < 0
    else:
        used[:, :-2] = part > 0
        used[:, -2] = 1
    bits = np.zeros((chip.rows, chip.cols), dtype=np.uint8)
    bits[first_row(patch, chip) :, : used.shape[1]] = used
    return bits


def decoder(patch: Patch, chip: Chip) -> np.ndarray:
    """Return the matrix (n_outputs, bitlines) that combines bitline currents into outputs, in units of a current."""
    pick = np.eye(patch.n_outputs)
    if chip.weights == "differential":
        return np.kron(pick, np.array([1.0, -1.0]))
    return np.hstack([pick, np.full((patch.n_outputs, 2), -0.5)])
