"""Reads and time on a chip: what they do to its devices, and how they are counted."""

import numpy as np
import pytest

import mapping as mp
import xbarsim as xb
from mapping.chip.activity import Activity
from mapping.chip.ageing import CellVoltages, wear
from mapping.chip.array import Tile
from mapping.lower.placement import place
from tests.builders.ageing import PUBLISHED, WIRES, array_voltages, events, layer_reads, mapped_on, tiles_of
from tests.oracles import naive_circuits


@pytest.fixture
def chip(chip):
    return chip.replace(wires=WIRES)


@pytest.mark.parametrize("spikes", [False, True])
def test_ageing_by_a_law_linear_in_voltage_is_exact(tiny, chip, spikes):
    """Against a solve of every single read, summed over all reads of the images."""
    network, images = tiny
    law = xb.CustomDisturb(law=lambda ratio, v, t, lrs, temperature: ratio - 2e3 * v * t)
    images = events(network, images)[:2] if spikes else images[:2]
    mapped = mapped_on(network, chip, read_disturb=law)
    before = [tile.die.conductance for tile in tiles_of(mapped)]
    expected = []
    for layer, reads, _ in layer_reads(mapped, images):
        for tile in layer.tiles:
            solution = xb.solve(tile.circuit.crossbar, array_voltages(tile, reads), method="nodes")
            expected.append(1 - 2e3 * solution.v_cell.sum(0) * chip.device.t_read * 50)
    mapped.age(n_inferences=100, images=images)
    for tile, start, ratio in zip(tiles_of(mapped), before, expected):
        tolerance = 1e-9 if spikes else 2e-3 * np.abs(1 - ratio).max()  # analog levels are counted in 64 bins
        np.testing.assert_allclose(tile.die.conductance / start, ratio, rtol=0, atol=tolerance)
    assert np.abs(1 - expected[0]).max() > 1e-3


def test_ageing_by_the_published_law_is_close_to_every_read_solved(tiny, chip):
    """Average instead of single voltages: within 2 % of the largest change of the array."""
    network, images = tiny
    images = events(network, images)[:2]
    mapped = mapped_on(network, chip, read_disturb=PUBLISHED)
    layer, reads, _ = next(layer_reads(mapped, images))
    tile = layer.tiles[0]
    start = tile.die.conductance
    tile.die.program(np.round(start / start.max()))
    v = array_voltages(tile, reads)
    for _ in range(3):
        for v_cell in xb.solve(tile.circuit.crossbar, v, method="nodes").v_cell:
            tile.die.advance(v_cell, n_reads=1e5)
    exact = tile.die.conductance / start
    tile.die.program(np.round(start / start.max()))
    mapped.age(n_reads=3e5 * len(reads), images=images)
    change = 1 - exact
    assert change.max() > 0.05
    np.testing.assert_allclose(tile.die.conductance / start, exact, rtol=0, atol=0.02 * change.max())


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("wires", "share", "worst", "mean"),
    [((5, 5), (0.04, 0.06), 0.01, 0.002), ((20, 20), (0.14, 0.17), 0.04, 0.02), ((2, 1000), (0.2, 0.3), 0.12, 0.08)],
)
@pytest.mark.parametrize("active", [0.03, 0.1, 0.32])
def test_average_voltages_disturb_a_little_less_than_single_ones(chip, wires, share, worst, mean, active):
    """As far as the docstring of ``CellVoltages`` says, against every read solved; ``share`` is what wires take."""
    line, sense = wires
    wires = xb.Wires(r_wordline=line, r_bitline=line, r_driver=line, r_sense=sense)
    one = chip.replace(rows=64, cols=32, wires=wires, device__read_disturb=PUBLISHED)
    rng = np.random.default_rng(0)
    weights = rng.choice([-1, 1], (16, 64)).astype(np.int8)
    tile = Tile(weights, place(64, 16, one)[0][0], one, 0, 0, (0, 0, 0))
    assert share[0] < 1 - (tile.transfer * tile.cells).sum() / (tile.cells**2).sum() < share[1]
    spikes, bits, start = (rng.random((120, 64)) < active).astype(float), tile.die._now.states, tile.die.conductance
    v_cells = xb.solve(tile.circuit.crossbar, spikes * 0.3, method="nodes").v_cell
    for v_cell in [*v_cells, *v_cells]:
        tile.die.advance(v_cell, n_reads=4e5)
    exact = 1 - tile.die.conductance / start
    tile.die.program(bits)
    seen = Activity.of_spikes(float(len(spikes)), spikes.T @ spikes)
    wear(tile, CellVoltages.of(tile, seen), seen, 8e5, 300.0)
    missing = exact - (1 - tile.die.conductance / start)
    assert np.abs(missing).max() < worst * exact.max() and exact.max() > 0.01
    assert 0 < missing.sum() < mean * exact.sum()


def test_halving_the_spike_rate_halves_the_accumulated_read_time(tiny, chip):
    network, images = tiny
    counts, drops = [], []
    for every in (1, 2):
        mapped = mapped_on(network, chip, read_disturb=PUBLISHED)
        mapped.age(n_inferences=2e7, images=events(network, images, every))
        tile = mapped.layers[0].tiles[0]
        counts.append(tile.die.reads.copy())
        drops.append(tile.die.conductance.copy())
    spikes = events(network, images)
    kept = np.array([spikes[:, t].sum() for t in range(6)])
    assert counts[1].sum() / counts[0].sum() == pytest.approx(kept[::2].sum() / kept.sum(), rel=0.05)
    assert counts[1].sum() / counts[0].sum() == pytest.approx(0.5, abs=0.05)
    # the disturb follows its law: a cell's loss is that of its reads at the voltage that it saw
    fresh = mapped_on(network, chip, read_disturb=PUBLISHED)
    voltages = CellVoltages.of(fresh.layers[0].tiles[0], fresh._activities(events(network, images, 2))[0][0])
    law, checked = xb.PowerLawDisturb(), 0
    for i, j in np.argwhere((drops[1] > 2e-6) & (counts[1] > 0))[:40]:
        t, v = counts[1][i, j] * 25e-9, 0.3 * voltages.active[i, j]
        assert drops[1][i, j] == pytest.approx(1e-5 * naive_circuits.disturbed(law, [v], [t]), rel=1e-6)
        checked += 1
    assert checked > 5 and np.all(drops[1] >= drops[0] - 1e-12)


def test_reads_wear_the_rows_with_spikes(tiny, chip):
    """Spikes in the first input channel only: its rows move, the others by less than a millionth of that."""
    network, images = tiny
    mapped = mapped_on(network, chip, read_disturb=PUBLISHED)
    spikes = events(network, images)
    spikes[:, :, 1] = 0
    layer = mapped.layers[0]
    start = {tile: tile.die.conductance for tile in layer.tiles}
    mapped.age(n_inferences=1e6, images=spikes)
    for row in layer.row_tiles:
        inputs = np.arange(row.rows.start, row.rows.stop)
        for tile in row.tiles:
            loss = np.abs(tile.die.conductance / start[tile] - 1)
            used = loss[chip.rows - tile.patch.n_rows :]
            assert (
                used[inputs >= 9].max(initial=0) == 0
                and tile.die.reads[chip.rows - tile.patch.n_rows :][inputs >= 9].max(initial=0) == 0
            )
            if np.any(inputs < 9):
                assert used[inputs < 9].max() > 0.01
            assert loss[: chip.rows - tile.patch.n_rows].max(initial=0) == 0


def test_without_images_every_wordline_is_read_at_full_voltage(tiny, chip):
    network, _ = tiny
    mapped = mapped_on(network, chip, read_disturb=PUBLISHED)
    mapped.age(n_reads=1e8)
    tile = mapped.layers[0].tiles[0]
    assert np.all(tile.die.reads[chip.rows - tile.patch.n_rows :] == 1e8)
    assert np.all(tile.die.conductance[tile.die._now.states] < 0.95e-5)
    assert "1e+08 reads of each array" in str(mapped.evaluate(np.zeros((1, 2, 6, 6)), np.zeros(1, int)))


def test_time_at_a_temperature_scales_the_weights(tiny, chip):
    network, images = tiny
    law = xb.Retention(nu=0.05, t0=1.0, activation_energy=1.0)
    mapped = mapped_on(network, chip, retention=law)
    mapped.age(dt=86400.0, temperature=358.15)
    kept = (1 + 86400 * law.ageing(358.15)) ** -0.05
    assert mapped.layers[0].weights_kept == pytest.approx(kept, rel=1e-9)
    report = mapped.evaluate(images, np.zeros(7, int))
    assert "1 day at 358.15 K" in str(report) and report.to_dict()["past"] == report.past


@pytest.mark.parametrize("spikes", [False, True])
def test_activities_count_every_read(tiny, chip, spikes):
    network, images = tiny
    mapped = mapped_on(network, chip)
    images = events(network, images) if spikes else images
    activities = mapped._activities(images)
    for (layer, reads, analog), rows in zip(layer_reads(mapped, images), activities):
        for row, activity in zip(layer.row_tiles, rows):
            part = reads[:, row.rows]
            assert activity.n_reads == len(part)
            np.testing.assert_allclose(activity.total, part.sum(0), rtol=1e-6)
            np.testing.assert_allclose(activity.together, part.T @ part, rtol=1e-6)
            np.testing.assert_allclose(activity.beside, (part > 0).T.astype(float) @ part, rtol=1e-6)
            np.testing.assert_array_equal(activity.counts.sum(0), (part > 0).sum(0))
            assert len(activity.levels) == (64 if analog else 1)


def test_bad_ageing(tiny, chip):
    network, images = tiny
    mapped = mapped_on(network, chip)
    for values, message in (
        ({"n_reads": 1, "n_inferences": 1}, "give n_reads or n_inferences, not both"),
        ({"n_inferences": 1}, "n_inferences = 1 needs images"),
        ({"n_reads": -1}, "-1 reads or inferences"),
        ({"n_reads": "many"}, "number of reads or inferences: 'many' is no quantity"),
        ({"dt": -1.0}, "dt = -1 s"),
    ):
        with pytest.raises(xb.ParameterError, match=message):
            mapped.age(**values)
    for past, refresh, message in (
        (mp.History(n_reads=1e6), None, "paper-bsnn: its device has no read_disturb law, so that reads change nothing"),
        (mp.History(time=1.0), None, "paper-bsnn: its device has no retention law and no slow noise"),
        (mp.History(temperature=350.0), None, "paper-bsnn: 350 K changes nothing"),
        (mp.History(time=-1.0), None, "-1 s at 300 K"),
        (None, 0.1, "nothing about its device changes with reads or time"),
    ):
        with pytest.raises(xb.ParameterError, match=message):
            mp.evaluate_dies(network, chip, images, np.zeros(7, int), n_dies=1, history=past, refresh=refresh)
    with pytest.raises(xb.ParameterError, match="n_dies = 0"):
        mp.evaluate_dies(network, chip, images, np.zeros(7, int), n_dies=0)


def test_activity_levels_are_bin_centres():
    activity = Activity.of_levels(np.array([[0.0, 1.0], [0.5, 1 / 255]]))
    assert activity.levels[activity.counts[:, 0] > 0].tolist() == [31.5 / 64]
    assert activity.levels[activity.counts[:, 1] > 0].tolist() == [0.5 / 64, 63.5 / 64]
