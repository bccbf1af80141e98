"""Pictures, drawn on a given axis: a solved read as maps of the array, and results of studies against their axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xbarsim.errors import ParameterError
from xbarsim.solution import Solution
from xbarsim.units import format_quantity, format_time

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def node_voltages(
    solution: Solution, line: Literal["wordline", "bitline"] = "wordline", ax: Axes | None = None
) -> Axes:
    """Draw the node voltages of all wordlines or bitlines; one read only. Returns the axis."""
    if line not in ("wordline", "bitline"):
        raise ParameterError(f"line = {line!r}: give 'wordline' or 'bitline'")
    nodes = solution.v_wordline if line == "wordline" else solution.v_bitline
    return _map(solution, 1e3 * nodes, f"{line} node voltage [mV]", ax)


def ir_drop(solution: Solution, ax: Axes | None = None) -> Axes:
    """Draw how much of the voltage between driver and sense node each cell lacks [mV]; one read only."""
    ideal = solution.v_driver[..., :, None] - solution.v_sense[..., None, :]
    lost = np.abs(ideal) - np.abs(solution.v_wordline - solution.v_bitline)
    return _map(solution, 1e3 * lost, "voltage lost before the cell [mV]", ax)


def cell_currents(solution: Solution, ax: Axes | None = None) -> Axes:
    """Draw the current of each cell [uA]; one read only."""
    return _map(solution, 1e6 * solution.i_cell, "cell current [uA]", ax)


def overview(solution: Solution) -> Figure:
    """Return a figure with wordline and bitline voltages, IR drop and cell currents of one read, and its wires."""
    import matplotlib.pyplot as plt

    figure: Figure
    figure, axes = plt.subplots(2, 2, figsize=(9, 8), layout="constrained")
    node_voltages(solution, "wordline", axes[0, 0])
    node_voltages(solution, "bitline", axes[0, 1])
    ir_drop(solution, axes[1, 0])
    cell_currents(solution, axes[1, 1])
    figure.suptitle(solution.crossbar.wires.summary(), fontsize="medium")
    return figure


def _map(solution: Solution, values: np.ndarray, label: str, ax: Axes | None) -> Axes:
    if values.ndim != 2:
        raise ParameterError(f"the solution holds {solution.residual.size} reads; draw one, solve one voltage vector")
    axis = _axes(ax)
    image = axis.imshow(values, aspect="auto", interpolation="nearest")
    axis.set(xlabel="bitline (driven at column 0)", ylabel="wordline (sensed below the last)")
    axis.locator_params(integer=True)  # lines have no fractions
    if np.ptp(values) == 0:  # a picture of one colour would look like one that failed
        axis.set_title(f"{values.flat[0]:.3g} everywhere", fontsize="small")
    axis.figure.colorbar(image, ax=axis, label=label)
    return axis


def swept(data: xr.Dataset, result: str, axis: str | None = None, ax: Axes | None = None, label: str = "") -> Axes:
    """Draw a result of a study against one of its axes: the mean over trials, in a band.

    The band is the interval from ``{result}_low`` to ``{result}_high`` where the data set has them, as of accuracies in
    studies of chips, otherwise one standard deviation over trials; the title says which.

    Parameters
    ----------
    data : xarray.Dataset
        From :func:`xbarsim.sweep` or :func:`mapping.run_study`; units and long names are read from its attributes.
    result : str
        One number for each trial; of arrays, select one first: ``data.isel(layer=0)``.
    axis : str, optional
        The first one unless given; every point of the others has a line of its own.
    ax : Axes, optional
    label : str
        Of the line, if there are no other axes.
    """
    if result not in data or "trial" not in data[result].dims:
        known = ", ".join(str(name) for name in data if "trial" in data[name].dims and name != "error")
        raise ParameterError(f"result = {result!r}: the study has {known}")
    values = data[result]
    names = [str(dim) for dim in values.dims if dim != "trial"]
    extra = [name for name in names if name not in data.coords or name in ("layer", "module")]
    if not names or extra:
        raise ParameterError(
            f"{result} has the dimensions {', '.join(names)}: select so that axes remain, isel({extra})"
        )
    if axis is not None and axis not in names:
        raise ParameterError(f"axis = {axis!r}: {result} has the axes {', '.join(names)}")
    axis = axis or names[0]
    others = [name for name in names if name != axis]

    def of_lines(variable: xr.DataArray) -> xr.DataArray:
        return variable.stack(line=others) if others else variable.expand_dims("line", -1)

    lines = of_lines(values)
    given = f"{result}_low" in data  # ends of an interval that the study knows, or else what trials are spread over
    ends = [of_lines(data[f"{result}_{end}"]) for end in ("low", "high")] if given else []
    axes = _axes(ax)
    x = data[axis].values
    spots = np.arange(len(x)) if x.dtype.kind in "US" else x.astype(float)
    for k in range(lines.sizes["line"]):
        line = lines.isel(line=k).transpose(axis, "trial")
        text = _point(data, others, line) if others else label
        mean = line.mean("trial").values
        (drawn,) = axes.plot(spots, mean, marker="o", markersize=4, label=text or None)
        if given:
            low, high = (end.isel(line=k).values for end in ends)
        else:
            done = line.notnull().sum("trial").values
            squares = ((line - mean[:, None]) ** 2).sum("trial").values
            spread = np.sqrt(squares / np.where(done > 1, done - 1, np.nan))  # unknown of a single trial
            low, high = mean - spread, mean + spread
        if given or line.sizes["trial"] > 1:
            axes.fill_between(spots, low, high, alpha=0.2, color=drawn.get_color(), linewidth=0)
    if x.dtype.kind in "US":
        axes.set_xticks(spots, x)
    else:
        _scale_x(axes, spots)
        _format(axes.xaxis, data[axis])
        if data[axis].attrs.get("units") == "s" and spots.max() >= 3600:
            axes.set_xticks(spots)
            axes.xaxis.set_major_formatter(lambda seconds, _: format_time(seconds))
    _format(axes.yaxis, values)
    axes.set(xlabel=_name(data[axis]), ylabel=_name(values))
    axes.set_title(_spread(data, result), fontsize="small", loc="right")
    axes.grid(alpha=0.3)
    if others or label:
        axes.legend(fontsize="small")
    return axes


def histogram(data: xr.Dataset, result: str, ax: Axes | None = None) -> Axes:
    """Draw how a result of a study without axes is spread over its trials.

    Parameters
    ----------
    data : xarray.Dataset
        From :func:`xbarsim.monte_carlo` or :func:`mapping.run_study`; its attributes give units and long names.
    result : str
        One number for each trial.
    ax : Axes, optional
    """
    if result not in data or data[result].dims != ("trial",):
        known = ", ".join(str(name) for name in data if data[name].dims == ("trial",) and name != "error")
        raise ParameterError(f"result = {result!r}: one number for each trial have {known}")
    from matplotlib.ticker import MaxNLocator

    axes = _axes(ax)
    given = data[result].dropna("trial")
    if given.size:
        axes.hist(given.values, bins="auto" if np.ptp(given.values) > 0 else 1)
    _format(axes.xaxis, data[result])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=_name(data[result]), ylabel="trials")
    text = _trials(data, given.size)
    if given.size and f"{result}_low" in data:
        mean, low, high = (100 * float(x) for x in (given.mean(), data[f"{result}_low"], data[f"{result}_high"]))
        text += f": mean {mean:.3g}, 95 % interval {low:.3g} to {high:.3g}"
    axes.set_title(text, fontsize="small", loc="right")
    axes.grid(alpha=0.3)
    return axes


def _spread(data: xr.Dataset, result: str) -> str:
    """Say what the band around a line is, and of how many trials."""
    trials = _trials(data, data.sizes["trial"])
    if f"{result}_low" in data:
        return f"{trials}, mean and 95 % interval"
    return f"{trials}, mean and standard deviation" if data.sizes["trial"] > 1 else trials


def _trials(data: xr.Dataset, n: int) -> str:
    """Say how many trials there are: in a study of chips, dies that classify images."""
    images = data.attrs.get("n_images")
    one, several = ("trial", "trials") if images is None else ("die", "dies")
    return f"{n} {several if n != 1 else one}" + (f" x {images} images" if images else "")


def _point(data: xr.Dataset, names: list[str], line: xr.DataArray) -> str:
    """Say where on some axes a line lies."""
    parts = []
    for name in names:
        value, unit = line[name].item(), _shown_unit(data[name].attrs.get("units", ""))
        if isinstance(value, str):
            parts.append(value)
        else:
            parts.append(f"{_name(data[name], unit=False)} {format_quantity(value, unit) if unit else f'{value:g}'}")
    return ", ".join(parts)


def _name(variable: xr.DataArray, unit: bool = True) -> str:
    text = str(variable.attrs.get("long_name", variable.name)).replace("_", " ")
    shown = _shown_unit(variable.attrs.get("units", ""))
    if unit and not shown and _is_share(variable):
        shown = "%"
    shown = "" if shown == "s" and float(variable.max()) >= 3600 else shown
    return f"{text} [{shown}]" if unit and shown and shown not in text else text


def _shown_unit(unit: str) -> str:
    return "" if unit == "1" else unit


def _is_share(variable: xr.DataArray) -> bool:
    return variable.attrs.get("units") == "1" and not (variable.max() > 1 or variable.min() < 0)


def _format(axis: Any, variable: xr.DataArray) -> None:
    """Write ticks in percent if they are shares, else with engineering prefixes where there is a unit."""
    from matplotlib.ticker import EngFormatter, PercentFormatter

    if _is_share(variable):
        axis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    elif _shown_unit(variable.attrs.get("units", "")) and variable.dtype.kind in "fiu":
        axis.set_major_formatter(EngFormatter(sep=" "))
    elif axis.get_scale() != "linear":
        axis.set_major_formatter("{x:g}")


def _scale_x(axes: Axes, x: np.ndarray) -> None:
    """Use a logarithmic axis for values that span more than 30 times, linear below the smallest if one is 0."""
    above = x[x > 0]
    if len(above) > 1 and above.max() > 30 * above.min() and (x >= 0).all():
        axes.set_xscale("symlog", linthresh=above.min()) if len(above) < len(x) else axes.set_xscale("log")
        axes.set_xticks(x, minor=False)
        axes.set_xticks([], minor=True)


def _axes(ax: Axes | None) -> Axes:
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1] if ax is None else ax
