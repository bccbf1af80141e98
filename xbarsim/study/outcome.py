"""Outcome: what one trial gave, or why it failed."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xbarsim.errors import ParameterError
from xbarsim.study.plan import RESERVED, Job, Value

Task = Callable[[int, dict[str, Value]], Mapping[str, Any]]  # of the number of a trial and its point
Array = tuple[tuple[str, ...], np.ndarray]  # names of the dimensions, and values


@dataclass(frozen=True)
class Outcome:
    """The results of a trial.

    Attributes
    ----------
    values : dict
        Names of dimensions and values of each result; none of a failed trial.
    error : str
        Why it failed, or nothing.
    trace : str
        Where.
    seconds : float
        How long it took.
    """

    values: dict[str, Array] = field(default_factory=dict)
    error: str = ""
    trace: str = ""
    seconds: float = 0.0


def attempt(task: Task, job: Job) -> Outcome:
    """Run one trial; whatever it raises becomes part of its outcome, but for Ctrl-C."""
    started = time.perf_counter()
    try:
        values = _arrays(task(job.trial, job.point), job.point)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a trial may fail in any way, and others go on
        trace = _plain(traceback.format_exc())
        return Outcome({}, f"{type(error).__name__}: {_said(error)}", trace, time.perf_counter() - started)
    return Outcome(values, seconds=time.perf_counter() - started)


def _said(error: BaseException) -> str:
    try:
        return _plain(str(error))
    except Exception as another:  # noqa: BLE001 - errors are objects of the user
        return f"(what it says cannot be had: {type(another).__name__})"


def _plain(text: str) -> str:
    """Return a text as files can hold it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _arrays(results: Any, axes: Collection[str]) -> dict[str, Array]:
    if not isinstance(results, Mapping):
        raise ParameterError(
            f"the function returned {type(results).__name__}; return a dictionary of numbers or arrays"
        )
    return {_name(name, axes): _array(name, value, axes) for name, value in results.items()}


def _name(name: Any, axes: Collection[str]) -> str:
    if not isinstance(name, str) or name in axes or name in RESERVED:
        raise ParameterError(
            f"the function returned a result named {name!r}; name it by a text other than those of axes, "
            f"{', '.join(RESERVED)}"
        )
    return name


def _array(name: str, value: Any, axes: Collection[str]) -> Array:
    dims: tuple[str, ...] | None = None
    if hasattr(value, "dims") and hasattr(value, "values"):  # an xarray.DataArray
        dims, value = tuple(map(str, value.dims)), value.values
    elif isinstance(value, tuple) and len(value) == 2 and _are_names(value[0]):
        dims, value = ((value[0],) if isinstance(value[0], str) else tuple(value[0])), value[1]
    array = np.asarray(value)
    if array.dtype.kind not in ("biuf" if dims is None else "biufU"):  # texts only where they are meant to be
        raise ParameterError(f"the function returned {name} = {value!r}; return real numbers or arrays of them")
    if dims is None:
        dims = tuple(f"{name}_{k}" for k in range(array.ndim))
    if len(dims) != array.ndim or len(set(dims)) < len(dims) or {*dims} & {*axes, *RESERVED}:
        raise ParameterError(
            f"the function returned {name} of shape {array.shape} with the dimensions {dims}; name each once, and "
            "none like an axis"
        )
    return dims, array


def _are_names(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, tuple | list) and all(isinstance(name, str) for name in value))
