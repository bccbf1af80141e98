"""How long a layer takes for a time step: reads one position after the other, conversions, decisions, spikes sent."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from mapping.chip.chip import Chip
from mapping.chip.periphery.ledger import Inventory


@dataclass(frozen=True)
class LayerTiming:
    """Times of one time step of a layer, all its positions [s]; what happens meanwhile is not counted twice.

    Attributes
    ----------
    settle, read : float
        Lines settle; arrays are read.
    conversion : float
        Conversions, beyond the reads of the next position that go on meanwhile.
    decision : float
        Comparators, resets, or updates of digital membranes beyond what they overlap with.
    link : float
        Its spikes on their way to the next layer, while it goes on.
    first : float
        Until the neurons have decided in the first time step, with all reads of an input that is held from then on.
    """

    settle: float
    read: float
    conversion: float
    decision: float
    link: float
    first: float

    @property
    def busy(self) -> float:
        """Time of its arrays and neurons."""
        return self.settle + self.read + self.conversion + self.decision


def settling_time(chip: Chip) -> float:
    """Return how long lines take to settle to half a step of the read-out [s].

    From the Elmore delays of a wordline and a bitline (W. C. Elmore, J. Appl. Phys. 19, 55, 1948), resistances of each
    kind averaged; passive neurons read bitlines that have not settled.
    """
    wires, rows, cols = chip.wires, chip.rows, chip.cols

    def delay(length: int, c: float, end: float | np.ndarray, segment: float | np.ndarray) -> float:
        return c * length * (float(np.mean(end)) + float(np.mean(segment)) * (length - 1) / 2)

    total = delay(cols, chip.c_wordline, wires.r_driver, wires.r_wordline)
    if not chip.neuron.floating:
        total += delay(rows, chip.c_bitline, wires.r_sense, wires.r_bitline)
    return (chip.readout.settling_bits + 1) * log(2) * total


def layer_timing(
    chip: Chip,
    inventory: Inventory,
    t_steps: int,
    spikes_per_step: float = 0.0,
    *,
    held: bool = False,
    updates: float = 1.0,
) -> LayerTiming:
    """Return the times of one time step of a layer, on average over time steps.

    Parameters
    ----------
    chip : Chip
    inventory : Inventory
    t_steps : int
    spikes_per_step : float
        That it sends on, if a layer follows.
    held : bool
        Whether its constant input is read in the first time step only.
    updates : float
        Updates of a digital neuron in a time step: 1, or 1 / n where n steps read the bits of the same inputs.
    """
    positions, places = inventory.positions, inventory.places
    settle, read = positions * settling_time(chip), positions * chip.device.t_read
    hidden = read if chip.held == "driven" else settle + read
    conversion = max(0.0, positions * chip.t_conversion - hidden)
    first = settle + read + conversion
    share = 1 / t_steps if held else 1.0
    update = updates * inventory.outputs * chip.neuron.t_update * places
    late = max(0.0, update - first)
    decided = places * chip.readout.t_decision + chip.neuron.t_reset
    link = chip.link if inventory.sends else None
    return LayerTiming(
        settle=share * settle,
        read=share * read,
        conversion=share * conversion,
        decision=decided + share * late + (1 - share) * update,
        link=link.t_sending(spikes_per_step) if link else 0.0,
        first=first + decided + late,
    )
