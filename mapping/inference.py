"""Images through the layers of a chip: by events, several batches at a time, or as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mapping.ageing import Ageing, Counts
from mapping.bsnn.events import list_inputs
from mapping.bsnn.spec import Shape
from mapping.codecs import Codec
from mapping.event_layer import count_inputs, run, runs_by_events, wordline_counts
from mapping.kernels.inference import Events
from mapping.layer import MappedLayer
from mapping.periphery.ledger import Ledger
from xbarsim.errors import ParameterError
from xbarsim.threads import in_threads

Engine = Literal["auto", "events", "tensors"]
Inputs = dict[int, Events]  # of images from a number on
Progress = Callable[[int], None]  # images done since the last call
Reads = tuple[np.ndarray, bool, int]

_FEWEST, _MOST, _TASKS = 25, 500, 16  # images of a task of event-driven inference, and how many tasks there should be
_ROOM = 1 << 26  # spikes that a layer's list has room for
_BATCH = 25  # images whose tensors are held in memory


class Inference:
    """The layers of a mapped network in a row.

    Parameters
    ----------
    codec : Codec
        What drives them.
    layers : list of MappedLayer
    """

    def __init__(self, codec: Codec, layers: Sequence[MappedLayer]) -> None:
        self.codec, self.layers = codec, layers

    def by_events(self, engine: Engine = "auto") -> bool:
        """Whether an engine runs by events.

        Unless told, whenever all layers can: with the sums that energy needs they take less time than tensors at any
        spike rate.
        """
        if engine not in ("auto", "events", "tensors"):
            raise ParameterError(f"engine = {engine!r}: give 'auto', 'events' or 'tensors'")
        able = [runs_by_events(layer) for layer in self.layers]
        if engine == "events" and not all(able):
            raise ParameterError(
                f"engine = 'events', but layer {able.index(False) + 1} needs tensors: it does not spike, its rows are "
                "not grounded, its arrays vote, its pool takes the maximum, or a limiter is read by differences; use "
                "'auto'"
            )
        return engine != "tensors" and all(able)

    def outputs(self, images: np.ndarray, first: int = 0, *, engine: Engine = "auto") -> list[np.ndarray]:
        """Return the outputs of every layer: spikes (t_steps, n, channels, height, width), whole numbers, logits."""
        if not self.by_events(engine):
            return [outputs for outputs, _, _ in self.as_tensors(images, first)]
        events, found = list_inputs(*self.codec.encoded(images, first), self.layers[0].number_type), []
        for layer, after in zip(self.layers, self._shapes_before()):
            events, (spikes, _), _ = run(layer, events, after, first, dense=True)
            found.append(spikes)
        return found

    def as_tensors(
        self, images: np.ndarray, first: int = 0, ageing: Ageing | None = None
    ) -> Iterator[tuple[np.ndarray, Tensor, Ledger]]:
        """Yield outputs, what they were made from, and counts of each layer, see :func:`mapping.by_tensors.forward`."""
        x, analog = self.codec.encoded(images, first)
        for layer in self.layers:
            outputs, state, ledger = layer.forward(x, analog, first, ageing)
            yield outputs, state, ledger
            if layer is not self.layers[-1]:
                x, analog = self.codec.passed_on(outputs)

    def driven(self, images: np.ndarray, first: int = 0) -> Iterator[Reads]:
        """Yield what drives each layer: samples (n, ...), whether a DAC does, how often each is read."""
        frames = [self.codec.encoded(images, first)]
        frames += [self.codec.passed_on(outputs) for outputs in self.outputs(images, first)[:-1]]
        for layer, (x, analog) in zip(self.layers, frames):
            every_step = len(x) == 1 and layer.chip.constant_input == "every-step"
            yield x.reshape(-1, *layer.layer.in_shape), analog, layer.t_steps if every_step else 1

    def classify(
        self,
        images: np.ndarray,
        first: int = 0,
        *,
        engine: Engine = "auto",
        ageing: Ageing | None = None,
        counted: list[Counts] | None = None,
        inputs: Inputs | None = None,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, list[Ledger]]:
        """Return the classes of images, and what each layer cost.

        Parameters
        ----------
        images : array, (n, ...)
        first : int
            Number of the first one.
        engine : str
        ageing : Ageing, optional
            How all images together age the arrays, step by step, which only tensors do.
        counted : list, optional
            Filled with how often the wordlines of each layer were driven, by events only.
        inputs : dict, optional
            What other dies of the chip made of the same images; added to.
        progress : callable, optional
        """
        by_events = ageing is None and self.by_events(engine)
        size = len(images) if ageing else self._task(len(images)) if by_events else _BATCH
        parts = [(images[k : k + size], first + k) for k in range(0, len(images), size)]
        ledgers, classes = [Ledger() for _ in self.layers], []
        totals: list[np.ndarray] = []
        if by_events:
            for layer, after in zip(self.layers, self._shapes_before()):
                layer.tables(after)  # here, not in several threads
            results = in_threads(lambda part: self._by_events(part[0], part[1], counted is not None, inputs), parts)
        else:
            results = (self._as_tensors(part[0], part[1], ageing) for part in parts)
        for given, costs, seen in results:
            classes.append(given)
            for ledger, cost in zip(ledgers, costs):
                ledger.add(cost)
            for total, part in zip(totals, seen):
                np.add(total, part, out=total)
            totals = totals or seen
            if progress is not None:
                progress(len(given))
        if counted is not None:
            frames = [self.codec.encoded(images[:1], 0)[0].shape[0], *(layer.t_steps for layer in self.layers[1:])]
            for layer, total, frame in zip(self.layers, totals, frames):
                counted.append(wordline_counts(layer, total, frame, len(images)))
        return np.concatenate(classes), ledgers

    def _task(self, n_images: int) -> int:
        """Return how many images a task has: on any number of threads, so that sums of energies do not depend on it."""
        most = _ROOM // (self.codec.t_steps * max(prod(layer.layer.out_shape) for layer in self.layers))
        return max(1, min(max(-(-n_images // _TASKS), _FEWEST), _MOST, most))

    def _shapes_before(self) -> list[Shape]:
        return [self.codec.network.spec.input_shape, *(layer.layer.out_shape for layer in self.layers[:-1])]

    def _by_events(
        self, images: np.ndarray, first: int, counting: bool, inputs: Inputs | None
    ) -> tuple[np.ndarray, list[Ledger], list[np.ndarray]]:
        events, costs, seen = (inputs or {}).get(first), [], []
        if events is None:
            events = list_inputs(*self.codec.encoded(images, first), self.layers[0].number_type)
        if inputs is not None:
            inputs[first] = events
        for layer, after in zip(self.layers, self._shapes_before()):
            if counting:
                seen.append(count_inputs(layer, events, after))
            events, (spikes, membrane), cost = run(layer, events, after, first, dense=layer is self.layers[-1])
            costs.append(cost)
        return self.codec.classes(spikes, torch.from_numpy(membrane)), costs, seen

    def _as_tensors(
        self, images: np.ndarray, first: int, ageing: Ageing | None
    ) -> tuple[np.ndarray, list[Ledger], list[np.ndarray]]:
        outputs, states, ledgers = zip(*self.as_tensors(images, first, ageing))
        return self.codec.classes(outputs[-1], states[-1]), list(ledgers), []
