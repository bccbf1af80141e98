"""Shipped chips against what is published of them."""

import numpy as np
import pytest
import torch

import mapping as mp
from mapping.cost.pricing import areas
from mapping.inputs.resources import data_folder
from mapping.networks.network import Network


def dense(n_in, n_out):
    torch.manual_seed(0)
    layers = [mp.LayerSpec(kind="dense", out=n_out)]
    return Network(mp.NetworkSpec(input_shape=(1, 1, n_in), layers=layers, beta=0.8, threshold=5.0, t_steps=1)).eval()


@pytest.mark.compiled
def test_isaac_like_arrays_cost_what_isaac_says():
    """A. Shafiee et al., ISCA 2016, table 1, for 8 arrays of 128 x 128: ADCs 16 mW and 9600 um2, DACs 4 mW and 170 um2,
    arrays 2.4 mW. 128 bitlines a cycle of 100 ns take 1.28 conversions per ns, not 1.2: 7 % more energy."""
    chip = mp.load_chip("isaac-like").replace(readout__full_scale="worst-case")
    mapped = mp.map_network(dense(512, 128), chip)
    assert mapped.layers[0].n_tiles == 8
    spikes = np.zeros((1, 1, 1, 1, 512))
    spikes[..., ::2] = 1  # half of the wordlines
    report = mapped.evaluate(spikes, np.zeros(1, int))
    assert report.layers[0].energies["conversion"] / 100e-9 == pytest.approx(16e-3, rel=0.08)
    assert report.layers[0].energies["array"] / 100e-9 == pytest.approx(2.4e-3, rel=0.05)
    every = mapped.evaluate(np.ones_like(spikes), np.zeros(1, int))
    assert every.layers[0].energies["driver"] / 100e-9 == pytest.approx(4e-3, rel=0.01)
    area = report.layers[0].areas
    assert area["conversion"] == pytest.approx(9600e-12) and area["driver"] == pytest.approx(170e-12, rel=0.01)
    assert chip.t_conversion == pytest.approx(100e-9, rel=0.07)


def test_a_spikesim_like_array_draws_what_spikesim_says():
    """1.764 pJ a read of 64 x 64 cells with a quarter of the wordlines active, and 2.03 pJ a conversion (65 nm)."""
    chip = mp.load_chip("snn-64").replace(readout__full_scale="worst-case")
    mapped = mp.map_network(dense(64, 32), chip)
    spikes = np.zeros((1, 1, 1, 1, 64))
    spikes[..., ::4] = 1
    row = mapped.evaluate(spikes, np.zeros(1, int)).layers[0]
    assert row.energies["array"] == pytest.approx(1.764e-12, rel=0.5)  # peripheral lines of its circuit are not known
    assert row.energies["conversion"] == pytest.approx(64 * 2.03e-12)


@pytest.mark.compiled
@pytest.mark.parametrize("name", mp.list_chips())
def test_every_shipped_chip_names_its_sources_and_gives_every_area(name):
    text = (data_folder() / "chips" / f"{name}.toml").read_text()
    assert all("#" in section for section in text.split("\n[")[1:])
    mapped = mp.map_network(dense(8, 4), mp.load_chip(name), images=np.ones((2, 1, 8)))
    assert None not in areas(mapped.chip, mapped.layers[0].inventory).values()


def test_chips_of_the_literature_are_shipped():
    assert mp.list_chips() == ["isaac-like", "neurram-like", "paper-ann", "paper-bsnn", "snn-64"]
