"""Networks run by snnTorch itself."""

import warnings

import pytest
import torch

from mapping.networks.dynamics import lif

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
            current = layer(x.reshape(shape))
            spikes, membrane = lif(current, layer.threshold, layer.beta, layer.neuron, STEPS)
        theirs = expected.reshape(spikes.shape)
        differs = (spikes != theirs).any(0)
        gap = (membrane / layer.threshold - 1).abs().amin(0)
        assert not differs.any() or gap[differs].max() < 1e-5
        assert 0.02 < theirs.mean() < 0.9 and differs.float().mean() < 0.02
        x = expected


def states_of(part, current):
    """What a module starts from, spikes first if it is recurrent."""
    zeros = torch.zeros_like(current)
    return {"Leaky": [zeros], "Synaptic": [zeros] * 2, "RLeaky": [zeros] * 2, "RSynaptic": [zeros] * 3}[
        type(part).__name__
    ]


def run_any(module, x):
    """Run a chain of modules with neurons of any kind in double precision, one time step after the other."""
    states, found = {}, {}
    for now in x:
        value = now
        for name, part in module._modules.items():
            if not type(part).__module__.startswith("snntorch"):
                value = part(value)
                continue
            state = [z.double() for z in states.get(name, states_of(part, value))]
            out = part(value, *state)
            recurrent = type(part).__name__.startswith("R")
            states[name], value = out if recurrent else out[1:], out[0].double()
            found.setdefault(name, []).append(value)
    return [torch.stack(spikes) for spikes in found.values()], value
