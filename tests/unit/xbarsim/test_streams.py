"""Streams of random numbers: one for each purpose, whoever draws, in whatever order."""

import multiprocessing
import tracemalloc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from tests.builders.devices import EVERYTHING, LARGE, make
from xbarsim.streams import stream


def life(key):
    """Return everything that a die with all kinds of variation draws."""
    die = make(**EVERYTHING).fabricate((32, 16), seed=7, key=(key,))
    bits = np.random.default_rng(0).integers(0, 2, (32, 16))
    parts = [die.faults, die.program(bits), die.program(bits), die.pulses, die.program(bits, seed=1), die.read(3)]
    written = die.program(bits)
    die.advance(np.full((32, 16), 0.3), n_reads=1e7, dt=1e4, temperature=350.0)
    faulty = die.faults > 0
    assert np.all(die.conductance[faulty] == written[faulty])  # neither time nor reads nor noise move them
    assert np.all(die.read(4)[faulty] == written[faulty]) and np.all(die.conductance[~faulty] != written[~faulty])
    return [*parts, die.conductance, die.read(4)]


@pytest.mark.compiled
def test_draws_do_not_depend_on_workers_or_order():
    alone = [life(k) for k in range(6)]
    with ThreadPoolExecutor(3) as pool:
        threads = list(pool.map(life, reversed(range(6))))[::-1]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        processes = list(pool.map(life, range(6), chunksize=2))
    for others in (threads, processes):
        for mine, theirs in zip(alone, others):
            for a, b in zip(mine, theirs):
                np.testing.assert_array_equal(a, b)
    for one, other in zip(alone[0], alone[1]):
        assert not np.array_equal(one, other)


def test_each_kind_of_draw_tells_arrays_writes_and_reads_apart():
    bits, slow = np.ones((20, 20)), {"flicker": {"spread": 0.1, "f_low": 1, "f_high": 10}}
    for values in (
        {"d2d": 0.1},
        {"c2c": 0.1},
        {"faults": {"stuck_hrs": 0.3}},
        {"read_noise": 0.1},
        {"read_noise": slow},
        {"retention": {"nu": 0.1, "nu_spread": 0.1, "t0": 1.0}},
    ):
        seen = []
        for die_number, key in ((0, ()), (0, (0,)), (1, ()), (1, (0,)), (0, (1,)), (0, (1 << 32,)), (0, (0, 1))):
            die = make(**values).fabricate((20, 20), seed=3, die=die_number, key=key)
            die.program(bits)
            die.advance(dt=1.0)
            seen.append(die.read(0))
        for k, one in enumerate(seen):
            assert not any(np.array_equal(one, other) for other in seen[:k])
    die = make(c2c=0.1, read_noise=slow).fabricate((20, 20), seed=3)
    writes = [die.program(bits, seed=k) for k in (0, 1, None, None, None)]
    for k, one in enumerate(writes):
        assert not any(np.array_equal(one, other) for other in writes[:k])
    before = die.conductance / writes[-1]
    assert not np.array_equal(before, die.conductance / die.program(bits))


def test_traps_stay_where_they_are():
    trap = {"amplitude": 0.2, "share": 0.3, "tau_capture": 1e-3, "tau_emission": 1e-3, "decades": 2}
    die = make(read_noise={"telegraph": trap}).fabricate(LARGE, seed=1)
    where = []
    for _ in range(2):
        die.program(np.ones(LARGE))
        where.append(np.abs(die.conductance / 1e-5 - 1) > 1e-6)
    np.testing.assert_array_equal(*where)


def test_every_purpose_has_a_stream_of_its_own():
    """Adding one kind of variation changes none of the draws of another."""
    bits = np.ones((40, 40))
    plain = make(d2d=0.1).fabricate((40, 40), seed=3).program(bits)
    device = make(
        d2d=0.1, faults={"stuck_hrs": 0.1}, retention={"nu": 0.1, "nu_spread": 0.1, "t0": 1.0}, read_noise=0.1
    )
    more = device.fabricate((40, 40), seed=3)
    more.program(bits)
    healthy = more.faults == 0
    np.testing.assert_array_equal(more.conductance[healthy], plain[healthy])


def test_zero_spread_and_drift_is_exactly_the_ideal_device():
    bits = np.random.default_rng(0).integers(0, 2, (30, 20))
    zero = {
        "d2d": {"spread": 0.0, "correlation_length": 5},
        "c2c": {"spread": 0.0, "write_verify": {"tolerance": 0.1, "max_pulses": 3}},
        "read_noise": {
            "gaussian": 0.0,
            "telegraph": {"amplitude": 0.0, "tau_capture": 1.0, "tau_emission": 1.0},
            "flicker": {"spread": 0.0, "f_low": 1.0, "f_high": 10.0},
        },
        "faults": {"stuck_lrs": 0.0},
        "retention": {"nu": 0.0, "t0": 1.0},
        "read_disturb": {"kind": "custom", "law": lambda ratio, v, t, lrs, temperature: ratio},
    }
    die = make(**zero).fabricate((30, 20), seed=3)
    ideal = np.where(bits == 1, 1e-5, 1e-6)
    np.testing.assert_array_equal(die.program(bits), np.where(bits == 1, make().g_lrs, make().g_hrs))
    die.advance(np.full((30, 20), 0.3), n_reads=1e9, dt=1e9)
    np.testing.assert_array_equal(die.conductance, die.program(bits))
    np.testing.assert_array_equal(die.read(0), die.conductance)
    np.testing.assert_allclose(die.conductance, ideal, rtol=1e-15)
    assert die.truncated == 0 and np.all(die.pulses == 1)


@pytest.mark.compiled
def test_memory_does_not_grow_with_the_number_of_trials():
    device, bits = make(**EVERYTHING), np.ones((64, 64))

    def peak(trials):
        tracemalloc.start()
        total = sum(device.program(bits, seed=k).mean() for k in range(trials))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total > 0
        return used

    peak(2)
    assert peak(60) < 1.1 * peak(5)


def test_streams_are_keyed_not_ordered():
    one = stream(7, "d2d", 1, 2).random(4)
    stream(7, "d2d", 1, 3).random(9)
    np.testing.assert_array_equal(one, stream(7, "d2d", 1, 2).random(4))
    assert not np.array_equal(one, stream(7, "c2c", 1, 2).random(4))
