"""Shipped chips against what is published of them, and plots of their reports."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import mapping as mp
import xbarsim as xb
from mapping.bsnn.network import Network
from mapping.cost.pricing import areas


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
    text = (mp.resources.data_folder() / "chips" / f"{name}.toml").read_text()
    assert all("#" in section for section in text.split("\n[")[1:])
    mapped = mp.map_network(dense(8, 4), mp.load_chip(name), images=np.ones((2, 1, 8)))
    assert None not in areas(mapped.chip, mapped.layers[0].inventory).values()


def test_chips_of_the_literature_are_shipped():
    assert mp.list_chips() == ["isaac-like", "neurram-like", "paper-ann", "paper-bsnn", "snn-64"]


@pytest.fixture
def reports(tiny, chip):
    network, images = tiny
    sar = mp.load_chip("paper-ann").replace(rows=8, cols=6, readout__columns_per_adc=2, merge=None)
    links = {"link": {"energy_per_spike": "1 pJ", "t_spike": "1 us", "area": "1 um^2"}}
    chips = (sar, sar.replace(name="with links", replication=(2,), **links))
    return [mp.map_network(network, one).evaluate(images, np.zeros(7, int)) for one in chips]


@pytest.mark.parametrize("what", ["power", "area"])
@pytest.mark.parametrize("by_layer", [False, True])
def test_breakdowns_show_the_shares_of_the_report(reports, what, by_layer):
    ax = mp.breakdown(reports, what, by_layer=by_layer)
    parts = reports[0].energy_by_module() if what == "power" else reports[0].area_by_module()
    n_bars = (4 if by_layer else 2) + 1
    widths = np.array([[bar.get_width() for bar in drawn] for drawn in ax.containers])
    assert widths.shape[1] == n_bars and ax.get_xlabel() == f"share of {what} [%]"
    first = widths[:, :2].sum(1) if by_layer else widths[:, 0]
    assert first.sum() == pytest.approx(100)
    assert first[1] == pytest.approx(100 * parts["conversion"] / sum(parts.values()))
    conversion = widths[1, -1]
    assert conversion == pytest.approx(18 if what == "power" else 10)
    plt.close(ax.figure)


def test_a_breakdown_of_areas_that_are_not_known_is_refused(tiny, chip):
    network, images = tiny
    report = mp.map_network(network, chip.replace(cell_area=None)).evaluate(images, np.zeros(7, int))
    assert report.area is None and report.area_by_module()["array"] is None
    with pytest.raises(xb.ParameterError, match="paper-bsnn gives no area of arrays; add it to the chip"):
        mp.breakdown([report], "area")


def test_the_longest_bar_limits_throughput(reports):
    for report in reports:
        ax = mp.throughput_limits(report)
        ends = [bar.get_x() + bar.get_width() for drawn in ax.containers for bar in drawn]
        assert max(ends) == pytest.approx(1e6 / (report.throughput * report.t_steps))
        plt.close(ax.figure)
    assert reports[1].layers[0].copies == 2 and reports[1].throughput != reports[0].throughput
