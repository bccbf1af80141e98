"""Weights, batch norm and pooling with the settings that torch's modules and functions have."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from mapping.importers import fields
from mapping.importers.fields import numbers, window
from mapping.ir.ops import Norm, Pool, Weights
from mapping.ir.shapes import Geometry
from mapping.networks.finite import plain
from xbarsim.errors import ParameterError


def product(what: str, weight: Tensor, bias: Tensor | None) -> Weights:
    """Return dense weights, (out, in) in torch."""
    values = numbers(plain(weight), what, "weight")
    geometry = Geometry(kind="dense", out=len(values), bias=bias is not None)
    return Weights(geometry=geometry, values=values[:, :, None, None], levels="float", bias=_bias(what, bias))


def convolution(
    what: str, weight: Tensor, bias: Tensor | None, groups: int, padding_mode: str = "zeros", **axes: Any
) -> Weights:
    """Return the weights of a convolution with stride, padding and dilation along its axes."""
    values = numbers(plain(weight), what, "weight")
    return fields.convolution(what, values, _bias(what, bias), groups, padding_mode, **axes)


def _bias(what: str, bias: Tensor | None) -> np.ndarray | None:
    return None if bias is None else numbers(plain(bias), what, "bias")


def norm(
    what: str, mean: Tensor | None, var: Tensor | None, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Norm:
    """Return a batch norm by its running statistics."""
    if mean is None or var is None:
        raise ParameterError(f"{what}: has no running statistics; train it with track_running_stats")
    means = numbers(plain(mean), what, "running_mean")
    variances = numbers(plain(var), what, "running_var", least=0)
    numbers(variances + eps, what, "running_var + eps", above=0)
    return Norm(
        mean=means,
        var=variances,
        eps=eps,
        gamma=np.ones_like(means) if weight is None else numbers(plain(weight), what, "weight"),
        shift=np.zeros_like(means) if bias is None else numbers(plain(bias), what, "bias"),
    )


def pool(
    what: str, maximum: bool, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, line: bool = False
) -> Pool:
    """Return pooling of windows one beside the other, of two axes or of one, a ``line``."""
    side = window(kernel, kernel if stride is None or stride == [] else stride, padding, what, line)
    if ceil_mode:
        raise ParameterError(f"{what}: ceil_mode is not supported; pad its input instead")
    if maximum and np.any(np.not_equal(dilation, 1)):
        raise ParameterError(f"{what}: dilation is not supported")
    return Pool(side=side, by="maximum" if maximum else "average")
