"""Decoders of outputs, and their losses."""

import numpy as np
import pytest
import torch

from mapping.networks.decode import first_spike, loss, penalty, scores


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
