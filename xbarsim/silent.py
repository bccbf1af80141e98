"""Reads of spikes with silent wordlines open or gated off, exactly: each pattern of active rows is another circuit."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from xbarsim.cells import Ohmic
from xbarsim.circuit import every_segment, resistances
from xbarsim.crossbar import Crossbar, real_array
from xbarsim.errors import ConvergenceError, ParameterError
from xbarsim.kernels.jit import launching, thread_count
from xbarsim.kernels.silent import gated_reads, open_reads
from xbarsim.nodal import check_certificates
from xbarsim.ports import reduce
from xbarsim.solution import LARGEST_RESIDUAL

_TOLERANCE, _ITERATIONS = 1e-12, 10_000
_LOST = 1e-8  # of the driver admittance by inverting it twice


class SilentRows:
    """An ohmic crossbar whose wordlines carry a voltage or, in reads that do not need them, nothing.

    Parameters
    ----------
    crossbar : Crossbar
        Its cells ohmic. With ``"gated"``, each row has transistors that are ideal switches: what a closed one resists
        is part of its cell, an open one passes nothing.
    inactive : {"open", "gated"}
        Whether a silent wordline floats, at both ends, or its cells are cut off. (Grounded ones are a linear circuit,
        see :func:`xbarsim.reduce`.)

    Raises
    ------
    ParameterError
        If the cells are not ohmic, a node has no path to any source, or open wordlines are driven at both ends.
    ConvergenceError
        If open wordlines leave next to nothing that ties the array to any source.
    """

    def __init__(self, crossbar: Crossbar, inactive: Literal["open", "gated"]) -> None:
        if inactive not in ("open", "gated"):
            raise ParameterError(f"inactive = {inactive!r}: give 'open' or 'gated'; reduce() serves grounded wordlines")
        self.crossbar, self.inactive = crossbar, inactive
        if not isinstance(crossbar.cell, Ohmic):
            raise ParameterError(f"cells are {type(crossbar.cell).__name__}; open and gated rows need Ohmic ones")
        if inactive == "gated":
            self._ends = tuple(every_segment(resistances(crossbar), *crossbar.g.shape))
            return
        if crossbar.wires.drive_both_ends:
            raise ParameterError(
                "Wires.drive_both_ends with open wordlines: their ends would stay joined; use 'gated', or one driver"
            )
        ports = reduce(crossbar)
        seen, largest = ports.driver_admittance.copy(), float(np.diag(ports.driver_admittance).max()) or 1.0
        dead = np.diag(seen) < 1e-12 * largest  # no cell conducts: nothing flows, whatever the impedance
        seen[dead, dead] = largest
        try:
            impedance = np.linalg.inv(seen)
            lost = float(np.abs(seen @ impedance - np.eye(len(seen))).max())
        except np.linalg.LinAlgError:
            lost = np.inf
        if not lost <= _LOST:
            raise ConvergenceError(
                "open wordlines: next to nothing ties the array to its sense nodes, and what its drivers see is lost "
                "in rounding; connect its bitlines, or use 'gated'"
            )
        self._impedance = (impedance + impedance.T) / 2
        self._impedance[dead, dead] = 1e12 / largest
        self._spread = np.ascontiguousarray((ports.transfer @ self._impedance).T)

    def read(self, v_wordline: Any) -> tuple[np.ndarray, np.ndarray]:
        """Read many patterns; wordlines at 0 V are silent, sense nodes are at 0 V.

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
            if self.inactive == "open":
                open_reads(thread_count(), self._impedance, self._spread, v, i_bitline, power)
                return i_bitline, power
            certificates = np.empty((len(v), 4))
            cells = np.ascontiguousarray(self.crossbar.g)
            limits = (_TOLERANCE, _ITERATIONS)
            gated_reads(thread_count(), cells, self._ends, v, *limits, i_bitline, power, certificates)
        check_certificates(certificates, _TOLERANCE, LARGEST_RESIDUAL)
        return i_bitline, power
