"""Dies in use: read disturb, by what each cell saw."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xbarsim as xb
from tests.builders.devices import WIRES, make, programmed
from tests.oracles import naive_circuits
from xbarsim.drift import BOLTZMANN
from xbarsim.kernels.disturb import power_law, ratios
from xbarsim.kernels.elementary import expm1, log1p

PUBLISHED = xb.PowerLawDisturb()


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
    """One pulse at v_read empties the cells of the active row; those of inactive rows stay."""
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
