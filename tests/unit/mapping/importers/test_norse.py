"""Modules of Norse, run beside what is loaded from them."""

import pytest
import torch
from torch import nn

import mapping as mp
import xbarsim as xb
from tests.builders.torch_networks import assert_equal, frames, lively

norse = pytest.importorskip("norse.torch")
NUMBER = torch.as_tensor


class Cells(nn.Module):
    """States handed on by hand."""

    def __init__(self, first, second, last):
        super().__init__()
        self.fc1, self.lif1, self.fc2, self.lif2 = nn.Linear(6, 12), first, nn.Linear(12, 8), second
        self.fc3, self.li = nn.Linear(8, 4), last

    def forward(self, x):
        a, b, c, out = None, None, None, []
        for now in x:
            z, a = self.lif1(self.fc1(now), a)
            z, b = self.lif2(self.fc2(z), b)
            v, c = self.li(self.fc3(z), c)
            out.append(v)
        return torch.stack(out).max(0).values


def box(**values):
    return norse.LIFBoxCell(norse.LIFBoxParameters(**values))


CELLS = {
    "lif": (box(), norse.LIFCell(norse.LIFParameters(v_leak=NUMBER(-0.1), v_reset=NUMBER(-0.1))), norse.LICell()),
    "subtract": (
        box(reset_method=norse.reset_subtract, v_th=NUMBER(0.6)),
        box(tau_mem_inv=NUMBER(300.0), reset_method=norse.reset_subtract),
        norse.LIBoxCell(),
    ),
    "iaf": (norse.IAFCell(norse.IAFParameters(v_th=NUMBER(3.0))), norse.LIFCell(), norse.LICell()),
}


@pytest.mark.parametrize("name", CELLS)
def test_cells_give_their_spikes(name):
    torch.manual_seed(0)
    network = assert_equal(lively(Cells(*CELLS[name]), 15), frames(6, steps=20))
    alphas = {"lif": [None, 0.8, 0.8], "subtract": [None] * 3, "iaf": [None, 0.8, 0.8]}
    assert [layer.neuron.alpha for layer in network.layers] == alphas[name]
    resets = {"lif": ["zero", "zero"], "subtract": ["subtract"] * 2, "iaf": ["zero", "zero"]}
    assert [layer.neuron.reset_mechanism for layer in network.layers][:2] == resets[name]


def test_a_leak_to_elsewhere_is_refused():
    module, x = Cells(box(v_leak=NUMBER(0.5)), *CELLS["lif"][1:]), frames(6, steps=20)
    with pytest.raises(xb.ParameterError, match="'lif1' \\(LIFBoxCell\\): v_leak = 0.5; it has to be 0"):
        mp.load_network(module, sample=x)


class AllSteps(nn.Module):
    """Neurons that take all steps, after weights that are applied to all of them."""

    def __init__(self):
        super().__init__()
        self.conv, self.lif, self.fc, self.last = nn.Conv2d(1, 3, 3), norse.LIF(), nn.Linear(27, 4), norse.LIF()

    def forward(self, x):
        current = self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        spikes, _ = self.lif(current)
        return self.last(self.fc(spikes.flatten(2)))[0]


def test_all_steps_in_one_call():
    torch.manual_seed(0)
    assert_equal(lively(AllSteps(), 8), frames(1, 5, 5, steps=15))


def test_a_chain_that_hands_on_states():
    torch.manual_seed(0)
    parts = [
        norse.Lift(nn.Conv2d(1, 4, 3)),
        norse.LIF(),
        nn.Flatten(2),
        norse.Lift(nn.Linear(36, 5)),
        norse.LIF(),
        norse.Lift(nn.Linear(5, 3)),
        norse.LI(),
    ]
    assert_equal(lively(norse.SequentialState(*parts), 25), frames(1, 5, 5, steps=30))
