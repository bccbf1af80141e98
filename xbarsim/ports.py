"""reduce(): an ohmic crossbar as the exact multiport that its drivers and sense nodes see."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xbarsim.certain import SMALLEST_TOLERANCE
from xbarsim.circuit import Resistances, conductances, every_segment, exchanged, resistances
from xbarsim.crossbar import Crossbar, real_array
from xbarsim.elimination import Eliminated
from xbarsim.errors import ConvergenceError, ParameterError
from xbarsim.kernels.ladder import OPEN
from xbarsim.kernels.ports import eliminate
from xbarsim.nodal import solve

CERTIFIED_ERROR = 1e-9
_NOTHING = 1e-22  # of the largest admittance: what leaks through open connections


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
        current = np.asarray(np.asarray(v) @ self.transfer.T)
        if isinstance(v_bitline, float) and v_bitline == 0.0:
            return current
        v_end = np.broadcast_to(v_bitline, (*np.shape(v)[:-1], len(self.admittance)))
        return np.asarray(current - v_end @ self.admittance)

    def i_wordline(self, v: Any, v_bitline: Any = 0.0) -> np.ndarray:
        """Return the currents out of the drivers, (..., n_rows) [A]."""
        v_end = np.broadcast_to(v_bitline, (*np.shape(v)[:-1], len(self.admittance)))
        return np.asarray(np.asarray(v) @ self.driver_admittance - v_end @ self.transfer)

    def power(self, v: Any, v_bitline: Any = 0.0) -> np.ndarray:
        """Return the power that drivers and sense nodes deliver, (...) [W]; v^t H v with sense nodes at 0 V."""
        driven = (np.asarray(v) * self.i_wordline(v, v_bitline)).sum(-1)
        return np.asarray(driven - (np.asarray(v_bitline) * self.i_bitline(v, v_bitline)).sum(-1))

    def charge(self, v: Any, c_bitline: Any, t: float, *, g_leak: float = 0.0, v0: Any = 0.0) -> np.ndarray:
        """Return the voltages of floating capacitive bitlines after a time, (..., n_cols) [V].

        The sense nodes are capacitors: C dV/dt = T v - (Y + g_leak) V, solved exactly by the eigenvectors of
        C^-1/2 (Y + g_leak) C^-1/2. Sneak coupling between bitlines is in Y.

        Parameters
        ----------
        v : array, (..., n_rows)
            Driver voltages [V], constant from time 0.
        c_bitline : float or array (n_cols,)
            Capacitance of each sense node [F].
        t : float
            Time [s].
        g_leak : float
            Leakage conductance from each sense node to 0 V [S].
        v0 : float or array (..., n_cols)
            Voltages at time 0 [V].

        Raises
        ------
        ParameterError
            If a capacitance is not above 0, or the time or leakage is negative.
        """
        root, rate, modes = self._modes(c_bitline, t, g_leak)
        decay = np.exp(-rate * t)
        driven = (np.asarray(v) @ self.transfer.T / root) @ modes
        start = (np.broadcast_to(v0, (*np.shape(v)[:-1], len(root))) * root) @ modes
        return np.asarray(((decay * start + _grown(rate, t) * driven) @ modes.T) / root)

    def charging(self, c_bitline: Any, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Return what :meth:`charge` is a product with, from discharged bitlines, and its average over time.

        Parameters
        ----------
        c_bitline, t
            As for :meth:`charge`.

        Returns
        -------
        last, average : array, (n_cols, n_rows)
            Bitline voltages per volt of the drivers, at time t and on average until then. The drivers deliver
            v^t (H - T^t average) v on average.
        """
        root, rate, modes = self._modes(c_bitline, t, 0.0)
        decayed = rate * t
        last = _grown(rate, t)
        small = decayed < 1e-4  # (1 - (1 - exp(-x)) / x) / x, by its series
        safe = np.where(small, 1.0, decayed)
        average = t * np.where(small, 0.5 - decayed / 6, (1 + np.expm1(-safe) / safe) / safe)
        seen = modes.T @ (self.transfer / root[:, None])
        return tuple((modes * part) @ seen / root[:, None] for part in (last, average))

    def _modes(self, c_bitline: Any, t: float, g_leak: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return sqrt(C), and rates and modes of C^-1/2 (Y + g_leak) C^-1/2."""
        c = np.broadcast_to(real_array(c_bitline, "c_bitline", "capacitances in farad"), len(self.admittance))
        if not (c > 0).all():
            raise ParameterError(f"c_bitline = {c.min():g}: capacitances are above 0 F")
        if not (0 <= t < np.inf and 0 <= g_leak < np.inf):
            raise ParameterError(f"t = {t:g} s, g_leak = {g_leak:g} S: both must be finite and not negative")
        root = np.sqrt(c)
        rate, modes = np.linalg.eigh((self.admittance + g_leak * np.eye(len(c))) / np.outer(root, root))
        return root, np.maximum(rate, 0.0), modes

    def __repr__(self) -> str:
        n_cols, n_rows = self.transfer.shape
        return f"PortModel({n_rows} wordlines x {n_cols} bitlines, certified to {self.error:.0e})"


def _grown(rate: np.ndarray, t: float) -> np.ndarray:
    """Return the integral of exp(-rate s) from 0 to t."""
    return np.where(rate * t > 1e-300, -np.expm1(-rate * t) / np.maximum(rate, 1e-300), t)


def reduce(
    crossbar: Crossbar, *, floating_wordlines: Any = None, floating_bitlines: Any = None, selected: Any = None
) -> PortModel:
    """Reduce an ohmic crossbar to its ports, exactly, by block elimination along its longer side.

    Cost: about 7 n_long n_short^3 multiply-adds and n_long n_short^2 numbers of memory. Where rounding leaves more than
    1e-10 of a port's admittance in doubt, nodes are eliminated one by one, without a subtraction.

    Parameters
    ----------
    crossbar : Crossbar
        The circuit; its cells ohmic or 1T1R.
    floating_wordlines, floating_bitlines, selected : bool arrays, optional
        As in :func:`xbarsim.solve`; the ports of floating lines carry no current.

    Returns
    -------
    PortModel

    Raises
    ------
    ParameterError
        If the cells are not linear, or a node has no path to any source.
    ConvergenceError
        If the matrices disagree with a solve of a probe vector by more than 1e-9 of the largest current.
    """
    if not crossbar.linear:
        raise ParameterError(
            f"cells are {type(crossbar.cell).__name__}; only linear cells have port matrices, use solve()"
        )
    g, r = conductances(crossbar, selected), resistances(crossbar, floating_wordlines, floating_bitlines, selected)
    masks = {"floating_wordlines": floating_wordlines, "floating_bitlines": floating_bitlines, "selected": selected}
    try:
        model = _by_rows(g, r)
        if not _conserved(model):
            raise ConvergenceError("rounding")
        return replace(model, error=_certify(crossbar, model, masks))
    except (ConvergenceError, np.linalg.LinAlgError):
        model = _by_nodes(g, r)
    return replace(model, error=_certify(crossbar, model, masks))


def _by_rows(g: np.ndarray, r: Resistances) -> PortModel:
    """Eliminate row after row, in blocks."""
    if g.shape[0] >= g.shape[1]:
        t, y, h = _eliminate(g, r)
    else:  # the same circuit with wordlines and bitlines exchanged: near ends are first and last again
        t, h, y = _eliminate(np.ascontiguousarray(g[::-1, ::-1].T), exchanged(every_segment(r, *g.shape)))
        t, h, y = t[::-1, ::-1].T, h[::-1, ::-1], y[::-1, ::-1]
    return PortModel(np.ascontiguousarray(t), np.ascontiguousarray(y), np.ascontiguousarray(h), error=0.0)


def _by_nodes(g: np.ndarray, r: Resistances) -> PortModel:
    """Eliminate node after node, without a subtraction."""
    t, y, h = (np.array(part) for part in Eliminated(g, r).conductances)
    return PortModel(t, np.diag(t.sum(1) + y.sum(1)) - y, np.diag(t.sum(0) + h.sum(1)) - h, error=0.0)


def _conserved(model: PortModel) -> bool:
    """Whether no current flows when all ports are at one voltage, and none into a port that alone is below the others.

    Both hold for each port to 1e-10 of its own admittance, or to nothing that counts.
    """
    t = model.transfer
    for own, passed in ((model.admittance, t), (model.driver_admittance, t.T)):
        diagonal = np.diag(own)
        allowed = 1e-10 * diagonal + _NOTHING * diagonal.max()
        lost = np.abs(own.sum(1) - passed.sum(1))
        if not (lost <= allowed).all() or (passed.min(1) < -allowed).any():
            return False
        if ((own - np.diag(diagonal)).max(1) > allowed).any():
            return False
    return True


def _eliminate(g: np.ndarray, r: Resistances) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n_rows, n_cols = g.shape
    t, y, h = np.empty((n_cols, n_rows)), np.empty((n_cols, n_cols)), np.empty((n_rows, n_rows))
    eliminate(g, *r, bool((r.far_bitline < OPEN).any()), t, y, h)
    return t, y, h


def _certify(crossbar: Crossbar, model: PortModel, masks: dict[str, Any]) -> float:
    rng = np.random.default_rng(0)
    v, v_end = rng.uniform(0.2, 1.0, crossbar.n_rows), rng.uniform(-0.2, 0.2, crossbar.n_cols)
    probe = solve(crossbar, v, v_bitline=v_end, tol=SMALLEST_TOLERANCE, **masks)
    floor = 1e-6 * crossbar.g.max()  # lines that float carry rounding only; this is the largest cell's current at 1 uV
    scale = max(np.abs(probe.i_bitline).max(), np.abs(probe.i_wordline).max(), floor)
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


def sensitivities(crossbar: Crossbar, bitlines: Any = None, **masks: Any) -> np.ndarray:
    """Return the adjoint fields of bitlines, a (n_bitlines, n_rows, n_cols).

    A small change dg of cell (i, j) changes the current of bitline k by a[k, i, j] v_cell[i, j] dg, v_cell being the
    solved voltage of the cell; a noise current i_n of the cell changes it by a[k, i, j] i_n (adjoint network theorem:
    S. W. Director, R. A. Rohrer, IEEE Trans. Circuit Theory 16, 1969).

    Parameters
    ----------
    crossbar : Crossbar
        The circuit; its cells ohmic or 1T1R.
    bitlines : int array, optional
        Which ones; all unless told.
    **masks
        ``floating_wordlines``, ``floating_bitlines``, ``selected``, as in :func:`xbarsim.solve`.
    """
    if not crossbar.linear:
        raise ParameterError(f"cells are {type(crossbar.cell).__name__}; sensitivities are defined for linear cells")
    driven = np.eye(crossbar.n_cols)[slice(None) if bitlines is None else bitlines]
    field = solve(crossbar, np.zeros((len(driven), crossbar.n_rows)), v_bitline=driven, method="nodes", **masks)
    return np.asarray(field.v_bitline - field.v_wordline)
