"""solve(): against goldens, against the naive dense twin, and against what any linear circuit obeys."""

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import xbarsim as xb
from tests.oracles import GOLDEN
from tests.oracles.naive_circuits import solve_circuit

resistance = st.sampled_from([0.0, 0.01, 1.0, 30.0, 2e3])


@st.composite
def circuits(draw):
    m, n = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    g = 10 ** rng.uniform(-7, -3, (m, n)) * (rng.random((m, n)) < 0.9)
    lines = ("r_wordline", "r_bitline", "r_driver", "r_sense")
    wires = xb.Wires(**{line: draw(resistance) for line in lines})
    return xb.Crossbar(g, wires=wires), rng.uniform(-1, 1, m), rng.uniform(-0.3, 0.3, n)


@st.composite
def general_circuits(draw):
    """Any boundary: resistances per segment, broken or joined, both ends driven or sensed, floating lines."""
    m, n = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    g = 10 ** rng.uniform(-7, -3, (m, n)) * (rng.random((m, n)) < 0.95)
    values = np.array([0.0, 0.01, 1.0, 30.0, 2e3, np.inf])

    def lines(*shape):
        return rng.choice(values, shape, p=[0.1, 0.2, 0.3, 0.2, 0.15, 0.05])

    wires = xb.Wires(
        r_wordline=lines(m, n - 1),
        r_bitline=lines(m - 1, n),
        r_driver=lines(m),
        r_sense=lines(n),
        drive_both_ends=draw(st.booleans()),
        sense_both_ends=draw(st.booleans()),
    )
    floating = {"floating_wordlines": rng.random(m) < 0.2, "floating_bitlines": rng.random(n) < 0.2}
    return xb.Crossbar(g, wires=wires), rng.uniform(-1, 1, m), rng.uniform(-0.3, 0.3, n), floating


@settings(max_examples=300, deadline=None)
@given(general_circuits())
def test_any_boundary_equals_dense_nodal_analysis(circuit):
    crossbar, v, v_sense, floating = circuit
    rows, cols = (np.flatnonzero(floating[f"floating_{kind}"]) for kind in ("wordlines", "bitlines"))
    try:
        v_w, v_b, i_w, i_b = solve_circuit(crossbar.g, crossbar.wires, v, v_sense, rows, cols)
    except np.linalg.LinAlgError:  # a node without a path to any source
        with pytest.raises(xb.ParameterError, match="has no path to any source"):
            xb.solve(crossbar, v, v_bitline=v_sense, **floating)
        return
    solution = xb.solve(crossbar, v, v_bitline=v_sense, **floating)
    tolerance = 1e-9 * np.abs(solution.i_cell).max() + 1e-13  # rounding of the dense solve at 100 S and 1 V
    np.testing.assert_allclose(solution.i_bitline, i_b, rtol=0, atol=tolerance)
    np.testing.assert_allclose(solution.i_wordline, i_w, rtol=0, atol=tolerance)
    np.testing.assert_allclose(solution.v_wordline, v_w, rtol=0, atol=1e-7)
    np.testing.assert_allclose(solution.v_bitline, v_b, rtol=0, atol=1e-7)
    assert solution.residual <= 1e-9


@settings(max_examples=150, deadline=None)
@given(circuits())
def test_equals_dense_nodal_analysis(circuit):
    crossbar, v, v_sense = circuit
    v_w, v_b, i_w, i_b = solve_circuit(crossbar.g, crossbar.wires, v, v_sense)
    solution = xb.solve(crossbar, v, v_bitline=v_sense)
    scale = np.abs(solution.i_cell).max()
    np.testing.assert_allclose(solution.i_bitline, i_b, rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(solution.i_wordline, i_w, rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(solution.v_wordline, v_w, rtol=0, atol=1e-9)
    np.testing.assert_allclose(solution.v_bitline, v_b, rtol=0, atol=1e-9)
    assert solution.residual <= 1e-9


@settings(max_examples=200, deadline=None)
@given(general_circuits())
def test_ports_of_any_boundary(circuit):
    crossbar, v, v_sense, floating = circuit
    try:
        solution = xb.solve(crossbar, v, v_bitline=v_sense, tol=np.finfo(float).eps, **floating)
    except xb.ParameterError:
        assume(False)
    ports = xb.reduce(crossbar, **floating)
    tolerance = 1e-9 * max(np.abs(solution.i_wordline).max(), np.abs(solution.i_bitline).max(), 1e-6 * crossbar.g.max())
    v[floating["floating_wordlines"]], v_sense[floating["floating_bitlines"]] = 5.0, 7.0  # must not matter
    np.testing.assert_allclose(ports.i_bitline(v, v_sense), solution.i_bitline, rtol=0, atol=tolerance)
    np.testing.assert_allclose(ports.i_wordline(v, v_sense), solution.i_wordline, rtol=0, atol=tolerance)


@settings(max_examples=60, deadline=None)
@given(circuits())
def test_sensitivities_are_derivatives(circuit):
    crossbar, v, _ = circuit
    i, j = crossbar.n_rows // 2, crossbar.n_cols // 2
    step = 1e-4 * crossbar.g.max(initial=1e-9)
    g = np.array([crossbar.g + 2 * step, crossbar.g + 2 * step])
    middle = xb.Crossbar(g[0], wires=crossbar.wires)
    g[0, i, j] -= step
    g[1, i, j] += step
    low, high = (xb.solve(xb.Crossbar(part, wires=crossbar.wires), v).i_bitline for part in g)
    sensitive, solution = xb.sensitivities(middle), xb.solve(middle, v)
    expected = sensitive[:, i, j] * (solution.v_wordline - solution.v_bitline)[i, j]
    np.testing.assert_allclose((high - low) / (2 * step), expected, rtol=0, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(circuits())
def test_ports_equal_solve_and_are_reciprocal(circuit):
    crossbar, v, v_sense = circuit
    ports = xb.reduce(crossbar)
    _, _, i_w, i_b = solve_circuit(crossbar.g, crossbar.wires, v, v_sense)
    scale = max(np.abs(i_w).max(), np.abs(i_b).max())
    np.testing.assert_allclose(ports.i_bitline(v, v_sense), i_b, rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(ports.i_wordline(v, v_sense), i_w, rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(ports.power(v, v_sense), v @ i_w - v_sense @ i_b, rtol=0, atol=1e-9 * scale)
    for matrix in (ports.admittance, ports.driver_admittance):
        np.testing.assert_allclose(matrix, matrix.T, rtol=0, atol=1e-12 * np.abs(matrix).max(initial=0))
    turned = xb.Crossbar(  # sense nodes drive, drivers sense: T turns into its transpose
        crossbar.g[::-1, ::-1].T,
        wires=xb.Wires(
            r_wordline=crossbar.wires.r_bitline,
            r_bitline=crossbar.wires.r_wordline,
            r_driver=crossbar.wires.r_sense,
            r_sense=crossbar.wires.r_driver,
        ),
    )
    transposed = xb.reduce(turned).transfer[::-1, ::-1].T
    np.testing.assert_allclose(ports.transfer, transposed, rtol=0, atol=1e-11 * np.abs(ports.transfer).max(initial=0))


@settings(max_examples=40, deadline=None)
@given(circuits())
def test_power_is_dissipated_in_cells_and_wires(circuit):
    crossbar, v, v_sense = circuit
    solution = xb.solve(crossbar, v, v_bitline=v_sense)
    wires = crossbar.wires
    u, x, i = solution.v_wordline, solution.v_bitline, solution.i_cell
    along_wordline = np.cumsum(i[:, ::-1], 1)[:, ::-1]  # current entering each wordline node
    along_bitline = np.cumsum(i, 0)
    lost = (i * (u - x)).sum()
    lost += wires.r_driver * (along_wordline[:, 0] ** 2).sum() + wires.r_wordline * (along_wordline[:, 1:] ** 2).sum()
    lost += wires.r_sense * (along_bitline[-1] ** 2).sum() + wires.r_bitline * (along_bitline[:-1] ** 2).sum()
    assert solution.power == pytest.approx(lost, rel=1e-9, abs=1e-24)
    solution.check(power_balance=1e-8)


def test_without_wires_is_a_matrix_product():
    rng = np.random.default_rng(0)
    g, v = rng.uniform(1e-6, 1e-4, (9, 5)), rng.uniform(0, 1, (3, 2, 9))
    solution = xb.solve(xb.Crossbar(g), v)
    np.testing.assert_allclose(solution.i_bitline, v @ g, rtol=1e-14)
    assert solution.i_bitline.shape == (3, 2, 5)
    assert solution.power.shape == solution.residual.shape == solution.iterations.shape == (3, 2)


def test_vanishing_wires_approach_no_wires():
    g = np.random.default_rng(1).uniform(1e-6, 1e-4, (12, 7))
    ideal = np.ones(12) @ g
    thin = xb.Wires(r_wordline=1e-3, r_bitline=1e-3, r_driver=1e-3, r_sense=1e-3)
    loss = 1 - xb.solve(xb.Crossbar(g, wires=thin), np.ones(12)).i_bitline / ideal
    assert np.all((loss > 0) & (loss < 1e-4))


def test_batch_equals_loop_and_superposition_holds():
    rng = np.random.default_rng(2)
    wires = xb.Wires(r_wordline=3, r_bitline=2, r_driver=10, r_sense=5)
    crossbar = xb.Crossbar(rng.uniform(1e-6, 1e-3, (20, 11)), wires=wires)
    v = rng.uniform(0, 1, (4, 20))
    batch = xb.solve(crossbar, v)
    for k in range(4):
        np.testing.assert_array_equal(batch.i_bitline[k], xb.solve(crossbar, v[k]).i_bitline)
    together = xb.solve(crossbar, v[0] + 2 * v[1]).i_bitline
    np.testing.assert_allclose(together, batch.i_bitline[0] + 2 * batch.i_bitline[1], rtol=1e-10)


@settings(max_examples=60, deadline=None)
@given(general_circuits(), st.integers(0, 2**32 - 1))
def test_superposition_and_batch_equals_loop_at_any_boundary(circuit, seed):
    crossbar, v, v_sense, floating = circuit
    try:
        xb.solve(crossbar, v, **floating)
    except xb.ParameterError:  # a node without a path to any source
        assume(False)
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-2, 2, 2)
    more_v, more_sense = rng.uniform(-1, 1, (9, len(v))), rng.uniform(-0.3, 0.3, (9, len(v_sense)))
    more_v[0], more_sense[0] = v, v_sense
    more_v[2], more_sense[2] = a * v + b * more_v[1], a * v_sense + b * more_sense[1]
    batch = xb.solve(crossbar, more_v, v_bitline=more_sense, method="nodes", tol=1e-14, **floating)
    scale = max(np.abs(batch.i_cell).max(), 1e-3 * crossbar.g.max())  # floating lines carry rounding only
    for currents in (batch.i_bitline, batch.i_wordline):
        np.testing.assert_allclose(currents[2], a * currents[0] + b * currents[1], rtol=0, atol=1e-10 * scale)
    for k in (0, 8):
        one = xb.solve(crossbar, more_v[k], v_bitline=more_sense[k], tol=1e-14, **floating)
        np.testing.assert_allclose(batch.i_bitline[k], one.i_bitline, rtol=0, atol=1e-11 * scale)
        np.testing.assert_allclose(batch.i_wordline[k], one.i_wordline, rtol=0, atol=1e-11 * scale)


@settings(max_examples=40, deadline=None)
@given(circuits(), st.randoms(use_true_random=False))
def test_the_order_of_lines_matters_only_along_wires(circuit, random):
    crossbar, v, _ = circuit
    rows, cols = list(range(crossbar.n_rows)), list(range(crossbar.n_cols))
    random.shuffle(rows)
    random.shuffle(cols)
    for wires, order in (
        (crossbar.wires.replace(r_bitline=0.0), (rows, sorted(cols))),
        (crossbar.wires.replace(r_wordline=0.0), (sorted(rows), cols)),
    ):
        before = xb.solve(xb.Crossbar(crossbar.g, wires=wires), v)
        after = xb.solve(xb.Crossbar(crossbar.g[np.ix_(*order)], wires=wires), v[order[0]])
        scale = np.abs(before.i_cell).max()
        np.testing.assert_allclose(after.i_bitline, before.i_bitline[order[1]], rtol=0, atol=1e-10 * scale)
        np.testing.assert_allclose(after.i_wordline, before.i_wordline[order[0]], rtol=0, atol=1e-10 * scale)


def test_no_reads_and_too_many_reads():
    crossbar = xb.Crossbar(np.full((400, 300), 1e-5), wires=xb.Wires(r_wordline=1))
    nothing = xb.solve(crossbar, np.zeros((0, 400)))
    assert nothing.i_bitline.shape == (0, 300) and nothing.power.shape == (0,)
    many = np.broadcast_to(np.zeros(400), (10**9, 400))
    with pytest.raises(xb.ParameterError, match=r"need .* TB of memory; .* left of .* solve fewer reads"):
        xb.solve(crossbar, many)
    huge = np.broadcast_to(1e-5, (10**6, 10**6))
    with pytest.raises(
        xb.ParameterError,
        match=r"1000000 x 1000000 cells need 96 TB of memory; .*B are left of the .*B that this machine has",
    ):
        xb.Crossbar(huge)


def test_zero_input_gives_zero_with_zero_residual():
    crossbar = xb.Crossbar(np.full((4, 3), 1e-5), wires=xb.Wires(r_wordline=1, r_bitline=1, r_driver=1, r_sense=1))
    solution = xb.solve(crossbar, np.zeros(4))
    assert not solution.i_bitline.any() and solution.residual == 0 and solution.power == 0


@pytest.mark.compiled
def test_golden_256x64():
    golden = np.load(GOLDEN / "circuit_256x64.npz")
    wires = xb.Wires(r_wordline=1, r_bitline=1, r_driver=1, r_sense=1)
    crossbar = xb.Crossbar(1 / golden["R"], wires=wires)
    solution = xb.solve(crossbar, golden["V"])
    largest = np.abs(golden["I"]).max()
    np.testing.assert_allclose(solution.i_bitline, golden["I"], rtol=0, atol=1e-9 * largest)
    np.testing.assert_allclose(solution.v_wordline[0], golden["v_wordline"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(solution.v_bitline[0], golden["v_bitline"], rtol=0, atol=1e-10)
    assert solution.residual.max() < 1e-14 and solution.iterations.max() < 10
    ports = xb.reduce(crossbar)
    np.testing.assert_allclose(ports.i_bitline(golden["V"]), golden["I"], rtol=0, atol=1e-9 * largest)
    np.testing.assert_allclose(ports.power(golden["V"]), solution.power, rtol=1e-9)


@pytest.mark.parametrize("case", ["base", "source_sense", "aniso", "wl_both", "bl_float"])
def test_golden_ngspice(case):
    golden = np.load(GOLDEN / "ngspice_32x24.npz")
    given_ = {"r_wl": 1, "r_bl": 1, "r_source": 0, "r_sense": 0} | json.loads(str(golden[f"{case}/cfg"]))
    wires = xb.Wires(
        r_wordline=given_["r_wl"],
        r_bitline=given_["r_bl"],
        r_driver=given_["r_source"] + given_["r_wl"],
        r_sense=given_["r_sense"] + given_["r_bl"],
        drive_both_ends=bool(given_.get("wl_both", False)),
    )
    floating = np.array(given_.get("sense_float", [False] * golden["R"].shape[1]), bool)
    solution = xb.solve(xb.Crossbar(1 / golden["R"], wires=wires), golden["V"], floating_bitlines=floating)
    current = golden[f"{case}/I"]
    np.testing.assert_allclose(solution.i_bitline, current, rtol=0, atol=1e-9 * np.abs(current).max())
    np.testing.assert_allclose(solution.v_wordline, golden[f"{case}/vw"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(solution.v_bitline, golden[f"{case}/vb"], rtol=0, atol=1e-9)


def test_missed_tolerance_raises():
    wires = xb.Wires(r_wordline=1, r_bitline=1, r_driver=1, r_sense=1)
    crossbar = xb.Crossbar(np.random.default_rng(4).uniform(1e-4, 1e-2, (16, 16)), wires=wires)
    with pytest.raises(xb.ConvergenceError, match=r"missed tol = 1e-12 within 2 iterations; raise max_iterations"):
        xb.solve(crossbar, np.ones(16), max_iterations=2)
    with pytest.raises(xb.ConvergenceError, match="Kirchhoff residual"):
        xb.solve(crossbar, np.ones(16)).check(1e-30)


@pytest.mark.parametrize(
    ("g", "message"),
    [
        ([1e-5, 1e-5], r"g has the shape \(2,\)"),
        ([[1e-5, -1e-5]], r"g\[0, 1\] = -1e-05 S: a conductance cannot be negative"),
        ([[1e-5, np.nan]], r"g\[0, 1\] = nan"),
        ([["low"]], "g is no array of real numbers"),
    ],
)
def test_bad_conductances(g, message):
    with pytest.raises(xb.ParameterError, match=message):
        xb.Crossbar(g)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"v_wordline": np.ones(3)}, r"v_wordline has the shape \(3,\); the last axis must be the 2 rows"),
        ({"v_wordline": [np.inf, 0]}, r"v_wordline\[0\] = inf"),
        ({"v_wordline": np.ones(2), "v_bitline": np.ones(4)}, r"v_bitline has the shape \(4,\)"),
        ({"v_wordline": np.ones(2), "tol": 1e-20}, "tol = 1e-20"),
        ({"v_wordline": np.ones(2), "tol": "1e-9"}, "tol = '1e-9': give a number"),
        ({"v_wordline": np.ones(2), "max_iterations": 0}, "max_iterations = 0"),
        ({"v_wordline": np.ones(2), "max_iterations": 1e3}, "max_iterations = 1000.0: give a whole number"),
        ({"v_wordline": [[1, 2], [3]]}, "v_wordline is no array of real numbers"),
    ],
)
def test_bad_voltages(arguments, message):
    with pytest.raises(xb.ParameterError, match=message):
        xb.solve(xb.Crossbar(np.full((2, 3), 1e-5)), **arguments)


@pytest.mark.parametrize("value", [-1.0, float("nan"), True, "1 V", "much", [1.0, -2.0], ["a", "b"]])
def test_bad_wires(value):
    with pytest.raises(xb.ParameterError, match=r"Wires\.r_driver"):
        xb.Wires(r_driver=value)


def test_wires_of_another_shape():
    with pytest.raises(xb.ParameterError, match=r"Wires\.r_sense has the shape \(2,\); this crossbar needs \(3,\)"):
        xb.Crossbar(np.full((2, 3), 1e-5), wires=xb.Wires(r_sense=[1.0, 2.0]))


def test_lines_without_a_source_are_named():
    g = np.full((3, 4), 1e-5)
    g[1] = 0
    with pytest.raises(xb.ParameterError, match="wordline 1 has no path to any source at row 1, column 0"):
        xb.solve(xb.Crossbar(g), np.ones(3), floating_wordlines=np.array([False, True, False]))
    everything = np.ones(3, bool), np.ones(4, bool)
    with pytest.raises(xb.ParameterError, match="wordline 0 has no path to any source"):
        xb.solve(xb.Crossbar(g), np.ones(3), floating_wordlines=everything[0], floating_bitlines=everything[1])
    with pytest.raises(xb.ParameterError, match=r"floating_bitlines has the shape \(3,\)"):
        xb.solve(xb.Crossbar(g), np.ones(3), floating_bitlines=everything[0])


def test_engineering_notation():
    assert xb.Wires(r_wordline="2.5 Ohm", r_sense="1 kOhm").r_sense == 1e3


def test_immutable():
    crossbar = xb.Crossbar([[1e-5]])
    with pytest.raises(AttributeError, match="immutable"):
        crossbar.g = np.ones((1, 1))
    with pytest.raises(ValueError, match="read-only"):
        crossbar.g[0, 0] = 1


def charged(ports, v, c, t, g_leak, v0, steps=20000):
    """Integrate C dV/dt = T v - (Y + g_leak) V by the classical Runge-Kutta method."""
    voltage, step = np.array(v0, float), t / steps

    def slope(u):
        return (ports.i_bitline(v, u) - g_leak * u) / c

    for _ in range(steps):
        k1 = slope(voltage)
        k2 = slope(voltage + step / 2 * k1)
        k3 = slope(voltage + step / 2 * k2)
        k4 = slope(voltage + step * k3)
        voltage = voltage + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return voltage


def test_charge_on_floating_bitlines_equals_transient_integration():
    rng = np.random.default_rng(3)
    wires = xb.Wires(r_wordline=20, r_bitline=20, r_driver=100, r_sense=50)
    ports = xb.reduce(xb.Crossbar(rng.uniform(1e-6, 1e-4, (6, 4)), wires=wires))
    v, c = rng.uniform(0, 0.3, 6), np.array([40e-15, 50e-15, 60e-15, 80e-15])
    for t in (2e-12, 50e-12, 1e-9):
        expected = charged(ports, v, c, t, 1e-6, [0.1, 0.0, -0.05, 0.2])
        ours = ports.charge(v, c, t, g_leak=1e-6, v0=[0.1, 0.0, -0.05, 0.2])
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9)
    settled = ports.charge(v, c, 1e-6)
    np.testing.assert_allclose(ports.i_bitline(v, settled), 0, atol=1e-15)
    with pytest.raises(xb.ParameterError, match="c_bitline = 0"):
        ports.charge(v, 0.0, 1e-9)
    with pytest.raises(xb.ParameterError, match="t = -1 s"):
        ports.charge(v, 1e-15, -1.0)
