"""Conventional networks on chips: whole numbers on an ideal chip, and what is charged."""

import numpy as np
import pytest
import torch

import mapping as mp
import xbarsim as xb
from mapping.chip.periphery.neuron_circuit import DigitalNeuron
from mapping.mapped.mapped_network import map_ann
from mapping.networks.ann_spec import AnnSpec
from tests.builders.anns import DEPTHWISE, ODD, as_trained


@pytest.fixture
def sar(chip):
    """SAR ADCs whose step is a fraction of one level of an input of 3 bits, on small ideal arrays."""
    step = chip.device.g_lrs * chip.device.v_read / 7
    adc = mp.SarAdc(n_bits=12, f_sample=40e6, power=40e-6, columns_per_adc=2, full_scale=4095 * step)
    ideal = {"wires": xb.Wires(), "device__on_off_ratio": 1e9, "driver__dac_bits": None, "merge": None}
    neuron = DigitalNeuron(energy_per_add=1e-13, energy_per_update=3.3e-12)
    return chip.replace(readout=adc, neuron=neuron, **ideal)


@pytest.fixture
def network():
    return as_trained(ODD.replace(activation_bits=3, weight_bits=4))


@pytest.fixture
def images():
    return np.random.default_rng(4).uniform(0, 1, (3, 2, 16, 6))


@pytest.mark.parametrize("inputs", ["dac", "bit-serial"])
def test_an_ideal_chip_computes_in_whole_numbers(network, images, sar, inputs):
    mapped = map_ann(network, sar, inputs=inputs, dtype=torch.float64)
    assert len(mapped.layers[0].row_tiles) == 3 and mapped.layers[0].layer.slices == 3
    outputs = mapped.integers(images)
    for ours, exact in zip(outputs[:-1], network.integers(images)):
        np.testing.assert_array_equal(ours, exact)
    np.testing.assert_allclose(outputs[-1], network.integers(images)[-1], rtol=0, atol=1e-6)
    assert any(y.any() for y in outputs[:-1])


def test_depthwise_layers_compute_in_whole_numbers(sar):
    network = as_trained(DEPTHWISE.replace(activation_bits=3, weight_bits=4))
    images = np.random.default_rng(9).uniform(0, 1, (3, 2, 9, 7))
    mapped = map_ann(network, sar, dtype=torch.float64)
    outputs = mapped.integers(images)
    for ours, exact in zip(outputs[:-1], network.integers(images)):
        np.testing.assert_array_equal(ours, exact)
        assert exact.any()
    np.testing.assert_allclose(outputs[-1], network.integers(images)[-1], rtol=0, atol=1e-6)
    # 2 channels of 2x2 in 2 outputs: half of the weights of the plain convolution on the arrays are none
    assert mapped.layers[0].layer.weights.shape == (2 * 3, 2 * 4)
    assert not mapped.layers[0].layer.weights[::2, 4:].any() and not mapped.layers[0].layer.weights[1::2, :4].any()
    report = mapped.evaluate(images, np.zeros(3, int))
    real = 10 * 8 * 2 * 4 + 5 * 4 * (2 * 6 + 6 * 9) + 3 * 2 * (6 * 9 + 6 * 3 * 9) + 18 * 3
    assert report.macs_per_step == network.spec.macs == real


def test_bits_of_the_magnitudes_make_the_weights(network, sar):
    for mapped, layer in zip(map_ann(network, sar).layers, network.integer_layers()):
        planes = mapped.layer.weights.reshape(3, *layer.weights.shape)
        np.testing.assert_array_equal(np.tensordot([1, 2, 4], planes, 1), layer.weights)
        assert (planes * layer.weights >= 0).all()


@pytest.mark.parametrize(("inputs", "reads"), [("dac", 1), ("bit-serial", 3)])
def test_conversions_and_operations_are_counted(network, images, sar, inputs, reads):
    labels = np.zeros(3, int)
    report = map_ann(network, sar, inputs=inputs).evaluate(images, labels, batch_size=2)
    # conv 18 inputs, 3x3, 16x6 positions; 3 row tiles of 8 inputs; 4 outputs of 3 bits, a pair of bitlines each
    assert report.layers[0].energies["conversion"] == pytest.approx(reads * 96 * 3 * 24 * sar.readout.energy)
    add, update = sar.neuron.energy_per_add, sar.neuron.energy_per_update
    assert report.layers[0].energies["neuron"] == pytest.approx(reads * 96 * 3 * 24 * add + 4 * 8 * 3 * update)
    assert report.tops_per_watt == pytest.approx(2 * network.spec.macs / report.energy_per_inference * 1e-12)
    assert report.ideal_accuracy == np.mean(network.predict(images) == labels)
    assert report.layers[0].name == "conv 2-4" and "6 two-state cells" in report.first_layer


@pytest.fixture
def by_hand():
    """A convolution of 1 x 1 at two positions, 2 to 3 channels, and a dense layer; activations of 2 bits."""
    layers = [mp.LayerSpec(kind="conv", out=3, kernel=1), mp.LayerSpec(kind="dense", out=2)]
    network = mp.Ann(AnnSpec(input_shape=(2, 1, 2), layers=layers, weight_bits=2, activation_bits=2)).eval()
    first, second = network.layers
    first.weight.data = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])[:, :, None, None]
    second.weight.data = torch.ones_like(second.weight)
    first.log_clip.data.zero_()  # the largest activation stands for 1, as that of the inputs does
    images = np.array([[[[3, 1]], [[0, 2]]], [[[0, 0]], [[0, 1]]]]) / 3  # positions (3, 0), (1, 2) and (0, 0), (0, 1)
    return network, images


@pytest.mark.parametrize(("inputs", "planes"), [("dac", 1), ("bit-serial", 2)])
def test_operations_outputs_and_times_do_not_depend_on_how_bits_are_read(by_hand, sar, inputs, planes):
    network, images = by_hand
    outputs = [[[[3, 3]], [[3, 0]], [[0, 0]]], [[[0, 1]], [[0, 0]], [[0, 0]]]]  # (3, 3, 0), (3, 0, 0); 0, (1, 0, 0)
    np.testing.assert_array_equal(network.integers(images)[0], outputs)
    labels = np.zeros(2, int)

    def report(**changes):
        return map_ann(network, sar.replace(**changes), inputs=inputs).evaluate(images, labels)

    one = report()
    # 3 and 1 inputs are not 0, and 3 and 1 outputs of the first layer: 2 an image, for 3 and 2 outputs
    assert [row.synaptic_operations for row in one.layers] == [2 * 3 * 2, 2 * 2 * 2]
    assert sum(row.synaptic_operations for row in one.layers) <= 2 * network.spec.macs == 2 * (2 * 2 * 3 + 6 * 2)
    assert [row.spikes for row in one.layers] == [2, 0] and one.spike_rate == pytest.approx((2 / 6, 0))
    # two columns of a converter take 50 ns, longer than a read: 2 positions and 1, all planes before the next layer
    assert one.latency == pytest.approx(planes * 150e-9) and one.throughput == pytest.approx(1 / (planes * 100e-9))
    copied = report(replication=(2,))
    assert copied.latency == pytest.approx(planes * 100e-9)
    assert copied.throughput == pytest.approx(1 / (planes * 50e-9))
    in_turn = report(pipelined=False)
    assert in_turn.latency == pytest.approx(planes * 150e-9) == pytest.approx(1 / in_turn.throughput)
    # 6 outputs are updated one after the other, once for all planes, and 2; conversions go on meanwhile
    slow = report(neuron__t_update=50e-9)
    assert slow.latency == pytest.approx(max(planes * 100e-9, 300e-9) + 100e-9)
    linked = report(link={"energy_per_spike": "1 pJ", "t_spike": "200 ns"})  # two values of 200 ns
    assert linked.latency == pytest.approx(400e-9 + planes * 50e-9)
    assert linked.energy_by_module()["link"] == pytest.approx(2e-12)


def test_what_an_ann_cannot_run_on_is_refused(network, images, sar, chip):
    with pytest.raises(xb.ParameterError, match="charge neurons give spikes; an Ann needs a sar-adc"):
        map_ann(network, chip)
    with pytest.raises(xb.ParameterError, match="inputs = 'analog': give 'dac' or 'bit-serial'"):
        map_ann(network, sar, inputs="analog")
    with pytest.raises(xb.ParameterError, match="full_scale = 'calibrated' needs images; give some"):
        map_ann(network, sar.replace(readout__full_scale="calibrated"))
    with pytest.raises(xb.ParameterError, match="weights of 0 need a pair of bitlines"):
        map_ann(network, sar.replace(weights="reference"))
    with pytest.raises(xb.ParameterError, match=r"replication = \(1, 1, 1, 1, 1, 2\) for 5 layers; give no more"):
        map_ann(network, sar.replace(replication=(1, 1, 1, 1, 1, 2)))
    with pytest.raises(xb.ParameterError, match=r"labels have the shape \(2,\) and type int64; 3 images"):
        map_ann(network, sar).evaluate(images, np.zeros(2, int))


def test_calibrated_full_scale_follows_the_layers(network, images, sar):
    mapped = map_ann(
        network, sar.replace(readout__full_scale="calibrated", readout__full_scale_quantile=1), images=images
    )
    worst = map_ann(network, sar.replace(readout__full_scale="worst-case"))
    pairs = [(a.row_tiles[0].full_scale, b.row_tiles[0].full_scale) for a, b in zip(mapped.layers, worst.layers)]
    assert all(fitted < largest for fitted, largest in pairs)
    report = mapped.evaluate(images, np.zeros(3, int))
    assert report.fraction_clipped < 1e-3


@pytest.mark.compiled
def test_time_takes_the_same_share_of_all_weights(network, images, sar):
    aged = map_ann(network, sar.replace(device__retention={"nu": 0.05, "t0": "10 s"}), dtype=torch.float64)
    fresh = [layer.effective_weights.copy() for layer in aged.layers]
    aged.age(dt="1 h")
    for layer, before in zip(aged.layers, fresh):
        np.testing.assert_allclose(layer.effective_weights, before * (1 + 3600 / 10) ** -0.05, rtol=1e-6, atol=1e-9)
    report = aged.evaluate(images, np.zeros(3, int))
    assert "1 h" in report.past and report.layers[0].weights_kept == pytest.approx((1 + 3600 / 10) ** -0.05, rel=1e-6)


def test_images_read_arrays_as_often_as_layers_have_positions(network, images, sar):
    def cells(images, **past):
        mapped = map_ann(network, sar.replace(device__read_disturb="power-law"))
        if past:
            mapped.age(images=images, **past)
        return [np.stack([tile.die.conductance for tile in layer.tiles]) for layer in mapped.layers], mapped

    found, mapped = cells(images, n_inferences=1e6)
    for k, layer in enumerate(mapped.layers):
        expected = cells(images, n_reads=1e6 * layer.layer.n_positions)[0][k]
        np.testing.assert_allclose(found[k], expected, rtol=1e-12)
    fresh, silent = cells(images)[0], cells(0 * images, n_inferences=1e6)[0]
    np.testing.assert_array_equal(silent[0], fresh[0])  # what is not driven is not stressed
    assert (found[0] != fresh[0]).any()


def test_the_shipped_ann_keeps_its_accuracy_on_the_chip_of_the_paper(digits):
    images, labels = digits
    report = map_ann(mp.load_ann("mnist-ann"), mp.load_chip("paper-ann")).evaluate(images, labels)
    assert report.accuracy >= report.ideal_accuracy - 0.02 and report.ideal_accuracy > 0.97


@pytest.mark.parametrize("inputs", ["dac", "bit-serial"])
def test_reads_age_the_arrays_of_a_conventional_network_too(network, images, sar, inputs):
    """With a tolerance that nothing reaches it is as without; otherwise weights fade, and come back afterwards."""
    law = {
        "device__read_disturb": xb.PowerLawDisturb(t0=1e-9, c=0.03),
        "readout__full_scale": "worst-case",
        "device__on_off_ratio": 10.0,
    }
    chip = sar.replace(**law)
    mapped, labels = mp.map_ann(network, chip, inputs=inputs, dtype=torch.float64), np.zeros(3, int)
    before = [tile.die.conductance for layer in mapped.layers for tile in layer.tiles]
    plain, never, always = (mapped.evaluate(images, labels, refresh=how, batch_size=1) for how in (None, 1e9, 0.0))
    assert never.energy_per_inference == pytest.approx(plain.energy_per_inference, rel=1e-12) and never.refreshes == 0
    assert np.array_equal(never.correct, plain.correct) and never.spike_rate == plain.spike_rate
    assert always.refreshes > 0 and always.layers[0].energies["array"] < plain.layers[0].energies["array"]
    after = [tile.die.conductance for layer in mapped.layers for tile in layer.tiles]
    assert all(np.array_equal(a, b) for a, b in zip(before, after))
    with pytest.raises(xb.ParameterError, match="engine = 'events', but layer 1 needs 'dense': it does not spike"):
        mapped.evaluate(images, labels, engine="events")
    with pytest.raises(xb.ParameterError, match="mapped is of type Rectifiers; give a spiking network on a chip"):
        mp.trace(mapped, images)
