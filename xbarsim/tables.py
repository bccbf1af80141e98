"""Numbers out of the cells of a sheet: which rows and columns are names, which units hold, what is missing."""

from __future__ import annotations

import re
from math import isfinite
from typing import NamedTuple

import numpy as np

from xbarsim.sheets import Cell, Sheet
from xbarsim.units import known_unit, parse_quantity, scaled, split_quantity, unit_power

_MISSING = {"", "nan", "na", "n/a", "#n/a", "null", "none", "-", "--"}
_COUNTS = {"", "index", "#", "no", "no.", "nr", "row", "rows", "wordline", "wl", "line", "cell", "id"}
_NUMBER_BEGINS = re.compile(r"[+\-\u2212]?[.,]?[0-9]|[+-]?inf")
_BRACKET = re.compile(r"\s*[(\[]\s*([^()\[\]]*?)\s*[)\]]\s*$")
_SLASH = re.compile(r"\s*/\s*(\S+)$")
_UNIT_ALONE = re.compile(r"[kMGmunpf\u00b5\u03bc]?([oO]hms?|[\u03a9\u2126])|[kMGmunpf\u00b5\u03bc][SVA]")


class Column(NamedTuple):
    """A heading: name, and the power of ten and the unit that it states ("" for none)."""

    name: str
    power: int = 0
    unit: str = ""


class Reading(NamedTuple):
    """What a file says.

    Attributes
    ----------
    values : array
        In SI units, nan where missing.
    units, names : tuple of str
        The unit that the file states for each column and the name above it, "" where there is none.
    remarks : tuple of str
        What of the file is not in the values.
    lines, columns : tuple of int
        Where in the file each row and column stands, from 1.
    """

    values: np.ndarray
    units: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()

    @property
    def unit(self) -> str:
        """The first unit that the file states, or ""."""
        return next((unit for unit in self.units if unit), "")

    def place(self, where: tuple[int, ...]) -> str:
        """Say where in the file an entry stands."""
        if self.lines:
            return f"row {self.lines[where[0]]}, column {self.columns[where[1]]}"
        return f"entry {[int(k) for k in where]}"


def interpret(sheet: Sheet, allowed: tuple[str, ...] | None, chosen: tuple[str | int, ...] | None = None) -> Reading:
    """Make numbers of the cells of a sheet, in the ``allowed`` units; None allows all.

    ``chosen`` are the columns to read, by name or counted from 0, names of rows left out; None is all.

    Raises
    ------
    ValueError
        If a cell is no number, has a unit that is not allowed, or rows differ in length; it names row and column.
    """
    n_heads = _head_count(sheet.rows)
    heads, rows, lines = sheet.rows[:n_heads], sheet.rows[n_heads:], sheet.lines[n_heads:]
    if not rows:
        raise ValueError("holds names, but no numbers" if heads else "is empty; give one row of numbers per line")
    rows, lines = _rectangular(rows, lines)
    width = len(rows[0])
    labels = _labels(heads, width)
    remarks = [f"{n_heads} line{'s' if n_heads > 1 else ''} of names above"] if n_heads else []
    shift = int(width > 1 and _is_index(labels[0] if labels else None, [row[0] for row in rows]))
    if shift:
        rows, labels, width = [row[1:] for row in rows], labels[1:], width - 1
        remarks.append("the first column names rows")
    elif labels and labels[0] == "" and width > 1 and chosen is None:
        raise ValueError(
            "column 1 has no name and does not count rows; name it (decimal commas need semicolons or tabs)"
        )
    if labels:
        columns = [_heading(label, k + 1 + shift, strict=chosen is None) for k, label in enumerate(labels)]
    else:
        columns = _commented(sheet.comment, width)
    places = [k + 1 + shift for k in range(width)]
    if chosen is not None:
        numbers = [_found(column, columns) for column in chosen]
        columns, places = [columns[k] for k in numbers], [places[k] for k in numbers]
        rows, width = [[row[k] for k in numbers] for row in rows], len(numbers)
    for place, column in zip(places, columns):
        if allowed is not None and column.unit not in ("", *allowed):
            raise ValueError(f"column {place} is in {column.unit} where {_listed(allowed)}")
    values, units = np.empty((len(rows), width)), [column.unit for column in columns]
    cells = _Cells(allowed, sheet.comma)
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            try:
                values[i, j], unit = cells.number(cell, columns[j])
                if unit and units[j] not in ("", unit):
                    raise ValueError(f"{cell!r} is in {unit}, above it is {units[j]}; use one unit")
            except ValueError as error:
                raise ValueError(f"row {lines[i]}, column {places[j]}: {error}") from None
            units[j] = unit or units[j]
    if cells.comma:
        remarks.append("commas are decimal commas")
    names = tuple(column.name for column in columns)
    return Reading(values, tuple(units), names, tuple(remarks), tuple(lines), tuple(places))


def _found(wanted: str | int, columns: list[Column]) -> int:
    """Return the number of a column, given by name or number."""
    if isinstance(wanted, int):
        if not 0 <= wanted < len(columns):
            raise ValueError(f"column {wanted}: there are {len(columns)}, counted from 0")
        return wanted
    names = [column.name for column in columns]
    places = [k for k, name in enumerate(names) if name.lower() == wanted.lower()]
    if len(places) != 1:
        listed = ", ".join(names[:8]) if any(names) else f"{len(names)} columns without names; give numbers from 0"
        raise ValueError(f"{'several columns are' if places else 'no column is'} named {wanted!r}; it has {listed}")
    return places[0]


class _Cells:
    """Reads one cell after the other; remembers whether decimals had a comma or a point."""

    def __init__(self, allowed: tuple[str, ...] | None, comma: bool) -> None:
        self.allowed, self.may_comma = allowed, comma
        self.comma = self.point = False

    def number(self, cell: Cell, column: Column) -> tuple[float, str]:
        """Return a value in SI units, and the unit that the cell itself states."""
        if missing(cell):
            return np.nan, ""
        if not isinstance(cell, str):
            return scaled(repr(float(cell or 0)), column.power), ""
        text = cell
        if self.may_comma and cell.count(",") == 1 and "." not in cell:
            text, self.comma = cell.replace(",", "."), True
        self.point |= "." in cell
        if column.power == 0 and not self.comma and (value := _plain(cell)):
            return value, ""
        if self.comma and self.point:
            raise ValueError(f"{cell!r}: some cells have a decimal comma, some a decimal point; use one of them")
        number, suffix = split_quantity(text)
        if not suffix:
            return scaled(number, column.power), ""
        unit, power = known_unit(suffix), unit_power(suffix, "")
        if unit is None and power is not None:
            if column.unit:
                raise ValueError(f"{cell!r} has a prefix, and the heading a unit; write the number alone")
            return scaled(number, power), ""
        if unit is None or (self.allowed is not None and unit not in self.allowed):
            raise ValueError(f"{cell!r} has the unit {unit or suffix!r} where {_listed(self.allowed)}")
        return parse_quantity(text, unit), unit


def _plain(text: str) -> float:
    """Return the value of a plain number, which most cells are, or 0 if it needs a closer look."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if isfinite(value) else 0.0


def missing(cell: Cell) -> bool:
    """Tell whether a cell holds nothing, or a word for it."""
    return cell is None or (isinstance(cell, str) and cell.lower() in _MISSING) or cell != cell


def _listed(allowed: tuple[str, ...] | None) -> str:
    if not allowed:
        return "a known unit is expected"
    return f"{allowed[0] or 'no unit'} is expected" + "".join(f", or {unit}" for unit in allowed[1:])


def _empty(cell: Cell) -> bool:
    return cell is None or cell == ""


def _is_name(cell: Cell) -> bool:
    return isinstance(cell, str) and not missing(cell) and not _NUMBER_BEGINS.match(cell.lower())


def _head_count(rows: list[list[Cell]]) -> int:
    """Return how many rows at the top hold names, and nothing that begins like a number."""
    heads = (any(map(_is_name, row)) and all(_is_name(cell) or _empty(cell) for cell in row) for row in rows)
    n_heads = next((k for k, head in enumerate(heads) if not head), len(rows))
    if n_heads == 0 and len(rows) > 1 and len(rows[0]) > 1 and (_empty(rows[0][0]) or _is_name(rows[0][0])):
        first = [row[0] for row in rows[1:] if row]
        n_heads = int(_counts(rows[0][1:]) and (_counts(first) or all(map(_is_name, first))))
    return n_heads


def _counts(cells: list[Cell]) -> bool:
    """Tell whether cells are 0, 1, 2, ... or 1, 2, 3, ..."""
    try:
        numbers = [float(cell) for cell in cells if cell is not None]
    except ValueError:
        return False
    start = numbers[0] if numbers else -1.0
    return start in (0.0, 1.0) and len(numbers) == len(cells) and numbers == [start + k for k in range(len(cells))]


def _is_index(label: str | None, cells: list[Cell]) -> bool:
    return all(map(_is_name, cells)) or (label is not None and label.lower() in _COUNTS and _counts(cells))


def _rectangular(rows: list[list[Cell]], lines: list[int]) -> tuple[list[list[Cell]], list[int]]:
    """Return rows of one length, without what is empty in all rows on the right, and in all columns below."""
    while len(rows) > 1 and len(rows[-1]) > 1 and all(map(_empty, rows[-1])):
        rows, lines = rows[:-1], lines[:-1]
    width = max(k + 1 for row in rows for k, cell in enumerate(row) if k == 0 or not _empty(cell))
    lengths = [min(len(row), width) for row in rows]
    for line, length in zip(lines, lengths):
        if length != lengths[0]:
            raise ValueError(f"row {line} has {length} entries where row {lines[0]} has {lengths[0]}")
    return [row[:width] for row in rows], lines


def _labels(heads: list[list[Cell]], width: int) -> list[str]:
    """Return a name for each column, with the units of a second line of names, or nothing."""
    fitting = [[str(cell or "").strip() for cell in row] for row in heads]
    fitting = [row[:width] for row in fitting if len(row) >= width - 1 and not any(row[width:])]
    if not fitting:
        titles = [str(row[0]) for row in heads if row and not any(row[1:])]  # one title for all columns
        return [titles[-1]] * width if titles and len(titles) == len(heads) else []
    names = fitting[-1]
    if len(fitting) > 1 and all(known_unit(name.strip("()[]")) for name in names if name):
        names = [f"{name} ({unit.strip('()[]')})" if unit else name for name, unit in zip(fitting[-2], names)]
    return [""] * (width - len(names)) + names


def _heading(label: str, place: int, strict: bool) -> Column:
    """Read the unit at the end of a name, "R (kOhm)", "R [kOhm]", "R / kOhm" or "kOhm"."""
    bracket, slash = _BRACKET.search(label), _SLASH.search(label)
    if bracket:
        unit = known_unit(bracket[1])
        if unit is None and strict and bracket[1] and not re.search(r"[0-9]", bracket[1]):
            raise ValueError(f"column {place}: ({bracket[1]}) is no unit; write for example (kOhm), (uS) or (V)")
        name, text = label[: bracket.start()], bracket[1]
    elif slash:
        unit, name, text = known_unit(slash[1]), label[: slash.start()], slash[1]
    else:
        unit, name, text = known_unit(label) if _UNIT_ALONE.fullmatch(label) else None, label, label
    return Column(name.strip(), unit_power(text, unit) or 0, unit) if unit else Column(label)


def _commented(comment: str, width: int) -> list[Column]:
    """Return what a comment line right above the numbers says of their units, if it has one for each column or one."""
    columns = [_heading(part.strip(), 1, strict=False) for part in re.split(r"[,;\t]", comment)]
    if len(columns) == 1:
        columns *= width
    return columns if len(columns) == width and all(column.unit for column in columns) else [Column("")] * width
