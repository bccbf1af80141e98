"""Dies as drawn: the laws of variation, write and verify, and the range that conductances are cut to."""

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

import xbarsim as xb
from tests.builders.devices import LARGE, LIKELY, make
from xbarsim.kernels.variation import autoregress
from xbarsim.streams import stream


def program(bits, shape=LARGE, seed=1, **values):
    device = make(**values)
    return device.fabricate(shape, seed=seed).program(np.full(shape, bits)) / (device.g_lrs if bits else device.g_hrs)


def log_parameters(spread):
    sigma = np.sqrt(np.log1p(spread**2))
    return (-(sigma**2) / 2, sigma)


@pytest.mark.parametrize("kind", ["d2d", "c2c"])
@pytest.mark.parametrize(("bits", "spread"), [(1, 0.1), (0, 0.3)])
def test_lognormal_spread_has_mean_one(kind, bits, spread):
    factor = program(bits, **{kind: {"spread": {"lrs": 0.1, "hrs": 0.3}}}).ravel()
    assert stats.kstest(np.log(factor), stats.norm(*log_parameters(spread)).cdf).pvalue > LIKELY
    assert factor.mean() == pytest.approx(1, abs=4 * spread / 400)
    assert factor.std() == pytest.approx(spread, rel=0.02)


@pytest.mark.parametrize("kind", ["d2d", "c2c"])
def test_normal_spread(kind):
    factor = program(1, **{kind: {"law": "normal", "spread": 0.1}}).ravel()
    assert stats.kstest(factor, stats.norm(1, 0.1).cdf).pvalue > LIKELY
    assert factor.std() == pytest.approx(0.1, rel=0.01)


def test_a_number_is_the_spread_of_both_states():
    assert make(d2d=0.1) == make(d2d={"spread": {"lrs": 0.1, "hrs": 0.1}})
    assert make(c2c=0.1).c2c.spread.hrs == make(read_noise=0.1).read_noise.gaussian.lrs == 0.1


def test_measured_samples_are_resampled(tmp_path):
    sample = np.random.default_rng(3).lognormal(np.log(9e-6), 0.2, 500)
    path = tmp_path / "lrs.csv"
    path.write_text("\n".join(f"{g * 1e6:.6f} uS" for g in sample))
    (tmp_path / "device.toml").write_text(
        'i_lrs = "3 uA"\nv_read = "0.3 V"\non_off_ratio = 10\nt_read = "25 ns"\n[d2d]\nsamples_lrs = "lrs.csv"\n'
    )
    device = xb.load_device(tmp_path / "device.toml")  # a path is relative to the file that it stands in
    g = device.fabricate(LARGE, seed=2).program(np.ones(LARGE)).ravel()
    values, counts = np.unique(g, return_counts=True)
    np.testing.assert_allclose(values, np.unique(np.round(sample * 1e6, 6)) * 1e-6, rtol=1e-12)
    assert stats.chisquare(counts, np.full(500, g.size / 500)).pvalue > LIKELY  # each value equally likely
    assert np.all(device.fabricate((9, 9), seed=2).program(np.zeros((9, 9))) == device.g_hrs)  # HRS was not measured
    from_array = make(d2d={"samples_lrs": device.d2d.samples_lrs})
    np.testing.assert_array_equal(from_array.fabricate(LARGE, seed=2).program(np.ones(LARGE)).ravel(), g)
    shifted = make(d2d={"samples_lrs": device.d2d.samples_lrs, "die_spread": 0.3}).fabricate(LARGE, seed=2)
    ratio = shifted.program(np.ones(LARGE)).ravel() / g
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)
    assert abs(ratio[0] - 1) > 0.01


@pytest.mark.parametrize("length", [2.0, 10.0])
def test_correlation_falls_with_distance(length):
    """Correlation exp(-(|di| + |dj|) / L), the same at the edge as inside, and normal marginals."""
    z = np.array(
        [np.log(program(1, (40, 30), seed, d2d={"spread": 0.1, "correlation_length": length})) for seed in range(3000)]
    )
    z = (z - log_parameters(0.1)[0]) / log_parameters(0.1)[1]
    assert stats.kstest(z[:, 39, 29], "norm").pvalue > LIKELY and stats.kstest(z[:, 0, 0], "norm").pvalue > LIKELY
    for a, b in (((0, 0), (0, 3)), ((20, 10), (25, 10)), ((39, 29), (36, 27)), ((5, 20), (5, 0)), ((2, 9), (8, 5))):
        expected = np.exp(-(abs(a[0] - b[0]) + abs(a[1] - b[1])) / length)
        assert np.mean(z[:, *a] * z[:, *b]) == pytest.approx(expected, abs=4 * np.sqrt((1 + expected**2) / 3000))


def test_correlated_draws_equal_a_library_filter():
    z = np.random.default_rng(0).standard_normal((30, 20))
    a, b, expected = 0.8, 0.6, z.copy()
    for axis in (0, 1):
        first = np.take(expected, [0], axis)
        expected, _ = lfilter([b], [1, -a], expected, axis=axis, zi=(1 - b) * first)
    autoregress(z, a, b)
    np.testing.assert_allclose(z, expected, rtol=0, atol=1e-14)


def test_correlated_draws_have_exactly_their_covariance():
    """The recursion is linear: what it makes of unit vectors gives its covariance, and normal laws stay normal."""
    length, shape = 3.0, (5, 4)
    matrix = np.empty((20, 20))
    for k, unit in enumerate(np.eye(20)):
        field = unit.reshape(shape).copy()
        autoregress(field, np.exp(-1 / length), np.sqrt(1 - np.exp(-2 / length)))
        matrix[:, k] = field.ravel()
    at = np.argwhere(np.ones(shape))
    distance = np.abs(at[:, None] - at[None]).sum(-1)
    np.testing.assert_allclose(matrix @ matrix.T, np.exp(-distance / length), rtol=0, atol=1e-14)


@pytest.mark.parametrize("rho", [1.0, 0.5, 0.0, -1.0])
def test_correlation_of_the_states_of_a_cell(rho):
    die = make(d2d={"spread": 0.1, "state_correlation": rho}).fabricate(LARGE, seed=5)
    low, high = np.log(die.program(np.ones(LARGE))), np.log(die.program(np.zeros(LARGE)))
    assert np.corrcoef(low.ravel(), high.ravel())[0, 1] == pytest.approx(rho, abs=4 / 400)
    assert stats.kstest(high.ravel() - np.log(1e-6), stats.norm(*log_parameters(0.1)).cdf).pvalue > LIKELY


def test_dies_have_an_offset_in_common():
    device = make(d2d={"die_spread": 0.2})
    offsets = []
    for die in range(200):
        arrays = [device.fabricate((2, 3), seed=1, die=die, key=(k,)).program(np.eye(2, 3)) for k in range(2)]
        assert len({*np.round(np.concatenate([a[a > 3e-6] for a in arrays]), 15)}) == 1
        assert arrays[0][0, 1] * 10 == pytest.approx(arrays[0][0, 0])
        offsets.append(arrays[0][0, 0] / 1e-5)
    many = [device.d2d.offset(1, die) for die in range(100_000)]
    np.testing.assert_allclose(offsets, many[:200], rtol=1e-12)
    assert stats.kstest(np.log(many), stats.norm(*log_parameters(0.2)).cdf).pvalue > LIKELY


def test_writes_are_drawn_anew_and_repeat_by_seed():
    die = make(d2d=0.1, c2c=0.1).fabricate((50, 50), seed=1)
    one, two = die.program(np.ones((50, 50))), die.program(np.ones((50, 50)))
    assert np.corrcoef(np.log(one).ravel(), np.log(two).ravel())[0, 1] == pytest.approx(0.5, abs=0.08)  # D2D stays
    np.testing.assert_array_equal(die.program(np.ones((50, 50)), seed=9), die.program(np.ones((50, 50)), seed=9))


def test_write_verify_without_d2d_is_a_geometric_law():
    device = make(c2c={"law": "normal", "spread": 0.1, "write_verify": {"tolerance": 0.05, "max_pulses": 6}})
    die = device.fabricate(LARGE, seed=3)
    g = die.program(np.ones(LARGE)) / device.g_lrs
    p = stats.norm.cdf(0.5) - stats.norm.cdf(-0.5)
    expected = np.array([p * (1 - p) ** k for k in range(5)] + [(1 - p) ** 5])
    counts = np.bincount(die.pulses.ravel(), minlength=7)[1:]
    assert stats.chisquare(counts, expected * g.size).pvalue > LIKELY
    inside = np.abs(g - 1) <= 0.05
    assert np.mean(~inside) == pytest.approx((1 - p) ** 6, rel=0.1)
    truncated = stats.truncnorm(-0.5, 0.5, 1, 0.1)
    assert stats.kstest(g[inside], truncated.cdf).pvalue > LIKELY


def test_write_verify_corrects_d2d_but_not_stuck_cells():
    faults = {"stuck_hrs": [[0, 0], [3, 4]]}
    verify = {"spread": 0.02, "write_verify": {"tolerance": 0.05, "max_pulses": 20}}
    die = make(d2d=0.5, c2c=verify, faults=faults).fabricate((60, 60), seed=3)
    g = die.program(np.ones((60, 60))) / 1e-5
    wrong = np.abs(g - 1) > 0.05
    assert np.argwhere(wrong).tolist() == [[0, 0], [3, 4]]
    assert np.all(die.pulses[wrong] == 20) and 1 < die.pulses[~wrong].mean() < 2.2
    blind = make(d2d=0.5, c2c=0.02).fabricate((60, 60), seed=3)
    assert np.std(blind.program(np.ones((60, 60))) / 1e-5) > 0.4 and np.all(blind.pulses == 1)


def test_conductances_beyond_the_physical_range_are_cut_and_counted():
    device = make(d2d={"law": "normal", "spread": 0.6}, g_min=0.5e-6, g_max=2e-5)
    die = device.fabricate(LARGE, seed=1)
    g = die.program(np.ones(LARGE))
    z = stream(1, "d2d", 0).standard_normal(LARGE)
    raw = 1e-5 * (1 + 0.6 * z)
    np.testing.assert_allclose(g, np.clip(raw, 0.5e-6, 2e-5), rtol=1e-14)
    assert die.truncated == np.count_nonzero((raw < 0.5e-6) | (raw > 2e-5)) > 5000
    assert f"{die.truncated} cells cut" in repr(die)


def test_cuts_are_counted_where_they_last():
    verify = {"spread": 0.01, "write_verify": {"tolerance": 0.1, "max_pulses": 20}}
    corrected = make(d2d={"law": "normal", "spread": 0.6}, c2c=verify, g_max=2e-5).fabricate((100, 100), seed=1)
    corrected.program(np.ones((100, 100)))
    assert corrected.truncated == 0  # verified cells are no longer where their first pulse brought them
    drifting = make(retention={"nu": 0.5, "t0": 1.0}, g_min="0.9 uS").fabricate((4, 4), seed=0)
    drifting.program(np.eye(4))
    fresh = drifting.snapshot()
    drifting.advance(dt=1e9)
    assert "16 cells cut" in repr(drifting) and drifting.truncated == 16
    drifting.restore(fresh)
    assert drifting.truncated == 0
    noisy = make(read_noise=0.5).fabricate(LARGE, seed=1)
    noisy.program(np.ones(LARGE))
    cut = np.count_nonzero(noisy.read(0) == 0)
    assert noisy.truncated_reads == cut > 0 and noisy.truncated == 0
    assert noisy.read(0).min() == 0 and noisy.truncated_reads == 2 * cut
