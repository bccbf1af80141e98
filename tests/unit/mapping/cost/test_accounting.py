"""Accounts: what conventions of accounting change, what links carry, and what reports of dies hand on."""

from dataclasses import replace

import numpy as np
import pytest

import mapping as mp
import xbarsim as xb
from mapping.cost import CONVENTIONS
from tests.builders.chips import DIGITAL, approx, mapped_on, on, wired
from tests.oracles.readouts import T_READ, V_READ, inputs_of, unfolded, voltages


@pytest.fixture
def chip(chip):
    return wired(chip)


@pytest.fixture
def sar(chip):
    return on(chip, "bitline")


@pytest.fixture
def everything(sar):
    link = {"energy_per_spike": "50 fJ", "t_spike": "5 ns"}
    codes = {"gain_bits": 5, "interval": "1 ms", "energy": "1 nJ"}
    return sar.replace(**DIGITAL, link=link, calibration=codes, readout__columns_per_adc=3, c_wordline=1e-15)


def arriving(chip, layer, x):
    """Energy of reads, as v_read times the solved currents of the bitlines in use."""
    reads, total = unfolded(layer, x), 0.0
    for tile in layer.tiles:
        currents = xb.solve(tile.circuit.crossbar, voltages(tile, reads)).i_bitline
        total += currents[:, : tile.n_lines].sum() * chip.device.v_read * chip.device.t_read
    return total


def test_conventions_change_what_they_say_and_no_more(tiny, everything):
    network, images = tiny
    mapped, labels = mapped_on(network, everything), np.arange(7) % 3
    reports = {name: mapped.evaluate(images, labels, accounting=name) for name in CONVENTIONS}
    full = reports["full"]
    assert set(reports) == {"full", "core", "one-operation", "all-columns", "arrays-on", "used-cells"}
    assert all(energy > 0 for module, energy in full.energy_by_module().items() if module != "logic")
    used = [sum(2 * tile.patch.n_outputs for tile in layer.tiles) for layer in mapped.layers]
    assert used == [3 * 8, 5 * 6]
    arrived = [arriving(mapped.chip, layer, x) for layer, x, _ in inputs_of(mapped, images)]
    arrived[0] *= network.t_steps  # its constant input
    charging = []  # of wordlines of 6 cells, on all arrays of a row tile
    for layer, x, _ in inputs_of(mapped, images):
        driven = np.count_nonzero(unfolded(layer, x)) * (network.t_steps if len(x) == 1 else 1)
        charging.append(driven * len(layer.row_tiles[0].tiles) * 6 * 1e-15 * V_READ**2 / 7)
    for name, report in reports.items():
        for row, base, lines, arrays, energy, once in zip(report.layers, full.layers, used, (6, 5), arrived, charging):
            expected = dict(base.energies)
            if name == "core":
                expected |= dict.fromkeys(("driver", "neuron", "link", "calibration"), 0.0)
            if name == "all-columns":
                expected["conversion"] *= arrays * 6 / lines
            if name == "used-cells":
                assert energy / 7 < base.energies["array"] or row is report.layers[0]  # analog inputs are below v_read
                expected["array"] = energy / 7
            if name == "arrays-on":
                expected["array"] *= 3  # three conversions of 25 ns in the place of one read
                expected["driver"] = once + 3 * (base.energies["driver"] - once)
            assert row.energies == approx(expected, rel=1e-12)
            assert row.energy == approx(sum(expected.values()), rel=1e-12)
            unchanged = vars(row).keys() - {"energies", "synaptic_operations"}
            assert all(getattr(row, key) == getattr(base, key) for key in unchanged)
        operations = 1 if name == "one-operation" else 2
        assert report.accuracy == full.accuracy and report.spike_rate == full.spike_rate
        assert report.accuracy_uncalibrated == full.accuracy_uncalibrated
        assert (report.throughput, report.latency, report.area) == (full.throughput, full.latency, full.area)
        assert report.energy_per_inference == approx(sum(report.energy_by_module().values()), rel=1e-12)
        assert report.energy_per_inference == approx(sum(row.energy for row in report.layers), rel=1e-12)
        macs = operations * (36 * 4 * 18 + 36 * 3) * network.t_steps
        assert report.tops_per_watt == approx(macs / report.energy_per_inference * 1e-12)
        share = report.energy_by_module()["conversion"] / report.energy_per_inference
        assert report.adc_power_share == approx(share)
        synaptic = operations / 2 * full.synaptic_tops_per_watt * full.energy_per_inference
        assert report.synaptic_tops_per_watt == approx(synaptic / report.energy_per_inference)
        assert report.accounting.startswith(f"{name} accounting: ")


def test_synaptic_operations_are_those_of_active_wordlines(tiny, everything):
    network, images = tiny
    mapped = mapped_on(network, everything)
    report = mapped.evaluate(images, np.zeros(7, int))
    for (layer, x, analog), row in zip(inputs_of(mapped, images), report.layers):
        driven = np.count_nonzero(unfolded(layer, x)) * (network.t_steps if len(x) == 1 else 1)
        assert row.synaptic_operations == approx(2 * driven * layer.layer.spec.out / 7)
        per_line = (8 if analog else 1) * 4e-6 * T_READ + 1e-15 * 6 * V_READ**2  # driver with its DAC, and its wire
        assert row.energies["driver"] == approx(driven * len(layer.row_tiles[0].tiles) * per_line / 7)


def test_one_can_tell_what_an_account_leaves_out(tiny, everything):
    network, images = tiny
    texts = {name: str(one) for name, one in CONVENTIONS.items()}
    assert "Excluded: programming, buffers, control, leakage." in texts["full"]
    assert "Excluded: wordline drivers, neurons, links, calibration, ORs and registers, programming" in texts["core"]
    assert "1 MAC = 1 operation," in texts["one-operation"] and "1 MAC = 2 operations," in texts["full"]
    assert "conversions of all bitlines" in texts["all-columns"] and "of used bitlines" in texts["full"]
    assert "until all bitlines are converted" in texts["arrays-on"]
    own = mp.Accounting(name="mine", modules=("array", "link"), arrays_on="read")
    mapped = mapped_on(network, everything.replace(held="driven"))
    report = mapped.evaluate(images, np.zeros(7, int), accounting=own)
    assert "for the read pulse only" in report.accounting and "data conversion, wordline drivers" in report.accounting
    assert " ".join(report.accounting.split()) in " ".join(str(report).split())
    sampled = mapped_on(network, everything).evaluate(images, np.zeros(7, int)).energy_by_module()
    assert report.energy_by_module() == approx(
        {module: energy if module in ("array", "link") else 0 for module, energy in sampled.items()}
    )
    shorter = mapped.evaluate(images, np.zeros(7, int), accounting=mp.Accounting(arrays_on="read"))
    assert shorter.energy_by_module() | {"calibration": 0} == approx(sampled | {"calibration": 0})


def test_accounts_that_do_not_exist_are_refused(tiny, chip):
    network, images = tiny
    mapped = mapped_on(network, chip)
    with pytest.raises(xb.ParameterError, match="accounting = 'loose': give one of full, core, one-operation"):
        mapped.evaluate(images, np.zeros(7, int), accounting="loose")
    for values in ({"modules": ("arrays",)}, {"operations_per_mac": 3}, {"columns": "some"}, {"arrays_on": "never"}):
        with pytest.raises(xb.ParameterError, match=f"Accounting.{next(iter(values))}"):
            mp.Accounting(**values)


def test_links_carry_one_spike_after_the_other(tiny, chip):
    network, images = tiny
    link = mp.Link(energy_per_spike="30 fJ", t_spike="4 ns", lanes=2)
    mapped = mapped_on(network, chip.replace(link=link))
    report, plain = (mapped_on(network, one).evaluate(images, np.zeros(7, int)) for one in (mapped.chip, chip))
    for spikes, row in zip(mapped.spikes(images), report.layers):
        sent = spikes.sum() if row is report.layers[0] else 0  # nothing follows the last layer
        assert row.energies["link"] == approx(30e-15 * sent / 7)
        assert row.times.link == approx(sent / 7 / network.t_steps * 4e-9 / 2)
        waiting = 0
        for t, n, y, x in np.ndindex(spikes.shape[0], spikes.shape[1], *spikes.shape[3:]):
            waiting += max(0, spikes[t, n, :, y, x].sum() - 1)  # all but the first of a position
        assert row.collided == approx(waiting / spikes.sum()) and row.collided > 0.05
    assert [row.energies["link"] for row in plain.layers] == [row.times.link for row in plain.layers] == [0, 0]
    assert report.spike_rate == plain.spike_rate
    silent = mapped.evaluate(images, np.zeros(7, int), accounting="core")
    assert [row.energies["link"] for row in silent.layers] == [0, 0]
    assert silent.layers[0].times == report.layers[0].times


def test_dies_hand_on_their_warnings(tiny, chip):
    report = mapped_on(tiny[0], chip).evaluate(tiny[1], np.zeros(7, int))

    def die(number, *warnings):
        return replace(report, warnings=warnings, run=replace(report.run, dies=(number,)))

    assert report.and_die(die(1, "clipped")).and_die(die(2, "clipped")).warnings == (*report.warnings, "clipped")
    first, second = (f"Law.read_time = {value} s is above 20 ms" for value in (1.23, 1.24))
    assert die(0, first).and_die(die(1, second)).warnings == (first,)  # the same model, of another die


def test_accounts_of_nothing_have_no_ratio(tiny, chip):
    report = mapped_on(tiny[0], chip).evaluate(tiny[1], np.zeros(7, int), accounting=mp.Accounting(modules=("link",)))
    assert np.isnan(report.tops_per_watt) and report.to_dict()["adc_power_share"] is None
