"""How long a layer takes for a time step: reads one position after the other, conversions, decisions, spikes sent."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log

import numpy as np

from mapping.chip import Chip
from mapping.layer import MappedLayer
from mapping.periphery.neuron_circuit import DigitalNeuron, PassiveNeuron
from mapping.periphery.sar_adc import SarAdc
from mapping.periphery.sense_amp import SenseAmp

COMPARED_BITS = 8  # lines settle to half a step of so many bits before a comparator decides


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
    if not isinstance(chip.neuron, PassiveNeuron):
        total += delay(rows, chip.c_bitline, wires.r_sense, wires.r_bitline)
    bits = chip.readout.n_bits if isinstance(chip.readout, SarAdc) else COMPARED_BITS
    return (bits + 1) * log(2) * total


def layer_timing(
    layer: MappedLayer, spikes_per_step: float, *, held: bool = False, updates: float = 1.0
) -> LayerTiming:
    """Return the times of one time step, on average over time steps.

    Parameters
    ----------
    layer : MappedLayer
    spikes_per_step : float
        That it sends on, if a layer follows.
    held : bool
        Whether its constant input is read in the first time step only.
    updates : float
        Updates of a digital neuron in a time step: 1, or 1 / n where n steps read the bits of the same inputs.
    """
    chip, folded, t_steps = layer.chip, layer.layer, layer.network.t_steps
    copies = chip.copies(layer.number)
    positions = ceil(folded.n_positions / copies)
    outputs = ceil(folded.out_shape[1] * folded.out_shape[2] / copies)
    settle, read = positions * settling_time(chip), positions * chip.device.t_read
    hidden = read if chip.held == "driven" else settle + read
    conversion = max(0.0, positions * chip.t_conversion - hidden)
    first = settle + read + conversion
    share = 1 / t_steps if held else 1.0
    decision = latest = 0.0
    if isinstance(chip.neuron, DigitalNeuron):
        update = updates * (folded.spec.out // folded.slices) * chip.neuron.t_update * outputs
        latest = max(0.0, update - first)
        decision = share * latest + (1 - share) * update
    elif isinstance(chip.readout, SenseAmp):
        decision = latest = outputs * chip.readout.t_decision + chip.neuron.t_reset
    link = None if layer.neurons.last else chip.link
    return LayerTiming(
        settle=share * settle,
        read=share * read,
        conversion=share * conversion,
        decision=decision,
        link=spikes_per_step * link.t_spike / link.lanes if link else 0.0,
        first=first + latest,
    )
