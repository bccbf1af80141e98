"""Pictures of studies of chips: what a study shows against its axes, and what ADC resolution trades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from xbarsim import plot
from xbarsim.errors import ParameterError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def study_figure(data: xr.Dataset, show: Sequence[str] = ("accuracy", "energy_per_inference")) -> Figure:
    """Draw results of a study against its first axis, one panel each; without axes, how they are spread over dies.

    A line marks the accuracy in software, where it is one.

    Parameters
    ----------
    data : xarray.Dataset
        From :func:`mapping.run_study`.
    show : sequence of str
        Results with one number for each trial.
    """
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(show), figsize=(5.2 * len(show), 3.8), layout="constrained", squeeze=False)
    for result, ax in zip(show, panels[0]):
        if data[result].ndim > 1:
            plot.swept(data, result, ax=ax)
        else:
            plot.histogram(data, result, ax)
        if result == "accuracy":
            _add_software(data, ax)
    figure.suptitle(data.attrs.get("title", ""))
    return cast("Figure", figure)


def _add_software(data: xr.Dataset, ax: Axes) -> None:
    levels = sorted({float(value) for value in data["ideal_accuracy"].values.ravel() if value == value})
    if len(levels) == 1:
        draw = ax.axhline if data["accuracy"].ndim > 1 else ax.axvline
        draw(levels[0], color="0.4", linestyle="--", linewidth=1, label="in software")
        ax.legend(fontsize="small")


def adc_tradeoff(data: xr.Dataset, bits: str = "n_bits", ax: Axes | None = None) -> Axes:
    """Draw accuracy against energy for each ADC resolution, the size of a point being the ADC power share.

    Bars are 95 % intervals of the accuracy, where the data set has them.

    Parameters
    ----------
    data : xarray.Dataset
        A study with an axis of resolutions, and at most one other.
    bits : str
        Name of that axis.
    ax : Axes, optional
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, PercentFormatter

    if bits not in data.dims:
        raise ParameterError(f"bits = {bits!r}: the study has the axes {', '.join(map(str, data['accuracy'].dims))}")
    axis: Axes = plt.subplots(figsize=(5.6, 4), layout="constrained")[1] if ax is None else ax
    others = [str(dim) for dim in data["accuracy"].dims if dim not in (bits, "trial")]
    if len(others) > 1:
        raise ParameterError(
            f"the study has the axes {', '.join(others)} besides {bits}; select all but one, data.sel(...)"
        )
    mean = data[["accuracy", "energy_per_inference", "adc_power_share"]].mean("trial")
    ends = [f"accuracy_{end}" for end in ("low", "high") if f"accuracy_{end}" in data]
    mean = mean.assign({name: data[name] for name in ends})
    for k, name in enumerate(data[others[0]].values if others else [None]):
        line = mean if name is None else mean.sel({others[0]: name})
        energy, accuracy = line["energy_per_inference"].values, line["accuracy"].values
        (drawn,) = axis.plot(energy, accuracy, linewidth=1, label=None if name is None else str(name))
        if ends:
            below, above = accuracy - line[ends[0]].values, line[ends[1]].values - accuracy
            axis.errorbar(energy, accuracy, [below, above], fmt="none", color=drawn.get_color(), alpha=0.5, capsize=2)
        axis.scatter(energy, accuracy, 10 + 150 * line["adc_power_share"].values, color=drawn.get_color(), alpha=0.8)
        for n, x, y in zip(data[bits].values, energy, accuracy):
            shift = (2, 5 if k % 2 else -12)
            axis.annotate(f"{n}", (x, y), xytext=shift, textcoords="offset points", fontsize="small")
    axis.set(xlabel="energy per image [J]", ylabel="accuracy on the chip [%]", xscale="log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    n_images = f" x {data.attrs['n_images']} images" if "n_images" in data.attrs else ""
    dies = f"{data.sizes['trial']} dies{n_images}, 95 % intervals; " if ends else ""
    axis.set_title(f"{dies}numbers: bits; area of a point: ADC power share", fontsize="small", loc="right")
    axis.grid(alpha=0.3)
    if others:
        axis.legend(fontsize="small")
    return axis
