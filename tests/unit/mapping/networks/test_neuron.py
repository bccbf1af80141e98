"""Neurons, weights, encodings and decoders against their equations in plain NumPy, and their gradients."""

import numpy as np
import pytest
import torch

import mapping as mp
import xbarsim as xb
from mapping.bsnn.decode import first_spike, loss, penalty, scores
from mapping.bsnn.encode import encode
from mapping.bsnn.layers import SpikingLayer, fuse_pool, quantize, weighted_input
from mapping.bsnn.neuron import back_step_by_step, lif, step_by_step
from mapping.bsnn.norm import batch_norm
from mapping.bsnn.spec import LayerSpec, NeuronSpec
from mapping.datasets import events
from mapping.kernels.norm import channel_sums
from tests.oracles.naive_networks import average_pool, conv_same, naive_lif, run_neurons

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


@pytest.mark.parametrize(
    ("kind", "levels"),
    [
        ("binary", [-1, 1, 1, 1, -1]),
        ("ternary", [0, 0, 0, 1, -1]),  # the limit is 0.7 times the average of 0.2, 0, 0, 3 and 1.4
        (2, [0, 0, 0, 1, 0]),
        (3, [0, 0, 0, 1, -1 / 3]),
        (8, [-8 / 127, 0, 0, 1, -59 / 127]),
        ("float", [-0.2, 0.0, 0.0, 3.0, -1.4]),
    ],
)
def test_weights_have_their_levels_and_pass_gradients(kind, levels):
    weight = torch.tensor([-0.2, 0.0, -0.0, 3.0, -1.4], dtype=torch.float64, requires_grad=True)
    used = quantize(weight, kind)
    np.testing.assert_allclose(used.detach(), levels, rtol=1e-12)
    np.testing.assert_allclose(quantize(used, kind).detach(), levels, rtol=1e-12)
    (used * torch.arange(1.0, 6.0)).sum().backward()
    assert weight.grad.tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("pool", "stride"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_pooling_fused_into_the_kernel_is_exact(pool, stride):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(3, 8, 8)), rng.normal(size=(5, 3, 5, 5))
    fused = weighted_input(torch.from_numpy(x[None]), torch.from_numpy(kernel), pool, stride=stride)[0].numpy()
    expected = average_pool(conv_same(x, kernel)[:, ::stride, ::stride], pool)
    np.testing.assert_allclose(fused, expected, rtol=0, atol=1e-12)
    side = 5 + stride * (pool - 1)
    assert fuse_pool(torch.from_numpy(kernel), pool, stride).shape == (5, 3, side, side)


@pytest.mark.parametrize(
    ("side", "stride", "padding"), [(6, 2, 2), (5, 1, 2), (5, 1, 0), (4, 3, 1), (3, 3, 0), (1, 1, 0)]
)
def test_event_driven_convolution_and_its_gradients(side, stride, padding):
    from mapping.bsnn.layers import _EventConv

    generator = torch.Generator().manual_seed(0)
    x = torch.rand(5, 3, 9, 11, dtype=torch.float64, generator=generator)
    x = (x * (x > 0.8)).requires_grad_()
    weight = torch.randn(4, 3, side, side, dtype=torch.float64, generator=generator, requires_grad=True)
    ours = _EventConv.apply(x, weight, stride, padding)
    theirs = torch.nn.functional.conv2d(x, weight, stride=stride, padding=padding)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    upstream = torch.randn(ours.shape, dtype=torch.float64, generator=generator)
    expected = torch.autograd.grad(theirs, [x, weight], upstream)
    for got, want in zip(torch.autograd.grad(ours, [x, weight], upstream), expected):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-11)


def test_batch_norm_and_its_gradients():
    generator = torch.Generator().manual_seed(0)
    x = (100 + torch.randn(6, 3, 4, 4, dtype=torch.float64, generator=generator)).requires_grad_()
    ours, theirs = (torch.nn.BatchNorm2d(3).double() for _ in range(2))
    for norm in (ours, theirs):
        norm.weight.data, norm.bias.data = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.0, -1.0]], dtype=torch.float64)
    upstream = torch.randn(x.shape, dtype=torch.float64, generator=generator)
    results = []
    for norm, y in ((ours, batch_norm(x, ours)), (theirs, theirs(x))):
        results.append([y, *torch.autograd.grad(y, [x, norm.weight, norm.bias], upstream), norm.running_var])
    for got, want in zip(*results):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-10)
    assert torch.allclose(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(batch_norm(x, ours.eval()), theirs.eval()(x))


def test_sums_do_not_depend_on_what_a_thread_gets():
    x = np.random.default_rng(0).normal(size=(37, 2)).astype(np.float32)
    total, squares = np.empty((2, 16, 2))
    channel_sums(x, np.zeros(2), total, squares)
    np.testing.assert_allclose(total.sum(0), x.astype(float).sum(0), rtol=1e-12)
    np.testing.assert_allclose(squares.sum(0), (x.astype(float) ** 2).sum(0), rtol=1e-12)


def test_padding_of_the_smallest_convolution():
    spec = LayerSpec(kind="conv", out=2, kernel=1, padding=1)
    layer = SpikingLayer(spec, (3, 1, 1), "float", NeuronSpec(beta=0.5, threshold=1))
    assert layer(torch.ones(4, 3, 1, 1)).shape == (4, *spec.shapes((3, 1, 1))[1]) == (4, 2, 3, 3)


def test_maximum_pooling_bias_and_strides():
    spec = LayerSpec(kind="conv", out=4, kernel=4, stride=2, padding=1, pool=2, pool_by="maximum", bias=True)
    torch.manual_seed(0)
    layer = SpikingLayer(spec, (2, 8, 8), "ternary", NeuronSpec(beta=0.5, threshold=1)).double()
    layer.bias.data.normal_()
    x = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    current = torch.nn.functional.conv2d(x, quantize(layer.weight, "ternary"), layer.bias, stride=2, padding=1)
    torch.testing.assert_close(layer(x), torch.nn.functional.max_pool2d(current, 2))
    assert spec.shapes((2, 8, 8)) == ((2, 8, 8), (4, 2, 2)) and layer(x).shape[1:] == (4, 2, 2)


NETWORK = mp.NetworkSpec(
    input_shape=(1, 3, 4), layers=[LayerSpec(kind="dense", out=2)], beta=0.5, threshold=1, t_steps=2000
)


def test_rate_encoding_is_bernoulli_and_the_same_in_any_batch():
    spec = NETWORK.replace(encoding="rate")
    images = np.random.default_rng(0).uniform(0, 1, (3, 3, 4))
    spikes = encode(images, spec, seed=4)
    assert spikes.shape == (2000, 3, 1, 3, 4) and set(np.unique(spikes)) == {0, 1}
    rate, sigma = spikes.mean(0)[:, 0], np.sqrt(images * (1 - images) / 2000)
    assert np.abs((rate - images) / sigma).max() < 4.5
    lagged = np.mean(spikes[1:] * spikes[:-1], 0)[:, 0]
    assert np.abs(lagged - images**2).max() < 0.06
    np.testing.assert_array_equal(encode(images[1:], spec, seed=4, numbers=[1, 2]), spikes[:, 1:])
    assert np.any(encode(images, spec, seed=5) != spikes)
    ends = encode(np.array([[[0.0, 1.0, 0.0, 1.0]] * 3]), spec)
    np.testing.assert_array_equal(ends.mean(0)[0, 0], [[0, 1, 0, 1]] * 3)


def test_latency_encoding_fires_once_the_earlier_the_brighter():
    spec = NETWORK.replace(encoding="latency", t_steps=11)
    images = np.array([[[1.0, 0.9, 0.5, 0.1], [0.0, 0.96, 0.04, 0.33], [0, 0, 0, 0]]])
    spikes = encode(images, spec)[:, 0, 0]
    np.testing.assert_array_equal(spikes.sum(0), images[0] > 0)
    times = spikes.argmax(0)
    np.testing.assert_array_equal(times[:2], [[0, 1, 5, 9], [0, 0, 10, 7]])


def test_spikes_of_event_cameras_come_in_any_order_of_axes(tmp_path):
    spec = NETWORK.replace(t_steps=5)
    spikes = (np.random.default_rng(0).random((5, 2, 1, 3, 4)) < 0.5).astype(np.uint8)
    np.testing.assert_array_equal(encode(events(spikes, "tnchw"), spec), spikes)
    assert events(spikes[:, :, 0], "tnhw").shape == (2, 5, 1, 3, 4)
    assert events(spikes[:, :, 0, 0], "tnc").shape == (2, 5, 4, 1, 1)
    with pytest.raises(xb.ParameterError, match="do not tell which axis is what; give axes = 'tnchw'"):
        events(spikes)
    np.savez(tmp_path / "gestures.npz", spikes=spikes, labels=np.array([3, 1]))
    loaded, labels = mp.load_dataset(tmp_path / "gestures.npz")
    np.testing.assert_array_equal(encode(loaded, spec), spikes)
    assert labels.tolist() == [3, 1]
    assert events(spikes > 0, "tnchw").dtype == np.uint8
    whole = (tmp_path / "gestures.npz").read_bytes()
    (tmp_path / "gestures.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(xb.FileError, match="needs arrays 'images'"):
        mp.load_dataset(tmp_path / "gestures.npz")


def test_decoders_and_their_losses():
    spikes = torch.zeros(6, 2, 3, dtype=torch.float64)
    spikes[[3, 1, 4, 1, 2, 5], [0, 0, 0, 1, 1, 1], [0, 1, 0, 2, 2, 1]] = 1
    membrane = torch.linspace(-1, 1, 36, dtype=torch.float64).reshape(6, 2, 3)
    labels = torch.tensor([1, 2])
    assert first_spike(spikes).tolist() == [[3, 1, 6], [6, 5, 1]]
    assert scores(spikes, membrane, "count", torch.tensor(2.0)).argmax(1).tolist() == [0, 2]
    assert scores(spikes, membrane, "first-spike", torch.tensor(2.0)).argmax(1).tolist() == [1, 2]
    assert scores(spikes, membrane, "membrane", torch.tensor(2.0)).argmax(1).tolist() == [2, 2]
    both = torch.zeros(4, 1, 2)
    both[[1, 1, 2], 0, [0, 1, 1]] = 1
    assert scores(both, both, "first-spike", torch.tensor(2.0)).argmax(1).item() == 1  # as early, and more often

    def softmax_loss(logits):
        return np.mean([np.log(np.exp(row).sum()) - row[k] for row, k in zip(logits, labels)])

    theta = torch.tensor(2.0)
    counts = spikes.sum(0).numpy()
    assert loss(spikes, membrane, labels, "count", theta).item() == pytest.approx(softmax_loss(counts))
    times = -first_spike(spikes).numpy()
    assert loss(spikes, membrane, labels, "first-spike", theta).item() == pytest.approx(softmax_loss(times))
    target = np.eye(3)[labels]
    expected = np.mean((membrane.numpy() / 2 - target) ** 2)
    assert loss(spikes, membrane, labels, "membrane", theta).item() == pytest.approx(expected)


def test_gradient_of_the_first_spike_is_that_of_its_formula():
    spikes = (torch.rand(5, 2, 3, generator=torch.Generator().manual_seed(1)) < 0.4).double().requires_grad_()
    upstream = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (first_spike(spikes) * upstream).sum().backward()

    def value(x):
        return np.sum([np.prod(1 - x[: t + 1], 0) for t in range(5)], 0)

    for index in np.ndindex(5, 2, 3):
        moved = np.zeros((5, 2, 3))
        moved[index] = 1e-6
        x = spikes.detach().numpy()
        slope = np.sum(upstream.numpy() * (value(x + moved) - value(x - moved))) / 2e-6
        assert spikes.grad[index] == pytest.approx(slope, abs=1e-8)


def test_activity_costs_its_rate():
    a, b = (torch.rand(4, 2, 3, generator=torch.Generator().manual_seed(k)).round() for k in (0, 1))
    rates = [x.numpy().mean(0) for x in (a, b)]
    expected = sum(0.5 * r.mean() + 2 * (r**2).mean() for r in rates)
    assert penalty([a, b], 0.5, 2.0).item() == pytest.approx(expected, rel=1e-6)
