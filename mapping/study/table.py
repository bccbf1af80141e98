"""Results of studies as tables: for the terminal, and as rows of plain values for files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mapping.study.results import DESCRIPTIONS
from xbarsim.study.dataset import NOT_DONE
from xbarsim.units import format_quantity, format_result, format_time, significant

if TYPE_CHECKING:
    import xarray as xr
    from rich.table import Table

_SHARES = ("accuracy", "ideal_accuracy", "adc_power_share", "adc_area_share", "utilization", "fraction_clipped")
_ENDS = ("low", "high")
_PLAIN = ("TOPS/W", "1", "1/s", "m2")


def rows(data: xr.Dataset) -> list[dict[str, Any]]:
    """Return every trial as a flat dictionary; arrays have an entry for each element, as ``spike_rate[conv 1-16]``.

    What is no number is None. Which images were right is left out.
    """
    axes = [str(dim) for dim in data["error"].dims]
    found = []
    for place in np.ndindex(*data["error"].shape):
        at = dict(zip(axes, place))
        row: dict[str, Any] = {axis: data[axis].values[k].item() for axis, k in at.items()}
        for name in data:
            if name == "correct" or "trial" not in data[name].dims:
                continue
            value = data[name].isel(at)
            if value.ndim == 0:
                row[str(name)] = _plain(value.item())
            else:
                labels = [_labels(data, str(dim)) for dim in value.dims]
                for where in np.ndindex(*value.shape):
                    text = ", ".join(str(label[k]) for label, k in zip(labels, where))
                    row[f"{name}[{text}]"] = _plain(value.values[where].item())
        found.append(row)
    return found


def points(data: xr.Dataset) -> list[dict[str, Any]]:
    """Return the accuracies of every point with their 95 % intervals, as flat dictionaries."""
    axes = [str(dim) for dim in data["error"].dims if dim != "trial"]
    found = []
    for place in np.ndindex(*(data.sizes[axis] for axis in axes)):
        point = data.isel(dict(zip(axes, place)))
        row: dict[str, Any] = {axis: point[axis].item() for axis in axes}
        for name in ("accuracy", "ideal_accuracy"):
            mean = point[name].mean("trial").item()
            row |= {name: _plain(mean)} | {f"{name}_{end}": _plain(point[f"{name}_{end}"].item()) for end in _ENDS}
        found.append(row)
    return found


def _labels(data: xr.Dataset, dim: str) -> Sequence[Any]:
    return data[dim].values.tolist() if dim in data.coords else range(data.sizes[dim])


def _plain(value: Any) -> Any:
    return None if value != value else value


def table(data: xr.Dataset, show: Sequence[str]) -> Table:
    """Return a table of the points: mean and standard deviation of what is shown, and trials that gave nothing."""
    from rich.box import HORIZONTALS
    from rich.table import Table
    from rich.text import Text

    shown = dict.fromkeys(("accuracy", *show))
    names = list(shown | dict.fromkeys(("energy_per_inference", "tops_per_watt") if len(shown) < 3 else ()))
    if software_differs(data):
        names.insert(1, "ideal_accuracy")
    axes = [str(dim) for dim in data["error"].dims if dim != "trial"]
    n_trials = data.sizes["trial"]
    spread = "; mean ± standard deviation, accuracies (95 % interval)" if n_trials > 1 else "; (95 % interval)"
    dies = f"{n_trials} {'dies' if n_trials > 1 else 'die'}{' at each point' if axes else ''}"
    points = [data.isel(dict(zip(axes, place))) for place in np.ndindex(*(data.sizes[axis] for axis in axes))]
    columns = [
        (str(data[axis].attrs.get("long_name", axis)), [_value(point[axis]) for point in points]) for axis in axes
    ]
    for name in names:
        unit = " [%]" if name in _SHARES else ""
        columns.append((DESCRIPTIONS[name][1] + unit, [_cell(name, point) for point in points]))
    not_done = data["error"] == NOT_DONE
    for heading, without in (("failed", (data["error"] != "") & ~not_done), ("not done", not_done)):
        if without.any():
            columns.append((heading, [str(count) for count in without.sum("trial").values.ravel()]))
    made = Table(title=f"{data.attrs['title']}, {dies}{spread}", box=HORIZONTALS, padding=(0, 1, 0, 0))
    for heading, cells in columns:
        made.add_column(Text(heading), justify="right", min_width=max(map(len, (*cells, *heading.split()))))
    for row in zip(*(cells for _, cells in columns)):
        made.add_row(*map(Text, row))
    return made


def software_differs(data: xr.Dataset) -> bool:
    """Whether accuracy in software is not the same at all points."""
    values = data["ideal_accuracy"].values
    return len(np.unique(values[~np.isnan(values)])) > 1


def _value(coordinate: xr.DataArray) -> str:
    """Write a value of an axis."""
    value, unit = coordinate.item(), coordinate.attrs.get("units", "")
    if isinstance(value, str | bool):
        return str(value)
    if unit in ("", "1"):
        return f"{value:g}"
    return format_time(value) if unit == "s" else format_quantity(value, unit)


def _cell(name: str, point: xr.Dataset) -> str:
    """Write the mean over trials, and their standard deviation if it is not 0; of accuracies the interval instead."""
    values = point[name].values
    given = values[~np.isnan(values)]
    if not len(given):
        return "-"
    unit = DESCRIPTIONS[name][0]
    mean, spread = float(given.mean()), float(given.std(ddof=1)) if len(given) > 1 else 0.0
    if f"{name}_low" in point:
        ends = "\u2013".join(significant(100 * point[f"{name}_{end}"].item()) for end in _ENDS)
        return f"{significant(100 * mean)} ({ends})"
    if name in _SHARES:
        return significant(100 * mean) + (f" ±{100 * spread:.2g}" if spread >= 5e-5 else "")
    if name == "area":
        return f"{significant(mean * 1e6)} mm²"
    if unit in _PLAIN:
        return significant(mean) + (f" ±{spread:.2g}" if spread > 5e-4 * abs(mean) else "")
    return format_result(mean, unit)
