"""mapping: binarized spiking networks on the arrays of xbarsim; importing it does not import torch."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Accounting": "mapping.cost.accounting",
    "Ann": "mapping.ann.network",
    "AnnSpec": "mapping.ann.spec",
    "Calibration": "mapping.periphery.calibration",
    "ChargeNeuron": "mapping.periphery.neuron_circuit",
    "Chip": "mapping.chip",
    "CurrentLimit": "mapping.periphery.current_limit",
    "DigitalNeuron": "mapping.periphery.neuron_circuit",
    "Driver": "mapping.periphery.driver",
    "LayerSpec": "mapping.bsnn.spec",
    "Link": "mapping.periphery.link",
    "MappedNetwork": "mapping.network",
    "Network": "mapping.bsnn.network",
    "NetworkSpec": "mapping.bsnn.spec",
    "NeuronSpec": "mapping.bsnn.spec",
    "PassiveNeuron": "mapping.periphery.neuron_circuit",
    "Recipe": "mapping.bsnn.recipe",
    "Report": "mapping.report",
    "Run": "mapping.provenance",
    "Sample": "mapping.sample",
    "SarAdc": "mapping.periphery.sar_adc",
    "SenseAmp": "mapping.periphery.sense_amp",
    "Search": "mapping.bsnn.search",
    "SearchSpace": "mapping.bsnn.search",
    "Trace": "mapping.traces",
    "TrainingSettings": "mapping.bsnn.settings",
    "Axis": "mapping.study.spec",
    "Study": "mapping.study.spec",
    "adc_energy": "mapping.plot",
    "adc_linearity": "mapping.plot",
    "adc_tradeoff": "mapping.study.figures",
    "adc_transfer": "mapping.plot",
    "linearity": "mapping.adc_test",
    "breakdown": "mapping.plot_report",
    "ir_drop_map": "mapping.plot_activity",
    "list_anns": "mapping.store",
    "list_chips": "mapping.chip",
    "list_recipes": "mapping.bsnn.recipe",
    "load_recipe": "mapping.bsnn.recipe",
    "accuracy_contours": "mapping.plot",
    "list_networks": "mapping.store",
    "Past": "mapping.dies",
    "evaluate_dies": "mapping.dies",
    "list_studies": "mapping.study.spec",
    "load_ann": "mapping.store",
    "load_chip": "mapping.chip",
    "load_dataset": "mapping.datasets",
    "events": "mapping.datasets",
    "load_network": "mapping.importers.load",
    "load_study": "mapping.study.spec",
    "map_ann": "mapping.network",
    "map_network": "mapping.network",
    "membranes": "mapping.plot_activity",
    "mobile_ann": "mapping.ann.spec",
    "paper_ann": "mapping.ann.spec",
    "paper_network": "mapping.bsnn.spec",
    "run_study": "mapping.study.run",
    "save_ann": "mapping.store",
    "save_network": "mapping.store",
    "search": "mapping.bsnn.search",
    "sine_test": "mapping.adc_test",
    "spike_raster": "mapping.plot_activity",
    "study_figure": "mapping.study.figures",
    "throughput_limits": "mapping.plot_report",
    "trace": "mapping.traces",
    "train": "mapping.bsnn.train",
    "train_ann": "mapping.ann.train",
    "trials": "mapping.bsnn.search_storage",
    "vgg_ann": "mapping.ann.spec",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mapping' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
