"""Dies in use: retention, snapshots, and what a die refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xbarsim as xb
from tests.builders.devices import EVERYTHING, make, programmed
from xbarsim.drift import BOLTZMANN


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
