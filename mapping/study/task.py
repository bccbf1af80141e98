"""One trial of a study: a die is programmed, solved, aged, and classifies images."""

from __future__ import annotations

import numpy as np

from mapping.ann.network import Ann
from mapping.bsnn.network import Network
from mapping.cost import MODULES
from mapping.dies import age
from mapping.inference import Inputs
from mapping.mapped_ann import map_ann
from mapping.network import map_network
from mapping.report import Report
from mapping.solved import Solved
from mapping.study.setting import Setting, varied
from mapping.study.spec import Study
from mapping.tile import Solve
from xbarsim.ports import reduce
from xbarsim.study.outcome import Array
from xbarsim.study.plan import Value

RESULTS = {  # of a report: unit, and what it is
    "accuracy": ("1", "accuracy on the chip"),
    "ideal_accuracy": ("1", "accuracy in software"),
    "tops_per_watt": ("TOPS/W", "TOPS/W, dense"),
    "synaptic_tops_per_watt": ("TOPS/W", "TOPS/W, synaptic"),
    "adc_power_share": ("1", "data conversion's share of power"),
    "energy_per_inference": ("J", "energy per image"),
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
_KEPT = 4  # networks, with what is the same for all dies

DESCRIPTIONS = RESULTS | BY_LAYER | BY_MODULE


class ChipTask:
    """What a worker runs; it carries the networks and images with it.

    Parameters
    ----------
    study : Study
    networks : dict
        By name or file, as settings name them.
    data : dict
        Images and labels, by the name of the data set.
    """

    def __init__(
        self,
        study: Study,
        networks: dict[str, Network | Ann],
        data: dict[str, tuple[np.ndarray, np.ndarray]],
        datasets: dict[str, str],
    ) -> None:
        self.study, self.networks, self.data, self.datasets = study, networks, data, datasets
        self._solve: Solve = Solved() if study.axes else reduce
        self._shared: dict[object, tuple[Network | Ann, np.ndarray, Inputs]] = {}

    def __call__(self, trial: int, point: dict[str, Value]) -> dict[str, Array]:
        """Return the numbers of one die at a point."""
        setting = Setting.of(self.study, point)
        images, labels = self.data[self.datasets[setting.network]]
        network, ideal, inputs = self._work(setting, images)
        seed, accounting = self.study.seed, self.study.accounting
        if isinstance(network, Ann):
            ann = map_ann(network, setting.chip, seed=seed, die=trial, images=images[:64], solve=self._solve)
            age(ann, setting.past, images)
            return numbers(ann.evaluate(images, labels, accounting=accounting, ideal=ideal))
        mapped = map_network(network, setting.chip, seed=seed, die=trial, images=images[:64], solve=self._solve)
        age(mapped, setting.past, images)
        return numbers(mapped.evaluate(images, labels, accounting=accounting, ideal=ideal, inputs=inputs))

    def _work(self, setting: Setting, images: np.ndarray) -> tuple[Network | Ann, np.ndarray, Inputs]:
        """Return the network of a setting, what software says, and what dies make of the images; the last are kept."""
        key = setting.work_key
        if key not in self._shared:
            network = varied(self.networks[setting.network], setting.variant)
            ideal = (
                network.predict(images) if isinstance(network, Ann) else network.predict(images, seed=self.study.seed)
            )
            while len(self._shared) >= _KEPT:
                del self._shared[next(iter(self._shared))]
            self._shared[key] = network, ideal, {}
        return self._shared[key]


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
