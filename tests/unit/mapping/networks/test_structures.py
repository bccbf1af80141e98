"""Residual and recurrent networks: shapes, spikes, gradients and files, against loops over the equations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mapping as mp
import xbarsim as xb
from mapping.lower.plan import TO_LAYERS
from mapping.networks.from_graph import network_of
from mapping.networks.network import Network
from tests.builders.structures import most_spikes, network_of_seed, structures
from tests.oracles.naive_graphs import run_graph
from tests.oracles.naive_networks import naive_lif

STEPS = 5


def spikes_by_definition(network, frames):
    """Spikes of each layer, node by node; frames are (t_steps, channels, height, width)."""
    found = run_graph(network.graph(), frames)
    return [found[f"{name}, neurons"] for name in network.spec.wiring.names]


@pytest.mark.compiled
@settings(max_examples=25, deadline=None)
@given(spec=structures(STEPS), seed=st.integers(0, 2**32 - 1))
def test_software_is_the_definition_of_its_graph(spec, seed):
    """All layers in double precision; a tie that falls the other way is all but impossible."""
    network = network_of_seed(spec, seed)
    x = (np.random.default_rng(seed).random((2, STEPS, *spec.input_shape)) < 0.5).astype(np.uint8)
    ours = network.spikes(x, axes="ntchw")
    for sample in range(2):
        theirs = spikes_by_definition(network, x[sample].astype(float))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a[:, sample], b)
    for engine in ("events", "dense"):
        np.testing.assert_array_equal(network.predict(x, engine=engine, axes="ntchw"), most_spikes(spec, ours))


@pytest.mark.compiled
@settings(max_examples=20, deadline=None)
@given(spec=structures(STEPS), seed=st.integers(0, 2**32 - 1))
def test_passes_and_files_keep_spikes(spec, seed, tmp_path_factory):
    network = network_of_seed(spec, seed)
    graph, frames = network.graph(), np.random.default_rng(seed).integers(0, 2, (STEPS, *spec.input_shape))
    before, lowered = run_graph(graph, frames.astype(float)), graph
    for step in TO_LAYERS:
        lowered = step(lowered)
    after = run_graph(lowered, frames.astype(float))
    for name in spec.wiring.names:
        np.testing.assert_array_equal(after[f"{name}, neurons"], before[f"{name}, neurons"])
    assert len(lowered.layers()) == len(spec.layers)
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    mp.save_network(network, path)
    x = frames[None].astype(np.uint8)
    for again in (mp.load_network(path).double(), network_of(graph, STEPS).double()):
        for a, b in zip(again.spikes(x, axes="ntchw"), network.spikes(x, axes="ntchw"), strict=True):
            np.testing.assert_array_equal(a, b)


RECURRENT = {"kind": "dense", "out": 3, "inputs": ("layer 1",), "delay": 1}


def recurrent(**values):
    layers = [mp.LayerSpec(kind="dense", out=3, branches=[RECURRENT]), mp.LayerSpec(kind="dense", out=2)]
    spec = {"beta": 0.7, "threshold": 1.1, "slope": 2.0, "t_steps": STEPS, "weights": "float"} | values
    return mp.NetworkSpec(input_shape=(4, 1, 1), layers=layers, **spec)


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("delay", [True, False])
def test_gradients_through_a_loop_are_those_of_all_steps_unrolled(reset, delay):
    """Weights enter a loop of one-step networks, which torch differentiates; surrogates are those of the twin."""
    torch.manual_seed(0)
    network = Network(recurrent(reset_mechanism=reset, reset_delay=delay)).double()
    x = (torch.rand(STEPS, 6, 4, 1, 1, dtype=torch.float64) < 0.6).double()
    first, last = network.layers
    parameters = [first.weight, first.branches[0].weight, last.weight]
    for weight in parameters:
        weight.data = 0.4 + torch.randn(weight.shape, dtype=torch.float64)
    upstream = torch.randn(2, STEPS, 6, 2, 1, 1, dtype=torch.float64)

    def gradients(spikes, membranes):
        assert 0.02 < spikes.detach().mean() < 0.98
        return torch.autograd.grad([spikes, membranes], parameters, list(upstream))

    ours = gradients(*(part[-1] for part in network(x)))
    theta, beta = (torch.full((3, 1, 1), x, dtype=torch.float64) for x in (1.1, 0.7))
    currents = []
    for t in range(STEPS):  # all steps so far, again and again
        fired = naive_lif(currents, theta, beta, first.neuron, t)[0][-1] if t else torch.zeros(6, 3, 1, 1).double()
        back = fired.flatten(1) @ first.branches[0].weight.flatten(1).T
        currents.append((x[t].flatten(1) @ first.weight.flatten(1).T + back)[:, :, None, None])
    spikes, _ = naive_lif(currents, theta, beta, first.neuron, STEPS)
    out = (spikes.flatten(2) @ last.weight.flatten(1).T)[:, :, :, None, None]
    theirs = gradients(*naive_lif(out, theta[:2], beta[:2], last.neuron, STEPS))
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_gradients_of_membranes_in_a_loop_are_finite_differences():
    """Of weights that move no spike: the last layer's own recurrence, read at its membranes."""
    torch.manual_seed(1)
    layers = [mp.LayerSpec(kind="dense", out=3, branches=[RECURRENT])]
    spec = recurrent(decoder="membrane").replace(layers=layers)
    network, x = Network(spec).double(), (torch.rand(STEPS, 4, 4, 1, 1) < 0.5).double()
    weight = network.layers[0].branches[0].weight
    network.layers[0].weight.data *= 4

    def loss():
        spikes, membranes = network(x)
        return membranes[0].square().sum(), spikes[0].detach().clone()

    value, fired = loss()
    assert fired[:-1].any()  # comes back
    network.layers[0].neuron = network.layers[0].neuron.replace(slope=1e12)  # a surrogate of all but no width
    value, _ = loss()
    (grad,) = torch.autograd.grad(value, weight)
    with torch.no_grad():
        for place in np.ndindex(*weight.shape):
            found = []
            for shift in (1e-6, -2e-6, 1e-6):
                weight[place] += shift
                found.append(loss())
            assert all(torch.equal(spikes, fired) for _, spikes in found)
            assert float((found[0][0] - found[1][0]) / 2e-6) == pytest.approx(float(grad[place]), rel=1e-6, abs=1e-8)


@pytest.mark.compiled
def test_residual_and_recurrent_networks_learn():
    """A sequence whose class is its first input, read at the last step: nothing but a recurrence remembers it."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 256)
    x = np.zeros((256, 6, 2, 1, 1), np.uint8)
    x[np.arange(256), 0, labels] = 1
    back = RECURRENT | {"out": 8, "inputs": ("memory",)}
    layers = [
        mp.LayerSpec(kind="dense", out=8, name="memory", branches=[back]),
        mp.LayerSpec(kind="dense", out=8, shortcuts=["memory"]),
        mp.LayerSpec(kind="dense", out=2, neuron={"fire": "never", "reset_mechanism": "none"}),
    ]
    spec = mp.NetworkSpec(
        input_shape=(2, 1, 1),
        layers=layers,
        beta=0.0,
        threshold=0.3,
        t_steps=6,
        weights="float",
        decoder="last-membrane",
    )
    settings = mp.TrainingSettings(epochs=15, batch_size=32, learning_rate=3e-2, n_validation=0, shift=0)
    for without, learns in ((False, True), (True, False)):
        forgets = spec.replace(layers=[layers[0].replace(branches=()), *layers[1:]]) if without else spec
        network = mp.train(forgets, x, labels, settings, axes="ntchw")
        assert bool(np.mean(network.predict(x, axes="ntchw") == labels) > 0.95) is learns


REFUSED = {
    "layer 2: reads 'nobody'; there are input, layer 1, layer 2": {"inputs": ("nobody",)},
    "layer 2: reads 'layer 2', which has not fired yet in the same step; give delay = 1": {"inputs": ("layer 2",)},
    "layer 2: has the name 'input'; give one of its own": {"name": "input"},
    "layer 2: a branch has no inputs": {"branches": [{"kind": "conv", "out": 3}]},
    "layer 2: adds up branches of the shapes .3, 4, 4. and .2, 4, 4.": {
        "branches": [{"kind": "conv", "out": 2, "inputs": ("input",)}]
    },
    "layer 2: the shortcut from input has the shape .1, 4, 4., its sums .3, 4, 4.": {"shortcuts": ("input",)},
    "layer 2: its inputs have the shapes .1, 4, 4. and .3, 4, 4., which join = 'sum'": {"inputs": ("input", "layer 1")},
    "pool = 2: branches are pooled with their layer": {
        "branches": [{"kind": "conv", "out": 3, "inputs": ("input",), "pool": 2}]
    },
    "NetworkSpec.layers: layer 2 is in a loop with batch_norm = true": {
        "batch_norm": True, "branches": [{"kind": "conv", "out": 3, "inputs": ("layer 2",), "delay": 1}],
    },
    "layer 2: is depthwise with out = 3, but has 1 input channels": {
        "branches": [{"kind": "conv", "out": 3, "inputs": ("input",), "depthwise": True}]
    },
    "layer 2: pool = 5 is larger than the 4x4 input": {"input_pool": 5},
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_layers_that_do_not_fit_are_refused_by_name(message):
    first = {"kind": "conv", "out": 3, "kernel": 3}
    with pytest.raises(xb.ParameterError, match=message):
        mp.NetworkSpec(
            input_shape=(1, 4, 4), layers=[first, first | REFUSED[message]], beta=0.5, threshold=1, t_steps=2
        )


def test_a_residual_and_recurrent_network_is_its_definition_in_both_engines():
    layers = [
        mp.LayerSpec(kind="conv", out=2, kernel=3, name="a"),
        mp.LayerSpec(kind="conv", out=2, kernel=3, pool=2, shortcuts=["a"]),
        mp.LayerSpec(kind="dense", out=3, branches=[RECURRENT | {"inputs": ("layer 3",)}]),
    ]
    network = network_of_seed(
        mp.NetworkSpec(input_shape=(1, 4, 4), layers=layers, beta=0.7, threshold=1, t_steps=3), 0
    )  # fmt: skip
    x = np.random.default_rng(0).integers(0, 2, (2, 3, 1, 4, 4)).astype(np.uint8)
    for sample, ours in enumerate(zip(*(np.moveaxis(s, 1, 0) for s in network.spikes(x, axes="ntchw")))):
        for a, b in zip(ours, spikes_by_definition(network, x[sample].astype(float)), strict=True):
            np.testing.assert_array_equal(a, b)
    events, dense = (network.predict(x, engine=engine, axes="ntchw") for engine in ("events", "dense"))
    np.testing.assert_array_equal(events, dense)
