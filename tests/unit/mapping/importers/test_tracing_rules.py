"""What a forward may do in a step: what layers compute, proven on the sample; the rest is refused by name."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mapping as mp
import xbarsim as xb
from tests.builders.torch_networks import (
    Explicit,
    assert_equal,
    frames,
    hidden_chain,
    layer,
    lively,
    neuron,
    recorded,
    snn,
    steps_of,
)

STEPS = 8


class Loop(nn.Module):
    """Two layers in a loop over time; subclasses change a step."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(6, 8), snn.Leaky(beta=0.8, threshold=0.7)
        self.fc2, self.lif2 = nn.Linear(8, 4), snn.Leaky(beta=0.9, threshold=0.7)
        self.more = nn.Linear(8, 8, bias=False)
        self.seen = []

    def forward(self, x):
        mem1, mem2, spk1, out = self.lif1.init_leaky(), self.lif2.init_leaky(), None, []
        for t, now in enumerate(x):
            spk1, mem1 = self.lif1(self.first(now, spk1, t), mem1)
            spk2, mem2 = self.lif2(self.second(spk1, t), mem2)
            mem2 = self.between(mem2)
            out.append(spk2)
        self.seen.append(out)
        return self.last(torch.stack(out))

    def first(self, now, spk1, t):
        return self.fc1(now)

    def second(self, spk1, t):
        return self.fc2(spk1)

    def between(self, mem):
        return mem

    def last(self, spikes):
        return torch.softmax(spikes.mean(0), 1)


def changed(**steps):
    """Return a loop with some of its steps replaced."""
    torch.manual_seed(1)
    return lively(type("Changed", (Loop,), steps)(), 2)


WAYS = {
    "as it is": {},
    "recurrent by hand": {"first": lambda s, now, spk, t: s.fc1(now) + (0 if spk is None else s.more(spk))},
    "recurrent, zeros first": {
        "first": lambda s, now, spk, t: s.fc1(now) + s.more(now.new_zeros(3, 8) if spk is None else spk)
    },
    "joined": {"first": lambda s, now, spk, t: s.fc1(torch.cat([now[:, 3:], now[:, :3]], 1))},
    "in order": {"second": lambda s, spk, t: s.fc2(spk.view(3, 2, 4).transpose(1, 2).flatten(1))},
    "twice": {"second": lambda s, spk, t: s.fc2(spk + spk)},
    "scaled": {"second": lambda s, spk, t: 0.5 * s.fc2(spk) * 3},
    "by hand": {"second": lambda s, spk, t: spk @ s.fc2.weight.T},
    "functions": {"second": lambda s, spk, t: F.linear(F.dropout(spk, 0.5, training=s.training), s.fc2.weight)},
    "factors": {"first": lambda s, now, spk, t: s.fc1(now / 2) * 2, "second": lambda s, spk, t: s.fc2(2 * spk) / 2},
    "types and shapes": {
        "first": lambda s, now, spk, t: s.fc1(torch.zeros(3, 6).to(now) + now.detach().float().clone().view_as(now))
    },
    "keywords": {
        "second": lambda s, spk, t: F.linear(weight=s.fc2.weight, input=torch.flatten(input=spk, start_dim=1))
    },
}


@pytest.mark.parametrize("way", WAYS)
def test_steps_of_a_loop(way):
    module = changed(**WAYS[way])
    assert_equal(module, frames(6))


class Feedback(Loop):
    """The second layer comes back to the first, and to itself."""

    def __init__(self):
        super().__init__()
        self.back, self.own = nn.Linear(4, 8, bias=False), nn.Linear(4, 4)

    def forward(self, x):
        mem1, mem2, spk2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), torch.zeros(3, 4), []
        for now in x:
            spk1, mem1 = self.lif1(self.fc1(now) + self.back(spk2), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1) + self.own(spk2), mem2)
            out.append(spk2)
        return torch.stack(out)


def test_later_layers_come_back():
    torch.manual_seed(1)
    network = assert_equal(lively(Feedback(), 2), frames(6))
    assert [branch.inputs for layer in network.layers for branch in layer.spec.branches] == [("layer 2",)] * 2
    loop = type("Still", (Feedback,), {"forward": lambda s, x: Feedback.forward(s, [x] * STEPS)})()
    assert mp.load_network(lively(loop, 2), sample=torch.rand(3, 6)).t_steps == STEPS


def test_recurrent_containers_of_spikingjelly():
    torch.manual_seed(0)
    inner = layer.LinearRecurrentContainer(neuron.LIFNode(v_threshold=0.3), 6, 6)
    module = lively(nn.Sequential(inner, nn.Linear(6, 4), neuron.IFNode(v_threshold=0.5)), 2)
    expected = recorded(module, steps_of(x := frames(6)))
    network = mp.load_network(module, sample=x)
    for ours, theirs in zip(network.double().spikes(x.numpy()[..., None, None], axes="tnchw"), expected, strict=True):
        assert 0.01 < theirs.mean() < 0.95
        np.testing.assert_array_equal(ours.reshape(theirs.shape), theirs)


def test_modules_are_left_as_they_were():
    module = changed()
    module.train()
    module.lif1.eval()
    kept = {name: value.clone() for name, value in module.state_dict().items()}
    mem = module.lif1.mem
    mp.load_network(module, sample=frames(6))
    assert module.training and not module.lif1.training and module.lif1.mem is mem and not module.seen
    assert all(torch.equal(value, kept[name]) for name, value in module.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_dropout_of_a_module_in_training_is_not_there():
    torch.manual_seed(0)
    module = changed(second=lambda s, spk, t: s.fc2(s.drop(spk)))
    module.drop = nn.Dropout(0.5)
    assert_equal(module.train(), frames(6))
    assert module.training


class Wrong(snn.Leaky):
    """Fires at every second step only."""

    def forward(self, x, mem=None):
        spk, mem = super().forward(x, mem)
        self.count = getattr(self, "count", 0) + 1
        return spk * (self.count % 2), mem


def with_wrong():
    module = changed()
    module.lif2 = Wrong(beta=0.9, threshold=0.7)
    return module


class HandWritten(nn.Module):
    def forward(self, x):
        return (x > 0.5).to(x.dtype)


def by_hand():
    module = changed(second=lambda s, spk, t: s.fc2(s.hand(spk)))
    module.hand = HandWritten()
    return module


def with_second(second):
    return changed(second=second)


NO_STATE = snn.Leaky(beta=0.5, init_hidden=True)
REFUSED = {
    "changes": (
        with_second(lambda s, spk, t: s.fc2(spk if t < 3 else s.more(spk))),
        "'lif2' \\(Leaky\\): reads something else in time step 1 than in time step 8",
    ),
    "noise": (
        with_second(lambda s, spk, t: F.linear(spk, s.fc2.weight + t)),
        "reads something else in time step 1 than",
    ),
    "function": (
        with_second(lambda s, spk, t: torch.relu(s.fc2(spk))),
        "^Changed: its function 'relu' is not supported",
    ),
    "by hand": (by_hand(), "module 'hand' \\(HandWritten\\): its function 'gt' is not supported between inputs"),
    "differs": (
        with_wrong(),
        "'lif2' \\(Wrong\\): \\d+ of 96 spikes differ from the module's own, from time step 2 on",
    ),
    "states": (changed(between=lambda s, mem: 0.5 * mem), "'mul' is not supported between two steps of module 'lif2'"),
    "membranes": (
        with_second(lambda s, spk, t: s.fc2(s.lif1.mem)),
        "'fc2' \\(Linear\\): reads states of module 'lif1'",
    ),
    "unknown": (with_second(lambda s, spk, t: s.fc2(s.more.weight[:3])), "'lif2' \\(Leaky\\): reads numbers that come"),
    "constant": (with_second(lambda s, spk, t: s.fc2(spk) + s.fc2.bias), "its function 'add' is not supported"),
    "no neurons": (nn.Sequential(nn.Linear(6, 3)), "Sequential: no neurons of snnTorch, SpikingJelly or Norse took"),
    "neurons": (
        nn.Sequential(nn.Linear(6, 3), neuron.QIFNode()),
        "'1' \\(QIFNode\\): is not supported; of spikingjelly use IFNode, LIFNode, ParametricLIFNode",
    ),
    "does not run": (nn.Sequential(nn.Linear(5, 3), NO_STATE), "Sequential: does not run on a sample of"),
}


@pytest.mark.parametrize(
    "options", [{"kernel_size": (1, 2)}, {"dilation": 2}, {"groups": 2}, {"stride": (1, 2), "padding": (0, 1)}]
)
def test_kernels_of_any_shape_are_followed(options):
    torch.manual_seed(1)
    module = nn.Sequential(
        nn.Unflatten(1, (2, 4, 5)), nn.Conv2d(2, 4, **{"kernel_size": 2} | options), nn.AvgPool2d((1, 2)), NO_STATE
    )
    module[1].weight.data *= 4
    x = (torch.rand(6, 3, 40) < 0.5).float()
    mp.load_network(module, sample=x)  # proven


@pytest.mark.parametrize("way", REFUSED)
def test_what_layers_do_not_compute_is_refused_by_name(way):
    module, message = REFUSED[way]
    torch.manual_seed(2)
    with pytest.raises(xb.ParameterError, match=message) as error:
        mp.load_network(module, sample=frames(6))
    assert len(str(error.value)) <= 200 and "\n" not in str(error.value)


class TwoEnds(Loop):
    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        for now in x:
            spk1, mem1 = self.lif1(self.fc1(now), mem1)
            spk2, mem2 = self.lif2(self.more(self.fc1(now)), mem2)
        return spk1, spk2


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (changed(), {}, "\\(Changed\\): its forward may compute anything; give sample=a batch of inputs"),
        (changed(), {"sample": frames(6), "t_steps": 5}, "t_steps = 5: Changed takes 8 time steps with this sample"),
        (changed(), {"sample": frames(6), "t_steps": 0}, "t_steps = 0: give 1 or more"),
        (changed(), {"sample": frames(6), "input_shape": 7}, "input_shape = 7: the sample has inputs of the shape"),
        (changed(), {"sample": torch.zeros(3)}, "sample has the shape \\(3,\\): give a batch of finite inputs"),
        (changed(), {"sample": "x"}, "sample are a str of type"),
        (changed(), {"sample": frames(6), "dt": 1.0}, "Changed: has its own dt"),
        (TwoEnds(), {"sample": frames(6)}, "ends in module 'lif1' \\(Leaky\\) and module 'lif2' \\(Leaky\\)"),
        ("mnist-bsnn", {"sample": frames(6)}, "sample: is for torch modules, not for 'mnist-bsnn'"),
        ("net.pt", {}, "net.pt: holds numbers and not what they are for; build the module"),
        ("net.pth", {"t_steps": 3}, "module.load_state_dict\\(torch.load\\(path, weights_only=True\\)\\)"),
    ],
)  # fmt: skip
def test_samples_and_files_that_do_not_fit_are_refused(module, options, message):
    with pytest.raises(xb.ParameterError, match=message) as error:
        mp.load_network(module, **options)
    assert len(str(error.value)) <= 200


def test_samples_that_make_nothing_fire_are_warned_of():
    with pytest.warns(xb.InputWarning, match="'lif1' \\(Leaky\\): never fires on the sample, which proves little"):
        mp.load_network(Explicit((6, 8, 4), steps=3), sample=torch.zeros(2, 6))


def test_one_step_in_a_call_takes_images_and_sequences():
    torch.manual_seed(0)
    module = lively(hidden_chain(1, 2, 3, 20), 3)
    assert mp.load_network(module, sample=torch.rand(2, 1, 20, 20)).t_steps == 25
    assert mp.load_network(module, sample=frames(1, 20, 20)).t_steps == STEPS


class Head(nn.Module):
    """Weights at the end, added up over time."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1, self.fc2 = nn.Linear(6, 8), snn.Leaky(beta=0.8, threshold=0.7), nn.Linear(8, 4)

    def forward(self, x):
        mem, total = self.lif1.init_leaky(), 0
        for now in x:
            spk, mem = self.lif1(self.fc1(now), mem)
            total = total + self.fc2(spk)
        return total / len(x)


def test_weights_at_the_end_are_read_out():
    torch.manual_seed(0)
    module, x = lively(Head(), 2), frames(6)
    network = assert_equal(module, x)
    assert network.spec.decoder == "membrane" and network.layers[-1].neuron.fire == "never"
    with torch.no_grad():
        _, membranes = network(x.double().reshape(STEPS, 3, 6, 1, 1))
        np.testing.assert_allclose(membranes[-1].mean(0)[..., 0, 0], module(x), rtol=1e-5, atol=1e-6)
