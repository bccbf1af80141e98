"""Files of every kind that were cut, flipped or made up: read as they are, or refused in one line, in little time."""

import gzip
import io
import shutil
import struct
import time
import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import mapping as mp
import xbarsim as xb
from mapping.resources import data_folder

IMAGES, LABELS = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8), np.array([0, 1, 2])


def idx(array):
    return (
        bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    )


def saved(save, *arrays, **named):
    buffer = io.BytesIO()
    save(buffer, *arrays, **named)
    return buffer.getvalue()


def read_idx(path):
    folder = path.parent / "idx"
    folder.mkdir(exist_ok=True)
    shutil.copy(path, folder / f"t10k-images-idx3-ubyte{'.gz' if path.suffix == '.gz' else ''}")
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(LABELS))
    return mp.load_dataset(folder)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Return, by kind, the suffix of a file, what it holds, and what reads it."""
    folder = tmp_path_factory.mktemp("whole")
    spec = mp.NetworkSpec(
        input_shape=(1, 8, 8), layers=[mp.LayerSpec(kind="dense", out=3)], beta=0.5, threshold=1.0, t_steps=2
    )
    mp.save_network(mp.Network(spec), folder / "net.safetensors")
    g = np.full((3, 4), 1e-5)
    return {
        "chip": (".toml", (data_folder() / "chips/paper-bsnn.toml").read_bytes(), mp.load_chip),
        "study": (".toml", (data_folder() / "studies/d2d.toml").read_bytes(), mp.load_study),
        "idx": ("", idx(IMAGES), read_idx),
        "idx.gz": (".gz", gzip.compress(idx(IMAGES)), read_idx),
        "npz": (".npz", saved(np.savez, images=IMAGES, labels=LABELS), mp.load_dataset),
        "network": (".safetensors", (folder / "net.safetensors").read_bytes(), mp.load_network),
        "ann": (".safetensors", (folder / "net.safetensors").read_bytes(), mp.load_ann),
        "csv": (".csv", b"1e-5,2e-5\n3e-5,4e-5\n", xb.read_conductances),
        "npy": (".npy", saved(np.save, g), xb.read_conductances),
        "table.npz": (".npz", saved(np.savez, g), xb.read_conductances),
    }


KINDS = ("chip", "study", "idx", "idx.gz", "npz", "network", "ann", "csv", "npy", "table.npz")
CHANGE = st.tuples(
    st.sampled_from(["flip", "cut", "insert", "repeat"]), st.floats(0, 1), st.binary(min_size=1, max_size=12)
)


def changed(content, changes):
    content = bytearray(content)
    for kind, where, data in changes:
        place = int(where * len(content))
        if kind == "flip" and place < len(content):
            content[place] ^= data[0] or 1
        elif kind == "cut":
            del content[place:]
        elif kind == "insert":
            content[place:place] = data
        elif kind == "repeat":
            content[place:place] = content[max(0, place - data[0]) : place] * len(data)
    return bytes(content)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(CHANGE, min_size=1, max_size=3))
@example(changes=[("cut", 0.0, b"x")])
def test_only_our_errors_leave_a_reader(kind, changes, kinds, tmp_path):
    suffix, content, read = kinds[kind]
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(changed(content, changes))
    began = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(path)
    except xb.XbarsimError as error:
        assert "\n" not in str(error) and len(str(error)) <= 300 + len(str(path))
    assert time.monotonic() - began < 20


TOML = {
    "nested": b"a = " + b"[" * 50_000 + b"]" * 50_000,
    "digits": b"rows = " + b"1" * 5_000,
    "dotted": b"a" + b".a" * 100_000 + b" = 1",
    "table": b"[a" + b".a" * 100_000 + b"]",
    "long": b"# " + b"x" * 20_000_000,
    "bytes": b"\xff\xfe",
}


@pytest.mark.parametrize("kind", TOML)
def test_toml_that_takes_for_ever_is_refused_at_once(kind, tmp_path):
    (tmp_path / "x.toml").write_bytes(TOML[kind])
    for read in (mp.load_chip, mp.load_study, mp.load_recipe):
        began = time.monotonic()
        with pytest.raises(xb.FileError, match=r"x\.toml: (not valid TOML|line 1 has a key of more|longer than)"):
            read(tmp_path / "x.toml")
        assert time.monotonic() - began < 5


def test_what_a_file_declares_is_read_and_no_more(tmp_path):
    """A gigabyte of zeros behind three images, packed; and sizes whose product is 2^64."""
    path = tmp_path / "images.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(idx(IMAGES))
        for _ in range(1 << 6):
            file.write(bytes(1 << 24))
    began = time.monotonic()
    with pytest.raises(xb.FileError, match=r"too long, 193 bytes of data where \(3, 8, 8\) is declared"):
        read_idx(path)
    assert time.monotonic() - began < 2
    path.write_bytes(gzip.compress(bytes((0, 0, 8, 3)) + struct.pack(">3I", 2**31, 2**31, 4) + bytes(100)))
    with pytest.raises(xb.FileError, match="declares 18446744073709551616 bytes"):
        read_idx(path)


@pytest.mark.parametrize(
    "read", [mp.load_chip, mp.load_network, mp.load_ann, mp.load_dataset, mp.load_study, mp.load_recipe]
)
def test_names_that_no_file_can_have(read):
    for name in ("x" * 5_000, "/".join(["x" * 100] * 100), "a\0b"):
        with pytest.raises(xb.XbarsimError) as told:
            read(name)
        assert len(str(told.value)) <= 200


def test_tensors_with_gradients_are_refused_with_a_remedy():
    g = torch.full((2, 2), 1e-5, requires_grad=True)
    for given_ in (lambda: xb.Crossbar(g), lambda: xb.solve(xb.Crossbar(np.full((2, 2), 1e-5)), 1e4 * g[0])):
        with pytest.raises(xb.ParameterError, match=r"is a Tensor that is no array; give its \.detach\(\)\.cpu\(\)"):
            given_()
