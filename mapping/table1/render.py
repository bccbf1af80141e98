"""The measured table for the terminal."""

from __future__ import annotations

from itertools import zip_longest
from math import isnan
from typing import TYPE_CHECKING, Any

from mapping.table1.measure import LOSS, Figure, Row, Table1
from xbarsim.units import format_quantity, format_time

if TYPE_CHECKING:
    from rich.console import Group


def render(table: Table1) -> Group:
    """Return the rows and the statements as tables, with what they mean."""
    from rich.box import HORIZONTALS
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    title = f"Table 1, measured: {table.images} images, {table.dies} at each point, seed {table.seed}"
    made = Table(title=title, box=HORIZONTALS, padding=(0, 1, 0, 0))
    for heading in ("challenge", "design", "measured", "borne to"):
        made.add_column(heading, justify="left" if heading in ("challenge", "design") else "right", no_wrap=True)
    level = ""
    for row in table.rows:
        if row.challenge.level != level:
            level = row.challenge.level
            made.add_row(Text(f"{level} level", style="bold"))
        left, cells = (row.challenge.challenge, f"  {_swept(row)}"), [(f.design, *_cells(row, f)) for f in row.figures]
        for text, of_design in zip_longest(left, cells, fillvalue=""):
            made.add_row(text, *of_design)
        made.add_section()
    said = Table(title="Statements of the text, measured", box=HORIZONTALS, padding=(0, 1, 0, 0))
    said.add_column("statement")
    said.add_column("measured")
    for statement, measured in sentences(table).items():
        said.add_row(statement, measured, end_section=True)
    words = (
        f"Accuracy on the chip, unless another unit is given; borne to: the last point up to which it stays "
        f"within {LOSS:.0%} of the first. Both designs hold the layers of table 2 on arrays of 256 x 64 of one device: "
        "the ANN with 8-bit weights on 14 cells each and 8-bit SAR ADCs, the BSNN with binary weights on 2 cells and a "
        "comparator for each neuron. Nothing is calibrated or retrained. Shares of power and area by full accounting: "
        "arrays, converters, drivers, neurons; excluded: programming, buffers, control, leakage."
    )
    if table.failures:
        words += f"\n\n{len(table.failures)} trials failed, the first: {table.failures[0]}"
    return Group(made, said, Text(words))


def _swept(row: Row) -> str:
    """Say what grows, or what is measured instead of the accuracy."""
    axis = row.challenge.axis
    if axis is None:
        return "latency of an image" if row.challenge.result == "latency" else "share of power; of area"
    first, last = (_value(row.data[axis.name].values[k].item(), axis.unit) for k in (0, -1))
    return f"{axis.title}, {first} to {last}"


def _value(value: Any, unit: str) -> str:
    if unit == "s":
        return format_time(value)
    return format_quantity(value, unit) if unit else f"{value:g}"


def _cells(row: Row, figure: Figure) -> tuple[str, str]:
    if row.challenge.result == "adc_power_share":
        return f"{_percent(figure.first)}; {_percent(figure.area_share)} %", ""
    if row.challenge.result == "latency":
        return "-" if isnan(figure.first) else format_quantity(figure.first, "s"), ""
    axis = row.challenge.axis
    borne = "" if figure.borne is None or axis is None else _value(figure.borne, axis.unit)
    return f"{_percent(figure.first)} to {_percent(figure.last)} %", borne


def _percent(share: float) -> str:
    return "-" if isnan(share) else f"{100 * share:.1f}"


def sentences(table: Table1) -> dict[str, str]:
    """Return each statement, restated, and what was measured."""
    current, disturb, shares, collided, largest = (
        table.statements[name]
        for name in (
            "bitline_current",
            "disturb_by_sparsity",
            "convolution_shares",
            "collisions",
            "largest_current_only",
        )
    )
    vgg, quantized = shares.iloc[0], next(row for row in table.rows if row.challenge.name == "quantization")
    drops = {figure.design: (figure.first - figure.last, figure) for figure in quantized.figures}
    steps = quantized.data["n_bits"].values
    dense, sparse, whole = disturb.iloc[0], disturb.iloc[-1], current["current"].iloc[-1]
    return {
        "With sparse spikes the bitline current falls by up to the number of rows": (
            f"{current['factor'].iloc[0]:.0f} times less with 1 of {current['active'].iloc[-1]} wordlines active "
            f"({whole / current['most'].iloc[0]:.0f} to {whole / current['least'].iloc[0]:.0f} times, by which one), "
            f"{current['factor'].iloc[-2]:.2f} times with half of them"
        ),
        "Only cells on a spiking row are stressed: sparsity lowers read disturb": (
            f"LRS cells moved by {dense['disturb']:.1%} at {dense['spike_rate']:.2%} spikes per neuron and step, by "
            f"{sparse['disturb']:.1%} at {sparse['spike_rate']:.2%}; on wordlines that never fired by "
            f"{disturb['disturb_silent'].max():.2%} at most (100 million classifications)"
        ),
        "VGG-class networks: operations in convolutions, parameters in dense layers": (
            f"VGG-16: {vgg['macs_in_convolutions']:.1%} of operations and {vgg['weights_in_convolutions']:.1%} of "
            f"weights in convolutions; shipped VGG-like network {shares.iloc[1]['macs_in_convolutions']:.1%} and "
            f"{shares.iloc[1]['weights_in_convolutions']:.1%}"
        ),
        "Finer time resolution makes collisions of spikes rare": (
            f"{collided['layer 1'].iloc[0]:.0%} of the first layer's spikes meet another one of their position in a "
            f"time step, {collided['layer 1'].iloc[-1]:.1%} in one of {collided['slots'].iloc[-1]:.0f} slots of it"
        ),
        "Reading only the largest current will do": (
            f"{largest['accuracy'].iloc[0]:.1%} with every bitline, {largest['accuracy'].iloc[1]:.1%} with the largest "
            f"of the last layer only, {largest['accuracy'].iloc[2]:.1%} of all layers (not retrained)"
        ),
        "An over-parameterised network loses less to quantization on tiled arrays than a compact one": (
            "; ".join(
                f"{name} {_percent(figure.first)} % with {steps[0]:g} bit, {_percent(drop)} % less with {steps[-1]:g}"
                for name, (drop, figure) in drops.items()
            )
            + " (Fashion-MNIST, ADCs with calibrated full scale; the paper cites losses of 2.41 and 5.9 %)"
        ),
    }
