"""All options of the Numba compiler, in one place: cached, IEEE division, no fast math but fused multiply-adds."""

import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numba

from xbarsim.errors import XbarsimError
from xbarsim.kernels.cache import cache_folder, kept

prange, thread_count, set_thread_count = numba.prange, numba.get_num_threads, numba.set_num_threads
_OPTIONS = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}


class Launching:
    """To be held while a parallel kernel runs: one of Numba's threading layers aborts on a second one.

    Another, OpenMP's, aborts in a process that was forked after a kernel had run; there it cannot be had.
    """

    def __init__(self) -> None:
        self._lock, self._process = Lock(), 0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = Lock()  # a thread that held it does not exist in the child

    def __enter__(self) -> None:
        if self._process not in (0, os.getpid()) and numba.threading_layer() == "omp":
            raise XbarsimError(
                "this process was forked after a parallel kernel had run, which OpenMP does not survive; start "
                'processes by "spawn" or "forkserver", or set NUMBA_THREADING_LAYER=workqueue'
            )
        self._lock.acquire()
        self._process = os.getpid()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


launching = Launching()


def jit(function: Callable[..., Any]) -> Any:
    """Compile a kernel that runs on the calling thread; its ``prange`` loops are plain loops."""
    return _compile(function, "one", **_OPTIONS)


def inlined_jit(function: Callable[..., Any]) -> Any:
    """Compile a kernel that becomes part of its callers, makes no arrays, and does not count references to them.

    Counting takes two locked operations for each slice, and each array taken out of a tuple: half the time of
    event-driven inference.
    """
    return _compile(function, "one", forceinline=True, _nrt=False, **_OPTIONS)


def parallel_jit(function: Callable[..., Any]) -> Any:
    """Compile a kernel whose ``prange`` loops, with disjoint writes, run on all threads."""
    return _compile(function, "all", parallel=True, **_OPTIONS)


def _compile(function: Callable[..., Any], threads: str, **options: Any) -> Any:
    folder, before = cache_folder(Path(function.__code__.co_filename).parent), numba.config.CACHE_DIR
    if folder is None:
        return numba.njit(**options)(function)
    numba.config.CACHE_DIR = str(folder / threads)
    try:
        return kept(numba.njit(cache=True, **options)(function))
    finally:
        numba.config.CACHE_DIR = before


@jit
def in_order(x):
    """Return the sum of an array, added up from its first number to its last.

    In a parallel kernel ``x.sum()`` is one sum for each thread, and its last bits depend on how many there are.
    """
    total = 0.0
    for value in x:
        total += value
    return total
