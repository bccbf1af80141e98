"""Non-linear cells: against a general root finder on the nodal equations, goldens, and limits that are known."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, root

import xbarsim as xb
from tests.oracles import GOLDEN

CURVE = xb.Table(v=[-1.0, -0.3, 0.0, 0.2, 0.5, 1.0], i=[-9e-6, -1e-6, 0.0, 1e-6, 5e-6, 2e-5])


def current(cell, g, v):
    """The cell laws, written from their definitions."""
    if getattr(cell, "v_reference", None) is not None:
        plain = xb.Sinh(v_char=cell.v_char) if isinstance(cell, xb.Sinh) else xb.Table(v=cell.v, i=cell.i)
        return g * cell.v_reference * current(plain, 1.0, v) / current(plain, 1.0, cell.v_reference)
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
    st.builds(xb.Sinh, v_char=st.just(0.2), v_reference=st.sampled_from([0.01, 0.3])),
    st.just(CURVE.replace(v_reference=-0.4)),
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
    alone = xb.Crossbar([[1e3]], cell=xb.MIEC_SELECTOR, plausible=False)  # a series resistance of 1 mohm
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


def loop(n, noise, seed):
    """A measured loop 0 -> 1 V -> -1 V -> 0, n steps a volt: a sinh law of 1 uS, of 10 uS while the voltage falls."""
    rng = np.random.default_rng(seed)
    v = np.r_[np.linspace(0, 1, n + 1), np.linspace(1, -1, 2 * n + 1), np.linspace(-1, 0, n + 1)]
    g = np.r_[np.full(n + 1, 1e-6), np.full(2 * n + 1, 1e-5), np.full(n + 1, 1e-6)]
    i = g * 0.3 * np.sinh(v / 0.3) * (1 + rng.normal(0, noise / 10, v.size)) + rng.normal(0, noise * 1e-7, v.size)
    return v + rng.normal(0, noise * 1e-3, v.size), i


def single(cell, g, v, wires=None):
    return float(xb.solve(xb.Crossbar([[g]], cell=cell, wires=wires), [v]).i_bitline[0])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([10, 30, 100, 300]),
    st.sampled_from([0.0, 0.1, 0.3]),
    st.sampled_from(["rising", "falling"]),
    st.sampled_from([0.1, 0.3, -0.5]),
    st.integers(0, 2**32 - 1),
)
def test_a_measured_loop_gives_its_law_at_any_resolution(tmp_path, n, noise, branch, v_reference, seed):
    """Cells have their conductance at the reference, whatever noise and spacing make of the slope at 0 V."""
    v, i = loop(n, noise, seed)
    lines = [f"{k},{1e3 * a:.9g},{1e6 * b:.9g},ok" for k, (a, b) in enumerate(zip(v, i))]
    (tmp_path / "iv.csv").write_text("# sample 7\nPoint,V (mV),I (\u00b5A),State\n" + "\n".join(lines))
    cell = xb.Table.from_csv(tmp_path / "iv.csv", branch=branch, v_reference=v_reference)
    g = 2e-5
    assert single(cell, g, v_reference) == pytest.approx(g * v_reference, rel=1e-12)
    i_reference = (1e-6 if branch == "rising" else 1e-5) * 0.3 * np.sinh(abs(v_reference) / 0.3)
    scale = g * abs(v_reference) / i_reference
    for at in (-0.8, -0.3, 0.2, 0.75):
        expected = g * v_reference * np.sinh(at / 0.3) / np.sinh(v_reference / 0.3)
        # six standard deviations, of the point's current and voltage and of the reference's; and a straight line of
        # 1/n V in place of a curve, i'' / i = 1 / 0.09 V^2
        relative = 6 * noise * (0.1 + 1e-3 / 0.3 + 1e-7 / i_reference) + 4 / (8 * 0.09 * n**2)
        assert abs(single(cell, g, at) - expected) < abs(expected) * relative + 6 * noise * 1e-7 * scale + 1e-12


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([20, 50, 200]),
    st.sampled_from([0.1, 0.3, 100.0]),
    st.sampled_from([0.0, 1e-4, 0.1, -0.1, 0.3, -0.3]),
    st.booleans(),
    st.sampled_from([slice(None), slice(20, None), slice(0, 21)]),
    st.integers(0, 2**32 - 1),
)
def test_a_curve_that_misses_the_origin_is_no_cell(tmp_path, n, scale, offset, noisy, side, seed):
    """i(v - offset) carries at 0 V, or the wrong way from there to the offset, what no passive cell does."""
    v = np.r_[np.linspace(-1, 0, 21), np.linspace(0, 1, n + 1)[1:]]
    if side == slice(0, 21):
        v = np.linspace(-1, 0, n + 1)
    v = v[side] if side != slice(0, 21) else v
    i = 1e-5 * scale * np.sinh((v - offset) / scale) / np.cosh(1 / scale)
    i *= 1 + noisy * np.random.default_rng(seed).normal(0, 1e-3, v.size)
    np.savetxt(tmp_path / "iv.csv", np.c_[v, i], delimiter=",", header="V (V),I (A)", comments="")
    if abs(offset) > 0.01 and (scale > 0.1 or n == 200):  # enough points to tell a steep curve from noise
        with pytest.raises(xb.ParameterError, match=r"misses the origin|does not rise|fewer than 2"):
            xb.Table.from_csv(tmp_path / "iv.csv", plausible=False)
    elif offset == 0:
        assert xb.Table.from_csv(tmp_path / "iv.csv", plausible=False).v[0] == v[0]


def test_columns_and_ranges_of_a_curve(tmp_path):
    v = np.linspace(-0.6, 0.6, 13)
    path, array = tmp_path / "iv.csv", tmp_path / "iv.npy"
    path.write_text("V,I\n" + "\n".join(f"{a},{1e-5 * a}" for a in v))
    np.save(array, np.c_[v, 1e-5 * v])
    whole = xb.Table.from_csv(path)
    assert whole.i == pytest.approx([1e-5 * a for a in whole.v], rel=1e-12) and len(whole.v) == 13
    assert xb.Table.from_csv(array).v == xb.Table.from_csv(array, v=0, i=np.int64(1)).v == pytest.approx(whole.v)
    assert xb.Table.from_csv(path, v_range=("-0.25 V", "250 mV")).v[-1] == pytest.approx(0.2)
    for options, words in (
        ({"v_range": 0.5}, r"v_range = 0\.5: give two voltages"),
        ({"v_range": (0, 0.5, 0.7)}, "give two voltages"),
        ({"v_range": "ab"}, "give two voltages"),
        ({"v_range": (0, "x")}, "v_range: 'x' is no quantity"),
        ({"v": None}, "column None: give its name, or its number from 0"),
        ({"v": 0.0}, r"column 0\.0: give its name"),
        ({"v": True}, "column True: give its name"),
        ({"v": -1}, "column -1: give its name"),
        ({"name": "x"}, "holds one table without a name, no 'x'"),
    ):
        for file in (path, array):
            with pytest.raises(xb.XbarsimError, match=words) as error:
                xb.Table.from_csv(file, **options)
            assert "\n" not in str(error.value)
    with pytest.raises(xb.FileError, match="columns without names; give numbers of columns from 0"):
        xb.Table.from_csv(array, v="U")


def test_what_a_loop_needs(tmp_path):
    v, i = loop(50, 0.0, 0)
    path = tmp_path / "iv.csv"

    def write(i, names="V,I\n", points=slice(None)):
        path.write_text(names + "\n".join(f"{a},{b}" for a, b in zip(v[points], i[points])))

    write(i)
    with pytest.raises(xb.ParameterError, match=r"turns at 1 V \(point 52\); give branch='rising' or 'falling'"):
        xb.Table.from_csv(path)
    with pytest.raises(xb.ParameterError, match="branch = 'up'"):
        xb.Table.from_csv(path, branch="up")
    with pytest.raises(xb.FileError, match="no column is named 'U'; it has V, I"):
        xb.Table.from_csv(path, v="U")
    write(i, names="", points=slice(51, 152))
    assert xb.Table.from_csv(path) == xb.Table.from_csv(path, branch="falling")  # one sweep, columns without names
    write(i, names="V (V),I (V)\n")
    with pytest.raises(xb.FileError, match="column 2 is in V where A is expected"):
        xb.Table.from_csv(path, branch="rising")
    write(np.clip(i, -5e-6, 5e-6))
    with pytest.raises(xb.ParameterError, match="stays near -5e-06 A from"):
        xb.Table.from_csv(path, branch="falling")
    cut = xb.Table.from_csv(path, branch="falling", v_range=(-0.35, 0.35))
    assert single(cut, cut.zero_bias * 1e-5, 0.2) > 0 and max(cut.v) <= 0.35
    write(np.where(v < -0.8, 0.2, 1.0) * i)  # a reset: the current falls
    with pytest.raises(xb.ParameterError, match="does not rise with the voltage near -"):
        xb.Table.from_csv(path, branch="falling")
    write(1e6 * i)
    with pytest.raises(xb.ParameterError, match="memristors have 1 fS to 100 mS"):
        xb.Table.from_csv(path, branch="falling")
    assert xb.Table.from_csv(path, branch="falling", plausible=False).i[-1] > 1
    with pytest.raises(xb.ParameterError, match="give a voltage of the curve, -1 V to 1 V, other than 0 V"):
        xb.Table.from_csv(path, branch="falling", plausible=False, v_reference="1.5 V")


@settings(max_examples=60, deadline=None)
@given(st.floats(-9, -3), st.floats(-3, 1), st.floats(-2, 2), st.sampled_from([0.0, 1.0, 1e4]))
def test_no_sinh_cell_carries_what_none_can(log_g, log_scale, log_v, r):
    """Either the current by the law and Ohm's law, or a refusal; never more than 1 S would take."""
    g, scale, v = 10**log_g, 10**log_scale, 10**log_v
    circuit = xb.Sinh(v_char=scale), g, v, xb.Wires(r_driver=r)
    if r == 0:
        beyond = g * np.sinh(min(v / scale, 700)) / min(v / scale, 700) > 1
    else:
        drop = brentq(lambda x: np.log(g * scale * r) + np.log(np.sinh(x / scale)) - np.log(v - x), *_within(v, scale))
        beyond = (v - drop) / r > drop
    if beyond:
        with pytest.raises(xb.ParameterError, match="no sinh law holds there"):
            single(*circuit)
    else:
        expected = g * scale * np.sinh(v / scale) if r == 0 else (v - drop) / r
        assert single(*circuit) == pytest.approx(expected, rel=1e-6)


def _within(v, scale):
    """A range in which the logarithm of sinh is finite."""
    return 1e-12 * min(v, scale), min(v * (1 - 1e-15), 700 * scale)


def test_references_beyond_a_law():
    with pytest.raises(xb.ParameterError, match=r"Sinh\.v_reference = 10 V: give at most 50 v_char, 0.5 V"):
        xb.Sinh(v_char=0.01, v_reference=10)
    assert xb.OneTransistorOneResistor(r_on="5 kOhm", g_off="1 nS").g_off == 1e-9
    assert xb.Sinh(v_char=1e200, v_reference=1e-200).zero_bias == 1.0
