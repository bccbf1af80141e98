"""Fast models of a crossbar that others use in place of its circuit, for comparison with :func:`xbarsim.solve` only."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from xbarsim.circuit import conductances, every_segment, resistances
from xbarsim.crossbar import Crossbar, real_array
from xbarsim.errors import ParameterError

Model = Literal["ideal", "series", "one-pass"]


def approximate(crossbar: Crossbar, v_wordline: Any, model: Model) -> np.ndarray:
    """Return approximate bitline currents, (..., n_cols) [A], sense nodes at 0 V.

    ``"ideal"``
        No wires: i = v @ g.
    ``"series"``
        Each cell alone with the wires between its driver and its sense node, i = v / (1 / g + R_wires); that lines
        carry the currents of other cells too is left out [1]_.
    ``"one-pass"``
        The currents of the ideal crossbar, but all of them, drop voltages along the lines; cells then see what is
        left, once: the first step of the relaxation of [2]_.

    Parameters
    ----------
    crossbar : Crossbar
        Its cells ohmic or 1T1R, its lines connected at one end each, and nothing broken.
    v_wordline : array, (..., n_rows)
        Driver voltages [V].
    model : {"ideal", "series", "one-pass"}

    Raises
    ------
    ParameterError
        If the model is unknown, or the crossbar is one that these models do not describe.

    References
    ----------
    .. [1] P.-Y. Chen, X. Peng, S. Yu, "NeuroSim: A Circuit-Level Macro Model for Benchmarking Neuro-Inspired
       Architectures in Online Learning", IEEE Trans. CAD 37, 3067, 2018; the formula is that of ``Array::ReadCell`` in
       MLP+NeuroSim 3.0.
    .. [2] B. Feinberg et al., "CrossSim: accuracy simulation of analog in-memory computing", Sandia National
       Laboratories; ``NonInterleaved_InputSource.py`` of version 3.2, which repeats the step until it converges.
    """
    if model not in get_args(Model):
        raise ParameterError(f"model = {model!r}: give one of {', '.join(get_args(Model))}")
    wires = crossbar.wires
    if not crossbar.linear or wires.drive_both_ends or wires.sense_both_ends or wires.broken:
        raise ParameterError(
            f"{model!r} describes linear cells and lines that are whole and connected at one end; use solve()"
        )
    v = real_array(v_wordline, "v_wordline", "voltages in volts")
    if v.ndim == 0 or v.shape[-1] != crossbar.n_rows:
        raise ParameterError(f"v_wordline has the shape {v.shape}; the last axis must be the {crossbar.n_rows} rows")
    g = conductances(crossbar)
    if model == "ideal":
        return np.asarray(v @ g)
    r = every_segment(resistances(crossbar), *g.shape)
    along_w = np.concatenate([r.near_wordline[:, None], r.wordline], axis=1)  # the wire just before each cell
    along_b = np.concatenate([r.bitline, r.near_bitline[None]], axis=0)  # the wire just below each cell
    if model == "series":
        path = along_w.cumsum(1) + along_b[::-1].cumsum(0)[::-1]
        return np.asarray(v @ (g / (1 + g * path)))
    current = v[..., :, None] * g
    drop_w = (along_w * current[..., ::-1].cumsum(-1)[..., ::-1]).cumsum(-1)
    drop_b = (along_b * current.cumsum(-2))[..., ::-1, :].cumsum(-2)[..., ::-1, :]
    return np.asarray((g * (v[..., :, None] - drop_w - drop_b)).sum(-2))
