"""A study of small arrays, which tests run in processes of its own."""

import os
import sys
import time
from pathlib import Path

import numpy as np

import xbarsim as xb

AXES = {"on_off_ratio": [2, 5, 10, 20], "r_wire": [0.0, 1.0, 5.0]}
TRIALS = 10


def loss(rng, on_off_ratio, r_wire):
    """Solve a small array of random bits; return currents, and the share of them that the wires take."""
    g = 1e-5 * np.where(rng.random((12, 6)) < 0.5, 1.0, 1.0 / on_off_ratio) * rng.lognormal(0, 0.1, (12, 6))
    wires = xb.Wires(r_wordline=r_wire, r_bitline=r_wire, r_driver=r_wire, r_sense=r_wire)
    currents = xb.solve(xb.Crossbar(g, wires=wires), np.full(12, 0.3)).i_bitline
    time.sleep(float(os.environ.get("STUDY_PAUSE", "0")))
    begun, log = os.environ.get("STUDY_BEGUN"), os.environ.get("STUDY_LOG")
    if begun:
        Path(begun).touch()
    if log:
        with Path(log).open("a") as file:
            file.write(f"{on_off_ratio} {r_wire} {rng.integers(1 << 62)}\n")
    return {"lost": 1 - currents.sum() / (0.3 * g.sum()), "i_bitline": ("bitline", currents)}


def study(store, workers):
    """Return the study of all axes."""
    units = {"r_wire": "Ohm", "lost": "1", "i_bitline": "A"}
    return xb.sweep(loss, AXES, n_trials=TRIALS, seed=5, store=store, workers=workers, units=units)


def main():
    """Write the study of a store to a file: STORE WORKERS RESULT."""
    study(sys.argv[1], int(sys.argv[2])).to_netcdf(sys.argv[3])
