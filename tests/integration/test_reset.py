"""How membranes are reset: by hand, as other frameworks and a published chip do, in every engine; what files mean."""

import json
import warnings
from math import floor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save_file

import mapping as mp
import xbarsim as xb
from mapping.networks.dynamics import lif
from mapping.networks.event_layers import list_inputs
from mapping.networks.ideal_layers import ideal_layers
from mapping.networks.spec import LayerSpec, NetworkSpec, NeuronSpec
from mapping.training.checkpoint import Run
from tests.oracles.naive_networks import run_network

GOLDEN = Path("../shared/data/snn-chip/golden.npz")

BY_HAND = {  # decay, when it is reset, inputs in tenths of a threshold of 10, spikes
    "2.5 thresholds fire twice": (1.0, False, [25, 0, 0, 0], [1, 1, 0, 0]),
    "4.2 thresholds fire four times": (1.0, False, [42, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]),
    "2.6, 1.28, 0.224, 0.18, 2.74, 1.69": (0.8, False, [26, 0, 0, 0, 26, 3], [1, 1, 0, 0, 1, 1]),
    "2.6, 0.28, 0.024, -0.18, 3.26, 1.10": (0.8, "snntorch", [26, 0, 0, 0, 26, 3], [1, 0, 0, 0, 1, 1]),
    "3.8, 1.4, 0.2": (0.5, False, [38, 0, 0], [1, 1, 0]),
    "3.8, 0.9, 0.45": (0.5, True, [38, 0, 0], [1, 0, 0]),
    "left at the threshold": (1.0, False, [20, 0, 0], [1, 1, 0]),
    "left at the threshold, snntorch": (1.0, "snntorch", [20, 0, 0], [1, 0, 0]),
}


def one_neuron(beta, delay, t_steps, threshold=10.0):
    """A neuron that adds up 42 inputs."""
    spec = NetworkSpec(
        input_shape=(42, 1, 1), layers=[LayerSpec(kind="dense", out=1)], beta=beta, threshold=threshold,
        reset_delay=delay, t_steps=t_steps,
    )  # fmt: skip
    network = mp.Network(spec).double().eval()
    network.layers[0].weight.data.fill_(1.0)
    return network


def by_events(network, images):
    """Spikes and membranes of every layer of the network in software, run by events."""
    x, states = list_inputs(np.moveaxis(images, 1, 0), False, np.dtype(float)), []
    for layer in ideal_layers(network.graph(), network.t_steps, np.dtype(float)):
        x, _, state = layer.run(x, dense=True)
        states.append(state)
    return states


def ideal_chip(**values):
    zero = xb.Wires(r_wordline=0, r_bitline=0, r_driver=0, r_sense=0)
    return mp.load_chip("paper-bsnn").replace(wires=zero, device__on_off_ratio=1e12, device__plausible=False, **values)


@pytest.mark.parametrize("name", BY_HAND)
def test_spikes_by_hand_in_every_engine(name):
    beta, delay, inputs, expected = BY_HAND[name]
    network = one_neuron(beta, delay, len(inputs))
    images = (np.arange(42) < np.array(inputs)[:, None]).astype(float)[None, :, :, None, None]
    assert network.spikes(images)[0].ravel().tolist() == expected
    assert by_events(network, images)[0][0].ravel().tolist() == expected
    if "threshold" not in name or "fire" in name:  # on arrays a tie is one within rounding only
        mapped = mp.map_network(network, ideal_chip(rows=42, cols=2), dtype=torch.float64)
        for engine in ("events", "dense"):
            assert mapped.spikes(images, engine=engine)[0].ravel().tolist() == expected


EIGHTHS = st.lists(st.integers(-16, 40).map(lambda k: k / 8), min_size=1, max_size=8)


def spikes_of(current, beta, theta=1.0, **values):
    spec = NeuronSpec(beta=beta, threshold=theta, **values)
    x = torch.tensor(current, dtype=torch.float64).reshape(-1, 1, 1, 1, 1)
    theta, beta = (torch.tensor(v, dtype=torch.float64) for v in (theta, beta))
    return lif(x, theta, beta, spec, len(current))[0].flatten().tolist()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(current=EIGHTHS, tau=st.sampled_from([2.0, 4.0, np.inf]), hard=st.booleans())
def test_reset_at_once_is_that_of_spikingjelly(current, tau, hard):
    """In numbers that add up without rounding, ties included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    common = {"v_threshold": 1.0, "v_reset": 0.0 if hard else None, "step_mode": "m"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = neuron.IFNode(**common) if tau == np.inf else neuron.LIFNode(tau=tau, decay_input=False, **common)
        expected = theirs(torch.tensor(current, dtype=torch.float64)[:, None]).flatten().tolist()
    reset = "zero" if hard else "subtract"
    assert spikes_of(current, 1 - 1 / tau, reset_mechanism=reset, reset_delay=False) == expected


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    current=EIGHTHS,
    beta=st.sampled_from([0.5, 0.75, 1.0]),
    delay=st.booleans(),
    reset=st.sampled_from(["subtract", "zero", "none"]),
)
def test_resets_of_snntorch_are_its_own(current, beta, delay, reset):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        snn = pytest.importorskip("snntorch")
    module = torch.nn.Sequential(
        torch.nn.Linear(1, 1, bias=False), snn.Leaky(beta=beta, reset_mechanism=reset, reset_delay=delay)
    )
    module[0].weight.data.fill_(1.0)
    neuron = mp.load_network(module, t_steps=len(current)).layers[0].neuron
    assert neuron.reset_delay is True if delay else neuron.reset_delay == "snntorch"
    membrane, expected = torch.zeros(1, 1), []
    with torch.no_grad():
        for now in current:
            spike, membrane = module[1](torch.full((1, 1), now), membrane)
            expected.append(spike.item())
    how = {"reset_mechanism": reset, "reset_delay": neuron.reset_delay, "fire": neuron.fire}
    assert spikes_of(current, beta, **how) == expected


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    current=st.lists(st.integers(0, 40).map(lambda k: k / 8), min_size=1, max_size=8), theta=st.sampled_from([1, 1.5])
)
def test_without_a_leak_every_threshold_of_input_is_one_spike(current, theta):
    """The spikes of Sinabs' integrate-and-fire in all, floor(U / theta), one in each step."""
    quiet = [0.0] * floor(sum(current) / theta)
    for delay in (False, True):
        assert sum(spikes_of(current + quiet, 1.0, theta, reset_delay=delay)) == floor(sum(current) / theta)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(current=EIGHTHS, beta=st.sampled_from([0.0, 0.5, 0.75, 1.0]), fire=st.sampled_from([">=", ">"]))
def test_where_the_ways_of_resetting_coincide(current, beta, fire):
    zeroed = [
        spikes_of(current, beta, reset_mechanism="zero", reset_delay=d, fire=fire) for d in (True, False, "snntorch")
    ]
    assert zeroed[0] == zeroed[1] == zeroed[2]
    without = [spikes_of(current, 1.0, reset_delay=delay, fire=fire) for delay in (True, False)]
    assert without[0] == without[1]


@pytest.mark.compiled
@pytest.mark.skipif(not GOLDEN.exists(), reason="needs shared/data/snn-chip/golden.npz")
@pytest.mark.parametrize("delay", [False, True])
def test_a_published_chip_gives_its_spikes(delay):
    """Kuan-Wei Hou's memristor SNN chip: integrate and fire, reset to zero at once, 8 steps, five layers."""
    golden = np.load(GOLDEN)
    layers = [LayerSpec(kind="conv", out=len(golden[f"layer{k}_weight"]), kernel=4, padding=0) for k in range(1, 6)]
    spec = NetworkSpec(
        input_shape=(16, 16, 16), layers=layers, weights="ternary", beta=1, threshold=8, t_steps=8,
        reset_mechanism="zero", reset_delay=delay,
    )  # fmt: skip
    network = mp.Network(spec).eval()
    for k, layer in enumerate(network.layers, start=1):
        layer.weight.data = torch.from_numpy(golden[f"layer{k}_weight"]).float()
        assert torch.equal(layer.effective_weight(), layer.weight)
    images = golden["layer1_in"][None]
    for k, (spikes, (found, _)) in enumerate(zip(network.spikes(images), by_events(network, images)), start=1):
        np.testing.assert_array_equal(spikes[:, 0], golden[f"layer{k}_out"])
        np.testing.assert_array_equal(found[:, 0], golden[f"layer{k}_out"])
    charge = mp.load_chip("paper-bsnn")
    none = {"on_off_ratio": 1e12, "plausible": False}
    ideal = charge.replace(
        wires=xb.Wires(r_wordline=0, r_bitline=0, r_driver=0, r_sense=0), readout__offset=0, readout__noise=0,
        **{f"device__{name}": value for name, value in none.items()},
    )  # fmt: skip
    for k, spikes in enumerate(mp.map_network(network, ideal).spikes(images), start=1):
        np.testing.assert_array_equal(spikes[:, 0], golden[f"layer{k}_out"])


LASTS = {
    "dense": [LayerSpec(kind="dense", out=6)],
    "positions": [LayerSpec(kind="conv", out=3, kernel=3)],
    "pooled": [LayerSpec(kind="conv", out=3, kernel=3), LayerSpec(kind="conv", out=3, kernel=1, pool=2)],
    "dense after positions": [LayerSpec(kind="conv", out=2, kernel=3), LayerSpec(kind="dense", out=5)],
}
THRESHOLDS = {"one": lambda c, h, w: (), "channel": lambda c, h, w: (c, 1, 1), "neuron": lambda c, h, w: (c, h, w)}


def classes_by_hand(network, images):
    """Classes in the order (channel, row, column), and which are so by more than rounding."""
    classes, sure = [], []
    for image in images:
        spikes, membranes = run_network(network, image)[-1]
        spikes = np.array(spikes)
        count, first = spikes.sum(0), np.where(spikes.any(0), spikes.argmax(0), len(spikes))
        score = {"count": count, "first-spike": count - 100.0 * first}.get(network.spec.decoder)
        if score is None:
            score = (membranes / network.layers[-1].threshold.numpy()).mean(0)
        flat = [score[place] for place in np.ndindex(score.shape)]
        ordered = sorted(flat)
        classes.append(flat.index(ordered[-1]))
        sure.append(network.spec.decoder != "membrane" or ordered[-1] - ordered[-2] > 1e-6)
    return np.array(classes), np.array(sure)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    last=st.sampled_from(sorted(LASTS)),
    decoder=st.sampled_from(["count", "first-spike", "membrane"]),
    shape=st.sampled_from(sorted(THRESHOLDS)),
    delay=st.sampled_from([True, False, "snntorch"]),
    beta=st.sampled_from([0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_all_engines_give_one_answer(last, decoder, shape, delay, beta, seed):
    """Inputs and weights are whole and decays a power of two: sums are exact, and meet no irrational threshold."""
    spec = NetworkSpec(
        input_shape=(2, 4, 2), layers=LASTS[last], beta=beta, threshold=1, t_steps=4, decoder=decoder, reset_delay=delay
    )
    torch.manual_seed(seed)
    rng, network = np.random.default_rng(seed), mp.Network(spec).double().eval()
    for layer, (_, out) in zip(network.layers, spec.shapes()):
        whole = np.asarray(rng.integers(0, 4, THRESHOLDS[shape](*out)), float)
        layer.threshold = torch.tensor(whole + np.sqrt(2) - 1)
    images = rng.integers(0, 2, (5, 2, 4, 2)).astype(float)
    assert spec.n_classes == np.prod(spec.shapes()[-1][1])
    expected, sure = classes_by_hand(network, images)
    mapped = mp.map_network(network, ideal_chip(rows=8, cols=6), dtype=torch.float64)
    for engine in ("events", "dense"):
        np.testing.assert_array_equal(network.predict(images, engine=engine)[sure], expected[sure])
        np.testing.assert_array_equal(mapped.inference.classify(images, engine=engine)[0][sure], expected[sure])
        for ours, theirs in zip(mapped.spikes(images, engine=engine), network.spikes(images)):
            np.testing.assert_array_equal(ours, theirs)


def test_labels_are_classes_of_all_positions():
    layers = [LayerSpec(kind="conv", out=3, kernel=3)]
    spec = NetworkSpec(input_shape=(1, 2, 2), layers=layers, beta=0.5, threshold=1, t_steps=2)
    images = np.zeros((4, 2, 2), np.uint8)
    once = mp.TrainingSettings(epochs=1, batch_size=4, n_validation=0)
    assert spec.n_classes == mp.AnnSpec(input_shape=(1, 2, 2), layers=layers).n_classes == 12
    mp.train(spec, images, np.array([0, 3, 7, 11]), once)
    for train, of in ((mp.train, spec), (mp.train_ann, mp.AnnSpec(input_shape=(1, 2, 2), layers=layers))):
        with pytest.raises(xb.ParameterError, match="labels go from 0 to 12"):
            train(of, images, np.array([0, 3, 7, 12]), once)


def test_files_of_earlier_versions_mean_what_they_did(tmp_path):
    path = tmp_path / "net.safetensors"
    network = one_neuron(0.8, "snntorch", 6)
    mp.save_network(network, path)
    assert mp.load_network(path).spec == network.spec
    spec = json.loads(network.spec.model_dump_json())
    spec["reset_delay"] = False
    spec["layers"][0]["neuron"] = {"reset_delay": False}
    tensors = load(path.read_bytes())
    save_file(tensors, path, metadata={"spec": json.dumps(spec), "training": "{}"})
    old = mp.load_network(path)
    assert old.spec.reset_delay == old.layers[0].neuron.reset_delay == "snntorch"
    save_file(tensors, path, metadata={"spec": json.dumps(spec), "format": "2"})
    assert mp.load_network(path).layers[0].neuron.reset_delay is False
    for number, message in (("3", "has format 3, of a later version"), ("two", "its specification is not valid")):
        save_file(tensors, path, metadata={"spec": json.dumps(spec), "format": number})
        with pytest.raises(xb.FileError, match=message):
            mp.load_network(path)


def test_a_learned_decay_of_an_earlier_version_is_clamped_as_it_was(tmp_path):
    network, path = one_neuron(0.8, True, 2), tmp_path / "net.safetensors"
    mp.save_network(mp.Network(network.spec.replace(learn_beta=True)), path)
    spec = mp.load_network(path).spec.model_dump_json()
    for beta, expected in ((1.03, 1.0), (-0.02, 0.0), (0.4, 0.4)):
        save_file(load(path.read_bytes()) | {"layers.0.beta": torch.tensor(beta)}, path, metadata={"spec": spec})
        assert float(mp.load_network(path).layers[0].beta.detach()) == pytest.approx(expected)
    for beta, metadata in ((-3.0, {}), (5e20, {}), (1.03, {"format": "2"})):
        tensors = load(path.read_bytes()) | {"layers.0.beta": torch.tensor(beta)}
        save_file(tensors, path, metadata={"spec": spec} | metadata)
        with pytest.raises(xb.FileError, match="tensor 'layers.0.beta' holds values that are not from 0 to 1"):
            mp.load_network(path)


def test_searches_of_earlier_versions_go_on_as_what_they_were(tmp_path):
    pytest.importorskip("optuna")
    from mapping.training.search import Search, _study

    recipe = mp.load_recipe("mnist-bsnn").changed(n_validation=1000)
    plans = [Search(recipe=recipe.changed(reset_delay=delay)) for delay in ("snntorch", False)]
    old = _study(tmp_path / "search.db", plans[0], 0)
    old.set_user_attr("plan", json.dumps(plans[1].model_dump(mode="json"), sort_keys=True))
    old.set_user_attr("format", 1)
    with pytest.raises(xb.FileError, match="holds a search with other settings"):
        _study(tmp_path / "search.db", plans[1], 0)
    assert _study(tmp_path / "search.db", plans[0], 0).user_attrs["format"] == 2


def test_a_run_of_an_earlier_version_goes_on_as_what_it_was(tmp_path):
    images, labels = np.zeros((8, 42, 1, 1), np.uint8), np.zeros(8, int)
    settings = mp.TrainingSettings(epochs=1, batch_size=4, n_validation=0)
    network = one_neuron(0.8, "snntorch", 2).float()
    mp.train(network.spec, images, labels, settings, checkpoint=tmp_path)
    file = tmp_path / "run.safetensors"
    run = Run(network, torch.optim.Adam(network.parameters()), settings, images, labels)
    identity = json.loads(json.dumps(run.identity))
    identity["spec"]["reset_delay"] = False
    epoch = {"validation_accuracy": None, "training_accuracy": 1.0, "loss": 0.0, "seconds": 0.0}
    record = {"identity": json.dumps(identity), "history": json.dumps([epoch])}
    save_file(load(file.read_bytes()), file, metadata=record)
    with run.stored_in(tmp_path):
        assert len(run.history) == 1
    with pytest.raises(xb.FileError, match="is a run with other settings or data"):
        mp.train(network.spec.replace(reset_delay=False), images, labels, settings, checkpoint=tmp_path)
