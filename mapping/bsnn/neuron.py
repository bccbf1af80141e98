"""Leaky integrate-and-fire neurons over a whole sequence, with the fast-sigmoid surrogate gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mapping.kernels.lif import lif_backward, lif_forward
from xbarsim.kernels.jit import launching


class _Lif(torch.autograd.Function):
    """Equations 1-3 of Eshraghian et al. 2022 as one differentiable function; the reset is detached."""

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, threshold: Tensor, beta: float, slope: float, clip: bool, t_steps: int
    ) -> Tensor:
        membrane = current.new_empty(t_steps, *current.shape[1:])
        spikes = torch.empty_like(membrane)
        if current.is_cpu:
            now, u, s = _flat(current), _flat(membrane), _flat(spikes)
            with launching:
                lif_forward(now, _per_neuron(threshold, current), now.dtype.type(beta), clip, u, s)
        else:
            _forward_on_device(current, threshold, beta, clip, membrane, spikes)
        ctx.save_for_backward(membrane, threshold)
        ctx.settings = (beta, slope, clip, len(current))
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        membrane, threshold = ctx.saved_tensors
        beta, slope, clip, n_currents = ctx.settings
        grad = membrane.new_empty(n_currents, *membrane.shape[1:])
        if membrane.is_cpu:
            u = _flat(membrane)
            number = u.dtype.type
            theta = _per_neuron(threshold, membrane)
            with launching:
                lif_backward(_flat(grads[0]), u, theta, number(beta), number(slope), clip, _flat(grad))
        else:
            _backward_on_device(grads[0], membrane, threshold, beta, slope, clip, grad)
        return grad, None, None, None, None, None


def lif(current: Tensor, threshold: Tensor, beta: float, slope: float, clip: bool, t_steps: int) -> Tensor:
    """Run leaky integrate-and-fire neurons over all time steps.

    ``U[t+1] = beta U[t] + I[t+1] - S[t] theta``, ``S[t] = 1 if U[t] >= theta else 0`` (equations 1-2 of Eshraghian
    et al. 2022); backward, dS/dU is ``1 / (1 + k |U - theta|)^2`` and the reset term is detached.

    Parameters
    ----------
    current : Tensor, (t_steps, n, ...) or (1, n, ...)
        Weighted input per step; one entry means the same current at every step.
    threshold : Tensor, broadcastable to (...)
        Firing threshold of each neuron, in the unit of the current.
    beta, slope : float
        Membrane decay per step and surrogate slope k.
    clip : bool
        Keep the membrane inside plus/minus the threshold.
    t_steps : int
        Number of time steps.

    Returns
    -------
    Tensor, (t_steps, n, ...)
        Spikes, 0 or 1.
    """
    spikes: Tensor = _Lif.apply(current, threshold, beta, slope, clip, t_steps)  # type: ignore[no-untyped-call]
    return spikes


def _flat(x: Tensor) -> np.ndarray:
    return x.detach().contiguous().flatten(2).numpy()


def _per_neuron(threshold: Tensor, like: Tensor) -> np.ndarray:
    return threshold.to(like.dtype).expand(like.shape[2:]).contiguous().flatten().numpy()


def _forward_on_device(
    current: Tensor, threshold: Tensor, beta: float, clip: bool, membrane: Tensor, spikes: Tensor
) -> None:
    for t in range(len(membrane)):
        u = membrane[t]
        u.copy_(current[t if len(current) > 1 else 0])
        if t:
            u.add_(membrane[t - 1], alpha=beta).addcmul_(spikes[t - 1], threshold, value=-1.0)
        if clip:
            torch.clamp(u, -threshold, threshold, out=u)
        torch.ge(u, threshold, out=spikes[t])


def _backward_on_device(
    grad_spikes: Tensor, membrane: Tensor, threshold: Tensor, beta: float, slope: float, clip: bool, grad: Tensor
) -> None:
    carry = torch.zeros_like(membrane[0])
    grad.zero_()
    for t in range(len(membrane) - 1, -1, -1):
        surrogate = (1 + slope * (membrane[t] - threshold).abs()) ** -2
        carry = beta * carry + grad_spikes[t] * surrogate
        if clip:
            carry = carry * (membrane[t].abs() < threshold)
        grad[t if len(grad) > 1 else 0].add_(carry)
