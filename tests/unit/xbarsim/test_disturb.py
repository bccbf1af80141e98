"""Dies in use: retention, read disturb by what each cell saw, snapshots; output noise without a solve per read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xbarsim as xb
from tests.oracles import naive_circuits
from tests.unit.xbarsim.test_variation import EVERYTHING, WIRES, make
from xbarsim.drift import BOLTZMANN
from xbarsim.kernels.disturb import power_law, ratios
from xbarsim.kernels.elementary import expm1, log1p

PUBLISHED = xb.PowerLawDisturb()


def programmed(bits, seed=0, **values):
    die = make(**values).fabricate(np.shape(bits), seed=seed)
    die.program(bits)
    return die


# --- retention ------------------------------------------------------------------------------------------------------


def test_ageing_beyond_numbers_is_refused():
    die = programmed(np.ones((1, 1)), retention={"nu": 0.1, "t0": 1.0, "activation_energy": 50.0})
    with pytest.raises(xb.ParameterError, match="temperature = 1000 K: with an activation energy of 50 eV"):
        die.advance(dt=1.0, temperature=1000.0)
    die.advance(dt=0.0, temperature=1000.0)
    die.advance(dt="1 day", temperature="300 K")
    assert die.time == 86400.0 and die.conductance[0, 0] == pytest.approx(1e-5 * 86401**-0.1)


def test_retention_is_a_power_law_in_time():
    die = programmed(np.eye(3), retention={"nu": {"lrs": 0.05, "hrs": -0.02}, "t0": "20 s"})
    start = die.conductance
    die.advance(dt=1980.0)
    die.advance(dt=200_000.0 - 2000.0)
    expected = np.where(np.eye(3) == 1, (1e4) ** -0.05, (1e4) ** 0.02)  # (t + t0) / t0 = 1e4
    np.testing.assert_allclose(die.conductance / start, expected, rtol=1e-12)
    assert die.time == 199_980.0


def test_growth_beyond_numbers_is_refused():
    """(1 + 1e9)^50 = exp(50 x 20.7) times a conductance is none; nor is it cut, whatever the physical range."""
    for more in ({}, {"g_max": "1 mS"}):
        die = programmed(np.ones((1, 1)), retention={"nu": -50.0, "t0": 1.0}, **more)
        with pytest.raises(xb.ParameterError, match=r"dt = 1e\+09 s: with a drift exponent of -50 .* exp\(1.04e\+03\)"):
            die.advance(dt=1e9)
        assert die.time == 0 and die.conductance[0, 0] == make().g_lrs
        die.advance(dt=1.0)
        assert die.conductance[0, 0] == (1e-3 if more else pytest.approx(1e-5 * 2.0**50, rel=1e-12))


@settings(deadline=None, max_examples=60)
@given(nu=st.floats(-1e300, 1e300), t0=st.floats(1e-300, 1e300), dt=st.floats(0, 1e300), steps=st.integers(1, 3))
def test_any_drift_is_a_number_or_refused(nu, t0, dt, steps):
    die = programmed(np.eye(2), retention={"nu": {"lrs": nu, "hrs": 0.1}, "t0": t0})
    try:
        for _ in range(steps):
            die.advance(dt=dt)
    except xb.ParameterError as error:
        assert "\n" not in str(error) and len(str(error)) <= 200
    assert np.isfinite(die.conductance).all() and np.all(die.conductance >= 0)


def test_every_device_has_its_own_exponent():
    die = programmed(np.ones((300, 300)), retention={"nu": 0.05, "nu_spread": 0.01, "t0": 1.0})
    start, exponents = die.conductance, []
    for time in (9.0, 990.0):
        die.advance(dt=time)
        nu = -np.log(die.conductance / start) / np.log1p(die.time)
        assert nu.mean() == pytest.approx(0.05, abs=4 * 0.01 / 300) and nu.std() == pytest.approx(0.01, rel=0.02)
        exponents.append(nu)
    np.testing.assert_allclose(*exponents, rtol=1e-9)


def test_temperature_ages_by_arrhenius():
    law = {"nu": 0.1, "t0": 1.0, "activation_energy": "1.1 eV", "t_ref": "25 C"}
    hot, cold = (programmed(np.ones((1, 1)), retention=law) for _ in range(2))
    hot.advance(dt=3600.0, temperature=398.15)
    faster = np.exp(1.1 / BOLTZMANN * (1 / 298.15 - 1 / 398.15))
    assert faster > 1e4
    cold.advance(dt=3600.0 * faster, temperature=298.15)
    assert hot.conductance[0, 0] == pytest.approx(cold.conductance[0, 0], rel=1e-12)
    assert hot.time == 3600.0


# --- read disturb ---------------------------------------------------------------------------------------------------


def test_elementary_functions_are_exact_to_rounding():
    x = np.concatenate([np.linspace(-3, 3, 101), np.linspace(-690, 690, 101), [0.0, 1e-300, -1e-17]])
    for value in x:
        assert expm1(value) == pytest.approx(np.expm1(value), rel=1e-15, abs=0)
    for value in np.concatenate([10.0 ** np.linspace(-30, 300, 200), np.linspace(0.1, 5, 100), [0.0]]):
        assert log1p(value) == pytest.approx(np.log1p(value), rel=1e-15, abs=0)


@settings(deadline=None, max_examples=200)
@given(
    reads=st.lists(st.tuples(st.floats(-0.6, 0.6), st.floats(0, 10).map(lambda x: 10**x)), min_size=1, max_size=6),
    cycles=st.floats(0, 3e4),
)
def test_disturb_kernel_equals_the_published_law(reads, cycles):
    law = PUBLISHED.replace(n_cycles=cycles)
    state = law.start(1)
    for v, n in reads:
        law.advance(state, np.ones(1, bool), np.array([v]), np.array([n * 25e-9]), 300.0)
    v, n = zip(*reads)
    expected = naive_circuits.disturbed(law, v, 25e-9 * np.array(n))
    assert law.ratio(state, np.ones(1, bool))[0] == pytest.approx(expected, rel=1e-7)


def test_published_values():
    """At 0.3 V the onset is 40 ms and a second leaves 92.5 %; at 0.2 V the onset is 102 s; 0.5 V: 51 % after 1 s."""
    v = np.array([0.2, 0.2, 0.3, 0.3, 0.5])
    time = np.array([99.0, 110.0, 0.039, 1.0, 1.0])
    (share, fallen), ratio = np.zeros((2, 5)), np.empty(5)
    power_law(v, time, 0.0068, 0.11 / (BOLTZMANN * 300), np.log(1.43339), 1.55e-8, share, fallen)
    ratios(fallen, ratio)
    assert share[2] == pytest.approx(0.039 / 0.0401, rel=0.01) and share[1] == 1
    assert ratio[0] == ratio[2] == 1 and 0.99 < ratio[1] < 1
    assert ratio[3] == pytest.approx(0.925, abs=2e-3) and ratio[4] == pytest.approx(0.514, abs=5e-3)


def test_many_small_reads_add_up_like_one_large():
    one, many = PUBLISHED.start(1), PUBLISHED.start(1)
    v, lrs = np.array([0.31]), np.ones(1, bool)
    PUBLISHED.advance(one, lrs, v, np.array([1.0]), 300.0)
    for _ in range(20_000):
        PUBLISHED.advance(many, lrs, v, np.array([1 / 20_000]), 300.0)
    assert many[1, 0] == pytest.approx(one[1, 0], rel=1e-10) and one[1, 0] > 0.05


def test_reads_move_low_resistance_cells_and_stop_at_their_hrs():
    bits = np.array([[1, 0, 1, 1]])
    die = programmed(bits, read_disturb=PUBLISHED, d2d=0.2, faults={"stuck_lrs": [[0, 3]]})
    start = die.conductance
    v = np.array([[0.3, 0.3, -0.3, 0.3]])
    die.advance(v, n_reads=4e7)
    ratio = die.conductance / start
    np.testing.assert_allclose(ratio[0, [0, 2]], naive_circuits.disturbed(PUBLISHED, [0.3], [1.0]), rtol=1e-9)
    assert ratio[0, 1] == ratio[0, 3] == 1  # in HRS, and stuck
    np.testing.assert_array_equal(die.reads, np.full((1, 4), 4e7))
    die.advance(v * 3, n_reads=1e12)
    assert die.conductance[0, 0] == pytest.approx(die.program(np.zeros((1, 4)), seed=1)[0, 0], rel=1e-12)


def test_cells_that_reads_emptied_drift_like_their_neighbours():
    law = xb.Retention(nu={"lrs": 0.2, "hrs": 0.1}, t0=1.0)
    die = programmed(np.array([[1, 0]]), read_disturb=PUBLISHED, retention=law)
    die.advance(np.full((1, 2), 5.0))
    die.advance(dt=1e4)
    assert die.conductance[0, 0] == pytest.approx(die.conductance[0, 1], rel=1e-12) == pytest.approx(1e-6 * 10001**-0.1)


def test_a_write_sets_back_what_reads_did():
    die = programmed(np.ones((2, 2)), read_disturb=PUBLISHED, retention={"nu": 0.1, "t0": 1.0})
    start = die.conductance
    die.advance(np.full((2, 2), 0.4), n_reads=1e9, dt=1e5)
    assert np.all(die.conductance < 0.7 * start)
    die.program(np.ones((2, 2)))
    np.testing.assert_array_equal(die.conductance, start)
    assert die.time == 0 and die.reads.max() == 0


def test_destructive_read_out_is_the_limit_of_a_steep_law():
    """One pulse at v_read empties the cells of the active row; those of silent rows stay."""
    steep = PUBLISHED.replace(a=1.5)
    die = programmed(np.ones((4, 3)), read_disturb=steep)
    v = np.zeros(4)
    v[1] = 0.3
    solution = xb.solve(die.circuit(WIRES).crossbar, v)
    die.advance(solution.v_cell, n_reads=1)
    np.testing.assert_allclose(die.conductance[1], 1e-6, rtol=1e-12)
    np.testing.assert_array_equal(die.conductance[[0, 2, 3]], np.full((3, 3), make().g_lrs))


def test_silent_rows_see_little_and_drift_orders_of_magnitude_less():
    """The default array with 6 of 256 rows active: solved voltages, and what 1e8 reads do."""
    bits = np.random.default_rng(0).integers(0, 2, (256, 64))
    die = programmed(bits, read_disturb=PUBLISHED)
    wires = xb.Wires(r_wordline=1, r_bitline=1, r_driver=1, r_sense=1)
    v, active = np.zeros(256), np.arange(0, 256, 45)
    v[active] = 0.3
    v_cell = xb.solve(die.circuit(wires).crossbar, v).v_cell
    silent = np.setdiff1d(np.arange(256), active)
    assert np.abs(v_cell[silent]).max() < 0.01 * 0.3 and np.median(v_cell[silent]) < 0  # small, and reversed
    assert v_cell[active].min() > 0.98 * 0.3
    start = die.conductance
    die.advance(v_cell, n_reads=1e8)
    loss = 1 - die.conductance / start
    lrs = bits == 1
    assert loss[active][lrs[active]].min() > 0.05 and np.all(loss[silent] == 0)
    assert np.all(die.reads[active] == 1e8) and np.all(die.reads[silent] == 0)
    # the stress that the die counted is n t_read / t_onset at the voltage that each cell saw, silent ones included
    p = PUBLISHED.c * np.exp(PUBLISHED.a * np.abs(v_cell) / (BOLTZMANN * 300))
    stress = 1e8 * 25e-9 / (PUBLISHED.t0 * PUBLISHED.onset ** (1 / p))
    share, counted = die._now.moved[0], stress.reshape(-1)[die._now.moving]
    np.testing.assert_allclose(share, np.minimum(counted, 1), rtol=1e-9)
    assert stress[active].min() > 1e15 * stress[silent].max() > 0


def test_low_voltages_disturb_too_if_they_last():
    """No cell sees half of v_read, none counts as read, and the law still holds, before the onset to every digit."""
    law = PUBLISHED.replace(activation_energy=0.8)
    faster = np.exp(0.8 / BOLTZMANN * (1 / 300 - 1 / 350))
    for v in (0.02, 0.05, 0.1, 0.149):
        die = programmed(np.ones((2, 2)), read_disturb=law)
        p = PUBLISHED.c * np.exp(PUBLISHED.a * v / (BOLTZMANN * 300))
        onset = PUBLISHED.t0 * PUBLISHED.onset ** (1 / p)
        for _ in range(3):
            die.advance(np.full((2, 2), v), n_reads=0.5 * onset / faster / 25e-9, temperature=350.0)
        expected = naive_circuits.disturbed(PUBLISHED, [v], [1.5 * onset])
        np.testing.assert_allclose(die.conductance, 1e-5 * expected, rtol=1e-9)
        assert np.all(die.conductance < 1e-5 * (1 - 1e-3)) and die.reads.max() == 0


def test_drop_in_the_wires_lowers_the_disturb():
    die = programmed(np.ones((64, 32)), read_disturb=PUBLISHED)
    v_cell = xb.solve(
        die.circuit(xb.Wires(r_wordline=20, r_bitline=20, r_driver=20, r_sense=20)).crossbar, np.full(64, 0.3)
    ).v_cell
    die.advance(v_cell, n_reads=1e8)
    order = np.argsort(v_cell.ravel())
    assert np.all(np.diff(die.conductance.ravel()[order]) <= 1e-12 * 1e-5)
    assert die.conductance.max() > 1.02 * die.conductance.min()


def test_disturb_as_measured(tmp_path):
    points = np.array([[1.0, 0.9, 1.1], [10.0, 0.8, 1.2], [1000.0, 0.5, 1.3]])
    path = tmp_path / "disturb.csv"
    np.savetxt(path, points, delimiter=",")
    law = {"kind": "table", "points": path, "v_measured": "0.3 V", "v_char": "50 mV"}
    die = programmed(np.array([[1, 0]]), read_disturb=law)
    start = die.conductance

    def after(v, seconds):
        die.program(np.array([[1, 0]]))
        die.advance(np.full((1, 2), v), n_reads=seconds / 25e-9)
        return (die.conductance / start)[0]

    np.testing.assert_allclose(after(0.3, 0.5), [0.95, 1.05], rtol=1e-12)
    np.testing.assert_allclose(after(0.3, 10.0), [0.8, 1.2], rtol=1e-12)
    np.testing.assert_allclose(after(-0.3, 100.0), [0.65, 1.25], rtol=1e-12)
    np.testing.assert_allclose(after(0.3, 1e5), [0.5, 1.3], rtol=1e-12)
    slower = np.sinh(0.2 / 0.05) / np.sinh(0.3 / 0.05)
    np.testing.assert_allclose(after(0.2, 10.0 / slower), [0.8, 1.2], rtol=1e-12)
    steep = programmed(np.eye(2), read_disturb=law | {"v_char": "1 mV"})
    steep.advance([[1.2, 0.3], [0.3, 0.3]], n_reads=[[0, 1], [1, 1]])
    assert np.all(np.isfinite(steep.conductance)) and steep.conductance[0, 0] == make().g_lrs
    path.write_text("1,0.9,1.1\n0.5,0.8,1.2\n")
    with pytest.raises(xb.ParameterError, match=r"times must be above 0 s and rise"):
        make(read_disturb=law)


BODY = "\n1,0.9,1.1\n10,0.8,1.2\n"


@pytest.mark.parametrize(
    ("heading", "unit"),
    [
        ("t,LRS,HRS", 1.0),
        ("t (s),LRS,HRS", 1.0),
        ("t (ms),LRS,HRS", 1e-3),
        ("t / us,LRS / LRS0,HRS", 1e-6),
        ("t (min),LRS,HRS", None),
        ("t [h],LRS,HRS", None),
        ("t (ms),LRS (uS),HRS (uS)", None),
        ("t,LRS (s),HRS", None),
        ("t,LRS (min),HRS", None),
        ("t (h),LRS (h),HRS", None),
        ("t (V),LRS,HRS", None),
        ("t (moons),LRS,HRS", None),
    ],
)
def test_measured_disturb_has_times_and_plain_ratios(tmp_path, heading, unit):
    path = tmp_path / "disturb.csv"
    path.write_text(heading + BODY)
    law = {"kind": "table", "points": path, "v_measured": "0.3 V", "v_char": "50 mV"}
    if unit is None:
        with pytest.raises(xb.XbarsimError) as error:
            make(read_disturb=law)
        assert "\n" not in str(error.value) and "disturb.csv" in str(error.value)
    else:
        points = make(read_disturb=law).read_disturb.points
        np.testing.assert_allclose(points, [[unit, 0.9, 1.1], [10 * unit, 0.8, 1.2]], rtol=1e-12)


def test_measured_disturb_with_units_beside_its_numbers(tmp_path):
    path = tmp_path / "disturb.csv"
    law = {"kind": "table", "points": path, "v_measured": "0.3 V", "v_char": "50 mV"}
    path.write_text("t,LRS,HRS\n1 ms,0.9,1.1\n20 ms,0.8,1.2\n")
    np.testing.assert_allclose(make(read_disturb=law).read_disturb.points[:, 0], [1e-3, 20e-3], rtol=1e-12)
    for text in ("t (min),LRS,HRS\n1 s,0.9,1.1\n", "t,LRS,HRS\n1,0.9 uS,1.1\n", "t,LRS,HRS\n1 V,0.9,1.1\n"):
        path.write_text(text)
        with pytest.raises(xb.XbarsimError, match=r"disturb\.csv"):
            make(read_disturb=law)


@settings(deadline=None, max_examples=100)
@given(
    cycles=st.floats(0, 1e308), k=st.sampled_from([0.0, 1e-300, 0.003, 1e300]), m=st.floats(1e-300, 1e300),
    onset=st.floats(1.01, 1e300),
)  # fmt: skip
def test_wear_is_a_number_or_refused(cycles, k, m, onset):
    """Without wear, k = 0, any number of cycles will do."""
    try:
        law = xb.PowerLawDisturb(n_cycles=cycles, k_cycles=k, m_cycles=m, onset=onset)
    except xb.ParameterError as error:
        assert k > 0 and "PowerLawDisturb.n_cycles" in str(error) and "\n" not in str(error)
        return
    state = law.start(1)
    law.advance(state, np.ones(1, bool), np.array([0.3]), np.array([1.0]), 300.0)
    assert 0 <= law.ratio(state, np.ones(1, bool))[0] <= 1
    assert k > 0 or law._worn == onset


def test_disturb_by_a_function():
    def law(ratio, v, t, lrs, temperature):
        return ratio - 1e3 * t * v**2 * lrs * temperature / 300

    die = programmed(np.array([[1, 0]]), read_disturb=xb.CustomDisturb(law=law))
    die.advance(np.array([[0.2, 0.2]]), n_reads=[[100, 100]], temperature=600.0)
    np.testing.assert_allclose(die.conductance, [[1e-5 * (1 - 1e3 * 2.5e-6 * 0.04 * 2), 1e-6]], rtol=1e-12)
    for bad in (lambda *_: np.nan, lambda ratio, *_: ratio * np.inf, lambda *_: None):
        with pytest.raises(xb.ParameterError, match="CustomDisturb.law returned"):
            programmed(np.eye(2), read_disturb=xb.CustomDisturb(law=bad)).advance(np.zeros((2, 2)))


# --- snapshots, errors ----------------------------------------------------------------------------------------------


def test_restored_dies_live_the_same_life_again():
    die = programmed(np.random.default_rng(0).integers(0, 2, (12, 9)), **EVERYTHING)
    v = np.random.default_rng(1).uniform(0, 0.4, (12, 9))
    die.advance(v, n_reads=1e6, dt=1e-3)
    kept = die.snapshot()
    before = die.conductance.copy()

    def live():
        die.advance(v, n_reads=1e8, dt=1e-3, temperature=350.0)
        die.advance(dt=2e-3)
        return die.conductance, die.reads.copy(), die.time, die.read(5)

    first = live()
    die.restore(kept)
    np.testing.assert_array_equal(die.conductance, before)
    for a, b in zip(first, live()):
        np.testing.assert_array_equal(a, b)
    die.program(np.zeros((12, 9)))  # a snapshot from before a write still fits
    die.restore(kept)
    for a, b in zip(first, live()):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(xb.ParameterError, match="is of another die; restore what"):
        programmed(np.eye(2)).restore(kept)


def test_what_a_die_refuses():
    blank = make().fabricate((2, 2), seed=0)
    assert repr(blank) == "Die(2 x 2, blank)"
    for use in (lambda: blank.conductance, lambda: blank.advance(dt=1.0), blank.snapshot):
        with pytest.raises(xb.ParameterError, match="the die is blank; program it first"):
            use()
    die = programmed(np.eye(2))
    for values, message in (
        ({"dt": -1.0}, "dt = -1 s"),
        ({"dt": 1.0, "temperature": 0.0}, "temperature = 0 K"),
        ({"v_cell": np.zeros((3, 2))}, r"v_cell has the shape \(3, 2\); the die has \(2, 2\)"),
        ({"v_cell": np.full((2, 2), np.nan)}, r"v_cell\[0, 0\] = nan"),
        ({"v_cell": np.zeros((2, 2)), "n_reads": -1}, "n_reads = -1"),
        ({"n_reads": 5}, "n_reads = 5: reads need v_cell"),
        ({"dt": "soon"}, "dt: 'soon' is no quantity"),
        ({"dt": np.nan}, "dt = nan: give a finite number with the unit s"),
        ({"v_cell": np.zeros((2, 2)), "n_reads": np.ones(3)}, r"n_reads has the shape \(3,\)"),
    ):
        with pytest.raises(xb.ParameterError, match=message):
            die.advance(**values)
    for shape in ((0, 3), 5, (2.5, 3), None):
        with pytest.raises(xb.ParameterError, match=r"shape = .*: give \(n_rows, n_cols\), both above 0"):
            make().fabricate(shape, seed=0)
    for keys in ({"seed": 1.5}, {"seed": 0, "die": -1}, {"seed": 0, "key": ("a",)}, {"seed": 0, "key": 5}):
        with pytest.raises(xb.ParameterError, match="give"):
            make().fabricate((2, 2), **keys)
    for use in (lambda: die.program(np.eye(2), seed=-1), lambda: make(read_noise=0.1).program(np.eye(2), seed=None)):
        with pytest.raises(xb.ParameterError, match="give a whole number from 0"):
            use()
    for array in (die.reads, die.pulses):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 9
    with pytest.raises(ValueError, match="read-only"):
        die.conductance[0, 0] = 1.0


# --- output noise ---------------------------------------------------------------------------------------------------


def noisy_currents(g, wires, v, spread, n):
    """Solve n reads, each with conductances of its own."""
    draws = np.random.default_rng(0)
    cells = (np.maximum(g * (1 + spread * draws.standard_normal(g.shape)), 0) for _ in range(n))
    return np.array([xb.solve(xb.Crossbar(noisy, wires=wires), v).i_bitline for noisy in cells])


def test_first_order_noise_is_the_slope_of_the_circuit():
    """With all columns: the change by each cell alone, from two solves of the circuit, squared and summed."""
    rng = np.random.default_rng(0)
    g, v = rng.uniform(1e-4, 1e-3, (5, 4)), rng.uniform(0.1, 0.3, 5)
    sigma, step = 0.03 * g, 1e-4
    crossbar = xb.Crossbar(g, wires=WIRES)
    noise, solution = xb.output_noise(crossbar, sigma), xb.solve(crossbar, v)
    own, dg = np.zeros(4), np.zeros((5, 4))
    for i in range(5):
        for j in range(4):
            ends = []
            for sign in (1, -1):
                changed = g.copy()
                changed[i, j] *= 1 + sign * step
                *_, i_bitline = naive_circuits.solve_circuit(changed, WIRES, v)
                ends.append(i_bitline[j])
            slope = (ends[0] - ends[1]) / (2 * step * g[i, j])
            own[j] += (slope * sigma[i, j]) ** 2
            dg[i, j] = rng.normal() * 1e-9
    np.testing.assert_allclose(noise.variance(v, solution.v_cell), own, rtol=1e-6)
    *_, after = naive_circuits.solve_circuit(g + dg, WIRES, v)
    full = np.einsum("kij,ij,ij->k", xb.sensitivities(crossbar), solution.v_cell, dg)
    np.testing.assert_allclose(full, after - solution.i_bitline, rtol=1e-4)
    np.testing.assert_allclose(noise.shift(solution.v_cell, dg), full, atol=0.1 * np.abs(full).max())


@pytest.mark.compiled
@pytest.mark.parametrize("spread", [0.01, 0.2])
@pytest.mark.parametrize(
    ("g_lrs", "r", "active", "least", "most"),
    [(1e-5, 1.0, 6, 0.01, 0.03), (1e-5, 1.0, 128, 0.1, 0.15), (1e-4, 2.5, 6, 0.3, 0.45), (1e-4, 2.5, 128, 0.8, 1.0)],
)
def test_error_of_first_order_noise_against_solving_again(g_lrs, r, active, least, most, spread):
    """With solved voltages the variance is that of 300 solved reads within 4 %, of which 1 % (one sigma) is chance.

    With nominal ones it is between ``least`` and ``most`` too large.
    """
    rng = np.random.default_rng(1)
    g = np.where(rng.random((256, 64)) < 0.5, g_lrs, g_lrs / 10)
    wires = xb.Wires(r_wordline=r, r_bitline=r, r_driver=r, r_sense=r)
    v = np.zeros(256)
    v[rng.choice(256, active, replace=False)] = 0.3
    crossbar = xb.Crossbar(g, wires=wires)
    noise, solution = xb.output_noise(crossbar, spread * g), xb.solve(crossbar, v)
    exact = noisy_currents(g, wires, v, spread, 300).var(0, ddof=1).sum()
    solved = noise.variance(v, solution.v_cell).sum()
    assert solved == pytest.approx(exact, rel=0.04)
    assert least < noise.variance(v).sum() / solved - 1 < most


def test_noise_draws_follow_the_variance():
    g = np.random.default_rng(0).uniform(1e-4, 1e-3, (6, 3))
    noise = xb.output_noise(xb.Crossbar(g, wires=WIRES), 0.05 * g)
    v = np.linspace(0.1, 0.3, 6)
    draws = noise.sample(np.broadcast_to(v, (20_000, 6)), np.random.default_rng(0))
    np.testing.assert_allclose(draws.mean(0), noise.ports.i_bitline(v), rtol=2e-3)
    np.testing.assert_allclose(draws.var(0), noise.variance(v), rtol=0.05)
    with pytest.raises(xb.ParameterError, match="sigma has the shape"):
        xb.output_noise(xb.Crossbar(g), 0.1)


def test_read_spread_of_a_die_feeds_output_noise():
    die = programmed(np.eye(4), read_noise={"gaussian": {"lrs": 0.1, "hrs": 0.3}}, faults={"stuck_lrs": [[0, 1]]})
    expected = np.where(np.eye(4) == 1, 1e-6, 3e-7)
    expected[0, 1] = 0
    np.testing.assert_allclose(die.read_spread, expected, rtol=1e-12)
