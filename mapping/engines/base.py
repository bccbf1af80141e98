"""What an engine is, and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from torch import Tensor

from mapping.chip.ageing import Ageing
from mapping.chip.layer import MappedLayer
from mapping.chip.periphery.ledger import Ledger
from mapping.engines.codecs import Codec
from mapping.ir.components import Component
from mapping.kernels.inference import Events

Shared = dict[int, Events]  # what dies of one chip make of the same images, from the number of the first one on


@dataclass
class Task:
    """Images that run together.

    Attributes
    ----------
    codec : Codec
    layers : sequence of MappedLayer
    order : sequence of Component
        In which they run.
    images : array, (n, ...)
    first : int
        Number of the first one.
    ageing : Ageing, optional
        How they age the arrays, step by step.
    counting : bool
        Whether to count what wordlines do.
    shared : dict, optional
        What other dies made of them; added to.
    """

    codec: Codec
    layers: Sequence[MappedLayer]
    order: Sequence[Component]
    images: np.ndarray
    first: int = 0
    ageing: Ageing | None = None
    counting: bool = False
    shared: Shared | None = None


@dataclass
class Done:
    """What became of a task.

    Attributes
    ----------
    classes : int array, (n,)
    ledgers : list of Ledger
        Of each layer.
    inputs : list of array
        How often the inputs of all wordlines, layer by layer, had which level, if that was asked for.
    """

    classes: np.ndarray
    ledgers: list[Ledger]
    inputs: list[np.ndarray] = field(default_factory=list)


class Outcome(NamedTuple):
    """What a layer did: its outputs, what they were made from, and what was counted.

    outputs : array, (t_steps, n, channels, height, width)
        Spikes, 0 or 1; of a conventional layer whole numbers or logits, (1, ...).
    state : Tensor, the same shape
        Membranes before they are reset, in units of a weight; of a conventional layer the outputs again.
    ledger : Ledger
    """

    outputs: np.ndarray
    state: Tensor
    ledger: Ledger


class Engine(Protocol):
    """Runs images through mapped layers, and counts what happens; all engines give the same up to rounding.

    Attributes
    ----------
    name : str
    in_threads : bool
        Whether tasks may run side by side.
    """

    name: str
    in_threads: bool

    def refusal(self, layer: MappedLayer) -> str:
        """Return why it cannot run a layer; nothing if it can."""

    def size(self, layers: Sequence[MappedLayer], n_images: int) -> int:
        """Return how many of so many images a task has: on any number of threads, so that no sum depends on it."""

    def prepare(self, task: Task) -> None:
        """Make what tasks share of the layers, as they are solved and trimmed now."""

    def outputs(self, task: Task) -> list[np.ndarray]:
        """Return the outputs of every layer: spikes (t_steps, n, channels, height, width), whole numbers, logits."""

    def classify(self, task: Task) -> Done:
        """Return the classes of images, and what was counted."""
