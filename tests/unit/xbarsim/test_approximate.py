"""The approximate models: against their definitions cell by cell, and their errors against the circuit."""

import numpy as np
import pytest

import xbarsim as xb

RNG = np.random.default_rng(8)
G = 10 ** RNG.uniform(-6, -4, (5, 4))
V = RNG.uniform(0, 0.3, (2, 5))
WIRES = xb.Wires(
    r_wordline=RNG.uniform(1, 9, (5, 3)),
    r_bitline=RNG.uniform(1, 9, (4, 4)),
    r_driver=RNG.uniform(1, 99, 5),
    r_sense=RNG.uniform(1, 99, 4),
)


def wires_to(i, j):
    """Segments from the driver of row i to cell (i, j), and from it to its sense node."""
    before = [WIRES.r_driver[i], *WIRES.r_wordline[i, :j]]
    after = [*WIRES.r_bitline[i:, j], WIRES.r_sense[j]]
    return before, after


def test_series_is_each_cell_with_its_own_wires():
    expected = np.zeros((2, 4))
    for i, j in np.ndindex(5, 4):
        before, after = wires_to(i, j)
        expected[:, j] += V[:, i] / (1 / G[i, j] + sum(before) + sum(after))
    np.testing.assert_allclose(xb.approximate(xb.Crossbar(G, wires=WIRES), V, "series"), expected, rtol=1e-13)


def test_one_pass_drops_voltage_by_ideal_currents():
    expected = np.zeros((2, 4))
    ideal = V[:, :, None] * G
    for i, j in np.ndindex(5, 4):
        before, after = wires_to(i, j)
        drop = sum(r * ideal[:, i, k:].sum(1) for k, r in enumerate(before))
        drop = drop + sum(r * ideal[:, : i + k + 1, j].sum(1) for k, r in enumerate(after))
        expected[:, j] += G[i, j] * (V[:, i] - drop)
    np.testing.assert_allclose(xb.approximate(xb.Crossbar(G, wires=WIRES), V, "one-pass"), expected, rtol=1e-13)


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("r_wire", "lowest", "highest"),
    [
        (0.1, {"ideal": 0.005, "series": 0.005, "one-pass": 1e-5}, {"ideal": 0.03, "series": 0.03, "one-pass": 5e-4}),
        (1.0, {"ideal": 0.05, "series": 0.05, "one-pass": 2e-3}, {"ideal": 0.25, "series": 0.25, "one-pass": 3e-2}),
    ],
)
def test_error_against_the_circuit(r_wire, lowest, highest):
    rng = np.random.default_rng(0)
    wires = xb.Wires(r_wordline=r_wire, r_bitline=r_wire, r_driver=r_wire, r_sense=r_wire)
    crossbar = xb.Crossbar(np.where(rng.random((256, 64)) < 0.5, 1e-5, 1e-6), wires=wires)
    v = 0.3 * (rng.random(256) < 0.5)
    exact = xb.solve(crossbar, v).i_bitline
    for model, low in lowest.items():
        error = np.abs(xb.approximate(crossbar, v, model) - exact).max() / exact.max()
        assert low < error < highest[model], (model, error)


def test_all_models_agree_without_wires():
    exact = xb.solve(xb.Crossbar(G), V).i_bitline
    for model in ("ideal", "series", "one-pass"):
        np.testing.assert_allclose(xb.approximate(xb.Crossbar(G), V, model), exact, rtol=1e-12)


def test_what_they_do_not_describe():
    crossbar = xb.Crossbar(G, wires=WIRES)
    with pytest.raises(xb.ParameterError, match="model = 'fast': give one of ideal, series, one-pass"):
        xb.approximate(crossbar, V, "fast")
    with pytest.raises(xb.ParameterError, match="use solve"):
        xb.approximate(xb.Crossbar(G, cell=xb.Sinh(v_char=0.3)), V, "ideal")
    with pytest.raises(xb.ParameterError, match="use solve"):
        xb.approximate(xb.Crossbar(G, wires=WIRES.replace(drive_both_ends=True)), V, "series")
    with pytest.raises(xb.ParameterError, match=r"v_wordline has the shape \(2, 4\)"):
        xb.approximate(crossbar, V[:, :4], "ideal")
