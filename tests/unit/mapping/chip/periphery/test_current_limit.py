"""Limits of bitline currents, and full scales that are too small."""

import numpy as np
import pytest

import mapping as mp
from tests.builders.chips import READOUTS, approx, mapped_on, on, wired, with_readout
from tests.builders.layers import forward
from tests.oracles.readouts import T_READ, UNIT, assert_runs_like, inputs_of, joules, of_outputs, read_out


@pytest.fixture
def chip(chip):
    return wired(chip)


@pytest.fixture
def sar(chip):
    return on(chip, "bitline")


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("kind", ["hard", "smooth"])
@pytest.mark.parametrize("inactive", ["ground", "gated"])
def test_limiters_clamp_bitlines_before_pairs_are_subtracted(tiny, chip, kind, readout, inactive):
    network, images = tiny
    most, labels = 8e-6, np.zeros(2, int)
    limiter = mp.CurrentLimit(i_max=most, kind=kind)
    chip = with_readout(chip, readout).replace(limiter=limiter, inactive=inactive)
    mapped = mapped_on(network, chip)
    report = mapped.evaluate(images[:2], labels)

    def limited(i):
        return np.minimum(i, most) if kind == "hard" else most * np.tanh(i / most)

    for (layer, x, analog), row in zip(inputs_of(mapped, images[:2]), report.layers):
        results = []
        current = sum(of_outputs(layer, x, read_out(chip, limited), results))
        ledger = assert_runs_like(layer, x, analog, current)
        currents = np.concatenate([i.ravel() for i, _ in results])
        assert row.limited == approx(np.mean(currents > most), rel=1e-12)
        assert ledger.passed == currents.size
        if readout == "charge":  # mirrors pass what is left
            repeats = network.t_steps if len(x) == 1 else 1
            constant = np.abs(layer.layer.constant).sum() * 2 * network.t_steps * np.prod(layer.layer.out_shape[1:])
            constant *= layer.layer.spec.pool**2  # as large as all the reads of a pool
            energy = 0.01 * T_READ * (repeats * limited(currents).sum() + constant * UNIT) + 1.61e-15 * ledger.spikes
            assert joules(layer, ledger)["neuron"] == approx(energy, rel=1e-9)
    assert 0.05 < report.layers[0].limited < 0.95 and joules(layer, ledger)["array"] > 0


def test_limiting_pairs_is_no_clip_of_the_membrane(tiny, chip):
    """Both bitlines beyond the limit give nothing, whatever their difference."""
    network, images = tiny
    mapped = mapped_on(network, chip.replace(limiter={"i_max": 1e-9}))
    layer, x, analog = next(inputs_of(mapped, images[:1] * 0 + 1))
    membrane = forward(layer, x, analog)[1][0].numpy()
    np.testing.assert_allclose(membrane, np.broadcast_to(layer.layer.constant[:, None, None], (1, 4, 3, 3)), atol=1e-3)


def test_a_limit_above_all_currents_changes_nothing(tiny, chip):
    (network, images), chip = tiny, chip.replace(readout__energy="67 fJ")  # as published, which nothing is said about
    plain = mapped_on(network, chip).evaluate(images, np.zeros(7, int))
    free = mapped_on(network, chip.replace(limiter={"i_max": "1 mA"})).evaluate(images, np.zeros(7, int))
    assert free.spike_rate == plain.spike_rate and free.warnings == plain.warnings == ()
    assert free.energy_per_inference == approx(plain.energy_per_inference, rel=1e-12)
    assert [layer.limited for layer in free.layers] == [0, 0]


def test_noisy_reads_of_a_constant_input_are_mirrored_once_each(tiny, chip):
    network, images = tiny
    chip = chip.replace(limiter={"i_max": "1 mA"})
    noisy, quiet = (
        mapped_on(network, chip.replace(device__read_noise=noise)).evaluate(images, np.zeros(7, int)).layers[0]
        for noise in (0.02, 0.0)
    )
    assert noisy.energies["neuron"] == approx(quiet.energies["neuron"], rel=0.01)


@pytest.mark.parametrize("readout", ["charge", "bitline"])
def test_a_limit_that_clips_nearly_everything_is_warned_of(tiny, chip, readout):
    network, images = tiny
    chip = with_readout(chip, readout).replace(limiter={"i_max": "0.1 uA"})
    report = mapped_on(network, chip).evaluate(images, np.zeros(7, int))
    share = report.layers[0].limited
    assert share > 0.9
    expected = f"layer 1: {share:.0%} of its bitline currents are beyond the limiter's i_max"
    assert expected in report.warnings and expected in " ".join(str(report).split())
    assert report.to_dict()["warnings"] == report.warnings


def test_a_full_scale_that_clips_nearly_everything_is_warned_of(tiny, sar):
    network, images = tiny
    report = mapped_on(network, sar.replace(readout__full_scale=0.4e-6)).evaluate(images, np.zeros(7, int))
    share = report.layers[0].clipped / report.layers[0].conversions
    assert share > 0.5 and f"layer 1: {share:.0%} of its conversions are beyond the full scale" in report.warnings
