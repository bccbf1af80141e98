"""Compiled kernels on disk: what is damaged, cannot be written or is made by two at a time never does harm."""

import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xbarsim.kernels import cache

pytestmark = pytest.mark.compiled

CALL = """
import numpy as np
from xbarsim.kernels.bound import line_conductances

assert line_conductances(np.ones((2, 3)))[0].tolist() == [3.0, 3.0]
print(sum(line_conductances.stats.cache_hits.values()))
"""


def start(folder, **options):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-W", "always", "-c", CALL], env=environment, **pipes, **options)


def run(folder, **options):
    """Return whether the kernel was found compiled, and what was said."""
    with start(folder, **options) as process:
        text, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return text == "1\n", error


def files(folder, kind):
    found = sorted(folder.rglob(f"bound.line_conductances*.{kind}"))
    assert found
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a folder of compiled kernels that are found again."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(folder) == (False, "") and run(folder) == (True, "")
    return folder


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "empty"])
def test_damaged_kernels_are_compiled_again(kind, damage, whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    for path in files(tmp_path, kind):
        data = bytearray(path.read_bytes())
        if damage == "flipped":
            data[-len(data) // 3] ^= 1
        else:
            del data[len(data) // 2 if damage == "cut" else 0 :]
        path.write_bytes(data)
    found, said = run(tmp_path)
    assert not found and (
        "compiled kernels are damaged; they are compiled again" in said or (kind, damage) == ("nbi", "empty")
    )
    assert run(tmp_path) == (True, "")


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    found, said = run(tmp_path / "file")
    assert not found and said.count("UserWarning") == 1
    assert re.search(
        r"cannot be written \(Not a directory\); kernels are compiled again in every process: set NUMBA", said
    )


def test_a_full_disk_is_said_once(tmp_path):
    found, said = run(tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)))
    assert not found and said.count("UserWarning") == 1 and "cannot be written (File too large)" in said
    assert run(tmp_path)[0] is False and run(tmp_path) == (True, "")


def test_two_cold_starts_at_a_time(tmp_path):
    both = [start(tmp_path) for _ in range(2)]
    for process in both:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0 and not error
    assert run(tmp_path) == (True, "")


def test_kernels_for_one_thread_and_for_all_lie_apart(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    code = "from xbarsim.kernels.certificate import certify, certify_wide\n"
    code += "print(certify._cache.cache_path, certify_wide._cache.cache_path)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    one, wide = done.stdout.split()
    assert one != wide and all(path.startswith(str(tmp_path)) for path in (one, wide))


def test_versions_of_numba_keep_out_of_each_others_files(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    sources = Path(cache.__file__).parent
    own, again = (cache.cache_folder.__wrapped__(sources) for _ in range(2))
    monkeypatch.setattr("numba.__version__", "0.1.2")
    assert own == again != cache.cache_folder.__wrapped__(sources)
