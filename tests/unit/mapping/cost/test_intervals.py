"""How sure accuracies are, which images they are of, and what a report says was run."""

import json
from copy import deepcopy
from dataclasses import replace
from math import comb, sqrt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapping as mp
import xbarsim as xb
from mapping.bsnn.network import Network
from mapping.definitions import DEFINITIONS
from mapping.intervals import accuracy_interval, combined, difference, wilson
from mapping.provenance import network_hash
from mapping.render import significant, with_interval
from mapping.study.results import DESCRIPTIONS
from xbarsim.version import __version__

Z = 1.959963984540054


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),  # R. G. Newcombe, Stat. Med. 17, 857, 1998, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_the_published_one(right, n, low, high):
    assert wilson(right / n, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(1 - right / n, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)
    correct = np.arange(n)[None] < right
    assert accuracy_interval(correct) == pytest.approx((low, high), abs=5e-5)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 400), st.integers(1, 5), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.05, 0.5, 0.99, 1.0]))
def test_an_interval_holds_its_accuracy_within_0_and_1(n, dies, seed, share):
    correct = np.random.default_rng(seed).random((dies, n)) < share
    low, high = accuracy_interval(correct)
    assert 0 <= low <= correct.mean() <= high <= 1 and low < high
    assert low <= wilson(correct.mean(), n)[0] and high >= wilson(correct.mean(), n)[1]
    assert accuracy_interval(correct) == (low, high)  # drawn anew, but with one seed
    assert accuracy_interval(correct[:, np.random.default_rng(0).permutation(n)]) == pytest.approx((low, high))


def test_intervals_over_dies_and_images_hold_the_truth_in_95_of_100_studies():
    """Dies of accuracies that scatter, images of different difficulty: the mean over all of both is known."""
    rng, held, n_studies = np.random.default_rng(7), 0, 200
    nodes = np.linspace(-5, 5, 2001)
    weights = np.exp(-(nodes**2) / 2)
    truth = np.average(1 / (1 + np.exp(-(1.5 + sqrt(0.8**2 + 1.2**2) * nodes))), weights=weights)
    for _ in range(n_studies):
        logit = 1.5 + 0.8 * rng.standard_normal((12, 1)) + 1.2 * rng.standard_normal((1, 150))
        low, high = accuracy_interval(rng.random(logit.shape) < 1 / (1 + np.exp(-logit)))
        held += low <= truth <= high
    assert held >= 0.92 * n_studies  # 95 % less two standard deviations of 200 studies


def test_two_chips_are_compared_image_by_image():
    first, second = np.zeros((1, 100), bool), np.zeros((1, 100), bool)
    first[0, :80], second[0, :72], second[0, 90:] = True, True, True  # 8 images lost, 10 gained
    second[0, 98:] = False  # 8 gained
    second[0, 70:72] = False  # 10 lost
    found = difference(first, second)
    assert found.test == "McNemar" and found.value == pytest.approx(-0.02)
    assert found.p_value == pytest.approx(2 * sum(comb(18, k) for k in range(9)) / 2**18, rel=1e-12)
    room = Z * sqrt(18 + 1 - 4 / 102) / 102
    assert found.interval == pytest.approx((-2 / 102 - room, -2 / 102 + room)) and not found.sure
    back = difference(second, first)
    assert back.value == -found.value and back.interval == pytest.approx(tuple(-end for end in found.interval[::-1]))
    with pytest.raises(xb.ParameterError, match="90 and 100 images: compare results on the same images"):
        difference(first, second[:, :90])


def test_differences_of_several_dies_count_dies_and_images():
    rng = np.random.default_rng(1)
    first, second = rng.random((5, 400)) < 0.9, rng.random((5, 400)) < 0.6
    found = difference(first, second)
    assert found.test == "bootstrap" and found.sure and found.p_value < 2e-3
    assert found.value == pytest.approx(second.mean() - first.mean())
    assert found.interval[0] <= found.value <= found.interval[1]
    alike = difference(first, first)
    assert alike.value == 0 and alike.p_value == 1 and not alike.sure
    scattered = [np.repeat(rng.random((5, 1)) < 0.5, 400, 1) for _ in range(2)]  # whole dies right or wrong
    assert np.ptp(difference(*scattered).interval) > 5 * np.ptp(found.interval)
    parts = [(-1.0, first), (1.0, second)]  # in any order, with any factor
    assert combined(parts).value == combined(parts[::-1]).value == pytest.approx(found.value)
    assert combined([(2.0, second), (-2.0, first)]).value == pytest.approx(2 * found.value)
    alone = [(-1.0, first[:1]), (1.0, second[:1])]
    assert (
        combined(alone).value == combined(alone[::-1]).value == pytest.approx(difference(first[:1], second[:1]).value)
    )


@pytest.mark.parametrize(("n_dies", "n_images", "scatter"), [(2, 200, 0.45), (2, 1000, 0.2), (5, 1000, 0.2)])
def test_designs_that_are_alike_are_seldom_told_apart(n_dies, n_images, scatter):
    """Two designs of the same dies and images in truth: at most 5 of 100 studies may say that they differ."""
    rng, sure, n_studies = np.random.default_rng(5), 0, 60

    def dies(images):
        logit = 2.5 + scatter * rng.standard_normal((n_dies, 1)) + images
        return rng.random(logit.shape) < 1 / (1 + np.exp(-logit))

    for _ in range(n_studies):
        images = 1.2 * rng.standard_normal((1, n_images))
        found = difference(dies(images), dies(images))
        sure += found.sure
        assert found.sure == (found.p_value < 0.05) or abs(found.p_value - 0.05) < 0.01
    assert sure <= 0.1 * n_studies


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 9), st.data())
def test_a_sample_holds_of_each_class_the_same_number(labels, seed, data):
    labels = np.array(labels)
    n = data.draw(st.integers(1, len(labels)))
    sample = mp.Sample.of(labels, data.draw(st.sampled_from([n, str(n)])), seed=seed, dataset="mine")
    counts = np.bincount(labels[sample.index], minlength=5)
    room = counts < np.bincount(labels, minlength=5)  # classes that could give more
    assert len(np.unique(sample.index)) == n and counts.sum() == n
    assert not room.any() or counts.max() - counts[room].min() <= 1
    larger = mp.Sample.of(labels, len(labels), seed=seed).index
    assert (sample.index == larger[:n]).all()
    assert str(sample) == f"mine, test, {n} of {len(labels)} images, balanced over classes, drawn with seed {seed}"
    first = mp.Sample.of(labels, f"first:{n}", seed=seed)
    assert (first.index == np.arange(n)).all() and first.images == f"the first {n} of {len(labels)} images"
    assert (mp.Sample.of(labels, "all").index == np.arange(len(labels))).all()


@pytest.mark.parametrize("which", [0, -1, 11, "0", "first:0", "first:11", "few", "", "1.5", "first:", True, "\u0661"])
def test_samples_that_are_not_there_are_refused(which):
    with pytest.raises(xb.ParameterError, match=r"give a whole number from 1 to 10, .*'first:N'; or 'all'"):
        mp.Sample.of(np.zeros(10, int), which)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1722.5, "1720"), (97.64, "97.6"), (2.6, "2.60"), (0.78812, "0.788"), (99.95, "100"), (99.94, "99.9"), (0, "0")]
    + [(1234567, "1230000"), (0.00012345, "0.000123"), (float("nan"), "nan"), (-3.14159, "-3.14"), (0.09999, "0.100")],
)
def test_numbers_have_three_significant_digits(value, text):
    assert significant(value) == text


def test_reports_say_what_was_run_and_how_sure_it_is(tiny, chip):
    network, images = tiny
    labels = np.array([0, 1, 2, 0, 1, 2, 0])
    sample = mp.Sample.of(labels, 5, seed=3, dataset="shapes")
    mapped = mp.map_network(network, chip, seed=3, die=2)
    report = mapped.evaluate(images[sample.index], labels[sample.index], sample=sample)
    run = report.run
    assert (run.seed, run.dies, run.version, run.rows, run.cols) == (3, (2,), __version__, 8, 6)
    assert (run.v_read, run.g_lrs, run.on_off_ratio, run.readout_bits) == (0.3, pytest.approx(1e-5), 10, 1)
    assert (run.dataset, run.split, run.images) == ("shapes", "test", sample.images)
    stored = json.loads(report.to_json())
    assert stored["run"] == json.loads(json.dumps(run.to_dict())) and stored["run"]["date"].startswith("20")
    assert stored["accuracy_interval"] == pytest.approx(wilson(report.accuracy, 5))
    assert stored["ideal_accuracy_interval"] == pytest.approx(wilson(report.ideal_accuracy, 5))
    frame = report.to_dataframe()
    assert frame.attrs["run"] == run.to_dict() and set(frame.attrs["definitions"]) <= set(frame.columns)
    assert pd.concat([frame, frame]).attrs["run"] == run.to_dict()
    text = " ".join(str(report).split())
    for part in ("shapes, test, 5 of 7 images", run.network_hash, "seed 3, die 2", "300 mV", "on/off 10", "8 x 6"):
        assert part in text
    assert "wires 1 Ohm each" in text and "sense-amp, 1 bit" in text and "95% intervals" in text


def test_a_hash_is_that_of_what_is_run_however_it_came(tiny, chip, tmp_path):
    network, images = tiny
    labels = np.arange(7) % 3
    mp.save_network(network, tmp_path / "net.safetensors")
    stored = mp.load_network(tmp_path / "net.safetensors")
    assert network_hash(stored) == network_hash(network) == network_hash(deepcopy(stored))
    written = Network(network.spec.replace(reset_mechanism="subtract"))  # as by default
    written.load_state_dict(network.state_dict())
    assert network_hash(written) == network_hash(network)
    ann = mp.load_ann("mnist-ann")
    mp.save_ann(ann, tmp_path / "ann.safetensors")
    assert network_hash(mp.load_ann(tmp_path / "ann.safetensors")) == network_hash(ann)
    mapped = mp.map_network(network, chip)
    levels = (255 * images).astype(np.uint8)
    runs = [mapped.evaluate(x, labels).run for x in (levels, levels / 255, (levels / 255).astype(np.float32))]
    assert len({run.data_hash for run in runs}) == 1
    assert mapped.evaluate(levels, labels[::-1]).run.data_hash != runs[0].data_hash
    other = mp.map_network(network, chip.replace(device__d2d=1e-9)).evaluate(levels, labels).run
    assert other.chip_hash != runs[0].chip_hash and other.network_hash == runs[0].network_hash


def test_samples_are_those_of_the_images(tiny, chip):
    network, images = tiny
    mapped, labels = mp.map_network(network, chip), np.arange(7) % 3
    for sample, words in (
        (mp.Sample.of(labels, 5, dataset="x"), "sample has 5 images, but 7 are given"),
        ("x", "of type str"),
    ):
        with pytest.raises(xb.ParameterError, match=words):
            mapped.evaluate(images, labels, sample=sample)
    assert (
        mp.Sample.of(labels, dataset="mine.npz").split == "" and mp.Sample.of(labels, dataset="mnist").split == "test"
    )
    for wrong in (None, np.zeros((2, 2), int), np.array(3)):
        with pytest.raises(xb.ParameterError, match="labels"):
            mp.Sample.of(wrong, 1)


def test_only_another_die_of_the_same_run_is_averaged(tiny, chip):
    network, images = tiny
    labels = np.arange(7) % 3
    one, two = (mp.map_network(network, chip, die=die).evaluate(images, labels) for die in (0, 1))
    assert one.and_die(two).run.dies == (0, 1) and "dies 0, 1;" in str(one.and_die(two).run)
    other = mp.map_network(network, chip.replace(device__d2d=0.1), die=2).evaluate(images, labels)
    for wrong in (one, other, one.and_die(two)):
        with pytest.raises(xb.ParameterError, match="is not another die of the run of"):
            one.and_die(wrong)


def test_hashes_tell_networks_and_images_apart(tiny, chip):
    network, images = tiny
    labels = np.zeros(7, int)
    report = mp.map_network(network, chip).evaluate(images, labels)
    assert report.run.network == "given in Python" and report.run.dataset == "given as arrays"
    assert mp.map_network(network, chip, seed=5).evaluate(images, labels).run.network_hash == report.run.network_hash
    network.layers[0].norm.bias.data[0] += 1e-3
    other = mp.map_network(network, chip).evaluate(images[::-1], labels)
    assert other.run.network_hash != report.run.network_hash and other.run.data_hash != report.run.data_hash
    with pytest.raises(xb.ParameterError, match="classified other images, or by other labels"):
        report.difference(other)
    assert mp.load_network("mnist-bsnn").name == "mnist-bsnn" and mp.load_ann("mnist-ann").name == "mnist-ann"


def test_reports_over_dies_keep_which_images_were_right(tiny, chip):
    network, images = tiny
    chip, labels = chip.replace(device__d2d=0.4), np.array([0, 1, 2, 0, 1, 2, 0])
    report = mp.evaluate_dies(network, chip, images, labels, n_dies=4, seed=1)
    each = [mp.map_network(network, chip, seed=1, die=k).evaluate(images, labels) for k in range(4)]
    assert report.run.dies == (0, 1, 2, 3) and (report.correct == np.concatenate([r.correct for r in each])).all()
    assert report.accuracies == tuple(report.correct.mean(1)) and report.accuracy == pytest.approx(
        report.correct.mean()
    )
    assert report.accuracy_interval == accuracy_interval(report.correct)
    assert "dies 0 to 3" in str(report) and "bootstrap of dies and images" in " ".join(str(report).split())


def test_reports_of_conventional_networks_show_what_their_dies_hold(digits):
    """As those of spiking ones: faults, write pulses, cells cut to their range, and accuracy without calibration."""
    images, labels = digits[0][:4], digits[1][:4]
    network = mp.load_ann("mnist-ann")
    chip = mp.load_chip("paper-ann").replace(
        readout__offset=0.02,
        calibration={"offset_bits": 6},
        device__g_max="11 uS",
        device__d2d=0.2,
        device__c2c={"spread": 0.1, "write_verify": {"tolerance": 0.05, "max_pulses": 4}},
        device__faults={"stuck_hrs": 0.001, "broken_wordlines": 0.01},
    )
    mapped = mp.map_ann(network, chip, seed=2)
    report = mapped.evaluate(images, labels)
    dies = [tile.die for layer in mapped.layers for tile in layer.tiles]
    assert report.faulty_cells == sum(np.count_nonzero(die.faults) for die in dies) > 0
    assert report.faulty_lines == sum(die.faulty_lines for die in dies) > 0
    assert report.truncated_cells == sum(die.truncated for die in dies) > 0
    assert report.pulses_per_cell == pytest.approx(np.mean([die.pulses.mean() for die in dies])) and (
        report.pulses_per_cell > 1
    )
    for layer in mapped.layers:
        layer.trim(layer.untrimmed)
    without = mapped.evaluate(images, labels)
    assert report.accuracy_uncalibrated == without.accuracy
    assert (report.correct_uncalibrated == without.correct).all()
    assert report.accuracy_uncalibrated_interval == wilson(without.accuracy, 4)


def test_every_quantity_has_one_name_and_a_definition(command):
    assert {
        name for name in DESCRIPTIONS if name not in ("energy_by_module", "correct", "warnings")
    } <= DEFINITIONS.keys()
    labels = [one.label for one in DEFINITIONS.values()]
    assert len(set(labels)) == len(labels) and all(one.text and one.formula for one in DEFINITIONS.values())
    code, text, _ = command("terms", "adc_power_share")
    assert not code and "E_conversion / sum over modules of E_module" in " ".join(text.replace("│", " ").split())
    code, _, error = command("terms", "adc_share")
    assert code == 2 and "term 'adc_share' is unknown; give one of accuracy," in error


def test_shares_carry_their_intervals():
    assert with_interval(0.987, (0.978, 0.9921)) == "98.7% (97.8 to 99.2)" and with_interval(None, None) == ""


def test_reports_differ_where_what_they_say_does(tiny, chip):
    network, images = tiny
    report = mp.map_network(network, chip).evaluate(images, np.zeros(7, int))
    assert replace(report, run=replace(report.run, date="2000-01-01")) == report  # the date alone says nothing
    assert replace(report, run=replace(report.run, seed=1)) != report
