"""Arrays of quantities from files as laboratories write them: headers, units, index columns, missing cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from xbarsim.errors import FileError, ParameterError, shown
from xbarsim.plausible import RANGE, both, implausible, spread
from xbarsim.sheets import Sheet, read_file
from xbarsim.tables import Reading, interpret
from xbarsim.units import UNITS, parse_quantity


def read_table(
    path: str | Path,
    unit: str | None = None,
    *,
    name: str | None = None,
    columns: Sequence[str | int] | None = None,
    missing: str | float = "error",
) -> np.ndarray:
    """Read an array of numbers from a file, in SI units.

    Parameters
    ----------
    path : str or path
        A text with one row on each line (``.csv``, ``.tsv``, ``.txt``, ``.dat``), a worksheet (``.xlsx``, needs
        openpyxl), ``.npy``, ``.npz`` or ``.mat`` (up to version 7). In a text, cells are separated by semicolons, tabs,
        commas or blanks, the first of these that occurs; a comma is a decimal comma where the separator is a semicolon
        or a tab, and refused inside a cell elsewhere. Lines that begin with # or % are comments. A header and a first
        column of names or counted rows are no data. Cells may be quantities such as "100 kOhm"; a unit in brackets or
        after a slash in the header, "R (kOhm)", holds for the plain numbers below it, that of a title or a comment for
        all; a unit named otherwise, "R_kOhm", is refused.
    unit : str, optional
        The unit expected, for example ``"V"``; any if none is given. A file that states another is refused.
    name : str, optional
        The array of an ``.npz`` file, the variable of a ``.mat`` file or the worksheet, if there are several.
    columns : sequence of str or int, optional
        The columns to read of a text or worksheet, by name (without its unit) or counted from 0, names of
        rows left out; all unless given.
    missing : "error", "open", or a quantity
        What becomes of empty cells and of nan: refused; open cells, 0 S or inf ohm; or this value.

    Returns
    -------
    array of float
        (n_rows, n_cols) from texts and worksheets, otherwise as stored.

    Raises
    ------
    FileError
        If the file is missing, damaged, of another kind, ragged, or holds something else; row and column are those of
        the file, from 1.
    ParameterError
        If the unit is unknown.

    Examples
    --------
    >>> v = xb.read_table("voltages.csv", "V")                                    # doctest: +SKIP
    """
    if unit is not None and not (isinstance(unit, str) and unit in ("", *UNITS)):
        raise ParameterError(f"unit = {unit!r}: give one of {', '.join(UNITS)} without a prefix, or leave it out")
    return read(path, None if unit is None else (unit,), name=name, columns=columns, missing=missing).values


def read_conductances(
    path: str | Path,
    unit: str | None = None,
    *,
    name: str | None = None,
    missing: str | float = "error",
    plausible: bool = True,
) -> np.ndarray:
    """Read conductances, or resistances as such, from a file; return conductances [S].

    Parameters
    ----------
    path, name, missing
        See :func:`read_table`.
    unit : {"S", "Ohm"}, optional
        What plain numbers are; the file's own statement, or siemens, unless given. Resistances become conductances.
    plausible : bool
        Whether to refuse conductances that no memristor has, outside 1 fS to 100 mS; 0 is an open cell.

    Returns
    -------
    array of float
        See :func:`read_table`.

    Raises
    ------
    FileError
        See :func:`read_table`; also for a negative conductance, and for implausible ones.
    """
    return conductances(path, unit, name=name, missing=missing, plausible=plausible)[0]


def conductances(
    path: str | Path,
    unit: str | None = None,
    *,
    name: str | None = None,
    missing: str | float = "error",
    plausible: bool = True,
) -> tuple[np.ndarray, str]:
    """Do :func:`read_conductances`, and return also one line that says what was read."""
    if unit not in (None, "S", "Ohm"):
        raise ParameterError(f"unit = {unit!r}: give 'S' or 'Ohm'")
    reading = read(path, ("S", "Ohm") if unit is None else (unit,), name=name, missing=missing)
    g, resistances = reading.values, (unit or reading.unit) == "Ohm"
    wrong = g <= 0 if resistances else (g < 0) | np.isinf(g)
    if wrong.any():
        at = first(wrong)
        rule = "resistances are above 0, inf for an open cell" if resistances else "a conductance cannot be negative"
        if g[at] == np.inf:
            rule = "a conductance is finite"
        said = f"R{list(at)} = {g[at]:g} Ohm" if resistances else f"g{list(at)} = {g[at]:g} S"
        raise FileError(f"{path}: {reading.place(at)}: {said}: {rule}")
    if resistances:
        g = 1 / g
    place = implausible(g) if plausible else None
    if place is not None:
        other = "resistances? leave it out" if resistances else "resistances need unit='Ohm' (--resistance)"
        if reading.unit:
            other = f"the file says {reading.unit}"
        raise FileError(
            f"{path}: {reading.place(place)}: {both(float(g[place]))}; memristors have {RANGE}: {other}, "
            "plausible=False (--any-conductance) takes all"
        )
    stated = f"{reading.unit}, as the file says" if reading.unit else "Ohm" if resistances else "S"
    notes = "".join(f"; {remark}" for remark in reading.remarks)
    return g, f"{path}: {shape(g)} cells, read in {stated}: {spread(g)}{notes}"


def shape(array: np.ndarray) -> str:
    """Write the shape of an array, "64 x 32"."""
    return " x ".join(map(str, array.shape))


def read(
    path: str | Path,
    allowed: tuple[str, ...] | None,
    *,
    name: str | None = None,
    columns: Sequence[str | int] | None = None,
    missing: str | float = "error",
    unnamed: bool = False,
) -> Reading:
    """Read a file whose numbers are in one of the ``allowed`` units, the first one unless it says so; None allows all.

    The parameters are those of :func:`read_table`. With ``allowed`` given, all columns have one unit; with
    ``unnamed``, a file of as many columns as there are in ``columns``, without names, is read as it stands.
    """
    if not isinstance(path, str | Path) or path == "":
        raise ParameterError(f"path = {shown(path)}: give the path of a file")
    path, chosen = Path(path), _chosen(columns)
    held = read_file(path, name)
    if isinstance(held, Sheet):
        try:
            reading = interpret(held, allowed, chosen, unnamed)
        except ValueError as error:
            raise FileError(f"{path}: {error}") from None
    elif chosen is None or (unnamed and held.shape[1:] == (len(chosen),)):
        reading = Reading(held)
    else:
        numbers = [k for k in chosen if isinstance(k, int) and held.ndim == 2 and k < held.shape[1]]
        if len(numbers) < len(chosen):
            raise FileError(f"{path}: {shape(held)}, columns without names; give numbers of columns from 0")
        reading = Reading(held[:, numbers])
    for k, unit in enumerate(reading.units):
        if allowed is not None and unit != reading.unit and not np.isnan(reading.values[:, k]).all():
            said = f"is in {unit}" if unit else "has no unit"
            raise FileError(
                f"{path}: column {reading.columns[k]} {said}, others are in {reading.unit}; use one unit for all"
            )
    return _filled(path, reading, missing, reading.unit or (allowed or ("",))[0])


def _chosen(columns: Any) -> tuple[str | int, ...] | None:
    """Return names and numbers of columns as such; raise :class:`ParameterError` if they are none."""
    if columns is None:
        return None
    if not isinstance(columns, Iterable) or isinstance(columns, str | bytes):
        raise ParameterError(f"columns = {shown(columns)}: give a list of names, or of numbers from 0")
    columns = tuple(columns)
    for column in columns:
        known = isinstance(column, str) or (isinstance(column, Integral) and not isinstance(column, bool))
        if not known or (isinstance(column, Integral) and column < 0):
            raise ParameterError(f"column {shown(column)}: give its name, or its number from 0")
    if not columns:
        raise ParameterError("columns = []: give at least one")
    return tuple(column if isinstance(column, str) else int(column) for column in columns)


def _filled(path: Path, reading: Reading, missing: str | float, unit: str) -> Reading:
    """Return a reading with values where there are none."""
    lost = np.isnan(reading.values)
    count = np.count_nonzero(lost)
    if not count:
        return reading
    if missing == "error":
        raise FileError(
            f"{path}: {reading.place(first(lost))} is empty or nan, {count} in all; fill the cell, or give "
            "missing='open' or a value (--missing)"
        )
    if missing == "open" and unit not in ("S", "Ohm"):
        raise FileError(f"{path}: missing = 'open': only cells are open; give a value with the unit {unit or '1'}")
    try:
        value = {"S": 0.0, "Ohm": np.inf}[unit] if missing == "open" else float(parse_quantity(missing, unit))
        if np.isnan(value):
            raise ValueError("nan is none")
    except (TypeError, ValueError) as error:
        raise FileError(f"{path}: missing = {missing!r}: give 'error', 'open' or a value ({error})") from None
    remarks = (*reading.remarks, f"{count} missing cells taken as {missing}")
    return reading._replace(values=np.where(lost, value, reading.values), remarks=remarks)


def first(where: np.ndarray) -> tuple[int, ...]:
    """Return the index of the first entry of a mask."""
    return tuple(int(k) for k in np.argwhere(where)[0])
