"""Plots of a mapped layer at work: spikes, membranes, and the voltage that its wires take from its cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mapping.lower.placement import bitlines, first_row
from mapping.mapped.mapped_network import MappedNetwork
from mapping.mapped.traces import Trace
from xbarsim.errors import ParameterError, of_kind
from xbarsim.nodal import solve
from xbarsim.streams import numbered

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEW = 40  # neurons that have a row each, silent or not
_MOST_ACTIVE = 3


def spike_raster(trace: Trace, layer: int = 0, image: int = 0, ax: Axes | None = None) -> Axes:
    """Draw a dash for every spike of a layer: neuron against time step.

    Of up to 40 neurons each has the row of its number. Of more, only those that fire are drawn, most active first, then
    by their first spike.

    Parameters
    ----------
    trace : Trace
        From :func:`mapping.trace`.
    layer, image : int
        From 0.
    ax : Axes, optional

    Raises
    ------
    ParameterError
        If there is no such layer or image.
    """
    spikes = of_kind(Trace, trace, "trace", "a Trace, by trace").of(layer, image)[0]
    t_steps, n = spikes.shape
    count = spikes.sum(0)
    order = np.arange(n) if n <= _FEW else np.lexsort((spikes.argmax(0), -count))[: np.count_nonzero(count)]
    times, rows = np.nonzero(spikes[:, order])
    axis = _axis(ax)
    axis.vlines(times, rows - 0.45, rows + 0.45, linewidth=min(3.0, 200 / t_steps), color="C0")
    silent = np.flatnonzero(count == 0)
    quiet = f"{len(silent)} of {n} neurons silent"
    if n <= _FEW:
        axis.set(yticks=range(0, n, -(-n // 20)), ylabel="neuron")
        axis.grid(axis="y", alpha=0.3)
        quiet += f" ({', '.join(map(str, silent))})" if 0 < len(silent) <= 8 else ""
    else:
        axis.set(ylabel=f"the {len(order)} neurons that fire, most active first")
    axis.set(xlabel="time step", xlim=(-0.7, t_steps - 0.3), ylim=(max(len(order), 1) - 0.4, -0.6))
    axis.set_title(f"{_where(trace, layer, image)}: {int(count.sum())} spikes, {quiet}", fontsize="medium")
    return axis


def membranes(
    trace: Trace, layer: int = 0, neurons: Sequence[int] | int | None = None, image: int = 0, ax: Axes | None = None
) -> Axes:
    """Draw the membranes of some neurons over time, with their thresholds (dashed) and spikes (dots).

    Parameters
    ----------
    trace : Trace
        From :func:`mapping.trace`.
    layer, image : int
        From 0.
    neurons : int or sequence of int, optional
        Numbers from 0, channel by channel, each row by row. By default the three that fire most; of equals those whose
        membranes rise highest over their thresholds.
    ax : Axes, optional

    Raises
    ------
    ParameterError
        If there is no such layer, image or neuron.
    """
    spikes, voltages, thresholds = of_kind(Trace, trace, "trace", "a Trace, by trace").of(layer, image)
    if neurons is None:
        neurons = np.lexsort((-(voltages / thresholds).max(0), -spikes.sum(0)))[:_MOST_ACTIVE].tolist()
    several = neurons if isinstance(neurons, Sequence | np.ndarray) else [neurons]
    chosen = [numbered("neuron", k, len(thresholds)) for k in several]
    if not chosen:
        raise ParameterError("neurons is empty; give at least one number, or leave it out")
    shared = len(set(thresholds[chosen])) == 1
    axis = _axis(ax)
    for number, k in enumerate(chosen):
        color, fired = f"C{number}", np.flatnonzero(spikes[:, k])
        name = f"neuron {k}: {_counted(len(fired), 'spike')}{_place(k, trace.spikes[layer].shape[2:])}"
        axis.plot(voltages[:, k], color=color, linewidth=1.2, label=name)
        axis.plot(fired, voltages[fired, k], "o", color=color, markersize=4)
        axis.axhline(thresholds[k], color="0.4" if shared else color, linestyle="--", linewidth=1.0)
    axis.set(xlabel="time step", ylabel="membrane before reset [unit weights]")
    legend = f"dashed: {'threshold' if shared else 'thresholds'}, dots: spikes"
    axis.set_title(f"{_where(trace, layer, image)}; {legend}", fontsize="medium")
    axis.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return axis


def ir_drop_map(
    mapped: MappedNetwork,
    layer: int = 0,
    tile: int = 0,
    images: np.ndarray | None = None,
    ax: Axes | None = None,
    axes: str | None = None,
) -> Axes:
    """Draw how much of the voltage of its driver each used cell of one array lacks [mV], by a solve of the circuit.

    With every input at v_read; or, if images are given, on average over the reads that they cause, those in which the
    wordline is inactive included. Times a cell's conductance it is the current that wires take from its bitline.

    Parameters
    ----------
    mapped : MappedNetwork
    layer, tile : int
        Layer, and which of its arrays, ``mapped.layers[layer].tiles``, from 0.
    images, axes : optional
        As for :func:`mapping.trace`.
    ax : Axes, optional

    Raises
    ------
    ParameterError
        If there is no such layer or array, bitlines float, or images are given and inactive wordlines are not grounded.
    """
    from matplotlib.ticker import MaxNLocator

    mapped = of_kind(MappedNetwork, mapped, "mapped", "a network on a chip, by map_network")
    images = None if images is None else mapped.checked(images, axes)
    of_layer = mapped.layers[numbered("layer", layer, len(mapped.layers))]
    array = of_layer.tiles[numbered("tile", tile, of_layer.n_tiles)]
    chip, (crossbar, rows, cols) = mapped.chip, array.circuit
    if chip.neuron.floating:
        raise ParameterError(
            f"{chip.name}: bitlines of passive neurons float, cells lose more than IR drop; use others"
        )
    first, v_read = first_row(array.patch, chip), chip.device.v_read
    used, lines = rows[first:], cols[: bitlines(array.patch, chip)]
    v = np.zeros(crossbar.n_rows)
    v[used] = v_read if images is None else v_read * _average_levels(mapped, layer, tile, images)
    lost = 1e3 * (v[used, None] - solve(crossbar, v).v_cell[np.ix_(used, lines)])
    axis = _axis(ax)
    edges = (-0.5, len(lines) - 0.5, chip.rows - 0.5, first - 0.5)
    drawn = axis.imshow(lost, aspect="auto", interpolation="nearest", extent=edges)
    both = chip.wires.drive_both_ends, chip.wires.sense_both_ends
    driven, sensed = ("at both ends" if ends else where for ends, where in zip(both, ("at bitline 0", "at the bottom")))
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel=f"bitline (wordlines are driven {driven})", ylabel=f"wordline (bitlines are read {sensed})")
    drive = f"all its wordlines at {1e3 * v_read:.3g} mV"
    if images is not None:
        drive = (
            f"average over the reads of {_counted(len(images), 'image')}: "
            f"its wordlines at {1e3 * v[used].mean():.3g} of {1e3 * v_read:.3g} mV"
        )
    which = f"layer {layer}, array {tile} (of {of_layer.n_tiles}, counted from 0)"
    shape = f"{len(used)} x {len(lines)} of {chip.rows} x {chip.cols} cells used"
    axis.set_title(f"{which}: {shape}\n{drive}", fontsize="medium")
    axis.figure.colorbar(drawn, ax=axis, label="voltage lost before the cell [mV]")
    return axis


def _average_levels(mapped: MappedNetwork, layer: int, tile: int, images: np.ndarray) -> np.ndarray:
    """Return the voltages over v_read of an array's used wordlines, averages over the reads that images cause."""
    if mapped.chip.inactive != "ground":
        raise ParameterError(
            f"{mapped.chip.name}: inactive wordlines are {mapped.chip.inactive}, and the average read is no circuit; "
            "leave images out"
        )
    row = tile // len(mapped.layers[layer].row_tiles[0].tiles)
    for (of_layer, part), (x, analog, _) in zip(mapped.inference.wordlines, mapped.inference.driven(images)):
        if of_layer is mapped.layers[layer] and 0 <= row - part.first < len(part.row_tiles):
            activity = part.activity(x, analog)[row - part.first]
    return activity.total / activity.n_reads


def _where(trace: Trace, layer: int, image: int) -> str:
    channels, height, width = trace.spikes[layer].shape[2:]
    size = f"{channels} x {height} x {width}" if height * width > 1 else f"{channels}"
    return f"layer {layer} ({size} neurons), image {image}"


def _place(number: int, shape: tuple[int, ...]) -> str:
    """Return where in its layer (channels, height, width) a neuron lies, unless its number tells."""
    channel, row, column = (int(k) for k in np.unravel_index(number, shape))
    return f"\n(channel {channel}, row {row}, column {column})" if shape[1] * shape[2] > 1 else ""


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _axis(ax: Axes | None) -> Axes:
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(7, 4.2), layout="constrained")[1] if ax is None else ax
