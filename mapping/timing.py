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
    """

    settle: float
    read: float
    conversion: float
    decision: float
    link: float

    @property
    def busy(self) -> float:
        """Time of its arrays and neurons."""
        return self.settle + self.read + self.conversion + self.decision

    @property
    def step(self) -> float:
        """Time until the layer can take the next time step."""
        return max(self.busy, self.link)


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


def conversion_time(chip: Chip) -> float:
    """Return how long the conversions of one read take, one bitline of a converter after the other [s]."""
    return chip.readout.columns_per_adc / chip.readout.f_sample if isinstance(chip.readout, SarAdc) else 0.0


def time_on(chip: Chip) -> float:
    """Return how long an array is driven in a read [s]: the read pulse, or until all is converted."""
    t_read = chip.device.t_read
    return max(t_read, conversion_time(chip)) if chip.held == "driven" else t_read


def layer_timing(layer: MappedLayer, spikes_per_step: float) -> LayerTiming:
    """Return the times of one time step, on average over time steps.

    Parameters
    ----------
    layer : MappedLayer
    spikes_per_step : float
        That it sends on.
    """
    chip, t_steps = layer.chip, layer.network.t_steps
    copies, folded = chip.copies(layer.number), layer.layer
    positions = ceil(folded.n_positions / copies)
    outputs = ceil(folded.out_shape[1] * folded.out_shape[2] / copies)
    reads_per_step = positions
    held = layer.number == 0 and chip.constant_input == "once"
    settle, read, conversion = settling_time(chip), chip.device.t_read, conversion_time(chip)
    hidden = 0.0 if chip.held == "driven" else settle
    share = 1 / t_steps if held else 1.0
    decision = 0.0
    if isinstance(chip.neuron, DigitalNeuron):
        update = folded.spec.out * chip.neuron.t_update * outputs
        per_step = share * reads_per_step * max(settle + read, conversion + settle - hidden)
        decision = max(0.0, update - per_step)
    elif isinstance(chip.readout, SenseAmp):
        decision = outputs * chip.readout.t_decision + chip.neuron.t_reset
    return LayerTiming(
        settle=share * reads_per_step * settle,
        read=share * reads_per_step * read,
        conversion=share * reads_per_step * max(0.0, conversion - read - hidden),
        decision=decision,
        link=spikes_per_step * chip.link.t_spike / chip.link.lanes if chip.link else 0.0,
    )
