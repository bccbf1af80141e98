"""Devices: programming, read disturb and output noise, against slow twins and solving again, in one run.

Arrays of 256 x 64 cells, half in LRS. Compilation is excluded. ``make bench`` sets OMP_NUM_THREADS=1; programming uses
two processes.
"""

import multiprocessing
import os
import platform
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version

import numpy as np
from circuit import WIRES, header, median_time

import xbarsim as xb

PAPER = {"i_lrs": "3 uA", "v_read": "0.3 V", "on_off_ratio": 10, "t_read": "25 ns"}
ALL_KINDS = {
    "d2d": {"spread": {"lrs": 0.1, "hrs": 0.2}, "correlation_length": 5, "die_spread": 0.05},
    "c2c": {"spread": 0.05, "write_verify": {"tolerance": 0.1, "max_pulses": 5}},
    "faults": {
        "stuck_lrs": 0.01, "stuck_hrs": 0.01, "open_cells": 0.001, "shorted_cells": 0.0001, "broken_wordlines": 0.01,
        "broken_bitlines": 0.01, "bridged_wordlines": 0.01, "bridged_bitlines": 0.01, "r_short": "100 Ohm",
    },
}  # fmt: skip
LATER = {  # draws of their own only once time passes or a read happens
    "retention": {"nu": 0.02, "nu_spread": 0.01, "t0": "20 s"},
    "read_disturb": "power-law",
    "read_noise": {"gaussian": 0.02, "flicker": {"spread": 0.01, "f_low": "1 Hz", "f_high": "1 MHz"}},
}
KINDS = {
    "none": {},
    "D2D": {"d2d": 0.1},
    "D2D, correlated": {"d2d": {"spread": 0.1, "correlation_length": 5}},
    "C2C": {"c2c": 0.05},
    "C2C with write-verify": {"c2c": ALL_KINDS["c2c"]},
    "faults of cells and lines": {"faults": ALL_KINDS["faults"]},
    "all of these": ALL_KINDS,
    "and drift, disturb and read noise to come": ALL_KINDS | LATER,
}
BITS = np.random.default_rng(0).integers(0, 2, (256, 64))


def program(seeds):
    device = xb.Device(**(PAPER | ALL_KINDS | LATER))
    total = sum(device.program(BITS, seed=seed).sum() for seed in seeds)
    return total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def programming():
    header("one array of 256 x 64, one process", "time")
    for kind, values in KINDS.items():
        device = xb.Device(**(PAPER | values))
        print(f"| {kind} | {median_time(lambda d=device: d.program(BITS, seed=1)) * 1e3:.2f} ms |")
    header("all kinds, two processes", "time", "peak memory of one")
    spawn = multiprocessing.get_context("spawn")
    for count in (1_000, 10_000):
        with ProcessPoolExecutor(2, mp_context=spawn) as pool:
            list(pool.map(program, [range(2), range(2)]))
            start = time.perf_counter()
            parts = list(pool.map(program, (range(first, first + 250) for first in range(0, count, 250))))
            taken = time.perf_counter() - start
        print(f"| {count} arrays | {taken:.2f} s | {max(peak for _, peak in parts):.0f} MB |")


def naive_disturb(law, v, time, temperature=300.0):
    """Return G / G0 cell by cell, from the published law."""
    ratio = np.ones(v.shape)
    for i, j in np.ndindex(v.shape):
        p = law.c * np.exp(law.a * abs(v[i, j]) / (8.617333262e-5 * temperature))
        onset = law.t0 * law.onset ** (1 / p)
        ratio[i, j] = (time / onset) ** -p if time > onset else 1.0
    return ratio


def disturb():
    law = xb.PowerLawDisturb()
    die = xb.Device(**PAPER, read_disturb=law).fabricate(BITS.shape, seed=0)
    die.program(BITS)
    v_cell = xb.solve(die.circuit(WIRES).crossbar, np.full(256, 0.3)).v_cell
    start = die.conductance

    def update():
        die.advance(v_cell, n_reads=1e6)

    def advance():
        update()
        return die.conductance

    advance()
    expected = naive_disturb(law, v_cell, 25e-9 * 1e6)
    apart = np.abs(np.where(BITS == 1, expected, 1.0) * start - die.conductance).max() / 1e-5
    mine, twin = median_time(advance), median_time(lambda: naive_disturb(law, v_cell, 25e-3), 3)
    header("read disturb of 256 x 64 at known voltages", "xbarsim", "cell by cell", "ratio", "largest difference")
    print(f"| update | {median_time(update) * 1e6:.0f} us | | | |")
    print(f"| and new conductances | {mine * 1e6:.0f} us | {twin * 1e3:.0f} ms | {twin / mine:.0f} | {apart:.0e} |")


def noise():
    rng = np.random.default_rng(0)
    g = np.where(BITS == 1, 1e-5, 1e-6)
    crossbar, sigma = xb.Crossbar(g, wires=WIRES), 0.05 * g
    v = 0.3 * (rng.random((1000, 256)) < 6 / 256)
    ready = xb.output_noise(crossbar, sigma)

    def again():
        return xb.solve(xb.Crossbar(g + sigma * rng.standard_normal(g.shape), wires=WIRES), v[0]).i_bitline

    exact = median_time(again)
    v_cell = xb.solve(crossbar, v[0]).v_cell
    cases = {
        "nominal voltages, 1000 reads at a time": median_time(lambda: ready.sample(v, rng)) / 1000,
        "nominal voltages, one read": median_time(lambda: ready.sample(v[0], rng)),
        "solved voltages known, one read": median_time(lambda: ready.sample(v[0], rng, v_cell)),
    }
    header("noise of a read of 256 x 64", "per read", "solving again", "ratio")
    for label, taken in cases.items():
        print(f"| {label} | {taken * 1e6:.1f} us | {exact * 1e6:.0f} us | {exact / taken:.0f} |")
    prepared = median_time(lambda: xb.output_noise(crossbar, sigma), 5)
    print(f"\nPreparing it, once for a state of the cells, takes {prepared * 1e3:.0f} ms.")


def main():
    if os.environ.get("OMP_NUM_THREADS") != "1":
        sys.exit("set OMP_NUM_THREADS=1, as make bench does")
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "numba"))
    print(f"Python {platform.python_version()}, {versions}")
    programming()
    disturb()
    noise()


if __name__ == "__main__":
    main()
