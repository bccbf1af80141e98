"""Where shipped networks, chips and test sets lie."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from xbarsim.errors import FileError, ParameterError

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


def shipped(folder: str, suffix: str = ".toml") -> list[str]:
    """Return the names of what is shipped in a folder of the data."""
    return sorted(path.stem.replace("_", "-") for path in (data_folder() / folder).glob(f"*{suffix}"))


def file_of(source: object, what: str, folder: str, suffix: str = ".toml", choice: str = "") -> Path:
    """Return the file that a name, of what is shipped in a folder of the data, or a path stands for.

    Errors call it ``what``, and say to give one of all names unless told another ``choice``.
    """
    path, choice = path_of(source, what), choice or f"one of {', '.join(shipped(folder, suffix))}, or a {suffix} file"
    if path.suffix == suffix:
        if not path.is_file():
            raise FileError(f"{path}: no such file; give {choice}")
        return path
    named = [p for p in (data_folder() / folder).glob(f"*{suffix}") if p.stem.replace("_", "-") == str(source)]
    if not named:
        raise ParameterError(f"{what} {str(source)!r} is unknown; give {choice}")
    return named[0]


def path_of(source: object, what: str) -> Path:
    """Return the path that a name or file makes; raise :class:`ParameterError` if it is neither."""
    if not isinstance(source, str | os.PathLike):
        raise ParameterError(f"{what} is a {type(source).__name__}; give its name or file")
    path = Path(source)
    if "\0" in str(path) or len(os.fsencode(path)) > _LONGEST or len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise ParameterError(f"{what} {str(path)[:40]!r}... is no name that a file can have; give its name or file")
    return path
