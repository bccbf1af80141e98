"""Calibration of gains, offsets and thresholds: what it mends, when it happens, and what it takes."""

import numpy as np
import pytest

import mapping as mp
import xbarsim as xb
from mapping.chip.calibration_codes import find_codes
from tests.builders.chips import approx, mapped_on, on, wired, with_readout
from tests.builders.layers import forward
from tests.oracles.readouts import (
    UNIT,
    assert_runs_like,
    inputs_of,
    neurons,
    of_outputs,
    pairs,
    read_out,
    solved,
    unit_voltage,
)


@pytest.fixture
def chip(chip):
    return wired(chip)


@pytest.fixture
def sar(chip):
    return on(chip, "bitline")


LOSSY = xb.Wires(r_wordline=1000, r_bitline=1000, r_driver=3000, r_sense=1000)


def kept_by(layer):
    """Return the share of their weights that the solved outputs of each row tile keep, (n_row_tiles, n_out)."""
    kept = []
    for row in layer.row_tiles:
        weights = layer.layer.weights[:, row.rows].astype(float)
        found = np.zeros_like(weights)
        for tile in row.tiles:
            reads = np.eye(layer.layer.weights.shape[1])[row.rows]
            found[tile.patch.outputs] = pairs(solved(tile, reads)[0]).T / UNIT
        kept.append((weights * found).sum(1) / (weights**2).sum(1))
    return np.array(kept)


@pytest.mark.parametrize("bits", [3, 8])
@pytest.mark.parametrize("readout", ["charge", "bitline"])
def test_gain_codes_give_outputs_the_strength_that_they_should_have(tiny, chip, readout, bits):
    network, images = tiny
    calibration = mp.Calibration(gain_bits=bits, gain_range=0.4)
    chip = with_readout(chip, readout).replace(wires=LOSSY, calibration=calibration)
    mapped = mapped_on(network, chip)
    for layer, x, analog in inputs_of(mapped, images[:2]):
        kept, gains = kept_by(layer), np.array(layer.codes.gains)
        step = 0.8 / (2**bits - 2)
        steps = (gains - 0.6) / step
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
        inside = np.abs(1 / kept - 1) < 0.4
        assert np.all(np.abs(gains * kept - 1)[inside] <= kept[inside] * step / 2 + 1e-9)
        assert np.all(gains[1 / kept > 1.4] == approx(1.4)) and inside.mean() > 0.5
        assert np.abs(kept - 1)[inside].max() > 0.1
        parts = of_outputs(layer, x, read_out(chip))
        assert_runs_like(layer, x, analog, sum(gain[:, None, None] * part for gain, part in zip(gains, parts)))


@pytest.mark.parametrize("merge", ["charge", "majority"])
def test_threshold_codes_follow_what_outputs_keep_after_their_gains(tiny, chip, merge):
    network, images = tiny
    calibration = mp.Calibration(threshold_bits=4, gain_bits=2, gain_range=0.2, threshold_range=0.6)
    mapped = mapped_on(network, chip.replace(wires=LOSSY, calibration=calibration, merge=merge))
    for layer, x, analog in inputs_of(mapped, images[:2]):
        gains, sizes = np.array(layer.codes.gains), np.array([row.n_rows for row in layer.row_tiles])
        kept = gains * kept_by(layer)
        if merge == "charge":
            kept = (kept * sizes[:, None]).sum(0, keepdims=True) / sizes.sum()
        factors = np.asarray(layer.codes.threshold).reshape(kept.shape)
        step = 1.2 / 14
        assert np.all(np.abs(factors - kept)[kept > 0.4] <= step / 2 + 1e-9) and np.abs(factors - 1).max() > 0.05
        parts = [gain[:, None, None] * part for gain, part in zip(gains, of_outputs(layer, x, read_out(chip)))]
        if merge == "charge":
            assert_runs_like(layer, x, analog, sum(parts), scale=factors[0][:, None, None])
        else:
            share = 1 / len(parts)
            votes = sum(
                neurons(layer, part, share=share, scale=factor[:, None, None])[0]
                for part, factor in zip(parts, factors)
            )
            np.testing.assert_array_equal(forward(layer, x, analog)[0], 2 * votes > len(parts))


def test_offset_codes_leave_half_a_step(tiny, chip):
    network, images = tiny
    spread, beyond = 0.05, 0
    trimmed = chip.replace(readout__offset=spread, calibration={"offset_bits": 5, "offset_range": 1.5})
    for seed in range(3):
        mapped = mapped_on(network, trimmed, seed=seed)
        for layer, x, analog in inputs_of(mapped, images[:2]):
            offset = layer.neurons.offset
            rest, within = offset - layer.codes.offset, np.abs(offset) < 1.5 * spread
            assert np.all(np.abs(rest)[within] <= 3 * spread / 30 / 2 + 1e-12)
            np.testing.assert_allclose(np.abs(rest)[~within], np.abs(offset)[~within] - 1.5 * spread, rtol=1e-9)
            beyond += np.count_nonzero(~within)
            level = layer.layer.activation.threshold + rest / unit_voltage(layer)[0]
            assert_runs_like(layer, x, analog, sum(of_outputs(layer, x, read_out(chip))), level=level)
    assert beyond > 0


def test_offset_codes_of_converters_leave_half_a_step(tiny, sar):
    network, _ = tiny
    trimmed = sar.replace(readout__offset=0.01, calibration={"offset_bits": 6})
    before, after = (mapped_on(network, one).layers[0] for one in (sar.replace(readout__offset=0.01), trimmed))
    drawn = []
    for rows in zip(before.row_tiles, after.row_tiles):
        for raw, rest in zip(*(row.converters for row in rows)):
            for k in range(raw.n_converters):
                offsets = [0.5 - converters.transitions(k)[0] for converters in (raw, rest)]
                assert abs(offsets[1]) <= 6 * 0.01 * 4095 / 62 / 2 + 1e-9 or abs(offsets[0]) > 3 * 0.01 * 4095
                drawn.append(offsets[0])
    assert len(np.unique(drawn)) == len(drawn) == 3 * (3 + 1)  # converters of arrays with 6 and with 2 bitlines in use


def test_codes_of_many_bits_recover_most_of_the_ideal_spikes(tiny, chip):
    network, _ = tiny
    images = np.random.default_rng(6).uniform(0, 1, (40, 2, 6, 6))
    ideal = chip.replace(wires=xb.Wires(), device__d2d=0.0)
    lossy = ideal.replace(wires=xb.Wires(r_wordline=20, r_bitline=20, r_driver=15e3, r_sense=50))
    trimmed = lossy.replace(calibration={"gain_bits": 12, "gain_range": 0.9})
    first = [mapped_on(network, one).spikes(images)[0] for one in (ideal, lossy, trimmed)]
    wrong = [np.mean(spikes != first[0]) for spikes in first[1:]]
    assert wrong[0] > 0.05 and wrong[1] < 0.1 * wrong[0]


def test_a_report_knows_the_accuracy_without_codes_and_leaves_them_set(tiny, chip):
    network, _ = tiny
    images = np.random.default_rng(6).uniform(0, 1, (30, 2, 6, 6))
    lossy = chip.replace(wires=LOSSY, readout__offset=0.3, readout__noise=0.02)
    labels = network.predict(images)
    codes = {"gain_bits": 6, "gain_range": 0.9, "offset_bits": 6, "threshold_bits": 6}
    mapped = mapped_on(network, lossy.replace(calibration=codes), seed=3)
    before = [layer.effective_weights.copy() for layer in mapped.layers], mapped.spikes(images)
    report, plain = (
        mapped.evaluate(images, labels, batch_size=7),
        mapped_on(network, lossy, seed=3).evaluate(images, labels),
    )
    assert report.accuracy_uncalibrated == plain.accuracy and plain.accuracy_uncalibrated is None
    assert report.accuracy > plain.accuracy + 0.2
    for layer, weights in zip(mapped.layers, before[0]):
        np.testing.assert_array_equal(layer.effective_weights, weights)
    for a, b in zip(mapped.spikes(images), before[1]):
        np.testing.assert_array_equal(a, b)
    assert mapped.evaluate(images, labels, batch_size=7) == report
    assert "without calibration" in str(report) and "without calibration" not in str(plain)


FADING = {"device__retention": xb.Retention(nu=0.1, t0=1.0)}


def same_codes(a, b):
    for one, other in zip(a.layers, b.layers):
        np.testing.assert_array_equal(one.codes.gains, other.codes.gains)
        np.testing.assert_array_equal(one.codes.threshold, other.codes.threshold)
        np.testing.assert_allclose(one.effective_weights, other.effective_weights, rtol=1e-9)


def test_scheduled_calibration_happens_at_multiples_of_its_interval(tiny, chip):
    """Ages in one go and in parts, against the steps done by hand on a chip without a schedule."""
    network, _ = tiny
    by_hand = chip.replace(**FADING, calibration={"gain_bits": 10, "gain_range": 0.8, "threshold_bits": 8})
    scheduled = by_hand.replace(calibration__interval="1 h")
    for steps in ([2.5], [1.5, 1.0], [0.5, 0.5, 1.25, 0.25], [2.0, 0.5]):
        found, expected = mapped_on(network, scheduled), mapped_on(network, by_hand)
        fresh = found.layers[0].codes.gains
        for hours in steps:
            found.age(dt=3600 * hours)
        expected.age(dt="2 h")
        expected.calibrate()
        expected.age(dt="0.5 h")
        same_codes(found, expected)
        assert np.any(np.array(fresh) != found.layers[0].codes.gains)
    found, expected = mapped_on(network, scheduled), mapped_on(network, by_hand)
    for mapped in (found, expected):
        mapped.age(dt="0.9 h")
    same_codes(found, expected)  # not yet
    found.calibrate()  # from now on the hour begins anew
    expected.calibrate()
    for mapped in (found, expected):
        mapped.age(dt="0.9 h")
    same_codes(found, expected)


def test_energy_of_scheduled_calibrations_is_spread_over_inferences(tiny, chip, sar):
    network, images = tiny
    codes = {"gain_bits": 4, "offset_bits": 4, "threshold_bits": 4, "energy": "1 pJ", "interval": "10 ms"}
    # gains of 3 x 4 and 5 x 3 outputs; a threshold and an offset, of comparator or converter, of each of 4 and 3
    # outputs; the latter has a converter for every 2 of the bitlines, 6 and 2 of them used on each row tile
    for given, counts in ((chip, (12 + 4 + 4, 15 + 3 + 3)), (sar, (12 + 4 + 3 * 4, 15 + 3 + 5 * 3))):
        one = given.replace(readout__offset=0.001, replication=(2,))
        mapped = mapped_on(network, one.replace(calibration=codes))
        report = mapped.evaluate(images, np.zeros(7, int))
        for layer, row, count in zip(mapped.layers, report.layers, counts):
            copies = 2 if layer.number == 0 else 1
            assert layer.inventory.codes == copies * count
            assert row.energies["calibration"] == approx(copies * count * 1e-12 / (10e-3 * report.throughput))
        once = mapped_on(network, one.replace(calibration=codes | {"interval": None})).evaluate(
            images, np.zeros(7, int)
        )
        assert [row.energies["calibration"] for row in once.layers] == [0, 0]
        assert report.energy_per_inference == approx(
            once.energy_per_inference + report.energy_by_module()["calibration"]
        )
        core = mapped.evaluate(images, np.zeros(7, int), accounting="core")
        assert core.energy_by_module()["calibration"] == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "nothing is trimmed; give gain_bits, offset_bits or threshold_bits"),
        ({"interval": "1 h", "energy": "1 pJ"}, "nothing is trimmed"),
        ({"gain_bits": 0}, "Calibration.gain_bits = 0"),
        ({"gain_bits": 13}, "Calibration.gain_bits = 13"),
        ({"gain_bits": 4, "gain_range": 1.0}, "Calibration.gain_range = 1"),
        ({"threshold_bits": 4, "threshold_range": 0}, "Calibration.threshold_range = 0"),
        ({"offset_bits": 4, "interval": 0}, "Calibration.interval = 0"),
    ],
    ids=str,
)
def test_calibrations_that_cannot_be_are_refused(values, message):
    with pytest.raises(xb.ParameterError) as error:
        mp.Calibration(**values)
    assert message in str(error.value)


def test_no_calibration_before_its_time(tiny, chip):
    laws = {"device__read_disturb": "power-law", "device__retention": xb.Retention(nu=0.1, t0=1.0)}
    codes = {"gain_bits": 12, "gain_range": 0.9, "interval": "1 h"}
    mapped = mapped_on(tiny[0], chip.replace(**laws, calibration=codes))
    mapped.age(n_reads=1e9)
    before = np.array(mapped.layers[0].codes.gains)
    mapped.age(dt="1 s")
    np.testing.assert_array_equal(mapped.layers[0].codes.gains, before)
    mapped.age(dt="1 h")
    assert np.any(np.array(mapped.layers[0].codes.gains) != before)


def test_outputs_without_weights_are_not_trimmed():
    ideal = np.array([[1, -1, 0, 0], [1, 1, 1, 1]])
    calibration = mp.Calibration(gain_bits=6, threshold_bits=6)
    rows = [slice(0, 2), slice(2, 4)]
    codes = find_codes(calibration, ideal, 0.9 * ideal, rows, [slice(None)], np.zeros((2, 1, 1)), 0.0)
    assert codes.gains[1][0] == 1 and codes.gains[0] == approx(1 / 0.9, rel=0.02)
