"""Outcomes of trials as one labelled data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xbarsim.study.outcome import Outcome
from xbarsim.study.plan import Job, Plan

if TYPE_CHECKING:
    import xarray as xr

Place = tuple[int, ...]
NOT_DONE = "not done"


def assemble(
    plan: Plan,
    outcomes: Mapping[tuple[str, int], Outcome],
    units: Mapping[str, str],
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Return the outcomes of a plan as a data set, with a dimension for each axis and one for trials.

    What is missing, of trials that failed or are not done, or of arrays that are shorter than others, is not a number,
    or an empty text. ``error`` says why.

    Parameters
    ----------
    plan : Plan
    outcomes : dict
        By the keys of trials.
    units : dict
        Of axes and results.
    attrs : dict
        Attributes of the data set.
    """
    import xarray as xr

    shape = (*(len(values) for values in plan.axes.values()), plan.n_trials)
    placed = _consistent({place: outcomes.get(job.key, Outcome(error=NOT_DONE)) for place, job in _places(plan, shape)})
    sizes: dict[str, int] = {}
    names: dict[str, tuple[str, ...]] = {}
    for outcome in placed.values():
        for name, (dims, array) in outcome.values.items():
            names[name] = dims
            for dim, size in zip(dims, array.shape):
                sizes[dim] = max(sizes.get(dim, 0), size)
    errors = np.array([outcome.error for outcome in placed.values()], dtype=str).reshape(shape)
    variables: dict[str, Any] = {
        name: ((*plan.axes, "trial", *dims), _filled(name, placed, shape, tuple(sizes[dim] for dim in dims)))
        for name, dims in names.items()
    }
    coords = {name: np.array(values) for name, values in plan.axes.items()} | {"trial": np.arange(plan.n_trials)}
    data = xr.Dataset(variables | {"error": ((*plan.axes, "trial"), errors)}, coords, dict(attrs))
    for name, unit in units.items():
        if name in data.variables:
            data[name].attrs["units"] = unit
    return data


def _places(plan: Plan, shape: Place) -> Iterator[tuple[Place, Job]]:
    for place, point in zip(np.ndindex(*shape[:-1]), plan.points):
        for trial in range(plan.n_trials):
            yield (*place, trial), Job(point, trial)


def _consistent(placed: dict[Place, Outcome]) -> dict[Place, Outcome]:
    """Return the outcomes; those whose results have other dimensions than the first one's have failed."""
    first: dict[str, tuple[str, ...]] = {}
    checked = {}
    for place, outcome in placed.items():
        for name, (dims, _) in outcome.values.items():
            if first.setdefault(name, dims) != dims:
                error = f"{name} has the dimensions {dims} where the first trial has {first[name]}"
                outcome = replace(outcome, values={}, error=error)  # noqa: PLW2901
        checked[place] = outcome
    return checked


def _filled(name: str, placed: dict[Place, Outcome], shape: Place, sizes: Place) -> np.ndarray:
    """Return all values of one result in one array."""
    given = {place: outcome.values[name][1] for place, outcome in placed.items() if name in outcome.values}
    whole = len(given) == len(placed) and all(array.shape == sizes for array in given.values())
    kind = np.result_type(*(array.dtype for array in given.values()))
    if whole or kind.kind == "U":
        array = np.zeros(shape + sizes, kind)
    else:
        array = np.full(shape + sizes, np.nan, np.result_type(kind, np.float32))
    for place, values in given.items():
        index: tuple[Any, ...] = (*place, *map(slice, values.shape))
        array[index] = values
    return array
