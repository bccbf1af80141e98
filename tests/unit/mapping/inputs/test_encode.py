"""Encodings of images as spikes, and spikes of event cameras."""

import numpy as np
import pytest

import mapping as mp
import xbarsim as xb
from mapping.inputs.datasets import events
from mapping.networks.encode import encode
from mapping.networks.spec import LayerSpec

NETWORK = mp.NetworkSpec(
    input_shape=(1, 3, 4), layers=[LayerSpec(kind="dense", out=2)], beta=0.5, threshold=1, t_steps=2000
)


def test_rate_encoding_is_bernoulli_and_the_same_in_any_batch():
    spec = NETWORK.replace(encoding="rate")
    images = np.random.default_rng(0).uniform(0, 1, (3, 3, 4))
    spikes = encode(images, spec, seed=4)
    assert spikes.shape == (2000, 3, 1, 3, 4) and set(np.unique(spikes)) == {0, 1}
    rate, sigma = spikes.mean(0)[:, 0], np.sqrt(images * (1 - images) / 2000)
    assert np.abs((rate - images) / sigma).max() < 4.5
    lagged = np.mean(spikes[1:] * spikes[:-1], 0)[:, 0]
    assert np.abs(lagged - images**2).max() < 0.06
    np.testing.assert_array_equal(encode(images[1:], spec, seed=4, numbers=[1, 2]), spikes[:, 1:])
    assert np.any(encode(images, spec, seed=5) != spikes)
    ends = encode(np.array([[[0.0, 1.0, 0.0, 1.0]] * 3]), spec)
    np.testing.assert_array_equal(ends.mean(0)[0, 0], [[0, 1, 0, 1]] * 3)


def test_latency_encoding_fires_once_the_earlier_the_brighter():
    spec = NETWORK.replace(encoding="latency", t_steps=11)
    images = np.array([[[1.0, 0.9, 0.5, 0.1], [0.0, 0.96, 0.04, 0.33], [0, 0, 0, 0]]])
    spikes = encode(images, spec)[:, 0, 0]
    np.testing.assert_array_equal(spikes.sum(0), images[0] > 0)
    times = spikes.argmax(0)
    np.testing.assert_array_equal(times[:2], [[0, 1, 5, 9], [0, 0, 10, 7]])


def test_spikes_of_event_cameras_come_in_any_order_of_axes(tmp_path):
    spec = NETWORK.replace(t_steps=5)
    spikes = (np.random.default_rng(0).random((5, 2, 1, 3, 4)) < 0.5).astype(np.uint8)
    np.testing.assert_array_equal(encode(events(spikes, "tnchw"), spec), spikes)
    assert events(spikes[:, :, 0], "tnhw").shape == (2, 5, 1, 3, 4)
    assert events(spikes[:, :, 0, 0], "tnc").shape == (2, 5, 4, 1, 1)
    with pytest.raises(xb.ParameterError, match="do not tell which axis is what; give axes = 'tnchw'"):
        events(spikes)
    np.savez(tmp_path / "gestures.npz", spikes=spikes, labels=np.array([3, 1]))
    loaded, labels = mp.load_dataset(tmp_path / "gestures.npz")
    np.testing.assert_array_equal(encode(loaded, spec), spikes)
    assert labels.tolist() == [3, 1]
    assert events(spikes > 0, "tnchw").dtype == np.uint8
    whole = (tmp_path / "gestures.npz").read_bytes()
    (tmp_path / "gestures.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(xb.FileError, match="needs arrays 'images'"):
        mp.load_dataset(tmp_path / "gestures.npz")
