"""Circuit solves against peers and against themselves, in one run, compilation excluded.

Case of the tables: LRS 100 kohm, HRS 1 Mohm, half and half, 1 ohm per wire segment, inputs 0 or 0.3 V. Times are
medians of wall-clock time on one thread; both sides start from an array of cells and end with bitline currents, ours
with the certificate too. ``make bench`` sets OMP_NUM_THREADS=1 (peers) and NUMBA_NUM_THREADS=2 (for the last table but
one).
CrossSim, which is not on PyPI, takes part if ``import simulator`` works:
pip install https://github.com/sandialabs/cross-sim/archive/refs/tags/v3.2.0.tar.gz
"""

import logging
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version

import numba
import numpy as np
import peers

import xbarsim as xb
from xbarsim.circuit import resistances
from xbarsim.kernels.chebyshev import sweeps_needed
from xbarsim.kernels.ladder import ladders
from xbarsim.kernels.linear import MOST_SWEEPS

WIRES = xb.Wires(r_wordline=1.0, r_bitline=1.0, r_driver=1.0, r_sense=1.0)
SWEEP_BYTES, ITERATION_BYTES = 104, 168  # moved per cell: 13 arrays of chebyshev.sweep, 21 of schur.conjugate_gradients
PEAK = """
import sys
from pathlib import Path
import numpy as np
import xbarsim as xb

def peak():
    return Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]

size, imported = int(sys.argv[1]), peak()
g = np.where(np.random.default_rng(0).random((size, size)) < 0.5, 1e-5, 1e-6)
xb.solve(xb.Crossbar(g, wires=xb.Wires(r_wordline=1, r_bitline=1, r_driver=1, r_sense=1)), np.full(size, 0.3))
print(peak(), imported)
"""


def case(n_rows, n_cols, n_vectors=1):
    rng = np.random.default_rng(0)
    g = np.where(rng.random((n_rows, n_cols)) < 0.5, 1e-5, 1e-6)
    return g, 0.3 * (rng.random((n_vectors, n_rows)) < 0.5)


def solve(g, v, wires=WIRES, cell=None):
    return xb.solve(xb.Crossbar(g, wires=wires, cell=cell), v)


def median_time(function, repeats=5, at_least=0.5):
    """Return the median time of so many calls, or of as many as fill ``at_least`` seconds, the first not counted."""
    function()
    times = []
    while len(times) < repeats or sum(times) < at_least:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def header(*columns):
    print("\n| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))


def against_peers():
    header("case", "xbarsim", "peer", "ratio", "largest difference")
    rows = [
        ((256, 64, 1), "badcrossbar", peers.badcrossbar_currents, 3),
        ((256, 64, 1), "SuperLU", peers.superlu_currents, 3),
        ((256, 64, 1), "CHOLMOD", peers.cholmod_currents, 5),
        ((256, 64, 100), "badcrossbar", peers.badcrossbar_currents, 3),
        ((256, 64, 100), "SuperLU", peers.superlu_currents, 3),
        ((512, 512, 1), "badcrossbar", peers.badcrossbar_currents, 1),
        ((512, 512, 1), "CHOLMOD", peers.cholmod_currents, 3),
    ]
    if peers.HAS_CROSSSIM:
        rows += [((256, 64, n), "CrossSim, 1e-10", peers.crosssim_currents, 3) for n in (1, 100)]
    for size, name, peer, repeats in rows:
        g, v = case(*size)
        mine, other = median_time(lambda g=g, v=v: solve(g, v)), median_time(lambda g=g, v=v: peer(g, v), repeats)
        ours, theirs = solve(g, v).i_bitline, peer(g, v)
        apart = np.abs(ours - theirs).max() / np.abs(theirs).max()
        label = f"{size[0]} x {size[1]}, {size[2]} vector{'s' * (size[2] > 1)}"
        print(f"| {label} | {mine * 1e3:.3g} ms | {name} {other * 1e3:.4g} ms | {other / mine:.0f} | {apart:.0e} |")
    g, _ = case(256, 64)

    def ports():
        model = xb.reduce(xb.Crossbar(g, wires=WIRES))
        return model.transfer, model.admittance, model.driver_admittance

    mine, other = median_time(ports), median_time(lambda: peers.superlu_ports(g), 3)
    apart = max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ports(), peers.superlu_ports(g)))
    ratio = f"{other / mine:.0f} | {apart:.0e}"
    print(f"| 256 x 64, T, Y and H | {mine * 1e3:.3g} ms | SuperLU {other * 1e3:.4g} ms | {ratio} |")


def largest_array():
    """Compare CPU time and memory of 1024 x 1024 with badcrossbar, which needs over 6 GB and most of a minute."""
    g, v = case(1024, 1024)
    times = []
    for function in (lambda: solve(g, v), lambda: peers.badcrossbar_currents(g, v)):
        function() if not times else None
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    environment = os.environ | {"NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PEAK, "1024"], capture_output=True, text=True, check=True, env=environment
    )
    peak, imports = (int(part) * 1024 / 1e6 for part in done.stdout.split())
    header("1024 x 1024, 1 vector", "xbarsim", "badcrossbar", "ratio")
    print(f"| CPU time | {times[0] * 1e3:.4g} ms | {times[1]:.3g} s | {times[1] / times[0]:.0f} |")
    print(f"| peak memory of the process | {peak:.0f} MB, {imports:.0f} MB of it after import | | |")


def against_itself():
    g, v = case(256, 64)
    heavy = xb.Wires(r_wordline=5, r_bitline=5, r_driver=5, r_sense=5)
    cases = {
        "mild": (g, v, WIRES, None),
        "LRS 5 k, HRS 1 M, 5 ohm": (np.where(g > 5e-6, 2e-4, 1e-6), v, heavy, None),
        "sinh cells, v_char 0.3 V": (g, v, WIRES, xb.Sinh(v_char=0.3)),
    }
    header("256 x 64, 1 vector", "time", "of the mild case", "iterations")
    mild = None
    for label, arguments in cases.items():
        taken = median_time(lambda a=arguments: solve(*a))
        mild = mild or taken
        print(f"| {label} | {taken * 1e3:.3g} ms | {taken / mild:.1f} | {int(solve(*arguments).iterations.max())} |")


def bytes_moved(g):
    """Return the bytes per cell of a sweep, or of an iteration of conjugate gradients, whichever ``solve`` takes."""
    rho = ladders(1, g, tuple(resistances(xb.Crossbar(g, wires=WIRES))), *np.empty((5, *g.shape)))
    return SWEEP_BYTES if sweeps_needed(rho, 1e-12, MOST_SWEEPS) else ITERATION_BYTES


def growth():
    """Print time per cell and iteration over array size, and what share of the memory bandwidth it moves."""
    a = np.ones(1 << 23)
    b = np.empty_like(a)
    bandwidth = 2 * a.nbytes / median_time(lambda: np.copyto(b, a))
    print(f"\nA copy of 64 MB moves {bandwidth / 1e9:.1f} GB/s on one thread.")
    header("size", "iterations", "time", "per cell and iteration", "of the 64 x 64", "GB/s", "of the copy's")
    first = None
    for size in (64, 256, 512, 1024):
        g, v = case(size, size)
        taken, iterations = median_time(lambda g=g, v=v: solve(g, v)), int(solve(g, v).iterations.max())
        each = taken / size**2 / iterations
        first = first or each
        moved = bytes_moved(g) / each
        print(
            f"| {size} x {size} | {iterations} | {taken * 1e3:.3g} ms | {each * 1e9:.1f} ns | {each / first:.2f} | "
            f"{moved / 1e9:.0f} | {moved / bandwidth:.0%} |"
        )


def threads():
    header("two threads", "one thread", "two threads", "ratio")
    g, v = case(256, 64, 960)
    wide, v_wide = case(1024, 1024)
    cases = {
        "256 x 64, 960 vectors, by nodes": lambda: xb.solve(xb.Crossbar(g, wires=WIRES), v, method="nodes"),
        "1024 x 1024, 1 vector": lambda: solve(wide, v_wide),
    }
    for label, function in cases.items():
        times = []
        for count in (1, 2):
            numba.set_num_threads(count)
            times.append(median_time(function, 7, at_least=2.0))
        numba.set_num_threads(1)
        print(f"| {label} | {times[0] * 1e3:.4g} ms | {times[1] * 1e3:.4g} ms | {times[0] / times[1]:.2f} |")


def approximations():
    header("256 x 64, 1 vector", "model", "time", "largest error of the largest current")
    for label, r_wire in (("0.1 ohm", 0.1), ("1 ohm", 1.0), ("5 ohm", 5.0)):
        g, v = case(256, 64)
        crossbar = xb.Crossbar(g, wires=xb.Wires(r_wordline=r_wire, r_bitline=r_wire, r_driver=r_wire, r_sense=r_wire))
        exact = xb.solve(crossbar, v).i_bitline
        for model in ("ideal", "series", "one-pass"):
            taken = median_time(lambda c=crossbar, m=model: xb.approximate(c, v, m))
            error = np.abs(xb.approximate(crossbar, v, model) - exact).max() / exact.max()
            print(f"| {label} | {model} | {taken * 1e6:.0f} us | {error:.2%} |")


def main():
    if os.environ.get("OMP_NUM_THREADS") != "1" or numba.config.NUMBA_NUM_THREADS < 2:
        sys.exit("set OMP_NUM_THREADS=1 and NUMBA_NUM_THREADS=2, as make bench does, on two cores or more")
    numba.set_num_threads(1)
    logging.disable(logging.INFO)
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "numba", "badcrossbar", "cvxopt"))
    print(f"Python {platform.python_version()}, {versions}, one thread")
    against_peers()
    against_itself()
    approximations()
    growth()
    threads()
    largest_array()


if __name__ == "__main__":
    main()
