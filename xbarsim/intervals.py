"""How sure an accuracy is: 95 % intervals over images and dies, and whether accuracies differ on the same images.

Images and dies are samples of those that a user will have. Of one die, or of software, the interval is that of E. B.
Wilson, J. Am. Stat. Assoc. 22, 209, 1927, over images: what other dies would do is not in it. Over several dies images
and dies are drawn anew with replacement, both at once, and the interval holds 95 % of the accuracies found (the
"pigeonhole" bootstrap of A. B. Owen, Ann. Appl. Stat. 1, 386, 2007). Such percentiles are too narrow with few dies, and
near 0 and 1: an interval is never narrower than Student's over dies and the normal one over images, their variances
added, nor than that of one die with the average accuracy.

Two accuracies on the same images are compared image by image: of one die each by the exact test of Q. McNemar,
Psychometrika 12, 153, 1947, with the interval of A. Agresti, Y. Min, Stat. Med. 24, 729, 2005; of several dies by the
same bootstrap and the same bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from xbarsim.errors import ParameterError
from xbarsim.streams import stream

LEVEL = 0.95
_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
_DRAWS = 2000
_ONE_MORE = (0.5**0.5, -(0.5**0.5))  # what Agresti and Min add to images: half of one to each of four cells

Interval = tuple[float, float]


@dataclass(frozen=True)
class Difference:
    """A difference, or another sum, of accuracies on the same images.

    Attributes
    ----------
    value : float
    interval : (float, float)
        95 %.
    p_value : float
        Two-sided, of no difference.
    test : {"McNemar", "bootstrap"}
    """

    value: float
    interval: Interval
    p_value: float
    test: str

    @property
    def sure(self) -> bool:
        """Whether the interval leaves out 0."""
        return not self.interval[0] <= 0 <= self.interval[1]

    def to_dict(self) -> dict[str, float | str | Interval]:
        """Return all fields."""
        return dict(vars(self))


def wilson(share: float, n: int) -> Interval:
    """Return the 95 % interval of Wilson for a share of n independent images."""
    centre, root = share + _Z**2 / (2 * n), _Z * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    low, high = ((centre + sign * root) / (1 + _Z**2 / n) for sign in (-1, 1))
    return (float(low) if share > 0 else 0.0), (float(high) if share < 1 else 1.0)


def accuracy_interval(correct: np.ndarray) -> Interval:
    """Return the 95 % interval of an accuracy.

    Parameters
    ----------
    correct : bool array, (n_dies, n_images)
        Which images each die classified correctly.
    """
    if correct.size == 0:
        return 0.0, 1.0
    share, n_images = float(correct.mean()), correct.shape[1]
    low, high = wilson(share, n_images)
    if len(correct) > 1:
        parts = [(1.0, correct)]
        drawn, room = _drawn(parts), _room(parts, correct.mean(0))[0]
        low, high = min(low, float(drawn[0]), share - room), max(high, float(drawn[1]), share + room)
    return max(0.0, low), min(1.0, high)


def difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """Return by how much the second accuracy is higher than the first.

    Parameters
    ----------
    first, second : bool array, (n_dies, n_images)
        Which images each die classified correctly, the same images in the same order. If both have as many dies, die k
        of both counts as one draw.
    """
    if len(first) == len(second) == 1 and first.shape == second.shape:
        return _paired(first[0], second[0])
    return combined([(1.0, second), (-1.0, first)])


def combined(parts: Sequence[tuple[float, np.ndarray]]) -> Difference:
    """Return a sum of accuracies, each with a factor, on the same images; factors add up to 0.

    Parameters
    ----------
    parts : sequence of (float, bool array (n_dies, n_images))

    Raises
    ------
    ParameterError
        If the numbers of images differ.
    """
    sizes = {correct.shape[1] for _, correct in parts}
    if len(sizes) != 1:
        raise ParameterError(f"{' and '.join(map(str, sorted(sizes)))} images: compare results on the same images")
    per_image = np.asarray(sum(factor * correct.mean(0) for factor, correct in parts))
    value, drawn = float(np.mean(per_image)), _drawn(parts)
    room, p_value = _room(parts, per_image)
    interval = min(float(drawn[0]), value - room), max(float(drawn[1]), value + room)
    most = sum(abs(factor) for factor, _ in parts) / 2
    interval = max(interval[0], -most), min(interval[1], most)
    return Difference(value, interval, max(p_value, float(drawn[2])), "bootstrap")


def _room(parts: Sequence[tuple[float, np.ndarray]], per_image: np.ndarray) -> tuple[float, float]:
    """Return half the width of the interval by variances over dies and images, and the p-value of 0 that goes with it.

    Parts of as many dies are one sample of dies, others are independent. Of a single die nothing is known of others.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm
    from scipy.stats import t as student

    groups: dict[int, np.ndarray] = {}
    for factor, correct in parts:
        groups[len(correct)] = groups.get(len(correct), np.zeros(len(correct))) + factor * correct.mean(1)
    variances = {n: float(of_each.var(ddof=1)) / n for n, of_each in groups.items() if n > 1}
    of_dies = np.sqrt(sum(variances.values()))
    of_images = np.sqrt(np.append(per_image, _ONE_MORE).var() / (len(per_image) + 2))
    freedom, value = min((n - 1 for n in variances), default=np.inf), abs(float(np.mean(per_image)))

    def room(p: float) -> float:
        return float(np.hypot(student.isf(p / 2, freedom) * of_dies, norm.isf(p / 2) * of_images))

    least, most = 1e-9, 1.0  # p-values
    if room(least) <= value:
        return room(1 - LEVEL), least
    if room(most) >= value:  # 0, but for rounding
        return room(1 - LEVEL), most
    return room(1 - LEVEL), float(brentq(lambda p: room(p) - value, least, most))


def _paired(first: np.ndarray, second: np.ndarray) -> Difference:
    from scipy.stats import binomtest

    gained, lost, n = int(np.count_nonzero(second & ~first)), int(np.count_nonzero(first & ~second)), len(first)
    p_value = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    middle = (gained - lost) / (n + 2)
    room = _Z * np.sqrt(gained + lost + 1 - (gained - lost) ** 2 / (n + 2)) / (n + 2)
    interval = max(-1.0, float(middle - room)), min(1.0, float(middle + room))
    return Difference((gained - lost) / n, interval, p_value, "McNemar")


def _drawn(parts: Sequence[tuple[float, np.ndarray]]) -> np.ndarray:
    """Return the ends of the interval, and the p-value of 0, of sums over images and dies drawn anew."""
    columns = np.concatenate([correct for _, correct in parts])
    patterns, counts = np.unique(columns, axis=1, return_counts=True)  # images on which all dies do the same are alike
    draws, n_images = stream(0, "bootstrap"), columns.shape[1]
    images = draws.multinomial(n_images, counts / n_images, _DRAWS) @ patterns.T / n_images  # (draws, all dies)
    sums, start, dies = np.zeros(_DRAWS), 0, dict[int, np.ndarray]()
    for factor, correct in parts:
        n = len(correct)
        if n not in dies:
            dies[n] = draws.multinomial(n, np.full(n, 1 / n), _DRAWS) / n
        sums += factor * (dies[n] * images[:, start : start + n]).sum(1)
        start += n
    low, high = np.quantile(sums, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    beyond = min(np.count_nonzero(sums <= 1e-12), np.count_nonzero(sums >= -1e-12))
    return np.array([low, high, min(1.0, 2 * (beyond + 1) / (_DRAWS + 1))])
