"""Networks as the tutorials of snnTorch and SpikingJelly build them, and as they run there."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import mapping as mp

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    snn, utils = pytest.importorskip("snntorch"), pytest.importorskip("snntorch.utils")
    layer = pytest.importorskip("spikingjelly.activation_based.layer")
    from spikingjelly.activation_based import functional, neuron

NEURONS = ("Leaky", "Synaptic", "RLeaky", "IFNode", "LIFNode", "ParametricLIFNode", "LIFCell", "LIFBoxCell", "IAFCell")
NEURONS += ("LIF",)


def frames(*shape, rate=0.5, steps=8):
    """Return spikes of three samples, time first."""
    return (torch.rand(steps, 3, *shape) < rate).float()


def lively(module, gain=3.0):
    """Return a module with weights so large that every layer fires, and batch norms that do something."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.weight.data *= gain
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.2, 0.2)
            part.running_var.uniform_(0.3, 0.6)
            part.weight.data.uniform_(0.8, 1.5)
            part.bias.data.uniform_(0.0, 0.3)
    return module


def recorded(module, run):
    """Return what each neuron module gave while ``run`` ran, (t_steps, n, numbers), in the order of modules."""
    found = {part: [] for part in module.modules() if type(part).__name__ in NEURONS}

    def note(part, _, out):
        spikes = out[0] if isinstance(out, tuple) else out
        many = getattr(part, "step_mode", "s") == "m" or type(part).__name__ == "LIF"
        found[part] += spikes.flatten(2).unbind(0) if many else [spikes.flatten(1)]

    handles = [part.register_forward_hook(note) for part in found]
    was = module.training
    with torch.no_grad():
        run(module.eval())
    module.train(was)
    for handle in handles:
        handle.remove()
    return [torch.stack(spikes).numpy() for spikes in found.values()]


def assert_equal(module, x, run=lambda module, x: module(x), **options):
    """Load a module that takes spikes with time first; return its network, whose spikes are those recorded."""
    expected = recorded(module, lambda module: run(module, x))
    network = mp.load_network(module, sample=x, **options)
    images = x.transpose(0, 1).reshape(x.shape[1], len(x), *network.spec.input_shape).numpy().astype(np.uint8)
    fire = [layer.neuron.fire != "never" for layer in network.layers]
    ours = [s for s, fires in zip(network.double().spikes(images), fire, strict=True) if fires]
    for a, b in zip(sorted(ours, key=np.sum), sorted(expected, key=np.sum), strict=True):
        assert 0.01 < b.mean() < 0.95 and np.mean(a.reshape(b.shape) != b) < 1e-3
    return network


class Explicit(nn.Module):
    """Tutorials 3 and 5: membranes handed on in a loop over time."""

    def __init__(self, sizes=(784, 1000, 10), steps=25):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(*sizes[:2]), snn.Leaky(beta=0.95)
        self.fc2, self.lif2 = nn.Linear(*sizes[1:]), snn.Leaky(beta=0.95)
        self.steps = steps

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes, membranes = [], []
        for step in range(self.steps):
            spk1, mem1 = self.lif1(self.fc1(x if x.ndim == 2 else x[step]), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            membranes.append(mem2)
        return torch.stack(spikes, dim=0), torch.stack(membranes, dim=0)


def hidden_chain(channels, first, second, size, out=10, beta=0.5):
    """Tutorials 6 and 7: states inside of neurons, one time step in a call."""
    side = ((size - 4) // 2 - 4) // 2
    return nn.Sequential(
        nn.Conv2d(channels, first, 5), nn.MaxPool2d(2), snn.Leaky(beta=beta, init_hidden=True),
        nn.Conv2d(first, second, 5), nn.MaxPool2d(2), snn.Leaky(beta=beta, init_hidden=True),
        nn.Flatten(), nn.Linear(second * side**2, out), snn.Leaky(beta=beta, init_hidden=True, output=True),
    )  # fmt: skip


def steps_of(frames):
    """Return what runs a module of one step in a call, as the tutorials do."""

    def run(module):
        utils.reset(module)
        for frame in frames:
            module(frame)

    return run


class ConvIfPool(nn.Module):
    """SpikingJelly's classifier of Fashion-MNIST, narrower: an image, repeated."""

    def __init__(self, steps=4, channels=8, mode="m"):
        super().__init__()
        self.steps, self.mode = steps, mode
        self.conv_fc = nn.Sequential(
            layer.Conv2d(1, channels, 3, padding=1, bias=False), layer.BatchNorm2d(channels), neuron.IFNode(),
            layer.MaxPool2d(2, 2),
            layer.Conv2d(channels, channels, 3, padding=1, bias=False), layer.BatchNorm2d(channels), neuron.IFNode(),
            layer.MaxPool2d(2, 2),
            layer.Flatten(), layer.Linear(channels * 7 * 7, 32, bias=False), neuron.IFNode(),
            layer.Linear(32, 10, bias=False), neuron.IFNode(),
        )  # fmt: skip
        functional.set_step_mode(self, step_mode=mode)

    def forward(self, x):
        functional.reset_net(self)
        if self.mode == "m":
            return self.conv_fc(x.unsqueeze(0).repeat(self.steps, 1, 1, 1, 1)).mean(0)
        rates = 0
        for _ in range(self.steps):
            rates += self.conv_fc(x)
        return rates / self.steps


class SewBlock(nn.Module):
    """A spike-element-wise block of a residual network (W. Fang et al., NeurIPS 2021), and a head."""

    def __init__(self, channels=6, classes=4):
        super().__init__()
        self.stem = nn.Sequential(
            layer.Conv2d(2, channels, 3, padding=1, bias=False), layer.BatchNorm2d(channels), neuron.IFNode()
        )
        self.conv1 = nn.Sequential(
            layer.Conv2d(channels, channels, 3, padding=1, bias=False), layer.BatchNorm2d(channels), neuron.IFNode()
        )
        self.conv2 = nn.Sequential(
            layer.Conv2d(channels, channels, 3, padding=1, bias=False), layer.BatchNorm2d(channels),
            neuron.ParametricLIFNode(init_tau=1.5, v_reset=None),
        )  # fmt: skip
        self.pool, self.fc = layer.AvgPool2d(2, 2), layer.Linear(channels * 16, classes)
        self.last = neuron.LIFNode(tau=2.0, v_threshold=0.5)
        functional.set_step_mode(self, "m")

    def forward(self, x):
        identity = self.stem(x)
        out = self.conv2(self.conv1(identity)) + identity
        return self.last(self.fc(self.pool(out).flatten(2)))


class Recurrent(nn.Module):
    """RLeaky with dense and one-to-one connections, sequences with time first."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(20, 16), snn.RLeaky(beta=0.8, linear_features=16)
        self.fc2, self.lif2 = nn.Linear(16, 5), snn.RLeaky(beta=0.7, all_to_all=False, V=-0.3)

    def forward(self, x):
        (spk1, mem1), (spk2, mem2), out = self.lif1.init_rleaky(), self.lif2.init_rleaky(), []
        for now in x:
            spk1, mem1 = self.lif1(self.fc1(now), spk1, mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), spk2, mem2)
            out.append(spk2)
        return torch.stack(out)


class Currents(nn.Module):
    """Synaptic neurons, which NIR calls CubaLIF; sequences with the batch first."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(20, 16), snn.Synaptic(alpha=0.8, beta=0.7)
        self.fc2, self.lif2 = nn.Linear(16, 5), snn.Synaptic(alpha=0.5, beta=0.9)

    def forward(self, x):
        (syn1, mem1), (syn2, mem2), out = self.lif1.init_synaptic(), self.lif2.init_synaptic(), []
        for step in range(x.shape[1]):
            spk1, syn1, mem1 = self.lif1(self.fc1(x[:, step]), syn1, mem1)
            spk2, syn2, mem2 = self.lif2(self.fc2(spk1), syn2, mem2)
            out.append(spk2)
        return torch.stack(out, dim=1)
