"""Files whose readers may crash: read in a process of its own first."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from xbarsim.errors import FileError

_PATIENCE = 120  # seconds


def check_apart(path: Path, code: str, what: str) -> None:
    """Raise :class:`FileError` if reading a file crashes the process that does it, or never ends.

    Libraries in C read damaged files beyond their memory; no exception comes of that. What Python raises there is
    left to be met again.

    Parameters
    ----------
    path : path
    code : str
        Reads the file ``sys.argv[1]``.
    what : str
        The kind of file.
    """
    command = [sys.executable, "-c", code, str(path)]
    try:
        ended = subprocess.run(command, check=False, capture_output=True, timeout=_PATIENCE).returncode
    except subprocess.TimeoutExpired:
        raise FileError(f"{path}: cannot be read as {what} within {_PATIENCE} s; give a whole file") from None
    if ended < 0:
        name = signal.Signals(-ended).name
        raise FileError(f"{path}: cannot be read as {what} (its library ends by {name}); give a whole file")
