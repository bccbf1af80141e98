"""Event-driven inference against the tensor path, and what else it is made of: threads, ageing."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import mapping as mp
import xbarsim as xb
from mapping.chip import ageing
from mapping.chip.periphery.neuron_circuit import DigitalNeuron
from mapping.cost.timing import layer_timing
from mapping.kernels.taps import deliver
from mapping.networks import event_tables as tables
from mapping.networks.network import Network
from tests.builders.layers import forward
from xbarsim.threads import in_threads

WIRES = xb.Wires(r_wordline=100, r_bitline=100, r_driver=500, r_sense=200)
DIGITAL = DigitalNeuron(energy_per_add=1e-13, energy_per_update=3.3e-12)
TIE = 1e-6  # of a threshold: nearer to it than this, rounding decides whether a neuron fires


def converter(**values):
    adc = {"n_bits": 5, "f_sample": 40e6, "power": 40e-6, "columns_per_adc": 2, "full_scale": 25e-6}
    return {"readout": mp.SarAdc(**adc | values), "neuron": DIGITAL}


CHIPS = {
    "charge": {},
    "reference": {"weights": "reference", "cols": 7},
    "sharing": {"merge": "charge-sharing"},
    "read noise": {"device__read_noise": 0.1},
    "comparators": {"readout__noise": 0.02, "readout__offset": 0.02, "neuron__leak_spread": 0.3},
    "hard limit": {"limiter": mp.CurrentLimit(i_max=8e-6)},
    "smooth limit, reference": {
        "limiter": mp.CurrentLimit(i_max=8e-6, kind="smooth"),
        "weights": "reference",
        "cols": 7,
        "device__read_noise": 0.1,
    },
    "trimmed": {"calibration": mp.Calibration(gain_bits=6, threshold_bits=6)},
    "passive": {"neuron": mp.PassiveNeuron(capacitance=2e-12, energy_per_sample=1e-15, energy_per_spike=1e-15)},
    "bitlines": converter(),
    "bitlines, reference": converter() | {"weights": "reference", "cols": 7},
    "bitlines, imperfect": converter(offset=0.02, mismatch=0.05, noise=0.02) | {"device__read_noise": 0.1},
    "bitlines, limited": converter() | {"limiter": mp.CurrentLimit(i_max=8e-6)},
    "differences": converter(sense="difference") | {"device__read_noise": 0.1},
    "differences, mismatch": converter(sense="difference", mismatch=0.05),
    "read once": converter(noise=0.02) | {"constant_input": "once"},
}


def build(chip, network, name="charge", **values):
    made = chip.replace(wires=WIRES, device__d2d=0.1, **CHIPS[name])
    return mp.map_network(network, made, seed=2, dtype=torch.float64, **values)


def without_ties(mapped, images):
    """Return which images have no membrane within a tie of its threshold, in any layer, as tensors have them."""
    x, analog = mapped.inference.codec.encoded(images, 0)
    clear = np.ones(len(images), bool)
    for layer in mapped.layers:
        level = layer.neurons.parameters()[2]
        x, membrane, _ = forward(layer, x, analog)
        apart = np.abs(membrane.numpy() / level - 1)
        sure = (apart > TIE) | (layer.neurons.spec.clip & (apart == 0))  # a clip puts them there exactly
        clear &= sure.reshape(len(x), len(images), -1).all((0, 2))
        analog = False
    return clear


def assert_agree(mapped, images):
    """Spike for spike outside of ties, and the same charges if there are none."""
    clear = without_ties(mapped, images)
    assert clear.mean() > 0.5
    for a, b in zip(mapped.spikes(images, engine="events"), mapped.spikes(images, engine="dense")):
        np.testing.assert_array_equal(a[:, clear], b[:, clear])
    if not clear.all():
        return
    (classes, charges), (expected, costs) = (
        mapped.inference.classify(images, engine=engine) for engine in ("events", "dense")
    )
    np.testing.assert_array_equal(classes, expected)
    for charge, cost in zip(charges, costs):
        assert vars(charge) == pytest.approx(vars(cost), rel=1e-9, abs=0)
    assert sum(cost.spikes for cost in costs) > 0


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("encoding", ["direct", "rate"])
def test_events_and_tensors_agree_on_every_read_out(tiny, chip, name, encoding):
    network, images = tiny
    network = Network(network.spec.replace(encoding=encoding))
    network.load_state_dict(tiny[0].state_dict())
    assert_agree(build(chip, network.double().eval(), name), images)


NEURONS = [
    {"reset_mechanism": reset, "reset_delay": delay, "fire": fire}
    for reset, delay, fire in product(("subtract", "zero", "none"), (True, False, "snntorch"), (">=", ">"))
] + [{"clip": True}, {"winner_take_all": True}, {"inhibition": 0.3}]
NEURONS += [{"reset_delay": delay, "winner_take_all": True, "inhibition": 0.3} for delay in (False, "snntorch")]


@pytest.mark.parametrize("values", NEURONS, ids=str)
def test_events_and_tensors_agree_on_every_neuron(tiny, chip, values):
    network = Network(tiny[0].spec.replace(**values))
    network.load_state_dict(tiny[0].state_dict())
    assert_agree(build(chip, network.double().eval(), "comparators"), tiny[1])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    pool=st.integers(1, 3),
    size=st.tuples(st.integers(4, 9), st.integers(4, 9)),
    name=st.sampled_from(["charge", "bitlines", "read noise"]),
)
def test_events_and_tensors_agree_on_every_geometry(kernel, stride, padding, pool, size, name):
    layer = mp.LayerSpec(kind="conv", out=3, kernel=kernel, stride=stride, padding=padding, pool=pool)
    rows, cols = layer.read_positions((2, *size))
    assume(min(rows, cols) >= 1 and rows % pool == 0 and cols % pool == 0)
    layers = [layer, mp.LayerSpec(kind="conv", out=2, kernel=1), mp.LayerSpec(kind="dense", out=3)]
    torch.manual_seed(1)
    spec = mp.NetworkSpec(input_shape=(2, *size), layers=layers, beta=0.8, threshold=0.5, t_steps=4)
    network = Network(spec).double().eval()
    chip = mp.load_chip("paper-bsnn").replace(rows=8, cols=6)
    images = np.random.default_rng(0).uniform(0, 1, (3, 2, *size)).round(1)
    mapped = build(chip, network, name)
    assume(mapped.spikes(images, engine="dense")[0].any())
    assert_agree(mapped, images)
    assert (network.predict(images, engine="events") == network.predict(images, engine="dense")).all()


@pytest.mark.parametrize("name", ["charge", "bitlines"])
def test_images_of_black_and_white_are_driven_by_dacs_all_the_same(tiny, chip, name):
    network, images = tiny
    images = images.round()
    assert set(images.ravel()) == {0, 1}
    mapped = build(chip, network, name)
    assert_agree(mapped, images)
    report = mapped.evaluate(images, np.zeros(7, int))
    gray = mapped.evaluate(images * (254 / 255), np.zeros(7, int))
    assert report.layers[0].energies["driver"] == pytest.approx(gray.layers[0].energies["driver"], rel=1e-9, abs=0)
    aged = mapped.evaluate(images, np.zeros(7, int), ageing_by="batch", batch_size=4)  # nothing ages without refresh
    assert aged == report


@pytest.mark.parametrize("name", ["charge", "bitlines"])
def test_images_of_several_channels_into_a_dense_layer(chip, name):
    layers = [mp.LayerSpec(kind="dense", out=5), mp.LayerSpec(kind="dense", out=3)]
    torch.manual_seed(2)
    spec = mp.NetworkSpec(input_shape=(2, 3, 4), layers=layers, beta=0.8, threshold=1.0, t_steps=5)
    network, images = Network(spec).double().eval(), np.random.default_rng(1).uniform(0, 1, (9, 2, 3, 4))
    assert_agree(build(chip, network, name), images)
    classes = [network.predict(images, engine=engine) for engine in ("events", "dense")]
    np.testing.assert_array_equal(*classes)
    assert len(set(classes[0])) > 1


def test_in_a_tie_rounding_decides_and_outside_of_it_nothing_else(tiny, chip):
    """Without wires and spread membranes are sums of whole numbers: exactly at a threshold both ways fire."""
    layers = [mp.LayerSpec(kind="dense", out=16)]
    network = Network(mp.NetworkSpec(input_shape=(8, 1, 1), layers=layers, beta=0.0, threshold=2.0, t_steps=1))
    spikes = np.array(list(product((0.0, 1.0), repeat=8)))[:, None, :, None, None]
    ideal = chip.replace(wires=xb.Wires(r_wordline=0, r_bitline=0, r_driver=0, r_sense=0), device__on_off_ratio=1e9)
    mapped = mp.map_network(network, ideal)
    at = (network.layers[0].effective_weight().detach().numpy()[..., 0, 0] @ spikes[:, 0, :, 0, 0].T == 2.0).T
    assert at.any()
    for engine in ("events", "dense"):
        found = mapped.spikes(spikes, engine=engine)[0][0, :, :, 0, 0]
        exact = network.spikes(spikes)[0][0, :, :, 0, 0]
        np.testing.assert_array_equal(found[~at], exact[~at])
    assert exact[at].all()


@pytest.mark.compiled
def test_single_precision_agrees_outside_of_ties(digits):
    """On the shipped network, a threshold being 6.4 to 60 units of weight: few images have a tie, none flips else."""
    chip = mp.load_chip("paper-bsnn").replace(device__d2d=0.1)
    mapped = mp.map_network(mp.load_network("mnist-bsnn"), chip)
    images = digits[0][:30]
    clear = without_ties(mapped, images)
    assert clear.sum() > 15
    for a, b in zip(mapped.spikes(images, engine="events"), mapped.spikes(images, engine="dense")):
        np.testing.assert_array_equal(a[:, clear], b[:, clear])


@pytest.mark.parametrize("stride, padding", [(1, 1), (2, 0), (2, 2), (3, 1)])
def test_power_is_the_sum_over_reads(stride, padding):
    """What drivers deliver, input by input, against s^t H s and supply.s of every read, one after the other."""
    rng = np.random.default_rng(4)
    spec, shape = mp.LayerSpec(kind="conv", out=2, kernel=3, stride=stride, padding=padding), (3, 7, 6)
    rows = [slice(0, 10), slice(10, 20), slice(20, 27)]
    h = rng.uniform(-1, 1, (3, 10, 10))
    h, supply = h + h.swapaxes(1, 2), rng.uniform(0, 1, 27)
    image = rng.uniform(0, 1, shape) * (rng.uniform(0, 1, shape) < 0.4)
    expected = np.zeros(3)
    padded = np.pad(image, ((0, 0), (padding,) * 2, (padding,) * 2))
    positions = spec.read_positions(shape)
    for row, col in product(*map(range, positions)):
        s = padded[:, row * stride : row * stride + 3, col * stride : col * stride + 3].ravel()
        for part, block in zip(rows, h):
            n = part.stop - part.start
            expected[0] += s[part] @ block[:n, :n] @ s[part]
        expected += 0, supply @ s, np.count_nonzero(s)
    power = tables.power(spec, shape, rows, h, supply, np.dtype(float))
    sums, field = np.zeros(3), np.zeros(power.groups.bounds[:, 1].sum() * 7 * 6)
    for y, x, channel in np.argwhere(image.transpose(1, 2, 0)):
        deliver(power, channel, y, x, image[channel, y, x], field, sums)
    np.testing.assert_allclose(sums, expected, rtol=1e-12)


def test_what_only_tensors_run_is_told(tiny, chip):
    network, images = tiny
    for values in ({"inactive": "open"}, {"merge": "majority"}):
        mapped = mp.map_network(network, chip.replace(**values))
        assert mapped.inference.engine().name == "dense"
        with pytest.raises(xb.ParameterError, match="engine = 'events', but layer 1 needs 'dense'"):
            mapped.evaluate(images, np.zeros(7, int), engine="events")
    with pytest.raises(xb.ParameterError, match="engine = 'fast'"):
        mapped.evaluate(images, np.zeros(7, int), engine="fast")
    labels = np.zeros(7, int)
    mapped = mp.map_network(network, chip.replace(device__read_disturb=xb.PowerLawDisturb()))
    with pytest.raises(xb.ParameterError, match="Evaluation.ageing_by = 'image': input should be 'step' or 'batch'"):
        mapped.evaluate(images, labels, refresh=0.1, ageing_by="image")
    for engine, by in (("events", "step"), ("dense", "batch")):
        with pytest.raises(xb.ParameterError, match=f"engine = '{engine}': ageing by {by} needs"):
            mapped.evaluate(images, labels, refresh=0.1, ageing_by=by, engine=engine)
    with pytest.raises(xb.ParameterError, match="engine = 'fast'"):
        network.predict(images, engine="fast")


def test_the_ideal_network_chooses_by_spike_rate(tiny, monkeypatch):
    network, images = tiny
    calls = []
    monkeypatch.setattr(Network, "forward", lambda self, x: calls.append(len(x)) or Network_forward(self, x))
    dense = network.predict(images)  # of 40 %
    assert calls
    calls.clear()
    network.layers[0].threshold.fill_(20.0)
    network.predict(images)
    assert not calls and len(dense) == 7


Network_forward = Network.forward


def test_threads_keep_the_order_and_stop_at_an_error():
    assert list(in_threads(lambda k: k * k, range(20))) == [k * k for k in range(20)]
    done = []

    def fails(k):
        if k == 0:
            raise ValueError("no")
        done.append(k)

    with pytest.raises(ValueError, match="no"):
        list(in_threads(fails, range(5_000)))
    assert len(done) < 5_000


@pytest.mark.parametrize("encoding, name", [("direct", "charge"), ("rate", "charge"), ("direct", "read once")])
def test_ageing_by_batches_is_ageing_between_them(tiny, chip, encoding, name):
    """Each batch is classified by a chip on which the batches before were used, with the time that they took."""
    network, images = tiny
    network = Network(network.spec.replace(encoding=encoding))
    network.load_state_dict(tiny[0].state_dict())
    network = network.double().eval()
    images = images.round(1)
    values = {"device__read_disturb": xb.PowerLawDisturb(t0=1e-9, c=0.03)}
    chip = chip.replace(**values)
    mapped, by_hand = (build(chip, network, name) for _ in range(2))
    before = [tile.die.conductance for layer in mapped.layers for tile in layer.tiles]
    report = mapped.evaluate(images, np.zeros(7, int), refresh=0.0, ageing_by="batch", batch_size=3)
    after = [tile.die.conductance for layer in mapped.layers for tile in layer.tiles]
    assert all(np.array_equal(a, b) for a, b in zip(before, after))
    energy = 0.0
    for first in range(0, 7, 3):
        batch = images[first : first + 3]
        energy += sum(chip.t_on * cost.power for cost in by_hand.inference.classify(batch, first)[1])
        activities = [
            [a.times(times) for a, times in zip(rows, repeats)] for rows, repeats in activity(by_hand, batch, first)
        ]
        step = max(layer_timing(chip, layer.inventory, network.t_steps).busy for layer in by_hand.layers)
        for layer, rows in zip(by_hand.layers, activities):
            for row, seen in zip(layer.row_tiles, rows):
                for tile in row.tiles:
                    voltages = ageing.CellVoltages.of(tile, seen)
                    ageing.wear(tile, voltages, seen, 1.0, 300.0)
                    tile.die.advance(dt=len(batch) * step * network.t_steps)
            layer.refresh()
    assert sum(layer.energies["array"] for layer in report.layers) == pytest.approx(energy / 7, rel=1e-9)
    assert 2 * len(before) < report.refreshes <= 3 * len(before)  # some arrays see no spike in a batch


def activity(mapped, images, first):
    """Yield, for each layer, what its row tiles see in the reads of images, and how often each read happens."""
    x, analog = mapped.inference.codec.encoded(images, first)
    held = len(x) == 1 and mapped.chip.constant_input == "every-step"
    for k, sample in enumerate([x, *mapped.inference.outputs(images, first)[:-1]]):
        layer = mapped.layers[k]
        rows = layer.wordlines[0].activity(sample.reshape(-1, *layer.layer.rows[0].in_shape), analog and k == 0)
        yield rows, [mapped.network.t_steps if held and k == 0 else 1] * len(rows)
