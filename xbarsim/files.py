"""Arrays from CSV, NPY and NPZ files, engineering notation included."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from xbarsim.errors import FileError
from xbarsim.units import parse_quantity


def load_array(path: str | Path, unit: str, name: str | None = None) -> np.ndarray:
    """Read numbers from a file.

    Parameters
    ----------
    path : str or path
        ``.csv``: one row per line, numbers or texts such as "100 kOhm"; ``.npy``; ``.npz`` with one array, or ``name``.
    unit : str
        The unit that texts may carry.
    name : str, optional
        The array of an ``.npz`` file.

    Returns
    -------
    array of float; from CSV (n_lines, n_columns)

    Raises
    ------
    FileError
        If the file is missing, of another kind, ragged, or holds something else than numbers; it names the place.
    """
    path = Path(path)
    try:
        if path.suffix == ".csv":
            return _read_csv(path, unit)
        if path.suffix == ".npy":
            return _numbers(path, np.load(path, allow_pickle=False))
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                keys = list(file)
                if name is None and len(keys) != 1:
                    raise FileError(f"{path}: holds the arrays {', '.join(keys)}; name the one to read")
                if (name or keys[0]) not in keys:
                    raise FileError(f"{path}: has no array {name!r}; it holds {', '.join(keys)}")
                return _numbers(path, file[name or keys[0]])
    except FileError:
        raise
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise FileError(f"{path}: cannot be read ({reason}); give a .csv, .npy or .npz file") from None
    raise FileError(f"{path}: is of an unknown kind; give a .csv, .npy or .npz file")


def _numbers(path: Path, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "iuf":
        raise FileError(f"{path}: holds {array.dtype}, not real numbers")
    return array.astype(np.float64)


def _read_csv(path: Path, unit: str) -> np.ndarray:
    with path.open(newline="", encoding="utf-8") as file:
        lines = [line for line in csv.reader(file, skipinitialspace=True) if line]
    if not lines:
        raise FileError(f"{path}: is empty; give one row of numbers per line")
    values = np.empty((len(lines), len(lines[0])))
    for i, line in enumerate(lines):
        if len(line) != len(lines[0]):
            raise FileError(f"{path}: row {i + 1} has {len(line)} entries where row 1 has {len(lines[0])}")
        for j, text in enumerate(line):
            try:
                values[i, j] = parse_quantity(text, unit)
            except ValueError as error:
                raise FileError(f"{path}: row {i + 1}, column {j + 1}: {error}") from None
    return values
