"""Layers as tensors: all that a chip can be made of, in dense operations, and arrays that age meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mapping.chip.ageing import Ageing
from mapping.chip.layer import MappedLayer
from mapping.chip.periphery.ledger import Ledger
from mapping.engines.ageing_steps import currents_while_ageing
from mapping.engines.base import Done, Outcome, Task
from mapping.engines.codecs import Frames
from mapping.engines.currents import Drive, combined, contribution, noise_draws
from mapping.engines.loops import run_loop
from mapping.ir.components import Component
from mapping.lower.stages import INPUT

_BATCHES = 25, 50  # images whose tensors are held in memory: of many frames, and of up to 8


class DenseEngine:
    """Adds up currents by dense tensors."""

    name = "dense"
    in_threads = False  # tensors have threads of their own

    def refusal(self, layer: MappedLayer) -> str:
        """Return nothing: it runs all layers."""
        return ""

    def size(self, layers: Sequence[MappedLayer], n_images: int) -> int:
        """Return how many images a task has."""
        return _BATCHES[layers[0].t_steps <= 8]

    def prepare(self, task: Task) -> None:
        """Make nothing."""

    def outputs(self, task: Task) -> list[np.ndarray]:
        """Return the outputs of every layer."""
        return [done.outputs for done in self.run(task)]

    def classify(self, task: Task) -> Done:
        """Return classes and counts; the latter without what wordlines do."""
        done = self.run(task)
        read = [done[k] for k in task.codec.outputs]
        classes = task.codec.classes([one.outputs for one in read], [one.state for one in read])
        return Done(classes, [one.ledger for one in done])

    @staticmethod
    def _is_read(task: Task, k: int) -> bool:
        return any(part.rows.source == k for layer in task.layers for part in layer.wordlines)

    def run(self, task: Task) -> list[Outcome]:
        """Return what every layer does."""
        given = {INPUT: task.codec.encoded(task.images, task.first)}
        done: dict[int, Outcome] = {}
        for component in task.order:
            found = run_component(task.layers, component, given, task.first, task.ageing)
            given |= {k: task.codec.passed_on(one.outputs) for k, one in found.items() if self._is_read(task, k)}
            done |= found
        return [done[k] for k in range(len(task.layers))]


def run_component(
    layers: Sequence[MappedLayer],
    component: Component,
    given: Mapping[int, Frames],
    first: int = 0,
    ageing: Ageing | None = None,
) -> dict[int, Outcome]:
    """Run all time steps of layers that run together; return what each of them does, by its number.

    Parameters
    ----------
    layers : sequence of MappedLayer
        Of the whole network.
    component : Component
    given : mapping of Frames
        What drives the layers of other components, by the numbers of those that give it.
    first : int
        Number of the first image, part of the key of noise.
    ageing : Ageing, optional
        How the reads age the arrays while they happen.
    """
    if component.loops:
        return run_loop(layers, component.layers, given, first, ageing)
    (k,) = component.layers
    layer, ledger = layers[k], Ledger()
    drives = [Drive.of(layer, part, *given[part.rows.source]) for part in layer.wordlines]
    n = drives[0].x.shape[1]
    noise = noise_draws(layer, 1 if all(d.held for d in drives) else layer.t_steps, n, first)
    if ageing is None:
        steps = slice(0, layer.t_steps)
        current = combined(layer, [contribution(layer, d, steps, noise, ledger) for d in drives], noise, steps)
        for drive in drives:
            drive.count(ledger)
    else:
        current = currents_while_ageing(layer, drives, noise, ledger, ageing)
    fired, state, reset = layer.neurons.fire(current, first)
    outputs = fired.contiguous().numpy()
    layer.neurons.count(n, *layer.neurons.tally(outputs), reset, ledger)
    if layer.neurons.serial:  # as an operation an input counts once, whatever its bits
        ledger.driven = sum(drive.part.reading.driven(drive.x.max(0)) for drive in drives)
    return {k: Outcome(outputs, state, ledger)}
