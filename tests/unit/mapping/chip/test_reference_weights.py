"""Weights of one cell each, with a reference current for every output."""

import numpy as np
import pytest
import torch

import mapping as mp
import xbarsim as xb
from tests.builders.chips import approx, mapped_on, wired
from tests.builders.layers import forward
from tests.oracles.readouts import T_READ, UNIT, inputs_of, joules, neurons, of_outputs, solved, unfolded


@pytest.fixture
def chip(chip):
    return wired(chip)


@pytest.mark.compiled
@pytest.mark.parametrize("engine", ["events", "dense"])
@pytest.mark.parametrize("limiter", [None, {"i_max": "1 mA"}, {"i_max": "100 uA"}])
def test_every_output_has_a_reference_current_of_its_own(chip, engine, limiter):
    """64 rows of 10 or 1 uS at 0.3 V, half of the weights +1: 62 outputs of 105.6 uA, references of 192 and 19.2.

    Into each membrane flows its own current, out of it the mean of the references, 105.6 uA; or 100 uA and
    (100 + 19.2) / 2, as a limiter passes them.
    """
    layers = [mp.LayerSpec(kind="dense", out=62)]
    spec = mp.NetworkSpec(input_shape=(1, 8, 8), layers=layers, beta=1, threshold=1, t_steps=3)
    network = mp.Network(spec)
    network.layers[0].weight.data = torch.from_numpy(1 - 2.0 * (np.indices((62, 64, 1, 1)).sum(0) % 2))
    ideal = {"rows": 64, "cols": 64, "wires": xb.Wires(), "device__d2d": 0.0, "weights": "reference"}
    mapped = mapped_on(network, chip.replace(limiter=limiter, **ideal))
    images = np.ones((2, 3, 1, 8, 8))
    report = mapped.evaluate(images, np.zeros(2, int), engine=engine)
    own, reference = (105.6e-6, 105.6e-6) if limiter is None or limiter["i_max"] == "1 mA" else (100e-6, 59.6e-6)
    mirrors = 0.01 * 1.0 * T_READ * 3 * 62 * (own + reference)
    assert report.layers[0].energies["neuron"] == approx(mirrors + 1.61e-15 * report.spikes_per_inference)
    if limiter is None:
        assert mirrors / 3 == approx(3.2736e-12)


@pytest.mark.parametrize("inactive", ["ground", "open"])
@pytest.mark.parametrize("merge", ["charge", "majority"])
def test_reference_currents_of_solved_circuits_are_mirrored_for_every_output(tiny, chip, inactive, merge):
    network, images = tiny
    mapped = mapped_on(network, chip.replace(weights="reference", cols=5, inactive=inactive, merge=merge))
    for layer, x, analog in inputs_of(mapped, images[:2]):
        mirrored, reads = 0.0, unfolded(layer, x)
        for tile in layer.tiles:
            *outputs, lrs, hrs = solved(tile, reads)[0].T
            mirrored += sum((i + (lrs + hrs) / 2).sum() for i in outputs)
        repeats = network.t_steps if len(x) == 1 else 1
        constant = np.abs(layer.layer.constant).sum() * 2 * network.t_steps * np.prod(layer.layer.out_shape[1:])
        constant *= layer.layer.spec.pool**2 * UNIT / 2
        _, _, ledger = forward(layer, x, analog)
        reset = ledger.spikes
        if merge == "majority":  # every row tile has neurons of its own
            parts = of_outputs(layer, x, lambda tile, i: 2 * (i @ tile.decode.T))
            reset = sum(neurons(layer, part, share=1 / len(parts))[0].sum() for part in parts)
            assert reset > ledger.spikes
        energy = 0.01 * T_READ * (repeats * mirrored + constant) + 1.61e-15 * reset
        assert joules(layer, ledger)["neuron"] == approx(energy, rel=1e-9)
