"""Layers that read each other, spike by spike: one through after the other, those of loops step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mapping.ir.components import Component
from mapping.kernels import inference
from mapping.kernels.inference import Events
from mapping.kernels.sums import N_SUMS
from mapping.networks.event_layers import EventInput, EventLayer, Frame


class Fired(NamedTuple):
    """What a layer did: its spikes as a list, the sums of each of its inputs, spikes and membranes as arrays."""

    events: Events
    sums: np.ndarray
    states: tuple[np.ndarray, np.ndarray]


def run_layers(
    layers: Sequence[EventLayer],
    order: Sequence[Component],
    events: Events,
    first: int = 0,
    *,
    dense: Callable[[int], bool],
) -> list[Fired]:
    """Run samples through layers that read each other, in loops step by step.

    Parameters
    ----------
    layers : sequence of EventLayer
    order : sequence of Component
    events : Events
        What drives the network.
    first : int
        Number of the first sample.
    dense : callable
        Whether spikes and membranes of the layer of a number are wanted as arrays.
    """
    done: dict[int, Fired] = {}
    for component in order:
        (k, *_), given = component.layers, {}
        for number in component.layers:
            for j, source in enumerate(layers[number].inputs):
                if source.source not in component.layers:
                    before = events if source.source < 0 else done[source.source].events
                    given[number, j] = source.taken(before, layers[number].t_steps)
        if component.loops or len(layers[k].inputs) > 1:
            done |= _by_steps(layers, component.layers, given, len(events.stop), first, dense)
        else:
            done[k] = Fired(*layers[k].run(given[k, 0], first, dense=dense(k)))
    return [done[k] for k in range(len(layers))]


def _by_steps(
    layers: Sequence[EventLayer],
    numbers: Sequence[int],
    given: Mapping[tuple[int, int], Events],
    n: int,
    first: int,
    dense: Callable[[int], bool],
) -> dict[int, Fired]:
    """Run layers step by step, which read each other or have several inputs."""
    states = {k: layers[k].state(n) for k in numbers}
    sums = {k: np.zeros((len(layers[k].inputs), N_SUMS)) for k in numbers}
    fired: dict[int, list[Events]] = {k: [] for k in numbers}
    kept: dict[int, tuple[list[np.ndarray], list[np.ndarray]]] = {k: ([], []) for k in numbers}
    t_steps = layers[numbers[0]].t_steps
    none = Events(np.empty(0, np.int32), np.empty(0, states[numbers[0]].u.dtype), np.zeros((n, 2), np.int64))
    for t in range(t_steps):
        for k in numbers:
            frames = [
                _outer(given[k, j], t) if (k, j) in given else _inner(source, fired[source.source], t, none)
                for j, source in enumerate(layers[k].inputs)
            ]
            fired[k].append(layers[k].step(frames, states[k], t, first, sums[k]))
            if dense(k):
                for into, x in zip(kept[k], (states[k].fired[:, : states[k].u.shape[1]], states[k].u)):
                    into.append(x.astype(states[k].u.dtype))
    found = {}
    for k in numbers:
        spikes, membranes = (
            layers[k].shaped(np.array(x)) if x else np.empty((0, n, *layers[k].out_shape)) for x in kept[k]
        )
        found[k] = Fired(_joined(fired[k]), sums[k], (spikes, membranes))
    return found


def _outer(events: Events, t: int) -> Frame:
    """Return the frame of step t of a source that has run through."""
    frames = events.stop.shape[1] - 1
    return Frame(events, min(t, frames - 1), t < frames)


def _inner(source: EventInput, fired: list[Events], t: int, none: Events) -> Frame:
    """Return what a layer of the same loop has fired so many steps before, ``none`` before the first."""
    if t < source.delay:
        return Frame(none, 0, True)
    events = fired[t - source.delay]
    return Frame(events if source.wires is None else replace(source, delay=0).taken(events, 1), 0, True)


def _joined(frames: Sequence[Events]) -> Events:
    """Return frames of all samples as one list."""
    lengths = np.stack([np.diff(frame.stop)[:, 0] for frame in frames], 1)
    ends = np.cumsum(lengths).reshape(lengths.shape)
    stop = np.hstack([ends[:, :1] - lengths[:, :1], ends])
    joined = Events(np.empty(ends[-1, -1] + 1, np.int32), frames[0].value, stop)
    for t, frame in enumerate(frames):
        inference.place_frame(frame, t, joined)
    return joined
