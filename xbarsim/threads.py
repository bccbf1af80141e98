"""Work on several threads at a time: kernels let go of Python's lock while they run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

from xbarsim.kernels.jit import thread_count

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the function of each item, in their order; after an error what has not begun is left undone.

    BLAS keeps to one thread meanwhile: its threads would wait for each other, twenty times as long as they work where
    another program has a core.
    """
    pool = ThreadPoolExecutor(max_workers=thread_count())
    with one_blas_thread():
        try:
            yield from pool.map(function, items)
        finally:
            pool.shutdown(cancel_futures=True)


def one_blas_thread() -> AbstractContextManager[Any]:
    """Keep BLAS to one thread: the last bits of its products depend, in some versions, on how many it has."""
    limit: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    return limit


@cache
def _libraries() -> ThreadpoolController:
    """Return the libraries of this process, that of compiled kernels among them."""
    import scipy.linalg.cython_blas  # noqa: F401

    return ThreadpoolController()
