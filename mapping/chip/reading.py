"""How a layer's inputs become reads of its arrays: one for each position of the kernel; and what they drive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from mapping.chip.activity import Activity
from mapping.kernels.reads import pair_counts, read_sums
from mapping.lower.stages import Rows
from xbarsim.kernels.jit import launching

Sums = tuple[float, tuple[float, ...], float]

_AT_ONCE = 64  # samples whose reads are held in memory


class Reading:
    """The reads that samples (n, channels, height, width) cause on arrays of ``rows`` wordlines.

    Parameters
    ----------
    layer : Rows
    rows : int
    """

    def __init__(self, layer: Rows, rows: int) -> None:
        self.rows, self.n_positions = rows, layer.n_positions
        self.geometry = layer.spec.side, layer.spec.margin, layer.spec.step
        self._positions = layer.spec.read_positions(layer.in_shape)

    def patches(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the reads of samples some at a time, each (n_reads, n_wordlines)."""
        (side, margin, stride), (rows, cols) = self.geometry, self._positions
        for first in range(0, len(x), _AT_ONCE):
            samples = torch.from_numpy(x[first : first + _AT_ONCE]).double()
            wide = (samples.shape[3] + 2 * margin - side) // stride + 1
            reads = F.unfold(samples, side, padding=margin, stride=stride).unflatten(2, (-1, wide))
            yield reads[..., :rows, :cols].flatten(2).transpose(1, 2).flatten(0, 1).numpy()

    def sums(self, x: np.ndarray, analog: bool, admittance: np.ndarray, supply: np.ndarray) -> Sums:
        """Return sums over all reads: of s^t H s, of each supply.s, and of driven wordlines.

        Parameters
        ----------
        x : array, (n, channels, height, width)
        analog : bool
            Whether x has other levels than 0 and 1.
        admittance : array, (n_row_tiles, rows, rows)
            H of each row tile.
        supply : array, (n_supplies, n_wordlines)
        """
        if not analog:
            quadratic, linear, driven = np.empty(len(x)), np.empty((len(x), len(supply))), np.empty(len(x))
            with launching:
                read_sums(x, *self.geometry, *self._positions, admittance, supply, self.rows, quadratic, linear, driven)
            return float(quadratic.sum()), tuple(linear.sum(0).tolist()), float(driven.sum())
        total, drawn, lines = 0.0, np.zeros(len(supply)), 0.0
        for reads in self.patches(x):
            drawn += (reads @ supply.T).sum(0)
            lines += float(np.count_nonzero(reads))
            for tile, block in enumerate(admittance):
                part = reads[:, tile * self.rows : (tile + 1) * self.rows]
                used = part.shape[1]
                total += float(np.einsum("ij,ij->", part @ block[:used, :used], part))
        return total, tuple(drawn.tolist()), lines

    def driven(self, x: np.ndarray) -> float:
        """Return how many wordlines are driven in all reads of samples (n, ...)."""
        return float(sum(np.count_nonzero(reads) for reads in self.patches(x)))

    def activity(self, x: np.ndarray, analog: bool, rows: Sequence[slice]) -> list[Activity]:
        """Count what the wordlines of each row tile, given by its inputs, do in the reads of samples (n, ...)."""
        if analog:
            parts = ([Activity.of_levels(reads[:, part]) for part in rows] for reads in self.patches(x))
            return [sum(of_tile[1:], of_tile[0]) for of_tile in zip(*parts)]
        pairs = np.zeros((2, len(rows), self.rows, self.rows))
        with launching:
            pair_counts(x, *self.geometry, *self._positions, self.rows, pairs)
        n_reads, used = float(len(x) * self.n_positions), [part.stop - part.start for part in rows]
        return [Activity.of_spikes(n_reads, block[:n, :n]) for block, n in zip(pairs.sum(0), used)]
