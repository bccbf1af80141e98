"""Pictures of arrays."""

import matplotlib as mpl
import numpy as np
import pytest

import xbarsim as xb
from tests.builders.crossbars import G, expected
from xbarsim import plot

mpl.use("Agg")


def test_maps_show_the_array_with_units():
    solution = expected()
    one = xb.solve(solution.crossbar, [0.3, 0.1])
    pictures = [
        (plot.node_voltages(one), 1e3 * one.v_wordline, "[mV]"),
        (plot.node_voltages(one, "bitline"), 1e3 * one.v_bitline, "[mV]"),
        (plot.ir_drop(one), 1e3 * (np.array([[0.3], [0.1]]) - (one.v_wordline - one.v_bitline)), "[mV]"),
        (plot.cell_currents(one), 1e6 * one.i_cell, "[uA]"),
    ]
    for ax, values, unit in pictures:
        np.testing.assert_allclose(ax.images[0].get_array(), values)
        assert unit in ax.images[0].colorbar.ax.get_ylabel()
        assert "bitline" in ax.get_xlabel() and "wordline" in ax.get_ylabel()
        mpl.pyplot.close(ax.figure)
    figure = plot.overview(one)
    figure.canvas.draw()
    for axis in figure.axes[:4]:  # lines are counted in whole numbers, however few
        assert all(float(tick).is_integer() for tick in (*axis.get_xticks(), *axis.get_yticks()))
    assert figure.get_suptitle() == "wires: r_wordline 2 Ohm, r_bitline 2 Ohm, r_driver 100 Ohm, r_sense 50 Ohm"
    ideal = plot.overview(xb.solve(xb.Crossbar(G), [0.3, 0.1]))
    assert ideal.get_suptitle() == "wires: 0 Ohm (ideal)"
    assert [ax.get_title() for ax in ideal.axes[:3]] == ["", "0 everywhere", "0 everywhere"]
    mpl.pyplot.close("all")
    with pytest.raises(xb.ParameterError, match="holds 2 reads; draw one"):
        plot.cell_currents(solution)
    with pytest.raises(xb.ParameterError, match="line = 'row'"):
        plot.node_voltages(one, "row")
