"""Row tiles of one layer: how what they give becomes one, and settings that would do nothing."""

from dataclasses import replace

import numpy as np
import pytest

import mapping as mp
import xbarsim as xb
from tests.builders.chips import approx, mapped_on, on, wired
from tests.builders.layers import forward
from tests.oracles.naive_networks import rebuilt
from tests.oracles.readouts import inputs_of, joules, neurons, of_outputs, read_out


@pytest.fixture
def chip(chip):
    return wired(chip)


@pytest.fixture
def sar(chip):
    return on(chip, "bitline")


def test_row_tiles_add_by_charge_or_digitally_unless_told_otherwise(chip, sar):
    assert chip.merge is None and chip.merging == "charge"
    assert sar.merge is None and sar.merging == "digital"


def test_charges_that_are_shared_differ_by_offset_and_noise_alone(tiny, chip):
    """n row tiles divide the signal by n: the same as one membrane with n times the offset and the noise."""
    network, images = tiny
    quiet = [mapped_on(network, chip.replace(merge=merge)) for merge in ("charge", "charge-sharing")]
    for a, b in zip(*(inputs_of(mapped, images) for mapped in quiet)):
        np.testing.assert_array_equal(forward(a[0], *a[1:])[0], forward(b[0], *b[1:])[0])
        assert len(a[0].row_tiles) > 1
        assert b[0].neurons.v_unit == approx(a[0].neurons.v_unit / len(a[0].row_tiles), rel=1e-12)
        assert b[0].neurons.capacitance == a[0].neurons.capacitance
    shared = mapped_on(network, chip.replace(merge="charge-sharing", readout__offset=0.03, readout__noise=0.02))
    differs = 0
    for layer, x, analog in inputs_of(shared, images):
        n = len(layer.row_tiles)
        noisier = chip.replace(readout__offset=0.03 * n, readout__noise=0.02 * n)
        other = mapped_on(network, noisier).layers[layer.number]
        (spikes, membrane, ledger), expected = forward(layer, x, analog), forward(other, x, analog)
        np.testing.assert_array_equal(spikes, expected[0])
        np.testing.assert_allclose(membrane, expected[1], rtol=0, atol=1e-12)
        assert ledger == expected[2]
        differs += np.count_nonzero(spikes != forward(quiet[0].layers[layer.number], x, analog)[0])
    assert differs > 10


def test_majorities_of_row_tiles_are_neurons_of_their_own(tiny, chip):
    network, images = tiny
    mapped = mapped_on(network, chip.replace(merge="majority"))
    for layer, x, analog in inputs_of(mapped, images[:3]):
        parts = of_outputs(layer, x, read_out(chip))
        n = len(parts)
        votes, membranes = (sum(of) for of in zip(*(neurons(layer, part, share=1 / n) for part in parts)))
        spikes, membrane, ledger = forward(layer, x, analog)
        np.testing.assert_array_equal(spikes, votes > n / 2)
        np.testing.assert_allclose(membrane, membranes, rtol=0, atol=1e-7)
        assert np.any((votes > 0) & (votes <= n / 2)) and n > 2  # votes that are lost
        assert joules(layer, ledger)["conversion"] == approx(n * spikes.size * chip.readout.energy)
    warning = "row tiles decide one by one and their majority counts"
    assert any(warning in text for text in mapped.evaluate(images, np.zeros(7, int)).warnings)


def test_half_of_the_row_tiles_are_no_majority(tiny, chip):
    """Two row tiles must both fire."""
    network, images = tiny
    chip = chip.replace(merge="majority", rows=9)
    mapped = mapped_on(network, chip)
    layer, x, analog = next(inputs_of(mapped, images))
    parts = of_outputs(layer, x, read_out(chip))
    votes = sum(neurons(layer, part, share=0.5)[0] for part in parts)
    assert len(parts) == 2 and (votes == 1).any()
    np.testing.assert_array_equal(forward(layer, x, analog)[0], votes == 2)


def test_a_majority_of_one_is_the_neuron_itself(tiny, chip):
    network, images = tiny
    large = chip.replace(rows=64)
    one, same = (mapped_on(network, large.replace(merge=merge)) for merge in ("majority", "charge"))
    for a, b in zip(one.spikes(images), same.spikes(images)):
        np.testing.assert_array_equal(a, b)
    one, same = (mapped.evaluate(images, np.zeros(7, int), engine="dense") for mapped in (one, same))
    assert replace(one, run=same.run) == same and one.run.chip_hash != same.run.chip_hash


def test_merging_that_a_read_out_cannot_do_is_refused(tiny, chip, sar):
    network, _ = tiny
    with pytest.raises(xb.ParameterError, match="Chip.merge = 'digital' with charge neurons; use 'charge', 'charge-"):
        chip.replace(merge="digital")
    for merge in ("charge", "charge-sharing", "majority"):
        with pytest.raises(xb.ParameterError, match=f"Chip.merge = '{merge}' with digital neurons; use 'digital'"):
            sar.replace(merge=merge)
    for changes in ({"readout": sar.readout}, {"neuron": sar.neuron}):
        with pytest.raises(xb.ParameterError, match="a sar-adc feeds digital neurons"):
            chip.replace(**changes)
    pooled = [network.spec.layers[0].replace(pool_by="maximum"), network.spec.layers[1]]
    network.layers[0].norm.weight.data.abs_()
    maximum = rebuilt(network, layers=pooled)
    for merge in ("charge", "charge-sharing", "majority"):
        with pytest.raises(xb.ParameterError, match="layer 1: pool_by = 'maximum'"):
            mp.map_network(maximum, chip.replace(merge=merge))


@pytest.mark.compiled
def test_majorities_of_row_tiles_cost_accuracy_on_mnist(digits):
    network, chip = mp.load_network("mnist-bsnn"), mp.load_chip("paper-bsnn")
    charge, majority = (
        mp.map_network(network, chip.replace(merge=merge)).evaluate(*digits) for merge in ("charge", "majority")
    )
    assert charge.accuracy > 0.9
    assert majority.accuracy < 0.4  # 0.98 against 0.10, that of guessing
    assert set(majority.warnings) - set(charge.warnings) and "SenseAmp.energy" in charge.warnings[0]
    assert len(charge.warnings) == 1


def test_settings_that_would_do_nothing_are_refused(tiny, chip, sar):
    with pytest.raises(xb.ParameterError, match=r"replication = \(1, 1, 7\) for 2 layers"):
        mapped_on(tiny[0], chip.replace(replication=(1, 1, 7)))
    with pytest.raises(xb.ParameterError, match="held = 'driven': only a sar-adc keeps arrays waiting"):
        chip.replace(held="driven")
    with pytest.raises(xb.ParameterError, match="offset_bits: the read-out has no offset"):
        sar.replace(calibration={"offset_bits": 4})
