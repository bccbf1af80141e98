"""The benchmark's circuit as others solve it: badcrossbar, CrossSim, SciPy's SuperLU, CHOLMOD of cvxopt.

All functions take cells g (n_rows, n_cols) [S] and drivers v (n_vectors, n_rows) [V], with ``R_WIRE`` in every segment,
driver and sense connection, and return bitline currents (n_vectors, n_cols) [A].
"""

from functools import lru_cache
from importlib.util import find_spec

import badcrossbar
import numpy as np
from cvxopt import cholmod, matrix, spmatrix
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

R_WIRE = 1.0
HAS_CROSSSIM = find_spec("simulator") is not None


def badcrossbar_currents(g, v):
    solution = badcrossbar.compute(v.T, 1 / g, r_i=R_WIRE, node_voltages=False, all_currents=False)
    return solution.currents.output


def lower_triangle(g):
    """Return rows, columns and values of the nodal matrix's lower triangle, all wordline, then all bitline nodes."""
    m, n = g.shape
    wordline = np.arange(m * n).reshape(m, n)
    bitline = wordline + m * n
    diagonal = np.stack([g, g]) + 2 / R_WIRE  # two neighbours, or one and a terminal,
    diagonal[0, :, -1] -= 1 / R_WIRE  # but one only at the far ends
    diagonal[1, 0] -= 1 / R_WIRE
    links = 2 * m * n - m - n
    rows = np.concatenate([wordline, bitline, bitline, wordline[:, 1:], bitline[1:]], axis=None)
    cols = np.concatenate([wordline, bitline, wordline, wordline[:, :-1], bitline[:-1]], axis=None)
    return rows, cols, np.concatenate([diagonal, -g, np.full(links, -1 / R_WIRE)], axis=None)


def cholmod_currents(g, v):
    m, n = g.shape
    rows, cols, values = lower_triangle(g)
    right = np.zeros((2 * m * n, len(v)))
    right[: m * n : n] = v.T / R_WIRE
    nodes = matrix(right)
    cholmod.linsolve(spmatrix(matrix(values), matrix(rows), matrix(cols), (2 * m * n,) * 2), nodes)
    return (np.asarray(nodes)[-n:] / R_WIRE).T


def superlu(g):
    rows, cols, values = lower_triangle(g)
    apart = rows != cols
    index = np.concatenate([rows, cols[apart]]), np.concatenate([cols, rows[apart]])
    return splu(coo_array((np.concatenate([values, values[apart]]), index)).tocsc())


def superlu_currents(g, v):
    m, n = g.shape
    right = np.zeros((2 * m * n, len(v)))
    right[np.arange(m) * n] = v.T / R_WIRE
    return (superlu(g).solve(right)[-n:] / R_WIRE).T


def superlu_ports(g):
    """Return T, Y and H from one factorization and a solve for each terminal."""
    m, n = g.shape
    right = np.zeros((2 * m * n, m + n))
    right[np.arange(m) * n, np.arange(m)] = 1 / R_WIRE
    right[np.arange(2 * m * n - n, 2 * m * n), np.arange(m, m + n)] = 1 / R_WIRE
    nodes = superlu(g).solve(right)
    first, last = nodes[np.arange(m) * n] / R_WIRE, nodes[-n:] / R_WIRE
    return last[:, :m], np.eye(n) / R_WIRE - last[:, m:], np.eye(m) / R_WIRE - first[:, :m]


@lru_cache
def crosssim_array(r_min, tolerance):
    """Return CrossSim's solver; made once, as CrossSim's own cores keep theirs."""
    from simulator import CrossSimParameters
    from simulator.backend import ComputeBackend
    from simulator.circuits.array import NoninterleavedInputSourceArray

    ComputeBackend(use_gpu=False)
    parameters = CrossSimParameters()
    parameters.xbar.device.Rmin = r_min  # resistances count in Rmin
    parameters.xbar.array.parasitics.enable = True
    parameters.xbar.array.parasitics.Rp_row = parameters.xbar.array.parasitics.Rp_col = R_WIRE
    parameters.simulation.Verr_th_mvm = tolerance
    parameters.simulation.hide_convergence_msg = True
    return NoninterleavedInputSourceArray(parameters)


def crosssim_currents(g, v, tolerance=1e-10):
    """Solve with CrossSim's relaxation at its default relaxation factor."""
    v_max, r_min = np.abs(v).max(), 1 / g.max()
    solver = crosssim_array(r_min, tolerance)
    return solver.iterative_solve(g.T * r_min, v.T / v_max).T * (v_max / r_min)
