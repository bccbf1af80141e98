"""Dies as drawn: the laws of variation, faults and noise, their streams, and the published devices."""

import multiprocessing
import tracemalloc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

import xbarsim as xb
from tests.oracles import naive_circuits
from xbarsim.kernels.variation import autoregress
from xbarsim.presets import load_preset
from xbarsim.streams import stream

PAPER = {"i_lrs": "3 uA", "v_read": "0.3 V", "on_off_ratio": 10, "t_read": "25 ns"}
LARGE = (400, 400)  # 1.6e5 cells
LIKELY = 1e-3  # p value that a right sampler misses once in a thousand seeds; seeds are fixed
EVERYTHING = {
    "d2d": {"spread": {"lrs": 0.1, "hrs": 0.3}, "correlation_length": 4, "die_spread": 0.05, "state_correlation": 0.5},
    "c2c": {"spread": 0.05, "write_verify": {"tolerance": 0.1, "max_pulses": 5}},
    "read_noise": {
        "gaussian": 0.02,
        "telegraph": {"amplitude": 0.1, "share": 0.3, "tau_capture": "1 ms", "tau_emission": "2 ms"},
        "flicker": {"spread": 0.02, "f_low": "1 Hz", "f_high": "1 MHz"},
    },
    "faults": {"stuck_lrs": 0.02, "stuck_hrs": 0.01, "open_cells": 0.01, "broken_wordlines": 0.1, "r_short": "10 Ohm"},
    "retention": {"nu": 0.05, "nu_spread": 0.01, "t0": "20 s", "activation_energy": "1 eV"},
    "read_disturb": {"kind": "power-law", "activation_energy": "0.8 eV"},
}


def make(**values):
    return xb.Device(**(PAPER | values))


def program(bits, shape=LARGE, seed=1, **values):
    device = make(**values)
    return device.fabricate(shape, seed=seed).program(np.full(shape, bits)) / (device.g_lrs if bits else device.g_hrs)


def log_parameters(spread):
    sigma = np.sqrt(np.log1p(spread**2))
    return (-(sigma**2) / 2, sigma)


# --- laws -----------------------------------------------------------------------------------------------------------


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


# --- write-verify ---------------------------------------------------------------------------------------------------


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


# --- faults ---------------------------------------------------------------------------------------------------------


def test_cell_faults_by_probability():
    p = {"stuck_lrs": 0.02, "stuck_hrs": 0.03, "open_cells": 0.01, "shorted_cells": 0.005}
    device = make(faults=p | {"r_short": 50}, d2d=0.1, c2c=0.2)
    die = device.fabricate(LARGE, seed=4)
    counts = np.bincount(die.faults.ravel(), minlength=5)
    assert stats.chisquare(counts, np.array([1 - sum(p.values()), *p.values()]) * die.faults.size).pvalue > LIKELY
    zeros, ones = die.program(np.zeros(LARGE)), die.program(np.ones(LARGE))
    assert np.all(ones[die.faults == 3] == 0) and np.all(ones[die.faults == 4] == 1 / 50)
    for code in (1, 2):
        np.testing.assert_array_equal(zeros[die.faults == code], ones[die.faults == code])
    assert zeros[die.faults == 1].mean() == pytest.approx(1e-5, rel=0.02)
    assert ones[die.faults == 2].mean() == pytest.approx(1e-6, rel=0.02)
    assert np.all(ones[die.faults == 0] > 3e-6)
    np.testing.assert_array_equal(die.faults, device.fabricate(LARGE, seed=4).faults)


def test_faults_by_map(tmp_path):
    mask = np.zeros((4, 5), bool)
    mask[1, 2] = mask[3, 0] = True
    np.savetxt(tmp_path / "map.csv", mask.astype(int), fmt="%d", delimiter=",")
    for places in (mask, mask.astype(int), tmp_path / "map.csv", str(tmp_path / "map.csv"), [[1, 2], [3, 0]]):
        die = make(faults={"open_cells": places}).fabricate((4, 5), seed=0)
        np.testing.assert_array_equal(die.program(np.ones((4, 5))) == 0, mask)
    with pytest.raises(xb.ParameterError, match=r"cell \[1, 2\] does not exist .* below \[2, 2\]"):
        make(faults={"open_cells": mask}).fabricate((2, 2), seed=0)


def test_a_map_of_two_columns_is_no_list_of_pairs():
    die = make(faults={"open_cells": np.array([[1, 0], [0, 0]]), "stuck_hrs": []}).fabricate((2, 2), seed=0)
    np.testing.assert_array_equal(die.program(np.ones((2, 2))) == 0, [[True, False], [False, False]])


WIRES = xb.Wires(r_wordline=50, r_bitline=70, r_driver=30, r_sense=40)


@pytest.mark.parametrize("both", [False, True])
def test_broken_lines_equal_nodal_analysis(both):
    wires = WIRES.replace(drive_both_ends=both, sense_both_ends=both)
    lines = {"broken_wordlines": [[1, 2], [4, 0]], "broken_bitlines": [[0, 5], [3, 1]]}
    die = make(faults=lines, d2d=0.3).fabricate((6, 4), seed=0)
    g = die.program(np.eye(6, 4))
    cut = wires.replace(
        r_wordline=np.full((6, 3), 50.0),
        r_bitline=np.full((5, 4), 70.0),
        r_driver=np.full(6, 30.0),
        r_sense=np.full(4, 40.0),
    )
    arrays = {name: getattr(cut, name).copy() for name in ("r_wordline", "r_bitline", "r_driver", "r_sense")}
    arrays["r_wordline"][1, 1] = arrays["r_driver"][4] = np.inf  # just before cell 2 of wordline 1; before cell 0
    arrays["r_sense"][0] = arrays["r_bitline"][1, 3] = np.inf  # after cell 5 of bitline 0; after cell 1 of bitline 3
    v = np.linspace(0.1, 0.3, 6)
    *_, i_bitline = naive_circuits.solve_circuit(g, cut.replace(**arrays), v)
    circuit = die.circuit(wires)
    assert circuit.crossbar.g.shape == (6, 4)
    np.testing.assert_allclose(
        xb.solve(circuit.crossbar, v).i_bitline, i_bitline, rtol=1e-9, atol=1e-9 * i_bitline.max()
    )


@pytest.mark.parametrize("both", [False, True])
def test_bridged_lines_equal_nodal_analysis(both):
    wires = WIRES.replace(drive_both_ends=both, sense_both_ends=both)
    lines = {"bridged_wordlines": [[0, 3], [4, 1], [2, 3]], "bridged_bitlines": [[0, 0], [2, 5], [1, 3]], "r_short": 20}
    die = make(faults=lines | {"broken_bitlines": [[1, 2]]}, d2d=0.3).fabricate((6, 4), seed=0)
    g = die.program(np.eye(6, 4))
    bitline = np.full((5, 4), 70.0)
    bitline[2, 1] = np.inf
    bridges = [("wordline", (i, j), (i + 1, j), 20.0) for i, j in lines["bridged_wordlines"]]
    bridges += [("bitline", (i, j), (i, j + 1), 20.0) for j, i in lines["bridged_bitlines"]]
    v = np.linspace(0.1, 0.3, 6)
    v_w, v_b, *_ = naive_circuits.solve_circuit(g, wires.replace(r_bitline=bitline), v, bridges=bridges)
    circuit = die.circuit(wires)
    assert circuit.crossbar.g.shape == (9, 7)
    driven = np.zeros(9)
    driven[circuit.rows] = v
    solution = xb.solve(circuit.crossbar, driven)
    there = np.ix_(circuit.rows, circuit.cols)
    np.testing.assert_allclose(solution.v_wordline[there], v_w, rtol=0, atol=1e-10)
    np.testing.assert_allclose(solution.v_bitline[there], v_b, rtol=0, atol=1e-10)
    i_sense = v_b[-1] / 40 + (v_b[0] / 40 if both else 0)
    np.testing.assert_allclose(solution.i_bitline[circuit.cols], i_sense, rtol=1e-9)
    ports = xb.reduce(circuit.crossbar)
    np.testing.assert_allclose(ports.i_bitline(driven)[circuit.cols], i_sense, rtol=1e-8)
    with pytest.raises(xb.ParameterError, match="cells are Sinh; bridged lines and shorted cells need"):
        die.circuit(wires, xb.Sinh(v_char=0.3))


@pytest.mark.parametrize("block", range(5))
def test_random_line_faults_equal_nodal_analysis(block):
    """Arrays down to one line, resistances down to 0, several faults on one line: 20 circuits that have a path."""
    rng, solved = np.random.default_rng(block), 0
    while solved < 20:
        m, n = (int(k) for k in rng.integers(1, 5, 2))

        def some(lines, positions, share):
            return [[a, int(rng.integers(positions))] for a in range(lines) if rng.random() < share]

        faults = {
            "broken_wordlines": some(m, n, 0.2),
            "broken_bitlines": some(n, m, 0.2),
            "bridged_wordlines": some(m - 1, n, 0.5),
            "bridged_bitlines": some(n - 1, m, 0.5),
        }
        r = [float(rng.choice([0, 1, 50])) for _ in range(4)]
        shapes = ((m, n - 1), (m - 1, n), (m,), (n,))
        wordline, bitline, driver, sense = (np.full(shape, value) for shape, value in zip(shapes, r))
        for line, at in faults["broken_wordlines"]:
            (driver if at == 0 else wordline[:, at - 1])[line] = np.inf
        for line, at in faults["broken_bitlines"]:
            (sense if at == m - 1 else bitline[at])[line] = np.inf
        bridges = [("wordline", (i, j), (i + 1, j), 1e3) for i, j in faults["bridged_wordlines"]]
        bridges += [("bitline", (i, j), (i, j + 1), 1e3) for j, i in faults["bridged_bitlines"]]
        both, v = bool(rng.random() < 0.3), rng.uniform(0, 0.3, m)
        wires = xb.Wires(**dict(zip(("r_wordline", "r_bitline", "r_driver", "r_sense"), r)), drive_both_ends=both)
        cut = wires.replace(r_wordline=wordline, r_bitline=bitline, r_driver=driver, r_sense=sense)
        die = make(faults=faults | {"r_short": 1e3}, d2d=0.5).fabricate((m, n), seed=solved)
        g = die.program(rng.integers(0, 2, (m, n)))
        try:
            v_w, v_b, *_ = naive_circuits.solve_circuit(g, cut, v, bridges=bridges)
        except np.linalg.LinAlgError:  # a piece without any path, which solve() refuses too
            continue
        circuit = die.circuit(wires)
        driven = np.zeros(circuit.crossbar.n_rows)
        driven[circuit.rows] = v
        solution, there = xb.solve(circuit.crossbar, driven), np.ix_(circuit.rows, circuit.cols)
        np.testing.assert_allclose(solution.v_wordline[there], v_w, rtol=0, atol=1e-9)
        np.testing.assert_allclose(solution.v_bitline[there], v_b, rtol=0, atol=1e-9)
        solved += 1


def test_line_faults_by_probability():
    faults = {"broken_wordlines": 0.1, "broken_bitlines": 0.2, "bridged_bitlines": 0.05, "r_short": 10}
    device, found = make(faults=faults), np.zeros(3)
    positions = []
    for k in range(400):
        lines = device.fabricate((30, 20), seed=2, key=(k,))._lines
        found += [len(lines.broken_wordlines), len(lines.broken_bitlines), len(lines.bridged_bitlines)]
        positions += [at for _, at in lines.broken_wordlines]
    expected = 400 * np.array([30 * 0.1, 20 * 0.2, 19 * 0.05])
    assert np.all(np.abs(found - expected) < 4 * np.sqrt(expected))
    assert stats.chisquare(np.bincount(positions, minlength=20)).pvalue > LIKELY


# --- the physical range ---------------------------------------------------------------------------------------------


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


# --- read noise -----------------------------------------------------------------------------------------------------


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


# --- streams --------------------------------------------------------------------------------------------------------


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


# --- published devices and bad input --------------------------------------------------------------------------------


def leaves(table, path=""):
    for name, value in table.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, dict):
            yield from leaves(value, here)
        elif not (isinstance(value, str) and value in ("normal", "lognormal", "power-law")):
            yield here


@pytest.mark.parametrize("name", xb.list_devices())
def test_every_number_of_a_published_device_is_cited(name):
    preset = load_preset(name)
    assert set(leaves(preset.device)) == set(preset.cite) and all(preset.cite.values())
    assert preset.paper and preset.seen_in and preset.kind
    missing = {"v_read": "0.2 V", "t_read": "10 ns"}
    device = xb.load_device(name, **{k: v for k, v in missing.items() if k not in preset.device})
    die = device.fabricate((20, 20), seed=0)
    assert np.all(die.program(np.eye(20)) >= 0)
    die.advance(dt=3600.0)
    assert np.all(np.isfinite(die.conductance))


def test_published_devices_are_of_different_kinds():
    kinds = " ".join(load_preset(name).kind for name in xb.list_devices())
    for kind in ("filamentary RRAM", "foundry RRAM", "phase-change", "ferroelectric", "MRAM", "of the paper"):
        assert kind in kinds


def test_presets_are_completed_and_changed():
    assert xb.load_device("paper") == xb.Device(preset="paper") == make()
    assert make().replace(i_lrs="6 uA").g_lrs == pytest.approx(2e-5) and make(read_disturb="power-law").read_disturb
    assert xb.load_device("paper", g_lrs=2e-5).g_lrs == 2e-5 and xb.load_device("paper", d2d=0.1).d2d.spread.lrs == 0.1
    pcm = xb.load_device("pcm-ibm", v_read=0.2, read_noise={"gaussian": 0.1})
    assert pcm.read_noise.gaussian.lrs == 0.1 and pcm.read_noise.flicker.spread.lrs == 0.0335
    with pytest.raises(xb.ParameterError, match=r"device 'tpu' is unknown; give one of cmo-hfox-ibm, fefet-hzo, paper"):
        xb.load_device("tpu")
    with pytest.raises(xb.FileError, match="none.toml"):
        xb.load_device("none.toml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"c2c": -0.1}, r"Device\.c2c\.spread\.lrs = -0\.1"),
        ({"on_off_ratio": 0.5}, r"Device\.on_off_ratio = 0\.5: input should be greater than 1"),
        ({"faults": {"stuck_lrs": 1.5}}, r"Device\.faults\.stuck_lrs: 1\.5: a probability lies in \[0, 1\]"),
        ({"faults": {"stuck_lrs": 0.6, "open_cells": 0.5}}, r"probabilities of cell faults add up to 1\.1"),
        ({"faults": {"stuck_lrs": [[1, 2, 3]]}}, "give a probability, a map of 0 and 1"),
        ({"faults": {"shorted_cells": 0.1}}, r"faults\.r_short is missing"),
        (
            {"read_noise": {"telegraph": {"amplitude": 0.1, "share": 1.1, "tau_capture": 1, "tau_emission": 1}}},
            r"share = 1\.1",
        ),
        (
            {"read_noise": {"flicker": {"spread": 0.1, "f_low": 10, "f_high": 1}}},
            "f_high = 1 Hz is not above f_low = 10 Hz",
        ),
        ({"d2d": {"correlation_length": -1}}, r"d2d\.correlation_length = -1"),
        ({"d2d": True}, r"d2d = True: input should be a valid dictionary"),
        ({"d2d": {"samples_lrs": 1e-5}}, r"d2d\.samples_lrs: give measured conductances"),
        ({"i_lrs": "abc"}, r"Device\.i_lrs: 'abc' is no quantity"),
        ({"v_read": -1}, r"Device\.v_read = -1: give a voltage above 0 V"),
        ({"d2d": {"samples_lrs": [1e-6, -1e-6]}}, r"d2d\.samples_lrs: the array holds -1e-06 S"),
        ({"d2d": {"law": "weibull"}}, r"d2d\.law = 'weibull': input should be 'lognormal' or 'normal'"),
        ({"c2c": {"write_verify": {"tolerance": 0, "max_pulses": 3}}}, r"c2c\.write_verify\.tolerance = 0"),
        ({"g_max": "5 uS"}, r"the states, 1e-06 and 1e-05 S, do not lie between g_min = 0 and g_max = 5e-06 S"),
        (
            {"read_disturb": {"kind": "power-law", "n_cycles": 1e6}},
            r"n_cycles = 1e\+06: the law ends at 7\.7e\+04 cycles",
        ),
        (
            {"read_disturb": {"kind": "table", "points": [[1, 1]], "v_measured": 1, "v_char": 1}},
            r"points: the shape is \(1, 2\)",
        ),
    ],
)
def test_bad_parameters(change, message):
    with pytest.raises(xb.ParameterError, match=message) as error:
        make(**change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["power-law", "table", "custom"])
def test_a_kind_that_is_misspelt_is_named(kind, tmp_path):
    """Any of its letters left out, by every way to give it; and the word ``kind`` itself."""
    path = tmp_path / "device.toml"
    start = 'i_lrs = "3 uA"\nv_read = "0.3 V"\non_off_ratio = 10\n'
    wrong = [(kind[:k] + kind[k + 1 :], "kind") for k in range(len(kind))]
    wrong += [(kind, word) for word in ("knd", "kin", "Kind", "kinds")]
    for name, word in wrong:
        path.write_text(f'{start}[read_disturb]\n{word} = "{name}"\n')
        ways = [
            lambda word=word, name=name: make(read_disturb={word: name}),
            lambda: xb.load_device(path),
            lambda word=word, name=name: make().replace(read_disturb={word: name}),
        ]
        if word == "kind":
            ways.append(lambda name=name: make(read_disturb=name))
        meant = f"did you mean {kind if word == 'kind' else 'kind'}?"
        for way in ways:
            with pytest.raises(xb.ParameterError) as error:
                way()
            text = str(error.value)
            assert "Device.read_disturb.kind" in text and meant in text and "\n" not in text
            assert "give one of power-law, table, custom" in text


def test_the_kind_is_no_part_of_a_place():
    with pytest.raises(xb.ParameterError, match=r"^Device\.read_disturb\.c = -1: input should be greater than 0"):
        make(read_disturb={"kind": "power-law", "c": -1})
    with pytest.raises(xb.ParameterError, match=r"^Device\.read_disturb = 5: input should be a valid dictionary"):
        make(read_disturb=5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1e-6\nfast\n", r"row 2, column 1: 'fast' is no quantity"),
        ("1e-6\n-2e-6\n", r"holds -2e-06 S; conductances are finite and not negative"),
        ("", "is empty"),
    ],
)
def test_bad_sample_files(tmp_path, text, message):
    path = tmp_path / "samples.csv"
    path.write_text(text)
    with pytest.raises(xb.XbarsimError, match=message):
        make(d2d={"samples_hrs": path})
    with pytest.raises(xb.FileError, match="No such file"):
        make(d2d={"samples_hrs": tmp_path / "none.csv"})
