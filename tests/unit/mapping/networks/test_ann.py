"""Networks of ReLU neurons: whole numbers against loops and the quantized forward pass, training, files, specs."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load, save_file

import mapping as mp
import xbarsim as xb
from mapping.ann.network import Ann, rounded
from mapping.ann.spec import AnnSpec, mobile_ann, paper_ann, vgg_ann
from mapping.ann.store import list_anns, load_ann, save_ann
from mapping.ann.train import train_ann
from mapping.resources import data_folder
from tests.builders.tasks import small_task

SMALL = AnnSpec(
    input_shape=(1, 4, 4),
    layers=[mp.LayerSpec(kind="conv", out=6, kernel=3, pool=2, batch_norm=True), mp.LayerSpec(kind="dense", out=2)],
)
ODD = AnnSpec(  # stride, padding, bias, a pool whose area is no power of two, dense after dense
    input_shape=(2, 16, 6),
    layers=[
        mp.LayerSpec(kind="conv", out=4, kernel=3, pool=2, batch_norm=True),
        mp.LayerSpec(kind="conv", out=5, kernel=2, padding=1, bias=True),
        mp.LayerSpec(kind="conv", out=3, kernel=3, stride=2, padding=2, pool=3, bias=True, batch_norm=True),
        mp.LayerSpec(kind="dense", out=7, batch_norm=True),
        mp.LayerSpec(kind="dense", out=3, bias=True),
    ],
)
SETTINGS = mp.TrainingSettings(epochs=4, batch_size=20, learning_rate=0.02, n_validation=100, shift=1, seed=5)


def as_trained(spec, seed=1):
    """An Ann whose every parameter and average has moved, two scales of batch norm being negative."""
    torch.manual_seed(seed)
    network = Ann(spec)
    for layer in network.layers:
        if layer.bias is not None:
            torch.nn.init.normal_(layer.bias, std=0.2)
        if layer.norm is not None:
            for value, mean in ((layer.norm.weight, 1.0), (layer.norm.bias, 0.3), (layer.norm.running_mean, 0.1)):
                torch.nn.init.normal_(value, mean, 0.3)
            layer.norm.weight.data[0] *= -1
            torch.nn.init.uniform_(layer.norm.running_var, 0.05, 0.3)
        if layer.log_clip is not None:
            layer.log_clip.data += 0.3 * torch.randn(()) - 2
    return network.eval()


def naive_integers(network, image):
    """The definition in loops: image (c, h, w) in whole numbers; returns the outputs of every layer."""
    outputs, x, top = [], np.asarray(image, object), 2**network.spec.activation_bits - 1
    layers = network.integer_layers()
    for number, layer in enumerate(layers):
        x = x.reshape(layer.in_shape)
        channels, height, width = layer.in_shape
        spec, y = layer.spec, np.empty(layer.out_shape)
        pad = spec.kernel // 2 if spec.padding is None else spec.padding
        for out, row, col in np.ndindex(*layer.out_shape):
            total = 0
            for down, right in np.ndindex(spec.pool, spec.pool):
                top_row, left_col = ((p * spec.pool + q) * spec.stride - pad for p, q in ((row, down), (col, right)))
                for k, (c, i, j) in enumerate(np.ndindex(channels, spec.kernel, spec.kernel)):
                    if 0 <= top_row + i < height and 0 <= left_col + j < width:
                        total += int(layer.weights[out, k]) * int(x[c, top_row + i, left_col + j])
            y[out, row, col] = layer.gain[out] * (total / spec.pool**2) + layer.offset[out]
        x = y if number == len(layers) - 1 else np.clip(np.rint(y), 0, top).astype(int)
        outputs.append(x)
    return outputs


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


def assert_matches_forward(network, images):
    network = network.double()
    top = network.spec.top_activation
    whole, steps = network.integers(images), [1 / top] + [layer.step().item() for layer in network.layers]
    x = torch.from_numpy(network.levels(images))
    for layer, mine, step_in, step in zip(network.layers, whole, steps, steps[1:]):
        real = layer(x.double() * step_in).detach().numpy() / step
        np.testing.assert_allclose(real, mine, rtol=1e-9, atol=1e-9)  # a tie would differ by 1
        x = torch.from_numpy(mine)
    logits = network(torch.from_numpy(network.levels(images)).double() / top)[-1]
    np.testing.assert_array_equal(network.predict(images), logits.flatten(1).argmax(1))


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
            assert layer.weights.shape == (layer.spec.out, layer.in_shape[0] * layer.spec.kernel**2)
            assert layer.gain.shape == layer.offset.shape == (layer.spec.out,) and layer.weight_scale > 0


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


def trained(spec=SMALL, **changes):
    return train_ann(spec, *small_task(), SETTINGS.replace(**changes))


def test_training_learns_and_repeats():
    calls, (images, labels) = [], small_task()
    network = train_ann(SMALL, images, labels, SETTINGS, lambda *state: calls.append(state))
    assert np.mean(network.predict(images) == labels) > 0.95
    assert [call[:2] for call in calls] == [(epoch, batch) for epoch in range(4) for batch in range(1, 16)]
    assert calls[-1][2] < calls[14][2]
    record = network.metadata
    assert record["seed"] == 5 and record["trained_epochs"] == 4 and record["seconds"] >= 0
    held_out = np.random.default_rng([5, 0]).permutation(400)[:100]
    assert record["validation_accuracy"] == np.mean(network.predict(images[held_out]) == labels[held_out])
    again, other = trained(), trained(seed=6)
    for name, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert any(not torch.equal(value, other.state_dict()[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("bits", [(2, 8), (8, 1), (3, 2)], ids=str)
def test_few_bits_learn(bits):
    network = trained(SMALL.replace(weight_bits=bits[0], activation_bits=bits[1]), shift=0)
    images, labels = small_task()
    assert np.mean(network.predict(images) == labels) > 0.9


def test_settings_count():
    last = trained(n_validation=0)
    assert last.metadata["best_epoch"] == 4 and last.metadata["validation_accuracy"] is None
    plain = trained(epochs=1).state_dict()
    for change in ({"schedule": "constant"}, {"shift": 0}):
        assert any(
            not torch.equal(value, plain[name]) for name, value in trained(epochs=1, **change).state_dict().items()
        )


@pytest.mark.parametrize(
    ("images", "labels", "changes", "message"),
    [
        (None, np.zeros(3, int), {}, r"labels have the shape \(3,\) and type int64; 400 images"),
        (None, np.full(400, 2), {}, "labels go from 2 to 2; the network has classes 0 to 1"),
        (np.zeros((400, 5, 5)), None, {}, r"the network takes \(n, 1, 4, 4\)"),
        (np.zeros((400, 1, 1, 4, 4)), None, {}, "images have 5 dimensions"),
        (None, None, {"batch_size": 301}, "400 images are fewer than both together"),
        (None, None, {"patience": 2}, "patience = 2 is not offered for an Ann"),
        (None, None, {"activity_l1": 0.1}, "activity_l1 = 0.1 is not offered"),
    ],
)
def test_bad_training_sets_and_settings(images, labels, changes, message):
    x, y = small_task()
    with pytest.raises(xb.ParameterError, match=message):
        train_ann(SMALL, x if images is None else images, y if labels is None else labels, SETTINGS.replace(**changes))


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
            assert mine.spec == theirs.spec and mine.weight_scale == theirs.weight_scale
            for name in ("weights", "gain", "offset"):
                np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))
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
        (lambda t: t["layers.0.weight"].fill_(-128), r"layer 1 \(conv, 6 outputs\), tensor 'layers.0.weight': weights"),
        (lambda t: t["layers.0.weight"].clamp_(-5, 5), "weights are int8 from -127 to 127, and the largest is one"),
        (lambda t: t.update({"layers.0.weight": t["layers.0.weight"].float()}), "weights are int8"),
        (lambda t: t["layers.0.norm.bias"].fill_(float("nan")), "'layers.0.norm.bias' holds values that are not"),
        (lambda t: t["layers.0.norm.running_var"].fill_(-1), "'layers.0.norm.running_var' holds values below 0"),
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
    with pytest.raises(xb.FileError, match="cannot be read as safetensors"):
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
        ({"layers": [dense, conv]}, "AnnSpec.layers: a convolution follows a dense layer"),
        ({"layers": [conv | {"pool": 3}]}, "layer 1: pool = 3 does not divide the 4x4 input"),
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
