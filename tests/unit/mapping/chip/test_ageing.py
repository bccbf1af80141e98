"""The chip's device in inference: dies, read noise, reads and time, and arrays solved again as they move."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy import stats

import mapping as mp
import xbarsim as xb
from mapping.activity import Activity
from mapping.ageing import Ageing, CellVoltages, wear
from mapping.bsnn.encode import encode
from mapping.engines import tensors as by_tensors
from mapping.engines.tensors import forward
from mapping.lower.placement import first_row, place
from mapping.periphery.ledger import Ledger
from mapping.periphery.neuron_circuit import DigitalNeuron
from mapping.tile import Tile
from tests.builders.devices import EVERYTHING
from tests.oracles import naive_circuits

WIRES = xb.Wires(r_wordline=20, r_bitline=20, r_driver=100, r_sense=50)
PUBLISHED = {"kind": "power-law"}


@pytest.fixture
def chip(chip):
    return chip.replace(wires=WIRES)


@pytest.fixture
def sar(chip):
    adc = mp.SarAdc(n_bits=12, f_sample=40e6, power=40e-6, columns_per_adc=2)
    return chip.replace(readout=adc, neuron=DigitalNeuron(energy_per_add=1e-13, energy_per_update=3.3e-12))


def mapped_on(network, chip, seed=0, die=0, **device):
    return mp.map_network(
        network, chip.replace(device=chip.device.replace(**device)), seed=seed, die=die, dtype=torch.float64
    )


def tiles_of(mapped):
    return [tile for layer in mapped.layers for tile in layer.tiles]


def layer_reads(mapped, images):
    """Return the reads of each layer, one for every image, step and position, (n, n_wordlines) and whether analog."""
    analog = np.asarray(images).ndim < 5
    x = encode(images, mapped.network.spec).astype(float)
    x = mapped.chip.driver.quantize(x) if analog else x
    for layer in mapped.layers:
        repeats = mapped.network.t_steps if analog else 1
        side = layer.layer.spec.kernel
        frames = x.reshape(-1, *layer.layer.in_shape)
        padded = np.pad(frames, ((0, 0), (0, 0), (side // 2,) * 2, (side // 2,) * 2))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(2, 3))
        yield layer, np.tile(np.moveaxis(windows, 1, 3).reshape(-1, layer.layer.weights.shape[1]), (repeats, 1)), analog
        x, analog = forward(layer, x, analog)[0], False


def array_voltages(tile, reads):
    """Return driver voltages of one array for reads of its layer, (n, n_wordlines)."""
    v = np.zeros((len(reads), tile.circuit.crossbar.n_rows))
    v[:, tile.circuit.rows[first_row(tile.patch, tile.chip) :]] = reads[:, tile.patch.rows] * tile.chip.device.v_read
    return v


def events(network, images, every=1):
    """Return spike arrays (n, t_steps, c, h, w), silent at all but every n-th time step."""
    spikes = np.random.default_rng(2).random((len(images), network.t_steps, *network.spec.input_shape)) < 0.3
    spikes[:, np.arange(network.t_steps) % every > 0] = False
    return spikes.astype(float)


# --- read noise -----------------------------------------------------------------------------------------------------


def test_devices_without_spread_are_the_ideal_chip(tiny, chip):
    network, images = tiny
    zero = {"d2d": 0.0, "c2c": 0.0, "read_noise": 0.0, "retention": xb.Retention(nu=0.0, t0=1.0), "read_disturb": None}
    mapped, plain = mapped_on(network, chip, **zero), mapped_on(network, chip)
    mapped.age(dt=1e9)
    for a, b in zip(mapped.spikes(images), plain.spikes(images)):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(mapped.layers[1].effective_weights, plain.layers[1].effective_weights)


@pytest.mark.compiled
@pytest.mark.parametrize("readout", ["charge", "bitline", "difference"])
def test_noise_of_the_membrane_current_is_that_of_solved_noisy_reads(tiny, chip, sar, readout):
    """Mean and variance of every output over 3000 draws against 400 solves of every array with noisy cells."""
    network, images = tiny
    network.spec = network.spec.model_copy(update={"t_steps": 3000})
    one = chip if readout == "charge" else sar.replace(readout__sense=readout)
    one = one.replace(wires=xb.Wires(r_wordline=5, r_bitline=5, r_driver=5, r_sense=5))
    mapped = mapped_on(network, one, read_noise=0.1)
    layer = mapped.layers[0]
    x = one.driver.quantize(encode(images[:1], network.spec)).astype(float)
    inputs = torch.from_numpy(x.astype(float))
    noise = by_tensors.noise_draws(layer, 3000, 1, 0)
    drawn = by_tensors.currents(layer, inputs, slice(0, 3000), noise, 1, Ledger())[:, 0].numpy()

    _, reads, _ = next(layer_reads(mapped, images[:1]))
    reads, n_out = reads[:36], len(layer.layer.weights)
    currents = np.zeros((400, 36, n_out))
    for row in layer.row_tiles:
        for tile in row.tiles:
            v = array_voltages(tile, reads)
            for k in range(400):
                g = tile.die.read(k)
                solution = xb.solve(xb.Crossbar(g, wires=one.wires), v)
                currents[k][:, tile.patch.outputs] += solution.i_bitline[:, : tile.n_lines] @ tile.decode.T
    currents /= one.unit_current
    # a read of another position is another draw: variances of the four positions of a pooling window add
    images_of = currents.reshape(400, 3, 2, 3, 2, n_out)
    mean, variance = images_of.mean((0, 2, 4)), images_of.var(0, ddof=1).mean((1, 3)) / 4
    mean, variance = (np.moveaxis(part, 2, 0) for part in (mean, variance))
    step = 0.02 if readout == "charge" else 0.05
    np.testing.assert_allclose(drawn.mean(0), mean, atol=4 * np.sqrt(variance.max() / 400) + step)
    assert drawn.var(0, ddof=1).sum() == pytest.approx(variance.sum(), rel=0.1)
    np.testing.assert_allclose(drawn.var(0, ddof=1), variance, rtol=0.35)


@pytest.mark.parametrize("digital", [False, True])
def test_noise_does_not_depend_on_batches(tiny, chip, sar, digital):
    network, images = tiny
    mapped = mapped_on(network, sar if digital else chip, read_noise=0.3)
    labels = np.arange(len(images)) % 3
    reports = [mapped.evaluate(images, labels, batch_size=size) for size in (1, 3, 100)]
    assert len({r.spike_rate for r in reports}) == 1
    quiet = mapped_on(network, sar if digital else chip).evaluate(images, labels)
    assert quiet.spike_rate != reports[0].spike_rate
    assert quiet.layers[0].energies["conversion"] == pytest.approx(
        reports[0].layers[0].energies["conversion"]
    )  # as many conversions, noisy or not


def test_a_constant_input_held_in_registers_is_noisy_once(tiny, sar):
    network, images = tiny
    mapped = mapped_on(network, sar.replace(constant_input="once"), read_noise=0.3)
    layer, x = mapped.layers[0], encode(images, network.spec).astype(float)
    current = by_tensors.currents(
        layer, torch.from_numpy(x), slice(0, 6), by_tensors.noise_draws(layer, 1, 7, 0), 1, Ledger()
    )
    assert len(current) == 1
    assert np.any(forward(layer, x, True)[0] != forward(mapped_on(network, sar).layers[0], x, True)[0])


# --- dies -----------------------------------------------------------------------------------------------------------


def test_dies_are_counted_and_do_not_depend_on_their_number(tiny, chip):
    network, images = tiny
    varied = chip.replace(device__d2d=0.5)
    labels = network.predict(images)
    three, two = (mp.evaluate_dies(network, varied, images, labels, n_dies=n, seed=4) for n in (3, 2))
    assert three.accuracies[:2] == two.accuracies and three.n_dies == 3
    assert three.accuracy == pytest.approx(np.mean(three.accuracies))
    assert three.accuracy_spread == pytest.approx(np.std(three.accuracies, ddof=1))
    alone = [mp.map_network(network, varied, seed=4, die=k).evaluate(images, labels) for k in range(3)]
    assert tuple(r.accuracy for r in alone) == three.accuracies
    assert three.energy_per_inference == pytest.approx(np.mean([r.energy_per_inference for r in alone]))
    assert three.layers[0].n_tiles == alone[0].layers[0].n_tiles and "over 3 dies" in str(three)
    assert alone[0].layers[0].ir_drop != alone[1].layers[0].ir_drop


def test_arrays_of_a_die_share_its_offset(tiny, chip):
    network, _ = tiny
    kept = [mapped_on(network, chip, die=k, d2d={"die_spread": 0.2}) for k in range(2)]
    for mapped in kept:
        scales = [layer.weights_kept for layer in mapped.layers]
        np.testing.assert_allclose(scales, scales[0], rtol=1e-12)
    assert abs(kept[0].layers[0].weights_kept - kept[1].layers[0].weights_kept) > 0.01


@pytest.mark.compiled
def test_memory_does_not_grow_with_dies(tiny, chip):
    network, images = tiny
    device = chip.device.replace(d2d=0.1, c2c=0.1, read_noise=0.1)
    large = chip.replace(device=device, rows=128, cols=64)  # beside which Python's own reserves do not count

    def peak(n_dies):
        tracemalloc.start()
        mp.evaluate_dies(network, large, images, np.zeros(7, int), n_dies=n_dies)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(1)
    assert peak(12) < 1.1 * peak(2)


def test_faults_are_in_the_arrays_and_in_the_report(tiny, chip):
    network, images = tiny
    faults = {
        "stuck_lrs": 0.05,
        "broken_wordlines": 0.1,
        "bridged_bitlines": 0.1,
        "bridged_wordlines": 0.1,
        "r_short": 50,
    }
    mapped = mapped_on(network, chip, faults=faults)
    report = mapped.evaluate(images, np.zeros(7, int))
    assert report.faulty_cells == sum(np.count_nonzero(t.die.faults) for t in tiles_of(mapped)) > 0
    assert "faulty cells" in str(report)
    larger = 0
    for tile in tiles_of(mapped):
        v = array_voltages(tile, np.eye(tile.patch.rows.stop)[-1:])
        solution = xb.solve(tile.circuit.crossbar, v[0])
        lines = tile.circuit.cols[: tile.n_lines]
        np.testing.assert_allclose(tile.transfer[:, -1] * 0.3, solution.i_bitline[lines], rtol=1e-7, atol=1e-15)
        larger += tile.circuit.crossbar.n_rows > chip.rows
    assert larger > 0


# --- reads and time -------------------------------------------------------------------------------------------------


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
    spikes, bits, start = (rng.random((120, 64)) < active).astype(float), tile.die._now.bits, tile.die.conductance
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
    assert np.all(tile.die.conductance[tile.die._now.bits] < 0.95e-5)
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


# --- solved again as they move --------------------------------------------------------------------------------------


def life(network, chip, images, tolerance, disturb):
    """Return currents into the neurons of the first layer, its weights at the end, and refreshes."""
    mapped = mapped_on(network, chip, read_disturb=disturb)
    layer, ageing = mapped.layers[0], Ageing(tolerance, 300.0, 0.0)
    x = encode(images, network.spec)
    flat = x.reshape(-1, *layer.layer.in_shape)
    inputs = torch.from_numpy(x).double()
    current = by_tensors.currents_while_ageing(layer, flat, inputs, False, False, ([], []), Ledger(), ageing)
    return current.numpy(), layer, ageing.refreshes


def test_refreshing_by_tolerance_agrees_with_refreshing_every_step(tiny, chip):
    """No cell is off by more than the tolerance, so no current by more than that share of its all-LRS current."""
    network, images = tiny
    spikes = events(network, images)
    fast = xb.PowerLawDisturb(t0=1e-9, c=0.03)  # moves within the reads of one batch
    exact, end, every = life(network, chip, spikes, 0.0, fast)
    frozen, _, never = life(network, chip, spikes, 10.0, fast)
    n_tiles, last = end.n_tiles, exact
    assert every == n_tiles * network.t_steps and never == 0
    active = torch.nn.functional.avg_pool2d(
        torch.nn.functional.conv2d(
            torch.from_numpy(encode(spikes, network.spec)).double().flatten(0, 1),
            torch.ones(1, 2, 3, 3).double(),
            padding=1,
        ),
        2,
    ).reshape(network.t_steps, len(spikes), 1, 3, 3)
    unit = chip.device.g_lrs / (chip.device.g_lrs - chip.device.g_hrs)
    errors = []
    for tolerance in (0.02, 0.1):
        current, _, refreshes = life(network, chip, spikes, tolerance, fast)
        assert 0 < refreshes < every
        allowed = 2 * tolerance * unit * active.numpy()  # a pair of bitlines
        assert np.all(np.abs(current - last) <= allowed + 1e-12)
        errors.append(np.abs(current - last).max())
    assert 0 < errors[0] < errors[1] < np.abs(frozen - last).max()


def test_ageing_meanwhile_is_reported_and_leaves_the_chip_as_it_was(tiny, chip):
    network, images = tiny
    mapped = mapped_on(network, chip, read_disturb=xb.PowerLawDisturb(t0=1e-9, c=0.03), read_noise=0.05)
    labels = np.zeros(7, int)
    before = [tile.die.conductance for tile in tiles_of(mapped)]
    plain = mapped.evaluate(images, labels)
    worn = mapped.evaluate(images, labels, refresh=0.01, batch_size=3)
    assert worn.refreshes > 0 and f"{worn.refreshes:.4g} per die, at 0.01 of the LRS" in str(worn)
    assert worn.spike_rate != plain.spike_rate and plain.refresh_tolerance is None
    for tile, g in zip(tiles_of(mapped), before):
        np.testing.assert_array_equal(tile.die.conductance, g)
    again = mapped.evaluate(images, labels)
    assert again == plain
    with pytest.raises(xb.ParameterError, match="refresh = -1"):
        mapped.evaluate(images, labels, refresh=-1.0)


def test_ageing_meanwhile_counts_the_reads_of_every_batch(tiny, chip):
    """Images of later batches drive wordlines that the first one did not."""
    network, images = tiny
    spikes = events(network, images)[:4]
    spikes[:2, :, 1] = spikes[2:, :, 0] = False
    expected = mapped_on(network, chip, read_disturb=PUBLISHED)
    expected.age(n_inferences=4, images=spikes)
    for size in (1, 2, 4):
        mapped = mapped_on(network, chip, read_disturb=PUBLISHED)
        counted = {}  # after each batch; afterwards the chip is as it was

        def look(_, mapped=mapped, counted=counted):
            counted.update({k: tile.die.reads.copy() for k, tile in enumerate(tiles_of(mapped))})

        mapped.evaluate(spikes, np.zeros(4, int), refresh=10.0, batch_size=size, progress=look)
        for k, tile in enumerate(tiles_of(expected)):
            np.testing.assert_allclose(counted[k], tile.die.reads, rtol=1e-9)


def test_energy_while_ageing_is_that_of_each_step(tiny, chip):
    """The arrays fade by retention from step to step; every step is charged as the arrays were when it was read."""
    network, images = tiny
    law = xb.Retention(nu=0.5, t0=1e-5)
    mapped = mapped_on(network, chip, retention=law)
    labels, n_reads = np.zeros(7, int), 7 * 36
    fresh = mapped.evaluate(images, labels).layers[0].energies["array"]
    worn = mapped.evaluate(images, labels, refresh=0.0).layers[0].energies["array"]
    step = np.arange(6) * n_reads * chip.device.t_read
    wireless = np.mean((1 + step / 1e-5) ** -0.5)  # of the arrays without wires; drops only soften it
    assert wireless < worn / fresh < 1.1 * wireless


def test_cells_cut_while_ageing_are_reported_and_forgotten(tiny, chip):
    network, images = tiny
    mapped = mapped_on(network, chip, retention=xb.Retention(nu=0.5, t0=1e-6), g_min=0.9e-6)
    labels = np.zeros(7, int)
    before = mapped.evaluate(images, labels)
    worn = mapped.evaluate(images, labels, refresh=0.01)
    assert before.truncated_cells == 0 and worn.truncated_cells > 100 and "cells cut" in str(worn)
    assert mapped.evaluate(images, labels) == before


def test_ageing_is_all_or_nothing(tiny, chip):
    network, images = tiny
    calls = []

    def law(ratio, v, t, lrs, temperature):
        calls.append(1)
        return ratio * (np.nan if len(calls) > 20 else 0.9)

    mapped = mapped_on(network, chip, read_disturb=xb.CustomDisturb(law=law))
    before = [tile.die.conductance for tile in tiles_of(mapped)]
    for values in ({"n_reads": 1, "images": images}, {"n_reads": 1e9, "dt": -1.0}):
        with pytest.raises(xb.ParameterError):
            mapped.age(**values)
        for tile, g in zip(tiles_of(mapped), before):
            np.testing.assert_array_equal(tile.die.conductance, g)
    assert len(calls) > 20
    fading = mapped_on(network, chip, retention=xb.Retention(nu=-100.0, t0=1e-9))
    with pytest.raises(xb.ParameterError, match="would grow exp"):
        fading.age(dt=1e9)  # fails when the arrays are solved again
    assert all(tile.die.time == 0 for tile in tiles_of(fading))
    assert fading.evaluate(images, np.zeros(7, int)).past == "fresh"


@pytest.mark.compiled
def test_networks_run_in_threads(tiny, chip):
    network, images = tiny
    with ThreadPoolExecutor(3) as pool:
        reports = list(
            pool.map(
                lambda k: mapped_on(network, chip, die=k, d2d=0.1, read_noise=0.1, read_disturb=PUBLISHED).evaluate(
                    images, np.zeros(7, int), refresh=0.1
                ),
                [0, 0, 0, 0],
            )
        )
    assert all(report == reports[0] for report in reports)


def test_empty_cells_leave_no_ir_drop(tiny, chip):
    network, images = tiny
    report = mapped_on(network, chip, faults={"stuck_lrs": 1.0}).evaluate(images, np.zeros(7, int))
    assert report.to_dict()["layers"][0]["ir_drop"] is None and "NaN" not in report.to_json()


def test_noise_beyond_the_physical_range_is_reported(tiny, chip):
    network, images = tiny
    report = mapped_on(network, chip, read_noise=0.5).evaluate(images, np.zeros(7, int))
    assert report.noise_beyond_range == pytest.approx(stats.norm.cdf(-2), rel=1e-6)
    assert "noise draws beyond" in str(report)
    assert mapped_on(network, chip, read_noise=0.05).evaluate(images, np.zeros(7, int)).noise_beyond_range < 1e-12


def test_an_array_without_a_path_is_named(tiny, chip):
    network, _ = tiny
    faults = {"broken_wordlines": [[3, 5]], "open_cells": [[3, 5]]}
    with pytest.raises(xb.ParameterError, match=r"paper-bsnn, die 2, layer 1, array \(0, 0\): wordline 3 has no path"):
        mapped_on(network, chip, die=2, faults=faults)


def test_everything_at_once_maps_and_ages(tiny, sar):
    network, images = tiny
    everything = EVERYTHING | {"faults": {"stuck_lrs": 0.02}}
    reports = []
    for _ in range(2):
        mapped = mapped_on(network, sar, **everything)
        mapped.age(n_reads=1e6, images=images, dt="1 h", temperature="85 C")
        reports.append(mapped.evaluate(images, np.zeros(7, int), refresh=0.05, temperature="85 C"))
    assert reports[0] == reports[1] and reports[0].past.startswith("1e+06 reads of each array and 1 h at 358.15 K")


def test_slow_noise_moves_on_while_arrays_age(tiny, chip):
    network, images = tiny
    trap = {"telegraph": {"amplitude": 0.5, "tau_capture": "1 us", "tau_emission": "1 us"}}
    mapped = mapped_on(network, chip, read_noise=trap)
    report = mapped.evaluate(images, np.zeros(7, int), refresh=0.01)
    assert report.refreshes == mapped.network.t_steps * len(tiles_of(mapped))


# --- counting -------------------------------------------------------------------------------------------------------


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
        (mp.Past(n_reads=1e6), None, "paper-bsnn: its device has no read_disturb law, so that reads change nothing"),
        (mp.Past(time=1.0), None, "paper-bsnn: its device has no retention law and no slow noise"),
        (mp.Past(temperature=350.0), None, "paper-bsnn: 350 K changes nothing"),
        (mp.Past(time=-1.0), None, "-1 s at 300 K"),
        (None, 0.1, "nothing about its device changes with reads or time"),
    ):
        with pytest.raises(xb.ParameterError, match=message):
            mp.evaluate_dies(network, chip, images, np.zeros(7, int), n_dies=1, past=past, refresh=refresh)
    with pytest.raises(xb.ParameterError, match="n_dies = 0"):
        mp.evaluate_dies(network, chip, images, np.zeros(7, int), n_dies=0)


def test_activity_levels_are_bin_centres():
    activity = Activity.of_levels(np.array([[0.0, 1.0], [0.5, 1 / 255]]))
    assert activity.levels[activity.counts[:, 0] > 0].tolist() == [31.5 / 64]
    assert activity.levels[activity.counts[:, 1] > 0].tolist() == [0.5 / 64, 63.5 / 64]


@pytest.mark.parametrize("misspelt", [{"kind": "power-lw"}, "power-lw"])
def test_a_kind_that_is_misspelt_in_a_chip_is_named(misspelt, chip):
    with pytest.raises(xb.ParameterError, match=r"Device\.read_disturb\.kind.*did you mean power-law\?"):
        chip.replace(device__read_disturb=misspelt)
