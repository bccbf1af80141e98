"""Where shipped networks, chips and test sets lie."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from xbarsim.errors import ParameterError

_LONGEST, _LONGEST_NAME = 4000, 240  # bytes of a path and of a name, with room for a suffix


def data_folder() -> Path:
    """Return the folder of shipped data, the same for an editable install and for a wheel."""
    package = Path(__file__).resolve().parents[1]
    inside_wheel = package / "data"
    return inside_wheel if inside_wheel.is_dir() else package.parent / "data"


def located(name: str, folder: str | Path, known: Iterable[str]) -> str:
    """Return a file or folder whose path is relative to ``folder``; what is known by name stays as it is."""
    path = Path(folder) / name
    return str(path) if name not in known and (Path(name).suffix or path.exists()) else name


def path_of(source: object, what: str) -> Path:
    """Return the path that a name or file makes; raise :class:`ParameterError` if it is neither."""
    if not isinstance(source, str | os.PathLike):
        raise ParameterError(f"{what} is a {type(source).__name__}; give its name or file")
    path = Path(source)
    if "\0" in str(path) or len(os.fsencode(path)) > _LONGEST or len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise ParameterError(f"{what} {str(path)[:40]!r}... is no name that a file can have; give its name or file")
    return path
