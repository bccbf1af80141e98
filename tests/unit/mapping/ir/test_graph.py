"""Graphs of networks: what fits together, which shapes come of it, and what is refused, by the name of a node."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapping as mp
import xbarsim as xb
from mapping.ir.graph import Edge, Graph
from mapping.ir.ops import Add, Input, Lif, Norm, Pool, QuantizedRelu, Weights
from mapping.ir.shapes import Geometry


def conv(out, channels, kernel=3, **geometry):
    made = Geometry(kind="conv", out=out, kernel=kernel, **geometry)
    return Weights(geometry=made, values=np.ones((out, channels, kernel, kernel)), levels="float")


def dense(out, n_in):
    return Weights(geometry=Geometry(kind="dense", out=out), values=np.ones((out, n_in, 1, 1)), levels="float")


def lif():
    neuron = mp.NeuronSpec(beta=0.5, threshold=1.0)
    return Lif(neuron=neuron, threshold=np.ones(()), beta=np.full((), 0.5))


def norm(channels):
    ones = np.ones(channels)
    return Norm(mean=ones, var=ones, gamma=ones, shift=ones, eps=1e-5)


CHAIN = {
    "input": Input(shape=(2, 8, 8)), "conv": conv(4, 2), "norm": norm(4), "pool": Pool(side=2, by="average"),
    "first": lif(), "dense": dense(3, 64), "last": lif(),
}  # fmt: skip


def residual(**changes):
    """Spikes of a layer go to a second one, and past it to the sum that its neurons get."""
    nodes = {"input": Input(shape=(2, 8, 8)), "a": conv(4, 2), "n": lif(), "b": conv(4, 4), "sum": Add(), "m": lif()}
    edges = ["input a", "a n", "n b", "b sum", "n sum", "sum m"]
    return Graph(nodes | changes, [Edge(*edge.split()) for edge in edges])


def recurrent(delay=1, **changes):
    """Spikes of a layer come back to it a step later."""
    nodes = {"input": Input(shape=(5, 1, 1)), "w": dense(3, 5), "sum": Add(), "n": lif(), "v": dense(3, 3)}
    edges = [Edge("input", "w"), Edge("w", "sum"), Edge("sum", "n"), Edge("n", "v", delay), Edge("v", "sum")]
    return Graph(nodes | changes, edges)


def test_shapes_of_chains_branches_and_loops():
    graph = Graph.chain(CHAIN)
    assert graph.shapes == {
        "input": (2, 8, 8), "conv": (4, 8, 8), "norm": (4, 8, 8), "pool": (4, 4, 4), "first": (4, 4, 4),
        "dense": (3, 1, 1), "last": (3, 1, 1),
    }  # fmt: skip
    names = [[node.name for node in layer.nodes] for layer in graph.layers()]
    assert names == [["first", "pool", "norm", "conv"], ["last", "dense"]]
    assert residual().shapes["sum"] == (4, 8, 8) and recurrent().shapes["v"] == (3, 1, 1)
    assert recurrent().order.index("w") < recurrent().order.index("n")


@settings(deadline=None)
@given(st.permutations(list(CHAIN)))
def test_the_order_in_which_nodes_are_given_does_not_matter(names):
    edges = Graph.chain(CHAIN).edges
    graph = Graph({name: CHAIN[name] for name in names}, edges)
    assert graph.order == tuple(CHAIN) and graph.shapes == Graph.chain(CHAIN).shapes


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 4), st.integers(0, 3), st.integers(1, 9), st.integers(1, 9))
def test_shapes_of_convolutions_are_those_of_a_loop(kernel, stride, pool, padding, height, width):
    """A kernel lies at each start, stride apart, from which it reaches no further than the margin."""
    made = conv(2, 1, kernel, stride=stride, padding=padding)

    def starts(size):
        return len([s for s in range(-padding, size + padding, stride) if s + kernel <= size + padding])

    nodes = {"input": Input(shape=(1, height, width)), "conv": made, "pool": Pool(side=pool, by="maximum")}
    rows, cols = starts(height), starts(width)
    if min(rows, cols) < 1:
        with pytest.raises(xb.ParameterError, match=f"conv: kernel = {kernel} is larger than the input"):
            Graph.chain(nodes)
    elif min(rows, cols) < pool:
        with pytest.raises(xb.ParameterError, match=f"pool: pool = {pool} is larger than the {rows}x{cols} input"):
            Graph.chain(nodes)
    else:
        assert Graph.chain(nodes).shapes["pool"] == (2, rows // pool, cols // pool)


REFUSED = {
    "conv: takes 3 inputs; there are 2 .shape .2, 8, 8..": lambda: Graph.chain(CHAIN | {"conv": conv(4, 3)}),
    "norm: has 5 features, the layer 4 channels": lambda: Graph.chain(CHAIN | {"norm": norm(5)}),
    "dense: takes 63 inputs; there are 64": lambda: Graph.chain(CHAIN | {"dense": dense(3, 63)}),
    "b: takes 4 inputs; there are 6": lambda: residual(a=conv(6, 2)),
    "sum: adds inputs of the shapes .4, 4, 4. and .4, 8, 8.": lambda: residual(b=conv(4, 4, stride=2)),
    "v: takes 4 inputs; there are 3": lambda: recurrent(v=dense(3, 4)),
    "sum: adds inputs of the shapes .3, 1, 1. and .2, 1, 1.": lambda: recurrent(v=dense(2, 3)),
    "is a loop without delay": lambda: recurrent(delay=0),
    "delay = -1; give 0 or more": lambda: recurrent(delay=-1),
    "there is no node b": lambda: Graph({"a": Input(shape=(1, 1, 1))}, [Edge("a", "b")]),
    "last: takes inputs from 0 nodes; it needs 1": lambda: Graph(CHAIN, Graph.chain(CHAIN).edges[:-1]),
    "sum: takes inputs from 1 nodes; it needs at least 2": lambda: Graph.chain(CHAIN | {"sum": Add()}),
    "input: takes inputs from 1 nodes; it needs 0": lambda: Graph(
        CHAIN, [*Graph.chain(CHAIN).edges, Edge("last", "input", 1)]
    ),
    "has to have one Input": lambda: Graph({"a": Input(shape=(1, 1, 1)), "b": Input(shape=(1, 1, 1))}, []),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_does_not_fit_is_refused_by_name(message):
    with pytest.raises(xb.ParameterError, match=message):
        REFUSED[message]()


NO_CHAIN = {
    "n: is added to weighted inputs, but has no weights itself": residual,
    "dense: follows conv without neurons": lambda: Graph.chain({k: v for k, v in CHAIN.items() if k != "first"}),
    "first: comes without weights before it": lambda: Graph.chain({k: CHAIN[k] for k in ("input", "pool", "first")}),
    "conv: has no neurons after it": lambda: Graph.chain({k: CHAIN[k] for k in ("input", "conv")}),
    "pool: only one pooling per layer": lambda: Graph.chain(
        {k: CHAIN[k] for k in ("input", "conv", "pool")} | {"again": Pool(side=2, by="average"), "first": lif()}
    ),
    "the network has no layer with neurons": lambda: Graph.chain({"input": CHAIN["input"]}),
}


@pytest.mark.parametrize("message", NO_CHAIN)
def test_what_is_no_chain_of_layers_is_refused_by_name(message):
    graph = NO_CHAIN[message]()
    with pytest.raises(xb.ParameterError, match=message):
        graph.layers()


def test_nodes_that_go_hand_on_what_they_get():
    graph = Graph.chain(CHAIN).changed({"conv": conv(4, 2, 5)}, without=["norm"])
    assert list(graph.nodes) == [name for name in CHAIN if name != "norm"]
    assert Edge("conv", "pool") in graph.edges and graph.nodes["conv"].geometry.kernel == 5
    looped = recurrent().changed({}, without=["n"])
    assert {Edge("sum", "v", 1), Edge("v", "sum")} <= set(looped.edges)


def test_trained_networks_of_both_kinds_are_graphs():
    spiking, conventional = mp.load_network("mnist-bsnn").graph(), mp.load_ann(mp.list_anns()[0]).graph()
    assert all(
        isinstance(layer.activation.op, kind)
        for graph, kind in ((spiking, Lif), (conventional, QuantizedRelu))
        for layer in graph.layers()
    )
    assert (
        spiking.input.top is None
        and conventional.input.top == 255
        and {spiking.nodes["layer 1"].values.dtype} == {np.dtype(np.int8)}
    )
