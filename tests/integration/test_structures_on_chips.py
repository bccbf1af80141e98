"""Networks of any wiring and kernels on chips: ideal ones give the spikes of software, real ones obey Kirchhoff."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mapping as mp
import xbarsim as xb
from mapping.chip.periphery.neuron_circuit import DigitalNeuron
from mapping.ir.ops import Weights
from mapping.ir.shapes import Geometry
from mapping.lower.plan import TO_CELLS
from tests.builders.geometries import general_networks
from tests.builders.structures import most_spikes, network_of_seed, structures
from tests.oracles.naive_circuits import solve_circuit
from tests.oracles.naive_graphs import run_graph

STEPS = 4
ZERO = xb.Wires(r_wordline=0, r_bitline=0, r_driver=0, r_sense=0)
CHIPS = mp.list_chips()


def ideal(name, levels=2):
    """A shipped chip with ideal wires, cells and read-out: its converters resolve a unit of weight."""
    chip = mp.load_chip(name)
    levels = 2 if chip.weights == "reference" else levels
    device = xb.Device(
        g_lrs=chip.device.g_lrs,
        on_off_ratio=1e12,
        v_read=chip.device.v_read,
        t_read=chip.device.t_read,
        plausible=False,
        levels=levels,
    )
    changes = {"wires": ZERO, "device": device, "cell": xb.Ohmic(), "calibration": None, "limiter": None}
    changes |= {"inactive": "ground"}
    if chip.neuron.digital:
        energies = {"readout__energies": {12: 1e-12}} if getattr(chip.readout, "energies", None) else {}
        top = 4095 if chip.readout.sense == "bitline" else 2047
        full_scale = top * device.v_read * device.g_lrs / (1 if levels == "analog" else levels - 1)
        changes |= energies | {"readout__n_bits": 12, "readout__full_scale": full_scale, "readout__mismatch": 0}
    if chip.neuron.floating:
        changes["neuron__capacitance"] = 1e-6  # does not saturate
    return chip.replace(**changes, readout__noise=0, readout__offset=0)


def assert_same_but_for_ties(network, mapped, x, engine):
    """Spikes of all layers as in software; where one differs, a membrane was at its threshold."""
    ours, theirs = mapped.spikes(x, engine=engine, axes="ntchw"), network.spikes(x, axes="ntchw")
    if all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)):
        return
    _, membranes = network(torch.from_numpy(np.moveaxis(x, 1, 0)).double())
    gaps = [
        np.abs(u.detach().numpy() / layer.threshold.numpy() - 1).min() for u, layer in zip(membranes, network.layers)
    ]
    assert min(gaps) < 1e-6


IDEAL = {
    "spec": structures(STEPS, weights=("binary", "ternary", 3, "float"), most=3), "seed": st.integers(0, 2**32 - 1),
    "levels": st.sampled_from([2, 4, 16, "analog"]),
}  # fmt: skip


@pytest.mark.compiled
@pytest.mark.parametrize("name", CHIPS)
@settings(max_examples=2, deadline=None)
@given(**IDEAL)
def test_ideal_chips_give_the_spikes_of_software(name, spec, seed, levels):
    as_in_software(name, spec, seed, levels)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHIPS)
@settings(max_examples=5, deadline=None)
@given(**IDEAL)
def test_ideal_chips_give_the_spikes_of_software_many_times(name, spec, seed, levels):
    as_in_software(name, spec, seed, levels)


def as_in_software(name, spec, seed, levels):
    chip = ideal(name, levels)
    if spec.weights == "float":  # on cells of any level, which converters round
        if chip.weights == "reference" or chip.neuron.digital:
            spec = spec.replace(weights=5)
        else:
            chip = ideal(name, "analog")
    elif chip.neuron.digital and levels == "analog":
        chip = ideal(name, 16)
    network = network_of_seed(spec, seed)
    x = (np.random.default_rng(seed).random((2, STEPS, *spec.input_shape)) < 0.5).astype(np.uint8)
    mapped = mp.map_network(network, chip, dtype=torch.float64)
    assert_same_but_for_ties(network, mapped, x, "dense")
    if mapped.inference.engine("auto").name == "events":
        assert_same_but_for_ties(network, mapped, x, "events")
    report = mapped.evaluate(x, most_spikes(spec, mapped.spikes(x, axes="ntchw")), axes="ntchw")
    assert report.accuracy == 1
    assert report.energy_per_inference > 0 and report.latency > 0
    assert len(report.layers) == len(spec.layers)


NOISY = {
    "charge": {"device__read_noise": 0.05, "readout__noise": 0.02, "readout__offset": 0.01},
    "converters": {
        "readout": mp.SarAdc(
            n_bits=6,
            f_sample=40e6,
            power=40e-6,
            columns_per_adc=2,
            full_scale=4e-5,
            offset=0.02,
            noise=0.01,
            mismatch=0.02,
        ),
        "neuron": DigitalNeuron(energy_per_add=1e-13, energy_per_update=3.3e-12),
    },
    "limited": {"limiter": mp.CurrentLimit(i_max=2e-5, kind="smooth"), "device__read_noise": 0.05},
}


BILLS = {
    "spec": structures(STEPS, weights=("binary", 3), most=3), "seed": st.integers(0, 2**32 - 1),
    "images": st.booleans(), "levels": st.sampled_from([2, 4, "analog"]),
}  # fmt: skip
BILLED = ("charge", "limited", "converters", "paper-ann", "isaac-like")


@pytest.mark.compiled
@pytest.mark.parametrize("name", BILLED)
@settings(max_examples=2, deadline=None)
@given(**BILLS)
def test_both_engines_give_one_answer_and_one_bill(name, spec, seed, images, levels):
    one_answer_and_one_bill(name, spec, seed, images, levels)


@pytest.mark.slow
@pytest.mark.parametrize("name", BILLED)
@settings(max_examples=5, deadline=None)
@given(**BILLS)
def test_both_engines_give_one_answer_and_one_bill_many_times(name, spec, seed, images, levels):
    one_answer_and_one_bill(name, spec, seed, images, levels)


def one_answer_and_one_bill(name, spec, seed, images, levels):
    """With noise of reads, converters and comparators, on wires, of images as of spikes."""
    network = network_of_seed(spec, seed)
    chip = mp.load_chip("paper-bsnn" if name in NOISY else name).replace(
        rows=32, device__d2d=0.1, device__levels=levels, **NOISY.get(name, {})
    )
    rng = np.random.default_rng(seed)
    x = rng.random((2, *spec.input_shape)) if images else rng.integers(0, 2, (2, STEPS, *spec.input_shape), np.uint8)
    axes = "nchw" if images else "ntchw"
    mapped = mp.map_network(network, chip, dtype=torch.float64, seed=3, images=x, axes=axes)
    events, dense = (mapped.spikes(x, engine=engine, axes=axes) for engine in ("events", "dense"))
    for a, b in zip(events, dense, strict=True):
        np.testing.assert_array_equal(a, b)
    bills = [mapped.evaluate(x, np.zeros(2, int), engine=e, axes=axes) for e in ("events", "dense")]
    for a, b in zip(*(bill.layers for bill in bills)):
        for module, energy in a.energies.items():
            assert energy == pytest.approx(b.energies[module], rel=1e-9), module
        assert (a.clipped, a.conversions, a.synaptic_operations) == pytest.approx(
            (b.clipped, b.conversions, b.synaptic_operations)
        )


@pytest.mark.compiled
def test_arrays_of_a_loop_and_a_shortcut_are_kirchhoffs_laws():
    """The graph as the passes leave it, its weights those that nodal analysis of each array as fabricated gives."""
    wires = xb.Wires(r_wordline=100, r_bitline=100, r_driver=500, r_sense=200)
    layers = [
        mp.LayerSpec(kind="dense", out=4, branches=[{"kind": "dense", "out": 4, "inputs": ("layer 1",), "delay": 1}]),
        mp.LayerSpec(kind="dense", out=4, shortcuts=["layer 1"]),
    ]
    spec = mp.NetworkSpec(input_shape=(6, 1, 1), layers=layers, beta=0.8, threshold=1.0, t_steps=8)
    network = network_of_seed(spec, 5)
    chip = mp.load_chip("paper-bsnn").replace(rows=8, cols=8, wires=wires, device__d2d=0.1)
    mapped = mp.map_network(network, chip, dtype=torch.float64, seed=2)
    graph, unit = network.graph(), chip.unit_current
    for step in TO_CELLS:
        graph = step(graph)
    parts = [part for _, part in mapped.inference.wordlines]
    names = [branch.weights.name for layer in graph.layers() for branch in layer.branches]
    changed = {}
    for name, part in zip(names, parts, strict=True):
        (tile,) = part.tiles
        first = 8 - part.rows.weights.shape[1]
        lines = np.array(
            [solve_circuit(tile.die.conductance, wires, chip.device.v_read * np.eye(8)[k])[3] for k in range(first, 8)]
        ).T
        values = (lines[0::2] - lines[1::2])[: len(part.rows.weights)] / unit
        changed[name] = replace(graph.nodes[name], values=values[:, :, None, None], levels="float")
    assert all(isinstance(graph.nodes[name], Weights) for name in changed)
    graph, rng = graph.changed(changed), np.random.default_rng(0)
    x = rng.integers(0, 2, (3, 8, 6, 1, 1)).astype(np.uint8)
    for engine in ("events", "dense"):
        spikes = mapped.spikes(x, engine=engine, axes="ntchw")
        for sample in range(3):
            found = run_graph(graph, x[sample].astype(float))
            for a, layer in zip(spikes, graph.layers(), strict=True):
                np.testing.assert_array_equal(a[:, sample], found[layer.activation.name])
        assert 0.05 < np.mean(spikes[0]) < 0.95


@pytest.mark.compiled
def test_what_arrays_of_structures_go_through():
    """Ageing by inferences and batches, calibration, figures and stores take branches and loops."""
    layers = [
        mp.LayerSpec(kind="conv", out=4, kernel=3, name="a"),
        mp.LayerSpec(kind="conv", out=4, kernel=3, shortcuts=["a"], branches=[
            {"kind": "conv", "out": 4, "kernel": 1, "inputs": ("layer 2",), "delay": 1}]),
        mp.LayerSpec(kind="dense", out=3, inputs=("a", "layer 2"), join="concatenate", input_pool=2),
    ]  # fmt: skip
    spec = mp.NetworkSpec(input_shape=(1, 6, 6), layers=layers, beta=0.8, threshold=1.2, t_steps=4)
    network, labels = network_of_seed(spec, 1), np.arange(6) % 3
    images = np.random.default_rng(0).random((6, 6, 6))
    chip = mp.load_chip("paper-bsnn").replace(
        device__read_disturb={"kind": "power-law"}, calibration=mp.Calibration(threshold_bits=5, energy=1e-12)
    )
    mapped = mp.map_network(network, chip, seed=1)
    fresh = mapped.evaluate(images, labels)
    batches = mapped.evaluate(images, labels, refresh=0.0, ageing_by="batch", batch_size=2)
    assert batches.refresh_tolerance == 0
    assert mapped.evaluate(images, labels).energy_per_inference == fresh.energy_per_inference
    steps = mapped.evaluate(images, labels, refresh=0.0)
    assert steps.energy_per_inference == pytest.approx(fresh.energy_per_inference, rel=0.05)
    before = [part.effective_weights.copy() for _, part in mapped.inference.wordlines]
    mapped.age(n_inferences=1e9, images=images)
    assert all(
        not np.array_equal(a, part.effective_weights) for a, (_, part) in zip(before, mapped.inference.wordlines)
    )
    mp.ir_drop_map(mapped, 1, 1, images)
    assert mp.trace(mapped, images[:1]).spikes[1].shape == (4, 1, 4, 6, 6)


NEURONS = {
    "several spikes a step have no circuit; the nearest is most_spikes = 1": {"most_spikes": 3, "reset_delay": False},
    "a threshold that spikes raise has no circuit; the nearest is one that stays": {"adaptation": 0.2},
    "passive neurons have no synaptic currents; the nearest that have are charge": {"alpha": 0.5},
}


@pytest.mark.parametrize("message", NEURONS)
def test_neurons_without_a_circuit_are_refused_with_the_nearest_that_has(message):
    layers = [mp.LayerSpec(kind="dense", out=3)]
    spec = mp.NetworkSpec(input_shape=(4, 1, 1), layers=layers, beta=0.5, threshold=1, t_steps=3, **NEURONS[message])
    network = network_of_seed(spec, 0)
    with pytest.raises(xb.ParameterError, match=f"neurram-like, layer 1: {message}"):
        mp.map_network(network, "neurram-like")


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["paper-bsnn", "paper-ann"])
@settings(max_examples=4, deadline=None)
@given(spec=general_networks(STEPS), seed=st.integers(0, 2**32 - 1))
def test_kernels_on_ideal_chips_give_the_spikes_of_software(name, spec, seed):
    as_in_software(name, spec, seed, 2)


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["charge", "converters"])
@settings(max_examples=2, deadline=None)
@given(spec=general_networks(STEPS), seed=st.integers(0, 2**32 - 1), images=st.booleans())
def test_both_engines_bill_kernels_alike(name, spec, seed, images):
    one_answer_and_one_bill(name, spec, seed, images, 2)


SQUARE = {
    "same": {"kernel": 3},
    "strided, pooled": {"kernel": 3, "stride": 2, "padding": 2, "pool": 2},
    "groups": {"kernel": 3, "groups": 2, "pool": 2},
}


@pytest.mark.compiled
@pytest.mark.parametrize("engine", ["events", "dense"])
@pytest.mark.parametrize("geometry", SQUARE)
@pytest.mark.parametrize("name", ["charge", "converters"])
def test_taps_on_wires_are_the_reads_of_a_square_kernel(name, geometry, engine, monkeypatch):
    """The same arrays, noise, spikes and bill, whether a kernel moves over an image or its taps are wired to it."""
    layers = [{"kind": "conv", "out": 4} | SQUARE[geometry], {"kind": "conv", "out": 2, "kernel": 2, "padding": 0}]
    spec = mp.NetworkSpec(input_shape=(2, 8, 7), layers=layers, beta=0.8, threshold=1.3, t_steps=STEPS)
    chip = mp.load_chip("paper-bsnn").replace(rows=16, device__d2d=0.1, **NOISY[name])
    if name == "charge":
        chip = chip.replace(wires__r_wordline=3.0, wires__r_bitline=3.0)
    x = np.random.default_rng(0).integers(0, 2, (3, STEPS, 2, 8, 7)).astype(np.uint8)
    found = []
    for wired in (False, True):
        if wired:
            monkeypatch.setattr(Geometry, "plain", property(lambda self: self.kind == "dense"))
        mapped = mp.map_network(network_of_seed(spec, 1), chip, dtype=torch.float64, seed=3)
        assert (mapped.inference.wordlines[0][1].rows.spec.side == 1) is wired
        found.append(
            (mapped.spikes(x, engine=engine, axes="ntchw"), mapped.evaluate(x, [0] * 3, engine=engine, axes="ntchw"))
        )
    (spikes, bill), (wired_spikes, wired_bill) = found
    for a, b in zip(spikes, wired_spikes, strict=True):
        np.testing.assert_array_equal(a, b)
        assert 0 < a.mean() < 1
    assert wired_bill.energy_per_inference == pytest.approx(bill.energy_per_inference, rel=1e-9)
    assert wired_bill.latency == pytest.approx(bill.latency, rel=1e-9)
    assert wired_bill.area == (bill.area and pytest.approx(bill.area, rel=1e-9))
    for a, b in zip(bill.layers, wired_bill.layers, strict=True):
        assert b.energies == pytest.approx(a.energies, rel=1e-9)
        assert (b.conversions, b.synaptic_operations, b.n_tiles) == (a.conversions, a.synaptic_operations, a.n_tiles)
