"""Output noise without a solve for each read."""

import numpy as np
import pytest

import xbarsim as xb
from tests.builders.devices import WIRES, programmed
from tests.oracles import naive_circuits


def noisy_currents(g, wires, v, spread, n):
    """Solve n reads, each with conductances of its own."""
    draws = np.random.default_rng(0)
    cells = (np.maximum(g * (1 + spread * draws.standard_normal(g.shape)), 0) for _ in range(n))
    return np.array([xb.solve(xb.Crossbar(noisy, wires=wires), v).i_bitline for noisy in cells])


def test_first_order_noise_is_the_slope_of_the_circuit():
    """With all columns: the change by each cell alone, from two solves of the circuit, squared and summed."""
    rng = np.random.default_rng(0)
    g, v = rng.uniform(1e-4, 1e-3, (5, 4)), rng.uniform(0.1, 0.3, 5)
    sigma, step = 0.03 * g, 1e-4
    crossbar = xb.Crossbar(g, wires=WIRES)
    noise, solution = xb.output_noise(crossbar, sigma), xb.solve(crossbar, v)
    own, dg = np.zeros(4), np.zeros((5, 4))
    for i in range(5):
        for j in range(4):
            ends = []
            for sign in (1, -1):
                changed = g.copy()
                changed[i, j] *= 1 + sign * step
                *_, i_bitline = naive_circuits.solve_circuit(changed, WIRES, v)
                ends.append(i_bitline[j])
            slope = (ends[0] - ends[1]) / (2 * step * g[i, j])
            own[j] += (slope * sigma[i, j]) ** 2
            dg[i, j] = rng.normal() * 1e-9
    np.testing.assert_allclose(noise.variance(v, solution.v_cell), own, rtol=1e-6)
    *_, after = naive_circuits.solve_circuit(g + dg, WIRES, v)
    full = np.einsum("kij,ij,ij->k", xb.sensitivities(crossbar), solution.v_cell, dg)
    np.testing.assert_allclose(full, after - solution.i_bitline, rtol=1e-4)
    np.testing.assert_allclose(noise.shift(solution.v_cell, dg), full, atol=0.1 * np.abs(full).max())


@pytest.mark.compiled
@pytest.mark.parametrize("spread", [0.01, 0.2])
@pytest.mark.parametrize(
    ("g_lrs", "r", "active", "least", "most"),
    [(1e-5, 1.0, 6, 0.01, 0.03), (1e-5, 1.0, 128, 0.1, 0.15), (1e-4, 2.5, 6, 0.3, 0.45), (1e-4, 2.5, 128, 0.8, 1.0)],
)
def test_error_of_first_order_noise_against_solving_again(g_lrs, r, active, least, most, spread):
    """With solved voltages the variance is that of 300 solved reads within 4 %, of which 1 % (one sigma) is chance.

    With nominal ones it is between ``least`` and ``most`` too large.
    """
    rng = np.random.default_rng(1)
    g = np.where(rng.random((256, 64)) < 0.5, g_lrs, g_lrs / 10)
    wires = xb.Wires(r_wordline=r, r_bitline=r, r_driver=r, r_sense=r)
    v = np.zeros(256)
    v[rng.choice(256, active, replace=False)] = 0.3
    crossbar = xb.Crossbar(g, wires=wires)
    noise, solution = xb.output_noise(crossbar, spread * g), xb.solve(crossbar, v)
    exact = noisy_currents(g, wires, v, spread, 300).var(0, ddof=1).sum()
    solved = noise.variance(v, solution.v_cell).sum()
    assert solved == pytest.approx(exact, rel=0.04)
    assert least < noise.variance(v).sum() / solved - 1 < most


def test_noise_draws_follow_the_variance():
    g = np.random.default_rng(0).uniform(1e-4, 1e-3, (6, 3))
    noise = xb.output_noise(xb.Crossbar(g, wires=WIRES), 0.05 * g)
    v = np.linspace(0.1, 0.3, 6)
    draws = noise.sample(np.broadcast_to(v, (20_000, 6)), np.random.default_rng(0))
    np.testing.assert_allclose(draws.mean(0), noise.ports.i_bitline(v), rtol=2e-3)
    np.testing.assert_allclose(draws.var(0), noise.variance(v), rtol=0.05)
    with pytest.raises(xb.ParameterError, match="sigma has the shape"):
        xb.output_noise(xb.Crossbar(g), 0.1)


def test_read_spread_of_a_die_feeds_output_noise():
    die = programmed(np.eye(4), read_noise={"gaussian": {"lrs": 0.1, "hrs": 0.3}}, faults={"stuck_lrs": [[0, 1]]})
    expected = np.where(np.eye(4) == 1, 1e-6, 3e-7)
    expected[0, 1] = 0
    np.testing.assert_allclose(die.read_spread, expected, rtol=1e-12)
