"""Plots of networks and converters: each draws on the axes given, or on new ones, and returns the figure or axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mapping.chip.periphery.sar_adc import SarAdc, published_adcs
from xbarsim.adc_laws import LAWS
from xbarsim.errors import ParameterError, extra
from xbarsim.units import format_result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAIRS = (("beta", "threshold"), ("slope", "threshold"), ("beta", "slope"))
_LABELS = {"beta": "membrane decay beta", "threshold": "threshold", "slope": "surrogate slope k"}


def accuracy_contours(
    trials: pd.DataFrame, axes: Sequence[Axes] | None = None, width: float = 0.15, title: str | None = None
) -> Figure:
    """Draw contours of test accuracy over pairs of hyper-parameters, as figure 4 of Eshraghian et al. 2022.

    The accuracy at a point is the average over trials, weighted by a Gaussian of their distance; pruned trials
    (crosses) enter with what they had reached, those whose training diverged do not.

    Parameters
    ----------
    trials : DataFrame
        From :func:`mapping.search`.
    axes : three Axes, optional
    width : float
        Standard deviation of the Gaussian, as a share of the searched range.
    title : str, optional
    """
    import matplotlib.pyplot as plt

    trials = trials[trials.test_accuracy.notna()]
    if len(trials) < 3:
        raise ParameterError(f"{len(trials)} trials with an accuracy: contours need at least 3")
    if axes is None:
        _, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    accuracy = 100 * trials.test_accuracy.to_numpy()
    levels = np.linspace(accuracy.min(), accuracy.max(), 13)
    drawn: Any = None
    for ax, (x, y) in zip(axes, PAIRS):
        drawn = _contours(ax, trials, x, y, accuracy, levels, width)
    figure = cast("Figure", axes[0].figure)
    figure.colorbar(drawn, ax=list(axes), label="test accuracy [%]", format="%.0f")
    if title is not None:
        figure.suptitle(title)
    return figure


def _contours(
    ax: Axes, trials: pd.DataFrame, x: str, y: str, accuracy: np.ndarray, levels: np.ndarray, width: float
) -> Any:
    points = trials[[x, y]].to_numpy()
    low, span = points.min(0), np.ptp(points, 0)
    places = (points - low) / np.where(span > 0, span, 1)
    unit = np.linspace(0, 1, 60)
    grid = np.stack(np.meshgrid(unit, unit), -1)
    distance = ((grid[:, :, None] - places) ** 2).sum(-1) / (2 * width**2)
    weight = np.exp(distance.min(-1, keepdims=True) - distance)
    smooth = (weight * accuracy).sum(-1) / weight.sum(-1)
    drawn = ax.contourf(low[0] + unit * span[0], low[1] + unit * span[1], smooth, levels=levels, cmap="viridis")
    pruned = (trials.state == "PRUNED").to_numpy()
    colors: dict[str, Any] = {"cmap": "viridis", "vmin": levels[0], "vmax": levels[-1], "s": 18}
    for chosen, look in ((pruned, {"marker": "x"}), (~pruned, {"edgecolors": "white", "linewidths": 0.6})):
        ax.scatter(points[chosen, 0], points[chosen, 1], c=accuracy[chosen], **colors, **look)
    ax.set(xlabel=_LABELS[x], ylabel=_LABELS[y])
    return drawn


@extra("networks", "mapping.adc_transfer")
def adc_transfer(adc: SarAdc, seed: int = 0, ax: Axes | None = None) -> Axes:
    """Draw code against input of one converter, drawn from ``seed``, and of the ideal one; without noise."""
    from mapping.chip.periphery.adc_test import one_converter

    axis = _axis(ax)
    top = adc.top_code
    low = 0 if adc.sense == "bitline" else -top
    codes = np.concatenate([np.arange(low, top + 1), [top]])
    for converter, look in (
        (adc.replace(offset=0, mismatch=0), {"color": "0.6", "linewidth": 1.0, "label": "ideal"}),
        (adc, {"color": "C0", "linewidth": 1.5, "label": f"converter of seed {seed}"}),
    ):
        levels = one_converter(converter, seed).transitions()
        inputs = np.concatenate([[min(low - 1, levels[0])], levels, [max(top + 1, levels[-1])]])
        axis.step(inputs, codes, where="post", **look)
    axis.set(xlabel="input [LSB]", ylabel="code", title=f"{_title(adc)}, offset {adc.offset:.3g}")
    axis.legend()
    return axis


@extra("networks", "mapping.adc_linearity")
def adc_linearity(adc: SarAdc, seed: int = 0, axes: Sequence[Axes] | None = None) -> Figure:
    """Draw integral and differential nonlinearity [LSB] against code, of one converter drawn from ``seed``.

    Parameters
    ----------
    adc : SarAdc
    seed : int
    axes : two Axes, optional
    """
    import matplotlib.pyplot as plt

    from mapping.chip.periphery.adc_test import linearity

    result = linearity(adc, seed)
    if axes is None:
        _, axes = plt.subplots(2, 1, sharex=True, figsize=(7, 4.8), layout="constrained")
    for ax, name, values in zip(axes, ("INL", "DNL"), (result.inl, result.dnl)):
        ax.axhline(0, color="0.6", linewidth=0.8)
        ax.step(result.codes[: len(values)], values, where="mid", linewidth=1.0)
        ax.set_ylabel(f"{name} [LSB]")
    axes[0].set_title(f"{_title(adc)}, end-point fit")
    axes[-1].set_xlabel("code")
    return cast("Figure", axes[0].figure)


def adc_energy(adcs: Sequence[SarAdc] | None = None, ax: Axes | None = None) -> Axes:
    """Draw energy per conversion against resolution as the laws of converters give it, on a logarithmic axis.

    Parameters
    ----------
    adcs : sequence of SarAdc, optional
        Converters, each marked at its own resolution. By default one with published numbers for each law.
    ax : Axes, optional
    """
    axis = _axis(ax)
    for adc in published_adcs().values() if adcs is None else adcs:
        bits = sorted(adc.energies or LAWS[adc.law].bits)
        label = f"{adc.law}: {format_result(adc.energy, 'J')} at {adc.n_bits} bit"
        energies = [adc.energy_at(n) for n in bits]
        axis.plot(bits, energies, label=label, marker="o", markersize=5, markevery=[bits.index(adc.n_bits)])
    axis.set(xlabel="resolution [bit]", ylabel="energy per conversion [J]", yscale="log", xticks=range(1, 13))
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small")
    return axis


def _axis(ax: Axes | None) -> Axes:
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1] if ax is None else ax


def _title(adc: SarAdc) -> str:
    return f"{adc.n_bits} bit, {adc.sense}, mismatch {adc.mismatch:.3g}"
