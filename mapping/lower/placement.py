"""Placement: a layer's weight matrix cut into arrays, each as the levels of its cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np


class Grid(Protocol):
    """What placement needs to know of a chip: its arrays, and how they hold weights."""

    @property
    def rows(self) -> int:
        """Wordlines of an array."""

    @property
    def cols(self) -> int:
        """Bitlines of an array."""

    @property
    def weights(self) -> Literal["differential", "reference"]:
        """A pair of bitlines for each output, or two references for all."""

    @property
    def outputs_per_array(self) -> int:
        """Outputs that the bitlines of one array hold."""

    @property
    def cell_levels(self) -> int | Literal["analog"]:
        """Levels that cells are used at."""


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


def place(n_inputs: int, n_outputs: int, grid: Grid) -> list[list[Patch]]:
    """Weight matrices (n_outputs, n_inputs) are cut into patches: a list of row tiles, each a list of column tiles."""
    columns = _cut(n_outputs, grid.outputs_per_array)
    return [[Patch(rows, outputs) for outputs in columns] for rows in _cut(n_inputs, grid.rows)]


def _cut(length: int, most: int) -> list[slice]:
    return [slice(start, min(start + most, length)) for start in range(0, length, most)]


def bitlines(patch: Patch, grid: Grid) -> int:
    """Return how many bitlines of an array a patch uses."""
    return 2 * patch.n_outputs if grid.weights == "differential" else patch.n_outputs + 2


def first_row(patch: Patch, grid: Grid) -> int:
    """Return the wordline of the patch's first input; the used rows lie at the sense end, where IR drop is least."""
    return grid.rows - patch.n_rows


def cell_levels(weights: np.ndarray, patch: Patch, grid: Grid) -> np.ndarray:
    """Return the levels (rows, cols) of the whole array, the highest one for LRS; unused cells are HRS, 0.

    Differential pairs take bitlines 2k (the weight where it is above 0) and 2k+1 (its magnitude where it is below);
    both are HRS where it is 0. With a reference, output k takes bitline k, followed by an all-LRS and an all-HRS
    bitline.
    """
    part = weights[patch.outputs, patch.rows].T
    used = np.zeros((patch.n_rows, bitlines(patch, grid)), part.dtype)
    if grid.weights == "differential":
        used[:, 0::2], used[:, 1::2] = np.maximum(part, 0), np.maximum(-part, 0)
    else:
        used[:, :-2] = part > 0
        used[:, -2] = 1
    levels = np.zeros((grid.rows, grid.cols), part.dtype)
    levels[first_row(patch, grid) :, : used.shape[1]] = used
    return levels


def decoder(patch: Patch, grid: Grid) -> np.ndarray:
    """Return the matrix (n_outputs, bitlines) that combines bitline currents into outputs, in units of a current."""
    pick = np.eye(patch.n_outputs)
    if grid.weights == "differential":
        return np.kron(pick, np.array([1.0, -1.0]))
    return np.hstack([pick, np.full((patch.n_outputs, 2), -0.5)])
