"""Memory reads by scheme, against the circuit drawn by hand and against the dense nodal twin."""

import numpy as np
import pytest

import xbarsim as xb
from tests.oracles.naive_circuits import solve_circuit
from xbarsim.errors import NoPathError

G = np.random.default_rng(0).uniform(1e-6, 1e-4, (4, 5))
WIRES = xb.Wires(r_wordline=30, r_bitline=20, r_driver=100, r_sense=50)
BIAS = {"ground": (0, 0), "v/2": (0.5, 0.5), "v/3": (1 / 3, 2 / 3)}


@pytest.mark.parametrize("scheme", ["ground", "float", "v/2", "v/3"])
def test_equals_dense_nodal_analysis(scheme):
    row, col, v_read = 2, 1, 0.4
    read = xb.read_cell(xb.Crossbar(G, wires=WIRES), row, col, v_read=v_read, scheme=scheme)
    wordline, bitline = BIAS.get(scheme, (0, 0))
    v, v_sense = np.full(4, wordline * v_read), np.full(5, bitline * v_read)
    v[row], v_sense[col] = v_read, 0.0
    open_lines = ([0, 1, 3], [0, 2, 3, 4]) if scheme == "float" else ((), ())
    v_w, v_b, _, i_b = solve_circuit(G, WIRES, v, v_sense, *open_lines)
    across, opened = v_w - v_b, G.copy()
    opened[row, col] = 0.0
    sneak = solve_circuit(opened, WIRES, v, v_sense, *open_lines)[3][col]
    assert read.i_sneak == pytest.approx(sneak, rel=1e-9)
    assert read.i_selected + read.i_sneak == pytest.approx(i_b[col], rel=1e-9)
    half = np.concatenate([np.delete(across[row], col), np.delete(across[:, col], row)])
    assert read.v_half_select == pytest.approx(np.abs(half).max(), rel=1e-9)
    assert read.margin == pytest.approx(1 - sneak / i_b[col], rel=1e-9)
    if scheme == "float":
        assert np.isnan(read.v_wordline).sum() == 3 and np.isnan(read.v_bitline).sum() == 4
    else:
        np.testing.assert_allclose(read.v_wordline, v)
        np.testing.assert_allclose(read.v_bitline, v_sense)


def test_sneak_paths_without_wires_by_hand():
    g = np.array([[1e-6, 1e-4], [1e-4, 1e-4]])  # selected cell in parallel with three others in series
    read = xb.read_cell(xb.Crossbar(g), 0, 0, v_read=0.3, scheme="float")
    assert read.i_selected == pytest.approx(0.3e-6)
    assert read.i_sneak == pytest.approx(0.3 * 1e-4 / 3)
    grounded = xb.read_cell(xb.Crossbar(g), 0, 0, v_read=0.3, scheme="ground")
    assert grounded.i_sneak == 0 and grounded.margin == 1
    half = xb.read_cell(xb.Crossbar(g), 0, 0, v_read=0.3, scheme="v/2")
    assert half.v_half_select == pytest.approx(0.15) and half.i_sneak == pytest.approx(0.15e-4)
    third = xb.read_cell(xb.Crossbar(g), 0, 0, v_read=0.3, scheme="v/3")
    assert third.v_half_select == pytest.approx(0.1) and third.i_sneak == pytest.approx(0.1e-4)


def test_shares_behind_a_sense_resistance_by_hand():
    """Four cells of g = 0.1 mS, R = 1/g between the selected bitline and its sense node, 0.3 V.

    Grounded: the bitline node is at x = V g / (g + g + 1/R) = V/3; the cell carries 2/3 g V, of which half reaches the
    sense node and half leaks through the cell below. Open lines: the other three cells in series add g/3, before R.
    Half voltages: the cell below brings V/2 through g.
    """
    crossbar, one = xb.Crossbar(np.full((2, 2), 1e-4), wires=xb.Wires(r_sense=1e4)), 0.3e-4
    ground, floating, half = (xb.read_cell(crossbar, 0, 0, scheme=scheme) for scheme in ("ground", "float", "v/2"))
    assert ground.i_selected == pytest.approx(one / 3) and ground.solution.i_cell[0, 0] == pytest.approx(2 * one / 3)
    assert ground.i_sneak == 0 and ground.margin == 1
    assert floating.i_selected + floating.i_sneak == pytest.approx(one * 4 / 7)  # 4/3 g before 1/g
    assert floating.i_sneak == pytest.approx(one / 4) and floating.margin == pytest.approx(1 - 7 / 16)
    assert half.i_selected + half.i_sneak == pytest.approx(one / 2) and half.i_sneak == pytest.approx(one / 4)
    assert half.margin == pytest.approx(0.5)


def test_a_cell_that_takes_from_the_sensed_current_has_no_share():
    """Bitline 0 is open and lifts wordline 1 and bitline 1; wordline 0 is cut off and grounded through bitline 2."""
    wires = xb.Wires(r_wordline=[[1e9, 0.0], [0.0, 0.0]], r_driver=[0.0, 1e9], r_sense=[np.inf, 1e5, 0.0])
    g = np.array([[1e-4, 1e-4, 1e-3], [1e-4, 1e-4, 0.0]])
    read = xb.read_cell(xb.Crossbar(g, wires=wires), 0, 1)
    assert read.solution.i_cell[0, 1] < 0 and read.i_selected < 0 < read.i_sneak and np.isnan(read.margin)


def test_where_nothing_is_sensed_there_is_no_share():
    read = xb.read_cell(xb.Crossbar([[0.0]]), 0, 0)
    assert read.i_selected == 0 and read.i_sneak == 0 and np.isnan(read.margin)
    cut = xb.read_cell(xb.Crossbar(G, wires=WIRES.replace(r_sense=[50, np.inf, 50, 50, 50])), 2, 1)
    assert cut.i_selected == 0 and cut.i_sneak == 0 and np.isnan(cut.margin)
    np.testing.assert_allclose(xb.read_margin([1, 3], [np.inf], g_lrs=1e-5), 1)


def test_cells_that_are_taken_as_they_are_have_their_share():
    """Conductors of 10 kS, beyond all memristors: without wires the sense node sees the selected cell alone."""
    crossbar = xb.Crossbar(np.full((2, 3), 1e4), plausible=False)
    read = xb.read_cell(crossbar, 0, 2, v_read=0.1)
    assert (read.i_selected, read.i_sneak, read.margin) == (pytest.approx(1e3, rel=1e-12), 0, 1)


def test_margin_of_floating_arrays_by_hand():
    """The n-1 x n-1 unselected cells join two groups of n-1: sneak conductance g (n-1)^2 / (2 n - 1)."""
    sizes, ratios = [2, 4, 8], [10.0, 1000.0]
    margins = xb.read_margin(sizes, ratios, g_lrs=1e-5, scheme="float")
    for n, row in zip(sizes, margins):
        sneak = (n - 1) ** 2 / (2 * n - 1)
        for ratio, margin in zip(ratios, row):
            assert margin == pytest.approx((1 - 1 / ratio) / (1 + sneak), rel=1e-9)


def test_selectors_and_transistors_save_the_margin():
    wires = xb.Wires(r_wordline=1, r_bitline=1)
    plain = xb.read_margin([16], [100.0], g_lrs=1e-5, wires=wires, scheme="float")
    selector = xb.OneSelectorOneResistor(i_selector=1e-15, v_selector=0.02)
    selected = xb.read_margin([16], [100.0], g_lrs=1e-5, wires=wires, cell=selector, scheme="v/2", v_read=0.6)
    gated = xb.read_margin([16], [100.0], g_lrs=1e-5, wires=wires, scheme="float",
                           cell=xb.OneTransistorOneResistor(r_on=1e3, g_off=1e-12))  # fmt: skip
    assert plain < 0.15 and selected > 0.9 and gated > 0.95


def test_what_a_circuit_refuses_is_no_share():
    """An opened cell that leaves lines without a path carried nothing; any other refusal of the circuit stands.

    First, wordline 0 has no driver: it hangs on the selected cell alone, which is at 0 V and adds nothing. Then, with
    the selected cell open, the other three take 0.5 V in series at 5 mV of v_char, no voltage for a sinh.
    """
    alone = xb.Crossbar([[1e-5, 0.0], [0.0, 1e-5]], wires=xb.Wires(r_driver=[np.inf, 1.0]))
    read = xb.read_cell(alone, 0, 0)
    assert read.i_selected == 0 and read.i_sneak == 0
    steep = xb.Sinh(v_char=0.005)
    crossbar = xb.Crossbar(
        [[1e9, 1e-5], [1e-5, 1e-5]], cell=steep, wires=xb.Wires(r_driver=1e-6), plausible=False
    )  # fmt: skip
    with pytest.raises(xb.ParameterError, match="no sinh law holds there"):
        xb.read_cell(crossbar, 0, 0, 0.5, "float")
    cut = xb.Crossbar([[0.0, 0.0], [0.0, 1e-5]], wires=alone.wires)
    with pytest.raises(NoPathError, match="wordline 0 has no path to any source at row 0, column 0"):
        xb.read_cell(cut, 1, 1)


def test_bad_reads():
    crossbar = xb.Crossbar(G)
    with pytest.raises(xb.ParameterError, match=r"cell \(4, 0\): the crossbar has 4 rows"):
        xb.read_cell(crossbar, 4, 0)
    with pytest.raises(xb.ParameterError, match="scheme = 'v/4': give one of ground, float, v/2, v/3"):
        xb.read_cell(crossbar, 0, 0, scheme="v/4")
    with pytest.raises(xb.ParameterError, match="v_read = 0"):
        xb.read_cell(crossbar, 0, 0, v_read=0)
    with pytest.raises(xb.ParameterError, match="row = 0.5: give a whole number"):
        xb.read_cell(crossbar, 0.5, 0)
    with pytest.raises(xb.ParameterError, match="each ratio must be above 1"):
        xb.read_margin([4], [0.5], g_lrs=1e-5)
    with pytest.raises(xb.ParameterError, match=r"on_off_ratios\[1\] = nan"):
        xb.read_margin([4], [2, np.nan], g_lrs=1e-5)
    with pytest.raises(xb.ParameterError, match="g_lrs = 0: give a conductance above 0 S"):
        xb.read_margin([4], [2], g_lrs=0)
    with pytest.raises(xb.ParameterError, match="sizes holds 0"):
        xb.read_margin([4, 0], [2], g_lrs=1e-5)
