"""Numbers that no machine has the memory for: refused before anything is taken, with the number and what to change."""

import time
import tracemalloc

import numpy as np
import pytest

import mapping as mp
import xbarsim as xb
from mapping.networks.ann_spec import AnnSpec

N = 10**9
IMAGES = np.zeros((3, 1, 8, 8))


def network(**changes):
    layers = changes.pop("layers", [mp.LayerSpec(kind="dense", out=3)])
    fields = {"input_shape": (1, 8, 8), "beta": 0.5, "threshold": 1.0, "t_steps": 2} | changes
    return mp.Network(mp.NetworkSpec(layers=layers, **fields))


def with_steps(use):
    small = network()
    small.spec = small.spec.replace(t_steps=10**10)
    return use(small)


CASES = {
    "outputs": lambda: network(layers=[mp.LayerSpec(kind="dense", out=N)]),
    "channels": lambda: network(layers=[mp.LayerSpec(kind="conv", out=N, kernel=3), mp.LayerSpec(kind="dense", out=2)]),
    "kernel": lambda: network(
        layers=[mp.LayerSpec(kind="conv", out=2, kernel=10**6 + 1), mp.LayerSpec(kind="dense", out=2)]
    ),
    "inputs": lambda: network(input_shape=(1, N, 8)),
    "ann": lambda: mp.Ann(
        AnnSpec(input_shape=(1, 8, 8), layers=[mp.LayerSpec(kind="dense", out=10 * N, weights=None)])
    ),
    "steps of a network": lambda: with_steps(lambda net: net.predict(IMAGES)),
    "steps in training": lambda: mp.train(network().spec.replace(t_steps=10**10), IMAGES, np.arange(3)),
    "steps on a chip": lambda: with_steps(lambda net: mp.map_network(net, mp.load_chip("paper-bsnn")).spikes(IMAGES)),
    "rows": lambda: mp.map_network(network(), mp.load_chip("paper-bsnn").replace(rows=N, cols=N)),
    "die": lambda: xb.Die(mp.load_chip("paper-bsnn").device, (N, N), seed=0),
    "margin": lambda: xb.read_margin([10**6], [10], g_lrs=1e-5),
    "crossbar": lambda: xb.Crossbar(np.broadcast_to(1e-5, (N, N))),
    "reads": lambda: xb.solve(xb.Crossbar(np.full((8, 8), 1e-5)), np.broadcast_to(0.1, (10**11, 8))),
    "trials": lambda: xb.monte_carlo(lambda rng: 1.0, N * 1000),
    "values": lambda: xb.sweep(lambda rng, a: 1.0, {"a": range(N)}, n_trials=1),
    "points": lambda: xb.sweep(lambda rng, **k: 1.0, {c: range(100) for c in "abcdef"}, n_trials=1),
}


@pytest.mark.compiled
@pytest.mark.parametrize("case", CASES)
def test_what_no_machine_can_hold_is_refused_before_it_is_taken(case):
    tracemalloc.start()
    began = time.monotonic()
    try:
        with pytest.raises(xb.ParameterError, match=r" need \S+ \S*B of memory; \S+ \S*B are left of the ") as told:
            CASES[case]()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 100e6 and time.monotonic() - began < 20
    text = str(told.value)
    assert "\n" not in text and len(text.rpartition(": ")[2]) <= 200
