"""Modules of any wiring that layers have give the spikes that they give there."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.parametrize import register_parametrization

import mapping as mp
from mapping.importers.neuron_modules import reset
from tests.builders.torch_networks import frames, lively, neuron, recorded, snn


class Sign(nn.Module):
    def forward(self, weight):
        return torch.sign(weight) * weight.abs().mean()


class BinaryConv(nn.Conv2d):
    def forward(self, x):
        return self._conv_forward(x, torch.where(self.weight >= 0, 0.3, -0.3), self.bias)


class Drawn(nn.Module):
    """Convolutions that follow each other, with what was drawn for each, and a dense read-out that fires."""

    def __init__(self, layers):
        super().__init__()
        self.layers, size, channels = layers, 8, [2, *(3 for _ in layers)]
        self.convs, self.norms, self.neurons, self.backs = (nn.ModuleList() for _ in range(4))
        for (before, after), drawn in zip(pairwise(channels), layers):
            kind = BinaryConv if drawn["weights"] == "binary" else nn.Conv2d
            self.convs.append(kind(before, after, 3, padding=1, bias=drawn["bias"]))
            if drawn["weights"] == "parametrized":
                register_parametrization(self.convs[-1], "weight", Sign())
            self.norms.append(nn.BatchNorm2d(after) if drawn["norm"] else nn.Identity())
            self.backs.append(nn.Conv2d(after, after, 1, bias=False) if drawn["back"] else nn.Identity())
            self.neurons.append(NEURONS[drawn["neuron"]]())
            size //= 2 if drawn["pool"] else 1
        self.fc, self.last = nn.Linear(3 * size**2, 5), snn.Leaky(beta=0.8, init_hidden=True)

    def forward(self, x):
        given, out = [None] * len(self.layers), []
        for now in x:
            spikes = now
            for k, drawn in enumerate(self.layers):
                before, current = spikes, self.norms[k](self.convs[k](spikes))
                pool = F.max_pool2d if drawn["pool"].startswith("max") else F.avg_pool2d
                if drawn["pool"].endswith("current"):
                    current = pool(current, 2)
                if drawn["back"]:
                    last = torch.zeros_like(current) if given[k] is None else given[k]
                    current = current + self.backs[k](last)
                given[k] = self.neurons[k](current)
                spikes = given[k] + before if drawn["shortcut"] and given[k].shape == before.shape else given[k]
                spikes = pool(spikes, 2) if drawn["pool"].endswith("spikes") else spikes
            out.append(self.last(self.fc(spikes.flatten(1))))
        return torch.stack(out)


NEURONS = {
    "Leaky": lambda: snn.Leaky(beta=0.7, threshold=0.8, init_hidden=True),
    "Synaptic": lambda: snn.Synaptic(alpha=0.5, beta=0.6, threshold=0.8, init_hidden=True),
    "IF": lambda: neuron.IFNode(v_reset=None),
    "LIF": lambda: neuron.LIFNode(tau=1.5, v_threshold=0.6, v_reset=-0.1),
}
LAYER = st.fixed_dictionaries(
    {
        "weights": st.sampled_from(["real", "binary", "parametrized"]),
        "neuron": st.sampled_from(sorted(NEURONS)),
        "pool": st.sampled_from(["", "", "max of spikes", "average of spikes", "average of current"]),
        **{name: st.booleans() for name in ("bias", "norm", "back", "shortcut")},
    }
).filter(lambda layer: not layer["pool"] or not (layer["shortcut"] or (layer["back"] and "current" in layer["pool"])))


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore:.*never fires on the sample")
@given(layers=st.lists(LAYER, min_size=1, max_size=3), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_any_wiring_gives_the_same_spikes(layers, seed):
    torch.manual_seed(seed)
    module, x = lively(Drawn(layers), 3), frames(2, 8, 8)
    network = mp.load_network(module, sample=x)
    reset(module)
    expected = recorded(module, lambda module: module(x))
    ours = network.double().spikes(x.transpose(0, 1).numpy().astype(np.uint8))
    for a, b in zip(ours, expected, strict=True):
        assert np.mean(a.reshape(b.shape) != b) < 5e-3
