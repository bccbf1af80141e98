"""A small crossbar."""

import numpy as np

import xbarsim as xb

G = np.array([[1e-5, 1e-6, 2e-5], [1e-6, 1e-5, 5e-6]])


def expected():
    wires = xb.Wires(r_wordline=2, r_bitline=2, r_driver=100, r_sense=50)
    return xb.solve(xb.Crossbar(G, wires=wires), [[0.3, 0.1], [0.0, 0.3]])
