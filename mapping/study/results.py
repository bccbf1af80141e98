"""The numbers that trials of a study give: what each is, and its unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mapping.cost import MODULES
from xbarsim.study.outcome import Array

if TYPE_CHECKING:
    from mapping.report import Report

RESULTS = {  # of a report: unit, and what it is
    "accuracy": ("1", "accuracy on the chip"),
    "ideal_accuracy": ("1", "accuracy in software"),
    "tops_per_watt": ("TOPS/W", "TOPS/W, dense"),
    "synaptic_tops_per_watt": ("TOPS/W", "TOPS/W, synaptic"),
    "adc_power_share": ("1", "data conversion's share of power"),
    "energy_per_inference": ("J", "energy per image"),
    "spikes_per_inference": ("1", "spikes per image"),
    "latency": ("s", "latency"),
    "throughput": ("1/s", "images per second"),
    "power": ("W", "average power"),
    "area": ("m2", "area"),
    "adc_area_share": ("1", "data conversion's share of area"),
    "utilization": ("1", "cells used"),
    "fraction_clipped": ("1", "conversions clipped"),
}
BY_LAYER = {
    "spike_rate": ("1", "spikes per neuron and time step"),
    "ir_drop": ("1", "signal lost to wires"),
    "weights_kept": ("1", "signal that cells hold"),
    "collided": ("1", "spikes that waited for others"),
}
BY_MODULE = {"energy_by_module": ("J", "energy per image, by module")}
DESCRIPTIONS = RESULTS | BY_LAYER | BY_MODULE


def numbers(report: Report) -> dict[str, Array]:
    """Return the numbers of a report as arrays with dimensions."""
    found: dict[str, Array] = {}
    for name in RESULTS:
        value = getattr(report, name)
        found[name] = (), np.array(np.nan if value is None else value)
    for name in BY_LAYER:
        found[name] = ("layer",), np.array([getattr(layer, name) for layer in report.layers])
    energies = report.energy_by_module()
    found["energy_by_module"] = ("module",), np.array([energies[module] for module in MODULES])
    return found
