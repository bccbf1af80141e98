"""NIR graphs give the spikes of their equations; what differs is refused by name."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import mapping as mp
import xbarsim as xb
from mapping.inputs.datasets import events
from tests.builders.snntorch_runs import STEPS, assert_same_spikes, run_snntorch, snn

nir = pytest.importorskip("nir")

LIF = {"tau": np.full((4, 4, 4), 5e-4), "r": np.full((4, 4, 4), 5.0), "v_leak": np.full((4, 4, 4), 0.02)}
LIF["v_threshold"] = np.linspace(0.6, 0.9, 64).reshape(4, 4, 4)


def chain_of(*nodes):
    names = [f"n{k}" for k in range(len(nodes))]
    return nir.NIRGraph(nodes=dict(zip(names, nodes)), edges=list(pairwise(names)))


def nir_nodes():
    rng = np.random.default_rng(0)
    weight, dense = rng.normal(0, 0.3, (4, 2, 3, 3)), rng.normal(0, 0.4, (5, 4 * 16))
    conv = nir.Conv2d(
        input_shape=(8, 8), weight=weight, stride=1, padding=1, dilation=1, groups=1, bias=rng.normal(0, 0.1, 4)
    )
    return [
        nir.Input(input_type={"input": np.array([2, 8, 8])}),
        conv,
        nir.SumPool2d(kernel_size=np.array([2, 2]), stride=np.array([2, 2]), padding=np.array([0, 0])),
        nir.LIF(**LIF),
        nir.Flatten(input_type={"input": np.array([4, 4, 4])}, start_dim=0, end_dim=-1),
        nir.Affine(weight=dense, bias=rng.normal(0, 0.1, 5)),
        nir.LIF(tau=np.linspace(2e-4, 9e-4, 5), v_leak=np.full(5, 0.1), r=np.full(5, 2.0), v_threshold=np.full(5, 0.6)),
        nir.Output(output_type={"output": np.array([5])}),
    ]  # fmt: skip


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_nir_file_gives_the_spikes_of_its_equations(tmp_path, reset):
    nodes, dt = nir_nodes(), 1e-4
    nir.write(tmp_path / "net.nir", chain_of(*nodes))
    network = mp.load_network(tmp_path / "net.nir", dt=dt, reset_mechanism=reset, fire=">", t_steps=STEPS)
    assert network.spec.input_shape == (2, 8, 8)
    x = (np.random.default_rng(1).random((STEPS, 3, 2, 8, 8)) < 0.5).astype(float)
    ours, inputs = network.double().spikes(np.moveaxis(x, 0, 1)), x
    for k, (weights, node, spikes) in enumerate([(nodes[1], nodes[3], ours[0]), (nodes[5], nodes[6], ours[1])]):
        u, fired, nearest = 0.0, 0.0, np.inf
        for t in range(STEPS):
            if k == 0:
                now = torch.nn.functional.conv2d(
                    *map(torch.from_numpy, (inputs[t], weights.weight, weights.bias)), padding=1
                )
                now = 4 * torch.nn.functional.avg_pool2d(now, 2).numpy()
            else:
                now = inputs[t].reshape(3, -1) @ weights.weight.T + weights.bias
            u = u * (1 - fired) if reset == "zero" else u
            u = u + dt / node.tau * (node.v_leak - u + node.r * now)  # tau dU/dt = v_leak - U + r I
            u = u - fired * node.v_threshold if reset == "subtract" else u
            fired = (u > node.v_threshold).astype(float)
            gap = np.abs(u / node.v_threshold - 1)
            differs = fired.reshape(spikes[t].shape) != spikes[t]
            nearest = np.minimum(nearest, gap)
            assert not differs.any() or nearest.reshape(differs.shape)[differs].max() < 1e-5
        inputs = spikes
        assert 0.02 < spikes.mean() < 0.9


@pytest.mark.parametrize("beta", [0.8, 0.37, 0.0, 1.0])
def test_nir_of_snntorch_comes_back(tmp_path, beta):
    """Written as snnTorch's export does, in single precision; whole weights, so that membranes hit the threshold."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 5), snn.Leaky(beta=torch.full((5,), beta), threshold=torch.ones(5)))
    module[0].weight.data, module[0].bias.data = torch.randint(-1, 2, (5, 6)).float(), torch.zeros(5)
    leaky = module[1]
    with np.errstate(divide="ignore"):
        tau = 1e-4 / (1 - leaky.beta.numpy())
    nodes = [
        nir.Input(input_type={"input": np.array([6])}),
        nir.Affine(weight=module[0].weight.detach().numpy(), bias=module[0].bias.detach().numpy()),
        nir.LIF(tau=tau, v_threshold=leaky.threshold.numpy(), v_leak=np.zeros(5), r=tau / 1e-4, v_reset=np.zeros(5)),
        nir.Output(output_type={"output": np.array([5])}),
    ]
    nir.write(tmp_path / "net.nir", chain_of(*nodes))
    network = mp.load_network(tmp_path / "net.nir", dt="0.1 ms", reset_mechanism="subtract", fire=">", t_steps=STEPS)
    assert float(network.layers[0].threshold.max()) == 1 and network.spec.beta == pytest.approx(beta, abs=1e-6)
    x = (torch.rand(STEPS, 9, 6) < 0.6).float()
    with torch.no_grad():
        history = run_snntorch(module, x)
        assert_same_spikes(network, history, x)
    first = network.spikes(events(x.numpy(), "tnc"))[0][0].reshape(9, 5)
    np.testing.assert_array_equal(first, history[0][1][0].numpy())  # with no decay yet, ties are exact


def test_memoryless_and_integrating_nodes(tmp_path):
    nodes = [
        nir.Input(input_type={"input": np.array([3])}),
        nir.Linear(weight=np.eye(3, dtype=float)),
        nir.Scale(scale=np.full(3, 2.0)),
        nir.Threshold(threshold=np.full(3, 1.5)),
        nir.Linear(weight=np.array([[1.0, 1.0, 0.5]])),
        nir.IF(r=np.array([1e4]), v_threshold=np.array([4.0])),
        nir.Output(output_type={"output": np.array([1])}),
    ]
    nir.write(tmp_path / "net.nir", chain_of(*nodes))
    network = mp.load_network(tmp_path / "net.nir", dt=1e-4, reset_mechanism="subtract", fire=">=", t_steps=STEPS)
    x = np.zeros((1, STEPS, 3, 1, 1))
    x[0, ::2] = 1
    first, second = network.spikes(x)
    np.testing.assert_array_equal(first[:, 0, :, 0, 0], x[0, :, :, 0, 0])
    np.testing.assert_array_equal(np.flatnonzero(second), [2, 6, 8])  # 2.5 a step: 5, 3.5, 6, 4.5, 3 above 4 at 2, 6, 8


def test_nir_that_differs_is_refused_by_name(tmp_path):
    path, how = tmp_path / "net.nir", {"dt": 1e-4, "reset_mechanism": "subtract", "fire": ">="}

    def refused(graph, message, **options):
        nir.write(path, graph)
        with pytest.raises(xb.ParameterError, match=message):
            mp.load_network(path, **(how | options))

    nodes = nir_nodes()
    refused(chain_of(*nodes), "NIR stores neither time step, reset nor comparison", dt=None)
    refused(chain_of(*nodes), "n3' \\(LIF\\): tau = 0.0005 s is shorter than dt = 0.001 s", dt=1e-3)
    cuba = nir.CubaLIF(
        tau_mem=np.full(5, 1e-3), tau_syn=np.linspace(1e-3, 2e-3, 5), r=np.ones(5), v_leak=np.zeros(5),
        v_threshold=np.ones(5),
    )  # fmt: skip
    refused(chain_of(*nodes[:6], cuba, nodes[7]), "n6' \\(CubaLIF\\): tau_syn has to be one number")
    neurons = nir.LIF(tau=np.full(3, 1e-3), r=np.ones(3), v_leak=np.zeros(3), v_threshold=np.ones(3))
    ends = [nir.Input(input_type={"input": np.array([3])}), nir.Output(output_type={"output": np.array([3])})]
    flat = [ends[0], nir.Linear(weight=np.eye(3)), neurons, nir.Linear(weight=np.eye(3)), neurons, ends[1]]
    graph = chain_of(*flat)
    graph.nodes |= {"w": nir.Linear(weight=np.eye(4)), "v": nir.Linear(weight=np.eye(4))}
    graph.edges += [("w", "v"), ("v", "w")]
    refused(graph, "'v' .Linear. -> .*'w' .Linear. -> .* is a loop without delay")
    for dt in (0, -1e-4, float("nan")):
        refused(chain_of(*nodes), "dt = ", dt=dt)
    refused(chain_of(*nodes), "dt: '1 V' has the unit 'V'", dt="1 V")
    (tmp_path / "bad.nir").write_bytes(b"nothing")
    with pytest.raises(xb.FileError, match="cannot be read as NIR"):
        mp.load_network(tmp_path / "bad.nir", **how)


def lif(n, seed):
    rng = np.random.default_rng(seed)
    return nir.LIF(
        tau=rng.uniform(2e-4, 9e-4, n), r=np.full(n, 4.0), v_leak=np.zeros(n), v_threshold=rng.uniform(0.5, 1, n)
    )


def residual_and_recurrent():
    """Three layers; the last one gets the first one's spikes past the second, and its own a step later."""
    rng = np.random.default_rng(0)
    nodes = {
        "in": nir.Input(input_type={"input": np.array([4])}),
        "a": nir.Linear(weight=rng.normal(0, 1, (5, 4))), "lif1": lif(5, 1),
        "b": nir.Affine(weight=rng.normal(0, 1, (5, 5)), bias=rng.normal(0, 0.2, 5)), "lif2": lif(5, 2),
        "c": nir.Linear(weight=rng.normal(0, 1, (3, 5))), "lif3": lif(3, 3),
        "past": nir.Linear(weight=rng.normal(0, 1, (3, 5))), "back": nir.Linear(weight=rng.normal(0, 1, (3, 3))),
        "late": nir.Delay(delay=np.array([2e-4])), "out": nir.Output(output_type={"output": np.array([3])}),
    }  # fmt: skip
    edges = ["in a", "a lif1", "lif1 b", "b lif2", "lif1 lif2", "lif2 c", "c lif3", "lif1 late", "late past",
             "past lif3", "lif3 back", "back lif3", "lif3 out"]  # fmt: skip
    return nir.NIRGraph(nodes=nodes, edges=[tuple(edge.split()) for edge in edges], type_check=False)


def test_graphs_with_shortcuts_and_loops_are_their_equations(tmp_path):
    graph, dt = residual_and_recurrent(), 1e-4
    nir.write(tmp_path / "net.nir", graph)
    how = {"dt": dt, "reset_mechanism": "subtract", "fire": ">", "t_steps": STEPS}
    x = (np.random.default_rng(1).random((STEPS, 2, 4)) < 0.5).astype(float)
    w = {name: node.weight for name, node in graph.nodes.items() if hasattr(node, "weight")}
    u = {name: np.zeros((2, n)) for name, n in (("lif1", 5), ("lif2", 5), ("lif3", 3))}
    s = {name: np.zeros_like(value) for name, value in u.items()}
    expected, earlier = [], []
    for now in x:

        def fire(name, current):
            node = graph.nodes[name]
            u[name] = u[name] + dt / node.tau * (node.r * current - u[name]) - s[name] * node.v_threshold
            s[name] = (u[name] > node.v_threshold).astype(float)

        before = s["lif3"]
        fire("lif1", now @ w["a"].T)
        fire("lif2", s["lif1"] @ w["b"].T + graph.nodes["b"].bias + s["lif1"])
        earlier.append(s["lif1"])
        past = earlier[-3] if len(earlier) > 2 else 0 * s["lif1"]
        fire("lif3", s["lif2"] @ w["c"].T + past @ w["past"].T + before @ w["back"].T)
        expected.append({name: value.copy() for name, value in s.items()})
    for source in (tmp_path / "net.nir", graph):
        network = mp.load_network(source, **how).double()
        for name, spikes in zip(u, network.spikes(x[..., None, None].astype(np.uint8), axes="tnchw"), strict=True):
            theirs = np.array([step[name] for step in expected])
            assert 0.02 < theirs.mean() < 0.95
            np.testing.assert_array_equal(spikes[..., 0, 0], theirs)


def test_several_inputs_and_read_outs_without_spikes():
    """Channels follow each other in the order of the inputs; what ends in weights is read at its membranes."""
    rng = np.random.default_rng(2)
    nodes = {
        "left": nir.Input(input_type={"input": np.array([2])}), "right": nir.Input(input_type={"input": np.array([3])}),
        "a": nir.Linear(weight=rng.normal(0, 1, (4, 2))), "b": nir.Linear(weight=rng.normal(0, 1, (4, 3))),
        "lif": lif(4, 4), "last": nir.Linear(weight=rng.normal(0, 1, (3, 4))),
        "out": nir.Output(output_type={"output": np.array([3])}),
    }  # fmt: skip
    edges = ["left a", "right b", "a lif", "b lif", "lif last", "last out"]
    graph = nir.NIRGraph(nodes=nodes, edges=[tuple(edge.split()) for edge in edges], type_check=False)
    how = {"dt": 1e-4, "reset_mechanism": "subtract", "fire": ">", "t_steps": STEPS}
    network = mp.load_network(graph, **how).double()
    assert network.spec.input_shape == (5, 1, 1) and network.spec.decoder == "membrane"
    x = (rng.random((6, STEPS, 5, 1, 1)) < 0.6).astype(np.uint8)
    spikes = network.spikes(x, axes="ntchw")[0][..., 0, 0]
    first = x[:, 0, :2, 0, 0] @ nodes["a"].weight.T + x[:, 0, 2:, 0, 0] @ nodes["b"].weight.T
    np.testing.assert_array_equal(spikes[0], 1e-4 / nodes["lif"].tau * 4 * first > nodes["lif"].v_threshold)
    logits = (spikes @ nodes["last"].weight.T).mean(0)
    for engine in ("events", "dense"):
        np.testing.assert_array_equal(network.predict(x, axes="ntchw", engine=engine), logits.argmax(1))
