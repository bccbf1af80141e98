"""Measured I-V curves: one branch out of a loop, in rising order through the origin."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np

from xbarsim.errors import FileError
from xbarsim.files import read

Branch = Literal["rising", "falling"]
_TURN = 0.1  # of the range of voltages: what goes back by less is noise of the voltage
_NEAR = 0.01  # of the range of voltages: so near to the extreme, points are at the turn
_FLAT = 0.2  # of the largest voltage and of the largest current: longer and higher, a flat piece is a limit
_STRAYS = 2  # points of another state, where the voltage turns
_FALL = 0.1  # of the largest current: what lies further off a rising curve, on average, is no noise


def measured(file: str | Path, v: str | int, i: str | int, name: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return voltages [V] and currents [A] in the order of the file.

    Raises
    ------
    FileError
        If there are no such columns, or they are not in volts and amperes.
    """
    try:
        reading = read(file, None, name=name, columns=(v, i))
    except FileError as error:
        if (v, i) != ("V", "I") or "columns without names" not in str(error):
            raise
        reading = read(file, None, name=name)
        if reading.values.shape[1:] != (2,):
            raise
    for column, (unit, expected) in enumerate(zip(reading.units, "VA")):
        if unit not in ("", expected):
            raise FileError(f"{file}: column {reading.columns[column]} is in {unit} where {expected} is expected")
    return reading.values[:, 0], reading.values[:, 1]


def monotone(
    v: np.ndarray, i: np.ndarray, branch: Branch | None, v_range: tuple[float, float] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return a branch as strictly rising voltages and currents that include (0, 0).

    Raises
    ------
    ValueError
        If there are two branches and none is asked for, there is none, or it does not rise on the whole.
    """
    if branch not in (None, *get_args(Branch)):
        raise ValueError(f"branch = {branch!r}: give 'rising' or 'falling'")
    rises = _rising(v)
    if branch is None and rises.any() and not rises.all():
        turn = int(np.flatnonzero(rises[1:] != rises[:-1])[0]) + 1
        raise ValueError(f"the voltage turns at {v[turn]:.3g} V (point {turn + 1}); give branch='rising' or 'falling'")
    if branch is not None:
        there = rises if branch == "rising" else ~rises
        v, i = v[there], i[there]
    if v_range is not None:
        there = (v >= min(v_range)) & (v <= max(v_range))
        v, i = v[there], i[there]
    sides = [_side(s, s * v[s * v > 0], s * i[s * v > 0]) for s in (-1, 1)]
    if len(sides[0][0]) + len(sides[1][0]) < 2:
        raise ValueError(f"{len(v)} points on this branch and range, fewer than 2 of them above noise; give another")
    (v_below, i_below), (v_above, i_above) = sides
    return np.r_[-v_below[::-1], 0.0, v_above], np.r_[-i_below[::-1], 0.0, i_above]


def _rising(v: np.ndarray) -> np.ndarray:
    """Tell of each point whether the voltage rises there; it turns where it then comes back by more than noise.

    Points as far out as the turn itself are shared between both branches.
    """
    span = float(np.ptp(v))
    rises, turns, extreme = np.empty(len(v), bool), [0], 0
    up: bool | None = None
    for k in range(1, len(v)):
        if up is None:
            if abs(v[k] - v[0]) >= _TURN * span > 0:
                up, extreme = bool(v[k] > v[0]), k
        elif (v[k] > v[extreme]) if up else (v[k] < v[extreme]):
            extreme = k
        elif abs(v[k] - v[extreme]) >= _TURN * span:
            near = np.flatnonzero(np.abs(v[turns[-1] : k] - v[extreme]) <= _NEAR * span) + turns[-1]
            turn = int(near[0]) + (len(near) + 1) // 2
            rises[turns[-1] : turn] = up
            turns.append(turn)
            extreme, up = k, not up
    rises[turns[-1] :] = True if up is None else up
    return rises


def _side(sign: int, v: np.ndarray, i: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return voltages above 0 with rising currents above 0: neighbours that fall are pooled into their mean.

    ``sign`` is that of the voltages that were measured.
    """
    order = np.argsort(v, kind="stable")
    v, i = v[order], i[order]
    blocks: list[tuple[float, float, int]] = []  # mean voltage, mean current, points
    spans: list[tuple[float, float]] = []
    for voltage, current in zip(v.tolist(), i.tolist()):
        block, span = (voltage, current, 1), (voltage, voltage)
        while blocks and (block[1] <= blocks[-1][1] or span[0] == spans[-1][1]):
            (a, b, n), (c, d, m) = blocks.pop(), block
            block, span = ((a * n + c * m) / (n + m), (b * n + d * m) / (n + m), n + m), (spans.pop()[0], span[1])
        blocks.append(block)
        spans.append(span)
    if not blocks:
        return np.empty(0), np.empty(0)
    most, fitted = float(np.abs(i).max()), np.repeat([block[1] for block in blocks], [block[2] for block in blocks])
    off = np.abs(fitted - i)
    strays = np.count_nonzero(off > 2.5 * _FALL * most)
    if np.sqrt(np.mean(off**2)) > _FALL * most or strays > _STRAYS or fitted[-1] <= 0:
        worst = sign * float(v[np.argmax(off)])
        raise ValueError(f"the current does not rise with the voltage near {worst:.3g} V; leave that out by v_range")
    for (_, current, n), (low, high) in zip(blocks, spans):
        if n > 2 and current > _FLAT * most and high - low > _FLAT * v[-1]:
            raise ValueError(
                f"the current stays near {sign * current:.3g} A from {sign * low:.3g} V to {sign * high:.3g} V "
                "(a limit of the instrument?); leave that out by v_range"
            )
    kept = np.array([(voltage, current) for voltage, current, _ in blocks if current > 0])
    return kept[:, 0], kept[:, 1]
