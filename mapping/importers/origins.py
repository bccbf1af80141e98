"""Where each number of a tensor comes from: codes of its shape, which views and joins of tensors take along."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from xbarsim.errors import ParameterError

_BITS = 40  # of a code that tell the place in what was produced; the others tell by which application of a node
NOTHING = -1  # code of a zero that comes from nowhere, and the step of what is the same in all steps


class Produced(NamedTuple):
    """What one application of a node gave: rows of ``size`` numbers, each of a time step and a sample."""

    node: str
    steps: np.ndarray
    samples: np.ndarray
    size: int


class Part(NamedTuple):
    """Numbers that follow each other in every row: from which places of what a node gave ``delay`` steps before."""

    node: str | None
    delay: int
    places: np.ndarray


class Rows(NamedTuple):
    """What each row of a tensor is made of, and its time step and sample."""

    parts: tuple[Part, ...]
    steps: np.ndarray
    samples: np.ndarray


class OrderError(ParameterError):
    """Rows hold several samples or time steps: the axes of a sample may mean something else."""


class Origins:
    """All that nodes produced, by number."""

    def __init__(self) -> None:
        self.given: list[Produced] = []
        self.sizes: dict[str, int] = {}
        self._numbers: dict[str, int] = {}

    def codes(self, produced: Produced, shape: torch.Size) -> Tensor:
        """Return the codes of what a node produced."""
        self._numbers.setdefault(produced.node, len(self._numbers))
        self.sizes[produced.node] = produced.size
        self.given.append(produced)
        return torch.arange(shape.numel()).reshape(shape) + ((len(self.given) - 1) << _BITS)

    def nodes(self, codes: Tensor) -> set[str]:
        """Return which nodes some numbers come from."""
        return {self.given[k].node for k in np.unique(codes.numpy() >> _BITS).tolist() if k >= 0}

    def rows(self, codes: Tensor, axes: int, steps: np.ndarray | None = None) -> Rows:
        """Return what the rows over the first axes are made of; their time steps are the latest in them unless given.

        Raises
        ------
        OrderError
            If rows differ in more than time step and sample, or hold several samples.
        """
        flat = codes.numpy().reshape(int(np.prod(codes.shape[:axes])), -1)
        node, place, step, sample = (np.full(flat.shape, NOTHING) for _ in range(4))
        for k in np.unique(flat >> _BITS).tolist():
            if k >= 0:
                of, at = self.given[k], flat >> _BITS == k
                row, place[at] = np.divmod(flat[at] & ((1 << _BITS) - 1), of.size)
                node[at], step[at], sample[at] = self._numbers[of.node], of.steps[row], of.samples[row]
        steps, samples = step.max(1) if steps is None else steps, sample.max(1)
        delay = np.where(step == NOTHING, 0, steps[:, None] - step)
        filled = np.flatnonzero((node != NOTHING).any(1))
        if np.any((node != NOTHING) & (sample != samples[:, None])):
            raise OrderError("mixes several samples of a batch")
        if not len(filled):
            return Rows((Part(None, 0, place[0]),), steps, samples)
        first = filled[0]
        if any(np.any(x[filled] != x[first]) for x in (node, place, delay)) or delay.min() < 0:
            raise OrderError("reads several time steps at once, later ones, or other numbers in each")
        names = list(self._numbers)
        ends = np.flatnonzero((np.diff(node[first]) != 0) | (np.diff(delay[first]) != 0)) + 1
        parts = [
            Part(None if node[first, k] == NOTHING else names[node[first, k]], int(delay[first, k]), places)
            for k, places in zip([0, *ends.tolist()], np.split(place[first], ends))
        ]
        return Rows(tuple(parts), steps, samples)
