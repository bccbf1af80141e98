"""Running a study: checked as a whole first, then trial by trial, into one labelled data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mapping.chip.chip import MODULES
from mapping.cost.accounting import convention
from mapping.cost.provenance import chip_text, data_hash, network_hash, now
from mapping.inputs.arrays import told
from mapping.inputs.datasets import NAMED, load_dataset
from mapping.inputs.resources import located
from mapping.inputs.sample import Sample
from mapping.lower.plan import lower, to_cells
from mapping.mapped.given import Source, trained_for
from mapping.networks.ann import Ann
from mapping.networks.encode import check_images, check_labels
from mapping.networks.network import Network
from mapping.study.results import DESCRIPTIONS, RESULTS, with_intervals
from mapping.study.setting import Setting, chip_of, network_of, varied
from mapping.study.study_spec import Study, load_study
from mapping.study.task import ChipTask
from xbarsim.errors import ParameterError, of_kind
from xbarsim.study.conduct import conduct
from xbarsim.study.plan import Plan

if TYPE_CHECKING:
    import xarray as xr


def run_study(study: Study | Source, *, store: str | Path | None = None, **options: Any) -> xr.Dataset:
    """Run a study, or what is left of it.

    Every point is checked before the first one runs. Trial k is die k of the study's seed at every point: points are
    compared on the same devices, as far as their arrays are the same.

    Parameters
    ----------
    study : Study, or its name or file
    store : str or path, optional
        A folder that takes each result at once, and from which an interrupted study goes on.
    **options
        ``workers``, ``cluster``, ``on_error``, ``retry_failed``, ``progress``, as for :func:`xbarsim.sweep`.

    Returns
    -------
    xarray.Dataset
        The numbers of :class:`mapping.Report`, with the axes, ``trial``, and where they apply ``layer`` and ``module``
        as dimensions; units and long names as attributes.

    Raises
    ------
    ParameterError, FileError
        If any point cannot be run, or the store holds another study.
    """
    if isinstance(study, str | os.PathLike):
        study = load_study(Path(study))
    study = of_kind(Study, study, "study", "a Study, or the name or file of one")
    plan, task = prepared(study)
    data = conduct(task, plan, store=store, **options)
    for name in RESULTS:
        if name not in data:  # no trial has come to its end
            data[name] = data["error"].dims, np.full(data["error"].shape, np.nan)
    for name, (unit, text) in DESCRIPTIONS.items():
        if name in data:
            data[name].attrs |= {"units": unit, "long_name": text}
    for axis in study.axes:
        data[axis.name].attrs |= {"units": axis.unit or "1", "long_name": axis.title}
    data = with_intervals(data)
    layers = {_layers(network) for network in task.networks.values()}
    if "layer" in data.dims and len(layers) == 1:
        data = data.assign_coords(layer=list(layers.pop()))
    if "module" in data.dims:
        known = list(MODULES.values())[: data.sizes["module"]]  # an earlier version's trials lack the last ones
        data = data.assign_coords(module=known)
    samples = {str(sample) for *_, sample in task.data.values()}
    return data.assign_attrs(
        study=study.name,
        title=study.title or study.name,
        accounting=str(convention(study.accounting)),
        networks="; ".join(f"{name} ({network_hash(network)})" for name, network in task.networks.items()),
        datasets="; ".join(dict.fromkeys(task.datasets.values())),
        images="; ".join(sorted(samples)),
        n_images=", ".join(sorted({str(len(labels)) for _, labels, _ in task.data.values()})),
        date=now(),
        definitions="mapping.cost.definitions",
    )


def prepared(study: Study) -> tuple[Plan, ChipTask]:
    """Return what a study consists of, and what runs it; raise an error if any point cannot be run."""
    convention(study.accounting)
    plan = Plan.of({axis.name: axis.values for axis in study.axes}, study.trials, study.seed, {})
    settings = [Setting.of(study, point) for point in plan.points]
    networks = {setting.network: network_of(study, setting.network) for setting in settings}
    remedy = f"the dataset of study {study.name}"
    datasets = {name: study.dataset or trained_for(network, name, remedy) for name, network in networks.items()}
    data = {name: _images(study, name) for name in datasets.values()}
    checked: dict[str, tuple[np.ndarray, np.ndarray, Sample]] = {}
    for key in {(setting.work_key, setting.chip.cell_levels): setting for setting in settings}.values():
        network, name = varied(networks[key.network], key.variant), datasets[key.network]
        images, labels, sample = data[name]
        checked[name] = (*_checked(network, images, labels), sample)
        if isinstance(network, Network):
            lower(network.graph(), to_cells(key.chip.cell_levels))
    plan.identity.update(
        study=study.model_dump(mode="json", include={"images", "changes", "accounting"}),
        sets={axis.name: axis.cases or list(axis.sets) for axis in study.axes},
        chips={str(name): chip_text(chip_of(study, str(name))) for name in study.named("chip")},
        networks={name: network_hash(network) for name, network in networks.items()},
        data={name: data_hash(*arrays) for name, (*arrays, _) in checked.items()},
    )
    return plan, ChipTask(study, networks, checked, datasets)


def _checked(network: Network | Ann, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a data set if the network can take it; it has told what its axes are."""
    axes, n_classes = told(images), network.spec.n_classes
    x = network.checked(images, axes) if isinstance(network, Ann) else check_images(images, network.spec, axes)
    return x, check_labels(labels, len(x), n_classes)


def _images(study: Study, dataset: str) -> tuple[np.ndarray, np.ndarray, Sample]:
    there = located(dataset, study.folder, NAMED) if dataset == study.dataset else dataset
    images, labels = load_dataset(there)
    try:
        sample = Sample.of(labels, study.images, seed=study.seed, dataset=dataset)
    except ParameterError as error:
        raise ParameterError(f"study {study.name}, {dataset}: {error}") from None
    return images[sample.index], labels[sample.index], sample


def _layers(network: Network | Ann) -> tuple[str, ...]:
    """Name layers as reports do."""
    return tuple(
        f"{layer.kind} {shape[0]}-{layer.out}" for layer, (shape, _) in zip(network.spec.layers, network.spec.shapes())
    )
