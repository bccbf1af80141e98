"""Weights on evenly spaced levels: recognised as they come, and made of real ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mapping as mp
import xbarsim as xb
from mapping.ir.ops import Weights
from mapping.ir.shapes import Geometry
from mapping.lower.levels import recognised
from mapping.networks.from_graph import network_of
from tests.builders.structures import network_of_seed, structures


def weights(values):
    values = np.asarray(values)
    return Weights(
        geometry=Geometry(kind="dense", out=len(values)), values=values.reshape(*values.shape, 1, 1), levels="float"
    )


@settings(max_examples=60, deadline=None)
@given(
    top=st.sampled_from([1, 3, 5, 7, 15, 100]),
    each=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_levels_times_a_scale_are_recognised_and_kept_to_the_bit(top, each, seed):
    """As a framework computes them, in single precision, with one scale for all or one for each output."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(-top, top + 1, (3, 600))
    levels[:, 0], levels[:, 1] = top, 1
    scale = rng.uniform(1e-3, 10, (3, 1) if each else (1, 1)).astype(np.float32)
    given_ = (levels.astype(np.float32) * scale).astype(float)
    found = recognised(weights(given_))
    np.testing.assert_array_equal(found.values[:, :, 0, 0], levels)
    np.testing.assert_array_equal(found.scale, np.broadcast_to(scale[:, 0], 3).astype(float))
    assert found.levels == {1: "ternary"}.get(top, top.bit_length() + 1)
    real = rng.normal(size=(3, 600)).astype(np.float32).astype(float)
    assert recognised(weights(real)).levels == "float"


def test_few_numbers_are_no_levels():
    assert recognised(weights([[0.5, 0.2]])).levels == "float"
    assert recognised(weights([[0.5, -0.5], [2.0, 2.0]])).levels == "binary"
    assert recognised(weights(np.zeros((2, 3)))).levels == "ternary"


@pytest.mark.compiled
@settings(max_examples=12, deadline=None)
@given(
    spec=structures(4, weights=("float",), most=3),
    kind=st.sampled_from(["binary", "ternary", 2, 4, 8]),
    seed=st.integers(0, 2**32 - 1),
)
def test_networks_on_levels_compute_what_their_levels_say(spec, kind, seed, tmp_path_factory):
    """Weights are a level times a scale, as near as levels are; files keep them; chips take them or say why not."""
    network = network_of_seed(spec, seed)
    made = network_of(network.graph(), 4, quantize=kind).double()
    for layer, theirs in zip(made.layers, made.graph().layers(), strict=True):
        for part in (layer, *layer.branches):
            levels = part.node().values
            if isinstance(kind, int):
                assert np.abs(levels).max() <= 2 ** (kind - 1) - 1
            else:
                assert set(np.unique(levels)) <= ({-1, 1} if kind == "binary" else {-1, 0, 1})
        assert len(theirs.branches) == 1 + len(layer.branches)
    path = tmp_path_factory.mktemp("levels") / "net.safetensors"
    mp.save_network(made, path)
    x = (np.random.default_rng(seed).random((2, 4, *spec.input_shape)) < 0.5).astype(np.uint8)
    again = mp.load_network(path).double()
    for a, b in zip(made.spikes(x, axes="ntchw"), again.spikes(x, axes="ntchw"), strict=True):
        np.testing.assert_array_equal(a, b)
    if isinstance(kind, int):
        mapped = mp.map_network(made, "paper-bsnn", dtype=torch.float64)
        assert len(mapped.spikes(x, axes="ntchw")) == len(spec.layers)


def test_rounding_to_bits_is_the_nearest_level():
    network = network_of_seed(
        mp.NetworkSpec(
            input_shape=(9, 1, 1), layers=[mp.LayerSpec(kind="dense", out=4)], weights="float", beta=0.5, threshold=1,
            t_steps=2,
        ),
        3,
    )  # fmt: skip
    real = network.layers[0].weight.detach().numpy()
    (layer,) = network_of(network.graph(), 2, quantize=4).layers
    step = np.abs(real).max() / 7
    np.testing.assert_allclose(layer.effective_weight().detach().numpy(), np.rint(real / step) * step, rtol=1e-6)
    (signs,) = network_of(network.graph(), 2, quantize="binary").layers
    scale = np.abs(real).mean(1).ravel()
    np.testing.assert_array_equal(signs.effective_weight().detach().numpy(), np.where(real >= 0, 1, -1))
    np.testing.assert_allclose(signs.threshold.numpy().ravel(), network.layers[0].threshold.numpy().ravel() / scale)


@pytest.mark.compiled
def test_shipped_real_networks_go_onto_every_chip():
    images, labels = mp.load_dataset("mnist")
    network = mp.load_network("mnist-snn", quantize=4)
    assert np.mean(network.predict(images[:500]) == labels[:500]) > 0.975
    assert network.metadata["quantized"] == 4
    for name in ("paper-ann", "paper-bsnn"):
        report = mp.map_network(network, name).evaluate(images[:40], labels[:40])
        assert report.accuracy >= 0.9


@pytest.mark.parametrize("kind", ["signs", 1, 9, True, 2.5])
def test_other_levels_are_refused(kind):
    with pytest.raises(xb.ParameterError, match="quantize = .*: give 'binary', 'ternary' or 2 to 8 bits"):
        mp.load_network("mnist-snn", quantize=kind)


def test_scales_that_are_no_multiples_are_refused_on_the_same_membranes():
    from mapping.lower.quantize import quantize

    network = network_of_seed(
        mp.NetworkSpec(
            input_shape=(4, 1, 1), beta=0.5, threshold=1, t_steps=2,
            layers=[mp.LayerSpec(kind="dense", out=3), mp.LayerSpec(kind="dense", out=3, shortcuts=["layer 1"])],
        ),
        0,
    )  # fmt: skip
    graph = network.graph()
    doubled = graph.changed({"layer 2": replace(graph.nodes["layer 2"], scale=2.0)})
    assert quantize(doubled).nodes["layer 2"].levels == 3
    odd = graph.changed({"layer 2": replace(graph.nodes["layer 2"], scale=0.7)})
    with pytest.raises(xb.ParameterError, match="layer 2: adds up 2 kinds of .* no multiples of one"):
        quantize(odd)
