"""Plots of networks: each draws on the axes given, or on new ones, and returns the figure or axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from xbarsim.errors import ParameterError

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
    (crosses) enter with what they had reached.

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

    if len(trials) < 3:
        raise ParameterError(f"{len(trials)} trials: contours need at least 3")
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
