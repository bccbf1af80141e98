"""Read noise: Gaussian, telegraph and flicker noise against the laws that they are said to follow."""

import numpy as np
import pytest
from scipy import stats

from tests.builders.devices import LARGE, LIKELY, make


def test_gaussian_read_noise_is_white():
    die = make(read_noise={"gaussian": {"lrs": 0.02, "hrs": 0.1}}).fabricate((500, 400), seed=1)
    die.program(np.arange(500)[:, None] % 2 * np.ones((500, 400)))
    first, second = (die.read(k) / die.conductance - 1 for k in (0, 1))
    for rows, spread in ((slice(1, None, 2), 0.02), (slice(0, None, 2), 0.1)):
        assert stats.kstest(first[rows].ravel(), stats.norm(0, spread).cdf).pvalue > LIKELY
        assert abs(np.corrcoef(first[rows].ravel(), second[rows].ravel())[0, 1]) < 4 / np.sqrt(1e5)
    np.testing.assert_array_equal(die.read(0), die.read(0))


def test_telegraph_noise_is_a_markov_process():
    trap = {"amplitude": 0.2, "share": 0.5, "tau_capture": 3e-3, "tau_emission": 1e-3}
    die = make(read_noise={"telegraph": trap}).fabricate(LARGE, seed=1)
    die.program(np.ones(LARGE))

    def levels():
        return np.round(die.conductance / 1e-5, 6)

    start = levels()
    trapped = start != 1
    assert trapped.mean() == pytest.approx(0.5, abs=4 * 0.5 / 400)
    assert set(np.unique(start)) == {0.85, 1.0, 1.05}  # 1 + 0.2 (q - s), q = 1/4
    die.advance(dt=2e-3)
    later = levels()
    keep = np.exp(-2e-3 * (1 / 3e-3 + 1 / 1e-3))
    filled = start[trapped] < 1
    n = np.count_nonzero(trapped)
    assert filled.mean() == pytest.approx(0.25, abs=4 * 0.43 / np.sqrt(n))
    assert np.mean(later[trapped][filled] < 1) == pytest.approx(0.25 + 0.75 * keep, abs=4 * 0.5 / np.sqrt(n / 4))
    assert np.mean(later[trapped][~filled] < 1) == pytest.approx(0.25 - 0.25 * keep, abs=4 * 0.4 / np.sqrt(n / 2))
    assert np.all(later[~trapped] == 1)


def test_telegraph_times_spread_over_decades():
    trap = {"amplitude": 0.2, "tau_capture": 1e-3, "tau_emission": 1e-3, "decades": 4}
    die = make(read_noise={"telegraph": trap}).fabricate(LARGE, seed=1)
    die.program(np.ones(LARGE))
    start = die.conductance < 1e-5
    die.advance(dt=1e-3)
    speed = 10 ** np.linspace(-2, 2, 2001)
    expected = np.mean(0.5 - 0.5 * np.exp(-2 * speed))
    assert np.mean((die.conductance < 1e-5) != start) == pytest.approx(expected, abs=4 * 0.5 / 400)


def test_flicker_noise_follows_one_over_f():
    """The averaged periodogram falls as 1/f inside the band, within 10 % of one line over more than a decade."""
    die = make(read_noise={"flicker": {"spread": 0.03, "f_low": 0.5, "f_high": 2e3}}).fabricate((64, 64), seed=1)
    die.program(np.ones((64, 64)))
    dt, trace = 1e-4, []
    for _ in range(1024):
        die.advance(dt=dt)
        trace.append(die.conductance.ravel() / 1e-5 - 1)
    trace = np.array(trace)
    assert trace.std() == pytest.approx(0.03, rel=0.03)
    assert stats.kstest(trace[-1], stats.norm(0, 0.03).cdf).pvalue > LIKELY
    power = np.mean(np.abs(np.fft.rfft(trace * np.hanning(1024)[:, None], axis=0)) ** 2, axis=1)
    f = np.fft.rfftfreq(1024, dt)
    level = (power * f)[(f > 30) & (f < 400)]
    assert np.all(np.abs(level / level.mean() - 1) < 0.1)


def test_flicker_noise_has_the_covariance_of_its_processes():
    flicker = {"spread": 0.1, "f_low": 1.0, "f_high": 1e3}
    die = make(read_noise={"flicker": flicker}).fabricate(LARGE, seed=1)
    die.program(np.ones(LARGE))
    start = die.conductance / 1e-5 - 1
    assert stats.kstest(start.ravel(), stats.norm(0, 0.1).cdf).pvalue > LIKELY
    die.advance(dt=3e-3)
    rates = 2 * np.pi * np.geomspace(1, 1e3, 7)
    expected = 0.01 * np.mean(np.exp(-3e-3 * rates))
    assert np.mean(start * (die.conductance / 1e-5 - 1)) == pytest.approx(expected, abs=4 * 0.01 / 400)


def test_slow_noise_in_one_step_or_in_many_has_one_law():
    trap = {"amplitude": 0.2, "tau_capture": 1e-3, "tau_emission": 2e-3}
    device = make(read_noise={"telegraph": trap})
    changed = []
    for steps in (1, 8):
        die = device.fabricate(LARGE, seed=1)
        die.program(np.ones(LARGE))
        start = die.conductance < 1e-5
        for _ in range(steps):
            die.advance(dt=1e-3 / steps)
        changed.append(np.mean(start != (die.conductance < 1e-5)))
    assert changed[0] == pytest.approx(changed[1], abs=4 * 0.5 / 400 * np.sqrt(2))
