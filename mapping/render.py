"""Reports as tables, side by side, as the command prints them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from mapping.cost import MODULES
from xbarsim.units import format_quantity

if TYPE_CHECKING:
    from mapping.report import Report


def render(reports: Sequence[Report]) -> Group:
    """Return the per-layer table and the totals of some reports, side by side, with the accounting convention."""
    energy = _by_layer(
        reports,
        "Layers, energy per image",
        {
            "arrays": lambda r, k: _count(r.layers[k].n_tiles, r.layers[k].copies),
            "cells used": lambda r, k: f"{r.layers[k].utilization:.1%}",
            "spike rate": lambda r, k: f"{r.layers[k].spike_rate:.2%}",
            "IR drop": lambda r, k: "-" if math.isnan(r.layers[k].ir_drop) else f"{r.layers[k].ir_drop:.1%}",
            "energy": lambda r, k: format_quantity(r.layers[k].energy, "J"),
        },
    )
    time = _by_layer(
        reports,
        "Layers, time of one time step",
        {
            "reads": lambda r, k: format_quantity(r.layers[k].time_settle + r.layers[k].time_read, "s"),
            "conversion": lambda r, k: format_quantity(r.layers[k].time_conversion, "s"),
            "decisions": lambda r, k: format_quantity(r.layers[k].time_decision, "s"),
            "link": lambda r, k: format_quantity(r.layers[k].time_link, "s"),
            "waits": lambda r, k: f"{r.stall_fraction[k]:.1%}",
        },
    )
    first = reports[0]
    totals = Table(title=f"Totals, {first.n_images} images, {first.t_steps} time steps, seed {first.seed}")
    totals.add_column("")
    for report in reports:
        totals.add_column(report.chip, justify="right")
    lines = {
        "accuracy in software": [f"{r.ideal_accuracy:.2%}" for r in reports],
        "accuracy on the chip": [f"{r.accuracy:.2%}" for r in reports],
        f"  over {first.n_dies} dies": [_spread(r) for r in reports],
        "  without calibration": [_percent(r.accuracy_uncalibrated) for r in reports],
        "TOPS/W, dense": [f"{r.tops_per_watt:.1f}" for r in reports],
        "TOPS/W, synaptic": [f"{r.synaptic_tops_per_watt:.1f}" for r in reports],
        "energy / image": [format_quantity(r.energy_per_inference, "J") for r in reports],
    }
    for module, text in MODULES.items():
        energies = [r.energy_by_module()[module] for r in reports]
        lines[f"  {text}"] = [format_quantity(energy, "J") for energy in energies] if any(energies) else []
    lines |= {
        "data conversion share": [f"{r.adc_power_share:.3%}" for r in reports],
        "ADC conversions clipped": [f"{r.fraction_clipped:.3%}" for r in reports],
        "latency": [format_quantity(r.latency, "s") for r in reports],
        "images / s": [format_quantity(r.throughput, "") for r in reports],
        "average power": [format_quantity(r.power, "W") for r in reports],
        "area": ["not given" if r.area is None else f"{r.area * 1e6:.3g} mm²" for r in reports],
        "  of it data conversion": [_percent(r.adc_area_share) for r in reports],
        "first layer": [r.first_layer for r in reports],
    }
    for heading, cells in (lines | _of_devices(reports)).items():
        if any(cells):
            totals.add_row(heading, *cells)
    warnings = [Text(f"Warning, {r.chip}: {warning}", style="bold") for r in reports for warning in r.warnings]
    return Group(energy, time, totals, *warnings, Text(f"Energy by {reports[0].accounting}"))


def _by_layer(reports: Sequence[Report], title: str, columns: dict[str, Callable[[Report, int], str]]) -> Table:
    """Return a table of one line for each layer and chip."""
    table = Table(title=title)
    for heading in ("layer", "chip"):
        table.add_column(heading, no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right")
    for k, layer in enumerate(reports[0].layers):
        for report in reports:
            name = layer.name if report is reports[0] else ""
            cells = [cell(report, k) for cell in columns.values()]
            table.add_row(name, report.chip, *cells, end_section=report is reports[-1])
    return table


def _count(arrays: int, copies: int) -> str:
    return str(arrays) if copies == 1 else f"{copies} x {arrays}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


def _spread(report: Report) -> str:
    if report.n_dies == 1:
        return ""
    low, high = min(report.accuracies), max(report.accuracies)
    return f"sd {report.accuracy_spread:.2%}, {low:.2%} to {high:.2%}"


def _of_devices(reports: Sequence[Report]) -> dict[str, list[str]]:
    """Return lines about devices, those only that say something."""
    lines = {
        "arrays since programming": [r.past for r in reports],
        "arrays solved again": [
            "" if r.refresh_tolerance is None else f"{r.refreshes:.4g} per die, at {r.refresh_tolerance:g} of the LRS"
            for r in reports
        ],
        "weights kept, by layer": [", ".join(f"{row.weights_kept:.1%}" for row in r.layers) for r in reports],
        "faulty cells": [f"{r.faulty_cells:g}" for r in reports],
        "broken lines and bridges": [f"{r.faulty_lines:g}" for r in reports],
        "noise draws beyond the physical range": [f"{r.noise_beyond_range:.1%}" for r in reports],
        "cells cut to the physical range": [f"{r.truncated_cells:g}" for r in reports],
        "write pulses / cell": [f"{r.pulses_per_cell:.2f}" for r in reports],
    }
    plain = {"fresh", "", "0", "0.0%", "1.00", ", ".join(["100.0%"] * len(reports[0].layers))}
    return {heading: cells for heading, cells in lines.items() if not set(cells) <= plain}
