"""Which images an accuracy is of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapping as mp
import xbarsim as xb


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 9), st.data())
def test_a_sample_holds_of_each_class_the_same_number(labels, seed, data):
    labels = np.array(labels)
    n = data.draw(st.integers(1, len(labels)))
    sample = mp.Sample.of(labels, data.draw(st.sampled_from([n, str(n)])), seed=seed, dataset="mine")
    counts = np.bincount(labels[sample.index], minlength=5)
    room = counts < np.bincount(labels, minlength=5)  # classes that could give more
    assert len(np.unique(sample.index)) == n and counts.sum() == n
    assert not room.any() or counts.max() - counts[room].min() <= 1
    larger = mp.Sample.of(labels, len(labels), seed=seed).index
    assert (sample.index == larger[:n]).all()
    assert str(sample) == f"mine, test, {n} of {len(labels)} images, balanced over classes, drawn with seed {seed}"
    first = mp.Sample.of(labels, f"first:{n}", seed=seed)
    assert (first.index == np.arange(n)).all() and first.images == f"the first {n} of {len(labels)} images"
    assert (mp.Sample.of(labels, "all").index == np.arange(len(labels))).all()


@pytest.mark.parametrize("which", [0, -1, 11, "0", "first:0", "first:11", "few", "", "1.5", "first:", True, "\u0661"])
def test_samples_that_are_not_there_are_refused(which):
    with pytest.raises(xb.ParameterError, match=r"give a whole number from 1 to 10, .*'first:N'; or 'all'"):
        mp.Sample.of(np.zeros(10, int), which)


def test_samples_are_those_of_the_images(tiny, chip):
    network, images = tiny
    mapped, labels = mp.map_network(network, chip), np.arange(7) % 3
    for sample, words in (
        (mp.Sample.of(labels, 5, dataset="x"), "sample has 5 images, but 7 are given"),
        ("x", "of type str"),
    ):
        with pytest.raises(xb.ParameterError, match=words):
            mapped.evaluate(images, labels, sample=sample)
    assert (
        mp.Sample.of(labels, dataset="mine.npz").split == "" and mp.Sample.of(labels, dataset="mnist").split == "test"
    )
    for wrong in (None, np.zeros((2, 2), int), np.array(3)):
        with pytest.raises(xb.ParameterError, match="labels"):
            mp.Sample.of(wrong, 1)
