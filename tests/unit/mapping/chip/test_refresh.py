"""Arrays solved again as their devices move."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import mapping as mp
import xbarsim as xb
from mapping.chip.ageing import Ageing
from mapping.chip.periphery.neuron_circuit import DigitalNeuron
from mapping.networks.encode import encode
from tests.builders.ageing import PUBLISHED, WIRES, events, mapped_on, tiles_of
from tests.builders.devices import EVERYTHING
from tests.builders.layers import currents_of_ageing


@pytest.fixture
def chip(chip):
    return chip.replace(wires=WIRES)


@pytest.fixture
def sar(chip):
    adc = mp.SarAdc(n_bits=12, f_sample=40e6, power=40e-6, columns_per_adc=2)
    return chip.replace(readout=adc, neuron=DigitalNeuron(energy_per_add=1e-13, energy_per_update=3.3e-12))


def life(network, chip, images, tolerance, disturb):
    """Return currents into the neurons of the first layer, its weights at the end, and refreshes."""
    mapped = mapped_on(network, chip, read_disturb=disturb)
    layer, ageing = mapped.layers[0], Ageing(tolerance, 300.0, 0.0)
    current = currents_of_ageing(layer, encode(images, network.spec), ageing)
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
