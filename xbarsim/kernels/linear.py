"""The linear circuit, by whichever of the two methods needs less work: known sweeps, or conjugate gradients."""

from xbarsim.kernels.chebyshev import sweep, sweep_wide, sweeps_needed
from xbarsim.kernels.jit import jit
from xbarsim.kernels.schur import CONVERGED, conjugate_gradients, conjugate_gradients_wide

MOST_SWEEPS = 10  # conjugate gradients need half as many iterations, each of twice the work, and a longer start


@jit
def solve_bitlines(wordlines, bitlines, rho, v, v_end, added, tol, max_iterations, work, x):
    """Fill the bitline node voltages x (n_rows, n_cols); return (iterations, status).

    rho : product of the sags of wordlines and bitlines, see ``chebyshev.py``
    other arguments : as in ``schur.py``
    """
    sweeps = sweeps_needed(rho, tol, min(MOST_SWEEPS, max_iterations))
    if sweeps == 0:
        return conjugate_gradients(1, wordlines, bitlines, rho, v, v_end, added, tol, max_iterations, work, x)
    sweep(sweeps, rho, wordlines, bitlines, v, v_end, added, work, x)
    return sweeps, CONVERGED


@jit
def solve_bitlines_wide(n_pieces, wordlines, bitlines, rho, v, v_end, added, tol, max_iterations, work, x):
    """Do :func:`solve_bitlines` on ``n_pieces`` threads, for arrays that outgrow the cache."""
    sweeps = sweeps_needed(rho, tol, min(MOST_SWEEPS, max_iterations))
    if sweeps == 0:
        return conjugate_gradients_wide(
            n_pieces, wordlines, bitlines, rho, v, v_end, added, tol, max_iterations, work, x
        )
    sweep_wide(n_pieces, sweeps, rho, wordlines, bitlines, v, v_end, added, work, x)
    return sweeps, CONVERGED
