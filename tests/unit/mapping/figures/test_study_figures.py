"""Figures of studies."""

import numpy as np
import pytest
import xarray as xr

import mapping as mp
import xbarsim as xb
import xbarsim.plot

pytestmark = pytest.mark.usefixtures("closed")


def test_figures_show_what_was_found(study):
    data = mp.run_study(study, workers=1)
    figure = mp.study_figure(data, ("accuracy", "energy_per_inference"))
    accuracy, energy = figure.axes
    line = accuracy.lines[0]
    assert line.get_xdata().tolist() == [0.1, 0.6]
    assert line.get_ydata() == pytest.approx(data["accuracy"].mean("trial").values)
    (band,) = accuracy.collections
    assert {*band.get_paths()[0].vertices[:, 1]} == {*data["accuracy_low"].values, *data["accuracy_high"].values}
    assert accuracy.get_title(loc="right") == "3 dies x 7 images, mean and 95 % interval"
    (band,) = energy.collections
    mean, spread = (getattr(data["energy_per_inference"], what)("trial").values for what in ("mean", "std"))
    assert band.get_paths()[0].vertices[:, 1].max() == pytest.approx((mean + spread * np.sqrt(3 / 2)).max())
    assert energy.get_title(loc="right") == "3 dies x 7 images, mean and standard deviation"
    assert accuracy.lines[1].get_ydata()[0] == pytest.approx(float(data["ideal_accuracy"].max()))
    assert accuracy.get_xlabel() == "spread [%]" and energy.get_ylabel() == "energy per image [J]"


def test_without_axes_the_figure_shows_how_dies_differ(study):
    data = mp.run_study(study.replace(axes=[], trials=4, changes={"chip.device.d2d": 0.6}), workers=1)
    accuracy, energy = mp.study_figure(data, ("accuracy", "energy_per_inference")).axes
    for ax, name in ((accuracy, "accuracy"), (energy, "energy_per_inference")):
        values = data[name].values
        edges = [*(bar.get_x() for bar in ax.patches), np.inf]
        assert [bar.get_height() for bar in ax.patches] == np.histogram(values, edges)[0].tolist()
        assert sum(bar.get_height() for bar in ax.patches) == 4 and ax.get_ylabel() == "trials"
    assert accuracy.get_xlabel() == "accuracy on the chip [%]" and energy.get_xlabel() == "energy per image [J]"
    assert accuracy.lines[0].get_xdata()[0] == pytest.approx(float(data["ideal_accuracy"][0]))
    with pytest.raises(xb.ParameterError, match="result = 'spike_rate': one number for each trial have accuracy"):
        xb.plot.histogram(data, "spike_rate")


def test_the_tradeoff_shows_energy_accuracy_and_the_share_of_adcs():
    n_bits, values = [4, 8], np.array([[0.9, 0.8], [0.95, 0.97]])
    dims = ("n_bits", "trial")
    data = xr.Dataset(
        {
            "accuracy": (dims, values),
            "energy_per_inference": (dims, 1e-6 * values),
            "adc_power_share": (dims, [[0.1, 0.1], [0.5, 0.7]]),
        },
        {"n_bits": n_bits},
    )
    ax = mp.adc_tradeoff(data)
    assert ax.lines[0].get_ydata() == pytest.approx([0.85, 0.96])
    assert ax.lines[0].get_xdata() == pytest.approx([0.85e-6, 0.96e-6])
    sizes = ax.collections[0].get_sizes()
    assert sizes[1] - sizes[0] == pytest.approx(150 * 0.5)
    assert [text.get_text() for text in ax.texts] == ["4", "8"]
    with pytest.raises(xb.ParameterError, match="bits = 'bits'"):
        mp.adc_tradeoff(data, "bits")
