"""Silent wordlines open or gated off, each read against nodal analysis; bitlines that charge, against integration."""

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

import xbarsim as xb
from tests.oracles.naive_circuits import solve_circuit

resistance = st.sampled_from([0.0, 0.01, 1.0, 30.0, 2e3])
LINES = ("r_wordline", "r_bitline", "r_driver", "r_sense")


@st.composite
def reads(draw, heights=(1, 2, 3, 4, 5), values=(0.0, 0.01, 1.0, 30.0, 2e3)):
    """A crossbar with one resistance for each kind of line or one for each segment, and patterns of active rows."""
    m, n = draw(st.sampled_from(heights)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    g = 10 ** rng.uniform(-7, -3, (m, n)) * (rng.random((m, n)) < 0.85)
    g[rng.random(m) < 0.1] = 0  # dead rows
    shapes = ((m, n - 1), (m - 1, n), (m,), (n,))
    if draw(st.booleans()):
        lines = {line: rng.choice(values, shape) for line, shape in zip(LINES, shapes)}
    else:
        lines = {line: draw(resistance) for line in LINES}
    wires = xb.Wires(**lines, sense_both_ends=draw(st.booleans()))
    v = rng.uniform(-1, 1, (6, m))
    v[1:] *= rng.random((5, m)) < 0.5
    v[1:3] = 0
    v[2, rng.integers(m)] = 0.4
    return xb.Crossbar(g, wires=wires), v  # all rows, none, one, three random patterns


def open_circuit(crossbar, v):
    """Nodal analysis of one read, inactive wordlines floating; one that no cell conducts from may as well be driven."""
    silent = np.flatnonzero((v == 0) & crossbar.g.any(1))
    return solve_circuit(crossbar.g, crossbar.wires, v, floating_rows=silent)


def gated_circuit(crossbar, v):
    """Nodal analysis of one read without the cells of inactive wordlines, whose wires carry nothing then."""
    g, wires = np.where(v[:, None] == 0, 0.0, crossbar.g), crossbar.wires
    r_wordline, r_driver = (
        np.broadcast_to(getattr(wires, line), shape).copy()
        for line, shape in (("r_wordline", (len(g), g.shape[1] - 1)), ("r_driver", len(g)))
    )
    r_wordline[v == 0] = r_driver[v == 0] = 1.0
    return solve_circuit(g, wires.replace(r_wordline=r_wordline, r_driver=r_driver), v)


def assert_reads(crossbar, v, kind, circuit):
    """Compare currents and power of every read, within 1e-9 of its largest cell current and rounding of the twin."""
    floor = 1e-15 * crossbar.g.sum(1).max()
    with np.errstate(divide="ignore"):  # a wire of 0 ohm
        i_bitline, power = xb.InactiveRows(crossbar, kind).read(v)
    for pattern, current, delivered in zip(v, i_bitline, power):
        v_w, v_b, i_wordline, expected = circuit(crossbar, pattern)
        largest = np.abs(crossbar.g * (v_w - v_b))[pattern != 0].max(initial=0)
        np.testing.assert_allclose(current, expected, rtol=0, atol=1e-9 * largest + floor)
        assert delivered == pytest.approx(pattern @ i_wordline, rel=1e-8, abs=1e-9 * largest + floor)
        if not pattern.any():
            assert not current.any() and delivered == 0


@settings(max_examples=100, deadline=None)
@given(reads())
def test_open_wordlines_equal_dense_nodal_analysis(circuit):
    assume(circuit[0].g.any())
    assert_reads(*circuit, "open", open_circuit)


@settings(max_examples=100, deadline=None)
@given(reads(heights=(1, 3, 4, 5)), st.booleans())
def test_gated_cells_equal_dense_nodal_analysis(circuit, both_ends):
    crossbar, v = circuit
    crossbar = xb.Crossbar(crossbar.g, wires=crossbar.wires.replace(drive_both_ends=both_ends))
    assert_reads(crossbar, v, "gated", gated_circuit)


@settings(max_examples=60, deadline=None)
@given(reads(heights=(1, 3, 4, 5), values=(0.0, 1.0, 2e3, 2e3, np.inf)))
def test_gated_cells_on_broken_lines(circuit):
    crossbar, v = circuit
    try:
        for pattern in v:
            gated_circuit(crossbar, pattern)
        xb.InactiveRows(crossbar, "gated")
    except (np.linalg.LinAlgError, xb.ParameterError):  # a node without a path to any source
        assume(False)
    assert_reads(crossbar, v, "gated", gated_circuit)


@pytest.mark.parametrize("sense_both_ends", [False, True])
def test_larger_arrays_agree_with_solve(sense_both_ends):
    rng = np.random.default_rng(4)
    g = rng.choice([1e-6, 1e-5], (24, 17)) * rng.lognormal(0, 0.1, (24, 17))
    wires = xb.Wires(r_wordline=20, r_bitline=rng.uniform(0, 60, (23, 17)), r_driver=100, r_sense=50)
    crossbar = xb.Crossbar(g, wires=wires.replace(sense_both_ends=sense_both_ends))
    v = 0.3 * (rng.random((8, 24)) < 0.3) * rng.uniform(0.1, 1, (8, 24))
    of_open, of_gated = (xb.InactiveRows(crossbar, kind).read(v) for kind in ("open", "gated"))
    grounded = xb.solve(crossbar, v)
    for k, pattern in enumerate(v):
        floating = xb.solve(crossbar, pattern, floating_wordlines=pattern == 0)
        cut = xb.solve(xb.Crossbar(np.where(pattern[:, None] == 0, 0, g), wires=crossbar.wires), pattern)
        for (currents, power), solution in ((of_open, floating), (of_gated, cut)):
            np.testing.assert_allclose(currents[k], solution.i_bitline, rtol=1e-9)
            assert power[k] == pytest.approx(solution.power, rel=1e-9, abs=0)
        assert np.abs(floating.i_bitline / cut.i_bitline - 1).max() > 1e-3  # sneak paths
        assert np.abs(grounded.i_bitline[k] / floating.i_bitline - 1).max() > 1e-3


@pytest.mark.parametrize("kind", ["open", "gated"])
def test_with_all_rows_active_nothing_is_silent(kind):
    rng = np.random.default_rng(0)
    g = rng.uniform(1e-6, 1e-5, (6, 4))
    crossbar = xb.Crossbar(g, wires=xb.Wires(r_wordline=20, r_bitline=20, r_driver=100, r_sense=50))
    v = rng.uniform(0.1, 0.3, (1, 6))
    currents, power = xb.InactiveRows(crossbar, kind).read(v)
    solution = xb.solve(crossbar, v)
    np.testing.assert_allclose(currents, solution.i_bitline, rtol=1e-10)
    np.testing.assert_allclose(power, solution.power, rtol=1e-10)


@pytest.mark.parametrize("kind", ["open", "gated"])
def test_reads_do_not_depend_on_each_other(kind):
    rng = np.random.default_rng(1)
    g = rng.uniform(1e-6, 1e-5, (7, 3))
    rows = xb.InactiveRows(xb.Crossbar(g, wires=xb.Wires(r_wordline=20, r_bitline=20, r_driver=100, r_sense=50)), kind)
    v = 0.3 * (rng.random((40, 7)) < 0.4)
    currents, power = rows.read(v)
    for k in (0, 17, 39):
        alone = rows.read(v[k : k + 1])
        np.testing.assert_allclose(currents[k], alone[0][0], rtol=1e-12)
        assert power[k] == pytest.approx(alone[1][0], rel=1e-12, abs=0)
    assert [part.shape for part in rows.read(np.zeros((0, 7)))] == [(0, 3), (0,)]


def test_silent_rows_that_cannot_be_read_are_refused():
    crossbar = xb.Crossbar(np.full((3, 2), 1e-5), wires=xb.Wires(r_driver=10, r_sense=10))
    for cell in (xb.Sinh(v_char=0.3), xb.OneTransistorOneResistor(r_on=1e3, g_off=1e-9)):
        for kind in ("open", "gated"):
            with pytest.raises(xb.ParameterError, match="open and gated rows need Ohmic ones"):
                xb.InactiveRows(xb.Crossbar(crossbar.g, cell=cell, wires=crossbar.wires), kind)
    driven = xb.Crossbar(crossbar.g, wires=crossbar.wires.replace(drive_both_ends=True))
    with pytest.raises(xb.ParameterError, match="drive_both_ends with open wordlines"):
        xb.InactiveRows(driven, "open")
    with pytest.raises(xb.ParameterError, match="inactive = 'ground': give 'open' or 'gated'"):
        xb.InactiveRows(crossbar, "ground")
    lost = xb.Crossbar(crossbar.g * [[1], [0], [1]], wires=crossbar.wires.replace(r_driver=[1, np.inf, 1]))
    for kind in ("open", "gated"):
        with pytest.raises(xb.ParameterError, match="wordline 1 has no path"):
            xb.InactiveRows(lost, kind)
        rows = xb.InactiveRows(crossbar, kind)
        for v in (np.ones(3), np.ones((2, 2)), np.ones((1, 1, 3))):
            with pytest.raises(xb.ParameterError, match=r"v_wordline has the shape .*; give \(n, 3\)"):
                rows.read(v)
        with pytest.raises(xb.ParameterError, match="v_wordline"):
            rows.read([[np.nan, 0, 0]])


# --- bitlines that charge -------------------------------------------------------------------------------------------


def charging_array(seed, shape=(5, 4)):
    rng = np.random.default_rng(seed)
    g = 10 ** rng.uniform(-6, -4.5, shape)
    wires = xb.Wires(r_wordline=200, r_bitline=rng.uniform(0, 500, (shape[0] - 1, shape[1])), r_driver=800, r_sense=90)
    return xb.Crossbar(g, wires=wires), rng.uniform(-0.3, 0.3, shape[0])


def integrated(ports, c, t):
    """Return V(t) and its average per volt of the drivers from one matrix exponential of (V, integral of V, v)."""
    n_cols, n_rows = ports.transfer.shape
    rate = np.zeros((2 * n_cols + n_rows,) * 2)
    rate[:n_cols, :n_cols], rate[:n_cols, 2 * n_cols :] = -ports.admittance / c, ports.transfer / c
    rate[n_cols : 2 * n_cols, :n_cols] = np.eye(n_cols) / t
    grown = expm(rate * t)[:, 2 * n_cols :]
    return grown[:n_cols], grown[n_cols : 2 * n_cols]


@pytest.mark.parametrize("decays", [1e-6, 1e-4, 0.1, 3.0, 40.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_charging_solves_its_differential_equation(seed, decays):
    """From far below the slowest time constant to far above the fastest one."""
    ports, c = xb.reduce(charging_array(seed)[0]), 0.4e-12
    t = decays * c / np.linalg.eigvalsh(ports.admittance).max()
    for found, expected in zip(ports.charging(c, t), integrated(ports, c, t)):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    v = charging_array(seed)[1]
    np.testing.assert_allclose(ports.charging(c, t)[0] @ v, ports.charge(v, c, t), rtol=1e-9)


@pytest.mark.parametrize("x", np.logspace(-9, 2.5, 24))
def test_charging_of_one_bitline_in_closed_form(x):
    """(1 - exp(-x)) and its average, to ten digits however small x = Y t / C is."""
    one = xb.PortModel(np.array([[2e-5]]), np.array([[3e-5]]), np.array([[2.5e-5]]), error=0.0)
    with mpmath.workdps(40):
        z = mpmath.mpf(x)
        last, average = 1 - mpmath.exp(-z), 1 - (1 - mpmath.exp(-z)) / z
    found = one.charging(1e-12, x * 1e-12 / 3e-5)
    for value, expected in zip(found, (last, average)):
        assert value[0, 0] == pytest.approx(float(expected) * 2 / 3, rel=1e-9, abs=0)


def test_charging_in_the_limits_of_time():
    crossbar, v = charging_array(3)
    ports, c = xb.reduce(crossbar), 1e-12
    slow, fast = c / np.linalg.eigvalsh(ports.admittance)[[0, -1]]
    last, average = ports.charging(c, 1e-7 * fast)
    current = xb.solve(crossbar, v).i_bitline  # into nodes at 0 V
    np.testing.assert_allclose(last @ v, current * 1e-7 * fast / c, rtol=1e-5)
    np.testing.assert_allclose(average @ v, current * 1e-7 * fast / (2 * c), rtol=1e-5)
    last, average = ports.charging(c, 1e7 * slow)
    divider = xb.solve(crossbar, v, floating_bitlines=np.ones(4, bool)).v_bitline[-1]  # r_sense carries nothing
    np.testing.assert_allclose(last @ v, divider, rtol=1e-9)
    np.testing.assert_allclose(average @ v, divider, rtol=1e-5)
    isolated = xb.reduce(crossbar, floating_bitlines=np.ones(4, bool))
    assert np.abs(isolated.charging(c, 1.0)[0]).max() < 1e-9  # nothing reaches them


@pytest.mark.parametrize("decays", [1e-3, 0.5, 20.0])
def test_energy_while_bitlines_charge_is_the_integral_of_the_power_of_the_sources(decays):
    """Gauss-Legendre quadrature of v.i, the circuit solved with the bitlines at their voltages of that moment."""
    crossbar, v = charging_array(5)
    ports, c = xb.reduce(crossbar), 0.5e-12
    t = decays * c / np.linalg.eigvalsh(ports.admittance).max()
    moments, weights = np.polynomial.legendre.leggauss(24)
    energy = 0.0
    for moment, weight in zip((moments + 1) / 2 * t, weights / 2 * t):
        v_bitline = integrated(ports, c, moment)[0] @ v
        energy += weight * v @ xb.solve(crossbar, v, v_bitline=v_bitline).i_wordline
    _, average = ports.charging(c, t)
    assert t * v @ (ports.driver_admittance - ports.transfer.T @ average) @ v == pytest.approx(energy, rel=1e-8, abs=0)
    stored = 0.5 * c * np.sum(ports.charge(v, c, t) ** 2)
    assert energy > stored > 0


def test_gated_arrays_of_two_rows():
    crossbar = xb.Crossbar(np.full((2, 1), 1e-5), wires=xb.Wires(r_bitline=1e4, r_driver=1, r_sense=1))
    current, _ = xb.InactiveRows(crossbar, "gated").read([[1.0, 0.0]])
    assert current[0, 0] == pytest.approx(1 / (1e5 + 1e4 + 2), rel=1e-9, abs=0)


def test_open_wordlines_that_nothing_ties_are_refused():
    crossbar = xb.Crossbar(np.array([[1e-5, 0], [2e-5, 0]]), wires=xb.Wires(r_sense=[np.inf, 0]))
    with pytest.raises(xb.ConvergenceError, match="next to nothing ties the array"):
        xb.InactiveRows(crossbar, "open")
    nothing = xb.InactiveRows(xb.Crossbar(np.zeros((2, 2)), wires=xb.Wires(r_driver=1, r_sense=1)), "open")
    assert not nothing.read([[1.0, 0.5]])[0].any()


def test_dead_rows_carry_exactly_nothing():
    g = np.array([[1e-3, 2e-4], [0.0, 0.0], [1e-12, 0.0]])
    rows = xb.InactiveRows(xb.Crossbar(g, wires=xb.Wires(r_driver=1.0, r_sense=1.0)), "open")
    currents, power = rows.read([[0.0, 0.5, 0.0], [0.0, 0.0, 0.5]])
    assert not currents[0].any() and power[0] == 0
    # 0.5 V through 1 ohm and 1 pS, then bitline 0 onward through 1 ohm, beside it wordline 0 and bitline 1 (6/5 k + 1)
    rest = 1 + 1 / 1e-12 + 1 / (1 + 1 / (1 + 1e3 + 5e3))
    assert power[1] == pytest.approx(0.25 / rest, rel=1e-12, abs=0)


def test_charging_takes_what_charge_takes():
    ports = xb.reduce(xb.Crossbar(np.full((2, 2), 1e-5)))
    with pytest.raises(xb.ParameterError, match="c_bitline = 0: capacitances are above 0 F"):
        ports.charging(0.0, 1e-9)
    with pytest.raises(xb.ParameterError, match="t = -1 s"):
        ports.charging(1e-15, -1)
