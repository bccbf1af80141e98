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
# words of a name that are units, and units written in full; V, A or s alone may be names
_UNIT_WITHIN = re.compile(
    r"[kKMGTmun\u00b5\u03bc]?([oO]hms?|OHM|[\u03a9\u2126])|[kmunpf\u00b5\u03bc](S|V|A|s|W|J|F|eV|[sS]iemens)|[kMG]Hz|[mu]K"
)
_IN_FULL = re.compile(r"(kilo?|mega?|giga|milli|micro|nano|pico)(ohms?|siemens|volts?|amp(ere)?s?|seconds?)", re.I)
_SCALED = re.compile(r"[0-9/*^\u00b7\u207b]")  # of a unit: times, over, to the power of
_SETTING = re.compile(r"[=:]\s*[+-]?[0-9][0-9.eE+-]*\s*\w*")  # "V_read = 100 mV" tells of no column
_FACTOR = re.compile(r"\w\s*[*\u00d7\u00b7]\s*[0-9]|\w\s+x\s*1(00|e|0\^)|\b(log|ln|lg)(\b|[0-9_])", re.I)
_THOUSANDS = re.compile(r"[+\-\u2212]?[1-9][0-9]{0,2},[0-9]{3}(?![0-9]|[eE][+\-0-9])")


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


def interpret(
    sheet: Sheet, allowed: tuple[str, ...] | None, chosen: tuple[str | int, ...] | None = None, unnamed: bool = False
) -> Reading:
    """Make numbers of the cells of a sheet, in the ``allowed`` units; None allows all.

    ``chosen`` are the columns to read, by name or counted from 0, names of rows left out; None is all. With
    ``unnamed``, as many columns without names need none.

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
    if width == 2 and not sheet.comma and {len(row) for row in heads} == {1} and not all(_is_name(r[0]) for r in rows):
        raise ValueError(
            "one name stands above two columns; name both, or, if commas are decimal, separate by semicolons"
        )
    labels, above = _labels(heads, width)
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
        columns = [Column("")] * width
    columns = _with_units(columns, [*above, *(_SETTING.sub("", text) for text in sheet.comments)], allowed)
    places = [k + 1 + shift for k in range(width)]
    if chosen is not None:
        if unnamed and not labels and width == len(chosen):
            chosen = tuple(range(width))
        numbers = [_found(column, columns) for column in chosen]
        columns, places = [columns[k] for k in numbers], [places[k] for k in numbers]
        rows, width = [[row[k] for k in numbers] for row in rows], len(numbers)
    for place, column in zip(places, columns):
        if not column.unit and (found := _unit_within(column.name, allowed)):
            raise ValueError(f"column {place}: {column.name!r:.60} names {found}; write for example 'R (kOhm)'")
        if column.unit and _FACTOR.search(column.name):
            raise ValueError(
                f"column {place}: {column.name!r:.60} is a multiple or a logarithm; give the quantity itself"
            )
        if allowed is not None and column.unit not in ("", *allowed):
            raise ValueError(f"column {place} is in {column.unit} where {_listed(allowed)}")
    values, units = np.empty((len(rows), width)), [column.unit for column in columns]
    cells, plain = _Cells(allowed, sheet.comma), dict[int, str]()
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            where = f"row {lines[i]}, column {places[j]}"
            try:
                values[i, j], unit = cells.number(cell, columns[j])
                if unit is None:
                    plain.setdefault(j, f"{where}: {cell!r}")
                elif unit and units[j] not in ("", unit):
                    raise ValueError(f"{cell!r} is in {unit}, above it is {units[j]}; use one unit")
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None
            units[j] = unit or units[j]
    for j, first in plain.items():
        if units[j] and not columns[j].unit:
            raise ValueError(
                f"{first} has no unit, other cells are in {units[j]}; write one in each, or in the heading"
            )
    if cells.thousands and not cells.decimal:
        cell = cells.thousands
        raise ValueError(
            f"{cell!r} is {cell.replace(',', '.')} or {cell.replace(',', '')}; write decimal points, or no commas"
        )
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
        self.thousands, self.decimal = "", False  # a cell whose comma may mark thousands; whether some comma cannot

    def number(self, cell: Cell, column: Column) -> tuple[float, str | None]:
        """Return a value in SI units, and the unit that the cell itself states; None if it is a number alone."""
        if missing(cell):
            return np.nan, ""
        if not isinstance(cell, str):
            return scaled(repr(float(cell or 0)), column.power), None
        text = cell
        if self.may_comma and cell.count(",") == 1 and "." not in cell:
            text, self.comma = cell.replace(",", "."), True
            if _THOUSANDS.match(cell):
                self.thousands = self.thousands or cell
            else:
                self.decimal = True
        self.point |= "." in cell
        if column.power == 0 and not self.comma and (value := _plain(cell)):
            return value, None
        if self.comma and self.point:
            raise ValueError(f"{cell!r}: some cells have a decimal comma, some a decimal point; use one of them")
        number, suffix = split_quantity(text)
        if not suffix:
            return scaled(number, column.power), None
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
    if n_heads == 0 and len(rows) > 1 and len(rows[0]) > 1 and _counts(rows[0][1:]):  # columns may be counted
        corner, first = str(rows[0][0] or "").strip(), [row[0] for row in rows[1:] if row]
        named = all(map(_is_name, first))
        if corner.lower() in _COUNTS:
            n_heads = int(named or _counts(first))
        elif named and not re.search("[0-9]", corner) and all(re.search("[0-9]", str(cell)) for cell in first):
            raise ValueError(
                f"row 1 holds numbers or counts columns; leave out {corner!r:.40} if it does, or name it 'row'"
            )
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


def _labels(heads: list[list[Cell]], width: int) -> tuple[list[str], list[str]]:
    """Return a name for each column, with the units of a second line of names, or nothing; and what else is above."""
    texts = [[str(cell or "").strip() for cell in row] for row in heads]
    lone = [width > 1 and not any(row[1:]) for row in texts]  # a title
    fits = [not one and len(row) >= width - 1 and not any(row[width:]) for one, row in zip(lone, texts)]
    above = [";".join(filter(None, row)) for row, fit in zip(texts, fits) if not fit]
    fitting = [row[:width] for row, fit in zip(texts, fits) if fit]
    if not fitting:  # one title for all columns
        return ([above.pop()] * width if all(lone) and lone else []), above
    names = fitting.pop()
    if fitting and all(known_unit(name.strip("()[]")) for name in names if name):
        names = [f"{name} ({unit.strip('()[]')})" if unit else name for name, unit in zip(fitting.pop(), names)]
    return [""] * (width - len(names)) + names, [*above, *(";".join(filter(None, row)) for row in fitting)]


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


def _with_units(columns: list[Column], above: list[str], allowed: tuple[str, ...] | None) -> list[Column]:
    """Return columns with the units of titles and comments above them, if their own names have none.

    A title or comment counts if it has a unit for each column, or one for all.
    """
    if any(column.unit for column in columns):
        return columns
    found = [commented for text in above if (commented := _commented(text, len(columns)))]
    stated = {tuple(column[1:] for column in commented) for commented in found}
    if len(stated) > 1:
        raise ValueError("titles or comments above the numbers state several units; leave one")
    if stated:
        return [Column(column.name, *unit) for column, unit in zip(columns, stated.pop())]
    for text in above:
        if unit := _unit_within(text, allowed):
            raise ValueError(f"{text!r:.60} names {unit}; write for example 'R (kOhm)' above each column")
    return columns


def _commented(text: str, width: int) -> list[Column]:
    """Return what a title or a comment says of the units of columns, if it has one for each or one for all."""
    columns = [_heading(part.strip(), 1, strict=False) for part in re.split(r"[,;\t]", text)]
    if len(columns) == 1:
        columns *= width
    return columns if len(columns) == width and all(column.unit for column in columns) else []


def _unit_within(text: str, allowed: tuple[str, ...] | None) -> str:
    """Return a unit that a text names in a way that is not read, "R_kOhm" or "U (10 mV)", or ""."""
    scopes = [
        *re.findall(r"[(\[]([^()\[\]]*)", text),
        *text.split("/")[1:],
        *re.findall(r"\b(?:in|of) ([0-9].*)", text),
    ]
    scopes = [part for part in scopes if _SCALED.search(part)]
    named = [word for scope in scopes for word in _words(scope) if known_unit(word)]
    named += [word for word in _words(text) if _UNIT_WITHIN.fullmatch(word) or _IN_FULL.fullmatch(word)]
    return next((word for word in named if allowed is None or known_unit(word) in (None, *allowed)), "")


def _words(text: str) -> list[str]:
    return [word.lstrip("0123456789") for word in re.split(r"[\W_]+", text)]
