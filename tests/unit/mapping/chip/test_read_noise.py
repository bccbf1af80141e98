"""Read noise of a chip's devices in inference."""

import numpy as np
import pytest
from scipy import stats

import mapping as mp
import xbarsim as xb
from mapping.chip.periphery.neuron_circuit import DigitalNeuron
from mapping.networks.encode import encode
from tests.builders.ageing import WIRES, array_voltages, layer_reads, mapped_on
from tests.builders.layers import currents, forward


@pytest.fixture
def chip(chip):
    return chip.replace(wires=WIRES)


@pytest.fixture
def sar(chip):
    adc = mp.SarAdc(n_bits=12, f_sample=40e6, power=40e-6, columns_per_adc=2)
    return chip.replace(readout=adc, neuron=DigitalNeuron(energy_per_add=1e-13, energy_per_update=3.3e-12))


def test_devices_without_spread_are_the_ideal_chip(tiny, chip):
    network, images = tiny
    zero = {"d2d": 0.0, "c2c": 0.0, "read_noise": 0.0, "retention": xb.Retention(nu=0.0, t0=1.0), "read_disturb": None}
    mapped, plain = mapped_on(network, chip, **zero), mapped_on(network, chip)
    mapped.age(dt=1e9)
    for a, b in zip(mapped.spikes(images), plain.spikes(images)):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(mapped.layers[1].effective_weights, plain.layers[1].effective_weights)


@pytest.mark.compiled
@pytest.mark.parametrize("readout", ["charge", "bitline", "difference"])
def test_noise_of_the_membrane_current_is_that_of_solved_noisy_reads(tiny, chip, sar, readout):
    """Mean and variance of every output over 3000 draws against 400 solves of every array with noisy cells."""
    network, images = tiny
    network.spec = network.spec.model_copy(update={"t_steps": 3000})
    one = chip if readout == "charge" else sar.replace(readout__sense=readout)
    one = one.replace(wires=xb.Wires(r_wordline=5, r_bitline=5, r_driver=5, r_sense=5))
    mapped = mapped_on(network, one, read_noise=0.1)
    layer = mapped.layers[0]
    x = one.driver.quantize(encode(images[:1], network.spec)).astype(float)
    drawn = currents(layer, x.astype(float), slice(0, 3000))[:, 0].numpy()

    _, reads, _ = next(layer_reads(mapped, images[:1]))
    reads, n_out = reads[:36], len(layer.layer.weights)
    solved = np.zeros((400, 36, n_out))
    for row in layer.row_tiles:
        for tile in row.tiles:
            v = array_voltages(tile, reads)
            for k in range(400):
                g = tile.die.read(k)
                solution = xb.solve(xb.Crossbar(g, wires=one.wires), v)
                solved[k][:, tile.patch.outputs] += solution.i_bitline[:, : tile.n_lines] @ tile.decode.T
    solved /= one.unit_current
    # a read of another position is another draw: variances of the four positions of a pooling window add
    images_of = solved.reshape(400, 3, 2, 3, 2, n_out)
    mean, variance = images_of.mean((0, 2, 4)), images_of.var(0, ddof=1).mean((1, 3)) / 4
    mean, variance = (np.moveaxis(part, 2, 0) for part in (mean, variance))
    step = 0.02 if readout == "charge" else 0.05
    np.testing.assert_allclose(drawn.mean(0), mean, atol=4 * np.sqrt(variance.max() / 400) + step)
    assert drawn.var(0, ddof=1).sum() == pytest.approx(variance.sum(), rel=0.1)
    np.testing.assert_allclose(drawn.var(0, ddof=1), variance, rtol=0.35)


@pytest.mark.parametrize("digital", [False, True])
def test_noise_does_not_depend_on_batches(tiny, chip, sar, digital):
    network, images = tiny
    mapped = mapped_on(network, sar if digital else chip, read_noise=0.3)
    labels = np.arange(len(images)) % 3
    reports = [mapped.evaluate(images, labels, batch_size=size) for size in (1, 3, 100)]
    assert len({r.spike_rate for r in reports}) == 1
    quiet = mapped_on(network, sar if digital else chip).evaluate(images, labels)
    assert quiet.spike_rate != reports[0].spike_rate
    assert quiet.layers[0].energies["conversion"] == pytest.approx(
        reports[0].layers[0].energies["conversion"]
    )  # as many conversions, noisy or not


def test_a_constant_input_held_in_registers_is_noisy_once(tiny, sar):
    network, images = tiny
    mapped = mapped_on(network, sar.replace(constant_input="once"), read_noise=0.3)
    layer, x = mapped.layers[0], encode(images, network.spec).astype(float)
    assert len(currents(layer, x, slice(0, 6), draws=1)) == 1
    assert np.any(forward(layer, x, True)[0] != forward(mapped_on(network, sar).layers[0], x, True)[0])


def test_noise_beyond_the_physical_range_is_reported(tiny, chip):
    network, images = tiny
    report = mapped_on(network, chip, read_noise=0.5).evaluate(images, np.zeros(7, int))
    assert report.noise_beyond_range == pytest.approx(stats.norm.cdf(-2), rel=1e-6)
    assert "noise draws beyond" in str(report)
    assert mapped_on(network, chip, read_noise=0.05).evaluate(images, np.zeros(7, int)).noise_beyond_range < 1e-12


@pytest.mark.parametrize("misspelt", [{"kind": "power-lw"}, "power-lw"])
def test_a_kind_that_is_misspelt_in_a_chip_is_named(misspelt, chip):
    with pytest.raises(xb.ParameterError, match=r"Device\.read_disturb\.kind.*did you mean power-law\?"):
        chip.replace(device__read_disturb=misspelt)
