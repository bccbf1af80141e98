"""Networks of ReLU neurons: whole numbers against loops and the quantized forward pass, files, specs."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load, save_file

import mapping as mp
import xbarsim as xb
from mapping.inputs.resources import data_folder
from mapping.networks.ann import Ann, rounded
from mapping.networks.ann_spec import mobile_ann, paper_ann, vgg_ann
from mapping.networks.store import list_anns, load_ann, save_ann
from tests.builders.anns import ODD, SMALL, as_trained, assert_matches_forward
from tests.oracles.naive_networks import naive_integers


@pytest.mark.parametrize("bits", [(8, 8), (2, 1), (4, 3)], ids=str)
def test_whole_numbers_match_loops(bits):
    network = as_trained(ODD.replace(weight_bits=bits[0], activation_bits=bits[1]))
    images = np.random.default_rng(2).uniform(0, 1, (3, 2, 16, 6))
    levels = network.levels(images)
    ours = network.integers(images)
    for k in range(len(images)):
        for mine, expected in zip(ours, naive_integers(network, levels[k])):
            assert mine[k].shape == expected.shape
            np.testing.assert_allclose(mine[k], expected, rtol=1e-12, atol=0)
    assert all(len(np.unique(y)) > 1 for y in ours)
    np.testing.assert_array_equal(network.predict(images, batch_size=2), ours[-1].reshape(3, -1).argmax(1))


def test_shipped_network_matches_loops(digits):
    network = load_ann("mnist-ann")
    images = digits[0][:1]
    for mine, expected in zip(network.integers(images), naive_integers(network, images)):
        np.testing.assert_allclose(mine[0], expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("bits", [(8, 8), (2, 1), (4, 3)], ids=str)
def test_whole_numbers_are_those_of_the_quantized_forward_pass(bits):
    network = as_trained(ODD.replace(weight_bits=bits[0], activation_bits=bits[1]))
    assert_matches_forward(network, np.random.default_rng(3).uniform(0, 1, (20, 2, 16, 6)))


def test_whole_numbers_of_the_shipped_network_are_those_of_its_forward_pass(digits):
    assert_matches_forward(load_ann("mnist-ann"), digits[0])


def test_integer_layers_hold_what_their_bits_allow():
    for bits in (2, 5, 8):
        for layer in as_trained(ODD.replace(weight_bits=bits)).integer_layers():
            assert layer.weights.dtype == np.int8 and np.abs(layer.weights).max() == 2 ** (bits - 1) - 1
            assert layer.weights.shape == (layer.spec.out, layer.rows[0].in_shape[0] * layer.spec.kernel**2)
            assert layer.activation.gain.shape == layer.activation.offset.shape == (layer.spec.out,)


def test_images_become_levels():
    network = Ann(SMALL.replace(activation_bits=2))
    images = np.array([0, 42, 43, 127, 128, 212, 213, 255] * 2, np.uint8).reshape(1, 4, 4)
    expected = [0, 0, 1, 1, 2, 2, 3, 3] * 2
    np.testing.assert_array_equal(network.levels(images).ravel(), expected)
    np.testing.assert_array_equal(network.levels(images / 255).ravel(), expected)
    every = np.arange(256, dtype=np.uint8).reshape(16, 4, 4)
    np.testing.assert_array_equal(Ann(SMALL).levels(every).ravel(), np.arange(256))


def test_gradients_pass_rounding_and_reach_the_clip_level():
    x = torch.tensor([0.4, 1.5, -2.7], requires_grad=True)
    y = rounded(x)
    assert y.tolist() == [0, 2, -3]
    y.backward(torch.tensor([1.0, 2.0, 3.0]))
    assert x.grad.tolist() == [1, 2, 3]
    layer = as_trained(SMALL).layers[0]
    layer(torch.full((1, 1, 4, 4), 1e3)).sum().backward()  # far above or below: the clip level or 0
    n_clipped = int((layer(torch.full((1, 1, 4, 4), 1e3)) > 0).sum())
    assert n_clipped and layer.log_clip.grad.item() == pytest.approx(n_clipped * layer.log_clip.exp().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "spec", "epochs", "least"),
    [
        ("mnist-ann", paper_ann(), 12, 0.992),
        pytest.param("fashion-mnist-vgg-ann", vgg_ann(), 16, 0.91, marks=pytest.mark.slow),
        pytest.param("fashion-mnist-mobile-ann", mobile_ann(), 20, 0.885, marks=pytest.mark.slow),
    ],
)
def test_shipped_networks_are_as_accurate_as_their_metadata_says(name, spec, epochs, least):
    network = load_ann(name)
    assert name in list_anns() and network.spec == spec
    record = network.metadata
    assert record["test_accuracy"] >= least and (record["seed"], record["epochs"]) == (0, epochs)
    images, labels = mp.load_dataset(record["dataset"])
    assert np.mean(network.predict(images) == labels) == record["test_accuracy"]


def test_stored_network_is_the_same_network(tmp_path):
    path = tmp_path / "net.safetensors"
    for spec in (ODD, ODD.replace(weight_bits=3)):
        network = as_trained(spec)
        network.metadata = {"seed": 3}
        save_ann(network, path)
        assert load(path.read_bytes())["layers.0.weight"].dtype == torch.int8
        loaded = load_ann(path)
        path.write_bytes(b"")  # a mapped file would be gone now
        assert loaded.metadata == {"seed": 3} and loaded.spec == spec
        for mine, theirs in zip(network.integer_layers(), loaded.integer_layers()):
            assert mine.spec == theirs.spec and mine.activation.step == theirs.activation.step
            np.testing.assert_array_equal(mine.weights, theirs.weights)
            for name in ("gain", "offset"):
                np.testing.assert_array_equal(getattr(mine.activation, name), getattr(theirs.activation, name))
    nothing = Ann(SMALL)
    torch.nn.init.zeros_(nothing.layers[0].weight)
    save_ann(nothing, path)
    assert not load_ann(path).integer_layers()[0].weights.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("layers.1.weight"), "tensor 'layers.1.weight' is missing"),
        (lambda t: t.pop("layers.0.largest"), "tensor 'layers.0.largest' is missing"),
        (lambda t: t.pop("layers.0.log_clip"), "tensor 'layers.0.log_clip' is missing"),
        (lambda t: t.update({"layers.1.weight": t["layers.1.weight"][:1]}), r"shape \(1, 24, 1, 1\), not \(2, 24, 1"),
        (
            lambda t: t["layers.0.weight"].fill_(-128),
            r"layer 1 \(conv, 6 outputs\), tensor .* holds other than",
        ),
        (lambda t: t["layers.0.weight"].clamp_(-5, 5), "int8 from -127 to 127, of which"),
        (lambda t: t.update({"layers.0.weight": t["layers.0.weight"].float()}), "holds other than int8"),
        (lambda t: t["layers.0.norm.bias"].fill_(float("nan")), "'layers.0.norm.bias' holds values that are not"),
        (
            lambda t: t["layers.0.norm.running_var"].fill_(-1),
            "norm.running_var' holds values that are below 0",
        ),
        (lambda t: t.update({"extra": torch.zeros(1)}), "tensor 'extra' belongs to no layer"),
    ],
)
def test_damaged_networks_are_refused(tmp_path, change, message):
    path = tmp_path / "net.safetensors"
    save_ann(as_trained(SMALL), path)
    tensors = load(path.read_bytes())
    change(tensors)
    save_file(tensors, path, metadata={"spec": SMALL.model_dump_json()})
    with pytest.raises(xb.FileError, match=message):
        load_ann(path)


def test_files_that_hold_no_network(tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(xb.ParameterError, match="network 'minst' is unknown; give one of .*mnist-ann, or"):
        load_ann("minst")
    with pytest.raises(xb.FileError, match="no such file; give one of"):
        load_ann(path)
    with pytest.raises(xb.FileError, match="cannot be written"):
        save_ann(as_trained(SMALL), tmp_path / "nowhere" / "net.safetensors")
    whole = (data_folder() / "ann" / "mnist_ann.safetensors").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(xb.FileError, match="cannot be read as safetensors"):
        load_ann(path)
    save_file({}, path)
    with pytest.raises(xb.FileError, match="carries no 'spec'"):
        load_ann(path)
    for spec in ("{", json.dumps(SMALL.model_dump(mode="json") | {"weight_bits": 9})):
        save_file({}, path, metadata={"spec": spec})
        with pytest.raises(xb.FileError, match="its specification is not valid"):
            load_ann(path)


def test_bad_specs():
    conv, dense = {"kind": "conv", "out": 2, "kernel": 3}, {"kind": "dense", "out": 2}
    for changes, message in (
        ({"weight_bits": 1}, "AnnSpec.weight_bits = 1"),
        ({"weight_bits": 9}, "AnnSpec.weight_bits = 9"),
        ({"activation_bits": 0}, "AnnSpec.activation_bits = 0"),
        ({"activation_bits": 9}, "AnnSpec.activation_bits = 9"),
        ({"layers": []}, "AnnSpec.layers"),
        ({"input_shape": (1, 0, 4)}, r"AnnSpec.input_shape = \(1, 0, 4\)"),
        ({"layers": [dense, conv]}, "layer 2: a convolution follows a dense layer"),
        ({"layers": [conv | {"pool": 5}]}, "layer 1: pool = 5 is larger than the 4x4 input"),
        ({"layers": [dense | {"weights": "binary"}]}, "layer 1 has weights = 'binary', which an Ann cannot"),
        ({"layers": [conv, dense | {"neuron": {"beta": 0.5}}]}, "layer 2 has neuron = "),
        ({"layers": [conv | {"pool_by": "maximum"}]}, "layer 1 has pool_by = 'maximum'"),
        ({"beta": 0.9}, "AnnSpec.beta is not a field"),
    ):
        with pytest.raises(xb.ParameterError, match=message):
            SMALL.replace(**changes)


def test_the_papers_layers():
    spec = paper_ann(weight_bits=4)
    assert spec.weight_bits == 4 and spec.layers == mp.paper_network().layers
    assert [out for _, out in spec.shapes()] == [(16, 14, 14), (64, 7, 7), (10, 1, 1)]
    assert spec.macs == 16 * 25 * 28**2 + 64 * 16 * 25 * 14**2 + 10 * 64 * 7**2
    assert (spec.top_weight, spec.top_activation) == (7, 255)


def test_the_wide_and_the_compact_network():
    wide, compact = vgg_ann(), mobile_ann(weight_bits=5)
    sizes = [sum(layer.weight.numel() for layer in Ann(spec).layers) for spec in (wide, compact)]
    assert sizes == [218256, 8448] and wide.layers[4].out * 32 * 7**2 > 0.9 * sizes[0]
    assert compact.weight_bits == 5 and compact.shapes()[-1][1] == wide.shapes()[-1][1] == (10, 1, 1)
    pointwise = 14**2 * (16 * 32 + 32 * 64) + 7**2 * (64 * 64 + 64 * 10)
    assert compact.macs == 28**2 * 16 * 9 + 14**2 * 9 * (16 + 32) + 7**2 * 9 * 64 + pointwise


def test_bad_batches():
    with pytest.raises(xb.ParameterError, match="n > 0"):
        Ann(SMALL).predict(np.zeros((0, 4, 4)))
    with pytest.raises(xb.ParameterError, match="in batches of 0"):
        Ann(SMALL).predict(np.zeros((1, 4, 4)), batch_size=0)
