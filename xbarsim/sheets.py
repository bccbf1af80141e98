"""What files of numbers hold, before it means anything: rows of cells, or arrays."""

from __future__ import annotations

import codecs
import csv
import re
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile, is_zipfile

import numpy as np

from xbarsim.apart import check_apart
from xbarsim.errors import UNREADABLE, FileError, XbarsimError, brief, extra
from xbarsim.machine import check_memory

Cell = str | float | None
_READ_MAT = "import sys; from scipy.io import loadmat; loadmat(sys.argv[1])"
_TIMES = 2  # memory for what a packed file holds: as it is, and as numbers
KINDS = ".csv, .tsv, .txt, .dat, .xlsx, .npy, .npz or .mat"


class Sheet(NamedTuple):
    """Rows of cells.

    Attributes
    ----------
    rows : list of list
        Texts, numbers, and None where a cell is empty.
    lines : list of int
        The number of each row in the file, from 1.
    comments : tuple of str
        The comment lines.
    comma : bool
        Whether a comma may be a decimal comma, since something else is between the cells.
    """

    rows: list[list[Cell]]
    lines: list[int]
    comments: tuple[str, ...] = ()
    comma: bool = False


def read_file(path: Path, name: str | None) -> Sheet | np.ndarray:
    """Return what a file holds; ``name`` is that of an array, variable or worksheet.

    Raises
    ------
    FileError
        If the file is missing, damaged or of another kind, or does not say which of several arrays is meant.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise FileError(f"{path}: is of an unknown kind; give a {KINDS} file")
    try:
        if is_zipfile(path):
            with ZipFile(path) as file:
                unpacked = sum(part.file_size for part in file.infolist())
            check_memory(_TIMES * unpacked, f"the contents of {path}", "give a smaller file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # readers warn of styles and of old formats
            return reader(path, name)
    except XbarsimError:
        raise
    except UNREADABLE as error:
        raise FileError(f"{path}: cannot be read ({brief(error)}); give a whole {KINDS} file") from None


def _text(path: Path, name: str | None) -> Sheet:
    _check_unnamed(path, name)
    lines = _decoded(path.read_bytes()).splitlines(keepends=True)
    told = re.fullmatch(r'"?sep=([;,\t])"?\s*', lines[0]) if lines else None  # as spreadsheets write it
    lines = ["", *lines[1:]] if told else lines
    plain = ["" if line.lstrip().startswith(("#", "%")) else line for line in lines]
    above = tuple(line.strip(" \t#%\r\n") for line, bare in zip(lines, plain) if not bare)
    mark = told[1] if told else _separator(plain)
    if mark == " ":
        rows: list[tuple[int, list[Cell]]] = [
            (k + 1, [*re.split(r"(?<!/)\s+(?![(\[/])", line.strip())] if line.strip() else [])
            for k, line in enumerate(plain)
        ]
    else:  # a line break in quotes is a blank: it may stand in a name, and not inside a number
        reader = csv.reader(plain, delimiter=mark or "\x1f", skipinitialspace=True, strict=True)
        rows = [(reader.line_num, [" ".join(cell.split()) for cell in row]) for row in reader]
    rows = [(line, row) for line, row in rows if row not in ([], [""])]
    return Sheet([row for _, row in rows], [line for line, _ in rows], above, mark in ";\t" and mark != "")


def _decoded(data: bytes) -> str:
    """Return a text in UTF-8 or UTF-16, with a mark of byte order or without, else in the code page of old programs."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if b"\0" in data:
            raise ValueError("this is no text") from None
        return data.decode("cp1252", errors="replace")


def _separator(lines: list[str]) -> str:
    """Return what stands between cells: semicolons, tabs, commas or blanks, or "" if each line is one cell."""
    bare = [re.sub(r'"[^"]*"', "", line) for line in lines]
    for mark in ";\t,":
        if any(mark in line.strip() for line in bare):
            return mark
    lists = [line.split() for line in bare if len(line.split()) > 1]
    if all(re.fullmatch(r"[0-9]{1,3}( [0-9]{3})+", " ".join(words)) for words in lists):
        return ""  # thousands, or nothing
    # "0.1 0.2" are two cells, "100 kOhm" is one
    return " " if any(all(re.match(r"[+-]?\.?[0-9]|nan$", word) for word in words) for words in lists) else ""


def _workbook(path: Path, name: str | None) -> Sheet:
    with extra("files", f"{path}"):
        import openpyxl
    book = openpyxl.load_workbook(BytesIO(path.read_bytes()), read_only=True, data_only=True)
    filled = {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book.worksheets}
    filled = {title: rows for title, rows in filled.items() if any(cell is not None for row in rows for cell in row)}
    rows = filled[_chosen(path, list(filled), name, "sheet")]
    cells = [(k + 1, [_plain(cell) for cell in row]) for k, row in enumerate(rows)]
    cells = [(k, row) for k, row in cells if any(cell is not None for cell in row)]
    return Sheet([row for _, row in cells], [k for k, _ in cells])


def _plain(cell: Any) -> Cell:
    if cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool)):
        return cell
    return str(cell).strip() or None


def _npy(path: Path, name: str | None) -> np.ndarray:
    _check_unnamed(path, name)
    with path.open("rb") as file:
        return _numbers(path, np.load(file, allow_pickle=False))


def _npz(path: Path, name: str | None) -> np.ndarray:
    with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as file:
        return _numbers(path, file[_chosen(path, list(file), name, "array")])


def _mat(path: Path, name: str | None) -> np.ndarray:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    data = path.read_bytes()
    if data.startswith((b"MATLAB 7.3", b"\x89HDF")):
        raise FileError(f"{path}: is of MATLAB 7.3; save it with the option -v7")
    check_apart(path, _READ_MAT, "a MAT file")
    try:
        found = {key: value for key, value in loadmat(BytesIO(data)).items() if not key.startswith("__")}
    except MatReadError as error:
        raise ValueError(str(error)) from None
    return _numbers(path, np.asarray(found[_chosen(path, list(found), name, "variable")]))


def _check_unnamed(path: Path, name: str | None) -> None:
    if name is not None:
        raise FileError(f"{path}: holds one table without a name, no {name!r}; leave the name out")


def _chosen(path: Path, known: list[str], name: str | None, what: str) -> str:
    if not known:
        raise FileError(f"{path}: is empty; give a {what} of numbers")
    listed = ", ".join(known[:8])
    if name is None and len(known) != 1:
        raise FileError(f"{path}: holds the {what}s {listed}; name the one to read")
    if name is not None and name not in known:
        raise FileError(f"{path}: has no {what} {name!r}; it holds {listed}")
    return name or known[0]


def _numbers(path: Path, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "iuf":
        raise FileError(f"{path}: holds {array.dtype}, not real numbers")
    return array.astype(np.float64)


_READERS: dict[str, Callable[[Path, str | None], Sheet | np.ndarray]] = {
    **dict.fromkeys((".csv", ".tsv", ".txt", ".dat"), _text),
    ".xlsx": _workbook,
    ".npy": _npy,
    ".npz": _npz,
    ".mat": _mat,
}
