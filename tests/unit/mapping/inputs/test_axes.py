"""Which axis is what: any order that is told gives the same, what could mean two things is refused, by every way in."""

import warnings
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import mapping as mp
import xbarsim as xb
from mapping.networks.encode import check_images, check_labels
from mapping.networks.network import Network

LETTERS = "ntchw"
FEW = settings(max_examples=60, deadline=None)


def specified(c=2, h=3, w=4, t_steps=5):
    layers = [mp.LayerSpec(kind="dense", out=3)]
    return mp.NetworkSpec(input_shape=(c, h, w), layers=layers, beta=0.5, threshold=1.5, t_steps=t_steps)


def spikes_of(shape, seed=0):
    return (np.random.default_rng(seed).random(shape) < 0.4).astype(np.uint8)


def in_order(spikes, order):
    """Element by element: spikes (n, t, c, h, w) with their axes in another order."""
    out = np.empty([spikes.shape[LETTERS.index(letter)] for letter in order], spikes.dtype)
    for index in np.ndindex(spikes.shape):
        out[tuple(index[LETTERS.index(letter)] for letter in order)] = spikes[index]
    return out


sizes = st.integers(1, 4)


@given(n=sizes, t=sizes, c=sizes, h=sizes, w=sizes, order=st.permutations(LETTERS), seed=st.integers(0, 99))
@FEW
def test_any_order_that_is_told_gives_the_same(n, t, c, h, w, order, seed):
    spikes, order = spikes_of((n, t, c, h, w), seed), "".join(order)
    given_as = in_order(spikes, order)
    np.testing.assert_array_equal(mp.events(given_as, order), spikes)
    np.testing.assert_array_equal(check_images(given_as, specified(c, h, w, t), order), spikes)


@given(axes=st.text("ntchwx", max_size=6), ndim=st.integers(0, 6))
@FEW
def test_axes_are_a_letter_for_each_axis(axes, ndim):
    assume(not (len(axes) == ndim == len(set(axes)) and "x" not in axes and "t" in axes))
    with pytest.raises(xb.ParameterError, match="axes = "):
        mp.events(np.zeros((1,) * ndim, np.uint8), axes)


@given(a=sizes, b=sizes, t=sizes)
@FEW
def test_spikes_of_two_meanings_are_refused_and_others_read_as_documented(a, b, t):
    """By hand: (a, b, c, h, w) is (n, t, ...) if b is the number of steps; it could be (t, n, ...) if a is that too."""
    spikes, spec = spikes_of((a, b, 2, 3, 4)), specified(t_steps=t)
    if b != t:
        with pytest.raises(xb.ParameterError, match="axes = 'tnchw'" if a == t else "time steps; the network runs"):
            check_images(spikes, spec)
    elif a == t and t > 1:
        with pytest.raises(xb.ParameterError, match="could be 'ntchw' or 'tnchw'; say which by axes"):
            check_images(spikes, spec)
        np.testing.assert_array_equal(check_images(spikes, spec, "tnchw"), spikes.swapaxes(0, 1))
    else:
        np.testing.assert_array_equal(check_images(spikes, spec), spikes)


@given(
    n=sizes,
    t=st.integers(2, 4),
    top=st.sampled_from([1, 3, 200, 255]),
    dtype=st.sampled_from([bool, np.uint8, np.float32, np.float64]),
)
@FEW
def test_one_sample_is_never_taken_for_images(n, t, top, dtype):
    """(n, c, h, w) holds the spikes of one sample if n is the number of steps and nothing is between 0 and 1."""
    x, spec = spikes_of((n, 2, 3, 4)) * np.uint8(top), specified(t_steps=t)
    x[0, 0, 0, :2] = 0, top
    x = x / 255 if top > 1 and np.dtype(dtype).kind == "f" else x
    x = x.astype(dtype)
    two_valued = top == 1 or dtype is bool or (dtype is not np.uint8 and top == 255) or (dtype is np.uint8 and top < 16)
    if n == t and two_valued:
        with pytest.raises(xb.ParameterError, match="could be 'nchw' or 'tchw'; say which by axes"):
            check_images(x, spec)
        if x.max() <= 1:
            assert check_images(x, spec, "tchw").shape == (1, t, 2, 3, 4)
    elif not (dtype is np.uint8 and top == 1):  # a warning, see below
        assert check_images(x, spec).shape == (n, 2, 3, 4)


def test_samples_without_channels_or_features_alone_are_pointed_to_axes():
    one, dense = specified(c=1), specified(c=4, h=1, w=1)
    for x, spec, order in (
        (spikes_of((7, 5, 3, 4)), one, "nthw"),
        (spikes_of((5, 7, 3, 4)), one, "tnhw"),
        (spikes_of((7, 5, 4)), dense, "ntc"),
        (spikes_of((5, 7, 4)), dense, "tnc"),
    ):
        with pytest.raises(xb.ParameterError, match=f"if it is meant so, give axes = '{order}'"):
            check_images(x, spec)
        assert check_images(x, spec, order).shape == (7, 5, *spec.input_shape)
    with pytest.raises(xb.ParameterError, match="could be 'nhw' or 'thw'"):
        check_images(spikes_of((5, 3, 4)), one)
    grey = np.random.default_rng(0).random((5, 3, 4, 2))
    np.testing.assert_array_equal(check_images(grey, specified(), "nhwc"), np.moveaxis(grey, 3, 1))
    assert check_images(grey[0], specified(), "hwc").shape == (1, 2, 3, 4)


def test_every_way_in_takes_axes(tmp_path):
    network = Network(specified(t_steps=3)).eval()
    chip = mp.load_chip("paper-bsnn").replace(rows=32, cols=6)
    mapped = mp.map_network(network, chip, seed=1)
    spikes, labels = spikes_of((3, 3, 2, 3, 4)), np.array([0, 1, 2])  # as many samples as steps
    expected, first = network.predict(spikes, axes="ntchw"), network.spikes(spikes, axes="ntchw")[0]
    report = mapped.evaluate(spikes, labels, axes="ntchw")
    for order in map("".join, list(permutations(LETTERS))[::17]):
        x = in_order(spikes, order)
        np.testing.assert_array_equal(network.predict(x, axes=order), expected)
        np.testing.assert_array_equal(network.spikes(x, axes=order)[0], first)
        np.testing.assert_array_equal(mapped.spikes(x, axes=order)[0], mapped.spikes(spikes, axes="ntchw")[0])
        assert mapped.evaluate(x, labels, axes=order) == report
    assert mp.evaluate_dies(network, chip, in_order(spikes, "tnhwc"), labels, n_dies=1, seed=1, axes="tnhwc") == report
    assert mp.trace(mapped, in_order(spikes, "hwctn"), axes="hwctn").spikes[0].shape == (3, 3, 3, 1, 1)
    refused = {
        "predict": lambda: network.predict(spikes),
        "spikes": lambda: network.spikes(spikes),
        "evaluate": lambda: mapped.evaluate(spikes, labels),
        "evaluate_dies": lambda: mp.evaluate_dies(network, chip, spikes, labels, n_dies=1),
        "age": lambda: mapped.age(n_inferences=1, images=spikes),
        "trace": lambda: mp.trace(mapped, spikes),
        "train": lambda: mp.train(network.spec, spikes, labels),
        "one sample": lambda: network.predict(spikes[0]),
    }
    for way, call in refused.items():
        with pytest.raises(xb.ParameterError, match="say which by axes"):
            call()
            pytest.fail(way)


def test_data_sets_tell_their_axes_by_labels_or_in_words(tmp_path):
    file, spikes = tmp_path / "events.npz", spikes_of((2, 5, 2, 3, 4))
    labels = np.array([1, 0])
    for order in ("ntchw", "tnchw"):  # told by the number of labels
        np.savez(file, spikes=in_order(spikes, order), labels=labels)
        np.testing.assert_array_equal(mp.load_dataset(file)[0], spikes)
    np.savez(file, spikes=in_order(spikes, "chwtn"), labels=labels, axes="chwtn")
    np.testing.assert_array_equal(mp.load_dataset(file)[0], spikes)
    np.testing.assert_array_equal(mp.load_dataset(file, axes="chwtn")[0], spikes)
    with pytest.raises(xb.ParameterError, match="says 'chwtn'; leave it out"):
        mp.load_dataset(file, axes="ntchw")
    np.savez(file, spikes=spikes[:, :2], labels=labels)
    with pytest.raises(xb.FileError, match="as many samples as steps; give axes"):
        mp.load_dataset(file)
    assert mp.load_dataset(file, axes="tnchw")[0].shape == (2, 2, 2, 3, 4)
    np.savez(file, images=spikes[:, :2], labels=labels)
    with pytest.raises(xb.FileError, match="as many samples as steps; give axes"):
        mp.load_dataset(file)
    np.savez(file, images=np.zeros((2, 3, 4, 3)), labels=labels, axes="nhwc")
    assert mp.load_dataset(file)[0].shape == (2, 3, 3, 4)
    np.savez(file, spikes=spikes[0], labels=labels[:1])  # one sample, (t, c, h, w)
    with pytest.raises(xb.FileError, match="give axes"):
        mp.load_dataset(file)
    assert mp.load_dataset(file, axes="tchw")[0].shape == (1, 5, 2, 3, 4)
    with pytest.raises(xb.ParameterError, match="only a .npz file can have others"):
        mp.load_dataset("mnist", axes="hwn")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32])
def test_counts_of_events_are_refused_by_the_choices_that_one_has(dtype):
    frames, spec = spikes_of((7, 5, 2, 3, 4)).astype(dtype), specified()
    np.testing.assert_array_equal(check_images(frames, spec), frames)  # whatever the type of 0 and 1
    frames[0, 0, 0, 0, :2] = 3, 2
    ways = [
        lambda: check_images(frames, spec),
        lambda: Network(spec).predict(frames),
        lambda: mp.events(frames, "ntchw"),
        lambda: check_images(frames[0], spec, "tchw"),
    ]
    for way in ways:
        with pytest.raises(
            xb.ParameterError, match="counts up to 3, but a spike is 0 or 1: clip them to 1.*or take more"
        ):
            way()
    np.testing.assert_array_equal(mp.events(frames, "ntchw", counts="clip"), np.minimum(frames, 1))
    if np.dtype(dtype).kind == "i":
        with pytest.raises(xb.ParameterError, match="type int.*counts of events: mapping.events"):
            check_images(frames[0], spec)
    for bad in (-1, 0.5, np.nan, np.inf):
        with pytest.raises(xb.ParameterError, match="other than 0 and 1"):
            mp.events(np.full((1, 1), bad), "nt", counts="clip")
    with pytest.raises(xb.ParameterError):
        check_images(frames, spec, 5)
    with pytest.raises(xb.ParameterError, match="counts = 'keep': give 'refuse' or 'clip'"):
        mp.events(frames, "ntchw", counts="keep")


@given(
    x=st.lists(st.integers(0, 255), min_size=12, max_size=12),
    most=st.sampled_from([1, 2, 255]),
    dtype=st.sampled_from([np.uint8, np.float64, bool]),
)
@settings(max_examples=150, deadline=None)
def test_binary_images_in_uint8_warn_and_no_others(x, most, dtype):
    """White is 255: images of 0 and 1 are nearly black. Never for images with any value above 1, and not for floats."""
    images = (np.minimum(x, most).reshape(1, 3, 4) / (255 if dtype is np.float64 and most > 1 else 1)).astype(dtype)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_images(images, specified(c=1))
    binary = dtype is np.uint8 and images.max() == 1
    assert ["multiply them by 255, or give floats" in str(warning.message) for warning in caught] == [True] * int(
        binary
    )


def test_binary_images_warn_once_by_every_way_in():
    images, labels = spikes_of((3, 2, 3, 4)), np.array([0, 1, 2])
    network = Network(specified()).eval()
    chip = mp.load_chip("paper-bsnn").replace(rows=32, cols=6)
    mapped = mp.map_network(network, chip)
    for way in (
        lambda: network.predict(images),
        lambda: mapped.evaluate(images, labels),
        lambda: mp.evaluate_dies(network, chip, images, labels, n_dies=2),
        lambda: mp.trace(mapped, images),
    ):
        with pytest.warns(UserWarning, match="multiply them by 255") as caught:
            way()
        assert len(caught) == 1
    white = network.predict(images * np.uint8(255))
    np.testing.assert_array_equal(white, network.predict(images.astype(float)))
    np.testing.assert_array_equal(white, network.predict(images > 0))


@given(
    labels=st.one_of(
        st.lists(st.integers(-3, 5), min_size=1, max_size=5),
        st.lists(st.floats(allow_nan=True), min_size=1, max_size=4),
        st.lists(st.text(max_size=2), min_size=1, max_size=4),
        st.lists(st.booleans(), min_size=1, max_size=4),
        st.lists(st.complex_numbers(), min_size=1, max_size=4),
        st.none(),
        st.just([[0, 1], [2, 0]]),
        st.just([[0], [1, 2]]),
        st.just([2**70, 0]),
        st.just(np.array([2**63 + 1, 0], np.uint64)),
    ),
    n=st.integers(1, 4),
)
@settings(max_examples=120, deadline=None)
def test_labels_are_classes_of_the_network_or_refused(labels, n):
    whole = isinstance(labels, list) and all(type(label) is int for label in labels)
    if whole and len(labels) == n and all(0 <= label < 3 for label in labels):
        found = check_labels(labels, n, 3)
        assert found.tolist() == labels and found.dtype == np.int64
        return
    with pytest.raises(xb.ParameterError, match="^labels"):
        check_labels(labels, n, 3)


def test_labels_are_checked_by_every_way_in(tmp_path, command):
    network = Network(specified()).eval()
    ann = mp.Ann(mp.AnnSpec(input_shape=(2, 3, 4), layers=network.spec.layers)).eval()
    chip = mp.load_chip("paper-bsnn").replace(rows=32, cols=6)
    images = np.random.default_rng(0).random((4, 2, 3, 4))
    ways = {
        "evaluate": mp.map_network(network, chip).evaluate,
        "evaluate an ann": mp.map_ann(ann, mp.load_chip("paper-ann").replace(rows=32, cols=8)).evaluate,
        "dies": lambda x, y: mp.evaluate_dies(network, chip, x, y, n_dies=1),
        "train": lambda x, y: mp.train(network.spec, x, y),
        "train_ann": lambda x, y: mp.train_ann(ann.spec, x, y),
    }
    for way, call in ways.items():
        for labels in ([0, 1, 2, 77], ["0", "1", "2", "0"], [0.0, 1.0, 2.0, 0.0], [0, 1], [[0], [1], [2], [0]]):
            with pytest.raises(xb.ParameterError, match="^labels"):
                call(images, labels)
                pytest.fail(way)
    np.savez(tmp_path / "set.npz", images=images[:, 0], labels=[0, 1, 2, 77])
    mp.save_network(network, tmp_path / "net.safetensors")
    study = mp.Study(network="mnist-bsnn", dataset=str(tmp_path / "set.npz"), images="all")
    np.savez(tmp_path / "set.npz", images=np.zeros((4, 28, 28)), labels=[0, 1, 2, 77])
    with pytest.raises(xb.ParameterError, match="labels go from 0 to 77; the network has classes 0 to 9"):
        mp.run_study(study, workers=1)
    code, _, error = command("report", "--dataset", tmp_path / "set.npz", "--images", "all")
    assert code == 2 and "labels go from 0 to 77; the network has classes 0 to 9" in error
    code, _, error = command(
        "train", tmp_path / "x.safetensors", "--dataset", tmp_path / "set.npz", "--test-dataset", tmp_path / "set.npz"
    )
    assert code == 2 and "labels go from 0 to 77" in error


def test_classes_are_all_neurons_of_the_last_layer():
    layers = [mp.LayerSpec(kind="conv", out=3, kernel=3, padding=0)]
    spec = mp.NetworkSpec(input_shape=(1, 4, 4), layers=layers, beta=0.5, threshold=1.5, t_steps=5)  # 3 x 2 x 2
    network, images = Network(spec).eval(), np.random.default_rng(0).random((2, 4, 4))
    mapped = mp.map_network(network, mp.load_chip("paper-bsnn").replace(rows=32, cols=6))
    mapped.evaluate(images, [11, 0])
    with pytest.raises(xb.ParameterError, match="labels go from 0 to 12; the network has classes 0 to 11"):
        mapped.evaluate(images, [12, 0])
