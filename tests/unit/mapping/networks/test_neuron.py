"""Neurons against their equations in plain NumPy, and their gradients."""

import numpy as np
import pytest
import torch

import mapping as mp
import xbarsim as xb
from mapping.networks.dynamics import back_step_by_step, lif, step_by_step
from mapping.networks.spec import LayerSpec, NeuronSpec
from tests.oracles.naive_networks import naive_lif, run_neurons

VARIANTS = {
    "native": {},
    "zero": {"reset_mechanism": "zero"},
    "none": {"reset_mechanism": "none"},
    "at once": {"reset_delay": False},
    "at once, above": {"reset_delay": False, "fire": ">"},
    "at once, clip": {"reset_delay": False, "clip": True},
    "at once, inhibition": {"reset_delay": False, "inhibition": 0.3},
    "zero at once": {"reset_delay": False, "reset_mechanism": "zero", "fire": ">"},
    "snntorch": {"reset_delay": "snntorch", "fire": ">"},
    "snntorch, at": {"reset_delay": "snntorch"},
    "zero, snntorch": {"reset_delay": "snntorch", "reset_mechanism": "zero", "fire": ">"},
    "clip": {"clip": True},
    "clip passes": {"clip": True, "clip_gradient": "straight-through"},
    "winner": {"winner_take_all": True},
    "winner at once": {"winner_take_all": True, "reset_delay": False},
    "winner, zero at once": {"winner_take_all": True, "reset_delay": False, "reset_mechanism": "zero"},
    "winner, snntorch": {"winner_take_all": True, "reset_delay": "snntorch"},
    "winner, zero, snntorch": {"winner_take_all": True, "reset_delay": "snntorch", "reset_mechanism": "zero"},
    "inhibition": {"inhibition": 0.3},
    "all": {"winner_take_all": True, "inhibition": 0.2, "clip": True, "reset_mechanism": "zero"},
}
STEPS, SHAPE = 7, (3, 2, 2)


def neurons(name):
    """A variant, its thresholds and decays per channel, currents of 4 samples, some of them exact ties."""
    spec = NeuronSpec(beta=0.8, threshold=1.0, slope=2.5, **VARIANTS[name])
    rng = np.random.default_rng(7)
    threshold, beta = np.array([1.0, 1.4, 0.7])[:, None, None], np.array([0.8, 0.6, 0.9])[:, None, None]
    current = rng.normal(0.7, 0.9, (STEPS, 4, *SHAPE))
    current[:, 0] = np.round(current[:, 0] * 2) / 2 * threshold
    return spec, threshold, beta, current


@pytest.mark.parametrize("name", VARIANTS)
def test_neurons_follow_their_equations(name):
    spec, threshold, beta, current = neurons(name)
    args = (torch.from_numpy(threshold), torch.from_numpy(beta), spec, STEPS)
    spikes, membrane = lif(torch.from_numpy(current), *args)
    for sample in range(current.shape[1]):
        expected, u = run_neurons(list(current[:, sample]), spec, threshold, beta)
        np.testing.assert_array_equal(spikes[:, sample].numpy(), expected)
        np.testing.assert_allclose(membrane[:, sample].numpy(), u, rtol=0, atol=1e-12)
    assert 0.05 < spikes.mean() < 0.8
    constant = torch.from_numpy(current[:1])
    repeated = lif(constant.expand(STEPS, *current.shape[1:]), *args)
    assert all(torch.equal(a, b) for a, b in zip(lif(constant, *args), repeated))


def surrogate_loss(current, beta, spec, threshold, onto_spikes, onto_membrane, true):
    """Sum of upstream times surrogate and membrane; resets, inhibition, winners and clips as in the true run.

    dS/dU of the surrogate (U - theta) / (1 + k |U - theta|) is the gradient that the paper's equation 3 gives. What a
    step takes from the membrane after the decay is given; and so is what it keeps for the next one: in a reset to zero
    a share, else all but an amount.
    """
    membranes, winners, taken, left = true
    total, held = 0.0, np.zeros_like(current[0])
    for t in range(STEPS):
        u = beta * held + current[t] - taken[t]
        if spec.clip and spec.clip_gradient == "hard":
            u = np.where(np.abs(membranes[t]) >= threshold, membranes[t], u)
        surrogate = (u - threshold) / (1 + spec.slope * np.abs(u - threshold))
        total += np.sum(onto_spikes[t] * surrogate * winners[t]) + np.sum(onto_membrane[t] * u)
        held = u * left[t] if spec.reset_mechanism == "zero" else u - left[t]
    return total


def differentiable(name):
    """Whether the backward pass knows a variant, and its gradient of the decay."""
    spec = VARIANTS[name]
    late = spec.get("reset_delay") == "snntorch"
    return not (late and spec.get("winner_take_all") and spec.get("reset_mechanism") == "zero"), not late


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("name", [name for name in VARIANTS if differentiable(name)[0]])
def test_gradients_are_finite_differences_of_the_surrogate(name, constant):
    spec, threshold, beta, current = neurons(name)
    current = current + 0.003  # off the kinks
    current = current[:1] if constant else current
    rng = np.random.default_rng(1)
    onto_spikes, onto_membrane = rng.normal(size=(2, STEPS, *current.shape[1:]))
    x = torch.from_numpy(current).requires_grad_()
    decay = torch.from_numpy(beta).requires_grad_(differentiable(name)[1])
    spikes, membrane = lif(x, torch.from_numpy(threshold), decay, spec, STEPS)
    (torch.from_numpy(onto_spikes) * spikes + torch.from_numpy(onto_membrane) * membrane).sum().backward()

    u = membrane.detach().numpy()
    reached = u > threshold if spec.fire == ">" else u >= threshold
    ratio = u / threshold
    winners = ratio >= ratio.max(2, keepdims=True) if spec.winner_take_all else np.ones_like(ratio)
    at_once = spec.reset_delay is False and spec.reset_mechanism == "subtract"
    zeroed = spec.reset_mechanism == "zero"
    left = 1.0 - reached if zeroed else reached * threshold * at_once
    held = np.concatenate([np.zeros_like(u[:1]), (u * left if zeroed else u - left)[:-1]])
    taken = beta * held + current - u

    def value(now, decays):
        full = np.broadcast_to(now, (STEPS, *current.shape[1:]))
        return surrogate_loss(full, decays, spec, threshold, onto_spikes, onto_membrane, (u, winners, taken, left))

    step = 1e-7  # small: the slope of the surrogate has a kink at the threshold, where a clip puts membranes
    for array, grad in [(current, x.grad), (beta, decay.grad)][: 1 + decay.requires_grad]:
        for index in np.ndindex(array.shape):
            moved = np.zeros_like(array)
            moved[index] = step
            both = [(current + moved, beta), (current - moved, beta)]
            if array is beta:
                both = [(current, beta + moved), (current, beta - moved)]
            slope = (value(*both[0]) - value(*both[1])) / (2 * step)
            assert grad[index] == pytest.approx(slope, rel=1e-5, abs=2e-5)


@pytest.mark.parametrize("name", [name for name in VARIANTS if differentiable(name)[0]])
def test_gradients_are_those_that_torch_finds_in_the_equations(name):
    spec, threshold, beta, current = neurons(name)
    theta, current = torch.from_numpy(threshold), current + 0.003  # off the kinks
    found = []
    for run in (lif, naive_lif):
        x = torch.from_numpy(current).requires_grad_()
        decay = torch.from_numpy(beta).requires_grad_(differentiable(name)[1])
        spikes, membrane = run(x, theta, decay, spec, STEPS)
        upstream = torch.randn(2, *spikes.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        torch.autograd.backward([spikes, membrane], list(upstream))
        found.append([spikes.detach(), membrane.detach(), x.grad, *([decay.grad] if decay.requires_grad else [])])
    for ours, theirs in zip(*found):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_gradients_that_are_not_known_are_refused():
    for name, message in (("winner, zero, snntorch", "winner_take_all and reset to zero"), ("snntorch", "of beta")):
        spec, threshold, beta, current = neurons(name)
        decay = torch.from_numpy(beta).requires_grad_()
        spikes, _ = lif(torch.from_numpy(current).requires_grad_(), torch.from_numpy(threshold), decay, spec, STEPS)
        with pytest.raises(xb.ParameterError, match=f"reset_delay = 'snntorch'.*{message}"):
            spikes.sum().backward()


@pytest.mark.parametrize("name", VARIANTS)
def test_tensor_operations_for_other_devices_do_the_same(name):
    spec, threshold, beta, current = neurons(name)
    current = torch.from_numpy(current).requires_grad_()
    theta = torch.from_numpy(threshold)
    decay = torch.from_numpy(beta).requires_grad_(differentiable(name)[1])
    spikes, membrane = lif(current, theta, decay, spec, STEPS)
    last = [x.detach().movedim(-3, -1) for x in (current, theta, decay)]
    again = torch.empty(2, *last[0].shape, dtype=torch.float64)
    step_by_step(*last, spec, *again, last[1], last[0][:0])
    torch.testing.assert_close(again[0], membrane.detach().movedim(2, -1), rtol=0, atol=1e-12)
    assert torch.equal(again[1], spikes.detach().movedim(2, -1))

    if not differentiable(name)[0]:
        return
    upstream = torch.randn(2, *spikes.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.autograd.backward([spikes, membrane], list(upstream))
    grad, grad_beta = torch.empty_like(last[0]), torch.zeros(last[0].shape[1:], dtype=torch.float64)
    onto = [x.movedim(2, -1) for x in upstream]
    back_step_by_step(*onto, again[0], *last[1:], spec, grad, grad_beta)
    torch.testing.assert_close(grad, current.grad.movedim(2, -1), rtol=0, atol=1e-12)
    if decay.requires_grad:
        torch.testing.assert_close(grad_beta.sum((0, 1, 2)), decay.grad.flatten(), rtol=0, atol=1e-12)


def test_neurons_that_cannot_work_are_refused():
    with pytest.raises(xb.ParameterError, match=r"fire = '>': a membrane kept at its threshold never fires"):
        NeuronSpec(beta=0.5, threshold=1, clip=True, fire=">")
    with pytest.raises(xb.ParameterError, match=r"NeuronSpec\.reset_mechanism = 'half'"):
        NeuronSpec(beta=0.5, threshold=1, reset_mechanism="half")
    with pytest.raises(xb.ParameterError, match=r"layer 1: NeuronSpec\.betta is not a field"):
        mp.paper_network(layers=[LayerSpec(kind="dense", out=3, neuron={"betta": 0.1})])
    with pytest.raises(xb.ParameterError, match="3 time steps; give 1 or 7"):
        lif(torch.zeros(3, 1, 1, 1, 1), torch.ones(()), torch.ones(()), NeuronSpec(beta=0.5, threshold=1), 7)
