"""Where shipped networks, chips and test sets lie, and results that are written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from xbarsim.errors import FileError, ParameterError


def data_folder() -> Path:
    """Return the folder of shipped data, the same for an editable install and for a wheel."""
    package = Path(__file__).resolve().parent
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
    return Path(source)


def writable(path: Path | None) -> None:
    """Refuse an output file before any work if it cannot be written; None is fine."""
    if path is not None and (path.is_dir() or not os.access(path.resolve().parent, os.W_OK)):
        raise FileError(f"{path}: cannot be written; give a file in an existing, writable folder")


def picture(path: Path | None) -> None:
    """Refuse a file for a picture before any work if it is of another kind or cannot be written; None is fine."""
    kinds = (".png", ".pdf", ".svg")
    if path is not None and path.suffix not in kinds:
        raise ParameterError(f"--plot {path}: give a file that ends in {', '.join(kinds)}")
    writable(path)


@contextmanager
def written(path: str | Path) -> Iterator[None]:
    """Raise :class:`FileError` if what is inside cannot write the file."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise FileError(f"{path}: cannot be written ({reason}); give a path in an existing folder, with room") from None


def write_text(path: str | Path, text: str) -> None:
    """Write a file; raise :class:`FileError` if that is not possible."""
    with written(path):
        Path(path).write_text(text + "\n", encoding="utf-8")
