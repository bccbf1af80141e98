"""Layers that read what they fired in steps before, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from mapping.chip.ageing import Ageing
from mapping.chip.layer import MappedLayer
from mapping.chip.neurons import Neurons
from mapping.chip.periphery.ledger import Ledger
from mapping.chip.wordlines import Wordlines
from mapping.engines.ageing_steps import solve_again, worn
from mapping.engines.base import Outcome
from mapping.engines.codecs import Frames
from mapping.engines.currents import Drive, combined, contribution, noise_draws
from mapping.networks.dynamics import LifState


def run_loop(
    layers: Sequence[MappedLayer],
    numbers: Sequence[int],
    given: Mapping[int, Frames],
    first: int,
    ageing: Ageing | None = None,
) -> dict[int, Outcome]:
    """Run layers that read what they fired in steps before, step by step."""
    runs = {k: _Stepwise(layers[k], given, first) for k in numbers}
    fired: dict[int, list[np.ndarray]] = {k: [] for k in numbers}
    if ageing is not None:  # what wordlines do in all steps is known from a run without it
        fresh = {k: done.outputs for k, done in run_loop(layers, numbers, given, first).items()}
        for run in runs.values():
            run.ages(ageing, fresh)
    for t in range(layers[numbers[0]].t_steps):
        for k in numbers:
            fired[k].append(runs[k].step(t, fired))
    return {k: runs[k].outcome(fired) for k in numbers}


class _Stepwise:
    """A layer in a loop: what drives it from outside, and what its neurons have kept."""

    def __init__(self, layer: MappedLayer, given: Mapping[int, Frames], first: int) -> None:
        assert isinstance(layer.neurons, Neurons)  # conventional networks have no loops
        self.layer, self.neurons, self.ledger = layer, layer.neurons, Ledger()
        self.n = next(iter(given.values()))[0].shape[1]
        self.outer = {
            j: Drive.of(layer, part, *given[part.rows.source])
            for j, part in enumerate(layer.wordlines)
            if part.rows.source in given
        }
        self.noise = noise_draws(layer, layer.t_steps, self.n, first)
        self.comparators = layer.neurons.comparator_noise(self.n, first)
        self.constant: dict[int, list[Tensor]] = {}
        self.state: LifState | None = None
        self.membranes: list[Tensor] = []
        self.reset = 0.0
        self.ageing: Ageing | None = None

    def ages(self, ageing: Ageing, fresh: Mapping[int, np.ndarray]) -> None:
        """Let steps age the arrays, on which the loop would fire ``fresh`` if they did not."""
        self.ageing = ageing
        self.whole = [
            self.outer[j] if j in self.outer else Drive.of(self.layer, part, fresh[part.rows.source], False)
            for j, part in enumerate(self.layer.wordlines)
        ]

    def step(self, t: int, fired: Mapping[int, list[np.ndarray]]) -> np.ndarray:
        """Return the spikes of time step t, (n, channels, height, width)."""
        parts = [self._from(j, t, fired) for j in range(len(self.layer.wordlines))]
        current = combined(self.layer, parts, self.noise, slice(t, t + 1))
        if self.ageing is not None:
            self._age(self.ageing, t, fired)
        spikes, membrane, reset, self.state = self.neurons.step(current, self.state, t, self.comparators)
        self.membranes.append(membrane[0])
        self.reset += reset
        return spikes[0].numpy()

    def _from(self, j: int, t: int, fired: Mapping[int, list[np.ndarray]]) -> list[Tensor]:
        """Return what wordlines number j give in time step t."""
        layer, part, steps = self.layer, self.layer.wordlines[j], slice(t, t + 1)
        if j not in self.outer:
            drive = self._inner(part, t, fired)
            return contribution(layer, drive, steps, self.noise, self.ledger)
        drive = self.outer[j]
        steady = self.ageing is None and (layer.chip.linear or not any(self.noise))
        once = len(drive.x) == 1 and (drive.held or steady)
        if not once:
            return contribution(layer, drive, steps, self.noise, self.ledger, 1)
        if t == 0:
            self.constant[j] = contribution(layer, drive, steps, self.noise, self.ledger)
        return self.constant[j]

    def _inner(self, part: Wordlines, t: int, fired: Mapping[int, list[np.ndarray]]) -> Drive:
        """Return what drives wordlines that read the spikes of the same loop."""
        rows = part.rows
        none = np.zeros((self.n, *rows.after), self.layer.number_type)
        x = fired[rows.source][t - rows.delay] if t >= rows.delay else none
        return Drive.of(self.layer, part, x[None], False, late=True)

    def _age(self, ageing: Ageing, t: int, fired: Mapping[int, list[np.ndarray]]) -> None:
        """Count time step t, and let its reads age the arrays."""
        moved = []
        for j, part in enumerate(self.layer.wordlines):
            drive, steps = self.outer.get(j) or self._inner(part, t, fired), slice(t, t + 1)
            now = None
            if t == 0 or not drive.held:
                drive.count(self.ledger, steps, 1)
                now = part.activity(drive.x[t if len(drive.x) > 1 else 0], drive.analog)
            moved += worn(drive, self.whole[j], now, self.n * ageing.step_time, ageing)
        solve_again(self.layer, moved, ageing)

    def outcome(self, fired: Mapping[int, list[np.ndarray]]) -> Outcome:
        """Return what the layer did in all steps, counted."""
        layer = self.layer
        number = layer.number
        for j, part in enumerate(layer.wordlines if self.ageing is None else ()):
            inner = j not in self.outer
            drive = Drive.of(layer, part, np.array(fired[part.rows.source]), False) if inner else self.outer[j]
            drive.count(self.ledger)
        outputs = np.array(fired[number])
        self.neurons.count(self.n, *self.neurons.tally(outputs), self.reset, self.ledger)
        return Outcome(outputs, torch.stack(self.membranes), self.ledger)
