"""Read disturb: how far reads move each cell along a power law in time."""

from xbarsim.kernels.elementary import LARGEST, exp, log1p
from xbarsim.kernels.jit import jit


@jit
def power_law(v, time, c, slope, log_a, t0, share, fallen):
    """Advance each cell by ``time`` [s] at ``v`` [V]; arrays (n,).

    G / G0 = 1 until the stress t / t_onset(v) reaches 1, and (t / t_onset)^-p(v) from then on, with
    p = c exp(slope |v|) and t_onset = t0 exp(log_a / p). ``share`` is the stress while it is below 1, then 1, and
    ``fallen`` is -ln(G / G0). At another voltage a cell goes on from the time at which that voltage would have brought
    it to where it is: from ``fallen``, a further stress d leads to fallen + p ln(1 + d exp(-fallen / p)).
    """
    for j in range(len(v)):
        p = c * exp(min(slope * abs(v[j]), LARGEST))
        inverse = 1.0 / p
        stress = time[j] / t0 * exp(-min(log_a * inverse, LARGEST))
        grown = stress * exp(-min(fallen[j] * inverse, LARGEST))
        excess = (share[j] - 1.0) + stress if share[j] < 1.0 else grown
        before = excess < 0.0
        share[j] = share[j] + stress if before else 1.0
        fallen[j] = fallen[j] if before else fallen[j] + p * log1p(excess)


@jit
def ratios(fallen, ratio):
    """Fill G / G0 of cells; arrays (n,)."""
    for k in range(len(fallen)):
        ratio[k] = exp(-min(fallen[k], LARGEST))


@jit
def count_reads(v, n_reads, least, reads):
    """Add ``n_reads``, one number or (n,), to the reads (n,) of the cells that saw at least ``least`` volts."""
    if len(n_reads) == 1:
        for k in range(len(v)):
            reads[k] += n_reads[0] * (abs(v[k]) >= least)
    else:
        for k in range(len(v)):
            reads[k] += n_reads[k] * (abs(v[k]) >= least)
