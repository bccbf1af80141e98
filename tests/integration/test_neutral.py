"""Options at their neutral value: whatever else a chip is, they change no spike, no energy, no time and no area."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mapping as mp
import xbarsim as xb
from mapping.chip.periphery.neuron_circuit import DigitalNeuron
from mapping.mapped.mapped_network import map_ann
from mapping.networks.ann_spec import AnnSpec
from mapping.networks.network import Network
from tests.builders.anns import as_trained

CHARGE = mp.ChargeNeuron(
    mirror_ratio=0.01, v_supply=1.0, energy_per_spike=1e-15, t_reset=1e-9, area=3e-11, capacitance_density=2e-3
)
PASSIVE = mp.PassiveNeuron(capacitance=1e-12, energy_per_sample=2e-15, energy_per_spike=3e-15, area=3e-11)
DIGITAL = DigitalNeuron(energy_per_add=1e-13, energy_per_update=3e-12, t_update=1e-9, area=9e-11, area_per_adder=2e-10)
SENSE = mp.SenseAmp(energy=8e-15, t_decision=1e-9, area=2e-11)
ADC = mp.SarAdc(n_bits=7, f_sample=40e6, power=40e-6, columns_per_adc=2, area=1e-9)
WIRES = xb.Wires(r_wordline=9, r_bitline=7, r_driver=50, r_sense=20)

ADCS, COMPARATORS = ("bitline", "difference"), ("charge", "passive")
ALL, CLAMPED = ADCS + COMPARATORS, (*ADCS, "charge")
TRIMS = {"area": 0.0, "energy": 0.0, "interval": "1 s"}
TRAPS = {"amplitude": 0.3, "share": 0, "tau_capture": 1, "tau_emission": 1}
FAULTS = {"stuck_lrs": 0.0, "open_cells": [], "broken_wordlines": 0.0, "bridged_bitlines": [], "r_short": 100}
FLAT = {"kind": "table", "points": [[1e-6, 1, 1], [1e3, 1, 1]], "v_measured": 0.3, "v_char": 0.1}
QUIET, PERFECT = {"device__read_noise": 0.0}, {"wires": xb.Wires(), "device__d2d": 0.0}
UNEVEN = QUIET | {"device__d2d": 0.1}  # no ties, which rounding would decide

TOLD = (  # by a report of the chip itself, or only where there is a calibration
    "chip", "first_layer", "past", "refresh_tolerance", "refreshes", "accuracy_uncalibrated",
    "accuracy_uncalibrated_interval", "run",
)  # fmt: skip

OPTIONS = {  # what is set; the read-outs that have it; what it takes to be neutral
    "a limiter of 1 A": ({"limiter": {"i_max": "1 A"}}, CLAMPED, {}),
    "a limiter above all currents": ({"limiter": {"i_max": "1 mA"}}, CLAMPED, UNEVEN),
    "a smooth limiter": ({"limiter": {"i_max": 1e6, "kind": "smooth"}}, CLAMPED, {}),
    "no cycle-to-cycle variation": ({"device__c2c": 0.0}, ALL, {}),
    "no read noise": ({"device__read_noise": {"gaussian": 0, "flicker": None}}, ALL, QUIET),
    "no traps": ({"device__read_noise": {"telegraph": TRAPS}}, ALL, QUIET),
    "no faults": ({"device__faults": FAULTS}, ALL, {}),
    "a wide range": ({"device__g_min": 0.0, "device__g_max": "1 S"}, ALL, {}),
    "a perfect comparator": ({"readout__offset": 0, "readout__noise": 0}, COMPARATORS, {"readout": SENSE}),
    "a perfect converter": ({"readout__offset": 0, "readout__noise": 0, "readout__mismatch": 0}, ADCS, {}),
    "even leaks": ({"neuron__leak_spread": 0}, COMPARATORS, {}),
    "a free link": ({"link": {"energy_per_spike": 0, "t_spike": 0, "lanes": 3, "area": 0}}, ALL, {}),
    "one copy": ({"replication": (1, 1)}, ALL, {}),
    "shared charges": ({"merge": "charge-sharing"}, COMPARATORS, {"merge": "charge", "readout": SENSE}),
    "a majority of one": ({"merge": "majority"}, COMPARATORS, {"merge": "charge", "rows": 256} | UNEVEN),
    "no gain to trim": ({"calibration": TRIMS | {"gain_bits": 5}}, CLAMPED, PERFECT),
    "no threshold to trim": ({"calibration": TRIMS | {"gain_bits": 3, "threshold_bits": 4}}, CLAMPED, PERFECT),
    "fast conversions": ({"held": "driven"}, ADCS, {"readout__f_sample": 1e9}),
    "a read of one step": ({"constant_input": "once"}, ADCS, {}),
    "levels of a DAC": ({"driver__dac_bits": None}, ALL, {}),
    "reads that move nothing": ({"device__read_disturb": FLAT}, CLAMPED, {"inactive": "ground"}),
    "time that moves nothing": ({"device__retention": {"nu": 0, "t0": 1}}, ALL, {}),
}  # fmt: skip


@st.composite
def cases(draw, networks):
    """Return the name of an option, a shipped chip cut down, with one of all read-outs, before and after it is set."""
    spiking = networks == "spiking"
    option = draw(st.sampled_from([o for o, (_, has, _) in OPTIONS.items() if spiking or set(has) & set(ADCS)]))
    changes, has, before = OPTIONS[option]
    readout = draw(st.sampled_from([one for one in has if spiking or one in ADCS]))
    reference = spiking and readout != "passive" and draw(st.booleans())
    grounded = readout == "passive" or "inactive" in before
    base = {
        "rows": 8,
        "cols": 7 if reference else 6,
        "weights": "reference" if reference else "differential",
        "inactive": "ground" if grounded else draw(st.sampled_from(["ground", "open", "gated"])),
        "merge": "digital" if readout in ADCS else draw(st.sampled_from(["charge", "charge-sharing", "majority"])),
        "wires": draw(st.sampled_from([xb.Wires(), WIRES])),
        "driver": mp.Driver(dac_bits=8, power_per_bit=4e-6, area=2e-12),
        "link": None,
        "device__d2d": draw(st.sampled_from([0.0, 0.1])),
        "c_wordline": 1e-16,
        "cell_area": 5e-14,
    }
    if readout in ADCS:
        scale = draw(st.sampled_from(["worst-case", "calibrated", 6e-6]))
        rough = draw(st.sampled_from([{}, {"offset": 0.01, "noise": 0.01, "mismatch": 0.02}]))
        rough = {} if option == "a perfect converter" else rough
        base |= {"readout": ADC.replace(sense=readout, full_scale=scale, **rough), "neuron": DIGITAL}
    else:
        rough = draw(st.sampled_from([{}, {"offset": 0.02, "noise": 0.01}]))
        base |= {"readout": SENSE.replace(**rough), "neuron": CHARGE if readout == "charge" else PASSIVE}
    if base["inactive"] == "ground" and readout != "passive" and draw(st.booleans()):
        base["device__read_noise"] = 0.05
    chip = mp.load_chip(draw(st.sampled_from(mp.list_chips()))).replace(**base).replace(**before)
    return option, chip, chip.replace(**changes)


@st.composite
def layers(draw):
    """Return two layers, whose inputs are of shape (2, 5, 5)."""
    first = mp.LayerSpec(
        kind="conv",
        out=draw(st.integers(1, 4)),
        kernel=draw(st.sampled_from([1, 2, 3])),
        padding=draw(st.sampled_from([0, 1])),
        stride=draw(st.sampled_from([1, 2])),
        batch_norm=draw(st.booleans()),
    )
    side = first.read_positions((2, 5, 5))[0]
    first = first.replace(pool=draw(st.sampled_from([k for k in (1, 2, 3) if side % k == 0])))
    return [first, mp.LayerSpec(kind="dense", out=draw(st.integers(2, 4)), bias=draw(st.booleans()))]


def images_of(seed, steps=()):
    """Return three images of 2 channels in 8-bit levels, or spikes."""
    rng = np.random.default_rng(seed)
    if steps:
        return (rng.uniform(size=(3, *steps, 2, 5, 5)) < 0.4).astype(float)
    return rng.integers(0, 256, (3, 2, 5, 5)).astype(np.uint8)


def numbers(values, path=""):
    """Yield all that a report tells, (place, value), but for what names the chip, its past and how it was counted."""
    if isinstance(values, dict | list | tuple):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            if key not in TOLD:
                yield from numbers(value, f"{path}/{key}")
    else:
        yield path, values


def assert_same(reports, mapped):
    """Compare reports, and the full scales of converters, to 1e-12."""
    for (place, one), (_, other) in zip(*(numbers(report.to_dict()) for report in reports), strict=True):
        assert one == other if isinstance(one, str | None) else other == pytest.approx(one, rel=1e-12, abs=0), place
    scales = [[row.full_scale for layer in each.layers for row in layer.row_tiles] for each in mapped]
    assert scales[1] == pytest.approx(scales[0], rel=1e-12, abs=0)


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore:divide by zero")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases("spiking"), layers(), st.integers(0, 99), st.sampled_from(["direct", "rate", "given"]))
def test_neutral_options_change_nothing_of_spiking_networks(case, layers, seed, encoding):
    option, *chips = case
    steps, given = 1 if option == "a read of one step" else 4, encoding == "given"
    torch.manual_seed(seed)
    neurons = {"beta": 0.8, "threshold": 1.5, "t_steps": steps, "encoding": "direct" if given else encoding}
    spec = mp.NetworkSpec(input_shape=(2, 5, 5), layers=layers, **neurons)
    network = Network(spec).double().eval()
    images, labels = images_of(seed, (steps,) if given else ()), np.arange(3) % 2
    mapped = [mp.map_network(network, chip, seed=seed, dtype=torch.float64, images=images) for chip in chips]
    settings = [{}, {}]
    if option == "time that moves nothing":
        mapped[1].age(dt="1 h")
    if option == "reads that move nothing":
        mapped[1].age(n_reads=1e6)
        settings = [{}, {"refresh": 0.0}]
    both = all(each.inference.engine().name == "events" for each in mapped)
    for engine in ("events", "dense") if both else ("dense",):
        for one, other in zip(*(each.spikes(images, engine=engine) for each in mapped)):
            np.testing.assert_array_equal(one, other)
        if "refresh" in settings[1]:
            settings[1]["ageing_by"] = "step" if engine == "dense" else "batch"
        assert_same(
            [one.evaluate(images, labels, engine=engine, **more) for one, more in zip(mapped, settings)], mapped
        )


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore:divide by zero")
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases("conventional"), layers(), st.integers(0, 99), st.sampled_from(["dac", "bit-serial"]))
def test_neutral_options_change_nothing_of_conventional_networks(case, layers, seed, inputs):
    option, *chips = case
    if "threshold" in option:  # an Ann has none
        chips[1] = chips[1].replace(calibration__threshold_bits=None)
    spec = AnnSpec(input_shape=(2, 5, 5), layers=layers, weight_bits=3, activation_bits=4)
    network, images, labels = as_trained(spec, seed), images_of(seed), np.arange(3) % 2
    if inputs == "dac":  # levels of 4 bits are levels of 8
        assert 255 % spec.top_activation == 0
    mapped = [map_ann(network, chip, inputs=inputs, seed=seed, dtype=torch.float64, images=images) for chip in chips]
    if option in ("reads that move nothing", "time that moves nothing"):
        mapped[1].age(dt="1 h", n_reads=1e6 if option.startswith("reads") else None)
    for one, other in zip(*(each.integers(images) for each in mapped)):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
    assert_same([each.evaluate(images, labels) for each in mapped], mapped)
