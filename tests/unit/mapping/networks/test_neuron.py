"""Neurons against their equations in plain NumPy, and their gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mapping as mp
import xbarsim as xb
from mapping.kernels.sums import SPIKES
from mapping.networks.dynamics import back_step_by_step, lif, step_by_step
from mapping.networks.event_layers import list_inputs
from mapping.networks.ideal_layers import ideal_layers
from mapping.networks.network import Network
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


KINDS = {
    "synaptic": {"alpha": 0.6},
    "synaptic, at once": {"alpha": 0.6, "reset_delay": False, "fire": ">"},
    "synaptic, snntorch": {"alpha": 0.6, "reset_delay": "snntorch", "reset_mechanism": "zero"},
    "synaptic, a step later": {"alpha": 0.6, "late_current": True},
    "integrator": {"fire": "never", "reset_mechanism": "none"},
    "many spikes": {"most_spikes": 3, "reset_delay": False},
    "many spikes above, later": {"most_spikes": 255, "fire": ">"},
    "adaptive": {"adaptation": 0.4, "adaptation_decay": 0.7},
    "adaptive, zero": {"adaptation": 0.4, "adaptation_decay": 0.7, "reset_mechanism": "zero", "reset_delay": False},
}


def by_hand(name, currents, beta=0.75, theta=1.0):
    """One neuron: spikes and membranes for one current after the other, each kind by its own equations."""
    options = {"reset_mechanism": "subtract", "reset_delay": True, "fire": ">="} | KINDS[name]
    held, due, synapse, raised = 0.0, 0, 0.0, 0.0
    spikes, membranes = [], []
    for now in currents:
        arrives = now
        if "alpha" in options:
            before, synapse = synapse, 0.6 * synapse + now
            arrives = before if options.get("late_current") else synapse
        zero = options["reset_mechanism"] == "zero"
        u = beta * (0 if zero and due else held) + arrives - (0 if zero else due * theta)
        level, count = theta + raised, 0
        while options["fire"] != "never" and count < options.get("most_spikes", 1):
            above = u > level * (count + 1) if options["fire"] == ">" else u >= level * (count + 1)
            if not above:
                break
            count += 1
        if "adaptation" in options:
            raised = 0.7 * raised + 0.4 * theta * count
        spikes.append(count)
        membranes.append(u)
        held = u
        if options["reset_delay"] is True:
            due = 0 if options["reset_mechanism"] == "none" else count
        elif options["reset_delay"] is False:
            held = (0 if zero and count else u) if zero else u - count * theta
        else:  # snnTorch: what is left is zeroed again where it still stands above; zero stays zero
            held, due = (0 if count - due > 0 else u), 0
            due = int(held >= theta)
    return np.array(spikes), np.array(membranes)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_kinds_of_neurons_are_their_equations_in_both_engines(name, seed):
    """Currents in eighths: all numbers but the decays' products are exact, and many membranes meet the threshold."""
    rng = np.random.default_rng(seed)
    currents = rng.integers(-8, 25, 12) / 8
    layer = mp.LayerSpec(kind="dense", out=1)
    spec = mp.NetworkSpec(
        input_shape=(1, 1, 1), layers=[layer], beta=0.75, threshold=1.0, t_steps=12, weights="float",
        decoder="membrane", **KINDS[name],
    )  # fmt: skip
    expected, membranes = by_hand(name, currents)
    current = torch.from_numpy(currents)[:, None, None, None, None]
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    spikes, membrane = lif(current, one, 0.75 * one, spec.neurons()[0], 12)
    np.testing.assert_array_equal(spikes.flatten().numpy(), expected)
    np.testing.assert_allclose(membrane.flatten().numpy(), membranes, rtol=0, atol=1e-12)
    network = Network(spec).double().eval()
    network.layers[0].weight.data[:] = 1
    (table,) = ideal_layers(network.graph(), 12, np.dtype(float))
    events = list_inputs(currents[:, None, None, None, None], True, np.dtype(float))
    _, sums, (fired, u) = table.run(events, dense=True)
    np.testing.assert_array_equal(fired.ravel(), expected)
    np.testing.assert_allclose(u.ravel(), membranes, rtol=0, atol=1e-12)
    assert sums[0, SPIKES] == expected.sum()


def test_neurons_that_cannot_be_are_refused():
    for values, message in (
        ({"late_current": True}, "there is no synaptic current; give alpha"),
        ({"adaptation_decay": 0.5}, "nothing raises the threshold; give adaptation"),
        ({"most_spikes": 2, "clip": True}, "most_spikes and adaptation go with neither"),
        ({"adaptation": 0.1, "inhibition": 0.1}, "most_spikes and adaptation go with neither"),
        ({"most_spikes": 2, "reset_mechanism": "zero"}, "each spike takes one threshold that stays"),
        ({"alpha": 1.5}, "alpha = 1.5"),
    ):
        with pytest.raises(xb.ParameterError, match=message):
            NeuronSpec(beta=0.5, threshold=1, **values)
    layer = mp.LayerSpec(kind="dense", out=2, neuron={"fire": "never"})
    spec = {"input_shape": (3, 1, 1), "beta": 0.5, "threshold": 1, "t_steps": 2}
    with pytest.raises(xb.ParameterError, match="layer 1 never fires; read a 'membrane'"):
        mp.NetworkSpec(layers=[layer], **spec)
    with pytest.raises(xb.ParameterError, match="layer 1 never fires, which only an output may"):
        mp.NetworkSpec(layers=[layer, layer], decoder="membrane", **spec)
    many = mp.NetworkSpec(layers=[mp.LayerSpec(kind="dense", out=2)], most_spikes=2, **spec)
    with pytest.raises(xb.ParameterError, match="most_spikes = 2: the surrogate gradient is of one spike"):
        mp.train(many, np.zeros((4, 3)), np.zeros(4, int), axes="nc")
