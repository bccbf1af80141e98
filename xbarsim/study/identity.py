"""What a function is, so that a store tells whether it holds results of the same one; and what computes it."""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Callable, Iterable
from importlib.metadata import version
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

from xbarsim.parameters import Parameters
from xbarsim.version import __version__

_PACKAGES = ("numpy", "scipy", "numba")


def versions() -> dict[str, str]:
    """Return the version of Python and of the packages that numbers depend on."""
    return {"xbarsim": __version__, "python": platform.python_version()} | {
        package: version(package) for package in _PACKAGES
    }


def describe(function: Callable[..., Any]) -> dict[str, str]:
    """Return name and digest of a function.

    The digest covers its code, its defaults, and what it takes along from outside, where that is plain values, arrays,
    parameter sets or functions. It does not cover global names that the code looks up.
    """
    while isinstance(function, functools.partial) and not (function.args or function.keywords):
        function = function.func
    inner = function.func if isinstance(function, functools.partial) else function
    name = getattr(inner, "__qualname__", type(inner).__qualname__)
    digest = hashlib.sha256()
    _feed(digest, function)
    return {"function": f"{getattr(inner, '__module__', '')}.{name}", "code": digest.hexdigest()[:16]}


def _feed(digest: Any, value: Any, above: tuple[int, ...] = ()) -> None:
    """Add a value to a digest, by its type if it has no plain contents; ``above`` is what it is part of."""
    digest.update(type(value).__qualname__.encode())
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype} {value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    elif isinstance(value, set | frozenset):
        digest.update(repr(sorted(map(repr, value))).encode())
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes | Parameters):
        digest.update(repr(value).encode())
    elif id(value) not in above:  # a function may refer to itself
        for part in _parts(value):
            _feed(digest, part, (*above, id(value)))


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, functools.partial):
        return value.func, value.args, value.keywords
    if isinstance(value, MethodType):
        return value.__func__, value.__self__
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return value.__code__, value.__defaults__, value.__kwdefaults__, cells
    if isinstance(value, CodeType):
        return value.co_code, value.co_names, value.co_varnames, value.co_consts
    if isinstance(value, dict):
        return [part for key in sorted(value, key=repr) for part in (key, value[key])]
    return value if isinstance(value, tuple | list) else ()
