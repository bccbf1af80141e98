"""Which numbers a network may be made of: real, finite, in their range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mapping.ir.numbers import fault as fault_of
from mapping.ir.shapes import Shape
from mapping.networks.ann_spec import AnySpec
from mapping.networks.spec import BranchSpec, LayerSpec
from mapping.networks.wiring import Wiring
from xbarsim.errors import ParameterError
from xbarsim.machine import check_memory

_OVERSHOOT = 0.5


def title(number: int, spec: LayerSpec) -> str:
    """Return what errors call a layer, the one of that number from 0 on."""
    return f"layer {number + 1} ({spec.kind}, {spec.out} outputs)"


class CheckedLayer(nn.Module):
    """What a layer trains, and what is wrong with numbers that are to be its own: weights, bias, batch norm."""

    def __init__(self, spec: BranchSpec | LayerSpec, in_shape: Shape) -> None:
        super().__init__()
        self.spec: Any = spec
        self.in_shape = in_shape
        weight = torch.empty(spec.out, spec.channels(in_shape), *spec.sides)
        nn.init.kaiming_uniform_(weight, a=5**0.5)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(spec.out)) if spec.bias else None
        self.norm = nn.BatchNorm2d(spec.out) if isinstance(spec, LayerSpec) and spec.batch_norm else None

    def fault(self, name: str, x: Tensor) -> str | None:
        """Return what is wrong with numbers that are, or are to be, those of that name; or None."""
        return fault(x)

    def stored(self) -> dict[str, Tensor]:
        """Return what files hold of it."""
        state = self.state_dict().items()
        return {name: x.detach().contiguous() for name, x in state if not name.endswith("num_batches_tracked")}


class CheckedModule(nn.Module):
    """A network of ``layers`` that takes over only numbers that can be computed with."""

    layers: Sequence[CheckedLayer]
    name: str = ""  # or where it came from: a name, a file

    def __init__(self, spec: AnySpec, metadata: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.metadata = metadata or {}
        self.check_room(spec.layers, Wiring(spec.input_shape, spec.layers).seen)

    def check_room(self, layers: Sequence[LayerSpec], seen: Sequence[Sequence[Shape]]) -> None:
        """Raise :class:`ParameterError` if weights that are given inputs of such shapes do not fit into memory."""
        needed = 0
        for number, (layer, shapes) in enumerate(zip(layers, seen)):
            for part, shape in zip((layer, *layer.branches), shapes):
                needed += 4 * part.out * part.channels(shape) * prod(part.sides)
            what = f"the weights of a network with {title(number, layer)}, {' x '.join(map(str, layer.sides))} kernels,"
            check_memory(needed, what, "give smaller layers")

    def check(self, tensors: Mapping[str, Any] | None = None) -> None:
        """Raise :class:`ParameterError`, with layer and tensor, if one holds numbers that cannot be computed with.

        Those are complex ones, nan, infinity, thresholds that are not above 0, decays outside [0, 1], and variances
        that the layer's batch norm cannot have.

        Parameters
        ----------
        tensors : dict, optional
            By the names of ``state_dict``, which are the ones looked at unless told; other names are not looked at.
        """
        given = self.state_dict() if tensors is None else tensors
        for number, layer in enumerate(self.layers):
            for name in layer.state_dict():
                whole = f"layers.{number}.{name}"
                wrong = layer.fault(name, given[whole]) if whole in given else None
                if wrong is not None:
                    raise ParameterError(f"{title(number, layer.spec)}, tensor {whole!r} {wrong}")

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Take over parameters and buffers, as every torch module does, after :meth:`check` of them."""
        self.check(state_dict)
        return super().load_state_dict(state_dict, strict, assign)


def fault(x: Tensor, **limits: float) -> str | None:
    """Return what is wrong with a tensor, see :func:`mapping.ir.numbers.fault`."""
    return fault_of(plain(x), **limits)


def plain(x: Tensor) -> np.ndarray:
    """Return a tensor of any type as an array."""
    whole = x.detach().cpu()
    return np.asarray(whole.float() if whole.dtype in (torch.bfloat16, torch.float16) else whole)


def decays(x: Tensor) -> Tensor:
    """Return learned decays as networks that clamp them use them, in [0, 1]; what is far outside stays, to be refused.

    An optimizer carries a decay whose gradient ends there a few steps too far, not more.
    """
    return x.clamp(0, 1) if not x.is_complex() and bool(((x - 0.5).abs() <= 0.5 + _OVERSHOOT).all()) else x
