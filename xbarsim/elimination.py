"""Reads by eliminating every node without subtraction: exact where rounding or convergence fail other ways."""

from __future__ import annotations

import numpy as np

from xbarsim.cells import Cell
from xbarsim.circuit import Resistances, cell_law, every_segment, exchanged, fixed, wire_conductances
from xbarsim.errors import ConvergenceError
from xbarsim.kernels.cells import cells
from xbarsim.kernels.certificate import certify
from xbarsim.kernels.ladder import OPEN
from xbarsim.kernels.schur import CONVERGED
from xbarsim.kernels.starmesh import JOINED, node_voltages, port_currents, reduce_to_ports
from xbarsim.reads import Nodes, Outcome

_LARGEST = 1 << 28  # numbers that every node's shares take: 2 GB
_CHORDS, _CELL_ERROR = 100, 1e-11  # steps, and the error of cell currents, over the largest line current


class Eliminated:
    """A linear circuit, cells g (n_rows, n_cols) [S], as what its ports conduct to each other.

    Raises
    ------
    ConvergenceError
        If the circuit is too large to eliminate.
    """

    def __init__(self, g: np.ndarray, r: Resistances) -> None:
        self._turned = g.shape[0] < g.shape[1]  # nodes are eliminated along the longer side
        if self._turned:
            g, r = g[::-1, ::-1].T, exchanged(every_segment(r, *g.shape))
        size = 2 + 3 * g.shape[1] + g.shape[0]
        if 2 * g.size * size > _LARGEST:
            raise ConvergenceError(
                f"{g.shape[0]} x {g.shape[1]} cells conduct so much more than their lines that currents drown in "
                "rounding, and are too many to eliminate; give less extreme resistances"
            )
        self._g, self._r, self._shares = fixed(g), r, np.empty((0, 0))
        self._mesh = self._reduce(np.empty((1, size)))

    def _reduce(self, shares: np.ndarray) -> np.ndarray:
        mesh = np.zeros((shares.shape[1], shares.shape[1]))
        with np.errstate(divide="ignore"):
            wires = tuple(np.where(part >= OPEN, 0.0, np.minimum(1.0 / part, JOINED)) for part in self._r)
        reduce_to_ports(self._g, wires, shares, mesh)
        return mesh

    def _facing(self, v: np.ndarray, v_end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return voltages of the ports as the circuit was eliminated, wordlines and bitlines exchanged or not."""
        pair = (v_end[..., ::-1], v[..., ::-1]) if self._turned else (v, v_end)
        return np.ascontiguousarray(pair[0]), np.ascontiguousarray(pair[1])

    def currents(self, v: np.ndarray, v_end: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return line currents (n, n_rows), (n, n_cols) and power (n) of drivers v (n, n_rows), sense nodes v_end."""
        v, v_end = self._facing(v, v_end)
        i_wordline, i_bitline, power = np.empty_like(v), np.empty_like(v_end), np.empty(len(v))
        port_currents(self._mesh, v, v_end, i_wordline, i_bitline, power)
        if self._turned:
            return -i_bitline[:, ::-1], -i_wordline[:, ::-1], power
        return i_wordline, i_bitline, power

    def nodes(self, v: np.ndarray, v_end: np.ndarray) -> Nodes:
        """Return nodes of wordlines and bitlines [V] and cell currents [A], each (n, n_rows, n_cols)."""
        v, v_end = self._facing(v, v_end)
        if not self._shares.size:
            self._shares = np.empty((2 * self._g.size, len(self._mesh)))
            self._reduce(self._shares)
        u, x, c = np.empty((3, len(v), *self._g.shape))
        apart = np.empty_like(self._mesh)
        for k in range(len(v)):
            node_voltages(self._g, self._shares, v[k], v_end[k], apart, u[k], x[k], c[k])
        if self._turned:
            u, x, c = (np.ascontiguousarray(part[:, ::-1, ::-1].swapaxes(1, 2)) for part in (x, u, -c))
        return u, x, c

    @property
    def conductances(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Matrices between ports [S], none negative, diagonals 0: sense nodes to drivers, to each other; drivers."""
        n = self._g.shape[1]
        ports = np.triu(self._mesh[2 + 2 * n :, 2 + 2 * n :], 1)
        ports += ports.T
        near, far, between = ports[:n, :n], ports[n:, n:], ports[:n, n:]
        if self._turned:
            return between[::-1, ::-1].T, far[::-1, ::-1], near[::-1, ::-1]
        return between, near, far


def eliminated_reads(g: np.ndarray, r: Resistances, v: np.ndarray, v_end: np.ndarray) -> Outcome:
    """Read as :func:`xbarsim.reads.linear_reads` does; the residual is that of the first read."""
    circuit = Eliminated(g, r)
    i_wordline, i_bitline, power = circuit.currents(v, v_end)
    certificates = np.zeros((len(v), 4))
    u, x, _ = first = circuit.nodes(v[:1], v_end[:1])
    certificates[:, 1], certificates[:, 3] = CONVERGED, power
    certificates[:, 2] = certify(g, wire_conductances(r), v[0], v_end[0], u[0], x[0])[0]
    return Outcome(i_wordline, i_bitline, certificates, lambda: first if len(v) == 1 else circuit.nodes(v, v_end))


def eliminated_cells(
    cell: Cell, g: np.ndarray, r: Resistances, v: np.ndarray, v_end: np.ndarray, v_cell: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
    """Read non-linear cells once, v (1, n_rows) and v_end (1, n_cols), as the linear ones that their chords are.

    Starts from cell voltages that are right but for rounding; returns nodes u and x, cell currents, residual and power.

    Raises
    ------
    ConvergenceError
        If the chords do not settle, or the circuit is too large to eliminate.
    """
    law, current, slope = cell_law(cell), np.empty_like(g), np.empty_like(g)
    for _ in range(_CHORDS):
        for i in range(len(g)):
            cells(*law, g[i], v_cell[i], current[i], slope[i])
        chord = np.divide(current, v_cell, out=slope, where=v_cell != 0)
        circuit = Eliminated(chord, r)
        u, x, c = (part[0] for part in circuit.nodes(v, v_end))
        largest = max(np.abs(c.sum(0)).max(), np.abs(c.sum(1)).max())
        if np.abs(current - c).max() <= _CELL_ERROR * largest:
            residual, power = certify(chord, wire_conductances(r), v[0], v_end[0], u, x)
            return u, x, c, residual, power
        v_cell = np.divide(c, chord, out=u - x, where=chord > 0)
    raise ConvergenceError(
        "cells conduct so much more than their lines that currents drown in rounding, and do not settle when nodes are "
        "eliminated; give less extreme resistances"
    )
