"""The same bits for any number of threads."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xbarsim as xb
from xbarsim.kernels.jit import set_thread_count, thread_count
from xbarsim.reads import _WIDE

QUANTITIES = ("i_bitline", "i_wordline", "v_wordline", "v_bitline", "i_cell", "dissipated", "residual", "iterations")


@pytest.fixture(scope="module")
def threads():
    before = thread_count()
    if before < 2:
        pytest.skip("a single thread")
    yield (1, before)
    set_thread_count(before)


def solved(crossbar, v, n_threads, **options):
    set_thread_count(n_threads)
    solution = xb.solve(crossbar, v, **options)
    return {name: getattr(solution, name) for name in QUANTITIES}


@pytest.mark.compiled
@settings(max_examples=12, deadline=None)
@given(
    rows=st.integers(1, 4000),
    ohms=st.sampled_from([0.0, 0.05, 1.0, 30.0]),
    ends=st.sampled_from([0.0, 10.0]),
    cell=st.sampled_from([None, None, xb.Sinh(v_char=0.3)]),
    n_reads=st.integers(1, 3),
)
def test_arrays_of_every_shape(threads, rows, ohms, ends, cell, n_reads):
    """From 2^17 cells on one read takes all threads."""
    columns = -(-(_WIDE if cell is None else _WIDE // 8) // rows) + rows % 5
    rng = np.random.default_rng(rows)
    wires = xb.Wires(r_wordline=ohms, r_bitline=2 * ohms, r_driver=ends, r_sense=ends)
    crossbar = xb.Crossbar(rng.uniform(1e-7, 1e-5, (rows, columns)), wires=wires, cell=cell)
    v = rng.uniform(-0.3, 0.3, (n_reads, rows))
    one, many = (solved(crossbar, v, n, tol=1e-10) for n in threads)
    for name in QUANTITIES:
        np.testing.assert_array_equal(one[name], many[name], err_msg=name)


@pytest.mark.compiled
@settings(max_examples=12, deadline=None)
@given(rows=st.integers(1, 120), columns=st.integers(1, 120), n_reads=st.integers(2, 400),
       method=st.sampled_from(["nodes", "ports"]))  # fmt: skip
def test_batches_of_every_size(threads, rows, columns, n_reads, method):
    rng = np.random.default_rng(n_reads)
    wires = xb.Wires(r_wordline=1.0, r_bitline=1.0, r_driver=5.0)
    crossbar = xb.Crossbar(rng.uniform(1e-7, 1e-5, (rows, columns)), wires=wires)
    v = rng.uniform(-0.3, 0.3, (n_reads, rows))
    one, many = (solved(crossbar, v, n, method=method)["i_bitline"] for n in threads)
    np.testing.assert_array_equal(one, many)


PORTS = """
import numpy as np
import xbarsim as xb

rng = np.random.default_rng(0)
crossbar = xb.Crossbar(rng.uniform(1e-7, 1e-5, (300, 200)), wires=xb.Wires(r_wordline=1.0))
print(xb.solve(crossbar, rng.uniform(0, 0.3, (3000, 300)), method="ports").i_bitline.tobytes().hex()[:100_000])
"""


@pytest.mark.compiled
def test_products_by_blas():
    """Whose threads are those of the environment."""
    found = set()
    for count in "12":
        environment = os.environ | {"OPENBLAS_NUM_THREADS": count, "OMP_NUM_THREADS": count}
        run = subprocess.run([sys.executable, "-c", PORTS], capture_output=True, text=True, env=environment, check=True)
        found.add(run.stdout)
    assert len(found) == 1
