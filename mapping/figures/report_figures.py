"""Plots of reports: shares of power and area, and what limits throughput."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from mapping.chip.chip import MODULES
from mapping.cost.report import Report
from xbarsim.errors import ParameterError, of_kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# shares of a module of the TAICHI tile (Wang et al., TCAS-II 2021) as figure 3 of Eshraghian et al. 2022 has them: ADCs
# 18 % of power and 10 % of area, 18 and 2.5 times those of the arrays
TAICHI = {"power": {"array": 0.01, "conversion": 0.18}, "area": {"array": 0.04, "conversion": 0.10}}
_OTHER = "buffers, logic, links (published together)"
_TIMES = {
    "settle": "lines settle",
    "read": "reads",
    "conversion": "conversions beyond reads",
    "decision": "decisions, updates",
}


def breakdown(
    reports: Sequence[Report],
    what: Literal["power", "area"] = "power",
    *,
    by_layer: bool = False,
    taichi: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of each module in power or area, a bar for each chip; as figure 3 of Eshraghian et al. 2022.

    Parameters
    ----------
    reports : sequence of Report
    what : {"power", "area"}
    by_layer : bool
        Whether each layer has a bar of its own, of its share in its chip.
    taichi : bool
        Whether to add the published shares of the TAICHI tile.
    ax : Axes, optional

    Raises
    ------
    ParameterError
        If a chip does not give the area of all its modules.
    """
    if what not in ("power", "area"):
        raise ParameterError(f"what = {what!r}: give 'power' or 'area'")
    if not isinstance(reports, Sequence):
        raise ParameterError(f"reports: a {type(reports).__name__} was given; give a list of Report")
    for report in reports:
        of_kind(Report, report, "reports", "a list of Report")
    axis = _axis(ax)
    bars: dict[str, dict[str, float]] = {}
    for report in reports:
        parts = report.energy_by_module() if what == "power" else report.area_by_module()
        missing = [MODULES.get(name, name) for name, value in parts.items() if value is None]
        if missing:
            raise ParameterError(f"{report.chip} gives no area of {', '.join(missing)}; add it to the chip")
        total = sum(value for value in parts.values() if value)
        for layer in report.layers:
            name = f"{report.chip}\n{layer.name}" if by_layer else report.chip
            shares = bars.setdefault(name, {})
            for module, value in (layer.energies if what == "power" else layer.areas).items():
                shares[module] = shares.get(module, 0.0) + (value or 0.0) / total
    if taichi:
        published = TAICHI[what]
        bars["TAICHI,\npublished"] = published | {"other": 1 - sum(published.values())}
    left = np.zeros(len(bars))
    modules = dict.fromkeys((*MODULES, *(module for shares in bars.values() for module in shares)))
    texts = {module: MODULES.get(module, module) for module in modules} | {"other": _OTHER}
    for k, (part, text) in enumerate(texts.items()):
        widths = np.array([shares.get(part, 0.0) for shares in bars.values()])
        if widths.any():
            color = "0.8" if part == "other" else f"C{k}"
            axis.barh(list(bars), 100 * widths, left=100 * left, label=text, color=color)
            for y, (x, width) in enumerate(zip(left, widths)):
                if width > 0.04:
                    axis.text(100 * (x + width / 2), y, f"{width:.0%}", ha="center", va="center", fontsize="small")
        left += widths
    axis.set(xlabel=f"share of {what} [%]", xlim=(0, 100))
    axis.invert_yaxis()
    axis.legend(fontsize="small", ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    return axis


def throughput_limits(report: Report, ax: Axes | None = None) -> Axes:
    """Draw what each layer does in a time step, and how long its spikes are on their way; the longest bar limits.

    Parameters
    ----------
    report : Report
    ax : Axes, optional
    """
    of_kind(Report, report, "report", "a Report")
    axis = _axis(ax)
    names = [layer.name for layer in report.layers]
    left = np.zeros(len(names))
    for field, text in _TIMES.items():
        widths = np.array([1e6 * getattr(layer.times, field) for layer in report.layers])
        if widths.any():
            axis.barh(names, widths, left=left, height=0.55, label=text)
        left += widths
    links = np.array([1e6 * layer.times.link for layer in report.layers])
    if links.any():
        axis.barh(np.arange(len(names)) + 0.38, links, height=0.18, label="link, meanwhile", color="0.5")
    slowest = 1e6 * max(layer.time_step for layer in report.layers)
    axis.axvline(slowest, color="0.3", linestyle="--", linewidth=1)
    rate = f"{report.throughput:,.0f}" if report.throughput >= 100 else f"{report.throughput:.3g}"
    axis.set(xlabel="time of one time step [us]", title=f"{report.chip}: {rate} images/s")
    axis.invert_yaxis()
    axis.legend(fontsize="small")
    return axis


def _axis(ax: Axes | None) -> Axes:
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(7, 3.4), layout="constrained")[1] if ax is None else ax
