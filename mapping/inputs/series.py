"""Japanese Vowels: real-valued series of a spoken sound, as spikes."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from xbarsim.errors import FileError

NAME = "japanese-vowels"
_PACKAGE, _INSIDE = "aeon", "datasets/data/JapaneseVowels"  # which brings the files
_HASHES = {
    "JapaneseVowels_TRAIN.ts": "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
    "JapaneseVowels_TEST.ts": "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
}
_STEPS, _BINS = 29, 8


def load_series(split: Literal["train", "test"], folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Load the utterances of nine speakers, M. Kudo, J. Toyama, M. Shimbo, Pattern Recognition Letters 20, 1103, 1999.

    Each of the 12 numbers of a frame is one spike, of the input for its octile among all frames of the training set.
    Shorter utterances are followed by silence.

    Parameters
    ----------
    split : {"train", "test"}
    folder : path, optional
        With the published ``.ts`` files; without it those that the package aeon has brought.

    Returns
    -------
    spikes : uint8 array, (n, 29, 96, 1, 1)
    labels : int array, (n,)
        Speakers, 0 to 8.

    Raises
    ------
    FileError
        If the files are not there, or are not those that were published.
    """
    where = folder or _installed()
    frames = np.concatenate(_read(where / "JapaneseVowels_TRAIN.ts")[0], 1)
    edges = np.quantile(frames, np.arange(1, _BINS) / _BINS, axis=1).T
    series, labels = _read(where / f"JapaneseVowels_{split.upper()}.ts")
    spikes = np.zeros((len(series), _STEPS, len(edges), _BINS), np.uint8)
    for sample, x in enumerate(series):
        for channel, (values, steps) in enumerate(zip(x, edges)):
            spikes[sample, np.arange(len(values)), channel, np.searchsorted(steps, values, side="right")] = 1
    return spikes.reshape(len(series), _STEPS, -1, 1, 1), labels


def _installed() -> Path:
    found = find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise FileError(
            f"{NAME}: its files come with the package {_PACKAGE}: pip install {_PACKAGE}, or give a folder with them"
        )
    return Path(found.submodule_search_locations[0]) / _INSIDE


def _read(path: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Return series (channels, frames) of a published file, and their labels."""
    try:
        raw = path.read_bytes()
    except OSError:
        raise FileError(f"{path}: no such file; give a folder with {' and '.join(_HASHES)}") from None
    if hashlib.sha256(raw).hexdigest() != _HASHES[path.name]:
        raise FileError(f"{path}: is not the published file, its SHA-256 differs; get it anew")
    lines = [line.split(":") for line in raw.decode().splitlines() if line and line[0] not in "#@"]
    series = [np.array([[float(number) for number in channel.split(",")] for channel in line[:-1]]) for line in lines]
    return series, np.array([int(line[-1]) - 1 for line in lines])
