"""Parameters, chips, devices and data sets: what is accepted, and how the rest is refused."""

import functools
import gzip
import http.server
import threading

import numpy as np
import pytest

import mapping as mp
import xbarsim as xb
from mapping import datasets
from xbarsim.device import Device
from xbarsim.streams import stream
from xbarsim.units import format_quantity, format_result, parse_quantity

PAPER = {"i_lrs": "3 uA", "v_read": "0.3 V", "on_off_ratio": 10, "t_read": "25 ns"}


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("3 uA", "A", 3e-6),
        ("100 kOhm", "Ohm", 1e5),
        ("2", "V", 2.0),
        ("25 ns", "s", 25e-9),
        ("1 day", "s", 86400.0),
        ("10years", "s", 315576000.0),
        ("1.5 h", "s", 5400.0),
        ("300 K", "K", 300.0),
        ("300K", "K", 300.0),
        ("85 C", "K", 358.15),
        ("85 c", "K", 358.15),
        ("2 Weeks", "s", 1209600.0),
        ("-40 °C", "K", 233.15),
        ("1.1 eV", "eV", 1.1),
    ],
)
def test_quantities_are_read(text, unit, value):
    assert parse_quantity(text, unit) == pytest.approx(value)


def test_quantities_are_written():
    assert [format_quantity(1.23456e-7, "J"), format_quantity(1e5, "Ohm")] == ["123 nJ", "100 kOhm"]
    assert [format_quantity(x, "J") for x in (4.9e-9, 2.0, 0.0)] == ["4.9 nJ", "2 J", "0 J"]
    assert [format_result(x, "J") for x in (4.9e-9, 2.0, 0.0, 99.96e-9)] == ["4.90 nJ", "2.00 J", "0 J", "100 nJ"]


def test_device_by_current_or_conductance():
    device = Device(**PAPER)
    assert device.g_lrs == pytest.approx(1e-5) and device.g_hrs == pytest.approx(1e-6)
    np.testing.assert_allclose(device.program([[1, 0]], seed=0), [[1e-5, 1e-6]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"on_off_ratio": 1}, r"Device\.on_off_ratio = 1: input should be greater than 1"),
        ({"v_read": "3 uA"}, r"'3 uA' has the unit 'A' where V is expected; write it in V"),
        ({"d2d": -0.1}, r"Device\.d2d\.spread\.lrs = -0\.1: input should be greater than or equal to 0"),
        ({"g_lrs": 1e-5}, "give g_lrs or i_lrs, not both"),
        ({"i_lrs": -1.0}, r"Device\.i_lrs = -1\.0: give a current above 0 A"),
        ({"t_read": True}, "True is no quantity"),
        ({"spread": 1}, r"Device\.spread is not a field; the fields are g_lrs"),
    ],
)
def test_bad_devices(change, message):
    with pytest.raises(xb.ParameterError, match=message):
        Device(**(PAPER | change))


def test_bad_bits():
    die = Device(**PAPER).fabricate((2, 2), seed=0)
    with pytest.raises(xb.ParameterError, match="other than 0 and 1"):
        die.program([[0, 1], [1, 2]])
    with pytest.raises(xb.ParameterError, match=r"shape \(1, 2\); the die has \(2, 2\)"):
        die.program([[0, 1]])


def test_negative_seeds():
    with pytest.raises(xb.ParameterError, match="seed = -1"):
        Device(**PAPER, d2d=0.1).fabricate((2, 2), seed=-1)


def test_streams_are_keyed_not_ordered():
    one = stream(7, "d2d", 1, 2).random(4)
    stream(7, "d2d", 1, 3).random(9)
    np.testing.assert_array_equal(one, stream(7, "d2d", 1, 2).random(4))
    assert not np.array_equal(one, stream(7, "c2c", 1, 2).random(4))


def test_shipped_chips_hold_the_papers_device():
    for name in ("paper-ann", "paper-bsnn"):
        chip = mp.load_chip(name)
        assert (chip.name, chip.rows, chip.cols) == (name, 256, 64)
        assert chip.device.g_lrs * chip.device.v_read == pytest.approx(3e-6)
        assert chip.device.on_off_ratio == 10 and chip.wires.r_wordline == 1.0
    assert mp.load_chip("paper-ann").readout.energy == pytest.approx(1e-12)
    assert mp.load_chip("paper-bsnn").readout.energy == pytest.approx(1e-12 / 128)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rows = 256", "rows = 0", r"Chip\.rows = 0: input should be greater than 0"),
        ("cols = 64", "cols = 1", r"Chip\.cols = 1: differential weights need at least 2 bitlines"),
        ("rows = 256", "row = 256", r"Chip\.row is not a field; did you mean rows\?$"),
        ("n_bits = 8", "n_bit = 8", r"Chip\.readout\.n_bit is not a field; did you mean n_bits\?$"),
        ("[readout]", "[read_out]", r"Chip\.read_out is not a field; did you mean readout\?$"),
        ("r_driver =", "r_drive =", r"Chip\.wires\.r_drive is not a field; did you mean r_driver\?$"),
        (
            'kind = "sar-adc"',
            'kind = "sar_adc"',
            r"readout\.kind = 'sar_adc': did you mean sar-adc\? give one of sar-adc,",
        ),
        (
            'kind = "sar-adc"',
            'kinds = "sar-adc"',
            r"readout\.kind is missing; kinds is not a field; did you mean kind\?",
        ),
        ("[device]", "[device]\nd2d = { sread = 0.1 }", r"device\.d2d\.sread is not a field; did you mean spread\?$"),
        ('r_driver = "1 Ohm"', 'r_driver = "2,5 Ohm"', r"wires\.r_driver: '2,5 Ohm' is no quantity.*write 2\.5 Ohm$"),
        ('r_driver = "1 Ohm"', 'r_driver = "-1 Ohm"', r"Chip\.wires\.r_driver: -1\.0: a resistance is 0 or more"),
        ('r_driver = "1 Ohm"', "r_driver = nan", "r_driver"),
        ("n_bits = 8", "n_bits = 13", r"n_bits = 13: input should be less than or equal to 12"),
        ('kind = "digital"', 'kind = "charge"', "neuron"),
        ("columns_per_adc = 8", "columns_per_adc = 65", "columns_per_adc = 65: the array has 64 columns"),
        ("[wires]", "[wires", "not valid TOML"),
    ],
)
def test_bad_chip_files(tmp_path, old, new, message):
    text = (mp.resources.data_folder() / "chips" / "paper-ann.toml").read_text()
    assert old in text
    path = tmp_path / "chip.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(xb.XbarsimError, match=message) as error:
        mp.load_chip(path)
    assert "\n" not in str(error.value) and "chip.toml" in str(error.value)
    assert len(str(error.value).replace(str(path), "")) <= 200


def test_read_outs_and_neurons_that_do_not_fit():
    chip = mp.load_chip("paper-bsnn")
    with pytest.raises(xb.ParameterError, match="a sar-adc feeds digital neurons"):
        chip.replace(readout=mp.load_chip("paper-ann").readout)
    with pytest.raises(xb.ParameterError, match="charge is not held between steps"):
        chip.replace(constant_input="once")
    with pytest.raises(xb.ParameterError, match="a difference needs a bit for its sign"):
        mp.load_chip("paper-ann").readout.replace(n_bits=1, sense="difference")


def test_unknown_chips():
    with pytest.raises(xb.ParameterError, match="chip 'tpu' is unknown; give one of isaac-like, neurram"):
        mp.load_chip("tpu")
    with pytest.raises(xb.FileError, match="no such file"):
        mp.load_chip("none.toml")


def test_mnist_ships_and_is_checked():
    images, labels = mp.load_dataset("mnist")
    assert images.shape == (10000, 28, 28) and images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def write_idx(folder, split, images, labels, compress=True):
    prefix = {"train": "train", "test": "t10k"}[split]
    for name, array in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
        header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
        raw = header + array.astype(np.uint8).tobytes()
        path = folder / (name + (".gz" if compress else ""))
        path.write_bytes(gzip.compress(raw) if compress else raw)


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


def test_changes_of_a_part_are_made_together_and_equal_sets_have_one_hash():
    chip = mp.load_chip("paper-bsnn")
    for given in (
        {"device__g_lrs": 2e3, "device__plausible": False},
        {"device__plausible": False, "device__g_lrs": 2e3},
    ):
        assert chip.replace(**given).device.g_lrs == 2e3
    again = mp.Chip(**chip.model_dump())
    assert again == chip and hash(again) == hash(chip) and hash(chip.replace(rows=8)) != hash(chip)
