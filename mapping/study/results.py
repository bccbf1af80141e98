"""The numbers that trials of a study give: what each is, and its unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mapping.chip.chip import MODULES
from mapping.cost.checks import once
from mapping.cost.definitions import DEFINITIONS
from xbarsim.intervals import accuracy_interval, wilson
from xbarsim.study.outcome import Array

if TYPE_CHECKING:
    import xarray as xr

    from mapping.cost.report import Report

RESULTS = (  # of a report, one number for each trial
    "accuracy", "ideal_accuracy", "tops_per_watt", "synaptic_tops_per_watt", "adc_power_share", "energy_per_inference",
    "spikes_per_inference", "latency", "throughput", "power", "area", "adc_area_share", "utilization",
    "fraction_clipped",
)  # fmt: skip
BY_LAYER = ("spike_rate", "ir_drop", "weights_kept", "collided")
DESCRIPTIONS = {name: (DEFINITIONS[name].unit, DEFINITIONS[name].label) for name in (*RESULTS, *BY_LAYER)} | {
    "energy_by_module": ("J", "energy per image, by module"),
    "correct": ("1", "whether an image was classified correctly"),
    "warnings": ("1", "what makes results questionable, a line each"),
}


def numbers(report: Report) -> dict[str, Array]:
    """Return the numbers of a report as arrays with dimensions."""
    found: dict[str, Array] = {}
    for name in RESULTS:
        value = getattr(report, name)
        found[name] = (), np.array(np.nan if value is None else value)
    for name in BY_LAYER:
        found[name] = ("layer",), np.array([getattr(layer, name) for layer in report.layers])
    found["correct"] = ("image",), report.correct[0]
    found["warnings"] = (), np.array("\n".join(report.warnings))
    energies = report.energy_by_module()
    found["energy_by_module"] = ("module",), np.array([energies[module] for module in MODULES])
    return found


def warned(data: xr.Dataset) -> tuple[str, ...]:
    """Return the warnings of all trials, each subject once."""
    texts = data["warnings"].values.ravel().tolist() if "warnings" in data else []
    return once(line for text in texts for line in text.splitlines())


def with_intervals(data: xr.Dataset) -> xr.Dataset:
    """Return a study's results with the 95 % intervals of its accuracies, ``accuracy_low`` to ``accuracy_high``.

    Over the dies and images of each point, without trials that gave nothing; those in software over images.
    """
    shape = data["error"].shape[:-1]
    ends = np.full((4, *shape), np.nan)
    for place in np.ndindex(*shape) if "correct" in data else ():
        correct = data["correct"].values[place]
        done = ~np.isnan(correct.astype(float)).any(1)
        if done.any():
            ideal = float(data["ideal_accuracy"].values[place][done][0])
            ends[(slice(None), *place)] = (*accuracy_interval(correct[done] > 0), *wilson(ideal, correct.shape[1]))
    dims = data["error"].dims[:-1]
    for k, name in enumerate(("accuracy", "ideal_accuracy")):
        for part, values in (("low", ends[2 * k]), ("high", ends[2 * k + 1])):
            attrs = {"units": "1", "long_name": f"{DEFINITIONS[name].label}, 95 % interval, {part} end"}
            data[f"{name}_{part}"] = dims, values, attrs
    data["accuracy"].attrs["interval"] = "95 % interval: bootstrap of dies and images, or of one die Wilson's"
    data["ideal_accuracy"].attrs["interval"] = "95 % interval: Wilson's over images"
    return data
