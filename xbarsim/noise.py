"""Read noise at the outputs, to first order, without a solve per read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xbarsim.crossbar import Crossbar, real_array
from xbarsim.errors import ParameterError
from xbarsim.ports import PortModel, reduce, sensitivities


@dataclass(frozen=True, eq=False, repr=False)
class OutputNoise:
    """What independent fluctuations of the cells do to the currents into the sense nodes, to first order.

    A change dg of cell (i, j) is a current source across it: bitline k sees a[k, i, j] v_cell[i, j] dg, with the
    adjoint field a of :func:`xbarsim.sensitivities`. Two forms, by what is taken for v_cell:

    - nominal, the driver voltage v_i: the variance is one product with a matrix of squares, but IR drop is left out of
      the cell voltages, so that it is overstated (1 to 3 % on 256 x 64 cells of 100 kOhm with 1 ohm per segment and 6
      active rows, 10 to 15 % with 128; 1.3 to 2 times at 10 kOhm, 2.5 ohm);
    - solved: the cell voltages of a solve of the same read; only the cells of bitline k itself are taken for k, which
      leaves out about 0.2 %.

    Covariances between bitlines are not modelled.

    Attributes
    ----------
    ports : PortModel
        The crossbar without noise.
    own : array, (n_rows, n_cols)
        a[j, i, j]: sensitivity of each bitline to its own cells.
    squares : array, (n_rows, n_cols)
        Sum over j of (sigma[i, j] a[k, i, j])^2, for wordline i and bitline k [S^2].
    sigma : array, (n_rows, n_cols)
        Standard deviation of each cell's conductance [S].
    """

    ports: PortModel
    own: np.ndarray
    squares: np.ndarray
    sigma: np.ndarray

    def variance(self, v: Any, v_cell: Any = None) -> np.ndarray:
        """Return the variance of the bitline currents, (..., n_cols) [A^2].

        Parameters
        ----------
        v : array, (..., n_rows)
            Driver voltages [V].
        v_cell : array, (..., n_rows, n_cols), optional
            Solved cell voltages [V]; nominal ones without them.
        """
        if v_cell is None:
            return np.asarray(np.square(v) @ self.squares)
        return np.asarray((np.square(self.sigma * self.own) * np.square(v_cell)).sum(-2))

    def sample(self, v: Any, draws: np.random.Generator, v_cell: Any = None) -> np.ndarray:
        """Return bitline currents of noisy reads, (..., n_cols) [A]; arguments as for :meth:`variance`."""
        current = self.ports.i_bitline(v)
        spread = np.sqrt(self.variance(v, v_cell))
        return np.asarray(current + spread * draws.standard_normal(current.shape))

    def shift(self, v_cell: Any, dg: Any) -> np.ndarray:
        """Return the change of the bitline currents by given changes of conductance, (..., n_cols) [A].

        For noise that remembers (telegraph, 1/f), whose states are changes dg (..., n_rows, n_cols) [S].
        """
        return np.asarray(np.einsum("ij,...ij,...ij->...j", self.own, v_cell, dg))


def output_noise(crossbar: Crossbar, sigma: Any, ports: PortModel | None = None) -> OutputNoise:
    """Prepare the first-order output noise of an ohmic crossbar; one solve for each bitline.

    Parameters
    ----------
    crossbar : Crossbar
    sigma : array, (n_rows, n_cols)
        Standard deviation of each cell's conductance [S], for example :attr:`xbarsim.Die.read_spread`.
    ports : PortModel, optional
        Of this crossbar, if it is known already.
    """
    sigma = real_array(sigma, "sigma", "standard deviations in siemens")
    if sigma.shape != crossbar.g.shape or sigma.min() < 0:
        raise ParameterError(
            f"sigma has the shape {sigma.shape} and values from {sigma.min():g} S; give {crossbar.g.shape}, from 0"
        )
    field = sensitivities(crossbar)
    return OutputNoise(
        ports or reduce(crossbar),
        own=np.ascontiguousarray(np.einsum("jij->ij", field)),
        squares=noise_squares(field, sigma),
        sigma=sigma,
    )


def noise_squares(field: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return the variance of each output k per squared volt on each wordline i, (n_rows, n_out) [S^2].

    Parameters
    ----------
    field : array, (n_out, n_rows, n_cols)
        Sensitivities of outputs to noise currents of cells.
    sigma : array, (n_rows, n_cols)
        Standard deviations of the cells [S].
    """
    return np.asarray(np.einsum("kij,ij->ik", np.square(field), np.square(sigma)))
