"""What a layer occupies, by module; where a chip does not give an area, there is none."""

from __future__ import annotations

from math import prod

from mapping.layer import MappedLayer
from mapping.periphery.neuron_circuit import DigitalNeuron
from mapping.periphery.sar_adc import SarAdc


def layer_area(layer: MappedLayer) -> dict[str, float | None]:
    """Return the area [m^2] of each module of a layer with all copies of its arrays; None where it is not known.

    Modules are those of energy: array, conversion, driver, neuron, link, calibration. An array has converters for all
    its bitlines, used or not.
    """
    chip, copies = layer.chip, layer.chip.copies(layer.number)
    arrays, readout, neuron = copies * layer.n_tiles, chip.readout, chip.neuron
    n_neurons = layer.neurons.n_votes * prod(layer.layer.out_shape) // layer.layer.slices
    if isinstance(readout, SarAdc):
        n_adcs = arrays * -(-chip.converted_lines // readout.columns_per_adc)
        conversion = _times(n_adcs, readout.converter_area)
    else:
        n_adcs = 0
        conversion = _times(copies * layer.n_comparators, readout.area)
    neurons = _times(n_neurons, neuron.total_area(layer.neurons.capacitance))
    if isinstance(neuron, DigitalNeuron):
        adders = _times(n_adcs, neuron.area_per_adder)
        neurons = None if neurons is None or adders is None else neurons + adders
    return {
        "array": _times(arrays * chip.rows * chip.cols, chip.cell_area),
        "conversion": conversion,
        "driver": _times(arrays * chip.rows, chip.driver.area),
        "neuron": neurons,
        "link": 0.0 if chip.link is None or layer.neurons.last else _times(chip.link.lanes, chip.link.area),
        "calibration": 0.0 if chip.calibration is None else _times(copies * layer.n_trims, chip.calibration.area),
    }


def _times(count: int, area: float | None) -> float | None:
    return None if area is None else count * area
