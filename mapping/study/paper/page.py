"""All rows and statements on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mapping.study.paper.measure import Row, Table1
from xbarsim import plot
from xbarsim.units import format_result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLORS = {
    "ANN, 8 bit": "tab:orange",
    "BSNN, 1 bit": "tab:blue",
    "VGG-like": "tab:green",
    "MobileNet-like": "tab:red",
}


def draw(table: Table1) -> Figure:
    """Draw a panel for each row of the table, and one for each statement that has a curve.

    Parameters
    ----------
    table : Table1
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(4, 4, figsize=(17, 14.5), layout="constrained")
    panels = iter(axes.ravel())
    for row in table.rows:
        _row(row, next(panels))
    _current(table, next(panels))
    _disturb(table, next(panels))
    _collisions(table, next(panels))
    figure.suptitle(
        f"Table 1 of Eshraghian, Wang, Lu 2022, measured: {table.images} test images, {table.dies} at each point"
        + "; bands: 95 % intervals"
    )
    return cast("Figure", figure)


def _row(row: Row, ax: Axes) -> None:
    challenge, data = row.challenge, row.data
    if challenge.axis is None:
        _bars(row, ax)
    else:
        designs = [str(design) for design in data["design"].values]
        ax.set_prop_cycle(color=[_COLORS[design] for design in designs])
        for design in designs:
            plot.swept(data.sel(design=design), challenge.result, challenge.axis.name, ax, design)
        ax.legend(fontsize="small", loc="lower left")
        if challenge.name == "on-off-ratio":
            ax.invert_xaxis()
        ax.set_title("", loc="right")
        ax.set_ylim(0, 1.03)
    ax.set_title(f"{challenge.level}: {challenge.challenge}", fontsize="medium")


def _bars(row: Row, ax: Axes) -> None:
    """Draw a bar for each design that gave something: shares of power and area, or the latency."""
    data = row.data[["latency", "adc_power_share", "adc_area_share"]].mean("trial").dropna("design")
    names = [str(design) for design in data["design"].values]
    if not names:
        return
    places = [float(k) for k in range(len(names))]
    if row.challenge.result == "latency":
        values = 1e6 * data["latency"].values
        ax.barh(places, values, color=["tab:blue" if "BSNN" in name else "tab:orange" for name in names])
        for place, value in zip(places, values):
            ax.text(value, place, f" {format_result(1e-6 * value, 's')}", va="center", fontsize="small")
        ax.set(xlabel="latency of an image [us]", xscale="log", xlim=(None, 4 * values.max()))
    else:
        for shift, field, label in ((-0.2, "adc_power_share", "of power"), (0.2, "adc_area_share", "of area")):
            values = 100 * data[field].values
            shifted = [place + shift for place in places]
            ax.barh(shifted, values, 0.38, label=label, color="tab:orange" if shift < 0 else "0.6")
            for place, value in zip(shifted, values):
                ax.text(value, place, f" {value:.2g}", va="center", fontsize="small")
        ax.set(xlabel="data conversion's share [%]", xlim=(0, 100))
        ax.legend(fontsize="small", loc="lower right")
    ax.set_yticks(places, names)
    ax.invert_yaxis()


def _current(table: Table1, ax: Axes) -> None:
    frame = table.statements["bitline_current"]
    ax.plot(frame["active"], 1e3 * frame["current"], marker="o", markersize=4)
    ax.fill_between(frame["active"], 1e3 * frame["least"], 1e3 * frame["most"], alpha=0.2, linewidth=0)
    ax.set(xlabel="active wordlines", ylabel="current of all bitlines [mA]", xscale="log", yscale="log")
    ax.set_title("sparse spikes: bitline current, mean and range", fontsize="medium")
    ax.grid(alpha=0.3)


def _disturb(table: Table1, ax: Axes) -> None:
    frame = table.statements["disturb_by_sparsity"]
    for column, label in (
        ("disturb_busiest", "busiest tenth of the wordlines"),
        ("disturb", "all"),
        ("disturb_silent", "wordlines that never fired"),
    ):
        ax.plot(100 * frame["spike_rate"], 100 * frame[column], marker="o", markersize=4, label=label)
    ax.set(xlabel="spikes per neuron and time step [%]", ylabel="LRS cells moved by [%]", xscale="log")
    ax.set_xticks(100 * frame["spike_rate"], [f"{100 * rate:.2g}" for rate in frame["spike_rate"]])
    ax.set_xticks([], minor=True)
    ax.set_title("sparse spikes: read disturb, 100 million images", fontsize="medium")
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small")


def _collisions(table: Table1, ax: Axes) -> None:
    frame = table.statements["collisions"]
    for column in frame.columns[1:]:
        ax.plot(frame["slots"], 100 * frame[column], marker="o", markersize=4, label=column)
    ax.set(xlabel="slots in a time step", ylabel="spikes that collide [%]", xscale="log", yscale="log")
    ax.set_title("system: collisions between layers", fontsize="medium")
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small")
