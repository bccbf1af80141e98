"""What reads do to wordlines: how often each of them is driven, at which level, and together with which others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVELS = 64  # analog inputs are counted in so many bins


@dataclass
class Counts:
    """How often wordlines were driven over many reads, in units of v_read.

    Attributes
    ----------
    n_reads : float
    levels : array, (n_levels,)
        Levels above 0; only 1 for spikes.
    counts : array, (n_levels, n_rows)
        Reads of each wordline at each level.
    """

    n_reads: float
    levels: np.ndarray
    counts: np.ndarray

    def of(self, rows: slice) -> Counts:
        """Return those of some wordlines."""
        return Counts(self.n_reads, self.levels, self.counts[:, rows])


@dataclass
class Activity(Counts):
    """How the wordlines of one row of arrays were driven over many reads, alone and together.

    Attributes
    ----------
    n_reads, levels, counts
        As of :class:`Counts`.
    total : array, (n_rows,)
        Sums over reads of x_k.
    together, beside : array, (n_rows, n_rows)
        Sums over reads of x_i x_k, and of x_k where x_i > 0.
    """

    total: np.ndarray
    together: np.ndarray
    beside: np.ndarray

    @classmethod
    def of_spikes(cls, n_reads: float, pairs: np.ndarray) -> Activity:
        """Build from how often two wordlines were active together, (n_rows, n_rows)."""
        counts = np.diag(pairs)
        return cls(n_reads, np.ones(1), counts[None], counts, pairs, pairs)

    @classmethod
    def of_levels(cls, reads: np.ndarray) -> Activity:
        """Count reads (n, n_rows) of levels in [0, 1]."""
        bins = np.ceil(reads * LEVELS).astype(np.intp)
        counts = np.array([np.bincount(column, minlength=LEVELS + 1)[1:] for column in bins.T], float).T
        levels = (np.arange(LEVELS) + 0.5) / LEVELS
        return cls(float(len(reads)), levels, counts, reads.sum(0), reads.T @ reads, (reads > 0).T @ reads)

    @classmethod
    def worst_case(cls, n_rows: int) -> Activity:
        """One read with every wordline at v_read."""
        return cls.of_spikes(1.0, np.ones((n_rows, n_rows)))

    def times(self, repeats: int) -> Activity:
        """Return the activity of every read happening so many times."""
        sums = {part: repeats * getattr(self, part) for part in _SUMS[:-1]}
        beside = sums["together"] if self.beside is self.together else repeats * self.beside
        return Activity(levels=self.levels, beside=beside, **sums)

    def __add__(self, other: Activity) -> Activity:
        sums = {part: getattr(self, part) + getattr(other, part) for part in _SUMS[:-1]}
        beside = sums["together"] if self.beside is self.together else self.beside + other.beside
        return Activity(levels=self.levels, beside=beside, **sums)


_SUMS = ("n_reads", "counts", "total", "together", "beside")
