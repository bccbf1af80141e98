"""Plan: the points and trials of a study, and what tells it from other studies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import isnan, prod
from typing import Any, NamedTuple

import numpy as np

from xbarsim.errors import ParameterError
from xbarsim.machine import check_memory
from xbarsim.streams import whole_number

Value = bool | int | float | str
_JOB = 500  # bytes that are held of each trial, at least
RESERVED = ("trial", "error", "rng")


class Job(NamedTuple):
    """One trial of one point."""

    point: dict[str, Value]
    trial: int

    @property
    def key(self) -> tuple[str, int]:
        """What results are filed under: 2.0 is 2."""
        plain = {
            name: int(value) if isinstance(value, float) and value.is_integer() else value
            for name, value in self.point.items()
        }
        return json.dumps(plain), self.trial

    def __str__(self) -> str:
        return ", ".join([*(f"{name} = {value}" for name, value in self.point.items()), f"trial {self.trial}"])


@dataclass(frozen=True)
class Plan:
    """Every point of the axes, ``n_trials`` times.

    Attributes
    ----------
    axes : dict of tuples
        The values of each axis, numbers or texts.
    n_trials : int
    seed : int
        Root seed.
    identity : dict
        What else tells this study from others, as plain values: the function, its parameters.
    """

    axes: dict[str, tuple[Value, ...]]
    n_trials: int
    seed: int
    identity: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, axes: Mapping[str, Sequence[Any]], n_trials: int, seed: int, identity: Mapping[str, Any]) -> Plan:
        """Check axes, trials and seed; raise :class:`ParameterError` otherwise."""
        if not isinstance(axes, Mapping):
            raise ParameterError(f"axes = {axes!r}: give a dictionary of names and lists of values")
        whole_number(seed, "seed")
        if whole_number(n_trials, "n_trials") < 1:
            raise ParameterError("n_trials = 0: give at least 1")
        checked = {_axis_name(name): _values(name, values) for name, values in axes.items()}
        n_jobs = prod(map(len, checked.values())) * int(n_trials)
        check_memory(_JOB * n_jobs, f"{n_jobs} trials", "give fewer trials or values on the axes")
        return cls(checked, int(n_trials), int(seed), dict(identity))

    @property
    def points(self) -> list[dict[str, Value]]:
        """All points, the last axis varying fastest."""
        return [dict(zip(self.axes, values)) for values in product(*self.axes.values())]

    @property
    def jobs(self) -> Iterator[Job]:
        """All trials: the first one of every point before the second one of any."""
        points = self.points
        return (Job(point, trial) for trial in range(self.n_trials) for point in points)

    def __len__(self) -> int:
        return len(self.points) * self.n_trials


def _axis_name(name: Any) -> str:
    if not isinstance(name, str) or not name.isidentifier() or name in RESERVED:
        raise ParameterError(f"axis {name!r}: give a name that an argument can have, other than {', '.join(RESERVED)}")
    return name


def _values(name: str, values: Any) -> tuple[Value, ...]:
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__iter__"):
        raise ParameterError(f"axis {name} = {values!r}: give a list of values")
    if hasattr(values, "__len__"):
        check_memory(_JOB * len(values), f"{len(values)} values of axis {name}", "give fewer")
    plain = tuple(value.item() if isinstance(value, np.generic) else value for value in values)
    if not plain:
        raise ParameterError(f"axis {name} has no values; give at least one")
    for value in plain:
        if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and isnan(value)):
            raise ParameterError(f"axis {name} has the value {value!r}; give numbers or texts")
    if len(set(plain)) < len(plain):
        raise ParameterError(f"axis {name} = {list(plain)}: give each value once")
    if len({isinstance(value, str) for value in plain}) > 1:
        raise ParameterError(f"axis {name} = {list(plain)}: give numbers or texts, not both")
    return plain
