"""From output spikes and membranes to classes, and the loss that trains each way of reading them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def side_by_side(states: Sequence[Tensor]) -> Tensor:
    """Return what several output layers give, (t_steps, n, channels, ...) each, as if it were one layer."""
    return states[0] if len(states) == 1 else torch.cat([state.flatten(2) for state in states], 2)


def thresholds(of: Sequence[Tensor], membranes: Sequence[Tensor]) -> Tensor:
    """Return the thresholds of several output layers as those of one, see :func:`scores`."""
    wide = (threshold.expand(membrane.shape[2:]).flatten() for threshold, membrane in zip(of, membranes))
    return of[0] if len(of) == 1 else torch.cat(list(wide))


def first_spike(spikes: Tensor) -> Tensor:
    """Return how many steps pass before the first spike, (n, ...); all of them if there is none.

    The sum over t of the products over s <= t of 1 - S[s], which passes gradients to the spikes.
    """
    return (1 - spikes).cumprod(0).sum(0)


def scores(spikes: Tensor, membrane: Tensor, decoder: str, threshold: Tensor) -> Tensor:
    """Return a number for each class, (n, classes); the highest wins, the lowest class if there are several.

    Parameters
    ----------
    spikes, membrane : Tensor, (t_steps, n, channels, ...)
        Of the output layers. Classes are their neurons in the order (channel, row, column).
    decoder : {"count", "first-spike", "membrane", "last-membrane", "max-membrane"}
        Spikes; steps before the first one, the fewer the better, and the count where these are equal; average membrane
        over threshold; that of the last step; the largest.
    threshold : Tensor, broadcastable to (channels, ...)
    """
    if "membrane" in decoder:
        return (membrane_read(membrane, decoder).double() / threshold).flatten(1)
    spikes = spikes.flatten(2)
    count = spikes.sum(0)
    return count if decoder == "count" else count.double() / (len(spikes) + 1) - first_spike(spikes)


def membrane_read(membrane: Tensor, decoder: str) -> Tensor:
    """Return what of a membrane (t_steps, ...) is read."""
    if decoder == "membrane":
        return membrane.mean(0)
    return membrane[-1] if decoder == "last-membrane" else membrane.amax(0)


def loss(spikes: Tensor, membrane: Tensor, labels: Tensor, decoder: str, threshold: Tensor) -> Tensor:
    """Return the training loss that goes with a decoder.

    "count": cross-entropy of the softmax over spike counts (equations 8-9 of Eshraghian et al. 2022). "first-spike":
    cross-entropy of the softmax over minus the time of the first spike. "membrane": average square of U / theta minus
    its target at every step, 1 for the neuron of the class and 0 for the others. "last-membrane", "max-membrane":
    cross-entropy of the softmax over what is read of U / theta.
    """
    spikes = spikes.flatten(2)
    if decoder == "membrane":
        share = (membrane.double() / threshold).flatten(2)
        target = F.one_hot(labels, share.shape[2]).to(share)
        return F.mse_loss(share, target.expand_as(share))
    if "membrane" in decoder:
        return F.cross_entropy((membrane_read(membrane, decoder) / threshold).flatten(1), labels)
    return F.cross_entropy(spikes.sum(0) if decoder == "count" else -first_spike(spikes), labels)


def penalty(spikes: list[Tensor], l1: float, l2: float) -> Tensor:
    """Return what activity costs: l1 times the average spike rate plus l2 times the average squared one, all layers.

    The rate of a neuron is its share of the time steps with a spike; averages are over neurons and images.
    """
    rates = [s.mean(0) for s in spikes]
    return torch.stack([l1 * rate.mean() + l2 * rate.square().mean() for rate in rates]).sum()
