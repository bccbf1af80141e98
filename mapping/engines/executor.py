"""Images through the layers of a chip: which engine runs them, in which tasks, and what all of these count together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from mapping.chip.activity import Counts
from mapping.chip.ageing import Ageing
from mapping.chip.layer import MappedLayer
from mapping.chip.periphery.ledger import Ledger
from mapping.chip.wordlines import Wordlines
from mapping.engines.base import Engine, Outcome, Shared, Task
from mapping.engines.codecs import Codec
from mapping.engines.currents import Drive
from mapping.engines.dense_engine import DenseEngine
from mapping.engines.event_engine import EventEngine, wordline_counts
from mapping.lower.stages import INPUT, order_of
from mapping.networks.network import engine_called
from xbarsim.errors import ParameterError, shown
from xbarsim.threads import in_threads

EngineName = Literal["auto", "events", "dense", "tensors"]  # the last one is a former name of dense
Progress = Callable[[int], None]  # images done since the last call
Reads = tuple[np.ndarray, bool, int]  # samples (n, ...) that drive a layer, whether a DAC does, how often each is read

DENSE = DenseEngine()
ENGINES: tuple[Engine, ...] = (EventEngine(), DENSE)  # the faster first


class Inference:
    """The layers of a mapped network, as they read each other.

    Parameters
    ----------
    codec : Codec
        What drives them.
    layers : list of MappedLayer
    """

    def __init__(self, codec: Codec, layers: Sequence[MappedLayer]) -> None:
        self.codec, self.layers = codec, layers
        self.order = order_of([layer.layer for layer in layers])

    @property
    def wordlines(self) -> list[tuple[MappedLayer, Wordlines]]:
        """The wordlines that each source drives, layer by layer."""
        return [(layer, part) for layer in self.layers for part in layer.wordlines]

    def engine(self, name: EngineName = "auto") -> Engine:
        """Return the engine of a name, or the fastest that can run all layers."""
        name, refusals = engine_called(name), []
        for engine in ENGINES:
            if name in ("auto", engine.name):
                reasons = [engine.refusal(layer) for layer in self.layers]
                if not any(reasons):
                    return engine
                refusals += [f"layer {k} needs 'dense': {reason}" for k, reason in enumerate(reasons, 1) if reason]
        if not refusals:
            known = ", ".join(repr(engine.name) for engine in ENGINES)
            raise ParameterError(f"engine = {shown(name)}: give 'auto', {known}")
        raise ParameterError(f"engine = {name!r}, but {refusals[0]}; use 'auto'")

    def outputs(self, images: np.ndarray, first: int = 0, *, engine: EngineName = "auto") -> list[np.ndarray]:
        """Return the outputs of every layer: spikes (t_steps, n, channels, height, width), whole numbers, logits."""
        return self.engine(engine).outputs(self._task(images, first))

    def as_tensors(self, images: np.ndarray) -> list[Outcome]:
        """Return outputs, what they were made from, and counts of each layer."""
        return DENSE.run(self._task(images, 0))

    def driven(self, images: np.ndarray, first: int = 0) -> Iterator[Reads]:
        """Yield what drives the wordlines of each source, layer by layer, while images are classified."""
        outputs = self.outputs(images, first)
        for layer, part in self.wordlines:
            source = part.rows.source
            given = self.codec.encoded(images, first) if source == INPUT else self.codec.passed_on(outputs[source])
            drive = Drive.of(layer, part, *given)
            yield drive.x.reshape(-1, *part.rows.in_shape), drive.analog, drive.repeats

    def classify(
        self,
        images: np.ndarray,
        first: int = 0,
        *,
        engine: EngineName = "auto",
        ageing: Ageing | None = None,
        counted: list[Counts] | None = None,
        inputs: Shared | None = None,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, list[Ledger]]:
        """Return the classes of images, and what each layer did.

        Parameters
        ----------
        images : array, (n, ...)
        first : int
            Number of the first one.
        engine : str
        ageing : Ageing, optional
            How all images together age the arrays, step by step, which only tensors do.
        counted : list, optional
            Filled with how often the wordlines of each source were driven, layer by layer, by events only.
        inputs : dict, optional
            What other dies of the chip made of the same images; added to.
        progress : callable, optional
        """
        chosen = self.engine("dense" if ageing else engine)
        size = len(images) if ageing else chosen.size(self.layers, len(images))
        tasks = [
            replace(
                self._task(images[k : k + size], first + k), ageing=ageing, counting=counted is not None, shared=inputs
            )
            for k in range(0, len(images), size)
        ]
        chosen.prepare(tasks[0])  # here, not in several threads
        ledgers, classes = [Ledger() for _ in self.layers], []
        totals: list[np.ndarray] = []
        for done in in_threads(chosen.classify, tasks) if chosen.in_threads else map(chosen.classify, tasks):
            classes.append(done.classes)
            for ledger, part in zip(ledgers, done.ledgers):
                ledger.add(part)
            for total, seen in zip(totals, done.inputs):
                np.add(total, seen, out=total)
            totals = totals or done.inputs
            if progress is not None:
                progress(len(done.classes))
        if counted is not None:
            frames = self.codec.encoded(images[:1], 0)[0].shape[0]
            for (layer, wordlines), total in zip(self.wordlines, totals):
                outer = wordlines.rows.source == INPUT and not wordlines.rows.delay
                own = frames if outer else layer.t_steps
                counted.append(wordline_counts(layer, wordlines, total, own, len(images)))
        return np.concatenate(classes), ledgers

    def _task(self, images: np.ndarray, first: int) -> Task:
        return Task(self.codec, self.layers, self.order, images, first)
