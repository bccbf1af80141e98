"""Reads with inactive wordlines open or gated off, exactly: each pattern of active rows is another circuit."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from xbarsim.cells import Ohmic
from xbarsim.circuit import Resistances, conductances, every_segment, resistances
from xbarsim.crossbar import Crossbar, real_array
from xbarsim.elimination import Eliminated
from xbarsim.errors import ConvergenceError, ParameterError
from xbarsim.kernels.bound import line_conductances, uncertainties
from xbarsim.kernels.inactive import gated_reads, open_reads, segments
from xbarsim.kernels.jit import launching, thread_count
from xbarsim.kernels.ladder import ladders
from xbarsim.kernels.schur import CONVERGED
from xbarsim.kernels.starmesh import floating_currents
from xbarsim.nodal import check_certificates
from xbarsim.ports import reduce
from xbarsim.solution import LARGEST_RESIDUAL

_TOLERANCE, _ITERATIONS = 1e-12, 10_000
_LOST, _WORST = 1e-11, 1e4  # of the driver admittance by inverting it twice; largest impedance, rows scaled to 1
_NOTHING = 1e-22  # of the largest admittance: what leaks through open connections


class InactiveRows:
    """An ohmic crossbar whose wordlines carry a voltage or, in reads that do not need them, nothing.

    Parameters
    ----------
    crossbar : Crossbar
        Its cells ohmic. With ``"gated"``, each row has transistors that are ideal switches: what a closed one resists
        is part of its cell, an open one passes nothing.
    inactive : {"open", "gated"}
        Whether an inactive wordline floats, at both ends, or its cells are cut off. (Grounded ones are linear,
        see :func:`xbarsim.reduce`.)

    Raises
    ------
    ParameterError
        If the cells are not ohmic, a node has no path to any source, or open wordlines are driven at both ends.
    ConvergenceError
        If open wordlines leave nothing that ties some of them to a sense node.
    """

    def __init__(self, crossbar: Crossbar, inactive: Literal["open", "gated"]) -> None:
        if inactive not in ("open", "gated"):
            raise ParameterError(f"inactive = {inactive!r}: give 'open' or 'gated'; reduce() serves grounded wordlines")
        self.crossbar, self.inactive = crossbar, inactive
        if not isinstance(crossbar.cell, Ohmic):
            raise ParameterError(f"cells are {type(crossbar.cell).__name__}; open and gated rows need Ohmic ones")
        if inactive == "gated":
            self._ends = tuple(every_segment(resistances(crossbar), *crossbar.g.shape))
            self._rho = ladders(1, crossbar.g, self._ends, *np.empty((5, *crossbar.g.shape)))
            return
        if crossbar.wires.drive_both_ends:
            raise ParameterError(
                "Wires.drive_both_ends with open wordlines: their ends would stay joined; use 'gated', or one driver"
            )
        self._open_ports()

    def _open_ports(self) -> None:
        """Keep what reads with open wordlines need: products, or the ports themselves where these lose digits."""
        from scipy.sparse.csgraph import connected_components

        model = reduce(self.crossbar)
        seen, passed = model.driver_admittance, model.transfer.sum(0)
        diagonal = np.diag(seen)
        self._live = diagonal > _NOTHING * diagonal.max()
        _, cluster = connected_components((seen < 0) & np.outer(self._live, self._live), directed=False)
        tied = np.bincount(cluster, passed) > _NOTHING * diagonal.max()
        if not tied[cluster[self._live]].all():
            raise ConvergenceError(
                "open wordlines: next to nothing ties the array to its sense nodes; "
                "connect its bitlines, or use 'gated'"
            )
        weight = np.where(self._live, 1 / np.sqrt(np.where(self._live, diagonal, 1.0)), 0.0)
        scaled = seen * np.outer(weight, weight)
        scaled[~self._live, ~self._live] = 1.0
        self._ports = None
        try:
            impedance = np.linalg.inv(scaled)
            lost = float(np.abs(scaled @ impedance - np.eye(len(seen))).max())
        except np.linalg.LinAlgError:
            lost = np.inf
        if lost <= _LOST and np.abs(impedance).sum(1).max() <= _WORST:
            self._impedance = (impedance + impedance.T) / 2 * np.outer(weight, weight)
            self._spread = np.ascontiguousarray((model.transfer @ self._impedance).T)
            return
        between, sensed, driven = Eliminated(conductances(self.crossbar), resistances(self.crossbar)).conductances
        self._ports = np.block([[sensed, between], [between.T, driven]])

    def read(self, v_wordline: Any) -> tuple[np.ndarray, np.ndarray]:
        """Read many patterns; wordlines at 0 V are inactive, sense nodes are at 0 V.

        Parameters
        ----------
        v_wordline : array, (n, n_rows)
            Driver voltages [V].

        Returns
        -------
        i_bitline : array, (n, n_cols)
            Currents into the sense nodes [A].
        power : array, (n,)
            What the drivers deliver [W].

        Raises
        ------
        ConvergenceError
            If a read misses a relative tolerance of 1e-12.
        """
        v = np.ascontiguousarray(real_array(v_wordline, "v_wordline", "voltages in volts"))
        if v.ndim != 2 or v.shape[1] != self.crossbar.n_rows:
            raise ParameterError(f"v_wordline has the shape {v.shape}; give (n, {self.crossbar.n_rows})")
        i_bitline, power = np.empty((len(v), self.crossbar.n_cols)), np.empty(len(v))
        with launching, np.errstate(divide="ignore"):
            if self.inactive == "open" and self._ports is not None:
                floating_currents(self._ports, v, i_bitline, power)
                return i_bitline, power
            if self.inactive == "open":
                driven = np.where(self._live, v, 0.0)  # a wordline on which nothing conducts carries nothing
                open_reads(thread_count(), self._impedance, self._spread, driven, i_bitline, power)
                return i_bitline, power
            certificates = np.empty((len(v), 4))
            cells = np.ascontiguousarray(self.crossbar.g)
            limits = (_TOLERANCE, _ITERATIONS)
            gated_reads(thread_count(), cells, self._ends, v, *limits, i_bitline, power, certificates)
        self._mend(v, i_bitline, power, certificates)
        check_certificates(certificates, _TOLERANCE, LARGEST_RESIDUAL)
        return i_bitline, power

    def _mend(self, v: np.ndarray, i_bitline: np.ndarray, power: np.ndarray, certificates: np.ndarray) -> None:
        """Do gated reads again by elimination whose currents may be off by more than 1e-9 of the largest."""
        g, (r_wordline, r_bitline, near_w, far_w, near_b, far_b) = self.crossbar.g, self._ends
        rows, columns = line_conductances(g)
        line, known = max(rows.max(), columns.max()), (np.zeros((1, len(near_b))), np.empty((1, 0)))

        def is_uncertain(part: slice) -> bool:
            missed = (certificates[part, 1] != CONVERGED) | ~(certificates[part, 2] <= LARGEST_RESIDUAL)
            n = len(v[part])
            grounded, unknown = (np.broadcast_to(array, (n, array.shape[1])) for array in known)
            uncertainty = uncertainties(
                line, self._rho, rows, columns, v[part], np.ascontiguousarray(grounded), np.ascontiguousarray(unknown),
                i_bitline[part], certificates[part, 2], _TOLERANCE, LARGEST_RESIDUAL,
            )  # fmt: skip
            return bool(missed.any() or max(uncertainty) > 1)

        if not is_uncertain(slice(None)):
            return
        for k in range(len(v)):
            active = np.flatnonzero(v[k])
            if not len(active) or not is_uncertain(slice(k, k + 1)):
                continue
            between, below, above = segments(active, r_bitline, near_b, far_b)
            part = Resistances(r_wordline[active], between, near_w[active], far_w[active], below, above)
            reads = Eliminated(g[active], part).currents(v[k : k + 1, active], known[0])
            i_bitline[k], power[k], certificates[k] = reads[1][0], reads[2][0], (0, CONVERGED, 0, reads[2][0])
