"""Read disturb: how far reads move each cell along a power law in time."""

from xbarsim.kernels.elementary import LARGEST, expm1, log1p
from xbarsim.kernels.jit import jit


@jit
def power_law(v, time, c, slope, log_a, t0, state):
    """Advance the state of each cell by ``time`` [s] at ``v`` [V]; arrays (n,).

    G / G0 = 1 until the stress t / t_onset(v) reaches 1, and (t / t_onset)^-p(v) from then on, with
    p = c exp(slope |v|) and t_onset = t0 exp(log_a / p). The state of a cell is its stress - 1 while that is negative,
    and then s = -ln(G / G0): at another voltage it goes on from the time at which that voltage would have brought it
    to the same s. From s, a further stress d leads to s + p ln(1 + d exp(-s / p)), which loses no small d to rounding.
    """
    for j in range(len(v)):
        p = c * (1.0 + expm1(min(slope * abs(v[j]), LARGEST)))
        inverse = 1.0 / p
        stress = time[j] / t0 * (1.0 + expm1(-min(log_a * inverse, LARGEST)))
        before = state[j]
        fallen = max(before, 0.0)
        grown = stress * (1.0 + expm1(-min(fallen * inverse, LARGEST)))
        excess = before + stress if before < 0.0 else grown
        state[j] = excess if excess < 0.0 else fallen + p * log1p(excess)


@jit
def ratios(state, ratio):
    """Fill G / G0 of cells in these states; arrays (n,)."""
    for k in range(len(state)):
        ratio[k] = 1.0 + expm1(-min(max(state[k], 0.0), LARGEST))


@jit
def count_reads(v, n_reads, least, reads):
    """Add ``n_reads`` to the reads of the cells that saw at least ``least`` volts; arrays (n,)."""
    for k in range(len(v)):
        reads[k] += n_reads[k] * (abs(v[k]) >= least)
