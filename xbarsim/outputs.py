"""What is written: files that appear whole or not at all, an older one staying until then; text on the terminal."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbarsim.errors import FileError, ParameterError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure
    from rich.console import Console

if sys.platform != "win32":
    from fcntl import LOCK_EX, LOCK_NB, flock


def console(**options: Any) -> Console:
    """Return a terminal that shows names and titles as they are, brackets and colons included."""
    from rich.console import Console

    class Terminal(Console):
        def on_broken_pipe(self) -> None:
            """Go on in silence: who reads, as ``head``, has enough, but files are yet to be written."""
            self.quiet = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    return Terminal(markup=False, emoji=False, **options)


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
def own_folder(path: Path | None) -> Iterator[None]:
    """Keep a folder, made if there is none, to this process; refuse one that another process keeps. None is fine."""
    if path is None:
        yield
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY) if sys.platform != "win32" else None
    except OSError as error:
        raise FileError(f"{path}: cannot be a folder to write to ({error.strerror}); give another one") from None
    try:
        if descriptor is not None:
            try:
                _lock(descriptor)
            except BlockingIOError:
                remedy = "wait for its end, or give another folder"
                raise FileError(f"{path}: another process is writing to it; {remedy}") from None
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def write(path: str | Path, data: bytes) -> None:
    """Write a file; raise :class:`FileError` if that is not possible, or another process is writing it.

    What is written goes to ``.NAME.part`` beside it, which takes the name when it is complete. A process that is killed
    leaves that part, and the next one writes over it.
    """
    target = Path(path).resolve()
    try:
        if target.exists() and not target.is_file():  # a device or a pipe
            target.write_bytes(data)
            return
        part = target.with_name(f".{target.name}.part")
        with os.fdopen(_alone(part), "wb") as file:
            try:
                file.truncate()
                if target.exists():
                    part.chmod(stat.S_IMODE(target.stat().st_mode))
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                part.replace(target)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
    except BlockingIOError:
        raise FileError(f"{path}: another process is writing it; wait for its end, or give another path") from None
    except OSError as error:
        reason = error.strerror or error
        raise FileError(f"{path}: cannot be written ({reason}); give a path in an existing folder, with room") from None


def _alone(part: Path) -> int:
    """Open a part that no other process writes."""
    while True:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
            if os.path.samestat(os.fstat(descriptor), part.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # another process has meanwhile given it its name


def _lock(descriptor: int) -> None:
    if sys.platform != "win32":
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # some file systems of clusters have no locks
            pass


def write_text(path: str | Path, text: str) -> None:
    """Write a text as :func:`write` does."""
    write(path, (text + "\n").encode())


def write_picture(path: Path, figure: Figure, dpi: float = 150) -> None:
    """Write a figure in the format that its suffix names, as :func:`write` does."""
    buffer = BytesIO()
    figure.savefig(buffer, format=path.suffix[1:], dpi=dpi)
    write(path, buffer.getvalue())


def write_netcdf(path: Path, data: xr.Dataset) -> None:
    """Write a data set as :func:`write` does."""
    buffer = BytesIO()
    data.to_netcdf(buffer, engine="h5netcdf")
    write(path, buffer.getvalue())
