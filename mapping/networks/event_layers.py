"""Layers as event-driven inference runs them, with spikes as lists; and the ideal network run so."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from threading import local
from typing import cast

import numpy as np

from mapping.ir.graph import Graph
from mapping.ir.neuron import NeuronSpec
from mapping.ir.ops import Lif
from mapping.ir.shapes import Geometry, Shape
from mapping.kernels import inference
from mapping.kernels.fire import WORD, Neurons, State, at_rest
from mapping.kernels.inference import Arrays, Events, Keys, Scratch, Steps
from mapping.kernels.readout import Readout
from mapping.kernels.sums import N_SUMS
from mapping.networks import event_tables as tables
from mapping.networks.dynamics import RESETS, TIMINGS, fires_from
from xbarsim.errors import ParameterError

NO_KEYS = Keys(*(np.empty((0, 3), np.uint32) for _ in range(3)))


@dataclass(frozen=True)
class EventLayer:
    """The tables of one layer.

    Attributes
    ----------
    arrays, readout, neurons, keys
        What ``mapping.kernels.inference`` takes.
    t_steps : int
    out_shape : (channels, height, width)
    """

    arrays: Arrays
    readout: Readout
    neurons: Neurons
    keys: Keys
    t_steps: int
    out_shape: Shape
    _kept: local = field(default_factory=local)

    def _room(self, size: int) -> tuple[np.ndarray, Scratch]:
        """Return memory for a list and for steps, the same again and again: fresh memory has to be cleared first."""
        if len(getattr(self._kept, "place", ())) < size:
            self._kept.place = np.empty(size, np.int32)
            self._kept.scratch = inference.scratch_of(self.arrays, self.neurons, self.keys)
        return self._kept.place, self._kept.scratch

    def run(
        self, events: Events, first: int = 0, *, dense: bool = False, every_step: bool = False
    ) -> tuple[Events, np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Run samples.

        Parameters
        ----------
        events : Events
            One frame, which is held for all time steps, or a frame for each of them.
        first : int
            Number of the first sample, part of the key of noise.
        dense : bool
            Whether spikes and membranes are wanted as arrays too.
        every_step : bool
            Whether a read-out with noise reads a frame that is held anew in each step.

        Returns
        -------
        Events
            What they fire; theirs until the same thread runs this layer again.
        sums : array, (N_SUMS,)
        states : two arrays, (t_steps, n, channels, height, width)
            Spikes and membranes; without time steps unless wanted.
        """
        n, size, steps = len(events.stop), len(self.neurons.level), self.t_steps if dense else 0
        spikes, membrane = np.empty((2, steps, n, size), self.neurons.level.dtype)
        out, sums = self._advance(
            events, self.state(1), Steps(0, self.t_steps, 0, every_step, not dense), first, membrane, spikes
        )
        channels, *places = self.out_shape
        states = (np.moveaxis(x.reshape(steps, n, *places, channels), -1, 2) for x in (spikes, membrane))
        return out, sums, tuple(states)

    def state(self, n: int) -> State:
        """Return the state of n samples at rest."""
        state: State = at_rest(self.neurons, n, len(self.keys.read) > 0 and not self.arrays.by_line)
        return state

    def step(
        self, events: Events, state: State, t: int, first: int = 0, *, held: bool = False, every_step: bool = False
    ) -> tuple[Events, np.ndarray]:
        """Run one time step; all of them, one after the other, do what :meth:`run` does.

        Parameters
        ----------
        events : Events
            One frame.
        state : State
            Of the samples after step t - 1, overwritten by that after step t; step 0 begins at rest.
        t, first : int
            Numbers of the step and of the first sample, part of the key of noise.
        held : bool
            Whether the frame is the same from step 0 on, where drivers deliver it.
        every_step : bool
            Whether a read-out with noise reads a frame that is held anew.

        Returns
        -------
        Events
            What they fire, one frame.
        sums : array, (N_SUMS,)
        """
        n, size = state.u.shape
        if len(events.stop) != n:
            raise ParameterError(f"events of {len(events.stop)} samples, state of {n}; give state(n) of as many")
        steps = Steps(t, t + 1, 0 if held else t, every_step, False)
        out, sums = self._advance(events, state, steps, first, *np.empty((2, 0, n, size), state.u.dtype))
        return out._replace(place=out.place[: out.stop[-1, -1]].copy()), sums

    def _advance(
        self, events: Events, state: State, steps: Steps, first: int, membrane: np.ndarray, spikes: np.ndarray
    ) -> tuple[Events, np.ndarray]:
        n, n_steps = len(events.stop), steps.stop - steps.start
        place, scratch = self._room(n * n_steps * len(self.neurons.level) + 1)
        out = Events(place, np.empty(0, self.neurons.level.dtype), np.empty((n, n_steps + 1), np.int64))
        sums = np.zeros((n, N_SUMS))
        inference.run_layer(
            events, self.arrays, self.readout, self.neurons, self.keys, steps, first, state, scratch, out, sums,
            membrane, spikes,
        )  # fmt: skip
        return out, sums.sum(0)


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
        rise=1.001 * (beta[:, None] ** np.arange(t_steps)).sum(1, dtype=dtype),  # with room for rounding
        noise=noise,
        reset=RESETS.index(spec.reset_mechanism),
        timing=TIMINGS.index(spec.reset_delay),
        clip=spec.clip,
        winner=spec.winner_take_all,
        inhibition=dtype.type(spec.inhibition),
        channels=shape[0],
    )


def input_order(spec: Geometry, after: Shape) -> np.ndarray:
    """Return the numbers that a layer gives inputs of the shape ``after``, listed channels last; empty if the same."""
    if spec.kind == "conv":
        return np.empty(0, np.int32)
    return np.arange(prod(after), dtype=np.int32).reshape(after).transpose(1, 2, 0).ravel()


def ideal_layers(graph: Graph, t_steps: int, dtype: np.dtype) -> list[EventLayer]:
    """Return the tables of layers, their pooling fused, as software has them."""
    found = []
    for (name, weights), _, norm, (_, activation) in graph.layers():
        neurons = cast(Lif, activation)
        spec, channels, after = weights.geometry, weights.values.shape[1], graph.shapes[graph.before(name)[0].source]
        in_shape, out_shape = spec.shapes(after)
        gain, constant = np.ones(spec.out), np.zeros(spec.out) if weights.bias is None else weights.bias
        if norm is not None:
            gain = norm.op.gamma / norm.op.deviation
            constant = (constant - norm.op.mean) * gain + norm.op.shift
        lines = tables.fused_lines(weights.values * gain[:, None, None, None], spec.pool, spec.stride)
        arrays = Arrays(
            order=input_order(spec, after),
            n_channels=channels,
            width=in_shape[2],
            reach=tables.reach(spec, in_shape, spec.out, spec.pool),
            groups=tables.groups([(0, channels)], channels, [lines], [0], dtype),
            variance=np.empty(0, dtype),
            power=tables.no_power(spec, in_shape, dtype),
            by_line=False,
        )
        parameters = constant.reshape(-1, 1, 1), neurons.threshold, neurons.threshold, neurons.beta.clip(0, 1)
        made = neuron_tables(neurons.neuron, out_shape, parameters, 0.0, t_steps, dtype)
        found.append(EventLayer(arrays, tables.no_readout(dtype), made, NO_KEYS, t_steps, out_shape))
    return found
