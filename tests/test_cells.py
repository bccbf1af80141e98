"""Non-linear cells: against a general root finder on the nodal equations, goldens, and limits that are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, root

import xbarsim as xb

GOLDEN = Path(__file__).parent / "golden"
CURVE = xb.Table(v=[-1.0, -0.3, 0.0, 0.2, 0.5, 1.0], i=[-9e-6, -1e-6, 0.0, 1e-6, 5e-6, 2e-5])


def current(cell, g, v):
    """The cell laws, written from their definitions."""
    if isinstance(cell, xb.Sinh):
        return g * cell.v_char * np.sinh(v / cell.v_char)
    if isinstance(cell, xb.OneSelectorOneResistor):
        if g == 0 or v == 0:
            return 0.0
        top = abs(v)
        drop = brentq(lambda s: cell.i_selector * np.sinh(s / cell.v_selector) - g * (top - s), 0, top, xtol=1e-16)
        return np.sign(v) * g * (top - drop)
    table_v, table_i = np.array(cell.v), np.array(cell.i)
    zero = list(cell.v).index(0.0)
    slope = np.mean(np.diff(table_i)[zero - 1 : zero + 1] / np.diff(table_v)[zero - 1 : zero + 1])
    k = int(np.clip(np.searchsorted(table_v, v), 1, len(table_v) - 1))
    straight = np.polyfit(table_v[k - 1 : k + 1], table_i[k - 1 : k + 1], 1)
    return g * np.polyval(straight, v) / slope


def solve_nodes(g, cell, r, v):
    """Solve Kirchhoff's current law at every node with a general root finder; every resistance is r."""
    m, n = g.shape

    def excess(nodes):
        u, x = nodes.reshape(2, m, n)
        i = np.array([[current(cell, g[a, b], u[a, b] - x[a, b]) for b in range(n)] for a in range(m)])
        into_u, into_x = -i, i.copy()
        into_u[:, 0] += (v - u[:, 0]) / r
        along = np.diff(u, axis=1) / r
        into_u[:, :-1] += along
        into_u[:, 1:] -= along
        into_x[-1] -= x[-1] / r
        along = np.diff(x, axis=0) / r
        into_x[:-1] += along
        into_x[1:] -= along
        return r * np.concatenate([into_u.ravel(), into_x.ravel()])

    found = root(excess, np.concatenate([np.repeat(v, n), np.zeros(m * n)]), tol=1e-13)
    assert np.abs(excess(found.x)).max() < 1e-11
    u, x = found.x.reshape(2, m, n)
    return u, x


cells = st.one_of(
    st.builds(xb.Sinh, v_char=st.sampled_from([0.05, 0.3, 2.0])),
    st.builds(
        xb.OneSelectorOneResistor,
        i_selector=st.sampled_from([1e-9, 1e-6]),
        v_selector=st.sampled_from([0.04, 0.2]),
    ),
    st.just(CURVE),
)


@settings(max_examples=25, deadline=None)
@given(cells, st.integers(0, 2**32 - 1), st.sampled_from([1.0, 50.0, 1000.0]))
def test_equals_a_general_root_finder(cell, seed, r):
    rng = np.random.default_rng(seed)
    g, v = 10 ** rng.uniform(-6, -4, (3, 4)), rng.uniform(-0.6, 0.6, 3)
    u, x = solve_nodes(g, cell, r, v)
    wires = xb.Wires(r_wordline=r, r_bitline=r, r_driver=r, r_sense=r)
    solution = xb.solve(xb.Crossbar(g, wires=wires, cell=cell), v, tol=1e-14)
    np.testing.assert_allclose(solution.v_wordline, u, rtol=0, atol=1e-8)
    np.testing.assert_allclose(solution.v_bitline, x, rtol=0, atol=1e-8)
    solution.check(residual=1e-12, power_balance=1e-9)


def test_golden_sinh():
    golden = np.load(GOLDEN / "ngspice_32x24.npz")
    given_ = json.loads(str(golden["sinh2/cfg"]))
    r = given_["r_wl"]
    wires = xb.Wires(r_wordline=r, r_bitline=r, r_driver=r, r_sense=r)
    cell = xb.Sinh(v_char=1 / given_["nonlinear_a"])
    solution = xb.solve(xb.Crossbar(1 / golden["R"], wires=wires, cell=cell), golden["V"])
    expected = golden["sinh2/I"]
    np.testing.assert_allclose(solution.i_bitline, expected, rtol=0, atol=1e-8 * np.abs(expected).max())
    np.testing.assert_allclose(solution.v_wordline, golden["sinh2/vw"], rtol=0, atol=1e-9)


@pytest.mark.compiled
@pytest.mark.parametrize(
    "cell",
    [
        xb.Sinh(v_char=0.01),  # sinh(30) at the read voltage: twelve decades between the cells
        xb.OneSelectorOneResistor(i_selector=7e-15, v_selector=0.037),  # 85 mV per decade
        CURVE,
    ],
)
def test_strong_non_linearity_converges_with_heavy_wires(cell):
    rng = np.random.default_rng(1)
    g = np.where(rng.random((64, 48)) < 0.5, 1e-4, 1e-6)
    wires = xb.Wires(r_wordline=10, r_bitline=10, r_driver=100, r_sense=100)
    v = rng.choice([-0.3, 0.0, 0.3], (3, 64))
    solution = xb.solve(xb.Crossbar(g, wires=wires, cell=cell), v, tol=1e-14)
    solution.check(residual=1e-12, power_balance=1e-9)
    for k in range(3):
        np.testing.assert_array_equal(xb.solve(solution.crossbar, v[k], tol=1e-14).i_bitline, solution.i_bitline[k])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_far_beyond_the_scale_of_a_cell(sign):
    """One sinh cell at 40 times its scale behind 1 kohm: the resistor takes what the cell does not."""
    crossbar = xb.Crossbar([[1e-9]], wires=xb.Wires(r_driver=1e3), cell=xb.Sinh(v_char=0.01))
    solution = xb.solve(crossbar, [sign * 0.4])
    drop = brentq(lambda v: 1e-11 * np.sinh(v / 0.01) - (0.4 - v) / 1e3, 0, 0.4, xtol=1e-16)
    assert solution.i_bitline[0] == pytest.approx(sign * (0.4 - drop) / 1e3, rel=1e-9)


def test_weak_non_linearity_is_ohmic():
    rng = np.random.default_rng(2)
    g, v = rng.uniform(1e-6, 1e-4, (5, 6)), rng.uniform(0, 0.3, 5)
    wires = xb.Wires(r_wordline=5, r_bitline=5)
    linear = xb.solve(xb.Crossbar(g, wires=wires), v).i_bitline
    for cell in (xb.Sinh(v_char=1e4), xb.Table(v=[-1, 0, 1], i=[-2e-6, 0, 2e-6])):
        np.testing.assert_allclose(xb.solve(xb.Crossbar(g, wires=wires, cell=cell), v).i_bitline, linear, rtol=1e-8)


def test_transistors_gate_their_row():
    g, v = np.array([[1e-4, 1e-5], [2e-4, 1e-6], [1e-5, 0.0]]), np.array([0.2, 0.3, 0.1])
    crossbar = xb.Crossbar(g, cell=xb.OneTransistorOneResistor(r_on="5 kOhm", g_off=1e-9))
    on = np.array([True, False, True])
    series = np.where(on[:, None], 5e3, 1e9)
    with np.errstate(divide="ignore"):
        expected = v @ (1 / (1 / g + series))
    np.testing.assert_allclose(xb.solve(crossbar, v, selected=on).i_bitline, expected, rtol=1e-12)
    np.testing.assert_allclose(xb.reduce(crossbar, selected=on).i_bitline(v), expected, rtol=1e-12)
    np.testing.assert_allclose(xb.solve(crossbar, v).i_bitline, v @ (g / (1 + 5e3 * g)), rtol=1e-12)


def test_what_cells_refuse():
    with pytest.raises(xb.ParameterError, match=r"Sinh\.v_char"):
        xb.Sinh(v_char=0)
    with pytest.raises(xb.ParameterError, match=r"Table\.i is not strictly increasing"):
        xb.Table(v=[-1, 0, 1], i=[-1, 0, 0])
    with pytest.raises(xb.ParameterError, match="does not include"):
        xb.Table(v=[-1, 0.5, 1], i=[-1, 0, 1])
    with pytest.raises(xb.ParameterError, match="3 voltages and 4 currents"):
        xb.Table(v=[-1, 0, 1], i=[-1, 0, 1, 2])
    ohmic = xb.Crossbar([[1e-5]])
    with pytest.raises(xb.ParameterError, match="selected is given, but cells are Ohmic"):
        xb.solve(ohmic, [1.0], selected=np.array([True]))
    curved = xb.Crossbar([[1e-5]], cell=xb.Sinh(v_char=0.3))
    for method in (xb.reduce, xb.sensitivities):
        with pytest.raises(xb.ParameterError, match="cells are Sinh"):
            method(curved)
    with pytest.raises(xb.ConvergenceError, match="raise max_iterations"):
        wires = xb.Wires(r_wordline=1, r_bitline=1)
        xb.solve(
            xb.Crossbar(np.full((9, 9), 1e-3), wires=wires, cell=xb.Sinh(v_char=0.1)), np.ones(9), max_iterations=1
        )


def test_the_miec_selector_has_its_published_slope_and_current():
    alone = xb.Crossbar([[1e3]], cell=xb.MIEC_SELECTOR)  # a series resistance of 1 mohm
    half_margin, decade_below = xb.solve(alone, [[0.77], [0.77 - 0.085]]).i_bitline[:, 0]
    assert half_margin == pytest.approx(10e-9, rel=1e-6) and decade_below == pytest.approx(1e-9, rel=1e-6)


def test_a_slope_that_rounding_cannot_follow_still_converges():
    steep = xb.Table(v=[-2.0, -0.3, 0.0, 0.3, 2.0], i=[-1e-3, -1e-9, 0.0, 1e-9, 1e-3])
    wires = xb.Wires(r_driver=1e3, r_sense=1e3)
    solution = xb.solve(xb.Crossbar([[3.082e-4]], wires=wires, cell=steep), [-1.0])
    v = brentq(lambda v: current(steep, 3.082e-4, v) * 2e3 + v + 1, -1, 0, xtol=1e-16)
    assert solution.i_bitline[0] == pytest.approx(current(steep, 3.082e-4, v), rel=1e-8)


def test_transistors_that_are_off_can_cut_a_line_from_every_source():
    cell, wires = xb.OneTransistorOneResistor(r_on=1e3), xb.Wires(r_wordline=1.0)
    crossbar = xb.Crossbar(np.full((2, 2), 1e-4), cell=cell, wires=wires)
    with pytest.raises(xb.ParameterError, match="bitline 0 has no path to any source"):
        xb.solve(crossbar, [1.0, 1.0], selected=np.zeros(2, bool), floating_bitlines=np.array([True, False]))
    with pytest.raises(xb.ParameterError, match="bitline 0 has no path to any source"):
        xb.to_spice(crossbar, [1.0, 1.0], selected=np.zeros(2, bool), floating_bitlines=np.array([True, False]))
