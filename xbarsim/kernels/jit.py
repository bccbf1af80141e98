"""All options of the Numba compiler, in one place: cached on disk, IEEE arithmetic, bounds unchecked."""

from collections.abc import Callable
from typing import Any

import numba

prange = numba.prange


def jit(function: Callable[..., Any]) -> Any:
    """Compile a kernel that runs on the calling thread."""
    return numba.njit(cache=True, nogil=True)(function)


def parallel_jit(function: Callable[..., Any]) -> Any:
    """Compile a kernel whose ``prange`` loops, with disjoint writes, run on all threads."""
    return numba.njit(cache=True, nogil=True, parallel=True)(function)
