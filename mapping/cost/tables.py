"""Reports as tables, side by side, as the command prints them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from mapping.chip.chip import MODULES
from mapping.cost.definitions import DEFINITIONS
from xbarsim.units import format_result, percent, significant

Report = Any  # of mapping.cost.report, which prints itself by this module


def with_interval(share: float | None, interval: tuple[float, float] | None) -> str:
    """Write a share with its interval, for example "98.7% (97.8 to 99.2)"; nothing of nothing."""
    if share is None or interval is None:
        return ""
    return f"{percent(share)} ({' to '.join(significant(100 * end) for end in interval)})"


def render(reports: Sequence[Report]) -> Group:
    """Return the per-layer table and the totals of some reports, side by side, with the accounting convention."""
    energy = _by_layer(
        reports,
        "Layers, energy per image",
        {
            "arrays": lambda r, k: _count(r.layers[k].n_tiles, r.layers[k].copies),
            _label("utilization"): lambda r, k: percent(r.layers[k].utilization),
            _label("spike_rate"): lambda r, k: percent(r.layers[k].spike_rate),
            _label("ir_drop"): lambda r, k: "-" if math.isnan(r.layers[k].ir_drop) else percent(r.layers[k].ir_drop),
            "energy": lambda r, k: format_result(r.layers[k].energy, "J"),
        },
    )
    time = _by_layer(
        reports,
        "Layers, time of one time step",
        {
            "read": lambda r, k: format_result(r.layers[k].times.settle + r.layers[k].times.read, "s"),
            "convert": lambda r, k: format_result(r.layers[k].times.conversion, "s"),
            "decide": lambda r, k: format_result(r.layers[k].times.decision, "s"),
            "link": lambda r, k: format_result(r.layers[k].times.link, "s"),
            _label("stall_fraction"): lambda r, k: percent(r.stall_fraction[k]),
        },
    )
    first = reports[0]
    steps = "bits of each input" if first.bit_serial else "time steps"
    totals = Table(title=f"Totals, {first.n_images} images, {first.t_steps} {steps}")
    totals.add_column("")
    for report in reports:
        totals.add_column(report.chip, justify="right")
    lines = {
        _label("ideal_accuracy"): [with_interval(r.ideal_accuracy, r.ideal_accuracy_interval) for r in reports],
        _label("accuracy"): [with_interval(r.accuracy, r.accuracy_interval) for r in reports],
        f"  over {first.n_dies} dies": [_spread(r) for r in reports],
        f"  against {first.chip}": ["", *(_difference(r, first) for r in reports[1:])],
        "  without calibration": [
            with_interval(r.accuracy_uncalibrated, r.accuracy_uncalibrated_interval) for r in reports
        ],
        _label("tops_per_watt"): [significant(r.tops_per_watt) for r in reports],
        _label("synaptic_tops_per_watt"): [significant(r.synaptic_tops_per_watt) for r in reports],
        _label("energy_per_inference"): [format_result(r.energy_per_inference, "J") for r in reports],
    }
    of_modules = [r.energy_by_module() for r in reports]
    for module in dict.fromkeys(name for parts in of_modules for name in parts):
        energies = [parts.get(module, 0.0) for parts in of_modules]
        cells = [format_result(energy, "J") for energy in energies] if any(energies) else []
        lines[f"  {MODULES.get(module, module)}"] = cells
    lines |= {
        _label("adc_power_share"): [percent(r.adc_power_share) for r in reports],
        _label("fraction_clipped"): [percent(r.fraction_clipped) for r in reports],
        _label("latency"): [format_result(r.latency, "s") for r in reports],
        _label("throughput"): [format_result(r.throughput, "") for r in reports],
        _label("power"): [format_result(r.power, "W") for r in reports],
        _label("area"): ["not given" if r.area is None else f"{significant(r.area * 1e6)} mm²" for r in reports],
        _label("adc_area_share"): ["" if r.adc_area_share is None else percent(r.adc_area_share) for r in reports],
        "first layer": [r.first_layer for r in reports],
    }
    lines |= _of_devices(reports) | {
        "device": [r.run.device for r in reports],
        "arrays": [f"{r.run.rows} x {r.run.cols}, wires {r.run.wires}" for r in reports],
        "read-out": [r.run.readout for r in reports],
        "hash of the chip": [r.run.chip_hash for r in reports],
    }
    for heading, cells in lines.items():
        if any(cells):
            totals.add_row(heading, *cells)
    warnings = [Text(f"Warning, {r.chip}: {warning}", style="bold") for r in reports for warning in r.warnings]
    notes = (f"Run: {first.run}.", f"{_how_sure(reports)} Terms: xbarsim terms.", f"Energy by {first.accounting}")
    return Group(energy, time, totals, *warnings, *map(Text, notes))


def _label(name: str) -> str:
    return DEFINITIONS[name].label


def _how_sure(reports: Sequence[Report]) -> str:
    """Say what the intervals of accuracies are."""
    several = any(report.n_dies > 1 for report in reports)
    how = "bootstrap of dies and images" if several else "Wilson, over images; dies differ more"
    compared = "bootstrap" if several else "McNemar's exact test"
    differences = f"; differences on the same images, p of {compared}" if len(reports) > 1 else ""
    return f"In brackets: 95% intervals ({how}){differences}."


def _difference(report: Report, first: Report) -> str:
    found = report.difference(first)
    value, low, high = (_signed(100 * part) for part in (found.value, *found.interval))
    return f"{value}% ({low} to {high}), p={significant(found.p_value, 2)}"


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{significant(value)}"


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


def _spread(report: Report) -> str:
    if report.n_dies == 1:
        return ""
    low, high = min(report.accuracies), max(report.accuracies)
    return f"sd {percent(report.accuracy_spread)}, {percent(low)} to {percent(high)}"


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
