"""The public functions: Monte Carlo trials of a function, and sweeps of it over axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xbarsim.errors import ParameterError
from xbarsim.streams import stream
from xbarsim.study.plan import Plan, Value

if TYPE_CHECKING:
    import xarray as xr


def sweep(
    function: Callable[..., Mapping[str, Any]],
    axes: Mapping[str, Sequence[Any]],
    *,
    n_trials: int = 1,
    seed: int = 0,
    store: str | Path | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    on_error: Literal["record", "raise"] = "record",
    retry_failed: bool = False,
    progress: bool | None = None,
    units: Mapping[str, str] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Evaluate a function at every point of some axes, with random trials at each.

    The numbers are the same for any number of workers, and whether the study was interrupted or not. Ctrl-C ends it and
    returns what is done.

    Parameters
    ----------
    function : callable
        ``function(rng, **point)`` returns a dictionary of numbers or arrays. An array may name its dimensions:
        ``{"i_bitline": ("bitline", currents)}``. It draws from ``rng``, a :class:`numpy.random.Generator`, alone:
        trial k has the same one at every point, so that points are compared on the same devices.
    axes : dict of sequences
        Names of arguments, and their values: numbers or texts.
    n_trials : int
        Trials at each point.
    seed : int
        Root seed.
    store : str or path, optional
        A folder that takes each result as soon as it is there. Run again with the same one, a study does what is left;
        it may have got more trials or values.
    workers : int, optional
        Processes of this machine, which share its cores; 1 runs in this one. By default one for each core.
    cluster : str, optional
        Instead: the address of a Dask scheduler, as ``tcp://host:8786``.
    on_error : {"record", "raise"}
        A trial that fails has no numbers, and its ``error`` says why; or it ends the study. That all fail is an error.
    retry_failed : bool
        Whether trials that failed before are tried again.
    progress : bool, optional
        Whether to show a bar on standard error; unless told, if that is a terminal.
    units : dict, optional
        Units of axes and results, ``{"g_lrs": "S"}``.
    parameters : dict, optional
        What else the results depend on, as plain values; it goes with them, and a store refuses other ones.

    Returns
    -------
    xarray.Dataset
        Dimensions: the axes, ``trial``, and those of arrays. Attributes: versions, seed, function, parameters.

    Raises
    ------
    ParameterError
        If an argument is not allowed.
    FileError
        If the store cannot be used, or holds another study.
    TrialError
        If a trial fails and ``on_error`` is "raise", or if all fail.
    """
    from xbarsim.study.conduct import conduct
    from xbarsim.study.identity import describe

    if not callable(function):
        raise ParameterError(f"function = {function!r}: give one that takes rng and the names of the axes")
    plan = Plan.of(axes, n_trials, seed, describe(function) | {"parameters": dict(parameters or {})})
    return conduct(
        _Seeded(function, plan.seed),
        plan,
        store=store,
        workers=workers,
        cluster=cluster,
        on_error=on_error,
        all_failed="raise",
        retry_failed=retry_failed,
        progress=progress,
        units=units,
    )


def monte_carlo(
    function: Callable[..., Mapping[str, Any]], n_trials: int, *, seed: int = 0, **options: Any
) -> xr.Dataset:
    """Evaluate a function for random trials: ``function(rng)``; a :func:`sweep` without axes, with the same options."""
    return sweep(function, {}, n_trials=n_trials, seed=seed, **options)


class _Seeded:
    """The function with the generator of each trial."""

    def __init__(self, function: Callable[..., Mapping[str, Any]], seed: int) -> None:
        self.function, self.seed = function, seed

    def __call__(self, trial: int, point: dict[str, Value]) -> Mapping[str, Any]:
        return self.function(stream(self.seed, "trial", trial), **point)
