"""Measured I-V curves: one branch out of a loop, in rising order through the origin."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from xbarsim.errors import FileError, ParameterError
from xbarsim.files import read
from xbarsim.units import format_quantity, quantity

Branch = Literal["rising", "falling"]
_TURN = 0.1  # of the range of voltages: what goes back by less is noise of the voltage
_NEAR = 0.01  # of the range of voltages: so near to the extreme, points are at the turn
_FLAT = 0.2  # of the largest voltage and of the largest current: longer and higher, a flat piece is a limit
_STRAYS = 2  # points of another state, where the voltage turns
_OFFSET = 0.01  # of the largest voltage: a curve misses the origin by no more,
_LEAK = 1e-5  # or by no more of the largest current
_AROUND = 12  # points around 0 V that tell of noise
_FALL = 0.1  # of the largest current: what lies further off a rising curve, on average, is no noise


def measured(file: str | Path, v: str | int, i: str | int, name: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return voltages [V] and currents [A] in the order of the file.

    Raises
    ------
    FileError
        If there are no such columns, or they are not in volts and amperes.
    """
    reading = read(file, None, name=name, columns=(v, i), unnamed=(v, i) == ("V", "I"))
    for column, (unit, expected) in enumerate(zip(reading.units, "VA")):
        if unit not in ("", expected):
            raise FileError(f"{file}: column {reading.columns[column]} is in {unit} where {expected} is expected")
    return reading.values[:, 0], reading.values[:, 1]


def monotone(
    v: np.ndarray, i: np.ndarray, branch: Branch | None, v_range: tuple[float | str, float | str] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return a branch as strictly rising voltages and currents that include (0, 0).

    Raises
    ------
    ValueError
        If there are two branches and none is asked for, there is none, it does not rise on the whole, or it misses the
        origin; if ``v_range`` is none.
    """
    kept = _range(v_range)
    if branch not in (None, *get_args(Branch)):
        raise ValueError(f"branch = {branch!r}: give 'rising' or 'falling'")
    rises = _rising(v)
    if branch is None and rises.any() and not rises.all():
        turn = int(np.flatnonzero(rises[1:] != rises[:-1])[0]) + 1
        raise ValueError(f"the voltage turns at {v[turn]:.3g} V (point {turn + 1}); give branch='rising' or 'falling'")
    if branch is not None:
        there = rises if branch == "rising" else ~rises
        v, i = v[there], i[there]
    there = (v >= kept[0]) & (v <= kept[1])
    v, i = v[there], i[there]
    _check_origin(v, i)
    sides = [_side(s, s * v[s * v > 0], s * i[s * v > 0]) for s in (-1, 1)]
    if len(sides[0][0]) + len(sides[1][0]) < 2:
        raise ValueError(f"{len(v)} points on this branch and range, fewer than 2 of them above noise; give another")
    (v_below, i_below), (v_above, i_above) = sides
    return np.r_[-v_below[::-1], 0.0, v_above], np.r_[-i_below[::-1], 0.0, i_above]


def _range(v_range: Any) -> tuple[float, float]:
    """Return the lower and the upper end of a range of voltages [V]."""
    if v_range is None:
        return -np.inf, np.inf
    if isinstance(v_range, str) or np.shape(v_range) != (2,):
        raise ParameterError(f"v_range = {v_range!r:.60}: give two voltages, as (-0.5, 0.5)")
    ends = [quantity(end, "V", "v_range") for end in v_range]
    return min(ends), max(ends)


def _check_origin(v: np.ndarray, i: np.ndarray) -> None:
    """Refuse a curve whose current has the wrong sign, or is not 0 at 0 V, by more than its noise.

    The noise is what a cubic through the points around 0 V leaves.
    """
    if not v.size:
        return
    near = np.argsort(np.abs(v), kind="stable")[:_AROUND]
    powers = np.vander(v[near] / max(np.abs(v[near]).max(), np.finfo(float).tiny), 4)
    left = i[near] - powers @ np.linalg.lstsq(powers, i[near])[0]
    noise = float(np.sqrt(np.sum(left**2) / max(len(near) - 4, 1)))
    span, least = float(np.abs(v).max()), max(8 * noise, _LEAK * float(np.abs(i).max()))
    wrong = (v * i < 0) & (np.abs(v) > _OFFSET * span) & (np.abs(i) > least)
    wrong |= (np.abs(v) <= _OFFSET * span / 100) & (np.abs(i) > least)
    if wrong.any():
        k = int(np.flatnonzero(wrong)[np.argmax(np.abs(i[wrong]))])
        at, current = format_quantity(float(v[k]), "V"), format_quantity(float(i[k]), "A")
        raise ValueError(f"the curve misses the origin: {current} at {at}; subtract the offset of the instrument")


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
