"""Report: what a chip does with a set of images, per layer and in total; as table, JSON and data frame."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from mapping.cost import Charges
from xbarsim.errors import FileError
from xbarsim.units import format_quantity

if TYPE_CHECKING:
    import pandas as pd

    from mapping.layer import MappedLayer


@dataclass(frozen=True)
class LayerReport:
    """One layer on the chip; energies in joule per inference.

    Attributes
    ----------
    n_tiles : int
        Arrays in use.
    utilization : float
        Used cells over all cells of those arrays.
    spike_rate : float
        Output spikes per neuron and time step.
    weights_kept : float
        Share of the weights that the cells hold, after variation, faults and drift: the projection of what they hold on
        what they should.
    ir_drop : float
        Share of these that the wires take away; no number (None in JSON) if next to nothing is held on any die.
    energy, array, conversion, driver, neuron : float
        Total, and its parts [J].
    conversions, clipped : float
        ADC conversions per inference as simulated (a constant first layer once), and those beyond full scale.
    synaptic_operations : float
        2 operations for each weight that an input spike, or a non-zero analog input, meets; per inference.
    """

    name: str
    n_tiles: int
    utilization: float
    spike_rate: float
    weights_kept: float
    ir_drop: float
    energy: float
    array: float
    conversion: float
    driver: float
    neuron: float
    conversions: float
    clipped: float
    synaptic_operations: float

    @classmethod
    def of(cls, layer: MappedLayer, charges: Charges, spikes: float, n_images: int) -> LayerReport:
        """Build the row of ``layer`` from what ``n_images`` images cost and how many spikes it fired."""
        spec, out = layer.layer.spec, layer.layer.out_shape
        neurons = out[0] * out[1] * out[2]
        return cls(
            name=f"{spec.kind} {layer.layer.in_shape[0]}-{spec.out}",
            n_tiles=layer.n_tiles,
            utilization=layer.utilization,
            spike_rate=spikes / (n_images * layer.network.t_steps * neurons),
            weights_kept=layer.weights_kept,
            ir_drop=layer.ir_drop,
            energy=charges.energy / n_images,
            array=charges.array / n_images,
            conversion=charges.conversion / n_images,
            driver=charges.driver / n_images,
            neuron=charges.neuron / n_images,
            conversions=charges.conversions / n_images,
            clipped=charges.clipped / n_images,
            synaptic_operations=2 * charges.driven * spec.out / n_images,
        )


@dataclass(frozen=True)
class Report:
    """Accuracy and cost of one network on one chip.

    Attributes
    ----------
    accuracy, ideal_accuracy : float
        Share of images classified correctly by the chip, and by the network in software.
    layers : tuple of LayerReport
    accounting : str
        The convention under which energy and operations are counted.
    first_layer : str
        How the input of the first layer is read.
    past : str
        What the arrays have been through since they were programmed.
    refresh_tolerance, refreshes : float
        Tolerance at which arrays were solved again while reads aged them, and how often that happened, all arrays of a
        die together; None if reads did not age them.
    truncated_cells, faulty_cells, faulty_lines : float
        Of all arrays in use: cells whose conductance was cut to the device's physical range; stuck, open and shorted
        cells; broken lines and bridges.
    noise_beyond_range : float
        Share of the noisy reads of cells that would leave the physical range; output noise to first order has them in.
    pulses_per_cell : float
        Write pulses.
    accuracies : tuple of float
        Of each die, where this is the average of several.
    """

    chip: str
    accounting: str
    n_images: int
    seed: int
    first_layer: str
    accuracy: float
    ideal_accuracy: float
    layers: tuple[LayerReport, ...]
    t_steps: int
    macs_per_step: int
    past: str = "fresh"
    refresh_tolerance: float | None = None
    refreshes: float = 0.0
    truncated_cells: float = 0.0
    faulty_cells: float = 0.0
    faulty_lines: float = 0.0
    noise_beyond_range: float = 0.0
    pulses_per_cell: float = 1.0
    accuracies: tuple[float, ...] = ()

    def and_die(self, other: Report) -> Report:
        """Return the average over dies with one more die, every accuracy kept."""
        n = self.n_dies

        def mean(a: Any, b: Any) -> dict[str, Any]:
            numbers = {name: value for name, value in vars(a).items() if isinstance(value, float)}
            return {name: value + (getattr(b, name) - value) / (n + 1) for name, value in numbers.items()}

        layers = tuple(replace(a, **mean(a, b)) for a, b in zip(self.layers, other.layers))
        accuracies = (*(self.accuracies or (self.accuracy,)), other.accuracy)
        return replace(self, **mean(self, other) | {"layers": layers, "accuracies": accuracies})

    @property
    def n_dies(self) -> int:
        """Dies that this is the average of."""
        return max(1, len(self.accuracies))

    @property
    def accuracy_spread(self) -> float:
        """Standard deviation of the accuracy from die to die; 0 for one die."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0

    @property
    def energy_per_inference(self) -> float:
        """Energy of classifying one image [J]."""
        return sum(layer.energy for layer in self.layers)

    @property
    def tops_per_watt(self) -> float:
        """Dense operations, 2 per MAC, of all time steps over energy [10^12 operations per joule]."""
        return 2 * self.macs_per_step * self.t_steps / self.energy_per_inference * 1e-12

    @property
    def synaptic_tops_per_watt(self) -> float:
        """Only operations that a spike or a non-zero input caused, over energy [10^12 operations per joule]."""
        return sum(layer.synaptic_operations for layer in self.layers) / self.energy_per_inference * 1e-12

    @property
    def adc_power_share(self) -> float:
        """Share of all data conversion, ADCs or sense amplifiers, in the energy."""
        return sum(layer.conversion for layer in self.layers) / self.energy_per_inference

    @property
    def utilization(self) -> float:
        """Used cells over all cells of the arrays in use."""
        return sum(layer.utilization * layer.n_tiles for layer in self.layers) / sum(x.n_tiles for x in self.layers)

    @property
    def spike_rate(self) -> tuple[float, ...]:
        """Output spikes per neuron and time step, for each layer."""
        return tuple(layer.spike_rate for layer in self.layers)

    @property
    def fraction_clipped(self) -> float:
        """Share of ADC conversions beyond full scale; 0 without ADCs."""
        conversions = sum(layer.conversions for layer in self.layers)
        return sum(layer.clipped for layer in self.layers) / conversions if conversions else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes as plain values."""
        names = (
            "chip", "accounting", "n_images", "seed", "first_layer", "accuracy", "ideal_accuracy", "tops_per_watt",
            "synaptic_tops_per_watt", "adc_power_share", "energy_per_inference", "utilization", "spike_rate",
            "fraction_clipped", "t_steps", "macs_per_step", "past", "refresh_tolerance", "refreshes", "truncated_cells",
            "faulty_cells", "faulty_lines", "noise_beyond_range", "pulses_per_cell", "n_dies", "accuracies",
            "accuracy_spread",
        )  # fmt: skip
        layers = [{k: None if v != v else v for k, v in vars(layer).items()} for layer in self.layers]  # no NaN in JSON
        return {name: getattr(self, name) for name in names} | {"layers": layers}

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the report as JSON; with ``path``, also write it there."""
        text = json.dumps(self.to_dict(), indent=2)
        if path is not None:
            write_text(path, text)
        return text

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per layer."""
        import pandas as pd

        return pd.DataFrame([vars(layer) for layer in self.layers]).assign(chip=self.chip)

    def __str__(self) -> str:
        console = Console(file=StringIO(), width=100)
        with console.capture() as capture:
            console.print(render([self]))
        return capture.get()


def write_text(path: str | Path, text: str) -> None:
    """Write a file; raise :class:`FileError` if that is not possible."""
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error.strerror}); give a path in an existing folder") from None


def render(reports: Sequence[Report]) -> Group:
    """Return the per-layer table and the totals of some reports, side by side, with the accounting convention."""
    layers = Table(title="Layers, energy per image")
    for heading in ("layer", "chip"):
        layers.add_column(heading, no_wrap=True)
    for heading in ("arrays", "cells used", "spike rate", "IR drop", "energy"):
        layers.add_column(heading, justify="right")
    for rows in zip(*(report.layers for report in reports)):
        for report, row in zip(reports, rows):
            layers.add_row(
                row.name if report is reports[0] else "",
                report.chip,
                str(row.n_tiles),
                f"{row.utilization:.1%}",
                f"{row.spike_rate:.2%}",
                "-" if math.isnan(row.ir_drop) else f"{row.ir_drop:.1%}",
                format_quantity(row.energy, "J"),
                end_section=report is reports[-1],
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
        "TOPS/W, dense": [f"{r.tops_per_watt:.1f}" for r in reports],
        "TOPS/W, synaptic": [f"{r.synaptic_tops_per_watt:.1f}" for r in reports],
        "energy / image": [format_quantity(r.energy_per_inference, "J") for r in reports],
        "  arrays": [_part(r, "array") for r in reports],
        "  data conversion": [_part(r, "conversion") for r in reports],
        "  wordline drivers": [_part(r, "driver") for r in reports],
        "  neurons": [_part(r, "neuron") for r in reports],
        "data conversion share": [f"{r.adc_power_share:.3%}" for r in reports],
        "ADC conversions clipped": [f"{r.fraction_clipped:.3%}" for r in reports],
        "first layer": [r.first_layer for r in reports],
    }
    for heading, cells in (lines | _of_devices(reports)).items():
        if any(cells):
            totals.add_row(heading, *cells)
    return Group(layers, totals, Text(f"Energy by {reports[0].accounting}"))


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


def _part(report: Report, module: str) -> str:
    return format_quantity(sum(getattr(layer, module) for layer in report.layers), "J")
