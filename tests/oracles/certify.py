"""Random circuits over everything that solve() takes, each against elimination by the star-mesh rule.

python -m tests.oracles.certify --circuits 100000 --seed 1
"""

import argparse
import time

import numpy as np

import xbarsim as xb
from tests.oracles.starmesh import floating_lines, oracle, random_circuit

ALLOWED = 1e-9  # of the largest current


def certify(rng, largest=12):
    """Solve one circuit; return "right", "wrong", "refused" (no path to a source) or "failed", and the error."""
    crossbar, v, v_bitline, floating = random_circuit(rng, largest)
    expected = oracle(crossbar, v, v_bitline, *floating_lines(floating))
    try:
        solution = xb.solve(crossbar, v, v_bitline=v_bitline, **floating)
    except xb.ParameterError:
        return ("refused" if expected is None else "failed"), 0.0
    except xb.ConvergenceError:
        return "failed", 0.0
    if expected is None:
        return "wrong", np.inf
    apart = max(
        np.abs(found - right).max() for found, right in zip((solution.i_wordline, solution.i_bitline), expected)
    )
    scale = max(np.abs(right).max() for right in expected)
    error = apart / scale if apart > 0 else 0.0
    return ("right" if error <= ALLOWED else "wrong"), error


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--circuits", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    counts, worst, began = dict.fromkeys(("right", "refused", "failed", "wrong"), 0), 0.0, time.time()
    for k in range(arguments.circuits):
        verdict, error = certify(np.random.default_rng((arguments.seed, k)))
        counts[verdict] += 1
        worst = max(worst, error)
        if verdict in ("failed", "wrong"):
            print(f"circuit {k}: {verdict}, error {error:.1e}", flush=True)
        if (k + 1) % 1000 == 0 or k + 1 == arguments.circuits:
            print(f"{k + 1} circuits, {time.time() - began:.0f} s: {counts}, largest error {worst:.1e}", flush=True)


if __name__ == "__main__":
    main()
