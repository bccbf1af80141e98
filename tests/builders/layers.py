"""Layers of a chip that read one source, one by one."""

import numpy as np
import torch

from mapping.chip.periphery.ledger import Ledger
from mapping.engines.ageing_steps import currents_while_ageing
from mapping.engines.currents import Drive, combined, contribution, noise_draws
from mapping.engines.dense_engine import run_component
from mapping.ir.components import Component


def forward(layer, x, analog, first=0, ageing=None):
    """Run a layer by tensors; return outputs, what they were made from, and counts."""
    (part,) = layer.wordlines
    return run_component([layer], Component([0], False), {part.rows.source: (x, analog)}, first, ageing)[0]


def driven(layer, x, analog=True):
    """What an array (t_steps or 1, n, ...) does to its wordlines."""
    (part,) = layer.wordlines
    return Drive.of(layer, part, np.asarray(x), analog)


def currents(layer, x, steps, draws=None):
    """Currents into neurons of some time steps of a layer, with noise of so many."""
    drive, ledger = driven(layer, x), Ledger()
    noise = noise_draws(layer, steps.stop if draws is None else draws, drive.x.shape[1], 0)
    return combined(layer, [contribution(layer, drive, steps, noise, ledger)], noise, steps)


def currents_of_ageing(layer, x, ageing):
    """The same of all time steps, each of which ages the arrays."""
    drive = driven(layer, torch.from_numpy(x).double().numpy(), False)
    return currents_while_ageing(layer, [drive], noise_draws(layer, layer.t_steps, x.shape[1], 0), Ledger(), ageing)
