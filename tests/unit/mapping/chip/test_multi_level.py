"""Weights on cells of several levels: which conductances they become, their digits, what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mapping as mp
import xbarsim as xb
from mapping.lower.plan import TO_INTEGERS, lower, to_cells
from tests.builders.structures import network_of_seed
from tests.oracles.naive_circuits import solve_circuit

WIRES = xb.Wires(r_wordline=20, r_bitline=30, r_driver=100, r_sense=50)


def dense(weights, **values):
    layers = [mp.LayerSpec(kind="dense", out=4), mp.LayerSpec(kind="dense", out=3)]
    spec = mp.NetworkSpec(input_shape=(6, 1, 1), layers=layers, weights=weights, beta=0.8, threshold=1.0, t_steps=6)
    return network_of_seed(spec.replace(**values), 3)


def chip(levels, **values):
    return mp.load_chip("paper-bsnn").replace(
        rows=8, cols=64, device__levels=levels, device__on_off_ratio=25.0, wires=WIRES, **values
    )


@settings(max_examples=40, deadline=None)
@given(
    weights=st.sampled_from(["binary", "ternary", 2, 3, 5, 8]),
    levels=st.sampled_from([3, 4, 5, 8, 16, 128, 1000]),
    seed=st.integers(0, 1000),
)
def test_digits_of_every_weight_add_up(weights, levels, seed):
    """In units that thresholds have too; and where one cell holds a weight, the largest takes nearly its range."""
    graph = dense(weights).graph()
    for whole, made in zip(lower(graph, TO_INTEGERS), lower(graph, to_cells(levels)), strict=True):
        (rows,) = made.rows
        digits = rows.weights.reshape(rows.slices, len(whole.weights), -1)
        assert np.abs(digits).max() < levels
        total = np.einsum("s,soi->oi", rows.digits, digits.astype(float))
        times = np.abs(total).max() / np.abs(whole.weights).max()
        np.testing.assert_array_equal(total, times * whole.weights)
        np.testing.assert_allclose(made.activation.threshold, times * whole.activation.threshold, rtol=1e-12)
        if rows.slices == 1:
            assert (levels - 1) / 2 < np.abs(total).max() < levels
        else:
            assert times == 1 and levels ** (rows.slices - 1) <= np.abs(total).max()


@pytest.mark.compiled
@pytest.mark.parametrize(("weights", "levels"), [("float", "analog"), (5, 16), (5, 4), ("ternary", "analog")])
def test_spikes_are_those_of_nodal_analysis_of_cells_by_the_stated_law(weights, levels):
    """Conductances from the weights of the network alone: g = g_hrs + |w| / most (g_lrs - g_hrs), on either bitline."""
    network, made = dense(weights), chip(levels)
    mapped = mp.map_network(network, made, dtype=torch.float64)
    device, (layer, *_) = made.device, mapped.layers
    w = network.layers[0].effective_weight().detach().numpy().reshape(4, 6)
    most = np.abs(w).max()
    if levels == 4:  # 15 = 33 to the base of 4
        digits = [np.sign(w) * (np.rint(np.abs(w) / most * 15) // 4**k % 4) / 3 for k in range(2)]
        units = [3 * most / 15, 12 * most / 15]
    else:
        digits, units = [w / most], [most]
    if levels == 16:
        assert np.abs(w / most * 15 - np.rint(w / most * 15)).max() < 1e-6
    pairs = np.concatenate(digits)
    g = np.full((8, 64), device.g_hrs)
    g[2:, 0 : 2 * len(pairs) : 2] += np.maximum(pairs, 0).T * (device.g_lrs - device.g_hrs)
    g[2:, 1 : 2 * len(pairs) : 2] += np.maximum(-pairs, 0).T * (device.g_lrs - device.g_hrs)
    np.testing.assert_allclose(layer.tiles[0].die.conductance, g, rtol=1e-6)
    x = np.random.default_rng(0).integers(0, 2, (5, 6, 6, 1, 1)).astype(np.uint8)
    spikes = mapped.spikes(x, axes="ntchw")[0]
    v = device.v_read * np.vstack([np.zeros((2, 6)), np.eye(6)])
    lines = np.array([solve_circuit(g, WIRES, one)[3] for one in v.T])[:, : 2 * len(pairs)]
    per_pair = (lines[:, 0::2] - lines[:, 1::2]) / (device.v_read * (device.g_lrs - device.g_hrs))
    effective = sum(unit * part for unit, part in zip(units, np.split(per_pair, len(units), 1)))
    theta, beta = (part.detach().numpy().ravel() for part in (network.layers[0].threshold, network.layers[0].beta))
    for n in range(5):
        u, fired = np.zeros(4), np.zeros(4)
        for t in range(6):
            u = beta * u + x[n, t].ravel() @ effective - fired * theta
            fired = (u >= theta).astype(float)
            np.testing.assert_array_equal(spikes[t, n].ravel(), fired)
    assert 0.02 < spikes.mean() < 0.98


@pytest.mark.compiled
def test_bits_per_cell_are_levels_of_the_device():
    """Two bits on analog cells, on 16 levels and on four are the same circuit."""
    network, x = dense(5), np.random.default_rng(0).random((4, 6, 1, 1))
    found = [
        mp.map_network(network, chip(levels, bits_per_cell=bits))
        for levels, bits in (("analog", 2), (16, 2), (4, 2), (4, None))
    ]
    for other in found[1:]:
        for a, b in zip(found[0].layers, other.layers, strict=True):
            np.testing.assert_allclose(a.tiles[0].die.conductance, b.tiles[0].die.conductance, rtol=1e-12)
        assert other.evaluate(x, [0, 1, 2, 0]).accuracy == found[0].evaluate(x, [0, 1, 2, 0]).accuracy
    report = found[1].evaluate(x, [0, 1, 2, 0])
    assert ", 4 levels" in str(report) and report.run.to_dict()["levels"] == 4
    assert ", analog" in str(mp.map_network(network, chip("analog")).evaluate(x, [0, 1, 2, 0]))


@pytest.mark.compiled
def test_more_levels_take_fewer_bitlines_and_less_energy():
    network, x = dense(8), np.random.default_rng(0).random((4, 6, 1, 1))
    reports = [mp.map_network(network, chip(levels)).evaluate(x, [0, 1, 2, 0]) for levels in (2, 4, 16, "analog")]
    lines = [mp.map_network(network, chip(levels)).layers[0].tiles[0].n_lines for levels in (2, 4, 16, "analog")]
    assert lines == [56, 32, 16, 8]
    energies = [report.energy_per_inference for report in reports]
    assert energies == sorted(energies, reverse=True)


@pytest.mark.compiled
def test_levels_age_and_are_noisy_on_chips():
    made = chip(2).replace(device=xb.load_device("pcm-ibm", v_read=0.2, levels="analog"))
    mapped = mp.map_network(dense("float"), made, seed=1)
    x, labels = np.random.default_rng(0).random((4, 6, 1, 1)), [0, 1, 2, 0]
    fresh = mapped.evaluate(x, labels)
    before = mapped.layers[0].tiles[0].die.conductance
    mapped.age(dt="1 h")
    after = mapped.layers[0].tiles[0].die.conductance
    used = before > 5e-6
    assert 0.5 < after[used].sum() / before[used].sum() < 0.9  # 180^-0.049 = 0.775, and 1/f noise of few cells
    assert mapped.evaluate(x, labels).energy_per_inference < fresh.energy_per_inference


@pytest.mark.slow
@pytest.mark.parametrize("name", mp.list_chips())
@pytest.mark.parametrize("network", ["mnist-snn", "fashion-mnist-snn"])
def test_real_weights_get_a_report_on_every_shipped_chip(name, network):
    """On the cells of two states that it has, and on analog ones."""
    images, labels = (x[:2] for x in mp.load_dataset(network.removesuffix("-snn")))
    made = mp.load_chip(name)
    for kind, levels in (("ternary", 2), (None, "analog")):
        mapped = mp.map_network(
            mp.load_network(network, quantize=kind), made.replace(device__levels=levels), images=images
        )
        report = mapped.evaluate(images, labels)
        assert report.energy_per_inference > 0 and report.latency > 0 and report.area > 0


REFUSED = {
    "weights = 'reference' with Device.levels = 4": lambda: mp.load_chip("paper-bsnn").replace(
        weights="reference", device__levels=4
    ),
    "bits_per_cell = 2 with Device.levels = 6: these are not among them; give levels = 4": lambda: chip(
        6, bits_per_cell=2
    ),
    "bits_per_cell = 2 with Device.levels = 2": lambda: chip(2, bits_per_cell=2),
    "bits_per_cell": lambda: chip(4, bits_per_cell=0),
    "layer 1: weights = 'float'; cells of 4 levels hold binary": lambda: mp.map_network(dense("float"), chip(4)),
    "layer 1: passive neurons weigh digits by sharing charge": lambda: mp.map_network(
        dense(5), mp.load_chip("neurram-like").replace(device__levels=4)
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_levels_cannot_hold_is_refused_by_name(message):
    with pytest.raises(xb.ParameterError, match=message):
        REFUSED[message]()
