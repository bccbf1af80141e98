"""reduce(): an ohmic crossbar as the exact multiport that its drivers and sense nodes see."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xbarsim.crossbar import Crossbar
from xbarsim.errors import ConvergenceError
from xbarsim.kernels.ports import eliminate
from xbarsim.nodal import solve

CERTIFIED_ERROR = 1e-9


@dataclass(frozen=True, eq=False)
class PortModel:
    """Port matrices of an ohmic crossbar: ``i_bitline = T v - Y v_bitline``, ``i_wordline = H v - T^t v_bitline``.

    Attributes
    ----------
    transfer : array, (n_cols, n_rows)
        T [S].
    admittance : array, (n_cols, n_cols)
        Y [S], seen from the sense nodes.
    driver_admittance : array, (n_rows, n_rows)
        H [S], seen from the drivers.
    error : float
        Largest deviation from a solve of a probe vector, relative to the largest current.
    """

    transfer: np.ndarray
    admittance: np.ndarray
    driver_admittance: np.ndarray
    error: float

    def i_bitline(self, v: Any, v_bitline: Any = 0.0) -> np.ndarray:
        """Return the currents into the sense nodes, (..., n_cols) [A], for driver voltages v (..., n_rows) [V]."""
        v_end = np.broadcast_to(v_bitline, (*np.shape(v)[:-1], len(self.admittance)))
        return np.asarray(np.asarray(v) @ self.transfer.T - v_end @ self.admittance)

    def i_wordline(self, v: Any, v_bitline: Any = 0.0) -> np.ndarray:
        """Return the currents out of the drivers, (..., n_rows) [A]."""
        v_end = np.broadcast_to(v_bitline, (*np.shape(v)[:-1], len(self.admittance)))
        return np.asarray(np.asarray(v) @ self.driver_admittance - v_end @ self.transfer)

    def power(self, v: Any, v_bitline: Any = 0.0) -> np.ndarray:
        """Return the power that drivers and sense nodes deliver, (...) [W]; v^t H v with sense nodes at 0 V."""
        driven = (np.asarray(v) * self.i_wordline(v, v_bitline)).sum(-1)
        return np.asarray(driven - (np.asarray(v_bitline) * self.i_bitline(v, v_bitline)).sum(-1))

    def __repr__(self) -> str:
        n_cols, n_rows = self.transfer.shape
        return f"PortModel({n_rows} wordlines x {n_cols} bitlines, certified to {self.error:.0e})"


def reduce(crossbar: Crossbar) -> PortModel:
    """Reduce an ohmic crossbar to its ports, exactly, by block elimination along its longer side.

    Cost: about 7 n_long n_short^3 multiply-adds and n_long n_short^2 numbers of memory.

    Parameters
    ----------
    crossbar : Crossbar
        The circuit.

    Returns
    -------
    PortModel

    Raises
    ------
    ConvergenceError
        If the matrices disagree with a solve of a probe vector by more than 1e-9 of the largest current.
    """
    g, wires = crossbar.g, crossbar.wires
    n_rows, n_cols = g.shape
    if n_rows >= n_cols:
        t, y, h = _eliminate(g, wires.r_wordline, wires.r_bitline, wires.r_driver, wires.r_sense)
    else:  # the same circuit seen with wordlines and bitlines exchanged: terminals first and last again
        turned = np.ascontiguousarray(g[::-1, ::-1].T)
        t, h, y = _eliminate(turned, wires.r_bitline, wires.r_wordline, wires.r_sense, wires.r_driver)
        t, h, y = t[::-1, ::-1].T, h[::-1, ::-1], y[::-1, ::-1]
    model = PortModel(np.ascontiguousarray(t), np.ascontiguousarray(y), np.ascontiguousarray(h), error=0.0)
    return replace(model, error=_certify(crossbar, model))


def _eliminate(
    g: np.ndarray, r_wordline: float, r_bitline: float, r_driver: float, r_sense: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n_rows, n_cols = g.shape
    t, y, h = np.empty((n_cols, n_rows)), np.empty((n_cols, n_cols)), np.empty((n_rows, n_rows))
    eliminate(g, r_wordline, r_bitline, r_driver, r_sense, t, y, h)
    return t, y, h


def _certify(crossbar: Crossbar, model: PortModel) -> float:
    rng = np.random.default_rng(0)
    v, v_end = rng.uniform(0.2, 1.0, crossbar.n_rows), rng.uniform(-0.2, 0.2, crossbar.n_cols)
    probe = solve(crossbar, v, v_bitline=v_end)
    scale = max(np.abs(probe.i_bitline).max(), np.abs(probe.i_wordline).max())
    apart = max(
        np.abs(model.i_bitline(v, v_end) - probe.i_bitline).max(),
        np.abs(model.i_wordline(v, v_end) - probe.i_wordline).max(),
    )
    error = float(apart / scale) if scale > 0 else float(apart)
    if not error <= CERTIFIED_ERROR:
        raise ConvergenceError(
            f"the port matrices differ from a solve by {error:.1e} of the largest current; "
            "use solve() for this crossbar, or less extreme resistances"
        )
    return error
