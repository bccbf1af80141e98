"""Plots of spikes, membranes and IR drop of mapped networks."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import mapping as mp
import xbarsim as xb
from mapping.networks.encode import encode
from tests.oracles.naive_circuits import solve_circuit

pytestmark = pytest.mark.usefixtures("closed")


@pytest.fixture
def mapped(tiny, chip):
    return mp.map_network(tiny[0], chip, dtype=torch.float64)


def dashes(ax):
    """The (time step, row) of every dash of a raster."""
    (drawn,) = ax.collections
    return sorted((int(s[0, 0]), round(float(s[:, 1].mean()))) for s in drawn.get_segments())


def test_a_raster_of_few_neurons_has_a_row_for_each(tiny, mapped):
    trace = mp.trace(mapped, tiny[1])
    for image in range(7):
        ax = mp.spike_raster(trace, layer=0, image=image)
        spikes = trace.spikes[0][:, image].reshape(6, 36)
        assert dashes(ax) == [(t, k) for t in range(6) for k in range(36) if spikes[t, k]]
        silent = [k for k in range(36) if not spikes[:, k].any()]
        assert f"image {image}: {int(spikes.sum())} spikes, {len(silent)} of 36 neurons silent" in ax.get_title()
        assert (f"({', '.join(map(str, silent))})" in ax.get_title()) == (0 < len(silent) <= 8)
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("time step", "neuron")


def test_a_raster_of_many_neurons_shows_those_that_fire(tiny, mapped):
    fired = np.zeros((4, 1, 50, 1, 1))
    for neuron, steps in {7: [3], 11: [0, 2], 30: [1], 49: [1, 2, 3]}.items():
        fired[steps, 0, neuron] = 1
    trace = mp.Trace((fired,), (fired,), (np.ones((50, 1, 1)),))
    ax = mp.spike_raster(trace)
    rows = {49: 0, 11: 1, 30: 2, 7: 3}  # by number of spikes, then by the first
    assert dashes(ax) == sorted((t, rows[k]) for t, _, k, *_ in np.argwhere(fired))
    assert ax.get_ylabel() == "the 4 neurons that fire, most active first"
    assert ax.get_title() == "layer 0 (50 neurons), image 0: 7 spikes, 46 of 50 neurons silent"
    empty = mp.spike_raster(mp.Trace((0 * fired,), (fired,), (np.ones((50, 1, 1)),)))
    assert "0 spikes, 50 of 50 neurons silent" in empty.get_title()


def test_membranes_are_those_of_the_trace(tiny, mapped):
    trace = mp.trace(mapped, tiny[1])
    count = trace.spikes[0][:, 2].sum(0).ravel()
    chosen = [int(np.flatnonzero(count)[-1]), int(np.flatnonzero(count == 0)[0]), int(np.flatnonzero(count)[0])]
    assert chosen[0] != chosen[2]
    figure, ax = plt.subplots()
    assert mp.membranes(trace, 0, chosen, image=2, ax=ax) is ax
    assert mp.membranes(trace, 0, chosen[0], image=2).get_lines()[0].get_label() == ax.lines[0].get_label()
    for k, (line, dots, dashed) in zip(chosen, np.reshape(ax.lines, (3, 3)), strict=True):
        channel, row, column = k // 9, k % 9 // 3, k % 3
        u, s = (x[:, 2, channel, row, column] for x in (trace.membranes[0], trace.spikes[0]))
        assert np.array_equal(line.get_ydata(), u)
        assert np.array_equal(dots.get_xdata(), [t for t in range(6) if s[t]])
        assert np.array_equal(dots.get_ydata(), [u[t] for t in range(6) if s[t]])
        assert dashed.get_ydata()[0] == trace.thresholds[0][channel, row, column]
        name, place = line.get_label().split("\n")
        assert name.rstrip("s") == f"neuron {k}: {int(s.sum())} spike"
        assert place == f"(channel {channel}, row {row}, column {column})"
    assert figure.axes == [ax] and ax.get_ylabel() == "membrane before reset [unit weights]"


def test_membranes_are_of_the_most_active_neurons_unless_told(tiny, mapped):
    trace = mp.trace(mapped, tiny[1])
    count = trace.spikes[0][:, 3].sum(0).ravel()
    shown = [int(line.get_label().split()[1].strip(":")) for line in mp.membranes(trace, image=3).lines[::3]]
    assert len(shown) == 3 and sorted(count[shown]) == sorted(count)[-3:]


def drawn_map(ax):
    (image,) = ax.images
    left, right, bottom, top = image.get_extent()
    return image.get_array(), (top + 0.5, bottom - 0.5), (left + 0.5, right - 0.5)


def test_an_ir_drop_map_is_the_circuit_with_all_wordlines_driven(mapped):
    tile = mapped.layers[0].tiles[-1]  # 2 of 18 inputs on the last row tile, 1 of 4 outputs on the last column tile
    ax = mp.ir_drop_map(mapped, 0, len(mapped.layers[0].tiles) - 1)
    values, rows, cols = drawn_map(ax)
    v = np.array([0.0] * 6 + [0.3] * 2)
    v_wordline, v_bitline, *_ = solve_circuit(tile.die.conductance, mapped.chip.wires, v)
    assert (rows, cols) == ((6, 7), (0, 1))
    np.testing.assert_allclose(values, 1e3 * (0.3 - (v_wordline - v_bitline))[6:, :2], rtol=1e-6)
    assert "array 5 (of 6, counted from 0): 2 x 2 of 8 x 6 cells used\nall its wordlines at 300 mV" in ax.get_title()
    assert ax.get_xlabel().startswith("bitline") and ax.get_ylabel().startswith("wordline")
    assert ax.figure.axes[1].get_ylabel() == "voltage lost before the cell [mV]"


@pytest.mark.parametrize("layer", [0, 1])
def test_an_ir_drop_map_of_images_is_the_average_over_their_reads(tiny, mapped, layer):
    network, images = tiny
    x = mapped.chip.driver.quantize(encode(images[:2], network.spec)) if layer == 0 else mapped.spikes(images[:2])[0]
    x = x.reshape(-1, *mapped.layers[layer].layer.rows[0].in_shape).astype(float)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))) if layer == 0 else x
    side = 3 if layer == 0 else 1
    reads = [
        sample[:, y : y + side, z : z + side].ravel()
        for sample in padded
        for y in range(6 if layer == 0 else 1)
        for z in range(6 if layer == 0 else 1)
    ]
    number = {0: 2, 1: 1}[layer]  # the second row tile: two column tiles in the first layer, one in the second
    tile = mapped.layers[layer].tiles[number]
    expected = np.zeros((8, 6))
    for read in reads:
        v = 0.3 * read[8:16]
        v_wordline, v_bitline, *_ = solve_circuit(tile.die.conductance, mapped.chip.wires, v)
        expected += v[:, None] - (v_wordline - v_bitline)
    ax = mp.ir_drop_map(mapped, layer, number, images=images[:2])
    values, rows, cols = drawn_map(ax)
    used = tile.n_lines
    assert rows == (0, 7) and cols == (0, used - 1)
    np.testing.assert_allclose(values, 1e3 * expected[:, :used] / len(reads), rtol=1e-6)
    mean = 300 * np.mean([read[8:16] for read in reads])
    assert f"average over the reads of 2 images: its wordlines at {mean:.3g} of 300 mV" in ax.get_title()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda t, m: mp.spike_raster(t, 2), "layer = 2: there are 2; give a number from 0 to 1"),
        (lambda t, m: mp.spike_raster(t, -1), "layer = -1: give a whole number from 0"),
        (lambda t, m: mp.spike_raster(t, 0, 7), "image = 7: there are 7; give a number from 0 to 6"),
        (lambda t, m: mp.membranes(t, 1.0), "layer = 1.0: give a whole number from 0"),
        (lambda t, m: mp.membranes(t, 1, [0, 3]), "neuron = 3: there are 3; give a number from 0 to 2"),
        (lambda t, m: mp.membranes(t, 1, []), "neurons is empty; give at least one number, or leave it out"),
        (lambda t, m: mp.membranes(t, image=9), "image = 9: there are 7; give a number from 0 to 6"),
        (lambda t, m: mp.ir_drop_map(m, 2), "layer = 2: there are 2; give a number from 0 to 1"),
        (lambda t, m: mp.ir_drop_map(m, 0, 6), "tile = 6: there are 6; give a number from 0 to 5"),
    ],
)
def test_numbers_that_nothing_has_are_refused(tiny, mapped, draw, message):
    with pytest.raises(xb.ParameterError) as error:
        draw(mp.trace(mapped, tiny[1]), mapped)
    assert str(error.value) == message and not plt.get_fignums()


def test_reads_that_are_no_circuit_have_no_ir_drop_map(tiny, chip):
    network, images = tiny
    mapped = mp.map_network(network, chip.replace(inactive="open"))
    assert drawn_map(mp.ir_drop_map(mapped))[0].min() > 0
    with pytest.raises(xb.ParameterError, match="inactive wordlines are open, .* leave images out"):
        mp.ir_drop_map(mapped, images=images)
    passive = mp.PassiveNeuron(capacitance="1 pF", energy_per_sample=0, energy_per_spike=0)
    with pytest.raises(xb.ParameterError, match="bitlines of passive neurons float"):
        mp.ir_drop_map(mp.map_network(network, chip.replace(neuron=passive)))
