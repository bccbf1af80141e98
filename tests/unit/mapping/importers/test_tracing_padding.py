"""What is padded ahead of a convolution, and convolutions along one axis, as modules have them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mapping as mp
import xbarsim as xb
from tests.builders.torch_networks import assert_equal, frames, lively, snn


class Padded(nn.Module):
    """A convolution after something that pads, in a loop over time."""

    def __init__(self, ahead, **conv):
        super().__init__()
        self.ahead, self.conv, self.lif1 = ahead, nn.Conv2d(2, 4, 3, **conv), snn.Leaky(beta=0.8, threshold=0.6)
        self.fc, self.lif2 = nn.LazyLinear(5), snn.Leaky(beta=0.9, threshold=0.6)

    def forward(self, x):
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for now in x:
            spk, mem1 = self.lif1(self.conv(self.ahead(now)), mem1)
            spk, mem2 = self.lif2(self.fc(spk.flatten(1)), mem2)
            out.append(spk)
        return torch.stack(out)


AHEAD = {
    "zeros": (nn.ZeroPad2d(1), {}, "zeros", (1, 1)),
    "more zeros": (nn.ZeroPad2d((2, 2, 0, 0)), {"padding": 1}, "zeros", (1, 3)),
    "by a function": (lambda x: F.pad(x, (1, 1, 1, 1)), {"stride": 2}, "zeros", (1, 1)),
    "circular": (nn.Identity(), {"padding": 1, "padding_mode": "circular"}, "circular", (1, 1)),
    "reflect": (nn.Identity(), {"padding": (2, 1), "padding_mode": "reflect"}, "reflect", (2, 1)),
    "replicate": (nn.ReplicationPad2d(2), {}, "replicate", (2, 2)),
}


@pytest.mark.parametrize("name", AHEAD)
def test_what_is_padded_ahead_is_the_margin_of_a_convolution(name):
    ahead, conv, mode, margins = AHEAD[name]
    torch.manual_seed(0)
    module, x = Padded(ahead, **conv), frames(2, 5, 6)
    module(x)  # sizes of the dense layer
    network = assert_equal(lively(module), x)
    geometry = network.spec.layers[0]
    assert (geometry.padding_mode, geometry.margins) == (mode, tuple((side, side) for side in margins))


@pytest.mark.parametrize(
    ("ahead", "conv", "message"),
    [
        (lambda x: F.pad(x, (0, 1, 0, 1)), {}, "Padded: its function 'pad' is not supported between"),
        (lambda x: F.pad(x, (1, 1, 1, 1), value=1.0), {}, "Padded: its function 'pad' is not supported between"),
        (nn.ReflectionPad2d(1), {"padding": 1}, "'conv' .Conv2d.: pads what was padded by another rule; pad once"),
        (lambda x: 2 * F.pad(x, (1, 1, 1, 1)), {}, "Padded: reads what was padded; only a convolution can"),
    ],
)
def test_other_padding_is_refused(ahead, conv, message):
    module, x = Padded(ahead, **conv), frames(2, 5, 6)
    module(x)
    with pytest.raises(xb.ParameterError, match=message):
        mp.load_network(module, sample=x)


class Line(nn.Module):
    """Convolutions, batch norm and pooling along one axis."""

    def __init__(self, pool):
        super().__init__()
        self.conv1 = nn.Conv1d(3, 4, 5, stride=2, padding=2, padding_mode="circular")
        self.norm, self.lif1 = nn.BatchNorm1d(4), snn.Leaky(beta=0.8, threshold=0.4)
        self.pool, self.conv2, self.lif2 = pool, nn.Conv1d(4, 6, 3, groups=2), snn.Leaky(beta=0.9, threshold=0.3)
        self.fc, self.lif3 = nn.Linear(12, 5), snn.Leaky(beta=0.7, threshold=0.3)

    def forward(self, x):
        mems, out = [lif.init_leaky() for lif in (self.lif1, self.lif2, self.lif3)], []
        for now in x:
            spk, mems[0] = self.lif1(self.norm(self.conv1(now)), mems[0])
            spk, mems[1] = self.lif2(self.conv2(self.pool(spk)), mems[1])
            spk, mems[2] = self.lif3(self.fc(spk.flatten(1)), mems[2])
            out.append(spk)
        return torch.stack(out)


@pytest.mark.parametrize("pool", [nn.AvgPool1d(3), nn.MaxPool1d(3)], ids=["average", "maximum"])
def test_convolutions_along_one_axis(pool):
    torch.manual_seed(1)
    module = Line(pool)
    for part in (module.conv1, module.conv2):
        part.weight.data *= 3
    module.norm.running_mean.uniform_(-0.2, 0.2)
    module.norm.running_var.uniform_(0.3, 0.6)
    network = assert_equal(lively(module.eval()), frames(3, 24))
    assert network.spec.input_shape == (3, 1, 24) and network.spec.wiring.shapes == [(4, 1, 12), (6, 1, 2), (5, 1, 1)]


def test_a_line_that_is_held():
    """One input (n, channels, length), read in every time step."""
    torch.manual_seed(1)
    line = lively(Line(nn.AvgPool1d(3)).eval())
    line.conv1.weight.data *= 3
    line.conv2.weight.data *= 3

    class Held(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = line

        def forward(self, x):
            return self.line([x] * 8)

    network = mp.load_network(Held(), sample=frames(3, 24)[0])
    assert network.spec.input_shape == (3, 1, 24) and network.t_steps == 8
