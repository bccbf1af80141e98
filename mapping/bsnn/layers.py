"""Weighted layers: binarization with a straight-through estimator, convolution and pooling in one kernel."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapping.bsnn.spec import LayerSpec, Shape


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        return torch.where(weight >= 0, 1.0, -1.0).to(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


def binarize(weight: Tensor) -> Tensor:
    """Return the signs of the weights, sign(0) = +1, with gradient 1 (equations 4-5 of Eshraghian et al. 2022)."""
    signs: Tensor = _Sign.apply(weight)  # type: ignore[no-untyped-call]
    return signs


def fuse_pool(weight: Tensor, pool: int) -> Tensor:
    """Merge average pooling over ``pool`` x ``pool`` into the kernel (out, in, k, k) -> (out, in, k+pool-1, ...).

    Convolution followed by average pooling is one convolution with a larger kernel and stride ``pool``: exact, and
    (k+pool-1)^2 products replace pool^2 k^2.
    """
    grow = pool - 1
    shifted = [F.pad(weight, (x, grow - x, y, grow - y)) for y in range(pool) for x in range(pool)]
    return torch.stack(shifted).sum(0) / pool**2


def weighted_input(x: Tensor, weight: Tensor, pool: int) -> Tensor:
    """Apply weights (out, in, k, k) with "same" padding to x (n, in, h, w), then average pooling."""
    if weight.shape[-1] == 1 and x.shape[-1] == 1:
        return F.linear(x[:, :, 0, 0], weight[:, :, 0, 0])[:, :, None, None]
    fused = fuse_pool(weight, pool) if pool > 1 else weight
    return F.conv2d(x, fused, stride=pool, padding=weight.shape[-1] // 2)


class SpikingLayer(nn.Module):
    """The trainable part of one layer: real weights, binarized when used, pooling and batch norm."""

    def __init__(self, spec: LayerSpec, in_shape: Shape, binary: bool) -> None:
        super().__init__()
        self.spec, self.in_shape, self.binary = spec, in_shape, binary
        weight = torch.empty(spec.out, in_shape[0], spec.kernel, spec.kernel)
        nn.init.kaiming_uniform_(weight, a=5**0.5)
        self.weight = nn.Parameter(weight)
        self.norm = nn.BatchNorm2d(spec.out) if spec.batch_norm else None

    def effective_weight(self) -> Tensor:
        """Return the weights that the layer computes with, (out, in, k, k)."""
        return binarize(self.weight) if self.binary else self.weight

    def forward(self, x: Tensor) -> Tensor:
        """Return the current (n, out, h, w) into the neurons for inputs (n, ...)."""
        current = weighted_input(x.reshape(len(x), *self.in_shape), self.effective_weight(), self.spec.pool)
        return current if self.norm is None else self.norm(current)
