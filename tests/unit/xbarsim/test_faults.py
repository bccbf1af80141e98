"""Faults of cells and lines: by probability and by map, and what is then solved against nodal analysis."""

import numpy as np
import pytest
from scipy import stats

import xbarsim as xb
from tests.builders.devices import LARGE, LIKELY, WIRES, make
from tests.oracles import naive_circuits


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
