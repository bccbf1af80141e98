"""Networks from elsewhere give the spikes that they give in their own framework; what differs is refused by name."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import mapping as mp
import xbarsim as xb
from mapping.bsnn.neuron import lif
from mapping.datasets import events

nir = pytest.importorskip("nir")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    snn = pytest.importorskip("snntorch")

STEPS = 12


def run_snntorch(module, x):
    """Step an nn.Sequential through time; return the input of each neuron layer, its spikes and membranes."""
    history, state = {}, {}
    for now in x:
        value = now
        for name, part in module._modules.items():
            if isinstance(part, snn.Leaky):
                current = value
                value, state[name] = part(current, state.get(name, torch.zeros_like(current)))
                history.setdefault(name, []).append((current, value))
            else:
                value = part(value)
    return [tuple(torch.stack(parts) for parts in zip(*steps)) for steps in history.values()]


def assert_same_spikes(network, history, x):
    """Layer by layer on the same inputs; where a spike differs, a membrane was within 1e-5 of its threshold."""
    assert network.t_steps == STEPS and len(network.layers) == len(history)
    for layer, (_, expected) in zip(network.layers, history):
        shape = (*x.shape[:2], *layer.in_shape) if layer.spec.kind == "dense" else x.shape
        with torch.no_grad():
            current = layer(x.reshape(shape).flatten(0, 1)).unflatten(0, x.shape[:2])
            spikes, membrane = lif(current, layer.threshold, layer.beta, layer.neuron, STEPS)
        theirs = expected.reshape(spikes.shape)
        differs = (spikes != theirs).any(0)
        gap = (membrane / layer.threshold - 1).abs().amin(0)
        assert not differs.any() or gap[differs].max() < 1e-5
        assert 0.02 < theirs.mean() < 0.9 and differs.float().mean() < 0.02
        x = expected


def conv_chain(**leaky):
    torch.manual_seed(1)
    module = nn.Sequential(
        nn.Conv2d(2, 6, 5, padding=2),
        nn.AvgPool2d(2),
        nn.BatchNorm2d(6),
        snn.Leaky(beta=0.8, threshold=0.6, **leaky),
        nn.Conv2d(6, 5, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(5),
        snn.Leaky(beta=torch.linspace(0.3, 1.1, 5)[:, None, None], threshold=0.4, **leaky),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(5 * 4 * 4, 7),
        snn.Leaky(beta=torch.linspace(0.5, 0.9, 7), threshold=torch.linspace(0.2, 0.4, 7), **leaky),
    )
    for part in module:
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.1, 0.3)
            part.weight.data.uniform_(0.5, 2)
            part.bias.data.normal_()
    return module.eval()


LEAKY = [
    {},
    {"reset_mechanism": "zero"},
    {"reset_mechanism": "none"},
    {"reset_delay": False},
    {"reset_delay": False, "reset_mechanism": "zero"},
]


@pytest.mark.parametrize("leaky", LEAKY, ids=str)
def test_snntorch_chain_gives_the_same_spikes(leaky):
    module = conv_chain(**leaky)
    x = (torch.rand(STEPS, 9, 2, 16, 16, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    network = mp.load_network(module, input_shape=(2, 16, 16), t_steps=STEPS)
    with torch.no_grad():
        history = run_snntorch(module, x)
    assert_same_spikes(network, history, x)
    whole = network.spikes(np.moveaxis(x.numpy(), 0, 1))
    for ours, (_, theirs) in zip(whole, history):  # also from layer to layer
        assert np.mean(ours.reshape(theirs.shape) != theirs.numpy()) < 1e-3
    assert [layer.neuron.fire for layer in network.layers] == [">"] * 3


def test_ties_follow_the_comparison_of_the_source():
    module = nn.Sequential(nn.Linear(2, 2, bias=False), snn.Leaky(beta=1.0, threshold=2.0))
    module[0].weight.data = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    x = torch.ones(STEPS, 1, 2)
    network = mp.load_network(module, t_steps=STEPS)
    with torch.no_grad():
        ((_, expected),) = run_snntorch(module, x)
    spikes = network.spikes(events(x.numpy(), "tnc"))[0]
    np.testing.assert_array_equal(spikes[..., 0, 0], expected.numpy())
    assert spikes[0, 0, 0] == 0 and spikes[1, 0, 0] == 1  # 2.0 is not above 2.0


def test_winner_take_all_is_that_of_snntorch():
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = nn.Sequential(nn.Linear(20, 8), snn.Leaky(beta=0.7, threshold=0.3, inhibition=True))
    x = (torch.rand(STEPS, 9, 20) < 0.5).float()
    network = mp.load_network(module, t_steps=STEPS)
    with torch.no_grad():
        history = run_snntorch(module, x)
    assert_same_spikes(network, history, x)
    assert history[0][1].sum(2).max() == 1


def test_signs_times_a_scale_become_binary_layers_and_map(chip):
    module = conv_chain()
    for part in module:
        if isinstance(part, nn.Conv2d | nn.Linear):
            sizes = torch.rand(len(part.weight)) + 0.1
            part.weight.data = torch.sign(part.weight.data) * sizes.reshape(-1, *[1] * (part.weight.ndim - 1))
    module[9].weight.data[:] *= 0.2
    network = mp.load_network(module, input_shape=(2, 16, 16), t_steps=STEPS)
    assert [layer.weights for layer in network.layers] == ["binary"] * 3
    assert all(set(layer.weight.unique().tolist()) == {-1, 1} for layer in network.layers)
    x = (torch.rand(STEPS, 9, 2, 16, 16) < 0.4).float()
    with torch.no_grad():
        history = run_snntorch(module, x)
    assert_same_spikes(network, history, x)
    ideal = chip.replace(wires=xb.Wires(), device__on_off_ratio=1e9)
    images = np.moveaxis(x.numpy(), 0, 1)
    on_chip = mp.map_network(network, ideal, dtype=torch.float64).spikes(images)
    for ours, expected in zip(on_chip, network.double().spikes(images)):
        assert np.mean(ours != expected) < 1e-3


@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_imported_networks_are_stored_exactly(tmp_path, eps):
    module = conv_chain(reset_delay=False)
    module[2].eps = module[5].eps = eps
    module[4].weight.data = 4 * torch.sign(module[4].weight.data)  # a binary layer, its scale in the batch norm
    network = mp.load_network(module, input_shape=(2, 16, 16), t_steps=STEPS)
    mp.save_network(network, tmp_path / "net.safetensors")
    again = mp.load_network(tmp_path / "net.safetensors")
    assert again.spec == network.spec
    for name, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    x = (torch.rand(STEPS, 9, 2, 16, 16, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    with torch.no_grad():
        assert_same_spikes(again, run_snntorch(module, x), x)


def test_modules_that_occur_twice_count_twice():
    torch.manual_seed(2)
    shared = nn.BatchNorm1d(6)
    shared.running_mean.normal_()
    linear = nn.Linear(6, 6)
    module = nn.Sequential(
        linear, shared, snn.Leaky(beta=0.8, threshold=0.4), linear, shared, snn.Leaky(beta=0.8, threshold=0.4)
    ).eval()
    x = (torch.rand(STEPS, 9, 6) < 0.5).float()
    network = mp.load_network(module, t_steps=STEPS)
    with torch.no_grad():
        assert_same_spikes(network, run_snntorch(module, x), x)
    network.layers[0].weight.data.zero_()
    assert linear.weight.abs().sum() > 0 and network.layers[1].weight.abs().sum() > 0


def test_double_precision_and_poolings_that_sum():
    torch.manual_seed(2)
    conv, norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
    module = nn.Sequential(
        conv, nn.MaxPool2d(1), nn.AvgPool2d(2, divisor_override=1), norm, snn.Leaky(beta=0.5, threshold=1)
    )
    norm.running_var.fill_(2)
    x = (torch.rand(STEPS, 5, 1, 8, 8) < 0.5).double()
    module = module.double().eval()
    network = mp.load_network(module, input_shape=(1, 8, 8), t_steps=STEPS).double()
    with torch.no_grad():
        assert_same_spikes(network, run_snntorch(module, x), x)


def test_surrogates_tell_how_neurons_compare():
    class AtThreshold(torch.autograd.Function):
        @staticmethod
        def forward(ctx, shifted):
            return (shifted >= 0).to(shifted)

    module = nn.Sequential(
        nn.Linear(2, 2, bias=False), snn.Leaky(beta=1.0, threshold=2.0, spike_grad=AtThreshold.apply)
    )
    module[0].weight.data = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    network = mp.load_network(module, t_steps=STEPS)
    assert network.layers[0].neuron.fire == ">=" and network.spikes(np.ones((1, STEPS, 2, 1, 1)))[0][0, 0, 0] == 1


def maximum():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), snn.Leaky(beta=0.5), nn.Flatten(), nn.Linear(36, 3), snn.Leaky(beta=0.5)
    )


def test_maximum_pooling_is_taken_over_and_needs_digital_neurons(chip):
    module, x = maximum(), (torch.rand(STEPS, 5, 1, 8, 8) < 0.6).float()
    module[0].weight.data *= 3
    module[4].weight.data *= 10
    network = mp.load_network(module, input_shape=(1, 8, 8), t_steps=STEPS)
    with torch.no_grad():
        assert_same_spikes(network, run_snntorch(module, x), x)
    for layer in network.layers:
        layer.weight.data = torch.where(layer.weight >= 0, 1.0, -1.0)
    binary = mp.load_network(
        nn.Sequential(*[_with(part, layer) for part, layer in _pairs(module, network)]), input_shape=(1, 8, 8)
    )
    with pytest.raises(xb.ParameterError, match="layer 1: pool_by = 'maximum', but charge neurons only add currents"):
        mp.map_network(binary, chip)


def _pairs(module, network):
    layers = iter(network.layers)
    return [(part, next(layers) if isinstance(part, nn.Conv2d | nn.Linear) else None) for part in module]


def _with(part, layer):
    if layer is not None:
        part.weight.data = layer.weight.data.reshape(part.weight.shape)
    return part


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


class SignLinear(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x, torch.sign(self.weight), self.bias)


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


def hooked():
    linear = nn.Linear(4, 3)
    linear.register_forward_hook(lambda module, given, out: 3 * out)
    return linear


def changed():
    leaky = snn.Leaky(beta=0.5)
    leaky.reset_mechanism = "zero"
    return leaky


def inhibited(threshold=1.0):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return snn.Leaky(beta=0.5, inhibition=True, threshold=threshold)


FIRST = nn.Linear(4, 3), snn.Leaky(beta=0.5)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Linear(4, 3), snn.RLeaky(beta=0.5, linear_features=3)), "'1' \\(RLeaky\\): is not supported"),
        (nn.Sequential(nn.Linear(4, 3), snn.Synaptic(alpha=0.5, beta=0.5)), "'1' \\(Synaptic\\): is not supported"),
        (nn.Sequential(nn.Linear(4, 3), nn.ReLU()), "'1' \\(ReLU\\): is not supported"),
        (nn.Sequential(nn.Linear(4, 3)), "module '0' \\(Linear\\): has no neurons after it"),
        (nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), "'1' \\(Linear\\): follows module '0'"),
        (nn.Sequential(snn.Leaky(beta=0.5)), "'0' \\(Leaky\\): comes without weights"),
        (nn.Sequential(*FIRST, nn.AvgPool2d(2)), "'2' \\(AvgPool2d\\): comes without weights"),
        (nn.Sequential(SignLinear(4, 3), snn.Leaky(beta=0.5)), "'0' \\(SignLinear\\): is not supported, or"),
        (nn.Sequential(Residual(nn.Linear(4, 4), snn.Leaky(beta=0.5))), "'0' \\(Residual\\): its forward may compute"),
        (nn.Sequential(hooked(), snn.Leaky(beta=0.5)), "'0' \\(Linear\\): has forward hooks"),
        (nn.Sequential(nn.Linear(4, 3), changed()), "'1' \\(Leaky\\): reset_mechanism was changed"),
        (nn.Sequential(nn.Linear(4, 4), FIRST[1], nn.Linear(4, 4), FIRST[1]), "'3' \\(Leaky\\): occurs twice"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), inhibited()), "inhibition is supported on dense layers with one threshold"),
        (nn.Sequential(nn.Linear(4, 2), inhibited(torch.tensor([1.0, 9.0]))), "inhibition is supported on dense"),
        (nn.Sequential(nn.Linear(4, 2), snn.Leaky(beta=0.5, spike_grad=torch.sigmoid)), "its spike_grad gives"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2, dilation=2), FIRST[1]), "dilation is not supported"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.BatchNorm1d(144), FIRST[1]), "144 features, the layer 4"),
        (nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), snn.Leaky(beta=0.5)), "groups"),
        (nn.Sequential(nn.Conv2d(1, 4, (3, 5)), snn.Leaky(beta=0.5)), "kernel_size = \\(3, 5\\); only square"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), snn.Leaky(beta=0.5)), "input_shape = None: give \\(channels"),
        (nn.Sequential(*FIRST, nn.Linear(4, 2), snn.Leaky(beta=0.5)), "takes 4 inputs; there are 3"),
        (nn.Sequential(nn.Linear(4, 3), snn.Leaky(beta=torch.rand(2))), "an array of shape \\(2, 1, 1\\) for neurons"),
        (nn.TransformerEncoderLayer(4, 2), "\\(TransformerEncoderLayer\\): its forward may compute anything"),
    ],
)  # fmt: skip
def test_modules_that_differ_are_refused_by_name(module, message):
    with pytest.raises(xb.ParameterError, match=message):
        mp.load_network(module)


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
        tau_mem=np.full(5, 1e-3), tau_syn=np.full(5, 1e-3), r=np.ones(5), v_leak=np.zeros(5), v_threshold=np.ones(5)
    )
    refused(chain_of(*nodes[:6], cuba, nodes[7]), "n6' \\(CubaLIF\\): is not supported")
    neurons = nir.LIF(tau=np.full(3, 1e-3), r=np.ones(3), v_leak=np.zeros(3), v_threshold=np.ones(3))
    ends = [nir.Input(input_type={"input": np.array([3])}), nir.Output(output_type={"output": np.array([3])})]
    flat = [ends[0], nir.Linear(weight=np.eye(3)), neurons, nir.Linear(weight=np.eye(3)), neurons, ends[1]]
    for edge, message in [(("n2", "n4"), "'n2' has several successors"), (("n4", "n1"), "'n4' has several successors")]:
        graph = chain_of(*flat)
        graph.edges.append(edge)
        refused(graph, f"node {message}; residual and recurrent")
    graph = chain_of(*flat)
    graph.nodes |= {"w": nir.Linear(weight=np.eye(4)), "v": nir.Linear(weight=np.eye(4))}
    graph.edges += [("w", "v"), ("v", "w")]
    refused(graph, "'v' is not on the chain from the input; recurrence")
    for dt in (0, -1e-4, float("nan")):
        refused(chain_of(*nodes), "dt = ", dt=dt)
    refused(chain_of(*nodes), "dt: '1 V' has the unit 'V'", dt="1 V")
    (tmp_path / "bad.nir").write_bytes(b"nothing")
    with pytest.raises(xb.FileError, match="cannot be read as NIR"):
        mp.load_network(tmp_path / "bad.nir", **how)


@pytest.mark.parametrize(
    "options",
    [{"dt": 1e-4}, {"reset_mechanism": "zero"}, {"reset_delay": False}, {"fire": ">"}, {"t_steps": 10}]
    + [{"input_shape": (1, 28, 28)}, {"reset_delay": True, "fire": ">="}],
)
def test_options_that_would_change_nothing_are_refused(options):
    with pytest.raises(xb.ParameterError, match=f"mnist-bsnn: has its own {', '.join(options)}; leave out"):
        mp.load_network("mnist-bsnn", **options)
    if not {"t_steps", "input_shape"} & {*options}:
        with pytest.raises(xb.ParameterError, match="Sequential: has its own"):
            mp.load_network(nn.Sequential(nn.Linear(2, 3), snn.Leaky(beta=0.9)), **options)
