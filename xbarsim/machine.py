"""What this process may still take of the memory, of its machine, its cgroup (a container, a batch job) or ulimit."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from xbarsim.errors import ParameterError
from xbarsim.units import format_quantity

_SMALL = 1 << 26  # bytes that are not asked about: asking takes as long as small reads do


def check_memory(needed: float, what: str, remedy: str) -> None:
    """Raise an error if so many bytes are more than this process may still take.

    Parameters
    ----------
    needed : float
    what : str
        What needs them, in the plural.
    remedy : str
    """
    if needed <= _SMALL:
        return
    left, limit, holder = min(_bounds())
    if needed > left:
        raise ParameterError(
            f"{what} need {format_quantity(needed, 'B')} of memory; {format_quantity(max(left, 0.0), 'B')} are left of "
            f"the {format_quantity(limit, 'B')} that {holder}; {remedy}"
        )


def check_reads(n_rows: int, n_cols: int, n_reads: int = 1, arrays: float = 12.0) -> None:
    """Raise an error if so many arrays of a crossbar, and the line currents of n reads, are too much."""
    check_memory(
        8 * (n_rows * n_cols * arrays + n_reads * (n_rows + n_cols)),
        f"{n_reads} read(s) of {n_rows} x {n_cols} cells",
        "give a smaller crossbar or fewer reads",
    )


def _bounds() -> Iterator[tuple[float, float, str]]:
    """Yield what is left, what was allowed, and by whom; a tenth of memory and cgroup is for everything else."""
    if sys.platform == "win32":
        yield (float("inf"), float("inf"), "nobody limits")
        return
    from resource import RLIM_INFINITY, RLIMIT_AS, RLIMIT_DATA, getrlimit

    page = os.sysconf("SC_PAGE_SIZE")
    installed = page * os.sysconf("SC_PHYS_PAGES")
    size, held, data = _in_use(page)
    yield 0.9 * installed - held, installed, "this machine has"
    for limit in _cgroup_limits():
        yield 0.9 * limit - held, limit, "its cgroup allows"
    for kind, used, name in ((RLIMIT_AS, size, "ulimit -v"), (RLIMIT_DATA, data, "ulimit -d")):
        limit, _ = getrlimit(kind)
        if limit != RLIM_INFINITY:
            yield limit - used, limit, f"{name} allows"


def _in_use(page: int) -> tuple[int, int, int]:
    """Return this process's address space, its memory, and of that what is data [B]; 0 where Linux does not say."""
    try:
        size, held, _, _, _, data, _ = map(int, Path("/proc/self/statm").read_text().split())
    except (OSError, ValueError):
        return 0, 0, 0
    return size * page, held * page, data * page


def _cgroup_limits(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """Yield the limits [B] of the cgroups that this process is in, of either version, up to the root."""
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in lines:
        if controllers in ("", "memory"):
            name = "memory.limit_in_bytes" if controllers else "memory.max"
            place = (root / controllers / path.lstrip("/")) if controllers else root / path.lstrip("/")
            for folder in (place, *place.parents):
                if not folder.is_relative_to(root):
                    break
                with suppress(OSError, ValueError):  # no such file, or "max"
                    yield int((folder / name).read_text())


def keep_freed_memory() -> None:
    """Let this process keep what it frees, where the C library is glibc."""
    if platform.libc_ver()[0] == "glibc":
        trim_threshold, mmap_max = -1, -4  # of mallopt(3)
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
