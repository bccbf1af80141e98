"""Batch norm of training, over channels-last data: the statistics of the batch, and their gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapping.kernels.norm import channel_sums, combine, gradient_sums, scale
from xbarsim.kernels.jit import launching

_PIECES = 16


class _BatchNorm(torch.autograd.Function):
    """y = gamma (x - mean) / sqrt(var + eps) + bias over (n, channels), with mean and var of the batch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        flat = x.numpy()
        centre = flat[0].astype(np.float64)  # keeps the variance of data far from 0 exact
        total, squares = np.empty((2, _PIECES, flat.shape[1]))
        with launching:
            channel_sums(flat, centre, total, squares)
        shift = total.sum(0) / len(flat)
        mean, var = centre + shift, np.maximum(squares.sum(0) / len(flat) - shift**2, 0)
        gain = gamma.numpy() / np.sqrt(var + eps)
        y = torch.empty_like(x)
        with launching:
            scale(_like(gain, flat), flat, _like(bias.numpy() - gain * mean, flat), y.numpy())
        ctx.save_for_backward(x, gamma)
        ctx.statistics = mean, np.sqrt(var + eps)
        averages = torch.from_numpy(mean), torch.from_numpy(var)
        ctx.mark_non_differentiable(*averages)
        return y, *averages

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, gamma = ctx.saved_tensors
        mean, deviation = ctx.statistics
        flat, grad = x.numpy(), grads[0].contiguous().numpy()
        total, products = np.empty((2, _PIECES, flat.shape[1]))
        with launching:
            gradient_sums(grad, flat, total, products)
        to_bias = total.sum(0)
        to_gamma = (products.sum(0) - mean * to_bias) / deviation
        a = gamma.numpy() / deviation
        b = -a * to_gamma / (deviation * len(flat))
        c = -a * to_bias / len(flat) - b * mean
        to_x = torch.empty_like(x)
        with launching:
            combine(_like(a, flat), grad, _like(b, flat), flat, _like(c, flat), to_x.numpy())
        return to_x, torch.from_numpy(_like(to_gamma, flat)), torch.from_numpy(_like(to_bias, flat)), None


def batch_norm(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Apply batch norm to x (n, channels, height, width), as ``norm(x)``; fastest with channels last in memory."""
    running_mean, running_var, momentum = norm.running_mean, norm.running_var, norm.momentum
    assert running_mean is not None and running_var is not None and momentum is not None  # as SpikingLayer builds it
    if not (norm.training and x.is_cpu):
        return F.batch_norm(x, running_mean, running_var, norm.weight, norm.bias, norm.training, momentum, norm.eps)
    last = x.movedim(1, -1).contiguous()
    y, mean, var = _BatchNorm.apply(last.flatten(0, 2), norm.weight, norm.bias, norm.eps)  # type: ignore[no-untyped-call]
    n = last[..., 0].numel()
    with torch.no_grad():
        running_mean.lerp_(mean.to(running_mean), momentum)
        running_var.lerp_((var * (n / max(1, n - 1))).to(running_var), momentum)
    normed: Tensor = y.reshape(last.shape).movedim(-1, 1)
    return normed


def _like(x: np.ndarray, data: np.ndarray) -> np.ndarray:
    return x.astype(data.dtype)
