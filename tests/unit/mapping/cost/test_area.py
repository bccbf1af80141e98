"""Area: of every part, against the time that sharing converters takes."""

import numpy as np
import pytest

from tests.builders.chips import CHARGE, DIGITAL, EXTRAS, approx, mapped_on, on, wired, with_readout
from tests.oracles.readouts import unit_voltage


@pytest.fixture
def chip(chip):
    return wired(chip)


@pytest.fixture
def sar(chip):
    return on(chip, "bitline")


def test_areas_of_comparators_and_membranes_add_up(tiny, chip):
    network, images = tiny
    mapped = mapped_on(network, chip.replace(**CHARGE, **EXTRAS))
    report = mapped.evaluate(images, np.zeros(7, int))
    for layer, row, arrays, gains, membranes in zip(mapped.layers, report.layers, (2 * 6, 5), (2 * 12, 15), (36, 3)):
        expected = {
            "array": arrays * 8 * 6 * 0.05e-12,
            "conversion": layer.layer.spec.out * (2 if layer.number == 0 else 1) * 7e-12,
            "driver": arrays * 8 * 2e-12,
            "neuron": membranes * (11e-12 + unit_voltage(layer)[1] / 2e-3),
            "link": 0 if layer.number == 1 else 3 * 5e-12,
            "calibration": gains * 0.5e-12,
        }
        for name, area in expected.items():
            assert row.areas[name] == approx(area, rel=1e-9)
        assert row.area == approx(sum(expected.values()))
    assert report.area == approx(sum(row.area for row in report.layers))
    assert report.area == approx(sum(report.area_by_module().values()))
    assert report.adc_area_share == approx(report.area_by_module()["conversion"] / report.area)


def test_areas_of_converters_and_registers_add_up(tiny, sar):
    network, images = tiny
    chip = sar.replace(**DIGITAL, **EXTRAS, readout__columns_per_adc=4)
    report = mapped_on(network, chip).evaluate(images, np.zeros(7, int))
    for row, arrays, registers in zip(report.layers, (2 * 6, 5), (36, 3)):
        converters = arrays * 2  # for 6 bitlines, used or not, up to four each
        assert row.areas["conversion"] == approx(converters * 1e-9 * (0.5 + 0.5 * 16))  # 12 instead of 8 bits
        assert row.areas["neuron"] == approx(registers * 13e-12 + converters * 3e-12)


@pytest.mark.parametrize("readout", ["charge", "bitline"])
def test_an_area_that_is_not_known_leaves_a_gap(tiny, chip, readout):
    network, images = tiny
    modules = {"cell_area": "array", "driver__area": "driver", "readout__area": "conversion", "neuron__area": "neuron"}
    modules["neuron__capacitance_density" if readout == "charge" else "neuron__area_per_adder"] = "neuron"
    complete = with_readout(chip, readout).replace(**(CHARGE if readout == "charge" else DIGITAL))
    whole = mapped_on(network, complete).evaluate(images, np.zeros(7, int))
    assert whole.area > 0 and "mm²" in str(whole)
    for field, module in modules.items():
        report = mapped_on(network, complete.replace(**{field: None})).evaluate(images, np.zeros(7, int))
        assert report.area is report.layers[0].area is report.adc_area_share is report.area_by_module()[module] is None
        known = {name: area for name, area in report.area_by_module().items() if name != module}
        assert known == {name: area for name, area in whole.area_by_module().items() if name != module}
        assert "not given" in str(report)


def test_sharing_converters_trades_area_for_time(tiny, sar):
    """Each doubling halves the converters of 8 bitlines and doubles what a position takes, reads being shorter."""
    network, images = tiny
    reports = []
    for columns in (1, 2, 4, 8):
        chip = sar.replace(**DIGITAL, cols=8, readout__columns_per_adc=columns)
        reports.append(mapped_on(network, chip).evaluate(images, np.zeros(7, int)))
    for before, after, columns in zip(reports, reports[1:], (2, 4, 8)):
        assert after.area_by_module()["conversion"] == approx(before.area_by_module()["conversion"] / 2)
        assert [row.time_step for row in after.layers] == approx([n * columns * 25e-9 for n in (36, 1)])
        assert after.throughput == approx(before.throughput / 2)
        assert after.energy_per_inference == before.energy_per_inference and after.spike_rate == before.spike_rate


def test_arrays_that_stay_on_draw_power_until_all_is_converted(tiny, sar):
    network, images = tiny
    one = {
        (held, columns): mapped_on(network, sar.replace(held=held, readout__columns_per_adc=columns)).evaluate(
            images, np.zeros(7, int)
        )
        for held in ("sampled", "driven")
        for columns in (1, 6)
    }
    for sampled, driven in zip(one["sampled", 6].layers, one["driven", 6].layers):
        assert driven.energies["array"] == approx(6 * sampled.energies["array"])
        assert driven.energies["driver"] == approx(6 * sampled.energies["driver"])
        assert driven.energies["conversion"] == sampled.energies["conversion"]
    for columns in (1, 6):
        assert one["sampled", columns].energy_by_module() == one["sampled", 1].energy_by_module()
    assert one["driven", 1].energy_by_module() == one["sampled", 1].energy_by_module()
