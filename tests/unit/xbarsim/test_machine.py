"""Memory: what a process may take, asked before anything is taken; any number of reads in pieces."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xbarsim as xb
from xbarsim import machine, nodal
from xbarsim.machine import check_memory
from xbarsim.reads import Outcome, in_pieces

G = np.random.default_rng(0).uniform(1e-6, 1e-5, (6, 5))
WIRES = xb.Wires(r_wordline=2.0, r_bitline=1.0, r_driver=50.0, r_sense=20.0)


@pytest.mark.parametrize(
    ("own", "limits", "expected"),
    [
        ("0::/job/step\n", {"job/step/memory.max": "max", "job/memory.max": "4096", "memory.max": "8"}, [4096, 8]),
        ("5:cpu:/\n4:memory:/a\n", {f"memory/{at}memory.limit_in_bytes": "9" for at in ("a/", "")}, [9, 9]),
        ("0::/gone/elsewhere\n", {"memory.max": "77"}, [77]),  # as containers see it
        ("0::/\n", {}, []),
    ],
)  # fmt: skip
def test_limits_of_cgroups_up_to_the_root(own, limits, expected, tmp_path):
    (tmp_path / "own").write_text(own)
    for name, text in limits.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert list(machine._cgroup_limits(tmp_path / "fs", tmp_path / "own")) == expected


def test_without_linux_or_a_cgroup_there_is_no_limit(tmp_path):
    assert list(machine._cgroup_limits(tmp_path, tmp_path / "none")) == []


def test_a_cgroup_bounds_what_is_solved(monkeypatch):
    monkeypatch.setattr(machine, "_cgroup_limits", lambda: [3 * 10**9])
    with pytest.raises(
        xb.ParameterError, match=r"need 5 GB of memory; .*B are left of the 3 GB that its cgroup allows"
    ):
        check_memory(5e9, "they", "take less")


LIMITED = """
import resource
import sys
import time
import numpy as np
import xbarsim as xb

crossbar = xb.Crossbar(np.full((64, 64), 1e-5))
xb.solve(crossbar, np.zeros((2, 64)))  # what is loaded counts too
used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(getattr(resource, sys.argv[1]), (used + 2_600_000_000,) * 2)
v = np.zeros((1_500_000, 64))  # 768 MB, which two more do not fit beside
began = time.monotonic()
try:
    xb.solve(crossbar, v)
except xb.ParameterError as error:
    print(error)
assert time.monotonic() - began < 1
v.flags.writeable = False
print(xb.solve(crossbar, v).i_bitline.shape)
"""


@pytest.mark.compiled
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ulimit_is_respected_and_a_read_only_array_needs_no_copy():
    run = subprocess.run([sys.executable, "-c", LIMITED, "RLIMIT_AS"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    refusal, shape = run.stdout.splitlines()
    assert refusal.startswith("1500000 read(s) of 64 x 64 cells need 2.01 GB") and "that ulimit -v allows" in refusal
    assert refusal.endswith("; v_wordline.flags.writeable = False saves a copy") and shape == "(1500000, 64)"


@pytest.mark.compiled
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(0, 160),
    cell=st.sampled_from([None, xb.Sinh(v_char=0.2)]),
    method=st.sampled_from(["auto", "nodes", "ports", "elimination"]),
    floating=st.booleans(),
    biased=st.sampled_from(["none", "each bitline", "each read"]),
)
def test_reads_in_pieces_are_those_of_one_piece(n, cell, method, floating, biased, monkeypatch):
    rng = np.random.default_rng(n)
    crossbar = xb.Crossbar(G, wires=WIRES, cell=cell)
    method = "auto" if cell else method
    shape = {"none": (), "each bitline": (5,), "each read": (n, 1)}[biased]
    options = {"v_bitline": rng.uniform(-0.1, 0.1, shape), "method": method}
    if floating:
        options |= {"floating_wordlines": np.arange(6) == 2, "floating_bitlines": np.arange(5) == 1}
    v = rng.uniform(-0.3, 0.3, (n, 6))
    whole = xb.solve(crossbar, v, **options)
    with monkeypatch.context() as patch:
        patch.setattr(nodal, "_PIECE", 1)
        parts = xb.solve(crossbar, v, **options)
        names = ["i_bitline", "i_wordline", "dissipated", "v_wordline", "i_cell", "residual"]
        found = {name: getattr(parts, name) for name in names}
    for name in names:
        expected = getattr(whole, name)
        scale = np.abs(expected).max(initial=0.0)
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-13 if name == "residual" else 1e-11 * scale)


def test_arrays_that_cannot_be_written_to_are_not_copied(tmp_path):
    crossbar = xb.Crossbar(G, wires=WIRES)
    v = np.random.default_rng(1).uniform(0, 0.3, (50, 6))
    np.save(tmp_path / "v.npy", v)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    solution = xb.solve(crossbar, mapped)
    assert np.shares_memory(solution.v_driver, mapped)
    expected = xb.solve(crossbar, v)
    assert not np.shares_memory(expected.v_driver, v)
    np.testing.assert_array_equal(solution.i_bitline, expected.i_bitline)
    np.testing.assert_array_equal(solution.power, expected.power)


@pytest.mark.parametrize("known", [(True, True, True), (False, True, True), (True, False, True), (False, False, False)])
def test_wordline_currents_are_known_of_all_reads_or_of_none(known):
    """Reads through port matrices know none, those of another piece may have been eliminated."""
    pieces = iter(known)

    def way(v, v_end):
        i_wordline = 2 * v if next(pieces) else np.empty((len(v), 0))
        return Outcome(i_wordline, 3 * v_end, np.zeros((len(v), 4)), lambda: None)

    v, v_end = np.random.default_rng(0).uniform(size=(2, 7, 4))
    found = in_pieces(way, v, v_end, 3)
    np.testing.assert_array_equal(found.i_bitline, 3 * v_end)
    np.testing.assert_array_equal(found.i_wordline, 2 * v if all(known) else np.empty((7, 0)))
