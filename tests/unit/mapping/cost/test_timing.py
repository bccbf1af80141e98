"""Time: reads, conversions and decisions, and what a step waits for."""

from math import ceil, log

import numpy as np
import pytest

import mapping as mp
from tests.builders.chips import approx, mapped_on, wired, with_readout
from tests.oracles.readouts import T_READ


@pytest.fixture
def chip(chip):
    return wired(chip)


@pytest.fixture
def passive(chip):
    return chip.replace(neuron=mp.PassiveNeuron(capacitance="1 pF", energy_per_sample=2e-15, energy_per_spike=3e-15))


def elmore(length, capacitance, end, segment):
    """Return the sum over the nodes of a line of each one's capacitance times the resistance that all must pass."""
    return sum(capacitance * (end + k * segment) for k in range(length))


def step_of(layer, spikes_per_step):
    """Return the times of arrays and neurons, of the link, and until the first decisions, from what a layer has to do.

    The first two are those of a time step, on average.
    """
    chip, t_steps, spec = layer.chip, layer.t_steps, layer.layer.spec
    rows, cols = spec.read_positions(layer.layer.rows[0].in_shape)
    copies = (*chip.replication, 1, 1)[layer.number]
    reads, outputs = ceil(rows * cols / copies), ceil(rows * cols / spec.pool**2 / copies)
    digital, wires = isinstance(chip.readout, mp.SarAdc), chip.wires
    line = elmore(chip.cols, chip.c_wordline, wires.r_driver, wires.r_wordline)
    if not isinstance(chip.neuron, mp.PassiveNeuron):
        line += elmore(chip.rows, chip.c_bitline, wires.r_sense, wires.r_bitline)
    settle = log(2 ** ((chip.readout.n_bits if digital else 8) + 1)) * line  # until half a step is left
    if not digital:
        busy = reads * (settle + T_READ) + outputs * chip.readout.t_decision + chip.neuron.t_reset
    else:
        conversion = chip.readout.columns_per_adc / chip.readout.f_sample
        sampled = max(settle + T_READ, conversion)  # the next position settles and is read meanwhile
        one = sampled if chip.held == "sampled" else settle + max(T_READ, conversion)
        update = outputs * spec.out * chip.neuron.t_update
        busy = first = max(reads * one, update)
        if chip.constant_input == "once" and layer.number == 0:
            busy = (first + (t_steps - 1) * update) / t_steps
    if not digital:
        first = busy
    link = 0 if chip.link is None or layer.number == 1 else spikes_per_step * chip.link.t_spike / chip.link.lanes
    return busy, link, max(first, link)


LINES = {"c_wordline": 2e-13, "c_bitline": 3e-13}
TIMES = {
    "comparators": ("charge", {"readout__t_decision": 3e-9, "neuron__t_reset": 40e-9}),
    "capacitive lines": ("charge", LINES | {"replication": (5,)}),
    "one layer after the other": ("charge", {"pipelined": False, "readout__t_decision": 3e-9}),
    "bound by links": ("charge", {"link": {"energy_per_spike": 1e-12, "t_spike": "2 us", "lanes": 3}}),
    "sampled": ("bitline", {"held": "sampled"}),
    "sampled, fast": ("bitline", {"held": "sampled", "readout__f_sample": 400e6} | LINES),
    "sampled, slow lines": ("bitline", {"held": "sampled", "readout__columns_per_adc": 1} | LINES),
    "driven": ("difference", {"held": "driven"} | LINES),
    "driven, slow": ("difference", {"held": "driven", "readout__f_sample": 5e6} | LINES),
    "replicated": ("bitline", {"replication": (4, 1), "readout__columns_per_adc": 4, "pipelined": False}),
    "bound by updates": ("bitline", {"neuron__t_update": 60e-9, "replication": (8,)}),
    "held once": ("bitline", {"constant_input": "once", "neuron__t_update": 1e-9}),
}


@pytest.mark.parametrize("name", TIMES)
def test_times_follow_from_reads_conversions_and_decisions(tiny, chip, name):
    network, images = tiny
    readout, changes = TIMES[name]
    chip = with_readout(chip, readout).replace(**changes)
    mapped = mapped_on(network, chip)
    report = mapped.evaluate(images, np.zeros(7, int))
    sent = [spikes.sum() / (7 * network.t_steps) for spikes in mapped.spikes(images)]
    times = [step_of(layer, spikes) for layer, spikes in zip(mapped.layers, sent)]
    steps = [max(busy, link) for busy, link, _ in times]
    for row, (busy, link, _), step in zip(report.layers, times, steps):
        assert row.time_busy == approx(busy, rel=1e-9)
        assert row.times.link == approx(link, rel=1e-6, abs=1e-30)
        assert row.time_step == approx(step, rel=1e-6)
        parts = (row.times.settle, row.times.read, row.times.conversion, row.times.decision)
        assert min(parts) >= 0 and sum(parts) == approx(busy)
    slowest = max(steps) if chip.pipelined else sum(steps)
    assert report.step_time == approx(slowest, rel=1e-6)
    assert report.throughput == approx(1 / (network.t_steps * slowest), rel=1e-6)
    assert report.latency == approx(sum(first for *_, first in times) + (network.t_steps - 1) * slowest, rel=1e-6)
    assert report.stall_fraction == approx([1 - busy / slowest for busy, *_ in times], rel=1e-6, abs=1e-12)
    assert report.power == approx(report.energy_per_inference * report.throughput)


def test_chips_of_the_time_model_are_bound_by_what_they_are_named_for(tiny, chip):
    network, images = tiny

    def rows(name):
        readout, changes = TIMES[name]
        chips = with_readout(chip, readout).replace(**changes)
        return mapped_on(network, chips).evaluate(images, np.zeros(7, int)).layers

    assert rows("bound by links")[0].times.link > rows("bound by links")[0].time_busy
    assert rows("bound by updates")[0].times.decision > rows("bound by updates")[0].times.read
    assert rows("sampled")[0].times.conversion > 0 == rows("sampled, fast")[0].times.conversion
    assert rows("driven, slow")[0].times.conversion > 0 < rows("driven, slow")[0].times.settle
    assert rows("capacitive lines")[0].times.settle > 0.01 * rows("capacitive lines")[0].times.read


def test_passive_bitlines_need_not_settle(tiny, passive):
    network, images = tiny
    mapped = mapped_on(network, passive.replace(**LINES, readout__t_decision=1e-9, neuron__t_reset=2e-9))
    for layer, row in zip(mapped.layers, mapped.evaluate(images, np.zeros(7, int)).layers):
        assert row.time_busy == approx(step_of(layer, 0)[0], rel=1e-9)
