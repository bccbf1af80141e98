"""The measured table for the terminal."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Any

from mapping.study.paper.measure import LOSS, Figure, Row, Table1
from xbarsim.units import format_quantity, format_result, format_time, significant

if TYPE_CHECKING:
    from rich.console import Group


def render(table: Table1) -> Group:
    """Return the rows and the statements as tables, with what they mean."""
    from rich.box import HORIZONTALS
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    title = f"Table 1, measured: {table.images} images, {table.dies} at each point, seed {table.seed}"
    made = Table(title=title, box=HORIZONTALS, padding=(0, 1, 0, 0), show_edge=False)
    for heading in ("challenge, designs", "from", "to", "borne to"):
        made.add_column(heading, justify="right" if heading != "challenge, designs" else "left", no_wrap=True)
    level = ""
    for row in table.rows:
        if row.challenge.level != level:
            level = row.challenge.level
            made.add_row(Text(f"{level} level", style="bold"))
        for cells in _lines(row):
            made.add_row(*cells)
        made.add_section()
    said = Table(title="Statements of the text, measured", box=HORIZONTALS, padding=(0, 1, 0, 0))
    said.add_column("statement")
    said.add_column("measured")
    for statement, measured in sentences(table).items():
        said.add_row(statement, measured, end_section=True)
    words = (
        "Accuracy on the chip in %, unless another unit is given, with 95 % intervals by bootstrap of dies and "
        f"images (one die: Wilson's); borne to: the last point up to which it is surely within {LOSS:.0%} of the "
        "first, < the first at which it surely is not. A design loses less only where the interval of the difference "
        "leaves out 0. Both designs hold the layers of table 2 on arrays of 256 x 64 of one device: the ANN with "
        "8-bit weights on 14 cells each and 8-bit SAR ADCs, the BSNN with binary weights on 2 cells and a comparator "
        "for each neuron. Nothing is calibrated or retrained. Shares of power and area by full accounting: arrays, "
        "converters, drivers, neurons; excluded: programming, buffers, control, leakage."
    )
    run = table.run
    words += f"\n\nNetworks: {run['networks']}. Data: {run['images']}. xbarsim {run['version_xbarsim']}, {run['date']}."
    words += "".join(f"\n\nWarning: {line}" for line in table.warnings)
    if table.failures:
        words += f"\n\n{len(table.failures)} trials failed, the first: {table.failures[0]}"
    return Group(made, said, Text(words))


def _lines(row: Row) -> list[tuple[str, ...]]:
    """Return the lines of a challenge: what it is, what grows, what each design showed, which one loses less."""
    axis, lines = row.challenge.axis, list[tuple[str, ...]]([(row.challenge.challenge,)])
    if axis is None:
        lines.append(("  latency of an image" if row.challenge.result == "latency" else "  ADC power share; area",))
    else:
        lines.append((f"  {axis.title}", *(_value(row.data[axis.name].values[k].item(), axis.unit) for k in (0, -1))))
    lines += [(f"  {figure.design}", *_cells(row, figure)) for figure in row.figures]
    verdict = row.verdict
    if verdict is not None:
        if not verdict.sure:
            lines.append(("  which loses less: undecided", "", _points(verdict.value, verdict.interval, 2)))
        else:
            better = row.designs[1 if verdict.value > 0 else 0]
            least, most = sorted(map(abs, verdict.interval))
            lines.append((f"  {better} loses less, by", "", _points(abs(verdict.value), (least, most), 2)))
    return lines


def _value(value: Any, unit: str) -> str:
    if unit == "s":
        return format_time(value)
    return format_quantity(value, unit) if unit else f"{value:g}"


def _cells(row: Row, figure: Figure) -> tuple[str, ...]:
    if row.challenge.result == "adc_power_share":
        return (f"{_percent(figure.first)}; {_percent(figure.area_share)}",)
    if row.challenge.result == "latency":
        return ("-" if isnan(figure.first) else format_result(figure.first, "s"),)
    ends = (_points(figure.first, figure.first_interval), _points(figure.last, figure.last_interval))
    return (*ends, _borne(row, figure))


def _borne(row: Row, figure: Figure) -> str:
    """Say up to which value a design surely bears what grows, and from which on it surely does not."""
    axis = row.challenge.axis
    if axis is None:
        return ""
    known = ((sign, value) for sign, value in (("", figure.borne), ("< ", figure.not_borne)) if value is not None)
    return ",\n".join(f"{sign}{_value(value, axis.unit)}" for sign, value in known) or "-"


def _points(share: float, interval: tuple[float, float], digits: int = 3) -> str:
    """Write a share in percent with its interval."""
    if isnan(share):
        return "-"
    ends = "\u2013".join(significant(100 * end, digits) for end in interval)
    return f"{significant(100 * share, digits)} ({ends})"


def _percent(share: float) -> str:
    return "-" if isnan(share) else f"{significant(100 * share)}"


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
            "{} % with every bitline, {} % with the largest of the last layer only, {} % of all layers (not "
            "retrained)".format(*map(_points, largest["accuracy"], largest["accuracy_interval"]))
        ),
        "An over-parameterised network loses less to quantization on tiled arrays than a compact one": (
            "; ".join(
                f"{name} {_points(figure.first, figure.first_interval)} % with {steps[0]:g} bit, "
                f"{_points(figure.last, figure.last_interval)} with {steps[-1]:g}, {_percent(drop)} less"
                for name, (drop, figure) in drops.items()
            )
            + " (Fashion-MNIST, ADCs with calibrated full scale; the paper cites losses of 2.41 and 5.9 %)"
        ),
    }
