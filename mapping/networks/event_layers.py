"""Layers as event-driven inference runs them, with spikes as lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from threading import local
from typing import NamedTuple

import numpy as np

from mapping.ir.neuron import NeuronSpec
from mapping.ir.shapes import Geometry, Shape
from mapping.kernels import inference
from mapping.kernels.fire import WORD, Neurons, State, at_rest
from mapping.kernels.inference import Arrays, Events, Keys, Scratch, Steps
from mapping.kernels.readout import Readout
from mapping.kernels.sums import N_SUMS
from mapping.networks.dynamics import RESETS, TIMINGS, fires_from
from xbarsim.errors import ParameterError

NO_KEYS = Keys(*(np.empty((0, 3), np.uint32) for _ in range(3)))


class Wires(NamedTuple):
    """Which inputs each output of a source drives: ``target`` from ``start`` of its number on; ``size`` inputs."""

    start: np.ndarray
    target: np.ndarray
    size: int


@dataclass(frozen=True)
class EventInput:
    """The tables of what one source drives.

    Attributes
    ----------
    source, delay : int
        The number of the layer that drives it, -1 for the input of the network, and how many steps before.
    wires : Wires, optional
        Between them; without it each output drives the input of its number.
    arrays, readout
        What ``mapping.kernels.inference`` takes.
    keys : Keys
        Of reads and converters.
    """

    source: int
    delay: int
    wires: Wires | None
    arrays: Arrays
    readout: Readout
    keys: Keys

    def taken(self, events: Events, t_steps: int) -> Events:
        """Return the events of a source as they arrive here."""
        if self.delay:
            lengths, last = np.diff(events.stop), events.stop.shape[1] - 2
            room = lengths[:, np.minimum(np.arange(t_steps - self.delay), last)].sum() + 1
            events = _filled(events, room, t_steps, lambda out: inference.delay_frames(events, self.delay, out))
        if self.wires is None:
            return events
        start, target, size = self.wires
        room = int(events.stop[-1, -1]) * int(np.diff(start).max(initial=0)) + 1
        blank = np.zeros(size, events.value.dtype)
        frames = events.stop.shape[1] - 1
        return _filled(events, room, frames, lambda out: inference.rewire(events, start, target, blank, out))


class Frame(NamedTuple):
    """What drives an input in a time step: a frame of its events, and whether it is driven now, not before."""

    events: Events
    number: int
    fresh: bool


@dataclass(frozen=True)
class EventLayer:
    """The tables of one layer.

    Attributes
    ----------
    inputs : tuple of EventInput
        Whose currents add up.
    neurons : Neurons
    comparator : array, (n, 3)
        Keys of the noise of comparators, as of ``mapping.kernels.inference.Keys``.
    t_steps : int
    out_shape : (channels, height, width)
    every_step : bool
        Whether a read-out with noise reads a frame that is held anew in each step.
    """

    inputs: tuple[EventInput, ...]
    neurons: Neurons
    comparator: np.ndarray
    t_steps: int
    out_shape: Shape
    every_step: bool = False
    _kept: local = field(default_factory=local)

    def _keys(self, k: int) -> Keys:
        return self.inputs[k].keys._replace(comparator=self.comparator)

    def _room(self, size: int) -> tuple[np.ndarray, list[Scratch]]:
        """Return memory for a list and for steps, the same again and again: fresh memory has to be cleared first."""
        if len(getattr(self._kept, "place", ())) < size:
            self._kept.place = np.empty(size, np.int32)
            self._kept.scratch = [
                inference.scratch_of(given.arrays, self.neurons, self._keys(k)) for k, given in enumerate(self.inputs)
            ]
        return self._kept.place, self._kept.scratch

    def run(
        self, events: Events, first: int = 0, *, dense: bool = False
    ) -> tuple[Events, np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Run samples through a layer of one input.

        Parameters
        ----------
        events : Events
            One frame, which is held for all time steps, or a frame for each of them.
        first : int
            Number of the first sample, part of the key of noise.
        dense : bool
            Whether spikes and membranes are wanted as arrays too.

        Returns
        -------
        Events
            What they fire; theirs until the same thread runs this layer again.
        sums : array, (1, N_SUMS)
        states : two arrays, (t_steps, n, channels, height, width)
            Spikes and membranes; without time steps unless wanted.
        """
        (given,) = self.inputs
        n, size, n_steps = len(events.stop), len(self.neurons.level), self.t_steps if dense else 0
        spikes, membrane = np.empty((2, n_steps, n, size), self.neurons.level.dtype)
        place, (scratch,) = self._room(n * self.t_steps * size * self.neurons.most + 1)
        out = Events(place, np.empty(0, self.neurons.level.dtype), np.empty((n, self.t_steps + 1), np.int64))
        sums, steps = np.zeros((n, N_SUMS)), Steps(0, self.t_steps, 0, self.every_step, not dense)
        inference.run_layer(
            events, given.arrays, given.readout, self.neurons, self._keys(0), steps, first, self.state(1), scratch, out,
            sums, membrane, spikes,
        )  # fmt: skip
        return out, sums.sum(0, keepdims=True), (self.shaped(spikes), self.shaped(membrane))

    def shaped(self, x: np.ndarray) -> np.ndarray:
        """Return numbers of neurons (t_steps, n, size) as (t_steps, n, channels, height, width)."""
        channels, *places = self.out_shape
        return np.moveaxis(x.reshape(*x.shape[:2], *places, channels), -1, 2)

    def state(self, n: int) -> State:
        """Return the state of n samples at rest."""
        noisy = any(len(given.keys.read) > 0 and not given.arrays.by_line for given in self.inputs)
        state: State = at_rest(self.neurons, n, noisy)
        return state

    def step(self, given: Sequence[Frame], state: State, t: int, first: int, sums: np.ndarray) -> Events:
        """Run one time step; all of them, one after the other, do what :meth:`run` does.

        Parameters
        ----------
        given : sequence of Frame
            Of each input. One that is not fresh is held.
        state : State
            Of the samples after step t - 1, overwritten by that after step t; step 0 begins at rest.
        t, first : int
            Numbers of the step and of the first sample, part of the key of noise.
        sums : array, (n_inputs, N_SUMS)
            Added to; what neurons do, to the first.

        Returns
        -------
        Events
            What they fire, one frame.
        """
        n, size = state.u.shape
        inference.begin_step(self.neurons, t, state)
        place, scratch = self._room(n * size * self.neurons.most + 1)
        for k, (source, frame) in enumerate(zip(self.inputs, given)):
            if len(frame.events.stop) != n:
                raise ParameterError(
                    f"events of {len(frame.events.stop)} samples, state of {n}; give state(n) of as many"
                )
            counted = frame.fresh or (self.every_step and source.arrays.by_line)
            inference.receive_frame(
                frame.events, frame.number, source.arrays, source.readout, self._keys(k), t if counted else 0, first,
                frame.fresh, scratch[k], state, sums[k] if counted else np.zeros(N_SUMS),
            )  # fmt: skip
        out = Events(place, np.empty(0, state.u.dtype), np.empty((n, 2), np.int64))
        inference.fire_frame(self.neurons, self._keys(0), t, first, scratch[0], state, out, sums[0])
        return out._replace(place=place[: out.stop[-1, -1]].copy())


def _filled(events: Events, room: int, frames: int, fill: Callable[[Events], None]) -> Events:
    """Return a list with room for so many events, filled."""
    value = np.empty(room if len(events.value) else 0, events.value.dtype)
    out = Events(np.empty(room, np.int32), value, np.empty((len(events.stop), frames + 1), np.int64))
    fill(out)
    return out


def list_inputs(x: np.ndarray, analog: bool, dtype: np.dtype) -> Events:
    """List what is not zero in inputs (t_steps or 1, n, channels, height, width), with their levels if ``analog``."""
    flat = np.ascontiguousarray(np.moveaxis(x, 2, -1), dtype).reshape(*x.shape[:2], -1)
    room, stop = np.count_nonzero(flat) + 1, np.empty((x.shape[1], len(x) + 1), np.int64)
    events = Events(np.empty(room, np.int32), np.empty(room if analog else 0, dtype), stop)
    inference.list_events(flat, events.place, events.value, events.stop)
    return events


def neuron_tables(
    spec: NeuronSpec, shape: Shape, parameters: tuple[np.ndarray, ...], noise: float, t_steps: int, dtype: np.dtype
) -> Neurons:
    """Return neurons with constant, threshold, level and decay, each broadcastable to (channels, height, width)."""
    full = (np.broadcast_to(x, shape).transpose(1, 2, 0).ravel() for x in parameters)
    constant, threshold, level, beta = (x.astype(dtype) for x in full)
    return Neurons(
        name=np.arange(-(-level.size // WORD) * WORD),
        constant=constant,
        threshold=threshold,
        level=level,
        least=fires_from(level, spec),
        beta=beta,
        rise=_rise(beta, t_steps),
        noise=noise,
        reset=RESETS.index(spec.reset_mechanism),
        timing=TIMINGS.index(spec.reset_delay),
        clip=spec.clip,
        winner=spec.winner_take_all,
        inhibition=dtype.type(spec.inhibition),
        channels=shape[0],
        alpha=-1.0 if spec.alpha is None else spec.alpha,
        late=spec.late_current,
        most=spec.most_spikes,
        adaptation=spec.adaptation,
        decay=spec.adaptation_decay,
    )


def _rise(beta: np.ndarray, t_steps: int) -> np.ndarray:
    """Return what a constant input of 1 brings membranes to, with room for rounding."""
    rise = np.zeros_like(beta)
    for _ in range(t_steps):
        rise = 1 + beta * rise
    rise *= 1.001
    return rise


def input_order(spec: Geometry, after: Shape) -> np.ndarray:
    """Return the numbers that a layer gives inputs of the shape ``after``, listed channels last; empty if the same."""
    if spec.kind == "conv":
        return np.empty(0, np.int32)
    return np.arange(prod(after), dtype=np.int32).reshape(after).transpose(1, 2, 0).ravel()


def wires_of(table: np.ndarray | None, after: Shape, given: Shape) -> Wires | None:
    """Return wires from outputs of the shape ``after`` to inputs of the shape ``given``, both listed channels last.

    ``table`` is that of :class:`mapping.ir.ops.Gather`.
    """
    if table is None:
        return None
    last = [np.empty(prod(shape), np.int64) for shape in (after, given)]
    for number, shape in zip(last, (after, given)):
        number[np.arange(number.size).reshape(shape).transpose(1, 2, 0).ravel()] = np.arange(number.size)
    target, column = np.nonzero(table >= 0)
    source, target = last[0][table[target, column]], last[1][target]
    by_source = np.argsort(source, kind="stable")
    start = np.searchsorted(source[by_source], np.arange(prod(after) + 1))
    return Wires(start, target[by_source].astype(np.int32), prod(given))
