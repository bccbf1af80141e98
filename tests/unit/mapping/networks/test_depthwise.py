"""Depthwise convolutions against loops over channels, and networks rounded to fewer bits after training."""

import numpy as np
import pytest
import torch
from safetensors.torch import load

import mapping as mp
import xbarsim as xb
from mapping.networks.ann import pooled
from mapping.networks.ann_spec import AnnSpec
from mapping.networks.store import load_ann, save_ann
from tests.builders.anns import DEPTHWISE, ODD, SMALL, as_trained, assert_matches_forward, trained
from tests.builders.tasks import small_task
from tests.oracles.naive_networks import naive_integers


def naive_depthwise(kernels, x, spec):
    """Sums of each channel (c, h, w) with its own kernel (c, k, k), averaged over the pool."""
    pad = spec.kernel // 2 if spec.padding is None else spec.padding
    channels = []
    for kernel, unpadded in zip(kernels, x):
        plane = np.pad(unpadded, pad)
        rows, cols = ((size - spec.kernel) // spec.stride + 1 for size in plane.shape)
        sums = np.empty((rows, cols))
        for i, j in np.ndindex(rows, cols):
            patch = plane[i * spec.stride :, j * spec.stride :][: spec.kernel, : spec.kernel]
            sums[i, j] = np.sum(kernel * patch)
        area = sums.reshape(rows // spec.pool, spec.pool, cols // spec.pool, spec.pool)
        channels.append(area.mean((1, 3)))
    return np.stack(channels)


def test_depthwise_layers_match_loops_over_channels():
    network = as_trained(DEPTHWISE.replace(weight_bits=5), seed=0)
    images = np.random.default_rng(7).uniform(0, 1, (2, 2, 9, 7))
    whole, x = network.integers(images), network.levels(images)
    for layer, exact, y in zip(network.layers, network.integer_layers(), whole):
        if layer.spec.depthwise:
            assert layer.weight.shape == (layer.spec.out, 1, layer.spec.kernel, layer.spec.kernel)
            kernels = layer.weight.detach().double()
            ours = pooled(torch.from_numpy(x).double(), kernels, layer.spec, layer.in_shape).numpy()
            expected = [naive_depthwise(kernels[:, 0].numpy(), image, layer.spec) for image in x]
            np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)
            steps = np.rint(kernels[:, 0].numpy() / np.abs(kernels.numpy()).max() * 15)
            gain, offset = (v[:, None, None] for v in (exact.activation.gain, exact.activation.offset))
            sums = np.stack([naive_depthwise(steps, image, layer.spec) for image in x])
            np.testing.assert_array_equal(y, np.rint(gain * sums + offset).clip(0, 255))
            assert len(np.unique(y)) > 5
        x = y


def test_depthwise_networks_match_loops_and_forward():
    network = as_trained(DEPTHWISE)
    images = np.random.default_rng(8).uniform(0, 1, (10, 2, 9, 7))
    for mine, expected in zip(network.integers(images[:1]), naive_integers(network, network.levels(images[:1])[0])):
        np.testing.assert_allclose(mine[0], expected, rtol=1e-12, atol=1e-12)
    assert_matches_forward(network, images)


def test_post_training_quantization_is_rounding():
    for network in (as_trained(ODD), as_trained(DEPTHWISE), load_ann("mnist-ann")):
        network.metadata = network.metadata | {"seed": 4}
        fewer = network.quantized(weight_bits=4, activation_bits=5)
        assert (fewer.spec.weight_bits, fewer.spec.activation_bits) == (4, 5) and not fewer.training
        for before, after in zip(network.layers, fewer.layers):
            real = before.weight.detach().double().numpy()
            largest = np.abs(real).max()
            levels = torch.round(after.weight.detach() / after.weight_scale()).numpy()
            np.testing.assert_array_equal(levels, np.vectorize(round)(real / (largest / 7)))
            assert float(after.weight_scale()) == pytest.approx(largest / 7, rel=1e-6)
            if before.log_clip is not None:
                assert after.step().item() == pytest.approx(before.step().item() * 255 / 31, rel=1e-12)
        assert fewer.metadata["seed"] == 4 and "from 8-bit weights and 8-bit act" in fewer.metadata["quantized"]
        assert fewer.quantized(weight_bits=2).metadata == fewer.metadata
        assert (network.spec.weight_bits, "quantized" in network.metadata) == (8, False)
        for mine, theirs in zip(network.quantized().integer_layers(), network.integer_layers()):
            np.testing.assert_array_equal(mine.weights, theirs.weights)
            np.testing.assert_array_equal(mine.activation.gain, theirs.activation.gain)
    with pytest.raises(xb.ParameterError, match="weight_bits = 5: the network has 4; give no more"):
        fewer.quantized(weight_bits=5)
    with pytest.raises(xb.ParameterError, match="AnnSpec.weight_bits = 1"):
        fewer.quantized(weight_bits=1)


def test_a_stored_quantized_network_is_the_same(tmp_path):
    images = np.random.default_rng(3).uniform(0, 1, (20, 2, 16, 6))
    fewer = as_trained(ODD).quantized(3, 6)
    save_ann(fewer, tmp_path / "net.safetensors")
    loaded = load_ann(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(loaded.integers(images)[-1], fewer.integers(images)[-1])
    assert len({as_trained(ODD).quantized(bits).integers(images)[-1].tobytes() for bits in (8, 4, 3, 2)}) == 4


def test_files_hold_the_kernels_alone(tmp_path):
    path, network = tmp_path / "net.safetensors", as_trained(DEPTHWISE)
    save_ann(network, path)
    kernels = load(path.read_bytes())["layers.2.weight"]
    assert kernels.dtype == torch.int8 and kernels.shape == (6, 1, 3, 3)
    loaded = load_ann(path)
    assert loaded.spec == DEPTHWISE
    for mine, theirs in zip(network.integer_layers(), loaded.integer_layers()):
        np.testing.assert_array_equal(mine.weights, theirs.weights)
        for name in ("gain", "offset"):
            np.testing.assert_array_equal(getattr(mine.activation, name), getattr(theirs.activation, name))


def test_depthwise_layers_learn():
    conv = {"kind": "conv", "out": 6, "batch_norm": True}
    layers = [conv, conv | {"kernel": 3, "depthwise": True, "pool": 2}, {"kind": "dense", "out": 2}]
    network = trained(SMALL.replace(layers=layers), epochs=6, shift=0)
    images, labels = small_task()
    assert np.mean(network.predict(images) == labels) > 0.9


def test_bad_depthwise_layers():
    conv = mp.LayerSpec(kind="conv", out=2, kernel=3)
    with pytest.raises(xb.ParameterError, match="layer 2: is depthwise with out = 3, but has 2 input"):
        AnnSpec(input_shape=(1, 4, 4), layers=[conv, conv.replace(out=3, depthwise=True)])
    with pytest.raises(xb.ParameterError, match="LayerSpec.depthwise = true: a dense layer reads all inputs"):
        mp.LayerSpec(kind="dense", out=2, depthwise=True)
