"""Data sets: shipped ones, fetched ones, folders and files."""

import functools
import gzip
import http.server
import threading

import numpy as np
import pytest

import mapping as mp
import xbarsim as xb
from mapping.inputs import datasets
from tests.builders.idx import write_idx


def test_mnist_ships_and_is_checked():
    images, labels = mp.load_dataset("mnist")
    assert images.shape == (10000, 28, 28) and images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.parametrize("compress", [True, False])
def test_folders_and_npz_files(tmp_path, compress):
    images, labels = np.arange(3 * 5 * 4).reshape(3, 5, 4).astype(np.uint8), np.array([1, 0, 2])
    write_idx(tmp_path, "train", images, labels, compress)
    x, y = mp.load_dataset(tmp_path, "train")
    np.testing.assert_array_equal(x, images)
    np.testing.assert_array_equal(y, labels)
    np.savez(tmp_path / "set.npz", images=images, labels=labels)
    np.testing.assert_array_equal(mp.load_dataset(tmp_path / "set.npz")[0], images)


def test_bad_data_sets(tmp_path):
    with pytest.raises(xb.ParameterError, match="dataset 'mnits' is unknown; give one of mnist, fashion-mnist"):
        mp.load_dataset("mnits")
    with pytest.raises(xb.ParameterError, match="split = 'valid'"):
        mp.load_dataset("mnist", "valid")
    with pytest.raises(xb.FileError, match=r"holds neither t10k-images-idx3-ubyte\.gz nor"):
        mp.load_dataset(tmp_path)
    write_idx(tmp_path, "test", np.zeros((3, 2, 2)), np.zeros(2))
    with pytest.raises(xb.FileError, match="3 images need as many integer labels"):
        mp.load_dataset(tmp_path)
    with pytest.raises(xb.FileError, match="differs from the published file"):
        mp.load_dataset("mnist", folder=tmp_path)
    whole = (tmp_path / "t10k-images-idx3-ubyte.gz").read_bytes()
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(whole[:-9])
    with pytest.raises(xb.FileError, match="cannot be read"):
        mp.load_dataset(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(gzip.decompress(whole)[:-1]))
    with pytest.raises(xb.FileError, match="truncated, 11 bytes of data"):
        mp.load_dataset(tmp_path)
    np.savez(tmp_path / "set.npz", images=np.zeros((2, 2, 2)))
    with pytest.raises(xb.FileError, match=r"needs arrays 'images' \(or 'spikes'\) and 'labels'"):
        mp.load_dataset(tmp_path / "set.npz")


def test_training_sets_are_fetched_once_and_checked(tmp_path, monkeypatch):
    served, cache = tmp_path / "served", tmp_path / "cache"
    served.mkdir()
    images, labels = np.full((2, 3, 3), 9), np.array([4, 5])
    write_idx(served, "train", images, labels)
    handler = functools.partial(QuietHandler, directory=str(served))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("pooch.os_cache", lambda name: cache / name)
    monkeypatch.setitem(datasets.MIRRORS, "mnist", f"http://127.0.0.1:{server.server_port}/")
    try:
        with pytest.raises(xb.FileError, match="differs from the published file"):
            mp.load_dataset("mnist", "train")
        assert not list(cache.rglob("*.gz"))
        hashes = {
            file.stem: datasets.hashlib.sha256(gzip.decompress(file.read_bytes())).hexdigest()
            for file in served.iterdir()
        }
        monkeypatch.setitem(datasets.HASHES, "mnist", hashes)
        np.testing.assert_array_equal(mp.load_dataset("mnist", "train")[1], labels)
    finally:
        server.shutdown()
        server.server_close()
    np.testing.assert_array_equal(mp.load_dataset("mnist", "train")[0], images)  # from the cache
    for file in cache.rglob("*.gz"):
        file.unlink()
    with pytest.raises(xb.FileError, match="could not be fetched .* give a local folder"):
        mp.load_dataset("mnist", "train")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *arguments):
        pass
