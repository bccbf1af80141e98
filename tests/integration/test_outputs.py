"""Files that are written: whole or not at all, whoever is killed and however full the disk is."""

import errno
import json
import os
import random
import resource
import stat
import subprocess
import sys
import time
from contextlib import contextmanager

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import xarray as xr

import mapping as mp
import xbarsim as xb
from mapping.training.checkpoint import Run
from xbarsim.outputs import write, write_netcdf, write_picture, write_text


@contextmanager
def files_of_at_most(size):
    """Let no file grow beyond a size, as a quota does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def names(folder):
    return [path.name for path in folder.iterdir()]


def picture():
    figure, ax = plt.subplots()
    ax.plot([0, 1])
    plt.close(figure)
    return figure


DATA = xr.Dataset({"x": ("n", np.arange(2000.0))})
WRITERS = {
    "text": ("a.json", lambda path, _: write_text(path, json.dumps(list(range(2000))))),
    "png": ("a.png", lambda path, _: write_picture(path, picture())),
    "svg": ("a.svg", lambda path, _: write_picture(path, picture())),
    "netcdf": ("a.nc", lambda path, _: write_netcdf(path, DATA)),
    "network": ("a.safetensors", lambda path, net: mp.save_network(net, path)),
    "report": (
        "r.json",
        lambda path, net: mp.map_network(net, "paper-bsnn").evaluate(np.zeros((1, 2, 6, 6)), [0]).to_json(path),
    ),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.compiled if kind == "report" else ()) for kind in WRITERS]
)
def test_what_does_not_fit_leaves_the_old_file_and_nothing_else(kind, tmp_path, tiny):
    name, write_one = WRITERS[kind]
    path = tmp_path / name
    write_one(path, tiny[0])
    whole = path.stat().st_size
    path.write_bytes(b"the old one")
    with files_of_at_most(whole // 2), pytest.raises(xb.FileError, match=f"{name}: cannot be written") as told:
        write_one(path, tiny[0])
    assert path.read_bytes() == b"the old one" and names(tmp_path) == [name]
    assert len(str(told.value)) <= 200 + len(str(tmp_path))
    write_one(path, tiny[0])
    assert path.stat().st_size == whole and names(tmp_path) == [name]


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path, tiny):
    network, images = tiny
    adam = torch.optim.Adam(network.parameters())
    run = Run(network, adam, mp.TrainingSettings(epochs=1), images, np.arange(len(images)) % 3)
    with run.stored_in(tmp_path):
        run.finish_epoch(0.5, 0.5, 1.0, 1.0)
        before = (tmp_path / "run.safetensors").read_bytes()
        with files_of_at_most(100), pytest.raises(xb.FileError, match="File too large"):
            run.finish_epoch(0.6, 0.6, 0.9, 1.0)
    assert (tmp_path / "run.safetensors").read_bytes() == before and names(tmp_path) == ["run.safetensors"]


def test_links_devices_and_permissions_stay_what_they_are(tmp_path):
    there, link = tmp_path / "there.json", tmp_path / "link.json"
    there.write_text("old")
    there.chmod(0o640)
    link.symlink_to(there)
    write_text(link, "new")
    assert link.is_symlink() and there.read_text() == "new\n" and stat.S_IMODE(there.stat().st_mode) == 0o640
    write_text(tmp_path / "fresh.json", "x")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "fresh.json").stat().st_mode) == 0o666 & ~umask
    write(os.devnull, b"x")
    with pytest.raises(xb.FileError, match="/dev/full: cannot be written \\(No space left on device\\)"):
        write("/dev/full", b"x")
    with pytest.raises(xb.FileError, match="no/x: cannot be written \\(No such file or directory\\)"):
        write(tmp_path / "no/x", b"x")


BUSY = """
import sys
from xbarsim.outputs import write
from xbarsim.errors import FileError
contents = [bytes([k]) * 4_000_000 for k in (1, 2)]
print("begun", flush=True)
while True:
    for content in contents:
        try:
            write(sys.argv[1], content)
        except FileError:  # the other one is writing it
            pass
"""


@contextmanager
def busy(path):
    """A process that writes a file all the while, killed in the end."""
    with subprocess.Popen([sys.executable, "-c", BUSY, path], stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout.readline() == b"begun\n"
            yield
        finally:
            writer.kill()


def whole(path, *others):
    content = path.read_bytes()
    return content in others or (len(content) == 4_000_000 and len(set(content)) == 1)


def test_a_killed_writer_leaves_a_whole_file(tmp_path):
    """Ten writers of 4 MB killed at random moments; what the last one left is written over."""
    path, rng = tmp_path / "out.bin", random.Random(0)
    write(path, b"old")
    for _ in range(10):
        with busy(path):
            time.sleep(rng.uniform(0, 0.05))
        assert whole(path, b"old")
    write(path, b"new")
    assert path.read_bytes() == b"new" and names(tmp_path) == ["out.bin"]


def test_of_two_writers_of_one_file_one_is_refused(tmp_path):
    path, refused = tmp_path / "out.bin", 0
    write(path, b"mine")
    with busy(path):
        ends = time.monotonic() + 1
        while time.monotonic() < ends:
            try:
                write(path, b"mine")
            except xb.FileError as error:
                assert "another process is writing it" in str(error)
                refused += 1
            assert whole(path, b"mine")
    assert refused > 0


def test_file_systems_without_locks(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("xbarsim.outputs.flock", flock)
    write_text(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "new\n" and names(tmp_path) == ["x"]


@pytest.mark.compiled
def test_files_are_written_although_nobody_reads_on(tmp_path):
    command = [sys.executable, "-m", "mapping", "report", "--images", "2", "--json", tmp_path / "r.json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.wait(timeout=120) == 0 and not process.stderr.read().strip()
    assert len(json.loads((tmp_path / "r.json").read_text())["reports"]) == 2
