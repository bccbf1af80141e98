"""Counts priced by the parts of a chip, each by hand; reports nested; a part that mapping knows nothing of."""

from typing import ClassVar

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import mapping as mp
import xbarsim as xb
from mapping.chip.chip import MODULES, modules_of
from mapping.chip.periphery.ledger import Inventory, Ledger, Reads
from mapping.chip.periphery.part import Part
from mapping.cost.accounting import Accounting
from mapping.cost.pricing import areas, energies

mpl.use("Agg")

READS = Reads(t_read=20e-9, t_on=50e-9, line_energy=3e-15)
DRIVER = mp.Driver(power_per_bit="2 uW", dac_bits=6, area="4 um^2")
SAR = mp.SarAdc(n_bits=8, f_sample="40 MHz", power="40 uW", area="100 um^2")
SENSE = mp.SenseAmp(energy="5 fJ", area="7 um^2")
CHARGE = mp.ChargeNeuron(
    mirror_ratio=0.1, v_supply="0.8 V", energy_per_spike="2 fJ", area="3 um^2", capacitance_density=1e-3
)
PASSIVE = mp.PassiveNeuron(capacitance="50 fF", energy_per_sample="9 fJ", energy_per_spike="2 fJ", area="3 um^2")
DIGITAL = mp.DigitalNeuron(energy_per_add="1 fJ", energy_per_update="4 fJ", area="5 um^2", area_per_adder="2 um^2")
LOGIC = mp.Logic(energy_per_or="1 fJ", energy_per_bit="7 fJ", area_per_or="2 um^2", area_per_bit="3 um^2")
LINK = mp.Link(energy_per_spike="6 fJ", t_spike="1 ns", lanes=3, area="8 um^2")
COUNTS = {
    "wordlines": 1e3,
    "dac_wordlines": 100.0,
    "conversions": 700.0,
    "added": 600.0,
    "updates": 500.0,
    "resets": 40.0,
}
COUNTS |= {"mirrored": 2e-3, "sampled": 300.0, "sent": 30.0, "ors": 20.0, "written": 9.0}
MADE = Inventory(
    positions=9, places=4, outputs=3, cells=640, wordlines=20, converters=5, comparators=6, neurons=12, codes=11,
    ors=17, registers=13, capacitance=1e-14, sends=True,
)  # fmt: skip


@pytest.mark.parametrize(
    ("part", "energy", "area"),
    [
        (DRIVER, (1e3 + 6 * 100) * 2e-6 * 50e-9 + 1100 * 3e-15, 20 * 4e-12),
        (SAR, 700 * 1e-12, 5 * 100e-12),
        (SENSE, 500 * 5e-15, 6 * 7e-12),
        (CHARGE, 0.1 * 0.8 * 20e-9 * 2e-3 + 40 * 2e-15, 12 * (3e-12 + 1e-14 / 1e-3)),
        (PASSIVE, 300 * 9e-15 + 40 * 2e-15, 12 * 3e-12),
        (DIGITAL, 600 * 1e-15 + 500 * 4e-15, 12 * 5e-12 + 5 * 2e-12),
        (LOGIC, 20 * 1e-15 + 9 * 7e-15, 17 * 2e-12 + 13 * 3e-12),
        (LINK, 30 * 6e-15, 3 * 8e-12),
        (mp.Calibration(gain_bits=4, area="2 um^2"), 0.0, 11 * 2e-12),
        (mp.CurrentLimit(i_max="1 uA"), 0.0, 0.0),
    ],
    ids=lambda part: type(part).__name__,
)
def test_a_part_prices_its_own_counts(part, energy, area):
    assert part.energy_of(Ledger(**COUNTS), READS) == pytest.approx(energy, rel=1e-12)
    assert part.area_of(MADE) == pytest.approx(area, rel=1e-12)
    assert part.energy_of(Ledger(), READS) == 0 and isinstance(part, Part)
    unknown = part.replace(area=None) if "area" in type(part).model_fields else None
    assert unknown is None or unknown.area_of(MADE) is None


def test_a_last_layer_has_no_link():
    assert LINK.area_of(Inventory(**(vars(MADE) | {"sends": False}))) == 0


@pytest.mark.parametrize("chip", ["paper-bsnn", "paper-ann"])
@pytest.mark.parametrize("engine", ["events", "dense"])
def test_ors_and_delays_are_charged_in_every_time_step(chip, engine):
    """Of the equations: a window of 2 x 2 takes three gates, a delay of d a register for each step of each spike."""
    layers = [
        {"kind": "conv", "out": 4, "kernel": 3, "name": "first"},
        {"kind": "conv", "out": 5, "kernel": 3, "input_pool": 2, "input_pool_by": "maximum", "name": "second",
         "branches": [{"kind": "conv", "out": 5, "kernel": 3, "inputs": ["second"], "delay": 1}]},
        {"kind": "dense", "out": 3, "branches": [{"kind": "dense", "out": 3, "inputs": ["input"], "delay": 2}]},
    ]  # fmt: skip
    spec = mp.NetworkSpec(input_shape=(2, 8, 8), beta=0.9, threshold=3, t_steps=6, layers=layers)
    mapped = mp.map_network(mp.Network(spec), mp.load_chip(chip).replace(logic=LOGIC))
    spikes = (np.random.default_rng(0).random((7, 6, 2, 8, 8)) < 0.3).astype(np.uint8)
    ors, bits = (0, 4 * 4 * 4 * 3, 0), (0, 5 * 4 * 4, 2 * 2 * 8 * 8)
    for images, held in ((spikes, 1), (spikes[:, 0] * 0.5, 8)):  # one frame is analog, of the eight bits of its DAC
        report = mapped.evaluate(images, np.zeros(7, int), engine=engine)
        for k, row in enumerate(report.layers):
            width = held if k == 2 else 1
            assert row.energies["logic"] == pytest.approx(6 * (1e-15 * ors[k] + width * 7e-15 * bits[k]), rel=1e-12)
            assert row.areas["logic"] == pytest.approx(2e-12 * ors[k] + 3e-12 * bits[k], rel=1e-12)


def test_conventions_choose_counts_and_times():
    """Data conversion of all that converters serve; arrays for other times, and by what arrives."""
    chip = mp.load_chip("paper-ann").replace(readout__columns_per_adc=8)
    ledger = Ledger(power=2.0, current=5.0, wordlines=10.0, conversions=3.0, unused=4.0, added=3.0)
    (v, t), slow = (chip.device.v_read, chip.device.t_read), chip.t_conversion
    assert slow > t
    full, used, read, on, every, only = (
        energies(chip, ledger, Accounting(**changes))
        for changes in (
            {}, {"cells": "used"}, {"arrays_on": "read"}, {"arrays_on": "conversion"}, {"columns": "all"},
            {"modules": ("array",)},
        )
    )  # fmt: skip
    assert full["array"] == read["array"] == pytest.approx(2 * t) and used["array"] == pytest.approx(5 * v * t)
    assert on["array"] == pytest.approx(2 * slow)
    charging = 10 * chip.c_wordline * chip.cols * v**2
    assert on["driver"] - charging == pytest.approx((full["driver"] - charging) * slow / t)
    assert every["conversion"] == pytest.approx(full["conversion"] * 7 / 3) and every["neuron"] == full["neuron"]
    assert only == dict.fromkeys(MODULES, 0.0) | {"array": full["array"]}
    with pytest.raises(xb.ParameterError, match="Accounting.modules has 'arrays'; give some of array, conversion"):
        Accounting(modules=("arrays",))


def test_ledgers_add_up():
    one = Ledger(**COUNTS)
    one.add(Ledger(sent=3.0, clipped=2))
    assert one == Ledger(**(COUNTS | {"sent": 33.0, "clipped": 2}))


class Buffer(Part):
    """Holds what a layer reads: nothing in mapping knows of it."""

    module: ClassVar[str] = "buffer"
    title: ClassVar[str] = "input buffers"

    energy_per_bit: float

    def energy_of(self, ledger, reads):
        return self.energy_per_bit * ledger.driven

    def area_of(self, inventory):
        return 1e-12 * inventory.wordlines


class Buffered(mp.Chip):
    buffer: Buffer | None = None


def test_a_part_from_outside_is_priced_and_reported(tiny, chip):
    """A class and a field of the chip are all that it takes."""
    network, images = tiny
    made = Buffered(**dict(chip), buffer=Buffer(energy_per_bit=1e-15))
    assert modules_of(Buffered) == MODULES | {"buffer": "input buffers"}
    plain = mp.map_network(network, chip).evaluate(images, np.zeros(7, int))
    mapped = mp.map_network(network, made)
    report = mapped.evaluate(images, np.zeros(7, int))
    driven = [row.synaptic_operations / 2 / n for row, n in zip(report.layers, (4, 3))]
    assert report.energy_by_module()["buffer"] == pytest.approx(1e-15 * sum(driven))
    assert report.energy_per_inference == pytest.approx(plain.energy_per_inference + 1e-15 * sum(driven))
    assert areas(made, mapped.layers[0].inventory)["buffer"] == report.layers[0].areas["buffer"] > 0
    assert "buffer" in report.to_dict()["layers"][0]["energies"] and " buffer " in str(report)
    axis = mp.breakdown([report], "area", taichi=False)
    assert "buffer" in [text.get_text() for text in axis.get_legend().get_texts()]
    plt.close(axis.figure)


def test_layers_are_nested_and_their_old_names_say_where_they_went(tiny, chip):
    network, images = tiny
    report = mp.map_network(network, chip).evaluate(images, np.zeros(7, int))
    row, (nested, flat) = report.layers[0], (report.to_dict(flat)["layers"][0] for flat in (False, True))
    assert nested["energies"].keys() == nested["areas"].keys() == MODULES.keys()
    assert {"settle", "read", "conversion", "decision", "link", "first"} == nested["times"].keys()
    for name, successor, value in (
        ("conversion", "energies['conversion']", row.energies["conversion"]),
        ("time_read", "times.read", row.times.read),
        ("area_driver", "areas['driver']", row.areas["driver"]),
    ):
        with pytest.warns(
            DeprecationWarning, match=rf"LayerReport.{name} is deprecated; use {successor}".replace("[", r"\[")
        ):
            assert getattr(row, name) == value == flat[name]
    assert not hasattr(row, "time_nothing") and flat.keys() - nested.keys() >= {"array", "time_first", "area_link"}
