"""Several dies of one chip, one after the other: the accuracy that a user can count on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from mapping.chip.chip import Chip
from mapping.cost.accounting import Accounting, convention
from mapping.cost.report import Report
from mapping.engines.base import Shared
from mapping.inputs.sample import Sample
from mapping.mapped.given import Source, as_chip, as_network
from mapping.mapped.mapped_layers import MappedLayers
from mapping.mapped.mapped_network import map_network
from mapping.networks.encode import check_images, check_labels
from mapping.networks.network import Network
from xbarsim.drift import ROOM_TEMPERATURE
from xbarsim.errors import ParameterError, of_kind
from xbarsim.streams import whole_number
from xbarsim.units import quantity


@dataclass(frozen=True)
class History:
    """What arrays go through between programming and use.

    Attributes
    ----------
    n_reads : float
        Reads of every array, with its wordlines as active as the images to be classified make them.
    time : float
        [s].
    temperature : float
        During all of that [K].
    n_inferences : float
        Instead of reads: classifications, each with as many reads as one of those images causes.
    """

    n_reads: float = 0.0
    time: float = 0.0
    temperature: float = ROOM_TEMPERATURE
    n_inferences: float = 0.0

    def __post_init__(self) -> None:
        for name, unit in (("n_reads", ""), ("time", "s"), ("temperature", "K"), ("n_inferences", "")):
            object.__setattr__(self, name, quantity(getattr(self, name), unit, f"History.{name}"))

    def check(self, chip: Chip, refresh: float | None = None) -> None:
        """Raise an error if any of this, or reads that age meanwhile, would not change the arrays of a chip."""
        device, n_reads = chip.device, self.n_reads + self.n_inferences
        if self.n_reads and self.n_inferences:
            raise ParameterError("n_reads and n_inferences: give one of them, not both")
        known = min(self.n_reads, self.n_inferences) >= 0 and n_reads < np.inf
        if not known or not (refresh is None or 0 <= refresh < np.inf):
            raise ParameterError(f"{n_reads:g} reads, refresh = {refresh}: give finite numbers from 0")
        if not 0 <= self.time < np.inf or not 0 < self.temperature < np.inf:
            raise ParameterError(f"{self.time:g} s at {self.temperature:g} K: give a time from 0 s, and more than 0 K")
        if n_reads and device.read_disturb is None:
            raise ParameterError(
                f"{chip.name}: its device has no read_disturb law, so that reads change nothing; add one, "
                'for example read_disturb = "power-law"'
            )
        if self.time and device.retention is None and not device.read_noise.remembers:
            raise ParameterError(
                f"{chip.name}: its device has no retention law and no slow noise, so that time changes nothing; add one"
            )
        changes = device.read_disturb is not None or device.retention is not None or device.read_noise.remembers
        if refresh is not None and not changes:
            raise ParameterError(f"{chip.name}: nothing about its device changes with reads or time; leave refresh out")
        by_time = self.time > 0 and device.retention is not None
        by_reads = device.read_disturb is not None and (n_reads > 0 or refresh is not None)
        if self.temperature != ROOM_TEMPERATURE and not (by_time or by_reads):
            raise ParameterError(
                f"{chip.name}: {self.temperature:g} K changes nothing; give reads, or a time and a retention law"
            )
        try:
            device.check_temperature(self.temperature, time=by_time or refresh is not None, reads=by_reads)
        except ParameterError as error:
            raise ParameterError(f"{chip.name}: {error}") from None


def age(mapped: MappedLayers, history: History, images: np.ndarray) -> None:
    """Let arrays go through a history, read as often as images make them."""
    if history != History():
        mapped.age(
            n_reads=history.n_reads or None,
            n_inferences=history.n_inferences or None,
            images=images,
            dt=history.time,
            temperature=history.temperature,
        )


def evaluate_dies(
    network: Network | Source,
    chip: Chip | Source,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    n_dies: int,
    seed: int = 0,
    history: History | None = None,
    refresh: float | None = None,
    accounting: str | Accounting = "full",
    sample: Sample | None = None,
    progress: Callable[[int, int], None] | None = None,
    axes: str | None = None,
    past: History | None = None,
) -> Report:
    """Classify images on several dies of a chip; memory does not grow with their number.

    Converters whose full scale is calibrated take it from the first 64 images.

    Parameters
    ----------
    network, chip, images, labels, axes
        As for :func:`mapping.map_network` and :meth:`mapping.MappedNetwork.evaluate`.
    n_dies : int
    seed : int
        Root seed; die k is the same however many there are.
    history : History, optional
        What the arrays go through first.
    refresh : float, optional
        Let reads age the arrays meanwhile, see :meth:`mapping.MappedNetwork.evaluate`.
    accounting : str or Accounting
        See ``mapping.cost.CONVENTIONS``.
    sample : Sample, optional
        Which images these are, for the report.
    progress : callable, optional
        Called with the number of the die, and of the images done since the last call.
    past : History, optional
        Deprecated name of ``history``.

    Returns
    -------
    Report
        The average over dies, with the accuracy of each.
    """
    network, chip = as_network(network), as_chip(chip)
    if past is not None:
        history = of_kind(History, past, "past", "a History")
        warnings.warn("evaluate_dies(past=...) is deprecated; use history=...", DeprecationWarning, stacklevel=2)
    history = History() if history is None else of_kind(History, history, "history", "a History")
    history.check(chip, refresh)
    convention(accounting)
    if whole_number(n_dies, "n_dies") < 1:
        raise ParameterError("n_dies = 0: give at least 1")
    images = check_images(images, network.spec, axes)
    labels = check_labels(labels, len(images), network.spec.n_classes)
    ideal, average = network.predict(images, seed=seed), None
    inputs: Shared = {}
    for die in range(n_dies):
        mapped = map_network(network, chip, seed=seed, die=die, images=images[:64])
        age(mapped, history, images)
        show = partial(progress, die) if progress else None
        report = mapped.evaluate(
            images,
            labels,
            accounting=accounting,
            refresh=refresh,
            temperature=history.temperature,
            ideal=ideal,
            inputs=inputs,
            sample=sample,
            progress=show,
        )
        average = report if average is None else average.and_die(report)
    assert average is not None  # n_dies is at least 1
    return average
