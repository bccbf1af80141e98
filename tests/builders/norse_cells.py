"""Neurons with the names and by the equations of Norse 1.1, for where it is not installed.

https://norse.github.io/norse: an Euler step of the membrane, then fires above the threshold, then reset at once.
"""

from collections import namedtuple

import torch
from torch import nn

Params = namedtuple(
    "Params", "tau_syn_inv tau_mem_inv v_leak v_th v_reset", defaults=(200.0, 100.0, 0.0, 1.0, 0.0)
)  # fmt: skip
State = namedtuple("State", "v i")


class _Cell(nn.Module):
    synaptic = fires = True

    def __init__(self, p=None, dt=0.001):
        super().__init__()
        self.p, self.dt = Params() if p is None else p, dt

    def step(self, x, state):
        v, i = (torch.as_tensor(self.p.v_leak), torch.zeros_like(x)) if state is None else state
        i = i + x if self.synaptic else x
        v = v + self.dt * self.p.tau_mem_inv * (self.p.v_leak - v + i)
        i = i - self.dt * self.p.tau_syn_inv * i
        if not self.fires:
            return v, State(v, i)
        z = (v > self.p.v_th).to(x.dtype)
        return z, State((1 - z) * v + z * self.p.v_reset, i)

    def forward(self, x, state=None):
        return self.step(x, state)


class LIFCell(_Cell):
    pass


class LIFBoxCell(_Cell):
    synaptic = False


class LICell(_Cell):
    fires = False


class LIF(_Cell):
    """All time steps in one call."""

    def forward(self, x, state=None):
        out = []
        for now in x:
            z, state = self.step(now, state)
            out.append(z)
        return torch.stack(out), state


for kind in (LIFCell, LIFBoxCell, LICell, LIF):
    kind.__module__ = "norse.torch.module"
