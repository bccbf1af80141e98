"""Currents right to 1e-9 of the largest in any circuit, against the star-mesh rule; and that against fractions."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xbarsim as xb
from tests.oracles.certify import certify
from tests.oracles.starmesh import (
    branches,
    connected,
    exact_currents,
    floating_lines,
    line_currents,
    nonlinear_currents,
    oracle,
    port_conductances,
    random_cells,
    random_circuit,
)


@pytest.mark.parametrize("seed", range(60))
def test_the_star_mesh_rule_equals_nodal_analysis_in_fractions(seed):
    crossbar, v, v_bitline, floating = random_circuit(np.random.default_rng(seed), largest=3)
    lines = floating_lines(floating)
    ports, _, mesh = branches(crossbar, *lines)
    if not connected(ports, mesh):
        return
    found = line_currents(port_conductances(ports, mesh), *crossbar.g.shape, v, v_bitline)
    expected = exact_currents(crossbar, v, v_bitline, *lines)
    scale = max(np.abs(part).max() for part in expected)
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13 * scale)


@pytest.mark.compiled
def test_solve_is_right_or_refuses():
    """300 circuits of 1e-12 to 1 S and 0, wires of 0 and 1e-6 to 1e6 ohm, breaks, any boundary."""
    verdicts = [certify(np.random.default_rng((0, k))) for k in range(300)]
    assert {verdict for verdict, _ in verdicts} <= {"right", "refused"}
    assert sum(verdict == "right" for verdict, _ in verdicts) > 250


@pytest.mark.compiled
@pytest.mark.parametrize("method", ["ports", "elimination"])
def test_batches_and_nodes(method):
    """Reads through ports or by elimination; cell currents of the latter add up to those of their lines."""
    for k in range(40):
        rng = np.random.default_rng((1, k))
        crossbar, v, v_bitline, floating = random_circuit(rng, largest=7)
        v = np.array([v, rng.uniform(-1, 1, len(v)), np.full(len(v), 0.3)])
        try:
            solution = xb.solve(crossbar, v, v_bitline=v_bitline, method=method, **floating)
        except xb.ParameterError:
            assert oracle(crossbar, v[0], v_bitline, *floating_lines(floating)) is None
            continue
        for read in range(len(v)):
            i_wordline, i_bitline = oracle(crossbar, v[read], v_bitline, *floating_lines(floating))
            scale = max(np.abs(i_wordline).max(), np.abs(i_bitline).max())
            if method == "ports":  # of the currents it works with
                np.testing.assert_allclose(
                    solution.i_bitline[read], i_bitline, rtol=0, atol=1e-9 * np.abs(i_bitline).max()
                )
                continue
            np.testing.assert_allclose(solution.i_bitline[read], i_bitline, rtol=0, atol=1e-12 * scale)
            np.testing.assert_allclose(solution.i_wordline[read], i_wordline, rtol=0, atol=1e-12 * scale)
            np.testing.assert_allclose(solution.i_cell[read].sum(0), i_bitline, rtol=0, atol=1e-12 * scale)
            np.testing.assert_allclose(solution.i_cell[read].sum(1), i_wordline, rtol=0, atol=1e-12 * scale)
            inside = (v[read].min(), v[read].max(), v_bitline.min(), v_bitline.max(), 0.0)
            for nodes in (solution.v_wordline[read], solution.v_bitline[read]):
                assert nodes.min() >= min(inside) - 1e-12 and nodes.max() <= max(inside) + 1e-12


@pytest.mark.compiled
def test_port_matrices_of_every_kind_of_circuit():
    """Each entry to 1e-9 of its port's own admittance, by the star-mesh rule; or a refusal."""
    compared = 0
    for k in range(60):
        crossbar, _, _, floating = random_circuit(np.random.default_rng((2, k)), largest=7)
        ports, _, mesh = branches(crossbar, *floating_lines(floating))
        if not connected(ports, mesh):
            continue
        try:
            model = xb.reduce(crossbar, **floating)
        except xb.ConvergenceError:
            continue
        compared += 1
        mesh = port_conductances(ports, mesh)
        own = {port: sum(mesh[port].values()) for port in ports}
        floor = 1e-22 * max(own.values()) + 1e-28  # an open connection may leak 1e-30 S
        for i, j in np.ndindex(*crossbar.g.shape):
            driver, sense = ("driver", i), ("sense", j)
            between, least = mesh[driver].get(sense, 0.0), min(own[driver], own[sense])
            assert model.transfer[j, i] == pytest.approx(between, rel=0, abs=1e-9 * least + floor)
        for kind, matrix in (("driver", model.driver_admittance), ("sense", model.admittance)):
            for p in range(len(matrix)):
                assert matrix[p, p] == pytest.approx(own[(kind, p)], rel=1e-9, abs=floor)
    assert compared > 40


@pytest.mark.compiled
@pytest.mark.parametrize("kind", ["open", "gated"])
def test_silent_rows_of_every_kind_of_circuit(kind):
    """Currents and power to 1e-9 of the largest current, dead rows and weak lines included."""
    compared = 0
    for k in range(40):
        rng = np.random.default_rng((3, k))
        crossbar, v, _, _ = random_circuit(rng, largest=6)
        g = np.where(rng.random((crossbar.n_rows, 1)) < 0.2, 0.0, crossbar.g)
        wires = crossbar.wires.replace(drive_both_ends=False, r_driver=10 ** rng.uniform(-3, 4, len(g)))
        crossbar = xb.Crossbar(g, wires=wires)
        v = rng.uniform(0.1, 1, (4, len(v))) * (rng.random((4, len(v))) < 0.5)
        v[0, 0] = 1.0
        try:
            i_bitline, power = xb.InactiveRows(crossbar, kind).read(v)
        except xb.XbarsimError:  # nothing leads anywhere
            continue
        for read, volts in enumerate(v):
            if kind == "open":
                circuit, silent = crossbar, np.flatnonzero(volts == 0)
            else:  # wires of cells that are gated off carry nothing
                circuit, silent = xb.Crossbar(g * (volts[:, None] != 0), wires=wires), ()
            mesh = port_conductances(*branches(circuit, silent)[::2]) if kind == "gated" else floated(circuit, silent)
            if mesh is None:
                continue
            compared += 1
            right = line_currents(mesh, *g.shape, volts, np.zeros(g.shape[1]))
            scale = max(np.abs(part).max() for part in right)
            np.testing.assert_allclose(i_bitline[read], right[1], rtol=0, atol=1e-9 * scale)
            assert power[read] == pytest.approx(volts @ right[0], rel=1e-8, abs=1e-9 * scale)
    assert compared > 60


@pytest.mark.compiled
@pytest.mark.parametrize("lines", ["any", "weak"])
def test_non_linear_cells_are_right_or_refused(lines):
    """Sinh and measured cells to 1e-9 of the largest current, also where lines conduct next to nothing beside them."""
    compared, names = 0, ("r_wordline", "r_bitline", "r_driver", "r_sense")
    for k in range(60):
        rng = np.random.default_rng((4, k, lines == "weak"))
        crossbar, v, v_bitline, floating = random_circuit(rng, largest=2)
        wires = crossbar.wires if lines == "any" else xb.Wires(**dict(zip(names, 10 ** rng.uniform(3, 6, 4))))
        crossbar = xb.Crossbar(crossbar.g, wires=wires, cell=random_cells(rng))
        try:
            solution = xb.solve(crossbar, [v, 0.5 * v], v_bitline=v_bitline, **floating)
        except xb.ParameterError:  # no path, or cells of more than 1 kS
            continue
        for read, part in enumerate((v, 0.5 * v)):
            right = nonlinear_currents(crossbar, part, v_bitline, *floating_lines(floating))
            scale = max(np.abs(currents).max() for currents in right)
            for ours, theirs in zip((solution.i_wordline[read], solution.i_bitline[read]), right):
                np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9 * scale + 1e-30)
            i_cell = solution.i_cell[read]
            np.testing.assert_allclose(i_cell.sum(0), solution.i_bitline[read], rtol=0, atol=1e-12 * scale + 1e-30)
        compared += 1
    assert compared > 40


@pytest.mark.compiled
def test_a_read_whose_gradients_end_too_early_is_eliminated():
    """Circuit 5252 of the campaign: tied to its sources by almost nothing, its residual just below 1e-9."""
    assert certify(np.random.default_rng((1, 5252)))[0] == "right"


def floated(crossbar, silent):
    """Port conductances with the drivers of inactive rows eliminated; nodes without a path to a port left out."""
    ports, _, mesh = branches(crossbar)
    if not connected(ports, mesh):
        return None
    return port_conductances([port for port in ports if port not in {("driver", i) for i in silent}],
                             port_conductances(ports, mesh)) | {("driver", i): {} for i in silent}  # fmt: skip


def test_lines_without_a_current_carry_exactly_none():
    wires = xb.Wires(r_wordline=1.0, r_bitline=2.0, r_driver=10.0, r_sense=[10.0, np.inf])
    g = np.array([[1e-4, 2e-4], [3e-4, 1e-5]])
    solution = xb.solve(xb.Crossbar(g, wires=wires), [0.3, 0.2], floating_wordlines=np.array([False, True]))
    assert solution.i_bitline[1] == 0 and solution.i_wordline[1] == 0 and solution.i_bitline[0] > 0
    assert not xb.solve(xb.Crossbar(g, wires=wires), [0.3, 0.3], v_bitline=0.3).i_bitline.any()  # all at one voltage


@pytest.mark.compiled
def test_arrays_too_large_to_eliminate_are_refused(monkeypatch):
    monkeypatch.setattr("xbarsim.elimination._LARGEST", 1 << 14)
    wires = xb.Wires(r_wordline=1e3, r_bitline=1e3, r_driver=1e15, r_sense=1e15)
    with pytest.raises(xb.ConvergenceError, match="drown in rounding, and are too many to eliminate|missed tol"):
        xb.solve(xb.Crossbar(np.full((30, 28), 1e-2), wires=wires), np.full(30, 0.3))


odd = st.sampled_from([0.0, 1e-300, 1e-12, 1e-5, 1.0, 1e6, 1e300])


@pytest.mark.compiled
@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.lists(odd, min_size=9, max_size=9),
    st.sampled_from([0.0, 1.0, 1e6, 1e29, np.inf]),
    st.sampled_from([-1e3, 1e-12, 0.3]),
    st.sampled_from(["ground", "float", "v/2", "v/3"]),
    st.booleans(),
)
def test_memory_reads_give_a_share_or_a_refusal(shape, cells, r, v_read, scheme, gated):
    g = np.array(cells[: shape[0] * shape[1]]).reshape(shape)
    wires = xb.Wires(r_wordline=min(r, 1.0), r_bitline=1.0, r_driver=r, r_sense=min(r, 1e6))
    cell = xb.OneTransistorOneResistor(r_on=1e3, g_off=1e-12) if gated else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            read = xb.read_cell(
                xb.Crossbar(g, wires=wires, cell=cell, plausible=False), 0, shape[1] - 1, v_read, scheme
            )
        except xb.XbarsimError:
            return
    assert np.isfinite([read.i_selected, read.i_sneak, read.v_half_select]).all()
    assert read.i_sneak * v_read >= 0 and (0 <= read.margin <= 1 or np.isnan(read.margin))
    opened = g.copy()
    opened[0, -1] = 0.0
    sensed, sneak = (sensed_current(xb.Crossbar(part, wires=wires, cell=cell, plausible=False), v_read, scheme)
                     for part in (g, opened))  # fmt: skip
    sneak = sensed if sneak is None else sneak
    if sensed is not None and abs(sensed) > 1e-12 * abs(v_read) * g.sum() and not np.isnan(read.margin):
        assert read.margin == pytest.approx(max(1 - sneak / sensed, 0), abs=1e-6)
        assert read.i_selected + read.i_sneak == pytest.approx(sensed, rel=1e-6)


def sensed_current(crossbar, v_read, scheme):
    """What the last bitline senses with the cell in its row 0 selected, by the star-mesh rule; None without a path."""
    m, n = crossbar.g.shape
    wordline, bitline = {"ground": (0, 0), "float": (0, 0), "v/2": (1 / 2, 1 / 2), "v/3": (1 / 3, 2 / 3)}[scheme]
    v, v_sense = np.full(m, wordline * v_read), np.full(n, bitline * v_read)
    v[0], v_sense[-1] = v_read, 0.0
    lines = (range(1, m), range(n - 1)) if scheme == "float" else ()
    gated = isinstance(crossbar.cell, xb.OneTransistorOneResistor)
    currents = oracle(crossbar, v, v_sense, *(lines or ((), ())), np.arange(m) == 0 if gated else None)
    return None if currents is None else currents[1][-1]


anything = st.one_of(odd, st.sampled_from([-1.0, np.nan, np.inf, -np.inf, True, None, "x", 2, [1.0], 1.5, 1 + 1e-15]))


@pytest.mark.compiled
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.integers(-1, 3), anything), max_size=2), st.lists(anything, max_size=2), anything, anything
)
def test_margins_of_anything_are_shares_or_a_refusal(sizes, ratios, g_lrs, v_read):
    sizes = [size for size in sizes if not isinstance(size, float) or size < 4 or size != size]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            margins = xb.read_margin(sizes, ratios, g_lrs=g_lrs, v_read=v_read, scheme="float")
        except xb.XbarsimError:
            return
    assert margins.shape == (len(sizes), len(ratios))
    assert (np.isnan(margins) | ((margins >= 0) & (margins <= 1))).all()
