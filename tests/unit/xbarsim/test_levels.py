"""Levels between the two states: what holds at the states holds at their ends, and the stated laws between them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import xbarsim as xb
from tests.builders.devices import LARGE, LIKELY, make
from xbarsim.variation import ExponentPerState, PerState

FRACTION = st.floats(0, 0.4)
PER_STATE = st.one_of(FRACTION, st.fixed_dictionaries({"lrs": FRACTION, "hrs": FRACTION}))
LAW = st.sampled_from(["normal", "lognormal"])
VERIFIED = st.sampled_from([None, {"tolerance": 0.1, "max_pulses": 4}])
TABLE = {"kind": "table", "points": [[1e-6, 0.9, 1.0], [1e-3, 0.5, 1.2]], "v_measured": 0.3, "v_char": 0.1}
DEVICES = st.fixed_dictionaries(
    {
        "d2d": st.fixed_dictionaries({"law": LAW, "spread": PER_STATE, "state_correlation": st.floats(-1, 1)}),
        "c2c": st.fixed_dictionaries({"law": LAW, "spread": PER_STATE, "write_verify": VERIFIED}),
        "read_noise": st.fixed_dictionaries(
            {
                "gaussian": PER_STATE,
                "telegraph": st.just({"amplitude": {"lrs": 0.2, "hrs": 0.1}, "tau_capture": 1.0, "tau_emission": 2.0}),
                "flicker": st.just({"spread": {"lrs": 0.1, "hrs": 0.2}, "f_low": 1.0, "f_high": 100.0}),
            }
        ),
        "retention": st.just({"nu": {"lrs": 0.05, "hrs": 0.1}, "nu_spread": {"lrs": 0.01, "hrs": 0.02}, "t0": 1.0}),
        "read_disturb": st.sampled_from([None, "power-law", TABLE]),
        "faults": st.sampled_from([{}, {"stuck_lrs": 0.1, "stuck_hrs": 0.1, "open_cells": 0.1}]),
    }
)


@settings(deadline=None, max_examples=60)
@given(DEVICES, st.integers(0, 1000))
def test_ends_are_the_two_states(options, seed):
    """A device of any levels that is written with its ends alone, through its whole life."""
    bits, lives = np.random.default_rng(seed).integers(0, 2, (6, 5)), []
    for levels, top in ((2, 1), (5, 4), ("analog", 1.0)):
        die = make(**options, levels=levels).fabricate(bits.shape, seed=seed)
        life = [die.program(bits * top), die.read(3)]
        die.advance(np.full(bits.shape, 0.2), 1e6, dt=10.0)
        lives.append([*life, die.conductance, die.read_spread, die.pulses])
    for other in lives[1:]:
        for then, now in zip(lives[0], other, strict=True):
            np.testing.assert_allclose(now, then, rtol=1e-9)


@pytest.mark.parametrize("levels", [2, 3, 4, 16, "analog"])
def test_levels_are_evenly_spaced_conductances(levels):
    device = make(levels=levels)
    given = np.linspace(0, 1, 9).reshape(1, -1) if levels == "analog" else np.arange(levels).reshape(1, -1)
    expected = np.linspace(device.g_hrs, device.g_lrs, given.size)
    np.testing.assert_allclose(device.program(given, seed=1)[0], expected, rtol=1e-12)


@pytest.mark.parametrize("law", ["normal", "lognormal"])
@pytest.mark.parametrize("kind", ["d2d", "c2c"])
@pytest.mark.parametrize("share", [0.2, 0.7])
def test_spreads_in_siemens_are_linear_in_conductance(kind, law, share):
    device = make(levels="analog", on_off_ratio=20, **{kind: {"law": law, "spread": {"lrs": 0.05, "hrs": 0.4}}})
    g = device.fabricate(LARGE, seed=1).program(np.full(LARGE, share))
    spread = share * 0.05 * device.g_lrs + (1 - share) * 0.4 * device.g_hrs
    mean = share * device.g_lrs + (1 - share) * device.g_hrs
    assert g.mean() == pytest.approx(mean, abs=5 * spread / 400) and g.std() == pytest.approx(spread, rel=0.02)
    if law == "normal":
        assert stats.kstest(g.ravel(), stats.norm(mean, spread).cdf).pvalue > LIKELY


def test_measured_points_between_the_states_are_met():
    """Of a part of the conductance and of an exponent, and straight lines between them in their own coordinate."""
    points = {"lrs": 0.1, "hrs": 0.5, "between": [(0.25, 0.3), (0.5, 0.2)]}
    device = make(levels="analog", on_off_ratio=9)
    shares = np.array([0.0, 0.1, 0.25, 0.4, 0.5, 0.8, 1.0])
    g = 1 + 8 * shares
    known_g, known = np.array([1.0, 3.0, 5.0, 9.0]), np.array([0.5, 0.3, 0.2, 0.1])
    states = device.states(shares)
    np.testing.assert_allclose(PerState(**points).of(states) * g, np.interp(g, known_g, known * known_g), rtol=1e-12)
    expected = np.interp(np.log(g), np.log(known_g), known)
    np.testing.assert_allclose(ExponentPerState(**points).of(states), expected, rtol=1e-12)
    assert PerState(lrs=0.1, hrs=0.1, between=[(0.5, 0.3)]).of(states)[4] == pytest.approx(0.3)


@settings(deadline=None, max_examples=20)
@given(st.floats(-1, 1), st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_draws_of_two_levels_have_the_correlation_of_their_distance(correlation, shares):
    device = make(levels="analog", d2d={"law": "normal", "spread": 0.1, "state_correlation": correlation})
    die, size = device.fabricate(LARGE, seed=5), LARGE[0] * LARGE[1]
    z = [die.program(np.full(LARGE, share)) for share in shares]
    for one in z:
        assert one.std() / one.mean() == pytest.approx(0.1, rel=0.03)
    expected = np.cos((shares[0] - shares[1]) * np.arccos(correlation))
    assert np.corrcoef(z[0].ravel(), z[1].ravel())[0, 1] == pytest.approx(expected, abs=6 / np.sqrt(size))


def test_measured_states_lead_to_each_other_cell_by_cell():
    samples = {"samples_lrs": [8e-6, 9e-6, 11e-6], "samples_hrs": [0.5e-6, 1.5e-6]}
    dies = [make(levels=levels, d2d=samples).fabricate((8, 8), seed=2) for levels in (2, "analog")]
    hrs, lrs = (dies[0].program(np.full((8, 8), bit)) for bit in (0, 1))
    np.testing.assert_allclose(dies[1].program(np.full((8, 8), 0.3)), 0.7 * hrs + 0.3 * lrs, rtol=1e-12)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_time_and_reads_move_levels_by_the_laws_of_the_states(share):
    ratio = 50.0
    g, shape = 1 + share * (ratio - 1), (3, 3)
    drift = make(levels="analog", on_off_ratio=ratio, retention={"nu": {"lrs": 0.04, "hrs": 0.1}, "t0": 2.0})
    die = drift.fabricate(shape, seed=1)
    written = die.program(np.full(shape, share))
    die.advance(dt=500.0)
    nu = 0.1 + (0.04 - 0.1) * np.log(g) / np.log(ratio)
    np.testing.assert_allclose(die.conductance, written * (1 + 500 / 2) ** -nu, rtol=1e-12)

    table = make(levels="analog", on_off_ratio=ratio, read_disturb=TABLE, t_read=1e-3).fabricate(shape, seed=1)
    written = table.program(np.full(shape, share))
    table.advance(np.full(shape, 0.3), 1)  # to the last point
    np.testing.assert_allclose(table.conductance, written / g * (share * ratio * 0.5 + (1 - share) * 1.2), rtol=1e-9)

    law = {"kind": "power-law", "valid": {}}
    alike = [make(levels="analog", on_off_ratio=ratio, read_disturb=law).fabricate(shape, seed=1) for _ in range(2)]
    fallen = []
    for die, level in zip(alike, (share, 1.0)):
        written = die.program(np.full(shape, level))
        die.advance(np.full(shape, 0.3), 1e8)
        fallen.append(die.conductance / written)
    np.testing.assert_allclose(fallen[0], fallen[1], rtol=1e-12)
    assert fallen[0].max() < 0.95
    alike[0].advance(np.full(shape, 2.0), 1e12)
    np.testing.assert_allclose(alike[0].conductance, alike[0].device.g_hrs, rtol=1e-12)  # no lower than its HRS


def test_writes_are_verified_on_every_level_and_stuck_cells_stay():
    options = {"c2c": {"spread": 0.2, "write_verify": {"tolerance": 0.05, "max_pulses": 100}}, "levels": 8}
    levels = np.random.default_rng(0).integers(0, 8, LARGE)
    device = make(**options, faults={"stuck_lrs": [(0, 0)], "stuck_hrs": [(0, 1)]})
    levels[0, :2] = 3
    die = device.fabricate(LARGE, seed=1)
    g, target = die.program(levels), device.g_hrs + levels / 7 * (device.g_lrs - device.g_hrs)
    wrong = np.abs(g / target - 1) > 0.05
    assert np.argwhere(wrong).tolist() == [[0, 0], [0, 1]]
    np.testing.assert_allclose(g[0, :2] / [device.g_lrs, device.g_hrs], 1, atol=0.8)


PCM = {  # of g = G / 25 uS, see the preset
    "c2c": (lambda g: (-1.1731 * g**2 + 1.9650 * g + 0.26348) / (25 * g), lambda d: d.c2c.spread),
    "nu": (lambda g: np.clip(-0.0155 * np.log(g) + 0.0244, 0.049, 0.1), lambda d: d.retention.nu),
    "nu_spread": (lambda g: np.clip(-0.0125 * np.log(g) - 0.0059, 0.008, 0.045), lambda d: d.retention.nu_spread),
    "flicker": (
        lambda g: np.minimum(0.0088 / g**0.65, 0.2) * np.sqrt(np.log((1 + 250e-9) / 500e-9)),
        lambda d: d.read_noise.flicker.spread,
    ),
}
CMO = {  # of G [uS]
    "c2c": (lambda g: (0.0112902 * g + 0.011218) / g, lambda d: d.c2c.spread),
    "flicker": (
        lambda g: 0.0277316 * np.log10(g) / g * np.sqrt(np.log((1 + 1e-6) / 2e-6)),
        lambda d: d.read_noise.flicker.spread,
    ),
}


@pytest.mark.parametrize(
    ("name", "law"), [("pcm-ibm", PCM[key]) for key in PCM] + [("cmo-hfox-ibm", CMO[key]) for key in CMO]
)
def test_published_multi_level_devices_follow_their_sources_between_the_states(name, law):
    device = xb.load_device(name, v_read=0.2, levels="analog")
    source, of = law
    shares = np.linspace(0, 1, 400)
    g = device.program(shares[None], seed=1)[0] * 0 + np.linspace(device.g_hrs, device.g_lrs, 400)
    expected = source(g / 25e-6 if name == "pcm-ibm" else g * 1e6)
    np.testing.assert_allclose(of(device).of(device.states(shares)), expected, rtol=0.04)


WRONG = {
    "levels hold values other than 0, 1, ... 3": (4, [[4.0]]),
    "levels hold values other than 0, 1, ... 2": (3, [[0.5]]),
    "levels hold values outside 0 to 1": ("analog", [[1.5]]),
    "bits hold values other than 0 and 1": (2, [[2]]),
}


@pytest.mark.parametrize("message", WRONG)
@pytest.mark.parametrize("value", [None, np.nan, "a", -1])
def test_what_is_no_level_is_refused(message, value):
    levels, given = WRONG[message]
    given = given if value is None else [[value]]
    with pytest.raises(xb.ParameterError, match=message):
        make(levels=levels).program(given, seed=1)


@pytest.mark.parametrize(
    ("field", "values"),
    [("levels", 1), ("levels", "some"), ("levels", 2.5), ("d2d", {"spread": {"between": [(0.5, 0.1), (0.2, 0.1)]}}),
     ("d2d", {"spread": {"between": [(1.5, 0.1)]}}), ("d2d", {"spread": {"between": [(0.5, -0.1)]}})],
)  # fmt: skip
def test_levels_are_refused_by_name(field, values):
    said = (
        r"\.between"
        if field == "d2d"
        else r"Device\.levels: .* is none; give a whole number from 2 to 32768, or 'analog'"
    )
    with pytest.raises(xb.ParameterError, match=said):
        make(**{field: values})
