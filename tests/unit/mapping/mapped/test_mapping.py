"""Networks on chips: the ideal chip is the software network; every non-ideality shows; energy is the circuit's."""

import numpy as np
import pytest
import torch

import mapping as mp
import xbarsim as xb
from mapping.chip.periphery.neuron_circuit import DigitalNeuron
from mapping.cost import CONVENTIONS
from mapping.cost.pricing import energies
from mapping.lower.plan import lower
from mapping.networks.encode import encode
from mapping.networks.network import Network
from tests.builders.layers import forward
from tests.builders.spikes import assert_same_spikes
from tests.oracles.naive_networks import rebuilt


@pytest.fixture
def ideal(chip):
    return chip.replace(wires=xb.Wires(), device__on_off_ratio=1e9, driver__dac_bits=None)


@pytest.fixture
def sar(chip):
    adc = mp.SarAdc(n_bits=8, f_sample=40e6, power=40e-6, columns_per_adc=2)
    return chip.replace(readout=adc, neuron=DigitalNeuron(energy_per_add=1e-13, energy_per_update=3.3e-12))


@pytest.mark.parametrize("weights", ["differential", "reference"])
def test_ideal_chip_is_the_software_network(tiny, ideal, weights):
    network, images = tiny
    mapped = mp.map_network(network, ideal.replace(weights=weights), dtype=torch.float64)
    assert sum(layer.n_tiles for layer in mapped.layers) >= 8
    for layer, folded in zip(mapped.layers, lower(network.graph())):
        np.testing.assert_allclose(layer.effective_weights, folded.weights, rtol=0, atol=2e-9)
    assert_same_spikes(network, mapped, images)


@pytest.mark.compiled
def test_ideal_chip_is_the_software_network_on_mnist(digits):
    network = mp.load_network("mnist-bsnn").double()
    chip = mp.load_chip("paper-bsnn").replace(wires=xb.Wires(), device__on_off_ratio=1e9, driver__dac_bits=None)
    mapped = mp.map_network(network, chip, dtype=torch.float64)
    assert_same_spikes(network, mapped, digits[0][:20])


def test_clip_is_part_of_both(tiny, ideal):
    network, images = tiny
    free = network.spikes(images)
    network = rebuilt(network, clip=True, threshold=0.7)
    mapped = mp.map_network(network, ideal, dtype=torch.float64)
    assert_same_spikes(network, mapped, images)
    assert any(np.any(a != b) for a, b in zip(free, network.spikes(images)))


@pytest.mark.parametrize("sense", ["bitline", "difference"])
def test_adc_with_a_step_of_one_unit_is_exact_for_spikes(tiny, ideal, sar, sense):
    network, _ = tiny
    images = (np.random.default_rng(1).random((5, 6, 2, 6, 6)) < 0.3).astype(float)
    step = sar.device.g_lrs * sar.device.v_read
    chip = ideal.replace(readout=sar.readout, neuron=sar.neuron)
    bits = 8 if sense == "bitline" else 9
    chip = chip.replace(readout__sense=sense, readout__n_bits=bits, readout__full_scale=255 * step)
    assert_same_spikes(network, mp.map_network(network, chip, dtype=torch.float64), images)


def test_each_non_ideality_changes_the_effective_weights(tiny, ideal):
    network, _ = tiny

    def weights(**values):
        return mp.map_network(network, ideal.replace(**values)).layers[1].effective_weights

    clean = weights()
    wires = xb.Wires(r_wordline=50, r_bitline=50, r_driver=50, r_sense=50)
    assert np.abs(weights(wires=wires) - clean).max() > 1e-3
    assert np.abs(weights(wires=wires, device__on_off_ratio=2.0) - weights(wires=wires)).max() > 1e-3
    assert np.abs(weights(device__d2d=0.1) - clean).max() > 1e-2


def test_finite_ratio_costs_energy_without_wires(tiny, ideal):
    network, images = tiny
    labels = np.zeros(len(images), int)
    clean = mp.map_network(network, ideal).evaluate(images, labels)
    leaky = mp.map_network(network, ideal.replace(device__on_off_ratio=2.0)).evaluate(images, labels)
    assert leaky.layers[0].energies["array"] > 1.2 * clean.layers[0].energies["array"]


def test_dac_and_adc_resolution_change_spikes(tiny, ideal, sar):
    network, images = tiny

    def spikes(chip):
        return mp.map_network(network, chip, dtype=torch.float64).spikes(images)[0]

    assert np.any(spikes(ideal.replace(driver__dac_bits=1)) != spikes(ideal))
    fine = ideal.replace(readout=sar.readout, neuron=sar.neuron, readout__n_bits=12)
    assert np.mean(spikes(fine) != spikes(ideal)) < 0.01
    assert np.mean(spikes(fine.replace(readout__n_bits=2)) != spikes(ideal)) > 0.01


def test_variation_depends_on_the_seed_alone(tiny, chip):
    network, _ = tiny
    varied = chip.replace(device__d2d=0.2)
    one, same, other = (mp.map_network(network, varied, seed=s).layers[1].effective_weights for s in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_batches_do_not_matter(tiny, chip):
    network, images = tiny
    labels = np.arange(len(images)) % 3
    mapped = mp.map_network(network, chip, dtype=torch.float64)
    reports = [mapped.evaluate(images, labels, batch_size=size) for size in (1, 3, 100)]
    assert len({r.accuracy for r in reports}) == 1
    for report in reports[1:]:
        assert report.energy_per_inference == pytest.approx(reports[0].energy_per_inference, rel=1e-12)
        assert report.spike_rate == pytest.approx(reports[0].spike_rate)
        assert report.spikes_per_inference == pytest.approx(sum(map(np.sum, mapped.spikes(images))) / len(images))


def strided():
    """A network whose reads are strided and padded otherwise than "same", the second layer with even kernels."""
    layers = [
        mp.LayerSpec(kind="conv", out=4, kernel=3, padding=2, weights="ternary", bias=True),
        mp.LayerSpec(kind="conv", out=3, kernel=4, stride=2, padding=1, batch_norm=True),
        mp.LayerSpec(kind="dense", out=3),
    ]
    torch.manual_seed(1)
    network = Network(mp.NetworkSpec(input_shape=(2, 6, 6), layers=layers, beta=0.8, threshold=1.5, t_steps=6)).double()
    network.layers[0].bias.data.normal_()
    return network.eval()


@pytest.mark.parametrize("weights", ["differential", "reference", "strided"])
def test_array_energy_is_that_of_the_solved_circuit(tiny, chip, weights):
    """Every read of two images, solved one by one as a circuit, with the whole array and its inactive rows in it."""
    network, images = tiny
    if weights == "strided":
        network, weights = strided(), "differential"
    chip = chip.replace(wires=xb.Wires(r_wordline=20, r_bitline=20, r_driver=100, r_sense=50), weights=weights)
    mapped = mp.map_network(network, chip, dtype=torch.float64)
    x = chip.driver.quantize(encode(images[:2], network.spec)).astype(float)
    analog, repeats = True, network.t_steps
    for layer in mapped.layers:
        spikes, _, ledger = forward(layer, x, analog)
        energy = driven = 0.0
        spec = layer.layer.spec
        side, margin = spec.kernel, spec.kernel // 2 if spec.padding is None else spec.padding
        frames = x.reshape(-1, *layer.layer.rows[0].in_shape)
        padded = np.pad(frames, ((0, 0), (0, 0), (margin,) * 2, (margin,) * 2))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(2, 3))
        windows = windows[:, :, :: spec.stride, :: spec.stride]
        reads = np.moveaxis(windows, 1, 3).reshape(-1, layer.layer.weights.shape[1])
        for tile in layer.tiles:
            v = np.zeros((len(reads), chip.rows))
            v[:, chip.rows - tile.patch.n_rows :] = reads[:, tile.patch.rows] * chip.device.v_read
            solution = xb.solve(tile.circuit.crossbar, v)
            energy += solution.power.sum() * chip.device.t_read
            bits = chip.driver.dac_bits if analog else 1
            line = chip.cols * chip.c_wordline * chip.device.v_read**2
            driven += np.count_nonzero(v) * (bits * chip.driver.power_per_bit * chip.device.t_read + line)
        assert energies(layer.chip, ledger, CONVENTIONS["full"])["array"] == pytest.approx(repeats * energy, rel=1e-9)
        assert energies(layer.chip, ledger, CONVENTIONS["full"])["driver"] == pytest.approx(repeats * driven, rel=1e-12)
        x, analog, repeats = spikes, False, 1


@pytest.mark.parametrize(
    "changes",
    [
        {"winner_take_all": True},
        {"inhibition": 0.3},
        {"reset_mechanism": "zero"},
        {"reset_delay": False},
        {"reset_delay": "snntorch", "fire": ">"},
        {"encoding": "rate"},
        {"decoder": "membrane"},
        {"decoder": "first-spike"},
    ],
    ids=str,
)
def test_every_kind_of_neuron_runs_on_the_chip(tiny, ideal, changes):
    network, images = tiny
    network = rebuilt(network, **changes)
    mapped = mp.map_network(network, ideal, dtype=torch.float64, seed=3)
    assert_same_spikes(network, mapped, images)
    classes = network.predict(images, seed=3)
    reports = [mapped.evaluate(images, classes, batch_size=size) for size in (2, 7)]
    assert [report.accuracy for report in reports] == [report.ideal_accuracy for report in reports] == [1, 1]
    if "winner_take_all" in changes:
        assert max(spikes.sum(2).max() for spikes in mapped.spikes(images)) == 1
    if "inhibition" in changes:
        assert any(np.any(a != b) for a, b in zip(network.spikes(images), tiny[0].spikes(images)))


@pytest.mark.parametrize("decoder", ["count", "membrane"])
def test_decoders_do_not_mind_folded_batch_norm(ideal, decoder):
    torch.manual_seed(0)
    layers = [mp.LayerSpec(kind="dense", out=5, batch_norm=True)]
    network = Network(
        mp.NetworkSpec(input_shape=(1, 4, 4), layers=layers, beta=0.8, threshold=1.0, t_steps=6, decoder=decoder)
    ).double()
    norm = network.layers[0].norm
    norm.weight.data.copy_(torch.tensor([0.2, -1.0, 3.0, 0.5, 1.0]))
    norm.running_var.copy_(torch.tensor([4.0, 0.5, 1.0, 9.0, 0.1]))
    images = np.random.default_rng(0).uniform(0, 1, (40, 4, 4))
    signs = network.layers[0].effective_weight().detach().reshape(5, 16)
    norm.running_mean.copy_(torch.from_numpy(images.reshape(40, 16)).mean(0) @ signs.T)
    classes = network.eval().predict(images)
    assert len(np.unique(classes)) > 1
    assert mp.map_network(network, ideal, dtype=torch.float64).evaluate(images, classes).accuracy == 1


def test_strided_and_ternary_layers_run_on_the_chip(ideal, sar):
    network = strided()
    images = np.random.default_rng(5).uniform(0, 1, (4, 2, 6, 6))
    assert_same_spikes(network, mp.map_network(network, ideal, dtype=torch.float64), images)
    assert (lower(network.graph())[0].weights == 0).any()
    with pytest.raises(xb.ParameterError, match="layer 1: weights of 0 need a pair of bitlines"):
        mp.map_network(network, ideal.replace(weights="reference"))
    report = mp.map_network(network, sar).evaluate(images, np.zeros(4, int))
    positions = [8 * 8, 4 * 4, 1]  # of the kernels, each of which reads all row tiles of its layer
    conversions = [layer.conversions / (n * tiles * outputs * 2) for layer, n, tiles, outputs in
                   zip(report.layers, positions, (3, 8, 6), (4, 3, 3))]  # fmt: skip
    assert conversions == [1, 6, 6]


def test_maximum_pooling_on_digital_neurons(tiny, ideal, sar):
    network, _ = tiny
    layers = [network.spec.layers[0].replace(pool_by="maximum"), network.spec.layers[1]]
    network = rebuilt(network, layers=layers)
    step = sar.device.g_lrs * sar.device.v_read
    chip = ideal.replace(readout=sar.readout, neuron=sar.neuron, readout__full_scale=255 * step)
    spikes = (np.random.default_rng(1).random((5, 6, 2, 6, 6)) < 0.3).astype(float)
    with pytest.raises(xb.ParameterError, match="layer 1: batch norm has gamma < 0 in channel 1"):
        mp.map_network(network, chip)
    network.layers[0].norm.weight.data.abs_()
    assert_same_spikes(network, mp.map_network(network, chip, dtype=torch.float64), spikes)
    with pytest.raises(xb.ParameterError, match="layer 1: pool_by = 'maximum', but charge neurons only add currents"):
        mp.map_network(network, ideal)


def test_conversions_and_decisions_are_counted(tiny, chip, sar):
    network, images = tiny
    labels = np.zeros(len(images), int)
    steps = network.t_steps
    one_bit = mp.map_network(network, chip).evaluate(images, labels)
    assert one_bit.layers[0].energies["conversion"] == pytest.approx(steps * 4 * 3 * 3 * chip.readout.energy)
    report = mp.map_network(network, sar).evaluate(images, labels)
    # layer 1: 18 inputs on 3 row tiles, 4 outputs as 8 bitlines; layer 2: 36 inputs on 5 row tiles, 3 outputs
    first, second = steps * 3 * 8 * 36, steps * 5 * 6
    assert report.layers[0].energies["conversion"] == pytest.approx(first * 1e-12)
    assert report.layers[1].energies["conversion"] == pytest.approx(second * 1e-12)
    assert report.layers[1].energies["neuron"] == pytest.approx(second * 1e-13 + steps * 3 * 3.3e-12)
    modules = ("array", "conversion", "driver", "neuron")
    total = sum(layer.energies[module] for layer in report.layers for module in modules)
    assert report.energy_per_inference == pytest.approx(total)
    assert report.adc_power_share == pytest.approx((first + second) * 1e-12 / total)
    macs = 36 * 4 * 18 + 36 * 3
    assert report.tops_per_watt == pytest.approx(2 * macs * steps / total * 1e-12)
    halved = mp.map_network(network, sar.replace(readout__n_bits=7)).evaluate(images, labels)
    assert halved.layers[0].energies["conversion"] == pytest.approx(first * 0.5e-12)


def test_a_constant_input_read_once_is_charged_once(tiny, sar):
    network, images = tiny
    labels = np.zeros(len(images), int)
    often = mp.map_network(network, sar).evaluate(images, labels)
    once = mp.map_network(network, sar.replace(constant_input="once")).evaluate(images, labels)
    for part in ("array", "conversion", "driver"):
        ratio = often.layers[0].energies[part] / once.layers[0].energies[part]
        assert ratio == pytest.approx(network.t_steps)
    assert once.layers[1] == often.layers[1] and once.accuracy == often.accuracy
    assert "once" in once.first_layer and "every-step" in often.first_layer


def test_a_small_full_scale_clips_and_says_so(tiny, sar):
    network, images = tiny
    report = mp.map_network(network, sar.replace(readout__full_scale=1e-6)).evaluate(images, np.zeros(7, int))
    assert 0.1 < report.fraction_clipped <= 1
    assert mp.map_network(network, sar).evaluate(images, np.zeros(7, int)).fraction_clipped == 0


def test_what_cannot_be_mapped_is_refused(tiny, chip):
    network, images = tiny
    with pytest.raises(xb.ParameterError, match="seed = -1"):
        mp.map_network(network, chip, seed=-1)
    mapped = mp.map_network(network, chip)
    with pytest.raises(xb.ParameterError, match=r"labels have the shape \(2,\)"):
        mapped.evaluate(images, np.zeros(2, int))
    with pytest.raises(xb.ParameterError, match="Evaluation.batch_size = 0: input should be greater than 0"):
        mapped.evaluate(images, np.zeros(7, int), batch_size=0)
    with pytest.raises(xb.ParameterError, match="n > 0"):
        network.predict(images[:0])
    with pytest.raises(xb.ParameterError, match="accounting = 'loose': give one of full"):
        mapped.evaluate(images, np.zeros(7, int), accounting="loose")
    network.layers[0].norm.weight.data[2] = 0
    with pytest.raises(xb.ParameterError, match="layer 1: batch norm has gamma = 0 in channel 2"):
        mp.map_network(network, chip)
    real = Network(network.spec.replace(weights="float"))
    with pytest.raises(xb.ParameterError, match="layer 1: weights = 'float'; two-state cells hold"):
        mp.map_network(real, chip)


@pytest.mark.compiled
def test_one_function_maps_networks_of_both_kinds(digits):
    images, labels = (x[:5] for x in digits)
    ann, chip = mp.load_ann("mnist-ann"), mp.load_chip("paper-ann")
    given = {"bit-serial": mp.map_ann(ann, chip, inputs="bit-serial"), None: mp.map_ann(ann, chip)}
    for inputs, expected in given.items():
        mapped = mp.map_network(ann, chip, inputs=inputs)
        for ours, theirs in zip(mapped.integers(images), expected.integers(images)):
            np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(xb.ParameterError, match="inputs = 'dac': of an Ann"):
        mp.map_network("mnist-bsnn", chip, inputs="dac")
    mapped = mp.map_network("mnist-bsnn", "paper-bsnn")
    with pytest.warns(DeprecationWarning, match="engine = 'tensors' is deprecated; use 'dense'"):
        before = mapped.evaluate(images, labels, engine="tensors")
    assert before.accuracy == mapped.evaluate(images, labels, engine="dense").accuracy
