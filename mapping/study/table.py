"""Results of studies as tables: for the terminal, and as rows of plain values for files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mapping.study.results import DESCRIPTIONS
from xbarsim.study.dataset import NOT_DONE
from xbarsim.units import format_quantity, format_time

if TYPE_CHECKING:
    import xarray as xr
    from rich.table import Table

_SHARES = ("accuracy", "ideal_accuracy", "adc_power_share", "adc_area_share", "utilization", "fraction_clipped")
_PLAIN = ("TOPS/W", "1", "1/s", "m2")


def rows(data: xr.Dataset) -> list[dict[str, Any]]:
    """Return every trial as a flat dictionary; arrays have an entry for each element, as ``spike_rate[conv 1-16]``.

    What is no number is None.
    """
    axes = [str(dim) for dim in data["error"].dims]
    found = []
    for place in np.ndindex(*data["error"].shape):
        at = dict(zip(axes, place))
        row: dict[str, Any] = {axis: data[axis].values[k].item() for axis, k in at.items()}
        for name in data:
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


def _labels(data: xr.Dataset, dim: str) -> Sequence[Any]:
    return data[dim].values.tolist() if dim in data.coords else range(data.sizes[dim])


def _plain(value: Any) -> Any:
    return None if value != value else value


def table(data: xr.Dataset, show: Sequence[str]) -> Table:
    """Return a table of the points: mean and standard deviation of what is shown, and trials that gave nothing."""
    from rich.table import Table
    from rich.text import Text

    names = list(dict.fromkeys(("accuracy", *show, "energy_per_inference", "tops_per_watt")))
    if software_differs(data):
        names.insert(1, "ideal_accuracy")
    axes = [str(dim) for dim in data["error"].dims if dim != "trial"]
    without = {"failed": (data["error"] != "") & (data["error"] != NOT_DONE), "not done": data["error"] == NOT_DONE}
    without = {heading: trials for heading, trials in without.items() if trials.any()}
    n_trials = data.sizes["trial"]
    spread = "; mean and standard deviation" if n_trials > 1 else ""
    title = data.attrs.get("title", "")
    made = Table(title=f"{title}, {n_trials} {'dies' if n_trials > 1 else 'die'} at each point{spread}")
    for axis in axes:
        made.add_column(_heading(data, axis), justify="right")
    for name in names:
        unit = " [%]" if name in _SHARES else ""
        made.add_column(Text(DESCRIPTIONS[name][1] + unit), justify="right")
    for heading in without:
        made.add_column(heading, justify="right")
    for place in np.ndindex(*(data.sizes[axis] for axis in axes)):
        at = dict(zip(axes, place))
        point = data.isel(at)
        cells = [_value(data[axis].values[k].item(), data[axis].attrs.get("units", "")) for axis, k in at.items()]
        cells += [_cell(name, point[name].values) for name in names]
        made.add_row(*cells, *(str(int(trials.isel(at).sum())) for trials in without.values()))
    return made


def software_differs(data: xr.Dataset) -> bool:
    """Whether accuracy in software is not the same at all points."""
    values = data["ideal_accuracy"].values
    return len(np.unique(values[~np.isnan(values)])) > 1


def _heading(data: xr.Dataset, axis: str) -> str:
    return str(data[axis].attrs.get("long_name", axis))


def _value(value: Any, unit: str) -> str:
    if isinstance(value, str | bool):
        return str(value)
    if unit in ("", "1"):
        return f"{value:g}"
    return format_time(value) if unit == "s" else format_quantity(value, unit)


def _cell(name: str, values: np.ndarray) -> str:
    """Write the mean over trials, and their standard deviation if it is not 0."""
    given = values[~np.isnan(values)]
    if not len(given):
        return "-"
    unit = DESCRIPTIONS[name][0]
    mean, spread = float(given.mean()), float(given.std(ddof=1)) if len(given) > 1 else 0.0
    if name in _SHARES:
        return f"{100 * mean:.2f}" + (f" ±{100 * spread:.2f}" if spread >= 5e-5 else "")
    if name == "area":
        return f"{mean * 1e6:.3g} mm²"
    if unit in _PLAIN:
        return f"{mean:.4g}" + (f" ±{spread:.2g}" if spread > 5e-4 * abs(mean) else "")
    return format_quantity(mean, unit)
