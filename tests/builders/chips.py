"""Chips of which every part shows."""

from functools import partial

import pytest
import torch

import mapping as mp
import xbarsim as xb
from mapping.chip.periphery.neuron_circuit import DigitalNeuron

WIRES = xb.Wires(r_wordline=100, r_bitline=100, r_driver=500, r_sense=200)
approx = partial(pytest.approx, rel=1e-9, abs=0)  # its own absolute tolerance is above energies and times


def wired(chip):
    """Return arrays whose wires and devices show, and periphery that does not follow what is shipped."""
    return chip.replace(
        wires=WIRES,
        device__d2d=0.1,
        readout=mp.SenseAmp(energy=8e-15),
        neuron=mp.ChargeNeuron(mirror_ratio=0.01, v_supply=1.0, energy_per_spike=1.61e-15),
        driver=mp.Driver(dac_bits=8, power_per_bit=4e-6),
        c_wordline=0.0,
        c_bitline=0.0,
        cell_area=None,
    )


def on(chip, digital):
    """Return a chip read by converters in the place of comparators."""
    adc = mp.SarAdc(n_bits=12, f_sample=40e6, power=40e-6, columns_per_adc=2, full_scale=30e-6, sense=digital)
    return chip.replace(readout=adc, neuron=DigitalNeuron(energy_per_add=1e-13, energy_per_update=3.3e-12))


def mapped_on(network, chip, **values):
    return mp.map_network(network, chip, dtype=torch.float64, **values)


READOUTS = ("charge", "bitline", "difference")


def with_readout(chip, readout):
    return chip if readout == "charge" else on(chip, readout)


AREAS = {"cell_area": "0.05 um^2", "driver__area": "2 um^2"}
CHARGE = AREAS | {"readout__area": "7 um^2", "neuron__area": "11 um^2", "neuron__capacitance_density": 2e-3}
DIGITAL = AREAS | {"readout__area": "1000 um^2", "neuron__area": "13 um^2", "neuron__area_per_adder": "3 um^2"}
EXTRAS = {
    "link": {"energy_per_spike": 0, "t_spike": 0, "lanes": 3, "area": "5 um^2"},
    "calibration": {"gain_bits": 4, "area": "0.5 um^2"},
    "replication": (2,),
}
