"""Speech as spikes: one for each number of a frame, by its octile."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import mapping as mp
import xbarsim as xb

FILES = find_spec("aeon") and Path(find_spec("aeon").submodule_search_locations[0]) / "datasets/data/JapaneseVowels"
needs_files = pytest.mark.skipif(not FILES, reason="needs the package aeon")


def utterances(split):
    """Series (frames, 12), read by other means."""
    text = (FILES / f"JapaneseVowels_{split}.ts").read_text().split("@data\n")[1].splitlines()
    return [np.array([channel.split(",") for channel in line.split(":")[:-1]], float).T for line in text]


@needs_files
@pytest.mark.parametrize(("split", "n"), [("train", 270), ("test", 370)])
def test_each_number_is_a_spike_for_its_octile(split, n):
    spikes, labels = mp.load_dataset("japanese-vowels", split)
    assert spikes.shape == (n, 29, 96, 1, 1) and labels.shape == (n,) and set(labels) == set(range(9))
    wide, series = spikes.reshape(n, 29, 12, 8), utterances(split.upper())
    known = np.sort(np.concatenate(utterances("TRAIN")), 0)
    for x, bits in zip(series, wide):
        assert (bits.sum(2) == 1)[: len(x)].all() and not bits[len(x) :].any()
        share = (known[None] <= x[:, None]).mean(1)  # of frames of the training set that are no larger
        assert (np.abs(bits[: len(x)].argmax(2) + 0.5 - 8 * share) <= 0.51).all()
    if split == "train":
        share = wide.sum((0, 1)) / len(known)
        np.testing.assert_allclose(share, 1 / 8, atol=0.005)
        assert np.bincount(labels).tolist() == [30] * 9


@needs_files
def test_files_are_those_that_were_published(tmp_path):
    for name in ("TRAIN", "TEST"):
        (tmp_path / f"JapaneseVowels_{name}.ts").write_bytes((FILES / f"JapaneseVowels_{name}.ts").read_bytes())
    there, _ = mp.load_dataset("japanese-vowels", folder=tmp_path)
    np.testing.assert_array_equal(there, mp.load_dataset("japanese-vowels")[0])
    with (tmp_path / "JapaneseVowels_TEST.ts").open("ab") as file:
        file.write(b"\n")
    with pytest.raises(xb.FileError, match="TEST.ts: is not the published file, its SHA-256 differs; get it anew"):
        mp.load_dataset("japanese-vowels", folder=tmp_path)


def test_missing_files_say_where_they_are_to_be_had(tmp_path, monkeypatch):
    with pytest.raises(xb.FileError, match=r"JapaneseVowels_TRAIN.ts: no such file; give a folder with"):
        mp.load_dataset("japanese-vowels", folder=tmp_path)
    monkeypatch.setattr("mapping.inputs.series.find_spec", lambda name: None)
    with pytest.raises(xb.FileError, match="japanese-vowels: its files come with the package aeon: pip install aeon"):
        mp.load_dataset("japanese-vowels")


@pytest.mark.compiled
@needs_files
def test_the_shipped_recurrent_network_is_as_accurate_as_it_says_and_maps():
    network = mp.load_network("japanese-vowels-rbsnn")
    spikes, labels = mp.load_dataset("japanese-vowels")
    assert np.mean(network.predict(spikes) == labels) == pytest.approx(network.metadata["test_accuracy"], abs=1 / 370)
    report = mp.map_network(network, "paper-bsnn", seed=1).evaluate(spikes[::10], labels[::10])
    assert report.accuracy > 0.7 and report.loops and report.energy_per_inference > 0
