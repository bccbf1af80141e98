"""Each pass from a network to what arrays hold keeps what it says it keeps, for networks of any shape."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapping as mp
import xbarsim as xb
from mapping.ir.graph import Graph
from mapping.ir.ops import Input, Lif, Norm, Pool, QuantizedRelu, Weights
from mapping.ir.shapes import Geometry
from mapping.lower.bit_slice import bit_slice
from mapping.lower.fold_norm import fold_norm
from mapping.lower.fuse import fuse
from mapping.lower.plain_kernels import plain_kernels
from mapping.lower.plan import TO_CELLS, TO_INTEGERS, explain, lower
from mapping.lower.quantize import quantize
from tests.oracles.naive_graphs import run_graph

BITS = 3


@st.composite
def networks(draw, spiking=None, depthwise=True):
    """Chains of one to three layers, whose numbers are drawn from a seed; spiking ones, or of whole numbers."""
    spiking = draw(st.booleans()) if spiking is None else spiking
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape, nodes = (2, 4, 4), {}
    nodes["input"] = Input(shape=shape, top=None if spiking else 7)
    count = draw(st.integers(1, 3))
    for number in range(1, count + 1):
        conv = shape[1] > 1 and draw(st.booleans())
        deep = conv and depthwise and not spiking and draw(st.booleans())
        out = shape[0] if deep else draw(st.integers(1, 4))
        name, channels = f"layer {number}", shape[0] if conv else int(np.prod(shape))
        kernel = {"kernel": 3, "depthwise": deep} if conv else {}
        values = rng.standard_normal((out, 1 if deep else channels, *((3, 3) if conv else (1, 1))))
        levels = draw(st.sampled_from(["binary", "ternary"])) if spiking else BITS
        if spiking:
            values = (np.sign(values) * (1 if levels == "binary" else rng.random(values.shape) < 0.7)).astype(np.int8)
        bias = rng.standard_normal(out) if draw(st.booleans()) else None
        geometry = Geometry(kind="conv" if conv else "dense", out=out, bias=bias is not None, **kernel)
        nodes[name] = Weights(geometry=geometry, values=values, levels=levels, bias=bias)
        shape = (out, *shape[1:]) if conv else (out, 1, 1)
        extra = {}
        by = draw(st.sampled_from(["average", "maximum"])) if spiking else "average"
        if conv and shape[1] % 2 == 0 and draw(st.booleans()):
            extra["pool"] = Pool(side=2, by=by)
            shape = (out, shape[1] // 2, shape[2] // 2)
        if draw(st.booleans()):
            mean, var, gamma, shift = rng.standard_normal((4, out))
            gamma = np.abs(gamma) + 0.1 if by == "maximum" else np.copysign(np.abs(gamma) + 0.1, gamma)
            extra["norm"] = Norm(mean=mean, var=var**2 + 0.1, gamma=gamma, shift=shift, eps=1e-5)
        for key in draw(st.permutations(list(extra))):
            nodes[f"{name}, {key}"] = extra[key]
        if spiking:
            neuron = mp.NeuronSpec(beta=0.8, threshold=1.3)
            shape_of = draw(st.sampled_from([(), (out, 1, 1), shape]))
            threshold, beta = rng.uniform(0.5, 2, shape_of), rng.uniform(0.3, 1, shape_of)
            nodes[f"{name}, neurons"] = Lif(neuron=neuron, threshold=threshold, beta=beta)
        else:
            last = number == count
            nodes[f"{name}, neurons"] = QuantizedRelu(
                step=1.0 if last else rng.uniform(0.1, 1), top=None if last else 7
            )
    return Graph.chain(nodes)


def frames(graph, seed=0):
    """Spikes, or whole numbers."""
    top = graph.input.top or 1
    return np.random.default_rng(seed).integers(0, top + 1, (5, *graph.input.shape)).astype(float)


def outputs(graph):
    """What all neurons give."""
    found = run_graph(graph, frames(graph))
    return [found[layer.activation.name] for layer in graph.layers()]


def assert_same(before, after, rtol=0):
    for ours, theirs in zip(outputs(before), outputs(after), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=rtol, atol=rtol)


# whole networks of real numbers give the same up to rounding: a tie that falls the other way is all but impossible
@settings(max_examples=40, deadline=None)
@given(networks())
def test_fuse_keeps_what_is_computed(graph):
    fused = fuse(graph)
    assert not any(isinstance(op, Pool) for op in fused.nodes.values())
    assert_same(graph, fused, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(networks(spiking=True))
def test_fold_norm_keeps_spikes(graph):
    folded = fold_norm(fuse(graph))
    assert not any(isinstance(op, Norm) for op in folded.nodes.values())
    for layer in folded.layers():
        weights, neurons = layer.branches[0].weights.op, layer.activation.op
        assert set(np.unique(weights.values)) <= {-1, 0, 1} and weights.scale == 1
        assert neurons.threshold.shape[0] == neurons.beta.shape[0] == len(weights.values) or neurons.threshold.ndim == 3
    assert_same(graph, folded)


@settings(max_examples=40, deadline=None)
@given(networks(spiking=False))
def test_quantize_rounds_each_weight_and_no_more(graph):
    whole = quantize(graph)
    for name, op in whole.nodes.items():
        if isinstance(op, Weights):
            real, top = graph.nodes[name].values, 2 ** (BITS - 1) - 1
            assert op.values.dtype == np.int8 and np.abs(op.values).max() == top
            assert op.scale == np.abs(real).max() / top
            assert np.abs(op.values * op.scale - real).max() <= op.scale / 2 * (1 + 1e-12)
    assert all(quantize(whole).nodes[name] is op for name, op in whole.nodes.items())
    levels = {k: replace(op, values=op.values * op.scale) for k, op in whole.nodes.items() if isinstance(op, Weights)}
    again = quantize(graph.changed({k: replace(op, scale=1.0) for k, op in levels.items()}))
    for name in levels:
        np.testing.assert_array_equal(again.nodes[name].values, whole.nodes[name].values)


@settings(max_examples=40, deadline=None)
@given(networks(spiking=False))
def test_integers_are_what_the_rounded_network_computes(graph):
    """Inputs of one stand for 1 / top, outputs for a step each: gain and offset hold all that is not whole."""
    rounded = quantize(graph)
    lowered = fold_norm(fuse(plain_kernels(rounded)))
    real = {"input": 1 / rounded.input.top}
    x = frames(rounded) * real["input"]
    for layer, after in zip(rounded.layers(), outputs(lowered), strict=True):
        names = [node.name for node in layer.nodes]
        order = [name for name in rounded.order if name in names]
        nodes = {"input": Input(shape=x.shape[1:])} | {name: rounded.nodes[name] for name in order}
        relu = layer.activation.op
        nodes[layer.activation.name] = replace(relu, gain=1 / relu.step)
        (alone,) = outputs_of(Graph.chain(nodes), x)
        np.testing.assert_allclose(after, alone, rtol=1e-9, atol=1e-9)
        x = alone * relu.step


def outputs_of(graph, x):
    found = run_graph(graph, x)
    return [found[layer.activation.name] for layer in graph.layers()]


@settings(max_examples=30, deadline=None)
@given(networks(spiking=False))
def test_plain_kernels_and_slices_keep_whole_numbers_exactly(graph):
    rounded = quantize(graph)
    plain = plain_kernels(rounded)
    assert not any(op.geometry.depthwise for op in plain.nodes.values() if isinstance(op, Weights))
    assert_same(rounded, plain)
    folded = fold_norm(fuse(plain))
    sliced = bit_slice(folded)
    for op in sliced.nodes.values():
        if isinstance(op, Weights):
            assert set(np.unique(op.values)) <= {-1, 0, 1} and op.slices == BITS - 1
    assert_same(folded, sliced, rtol=1e-12)


def test_bit_slices_of_every_weight_add_up():
    """A weight of n bits, sign and magnitude, from the bits that cells hold."""
    for bits in range(2, 9):
        top = 2 ** (bits - 1) - 1
        values = np.arange(-top, top + 1).reshape(-1, 1, 1, 1)
        weights = Weights(geometry=Geometry(kind="dense", out=len(values)), values=values, levels=bits)
        relu = QuantizedRelu(step=1.0, top=None, gain=np.ones(len(values)), offset=np.zeros(len(values)))
        graph = Graph.chain({"input": Input(shape=(1, 1, 1), top=1), "w": weights, "n": relu})
        (stage,) = lower(graph, [bit_slice])
        groups = stage.weights.reshape(bits - 1, -1)
        assert stage.slices == bits - 1 and set(np.unique(groups)) <= {-1, 0, 1}
        np.testing.assert_array_equal(2 ** np.arange(bits - 1) @ groups, values.ravel())


def spiking(**weights):
    nodes = {
        "input": Input(shape=(2, 4, 4)),
        "w": Weights(
            **{"geometry": Geometry(kind="conv", out=2, kernel=3), "values": np.ones((2, 2, 3, 3)), "levels": "binary"}
            | weights
        ),
    }
    neurons = {"n": Lif(neuron=mp.NeuronSpec(beta=0.5, threshold=1.0), threshold=np.ones(()), beta=np.zeros(()))}
    return nodes, neurons


def normed(gamma, by="maximum", first=False):
    nodes, neurons = spiking()
    ones = np.ones(2)
    norm = {"norm": Norm(mean=ones, var=ones, gamma=np.array(gamma), shift=ones, eps=0.0)}
    pool = {"pool": Pool(side=2, by=by)}
    return Graph.chain(nodes | (norm | pool if first else pool | norm) | neurons)


REFUSED = {
    "w: weights = 'float'; two-state cells hold": lambda: Graph.chain(spiking(levels="float")[0] | spiking()[1]),
    "w: maximum pooling of 4-bit weights": lambda: Graph.chain(
        spiking(levels=4)[0] | {"p": Pool(side=2, by="maximum"), "n": QuantizedRelu(step=1.0, top=None)}
    ),
    "w: batch norm has gamma = 0 in channel 1": lambda: normed([1.0, 0.0]),
    "w: batch norm has gamma < 0 in channel 1, after which": lambda: normed([1.0, -1.0]),
    "pool: follows a batch norm with weights below 0": lambda: normed([1.0, -1.0], first=True),
    "w .conv, 2 outputs.: its threshold with batch norm folded in": lambda: normed([1.0, 1e-60]),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_arrays_cannot_hold_is_refused_by_name(message):
    graph = REFUSED[message]()
    with pytest.raises(xb.ParameterError, match=message):
        lower(graph)


def test_a_batch_norm_below_0_goes_with_an_average():
    assert lower(normed([1.0, -1.0], by="average"))[0].weights[1].max() == -1


def test_passes_end_with_cells_of_two_states():
    assert TO_CELLS[: len(TO_INTEGERS)] == TO_INTEGERS
    for network in (mp.load_network("mnist-bsnn"), mp.load_ann(mp.list_anns()[0])):
        made = lower(network.graph())
        assert [stage.name for stage in made] == [f"layer {k}" for k in range(1, len(made) + 1)]
        assert all(set(np.unique(stage.weights)) <= {-1, 0, 1} for stage in made)


@pytest.mark.compiled
def test_what_passes_did_is_explained():
    text = explain(mp.load_network("mnist-bsnn").graph(), {"mine": mp.load_chip("paper-bsnn")})
    assert [line.split(":")[0] for line in text.splitlines() if not line.startswith(" ")] == [
        "distribute", "unfold", "pool_spikes", "fuse", "quantize", "plain_kernels", "fold_norm", "bit_slice", "stages",
        "place",
    ]  # fmt: skip
    mapped = mp.map_network("mnist-bsnn", "paper-bsnn")
    placed = text[text.index("place:") :].splitlines()[1:]
    for layer, line in zip(mapped.layers, placed, strict=True):
        rows, n_cols = layer.row_tiles, len(layer.row_tiles[0].tiles)
        assert f"mine, layer {layer.number + 1}: {layer.layer.weights.shape[1]} inputs on wordlines" in line
        assert f"-> {len(rows)} x {n_cols} arrays" in line and f"{layer.utilization:.0%} of their cells" in line
    sliced = explain(mp.load_ann(mp.list_anns()[0]).graph(), {"other": mp.load_chip("paper-ann")})
    assert "depthwise" in sliced and "7 slices" in sliced
