"""Chips read by converters: their codes, noise and full scales."""

import numpy as np
import pytest
import torch

import mapping as mp
import xbarsim as xb
from tests.builders.chips import approx, mapped_on, on, wired
from tests.builders.layers import currents, forward
from tests.oracles.readouts import UNIT, assert_runs_like, inputs_of, of_outputs, pairs, read_out, solved


@pytest.fixture
def chip(chip):
    return wired(chip)


@pytest.fixture
def sar(chip):
    return on(chip, "bitline")


@pytest.mark.parametrize("sense", ["bitline", "difference"])
@pytest.mark.parametrize("inactive", ["ground", "open"])
def test_converters_are_given_currents_and_their_codes_are_decoded(tiny, chip, sense, inactive):
    """With offsets and mismatch, drawn for each converter of each array; codes themselves have tests of their own."""
    network, images = tiny
    real = {"readout__offset": 0.02, "readout__mismatch": 0.05, "readout__n_bits": 8, "inactive": inactive}
    chip = on(chip, sense).replace(**real)
    top = 255 if sense == "bitline" else 127
    mapped = mapped_on(network, chip)
    for layer, x, analog in inputs_of(mapped, images[:2]):
        behind = {t: one for row in layer.row_tiles for t, one in zip(row.tiles, row.converters)}

        def converted(tile, currents, behind=behind):
            values = currents if sense == "bitline" else pairs(currents)
            assert behind[tile].n_converters == -(-values.shape[1] // 2)
            in_steps = torch.from_numpy(values / (30e-6 / top))[:, :, None, None]
            codes = behind[tile].convert(in_steps)[0][:, :, 0, 0].numpy() * (30e-6 / top)
            return pairs(codes) if sense == "bitline" else codes

        current = sum(of_outputs(layer, x, converted))
        assert_runs_like(layer, x, analog, current)
        assert np.abs(current - sum(of_outputs(layer, x, read_out(chip)))).max() > 0.05
        drawn = [one.transitions(k)[0] for one in behind.values() for k in range(one.n_converters)]
        assert len(np.unique(drawn)) == len(drawn) > 3


@pytest.mark.compiled
@pytest.mark.parametrize("sense", ["bitline", "difference"])
def test_converter_noise_adds_to_every_conversion(tiny, chip, sense):
    """Mean and variance over 3000 time steps of what the neurons in the middle get; at the edge 0 A cuts the noise."""
    network, images = tiny
    network.spec = network.spec.model_copy(update={"t_steps": 3000})
    noise, chip = 0.003, on(chip, sense)
    layer, x, _ = next(inputs_of(mapped_on(network, chip.replace(readout__noise=noise)), images[:1] * 0.5 + 0.5))
    current = currents(layer, x, slice(0, 3000))[:, 0, :, 1, 1].numpy()
    expected = sum(of_outputs(layer, x, lambda tile, i: pairs(i)))[0, 0, :, 1, 1]
    conversions = 3 * (2 if sense == "bitline" else 1)  # of each output, on three row tiles, in each of four positions
    step = 30e-6 / (4095 if sense == "bitline" else 2047) / UNIT
    variance = conversions * ((noise * 30e-6 / UNIT) ** 2 + step**2 / 12) / 4
    np.testing.assert_allclose(current.mean(0), expected, rtol=0, atol=5 * np.sqrt(variance / 3000))
    assert current.var(0).mean() == approx(variance, rel=0.05)
    np.testing.assert_allclose(current.var(0), variance, rtol=0.15)
    assert np.abs(np.corrcoef(current.T) - np.eye(4)).max() < 0.1


def test_converter_noise_does_not_depend_on_batches(tiny, sar):
    network, images = tiny
    mapped = mapped_on(network, sar.replace(readout__noise=0.02, readout__offset=0.01))
    whole = mapped.spikes(images)
    for first in range(0, 7, 3):
        for a, b in zip(whole, mapped.inference.outputs(images[first : first + 3], first)):
            np.testing.assert_array_equal(a[:, first : first + 3], b)
    quiet = mapped_on(network, sar.replace(readout__offset=0.01)).spikes(images)
    assert np.any(whole[0] != quiet[0])


@pytest.mark.parametrize("quantile", [0.9, 1.0])
@pytest.mark.parametrize("sense", ["bitline", "difference"])
@pytest.mark.parametrize("changes", [{}, {"inactive": "gated"}, {"limiter": {"i_max": "6 uA"}}], ids=str)
def test_a_calibrated_full_scale_is_a_quantile_of_the_currents_of_some_images(tiny, chip, sense, quantile, changes):
    network, images = tiny
    chip = on(chip, sense).replace(**changes, readout__full_scale="calibrated", readout__full_scale_quantile=quantile)
    most = np.inf if chip.limiter is None else 6e-6
    mapped = mapped_on(network, chip, images=images[:2])
    for layer, x, _ in inputs_of(mapped, images[:2]):
        results = []
        of_outputs(layer, x, lambda tile, i: pairs(i), results)
        limited = [np.minimum(currents, most) for currents, _ in results]
        seen = np.concatenate([(i if sense == "bitline" else np.abs(pairs(i))).ravel() for i in limited])
        expected = np.quantile(seen, quantile)
        assert [row.full_scale for row in layer.row_tiles] == approx([expected] * len(layer.row_tiles))
        counted = forward(layer, x, layer.number == 0)[2]
        if chip.limiter is None:
            assert counted.clipped / counted.simulated == approx(1 - quantile, abs=0.03)


def test_a_full_scale_can_be_the_largest_possible_current(tiny, sar):
    network, images = tiny
    mapped = mapped_on(network, sar.replace(readout__full_scale="worst-case"))
    for layer in mapped.layers:
        every = np.ones((1, layer.layer.weights.shape[1]))
        largest = max(solved(tile, every)[0].max() for tile in layer.tiles)
        assert [row.full_scale for row in layer.row_tiles] == approx([largest] * len(layer.row_tiles))
    assert mapped.evaluate(images, np.zeros(7, int)).fraction_clipped == 0


@pytest.mark.compiled
@pytest.mark.parametrize("limiter", [None, {"i_max": "1 A"}, {"i_max": "1 mA"}, {"i_max": "20 uA", "kind": "smooth"}])
@pytest.mark.parametrize(("weights", "largest"), [("differential", 64.8e-6), ("reference", 32.4e-6)])
def test_the_largest_difference_is_that_of_the_arrays_limited_or_not(chip, limiter, weights, largest):
    """24 pairs of 10 and 1 uS at 0.3 V, or 10 uS against the mean of 10 and 1 uS."""
    torch.manual_seed(0)
    layers = [mp.LayerSpec(kind="dense", out=12)]
    spec = mp.NetworkSpec(input_shape=(1, 4, 6), layers=layers, beta=1, threshold=1, t_steps=1)
    adc = mp.SarAdc(n_bits=8, f_sample=40e6, power=40e-6, columns_per_adc=2, sense="difference")
    ideal = {"rows": 24, "cols": 26, "wires": xb.Wires(), "device__d2d": 0.0}
    mapped = mapped_on(
        mp.Network(spec), on(chip, "difference").replace(readout=adc, weights=weights, limiter=limiter, **ideal)
    )
    assert mapped.layers[0].row_tiles[0].full_scale == approx(largest)


def test_full_scales_and_columns_that_cannot_be_are_refused(tiny, sar):
    network, images = tiny
    with pytest.raises(xb.ParameterError, match="SarAdc.full_scale = 'calibrated' needs images"):
        mp.map_network(network, sar.replace(readout__full_scale="calibrated"))
    with pytest.raises(xb.ParameterError, match="SarAdc.full_scale = 2.9e-07 A is below 3e-07 A"):
        mp.map_network(network, sar.replace(readout__full_scale=0.29e-6))
    mp.map_network(network, sar.replace(readout__full_scale=0.31e-6))
    with pytest.raises(xb.ParameterError, match="Chip.readout.columns_per_adc = 7: the array has 6 columns"):
        sar.replace(readout__columns_per_adc=7)
    with pytest.raises(xb.ParameterError, match="full_scale"):
        sar.replace(readout__full_scale="guessed")
    silent = mapped_on(network, sar.replace(readout__full_scale="calibrated"), images=0 * images)  # nothing to go by
    worst = mapped_on(network, sar.replace(readout__full_scale="worst-case"))
    assert silent.layers[0].row_tiles[0].full_scale == worst.layers[0].row_tiles[0].full_scale
