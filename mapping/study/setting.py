"""A point of a study as the network, chip and history that it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy, deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import torch

from mapping.chip.chip import Chip, list_chips, load_chip
from mapping.importers.load import load_network
from mapping.importers.nir_rules import NirRules
from mapping.inputs.resources import located
from mapping.mapped.dies import History
from mapping.mapped.given import refuse_nir
from mapping.networks.ann import Ann
from mapping.networks.network import Network
from mapping.networks.store import list_anns, list_networks, load_ann
from mapping.study.study_spec import HISTORY, Study
from xbarsim.drift import ROOM_TEMPERATURE
from xbarsim.errors import FileError, ParameterError
from xbarsim.parameters import relative_to
from xbarsim.study.plan import Value
from xbarsim.units import quantity

Kind = TypeVar("Kind", bound=Network | Ann)


@dataclass(frozen=True)
class Setting:
    """What one trial runs.

    Attributes
    ----------
    network : str
        Name or file.
    variant : dict
        What is changed about it.
    chip : Chip
    history : History
    """

    network: str
    variant: dict[str, Any]
    chip: Chip
    history: History

    @classmethod
    def of(cls, study: Study, point: Mapping[str, Value]) -> Setting:
        """Build the setting of a point; raise :class:`ParameterError`, naming the point, if there is none."""
        given = list(study.changes.items())
        given += [item for axis in study.axes for item in axis.settings(point[axis.name])]
        whole = {"chip": study.chip, "network": study.network} | dict(given)
        try:
            chip, variant, history = chip_of(study, str(whole["chip"])), {}, {}
            for path, value in given:
                part, _, field = path.partition(".")
                if part == "chip" and field:
                    with relative_to(study.folder):
                        chip = chip.replace(**{field.replace(".", "__"): value})
                elif part == "network" and field:
                    variant[field] = value
                elif part == "past":
                    history[field] = quantity(value, HISTORY[field], path)
            if not any(history.get(name) for name in ("time", "n_reads", "n_inferences")):
                history["temperature"] = ROOM_TEMPERATURE  # at which nothing happens
            History(**history).check(chip)
        except (ParameterError, FileError) as error:
            at = ", ".join(f"{name} = {value}" for name, value in point.items())
            raise type(error)(f"study {study.name}{', ' if at else ''}{at}: {error}") from None
        return cls(str(whole["network"]), variant, chip, History(**history))

    @property
    def work_key(self) -> tuple[object, ...]:
        """What the work that dies share depends on."""
        return self.network, *sorted(self.variant.items()), self.chip.driver, self.chip.constant_input


def chip_of(study: Study, name: str) -> Chip:
    """Load a chip that a study names, by name or by a path relative to the study."""
    return load_chip(located(name, study.folder, list_chips()))


def network_of(study: Study, name: str) -> Network | Ann:
    """Load a network that a study names, by name or by a path relative to the study."""
    return load_any(located(name, study.folder, (*list_networks(), *list_anns())), study.nir)


def load_any(source: str, nir: NirRules | None = None) -> Network | Ann:
    """Load a spiking or a conventional network by its name or file."""
    if nir is not None and Path(source).suffix == ".nir":
        return load_network(Path(source), **nir.options)
    refuse_nir(source, "Study.nir with dt, reset_mechanism and fire")
    if source in list_anns():
        return load_ann(source)
    if Path(source).suffix == ".safetensors":
        try:
            return load_network(source)
        except (FileError, ParameterError) as error:
            try:
                return load_ann(source)
            except (FileError, ParameterError):
                raise error from None
    return load_network(source)


def varied(network: Kind, variant: Mapping[str, Any]) -> Kind:
    """Return a network with time steps, thresholds or bits changed."""
    for name, value in variant.items():
        spiking = name in _SPIKING
        if spiking != isinstance(network, Network):
            kind = "a spiking" if isinstance(network, Network) else "a conventional"
            raise ParameterError(f"network.{name} = {value}: {kind} network has none; leave it out")
        changed = network.quantized(**{name: value}) if isinstance(network, Ann) else _SPIKING[name](network, value)
        network = cast(Kind, changed)
    return network


def _with_steps(network: Network, t_steps: int) -> Network:
    changed = copy(network)
    changed.spec = network.spec.replace(t_steps=t_steps)
    return changed


def _with_thresholds(network: Network, scale: float) -> Network:
    scale = quantity(scale, "", "network.threshold_scale")
    if not scale > 0:
        raise ParameterError(f"network.threshold_scale = {scale}: give a number above 0")
    changed = deepcopy(network)
    with torch.no_grad():
        for layer in changed.layers[:-1]:
            layer.threshold.mul_(scale)
    return changed


_SPIKING = {"t_steps": _with_steps, "threshold_scale": _with_thresholds}
