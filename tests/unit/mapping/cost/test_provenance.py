"""What a report says was run, and which reports go together."""

import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mapping as mp
import xbarsim as xb
from mapping.cost.provenance import network_hash
from mapping.networks.network import Network
from xbarsim.intervals import accuracy_interval, wilson
from xbarsim.version import __version__


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
        layer.apply(layer.no_codes)
    without = mapped.evaluate(images, labels)
    assert report.accuracy_uncalibrated == without.accuracy
    assert (report.correct_uncalibrated == without.correct).all()
    assert report.accuracy_uncalibrated_interval == wilson(without.accuracy, 4)


def test_reports_differ_where_what_they_say_does(tiny, chip):
    network, images = tiny
    report = mp.map_network(network, chip).evaluate(images, np.zeros(7, int))
    assert replace(report, run=replace(report.run, date="2000-01-01")) == report  # the date alone says nothing
    assert replace(report, run=replace(report.run, seed=1)) != report
