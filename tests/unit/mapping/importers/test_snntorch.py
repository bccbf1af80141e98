"""Networks of snnTorch give the spikes that they give there; what differs is refused by name."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import mapping as mp
import xbarsim as xb
from mapping.inputs.datasets import events
from tests.builders.snntorch_runs import STEPS, assert_same_spikes, run_any, run_snntorch, snn


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
        (nn.Sequential(nn.Linear(4, 3), nn.ReLU()), "'1' \\(ReLU\\): is not supported"),
        (nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2), FIRST[1]), "'1' \\(Linear\\): follows module '0'"),
        (nn.Sequential(snn.Leaky(beta=0.5)), "input_shape = None: give \\(channels"),
        (nn.Sequential(*FIRST, nn.AvgPool2d(2)), "'2' \\(AvgPool2d\\): pool = 2 is larger than the 1x1 input"),
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
        (nn.Sequential(nn.Conv3d(4, 4, 3), snn.Leaky(beta=0.5)), "'0' \\(Conv3d\\): is not supported"),
        (nn.Sequential(nn.Conv1d(4, 4, 3), nn.MaxPool1d(3, 2), FIRST[1]), "'1' .MaxPool1d.: only pooling with stride"),
        (nn.Sequential(nn.ConvTranspose2d(4, 4, 3), FIRST[1]), "'0' \\(ConvTranspose2d\\): is not supported"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), snn.Leaky(beta=0.5)), "input_shape = None: give \\(channels"),
        (nn.Sequential(*FIRST, nn.Linear(4, 2), snn.Leaky(beta=0.5)), "takes 4 inputs; there are 3"),
        (nn.Sequential(nn.Linear(4, 3), snn.Leaky(beta=torch.rand(2))), "an array of shape \\(2, 1, 1\\) for neurons"),
        (nn.TransformerEncoderLayer(4, 2), "\\(TransformerEncoderLayer\\): its forward may compute anything"),
    ],
)  # fmt: skip
def test_modules_that_differ_are_refused_by_name(module, message):
    with pytest.raises(xb.ParameterError, match=message):
        mp.load_network(module)


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


KINDS = {
    "Synaptic": lambda: snn.Synaptic(alpha=0.7, beta=0.6),
    "RLeaky, dense": lambda: snn.RLeaky(beta=0.6, linear_features=6),
    "RLeaky, one to one": lambda: snn.RLeaky(beta=0.6, all_to_all=False, V=torch.linspace(-1, 1, 6)),
    "RLeaky, one number": lambda: snn.RLeaky(beta=0.6, all_to_all=False, V=0.7, reset_mechanism="none"),
    "RSynaptic, dense": lambda: snn.RSynaptic(alpha=0.7, beta=0.6, linear_features=6),
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_neurons_of_snntorch_give_the_same_spikes(kind):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(5, 6), KINDS[kind](), nn.Linear(6, 4), snn.Leaky(beta=0.8), nn.Linear(4, 3)
    ).double()
    for part in (module[0], module[2]):
        part.weight.data *= 4
    x = (torch.rand(STEPS, 7, 5, generator=torch.Generator().manual_seed(1)) < 0.5).double()
    with torch.no_grad():
        expected, logits = run_any(module, x)
    network = mp.load_network(module, t_steps=STEPS).double()
    ours = network.spikes(x.numpy()[..., None, None].astype(np.uint8), axes="tnchw")
    for a, b in zip(ours, expected):
        assert 0.02 < b.mean() < 0.95
        np.testing.assert_array_equal(a[..., 0, 0], b.numpy())
    assert network.spec.decoder == "membrane" and logits.shape == (7, 3)


def test_convolutions_that_come_back_are_those_of_snntorch():
    torch.manual_seed(2)
    module = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), snn.RLeaky(beta=0.7, conv2d_channels=3, kernel_size=3), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(12, 4), snn.Leaky(beta=0.5),
    ).double()  # fmt: skip
    module[0].weight.data *= 4
    module[4].weight.data *= 6
    x = (torch.rand(STEPS, 3, 2, 5, 5, generator=torch.Generator().manual_seed(3)) < 0.4).double()
    with torch.no_grad():
        expected, _ = run_any(module, x)
    network = mp.load_network(module, input_shape=(2, 5, 5), t_steps=STEPS).double()
    for a, b in zip(network.spikes(x.numpy().astype(np.uint8), axes="tnchw"), expected, strict=True):
        assert 0.02 < b.mean() < 0.95
        np.testing.assert_array_equal(a.reshape(b.shape), b.numpy())


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (snn.Synaptic(alpha=0.5, beta=0.5, reset_mechanism="zero"), "reset to zero, which takes the current"),
        (snn.RLeaky(beta=0.5, linear_features=3, reset_delay=False), "reset_delay = False are not supported here"),
        (snn.Synaptic(alpha=torch.rand(3), beta=0.5), "alpha has 3 numbers"),
        (snn.RLeaky(beta=0.5, all_to_all=False, V=torch.rand(2)), "V has 2 numbers; give one, or one for each of 3"),
    ],
)
def test_rules_of_snntorch_that_differ_are_refused(module, message):
    with pytest.raises(xb.ParameterError, match=message):
        mp.load_network(nn.Sequential(nn.Linear(4, 3), module))
