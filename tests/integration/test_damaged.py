"""Files of every kind that were cut, flipped or made up: read as they are, or refused in one line, in little time."""

import gzip
import io
import json
import random
import resource
import shutil
import struct
import time
import warnings
from itertools import pairwise

import nir
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from scipy.io import savemat

import mapping as mp
import xbarsim as xb
from mapping.inputs.resources import data_folder
from tests.builders.tasks import PLAN
from tests.builders.tasks import data as task

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
    savemat(folder / "g.mat", {"g": g}, do_compression=True)
    savemat(folder / "plain.mat", {"g": g})
    pd.DataFrame(g).to_excel(folder / "g.xlsx", header=False, index=False)
    weight = np.ones((3, 64))
    one = np.ones(3)
    nodes = {
        "input": nir.Input({"input": np.array([64])}),
        "linear": nir.Linear(weight=weight),
        "lif": nir.LIF(tau=2 * one, r=one, v_leak=0 * one, v_threshold=one),
        "output": nir.Output({"output": np.array([3])}),
    }
    names = list(nodes)
    nir.write(folder / "net.nir", nir.NIRGraph(nodes, list(pairwise(names))))
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
        "packed.npz": (".npz", saved(np.savez_compressed, g), xb.read_conductances),
        "mat": (".mat", (folder / "plain.mat").read_bytes(), xb.read_conductances),
        "packed.mat": (".mat", (folder / "g.mat").read_bytes(), xb.read_conductances),
        "xlsx": (".xlsx", (folder / "g.xlsx").read_bytes(), xb.read_conductances),
        "nir": (".nir", (folder / "net.nir").read_bytes(), lambda path: mp.load_network(path, dt=1.0)),
    }


@pytest.fixture(scope="module")
def searched(kinds, tmp_path_factory):
    """Return the same of a search."""
    path = tmp_path_factory.mktemp("searched") / "search.db"
    mp.search(PLAN, *task(), path, n_trials=2)
    return kinds | {"search": (".db", path.read_bytes(), mp.trials)}


QUICK = (
    *("chip", "study", "idx", "idx.gz", "npz", "network", "ann", "csv", "npy", "table.npz", "packed.npz"),
    "xlsx",
)
SLOW = ("mat", "packed.mat", "nir", "search")  # in a process of its own; in a data base
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


IN_FOLDER = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
CHANGES = st.lists(CHANGE, min_size=1, max_size=3)


@pytest.mark.parametrize("kind", QUICK)
@settings(max_examples=100, **IN_FOLDER)
@given(changes=CHANGES)
@example(changes=[("cut", 0.0, b"x")])
def test_only_our_errors_leave_a_reader(kind, changes, kinds, tmp_path):
    read_changed(kinds[kind], changes, tmp_path)


@pytest.mark.compiled
@pytest.mark.parametrize("kind", SLOW)
@settings(max_examples=12, **IN_FOLDER)
@given(changes=CHANGES)
@example(changes=[("cut", 0.0, b"x")])
def test_only_our_errors_leave_a_slow_reader(kind, changes, searched, tmp_path):
    read_changed(searched[kind], changes, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", QUICK + SLOW)
def test_only_our_errors_leave_a_reader_of_many_files(kind, searched, tmp_path, record_property):
    """As many as 10 seconds have room for; of a seed that is said, so that a fault is found again."""
    seed = time.time_ns() % 1_000_000
    ends, count, refused = time.monotonic() + 10, 0, 0
    while time.monotonic() < ends:
        rng = random.Random(f"{kind} {seed} {count}")
        change = [
            (rng.choice(["flip", "cut", "insert", "repeat"]), rng.random(), rng.randbytes(rng.randint(1, 12)))
            for _ in range(rng.randint(1, 3))
        ]
        try:
            refused += read_changed(searched[kind], change, tmp_path)
        except Exception as error:
            raise AssertionError(f"file {count} of seed {seed}: {change}") from error
        count += 1
    record_property(f"damaged files, {kind}", f"{count} of seed {seed}, {refused} refused, {count - refused} read")


def read_changed(kind, changes, tmp_path):
    """Read a changed file; return whether it was refused, in one line; that takes neither long nor half a gigabyte."""
    suffix, content, read = kind
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(changed(content, changes))
    began, held, refused = time.monotonic(), most_held(), False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(path)
    except xb.XbarsimError as error:
        refused = True
        assert "\n" not in str(error) and len(str(error)) <= 200 + len(str(path)), error
    assert time.monotonic() - began < 20 and most_held() - held < 500_000
    return refused


def most_held():
    """Return the most memory that this process, or one that it has ended, held [kB]; the latter begin with ours."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


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


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("[" * 100_000 + "]" * 100_000, "its specification is not valid"),
        (f'{{"beta": {"1" * 10_000}}}', "its specification is not valid"),
        (json.dumps({"beta": "x" * 10_000_000}), "its specification is not valid"),
        (
            json.dumps({"input_shape": [1, 4, 4], "layers": [{"kind": "dense", "out": 3}] * 20_000, "beta": 0.5,
                        "threshold": 1, "t_steps": 2}),
            "holds 1 tensors, too few for the 20000 layers",
        ),
    ],
    ids=["nested", "digits", "long", "layers"],
)  # fmt: skip
def test_specifications_that_take_for_ever_are_refused_soon(spec, words, tmp_path):
    save_file({"layers.0.weight": torch.zeros(3, 16, 1, 1)}, tmp_path / "x.safetensors", metadata={"spec": spec})
    began = time.monotonic()
    with pytest.raises(xb.FileError, match=words) as told:
        mp.load_network(tmp_path / "x.safetensors")
    assert time.monotonic() - began < 10 and len(str(told.value)) <= 200 + len(str(tmp_path))
