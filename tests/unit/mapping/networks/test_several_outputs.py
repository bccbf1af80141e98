"""Networks whose classes are the neurons of several layers, one layer after the other."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import mapping as mp
import xbarsim as xb
from mapping.training.train import training_step
from tests.builders.structures import network_of_seed

HEADS = [
    {"kind": "conv", "out": 3, "kernel": 3, "name": "body"},
    {"kind": "dense", "out": 2, "name": "left"},
    {"kind": "dense", "out": 3, "name": "right", "inputs": ("body",)},
]


def heads(**values):
    spec = {"beta": 0.8, "threshold": 1.0, "t_steps": 5, "weights": "float", "outputs": ("right", "left")} | values
    return mp.NetworkSpec(input_shape=(1, 4, 4), layers=HEADS, **spec)


@pytest.mark.parametrize("decoder", ["count", "first-spike", "membrane", "last-membrane", "max-membrane"])
@pytest.mark.parametrize("chip", ["paper-bsnn", "paper-ann"])
def test_all_ways_of_reading_take_all_outputs(decoder, chip):
    """By the definition of each decoder, in software by both engines and on chips."""
    network = network_of_seed(heads(decoder=decoder, weights="ternary"), 3)
    for layer in network.layers:
        layer.threshold = layer.threshold / 4
    x = (np.random.default_rng(0).random((20, 5, 1, 4, 4)) < 0.5).astype(np.uint8)
    with torch.no_grad():
        spikes, membranes = network(torch.from_numpy(np.moveaxis(x, 1, 0)).double())
    s, u, theta = (
        [of[k].numpy() for k in (2, 1)] for of in (spikes, membranes, [layer.threshold for layer in network.layers])
    )
    s, u = (np.concatenate([part.reshape(5, 20, -1) for part in of], 2) for of in (s, u))
    u = u / np.concatenate([part.ravel() for part in theta])
    first = np.where(s.any(0), s.argmax(0), 5)
    value = {
        "count": s.sum(0), "first-spike": s.sum(0) / 6 - first, "membrane": u.mean(0), "last-membrane": u[-1],
        "max-membrane": u.max(0),
    }[decoder]  # fmt: skip
    assert value.shape == (20, 5) and len(set(value.argmax(1))) > 1
    for engine in ("events", "dense"):
        np.testing.assert_array_equal(network.predict(x, engine=engine, axes="ntchw"), value.argmax(1))
    clean = mp.load_chip(chip).replace(wires=xb.Wires(), device__on_off_ratio=1e9)
    mapped = mp.map_network(network, clean, dtype=torch.float64)
    for engine in ("events", "dense"):
        assert mapped.evaluate(x, value.argmax(1), engine=engine, axes="ntchw").accuracy > 0.9


def test_the_loss_is_that_of_all_outputs():
    network = network_of_seed(heads(), 1)
    for layer in network.layers:
        layer.threshold = layer.threshold / 8
    x, labels = torch.rand(5, 7, 1, 4, 4, dtype=torch.float64), np.arange(7) % 5
    spikes, _ = network(x)
    ours = F.cross_entropy(torch.cat([spikes[2].sum(0), spikes[1].sum(0)], 1).flatten(1), torch.from_numpy(labels))
    ours.backward()
    gradients = [layer.weight.grad.clone() for layer in network.layers]
    network.zero_grad()
    still = torch.optim.SGD(network.parameters(), lr=0.0)
    value, _ = training_step(network, still, x.numpy(), labels, mp.TrainingSettings())
    assert value == pytest.approx(float(ours.detach()), rel=1e-12)
    for layer, gradient in zip(network.layers, gradients):
        torch.testing.assert_close(layer.weight.grad, gradient)
        assert gradient.abs().max() > 0


def test_files_keep_outputs(tmp_path):
    network = network_of_seed(heads(), 1)
    mp.save_network(network, tmp_path / "net.safetensors")
    x = (np.random.default_rng(0).random((9, 5, 1, 4, 4)) < 0.5).astype(np.uint8)
    how = mp.export_nir(network, tmp_path / "net.nir")
    ways = (tmp_path / "net.safetensors", {}), (tmp_path / "net.nir", how)
    for path, options in ways:
        again = mp.load_network(path, **options).double()
        assert again.spec.n_classes == 5
        np.testing.assert_array_equal(again.predict(x, axes="ntchw"), network.predict(x, axes="ntchw"))
    assert mp.load_network(tmp_path / "net.safetensors", quantize=4).spec.output_layers == (2, 1)
    assert "5 classes by spike counts of right and left" in str(network)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"outputs": ("nobody",)}, "outputs has 'nobody': give layers, each once; there are body, left, right"),
        ({"outputs": ("left", "left")}, "NetworkSpec.outputs has 'left': give layers, each once"),
        ({"outputs": ("left",), "fire": "never", "reset_mechanism": "none"}, "body never fires, which only an outp"),
    ],
)  # fmt: skip
def test_outputs_that_do_not_fit_are_refused(values, message):
    with pytest.raises(xb.ParameterError, match=message):
        heads(**values)


def test_outputs_of_nir_that_are_no_neurons_are_refused(tmp_path):
    nir = pytest.importorskip("nir")
    one = np.ones(1)
    nodes = {
        "input": nir.Input({"input": np.array([1])}),
        "a": nir.IF(r=one, v_threshold=one, v_reset=0 * one),
        "b": nir.IF(r=one, v_threshold=one, v_reset=0 * one),
        "late": nir.Delay(delay=np.array([2.0])),
        "output": nir.Output({"output": np.array([1])}),
    }
    edges = [("input", "a"), ("input", "b")]
    rules = {"dt": 1, "reset_mechanism": "zero", "fire": ">="}
    for more, message in (
        ([("a", "output"), ("b", "output")], "adds up what several nodes give; let an output follow one node"),
        ([("a", "late"), ("late", "output")], "comes late; let an output follow one node, without a delay"),
    ):
        kept = {end for edge in edges + more for end in edge}
        graph = nir.NIRGraph({k: v for k, v in nodes.items() if k in kept}, edges + more, type_check=False)
        with pytest.raises(xb.ParameterError, match=message):
            mp.load_network(graph, **rules)
