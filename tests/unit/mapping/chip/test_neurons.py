"""Neurons on chips: passive ones, comparators and membranes, with what differs from one to the next."""

import numpy as np
import pytest
import torch
from scipy import stats

import mapping as mp
import xbarsim as xb
from mapping.chip.neurons import Neurons
from mapping.lower.placement import first_row
from tests.builders.chips import approx, mapped_on, wired
from tests.builders.layers import forward
from tests.oracles.naive_networks import rebuilt
from tests.oracles.readouts import (
    T_READ,
    UNIT,
    V_READ,
    assert_runs_like,
    inputs_of,
    joules,
    neurons,
    of_outputs,
    pairs,
    read_out,
    unfolded,
    unit_voltage,
    voltages,
)


@pytest.fixture
def chip(chip):
    return wired(chip)


@pytest.fixture
def passive(chip):
    return chip.replace(neuron=mp.PassiveNeuron(capacitance="1 pF", energy_per_sample=2e-15, energy_per_spike=3e-15))


def test_passive_neurons_integrate_what_bitlines_have_charged_to(tiny, passive):
    """Membranes by the exact charge of each read, energy by quadrature of the sources' power while bitlines charge."""
    network, _ = tiny
    x = (np.random.default_rng(2).random((6, 1, 2, 6, 6)) < 0.3).astype(float)
    mapped, c = mapped_on(network, passive), 1e-12
    moments, weights = np.polynomial.legendre.leggauss(12)
    for layer in mapped.layers:
        reads, n_out = unfolded(layer, x), layer.layer.spec.out
        height, width = layer.layer.spec.read_positions(layer.layer.rows[0].in_shape)
        pool = layer.layer.spec.pool
        outputs, alone, energy, n_lines = np.zeros((len(reads), n_out)), np.zeros(layer.layer.weights.shape), 0.0, 0
        for row in layer.row_tiles:
            for tile in row.tiles:
                v, ports, used = voltages(tile, reads), xb.reduce(tile.circuit.crossbar), slice(tile.n_lines)
                charge = c * ports.charge(v, c, T_READ)[:, used]
                outputs[:, tile.patch.outputs] += pairs(charge) / (UNIT * T_READ)
                one = v[:1] * 0 + V_READ * np.eye(passive.rows)[first_row(tile.patch, passive) :]
                alone[tile.patch.outputs, tile.patch.rows] = pairs(c * ports.charge(one, c, T_READ)[:, used]).T
                n_lines += tile.n_lines
                v, counts = np.unique(v, axis=0, return_counts=True)
                for moment, weight in zip((moments + 1) / 2 * T_READ, weights / 2 * T_READ):
                    now = xb.solve(tile.circuit.crossbar, v, v_bitline=ports.charge(v, c, moment))
                    energy += weight * counts @ np.sum(v * now.i_wordline, 1)
        arrives = np.sum(layer.layer.weights * alone) / (layer.layer.weights.size * UNIT * T_READ)
        assert 0.01 < arrives < 0.9
        current = outputs.reshape(6, 1, height // pool, pool, width // pool, pool, n_out).mean((3, 5)) / arrives
        ledger = assert_runs_like(layer, x, False, np.moveaxis(current, -1, 2))
        assert joules(layer, ledger)["array"] == approx(energy, rel=1e-7)
        assert joules(layer, ledger)["neuron"] == approx(2e-15 * len(reads) * n_lines + 3e-15 * ledger.spikes)
        assert layer.neurons.v_unit == approx(arrives * UNIT * T_READ / c)
        assert np.isnan(layer.ir_drop)
        x = forward(layer, x, False)[0].astype(float)


def test_the_textbook_law_is_far_off_for_the_papers_device():
    """I t / C is too large by read time over time constant: 35 for 1 pF on a bitline of 256 of the paper's cells."""
    rng = np.random.default_rng(0)
    g = xb.load_device("paper").program(rng.random((256, 8)) < 0.5, seed=0)
    v = V_READ * (rng.random(256) < 0.1)
    crossbar = xb.Crossbar(g, wires=xb.Wires())
    linear = xb.solve(crossbar, v).i_bitline * T_READ / 1e-12
    exact = xb.reduce(crossbar).charge(v, 1e-12, T_READ)
    np.testing.assert_allclose(linear / exact, g.sum(0) * T_READ / 1e-12, rtol=1e-9)
    assert np.mean(linear / exact) == approx(35, rel=0.03)
    assert exact.max() < V_READ < linear.min()


def test_a_large_capacitance_makes_passive_neurons_linear(tiny, chip, passive):
    """Voltages stay small: the chip is the one with bitlines at virtual ground, apart from how its unit is defined."""
    network, images = tiny
    large, plain = (mapped_on(network, one) for one in (passive.replace(neuron__capacitance="1 uF"), chip))
    for a, b in zip(large.layers, plain.layers):
        kept = np.mean(b.layer.weights * b.effective_weights)
        np.testing.assert_allclose(a.effective_weights, b.effective_weights / kept, rtol=0, atol=1e-3)
    report = large.evaluate(images, np.zeros(7, int))
    assert report.to_dict()["layers"][0]["ir_drop"] is None
    x = (np.random.default_rng(0).random((6, 2, 2, 6, 6)) < 0.3).astype(float)
    arrays = [forward(mapped.layers[0], x, False)[2].power for mapped in (large, plain)]
    assert arrays[0] == approx(arrays[1], rel=1e-3)
    voting = mapped_on(network, large.chip.replace(merge="majority"))
    layer, x, analog = next(inputs_of(voting, images[:3]))
    kept = np.mean(plain.layers[0].layer.weights * plain.layers[0].effective_weights)
    parts = of_outputs(layer, x, read_out(chip))
    membranes = sum(neurons(layer, part / kept, share=1 / len(parts))[1][0] for part in parts)
    np.testing.assert_allclose(forward(layer, x, analog)[1][0], membranes, rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inactive": "open"}, "Chip.neuron is 'passive' with inactive = 'open'"),
        ({"inactive": "gated"}, "Chip.neuron is 'passive' with inactive = 'gated'"),
        ({"limiter": {"i_max": "1 uA"}}, "Chip.neuron is 'passive' with a limiter"),
        ({"device__read_noise": 0.1}, "Chip.neuron is 'passive' with read noise"),
        ({"weights": "reference"}, "Chip.neuron is 'passive' with weights = 'reference'"),
        ({"merge": "digital"}, "Chip.merge = 'digital' with passive neurons; use 'charge'"),
        ({"constant_input": "once"}, "Chip.constant_input = 'once'"),
    ],
    ids=str,
)
def test_what_passive_neurons_cannot_do_is_refused(passive, changes, message):
    with pytest.raises(xb.ParameterError) as error:
        passive.replace(**changes)
    assert message in str(error.value)


def test_reads_of_passive_bitlines_or_open_wordlines_do_not_age_cells(tiny, chip, passive):
    network, images = tiny
    for one in (passive, chip.replace(inactive="open"), chip.replace(inactive="gated")):
        mapped = mapped_on(network, one.replace(device__read_disturb="power-law"))
        with pytest.raises(xb.ParameterError, match="reads age cells only where inactive wordlines are grounded"):
            mapped.age(n_reads=1e6)
        with pytest.raises(xb.ParameterError, match="reads age cells only where inactive wordlines are grounded"):
            mapped.evaluate(images, np.zeros(7, int), refresh=0.1)


def test_membranes_are_as_large_as_their_thresholds_need(tiny, chip):
    network, _ = tiny
    for layer in mapped_on(network, chip).layers:
        v_unit, capacitance = unit_voltage(layer)
        assert layer.neurons.v_unit == approx(v_unit, rel=1e-12)
        assert layer.neurons.capacitance == approx(capacitance, rel=1e-12)
        assert layer.layer.activation.threshold.max() * v_unit == approx(0.5)
    given = chip.replace(neuron__capacitance="2 fF", neuron__mirror_ratio=0.03)
    for layer in mapped_on(network, given).layers:
        assert layer.neurons.capacitance == 2e-15
        expected = 0.03 * UNIT * T_READ * layer.layer.spec.pool**2 / 2e-15
        assert layer.neurons.v_unit == approx(expected, rel=1e-12)


def test_an_offset_moves_where_neurons_fire_but_not_what_they_lose(tiny, chip):
    network, images = tiny
    mapped, plain = (mapped_on(network, chip.replace(readout__offset=offset)) for offset in (0.04, 0.0))
    differs = 0
    for layer, x, analog in inputs_of(mapped, images[:3]):
        offset = layer.neurons.offset
        assert offset.shape == (layer.layer.spec.out, 1, 1) and len(np.unique(offset)) == offset.size
        level = layer.layer.activation.threshold + offset / unit_voltage(layer)[0]
        current = sum(of_outputs(layer, x, read_out(chip)))
        assert_runs_like(layer, x, analog, current, level=level)
        differs += np.count_nonzero(forward(layer, x, analog)[0] != forward(plain.layers[layer.number], x, analog)[0])
    assert differs > 0


def test_offsets_are_drawn_for_every_comparator_and_die(tiny, chip):
    network, _ = tiny
    chip = chip.replace(readout__offset=0.02)
    layer = mapped_on(network, chip).layers[0]
    arguments = (network.t_steps, False, len(layer.row_tiles))
    drawn = np.array(
        [Neurons(layer.layer, chip, *arguments, (0, die, 0), torch.float64).offset.ravel() for die in range(400)]
    )
    assert drawn.std() == approx(0.02, rel=0.08) and abs(drawn.mean()) < 4 * 0.02 / 40
    assert np.abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 0.2
    np.testing.assert_array_equal(drawn[0], layer.neurons.offset.ravel())
    larger = Neurons(layer.layer, chip.replace(readout__offset=0.04), *arguments, (0, 0, 0), torch.float64)
    np.testing.assert_allclose(larger.offset.ravel(), 2 * drawn[0])
    majority = Neurons(layer.layer, chip.replace(merge="majority"), *arguments, (0, 0, 0), torch.float64)
    assert majority.offset.shape == (3 * 4, 1, 1) and len(np.unique(majority.offset)) == 12


def test_noise_enters_the_comparison_and_not_the_membrane(tiny, chip):
    """Membranes follow from the spikes that occurred; these are as frequent as a normal noise of that size makes them.

    What spikes exceed their probability by is summed as it is, and weighted by the distance from the threshold, which
    tells the size of the noise.
    """
    network, images = tiny
    noise, sums = 0.05, []
    for layer, x, analog in inputs_of(mapped_on(network, chip.replace(readout__noise=noise)), images):
        current = sum(of_outputs(layer, x, read_out(chip)))
        for first in range(0, 700, 7):
            spikes, membrane, _ = forward(layer, x, analog, first)
            u = s = 0
            for t in range(network.t_steps):
                now = current[min(t, len(current) - 1)] + layer.layer.constant[:, None, None]
                u = layer.layer.activation.beta * u + now - s * layer.layer.activation.threshold
                s = spikes[t]
                np.testing.assert_allclose(membrane[t], u, rtol=0, atol=1e-7)
                z = (u - layer.layer.activation.threshold) * unit_voltage(layer)[0] / noise
                p = stats.norm.cdf(z)
                for weight in (1, z):
                    sums.append([np.sum(weight * (s - p)), np.sum(weight**2 * p * (1 - p))])
    for excess, variance in (np.sum(sums[0::2], 0), np.sum(sums[1::2], 0)):
        assert variance > 1000 and abs(excess) < 4 * np.sqrt(variance)
    quiet = mapped_on(network, chip.replace(readout__noise=1e-12))
    for a, b in zip(quiet.spikes(images), mapped_on(network, chip).spikes(images)):
        np.testing.assert_array_equal(a, b)


def test_comparator_noise_and_leaks_do_not_depend_on_batches(tiny, chip):
    network, images = tiny
    chip = chip.replace(readout__noise=0.05, readout__offset=0.03, neuron__leak_spread=0.4)
    mapped = mapped_on(network, chip)
    whole = mapped.spikes(images)
    for first in range(0, 7, 3):
        part = mapped.inference.outputs(images[first : first + 3], first)
        for a, b in zip(whole, part):
            np.testing.assert_array_equal(a[:, first : first + 3], b)
    reports = [mapped.evaluate(images, np.arange(7) % 3, batch_size=size) for size in (1, 3, 100)]
    assert len({report.spike_rate for report in reports}) == len({report.accuracy for report in reports}) == 1
    assert np.any(whole[0] != mapped_on(network, chip, seed=1).spikes(images)[0])


def test_leaks_differ_from_neuron_to_neuron(tiny, chip):
    network, images = tiny
    spread = chip.replace(neuron__leak_spread=0.3)
    mapped = mapped_on(network, spread)
    layer = mapped.layers[0]
    dies = [Neurons(layer.layer, spread, 6, False, 3, (0, die, 0), torch.float64).beta for die in range(30)]
    np.testing.assert_array_equal(dies[0], layer.neurons.beta)
    leaks = np.log(dies) / np.log(0.8)  # relative to the nominal one, cut at 0
    assert leaks.shape == (30, 4, 3, 3) and leaks.min() >= 0 and np.max(dies) <= 1
    assert leaks.std() == approx(0.3, rel=0.1) and leaks.mean() == approx(1, abs=0.04)
    for layer, x, analog in inputs_of(mapped, images[:3]):
        current = sum(of_outputs(layer, x, read_out(chip)))
        assert_runs_like(layer, x, analog, current, beta=layer.neurons.beta)


def test_a_clip_leaves_room_for_the_offset_of_a_comparator(tiny, chip):
    network, images = tiny
    network = rebuilt(network, clip=True)
    clean, offset = (mapped_on(network, chip.replace(readout__offset=x), seed=2) for x in (0.0, 0.001))
    rates = [mapped.spikes(images)[0].mean((0, 1, 3, 4)) for mapped in (clean, offset)]
    assert np.all(rates[1] >= 0.5 * rates[0]) and np.count_nonzero(rates[0]) == 2
