"""One trial of a study: a die is programmed, solved, aged, and classifies images."""

from __future__ import annotations

from typing import Any

import numpy as np

from mapping.chip.array import Solve
from mapping.engines.base import Shared
from mapping.inputs.sample import Sample
from mapping.mapped.dies import age
from mapping.mapped.mapped_network import map_ann, map_network
from mapping.networks.ann import Ann
from mapping.networks.network import Network
from mapping.study.results import numbers
from mapping.study.setting import Setting, varied
from mapping.study.study_spec import Study
from xbarsim.port_cache import PortCache
from xbarsim.ports import reduce
from xbarsim.study.outcome import Array
from xbarsim.study.plan import Value

_KEPT = 4  # networks, with what is the same for all dies


class ChipTask:
    """What a worker runs; it carries the networks and images with it.

    Parameters
    ----------
    study : Study
    networks : dict
        By name or file, as settings name them.
    data : dict
        Images, labels and which ones they are, by the name of the data set.
    """

    def __init__(
        self,
        study: Study,
        networks: dict[str, Network | Ann],
        data: dict[str, tuple[np.ndarray, np.ndarray, Sample]],
        datasets: dict[str, str],
    ) -> None:
        self.study, self.networks, self.data, self.datasets = study, networks, data, datasets
        self._solve: Solve = PortCache() if study.axes else reduce
        self._shared: dict[object, tuple[Network | Ann, np.ndarray, Shared]] = {}

    def __call__(self, trial: int, point: dict[str, Value]) -> dict[str, Array]:
        """Return the numbers of one die at a point."""
        setting = Setting.of(self.study, point)
        images, labels, sample = self.data[self.datasets[setting.network]]
        network, ideal, inputs = self._work(setting, images)
        seed, accounting = self.study.seed, self.study.accounting
        place: Any = map_ann if isinstance(network, Ann) else map_network
        mapped = place(network, setting.chip, seed=seed, die=trial, images=images[:64], solve=self._solve)
        age(mapped, setting.history, images)
        report = mapped.evaluate(images, labels, accounting=accounting, ideal=ideal, inputs=inputs, sample=sample)
        return numbers(report)

    def _work(self, setting: Setting, images: np.ndarray) -> tuple[Network | Ann, np.ndarray, Shared]:
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
