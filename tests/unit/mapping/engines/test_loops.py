"""Time steps one by one do what all of them together do, and age arrays alike."""

import dataclasses

import numpy as np
import pytest

import mapping as mp
import xbarsim as xb
from mapping.chip.ageing import Ageing
from mapping.engines.dense_engine import run_component
from mapping.ir.components import Component
from tests.builders.structures import network_of_seed

LAYERS = [
    {"kind": "conv", "out": 3, "kernel": 3, "name": "first"},
    {"kind": "dense", "out": 4, "branches": [{"kind": "dense", "out": 4, "inputs": ("input",)}]},
]
WEAR = {"device__read_disturb": xb.PowerLawDisturb(t0=1e-9, c=0.03)}  # moves within the reads of one batch
CHIPS = {
    "charge": ("paper-bsnn", WEAR),
    "noise": ("paper-bsnn", WEAR | {"device__read_noise": 0.02}),
    "converters": ("paper-ann", WEAR),
    "held": ("paper-ann", WEAR | {"constant_input": "once"}),
}
SIMULATED = ("simulated", "clipped", "passed", "limited")  # a constant input once, or anew in each step


def run(chip, network, given, loops, tolerance):
    mapped = mp.map_network(network, chip, seed=2)
    ageing = Ageing(tolerance, 300.0, 1e-3) if tolerance is not None else None
    done = [
        run_component(mapped.layers, Component([k], loops), given, ageing=ageing)[k] for k in range(len(mapped.layers))
    ]
    return mapped, done, ageing


@pytest.mark.compiled
@pytest.mark.parametrize("tolerance", [None, 0.0, 0.02])
@pytest.mark.parametrize("analog", [False, True])
@pytest.mark.parametrize("name", CHIPS)
def test_layers_of_no_loop_do_the_same_step_by_step(name, analog, tolerance):
    source, changes = CHIPS[name]
    chip = mp.load_chip(source).replace(**changes)
    spec = mp.NetworkSpec(input_shape=(2, 4, 4), layers=LAYERS, beta=0.8, threshold=1.5, t_steps=5)
    network, rng = network_of_seed(spec, 4), np.random.default_rng(5)
    x = rng.random((1, 3, 2, 4, 4)) if analog else (rng.random((5, 3, 2, 4, 4)) < 0.4).astype(float)
    given = {-1: (x, analog), 0: ((rng.random((5, 3, 3, 4, 4)) < 0.3).astype(float), False)}
    found = [run(chip, network, given, loops, tolerance) for loops in (False, True)]
    (one, ours, a), (other, theirs, b) = found
    for mine, yours in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine.outputs, yours.outputs)
        np.testing.assert_allclose(mine.state, yours.state, rtol=1e-4, atol=1e-4)
        for field in dataclasses.fields(mine.ledger):
            if field.name not in SIMULATED:
                counts = [getattr(done.ledger, field.name) for done in (mine, yours)]
                assert counts[0] == pytest.approx(counts[1], rel=1e-6), field.name
    for mine, yours in zip(one.layers, other.layers, strict=True):
        for left, right in zip(mine.tiles, yours.tiles, strict=True):
            np.testing.assert_allclose(left.die.conductance, right.die.conductance, rtol=1e-9)
    if tolerance is not None:
        assert 0 < a.refreshes == b.refreshes
