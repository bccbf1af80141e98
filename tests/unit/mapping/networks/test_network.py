"""The software network: against equations 1 and 2 in plain NumPy, its gradients, its training, its files."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load, save_file

import mapping as mp
import xbarsim as xb
from mapping.inputs.resources import data_folder
from mapping.networks.encode import encode
from mapping.networks.network import Network
from tests.builders.tasks import SMALL
from tests.oracles.naive_networks import rebuilt, run_network


def assert_matches_naive(network, images):
    spikes = network.spikes(images)
    scale = 255 if images.dtype == np.uint8 else 1
    for k, image in enumerate(images.reshape(-1, *network.spec.input_shape)):
        for ours, (expected, membranes) in zip(spikes, run_network(network, image / scale)):
            differs = (ours[:, k] != expected).any(0)
            gap = np.abs(membranes / network.spec.threshold - 1).min(0)
            assert not differs.any() or gap[differs].max() < 1e-6
    assert spikes[-1].sum() > 0


@pytest.mark.compiled
def test_mnist_network_matches_naive_numpy(digits):
    assert_matches_naive(mp.load_network("mnist-bsnn").double(), digits[0][:12])


@pytest.mark.parametrize("clip", [False, True])
def test_tiny_network_matches_naive_numpy(tiny, clip):
    network, images = tiny
    assert_matches_naive(rebuilt(network, clip=clip), images)


SHIPPED = {  # name: weights, the paper's accuracy (table 3) to its first decimal, rounded down
    "mnist-snn": ("float", 0.992),
    "mnist-bsnn": ("binary", 0.989),
    "fashion-mnist-snn": ("float", 0.910),
    "fashion-mnist-bsnn": ("binary", 0.879),
}


@pytest.mark.compiled
@pytest.mark.parametrize(
    "name", ["mnist-bsnn", *(pytest.param(x, marks=pytest.mark.slow) for x in SHIPPED if x != "mnist-bsnn")]
)
def test_shipped_network_is_as_accurate_as_its_metadata_says(name):
    network, recipe = mp.load_network(name), mp.load_recipe(name)
    weights, least = SHIPPED[name]
    assert network.spec == recipe.network and network.spec.weights == weights
    record = network.metadata
    assert record["test_accuracy"] >= least and record["dataset"] == recipe.dataset
    assert {field: record[field] for field in type(recipe.training).model_fields} == recipe.training.model_dump()
    images, labels = mp.load_dataset(recipe.dataset)
    right = np.count_nonzero(network.predict(images) == labels)
    assert abs(right - 10_000 * record["test_accuracy"]) <= 5  # sums are rounded differently on other machines


def test_stored_network_is_the_same_network(tiny, tmp_path):
    network, images = tiny
    network.metadata = {"seed": 3}
    mp.save_network(network, tmp_path / "net.safetensors")
    assert load((tmp_path / "net.safetensors").read_bytes())["layers.0.weight"].dtype == torch.int8
    loaded = mp.load_network(tmp_path / "net.safetensors")
    assert loaded.metadata == {"seed": 3} and loaded.spec == network.spec
    for ours, theirs in zip(network.float().spikes(images), loaded.spikes(images)):
        np.testing.assert_array_equal(ours, theirs)


def test_a_loaded_network_can_be_stored_in_its_own_file(tmp_path):
    network, path = mp.load_network("mnist-snn"), tmp_path / "net.safetensors"
    mp.save_network(network, path)
    loaded = mp.load_network(path)
    path.write_bytes(b"")  # a mapped file would be gone now
    mp.save_network(loaded, path)
    for name, value in mp.load_network(path).state_dict().items():
        assert torch.equal(value, network.state_dict()[name])


def damaged(tmp_path, change, spec=None):
    path = tmp_path / "net.safetensors"
    network = Network(SMALL)
    mp.save_network(network, path)
    tensors = load(path.read_bytes())
    change(tensors)
    save_file(tensors, path, metadata={"spec": spec or SMALL.model_dump_json()})
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("layers.1.weight"), "tensor 'layers.1.weight' is missing"),
        (lambda t: t.update({"layers.1.weight": t["layers.1.weight"][:1]}), r"shape \(1, 24, 1, 1\), not \(2, 24, 1"),
        (
            lambda t: t["layers.0.weight"].fill_(3),
            r"layer 1 \(conv, 6 outputs\), tensor 'layers.0.weight' holds values other than -1 and",
        ),
        (lambda t: t["layers.0.norm.bias"].fill_(float("nan")), "'layers.0.norm.bias' holds values that are not"),
        (lambda t: t.update({"extra": torch.zeros(1)}), "tensor 'extra' belongs to no layer"),
    ],
)
def test_damaged_networks_are_refused(tmp_path, change, message):
    with pytest.raises(xb.FileError, match=message):
        mp.load_network(damaged(tmp_path, change))


def test_networks_that_do_not_chain_are_refused(tmp_path):
    spec = json.loads(SMALL.model_dump_json())
    spec["layers"][0]["pool"] = 5
    with pytest.raises(xb.FileError, match="layer 1: pool = 5 is larger than the 4x4 input"):
        mp.load_network(damaged(tmp_path, lambda t: None, json.dumps(spec)))
    with pytest.raises(xb.ParameterError, match="a convolution follows a dense layer"):
        mp.NetworkSpec(**(spec | {"layers": [{"kind": "dense", "out": 4}, {"kind": "conv", "out": 2, "kernel": 3}]}))


def test_missing_and_truncated_network_files(tmp_path):
    with pytest.raises(xb.ParameterError, match="network 'minst' is unknown; give one of fashion-mnist-bsnn"):
        mp.load_network("minst")
    with pytest.raises(xb.FileError, match="no such file; give one of"):
        mp.load_network(tmp_path / "none.safetensors")
    whole = (data_folder() / "mnist_bsnn.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(xb.FileError, match=r"cut\.safetensors: cannot be read as safetensors"):
        mp.load_network(tmp_path / "cut.safetensors")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 5, 5), np.uint8), r"shape \(2, 1, 5, 5\); the network takes \(n, 1, 4, 4\)"),
        (np.zeros((0, 4, 4), np.uint8), "n > 0"),
        (np.zeros((2, 4, 4), np.int32), "type int32"),
        (np.full((2, 4, 4), np.nan), "not finite"),
        (np.full((2, 4, 4), 2.0), "outside"),
        (np.zeros((2, 3, 1, 4, 4)), "3 time steps; the network runs 5"),
        (np.full((2, 5, 1, 4, 4), 0.5), "other than 0 and 1"),
    ],
)
def test_bad_images(images, message):
    with pytest.raises(xb.ParameterError, match=message):
        encode(images, SMALL)


def test_prediction_counts_spikes_in_any_batch(tiny):
    network, images = tiny
    counts = network.spikes(images)[-1].sum(0).reshape(len(images), -1)
    np.testing.assert_array_equal(network.predict(images, batch_size=2), counts.argmax(1))
