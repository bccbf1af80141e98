"""Plots of reports."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import mapping as mp
import xbarsim as xb


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
