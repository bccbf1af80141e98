"""Dies of a chip: counted, apart, and with their faults."""

import tracemalloc

import numpy as np
import pytest

import mapping as mp
import xbarsim as xb
from tests.builders.ageing import WIRES, array_voltages, mapped_on, tiles_of


@pytest.fixture
def chip(chip):
    return chip.replace(wires=WIRES)


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
