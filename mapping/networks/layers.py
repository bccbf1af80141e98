"""Weighted layers: quantized weights with a straight-through estimator, convolution and pooling in one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapping.ir import ops
from mapping.ir.neuron import NeuronSpec
from mapping.ir.shapes import Geometry, Pair, Shape, pair
from mapping.kernels.event_conv import event_conv, event_weight_grad
from mapping.networks.batch_norm import batch_norm
from mapping.networks.finite import CheckedLayer, fault
from mapping.networks.spec import BranchSpec, LayerSpec, Weights
from xbarsim.kernels.jit import launching

_PIECES = 8  # of the samples, each with a weight gradient of its own
SPARSE = 0.08  # share of inputs that are not zero below which event-driven convolution is the faster one


class _Quantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, kind: Weights) -> Tensor:
        if kind == "binary":
            return torch.where(weight >= 0, 1.0, -1.0).to(weight)
        if kind == "ternary":
            return torch.sign(weight) * (weight.abs() > 0.7 * weight.abs().mean())
        assert isinstance(kind, int)
        return torch.round(weight / largest(weight) * top_level(kind)) / top_level(kind)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def quantize(weight: Tensor, kind: Weights) -> Tensor:
    """Return the weights that a layer computes with; the gradient passes straight through.

    Parameters
    ----------
    weight : Tensor
        Trained real weights.
    kind : {"binary", "ternary", "float"} or int
        Signs, sign(0) = +1 (equations 4-5 of Eshraghian et al. 2022); signs, but 0 where |w| is at most 0.7 of its
        average (F. Li, B. Zhang, B. Liu, "Ternary Weight Networks", arXiv:1605.04711); as they are; or, for n bits,
        2^n - 1 evenly spaced levels from -1 to 1, the largest |w| being 1.
    """
    if kind == "float":
        return weight
    levels: Tensor = _Quantize.apply(weight, kind)  # type: ignore[no-untyped-call]
    return levels


def largest(weight: Tensor) -> Tensor:
    """Return the largest |w|, or 1 if all are 0."""
    most = weight.abs().max()
    return torch.where(most > 0, most, torch.ones_like(most))


def top_level(n_bits: int) -> int:
    """Return how many levels n-bit weights have above 0."""
    return (1 << n_bits - 1) - 1


def fuse_pool(weight: Tensor, pool: int | Pair, stride: int = 1) -> Tensor:
    """Merge average pooling, also of rows and columns, into the kernel (out, in, k, k) -> (out, in, k+s(pool-1), ...).

    Convolution with stride s followed by average pooling is one convolution with a larger kernel and stride s pool:
    exact, and (k+pool-1)^2 products replace pool^2 k^2 for s = 1.
    """
    down, right = (stride * (side - 1) for side in pair(pool))
    steps = [(y, x) for y in range(0, down + 1, stride) for x in range(0, right + 1, stride)]
    shifted = [F.pad(weight, (x, right - x, y, down - y)) for y, x in steps]
    return torch.stack(shifted).sum(0) / len(steps)


class _EventConv(torch.autograd.Function):
    """Convolution of mostly zero inputs (n, in, h, w), channels last, with weights (out, in, k, k)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        last = x.movedim(1, -1).contiguous()
        side = weight.shape[-1]
        shape = ((size + 2 * padding - side) // stride + 1 for size in x.shape[2:])
        out = x.new_empty(len(x), *shape, len(weight))
        lines = in_lines(weight, stride).numpy()
        with launching:
            event_conv(last.numpy(), _bits(last), lines, stride, padding, out.numpy())
        ctx.save_for_backward(last, weight)
        ctx.settings = stride, padding
        return out.movedim(-1, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (last, weight), (stride, padding) = ctx.saved_tensors, ctx.settings
        to_x = to_weight = None
        if ctx.needs_input_grad[1]:
            grad = grads[0].movedim(1, -1).contiguous()
            pieces = in_lines(weight, stride).new_zeros(_PIECES, *in_lines(weight, stride).shape)
            with launching:
                event_weight_grad(last.numpy(), _bits(last), grad.numpy(), stride, padding, pieces.numpy())
            to_weight = _from_lines(pieces.sum(0), weight.shape[-1])
        if ctx.needs_input_grad[0]:
            size = last.movedim(-1, 1).shape[2:]
            left = [
                have - ((n - 1) * stride + weight.shape[-1] - 2 * padding) for have, n in zip(size, grads[0].shape[2:])
            ]
            to_x = F.conv_transpose2d(grads[0], weight, stride=stride, padding=padding, output_padding=left)
        return to_x, to_weight, None, None


def _bits(x: Tensor) -> np.ndarray:
    return x.view(torch.int32 if x.element_size() == 4 else torch.int64).numpy()


def in_lines(weight: Tensor, stride: int) -> Tensor:
    """Bring a kernel (out, in, k, k) into the order of ``mapping.kernels.event_conv``."""
    out, channels, rows, cols = weight.shape
    taps = -(-cols // stride)
    wide = F.pad(weight.detach(), (0, taps * stride - cols))
    return wide.reshape(out, channels, rows, taps, stride).flip(3).permute(1, 2, 4, 3, 0).contiguous()


def _from_lines(lines: Tensor, side: int) -> Tensor:
    """Undo :func:`in_lines`."""
    channels, _, stride, taps, out = lines.shape
    return lines.permute(4, 0, 1, 3, 2).flip(3).reshape(out, channels, side, taps * stride)[..., :side]


def weighted_input(x: Tensor, weight: Tensor, pool: int | Pair, padding: int | None = None, stride: int = 1) -> Tensor:
    """Apply weights (out, in, k, k) to x (n, in, h, w), then average pooling; "same" padding unless given."""
    if not isinstance(pool, int):
        return F.avg_pool2d(weighted_input(x, weight, 1, padding, stride), pool)
    padding = weight.shape[-1] // 2 if padding is None else padding
    if weight.shape[-1] == 1 and x.shape[-2:] == (1, 1) and padding == 0:
        return F.linear(x.flatten(1), weight.flatten(1)).reshape(len(x), -1, 1, 1)
    fused = fuse_pool(weight, pool, stride) if pool > 1 else weight
    if x.is_cpu and weight.requires_grad and torch.count_nonzero(x) < SPARSE * x.numel():
        result: Tensor = _EventConv.apply(x, fused, pool * stride, padding)  # type: ignore[no-untyped-call]
        return result
    return F.conv2d(x, fused, stride=pool * stride, padding=padding)


def convolved(x: Tensor, weight: Tensor, spec: Geometry, pool: int | Pair) -> Tensor:
    """Apply weights (out, in of a group, kernel rows, kernel columns) of any geometry, then average pooling."""
    rows, cols = spec.margins
    wide = F.pad(x, (*cols, *rows), mode="constant" if spec.padding_mode == "zeros" else spec.padding_mode)
    groups = x.shape[1] // weight.shape[1]
    y = F.conv2d(wide, weight, stride=spec.steps, dilation=spec.spacing, groups=groups)
    return F.avg_pool2d(y, pool) if pool != 1 else y


def as_numpy(tensor: Tensor | None) -> np.ndarray:
    """Return a parameter or buffer in double precision."""
    assert tensor is not None  # batch norm as layers build it has all four
    numbers: np.ndarray = tensor.detach().cpu().double().numpy()
    return numbers


def _fits(given: Tensor, shape: Shape) -> bool:
    try:
        return tuple(torch.broadcast_shapes(given.shape, shape)) == shape
    except RuntimeError:
        return False


def norm_nodes(name: str, spec: LayerSpec, norm: nn.BatchNorm2d | None) -> dict[str, ops.Op]:
    """Return pooling and batch norm of a layer as nodes of a graph, one after the other."""
    nodes: dict[str, ops.Op] = {}
    if spec.pool != 1:
        nodes[f"{name}, pool"] = ops.Pool(side=spec.pool, by=spec.pool_by)
    if norm is not None:
        mean, var, gamma, shift = map(as_numpy, (norm.running_mean, norm.running_var, norm.weight, norm.bias))
        nodes[f"{name}, norm"] = ops.Norm(mean=mean, var=var, gamma=gamma, shift=shift, eps=norm.eps)
    return nodes


class Synapses(CheckedLayer):
    """Trainable weights of one branch of a layer: real ones, quantized when used.

    Those with a scale are in units of a level, (out,) numbers that a level stands for beside them.
    """

    scale: Tensor | None

    def __init__(self, spec: BranchSpec | LayerSpec, in_shape: Shape, weights: Weights) -> None:
        super().__init__(spec, in_shape)
        self.weights = weights
        self.register_buffer("scale", torch.ones(spec.out, dtype=torch.float64) if spec.scaled else None)

    def effective_weight(self) -> Tensor:
        """Return the weights that are computed with, (out, in, k, k)."""
        if self.scale is None:
            return quantize(self.weight, self.weights)
        return self._scaled_levels() * self.scale.to(self.weight)[:, None, None, None]

    def _scaled_levels(self) -> Tensor:
        """Return the levels of weights that have a scale, as whole numbers; the gradient passes straight through."""
        if not isinstance(self.weights, int):
            return quantize(self.weight, self.weights)
        top = top_level(self.weights)
        return self.weight + (self.weight.round().clamp(-top, top) - self.weight).detach()

    def _levels(self) -> np.ndarray:
        """Return the levels of quantized weights."""
        assert self._top is not None
        levels = self.effective_weight() * self._top if self.scale is None else self._scaled_levels()
        whole: np.ndarray = levels.detach().round().cpu().numpy().astype(np.int8 if self._top < 128 else np.int16)
        return whole

    def fault(self, name: str, x: Tensor) -> str | None:
        """Return what is wrong with numbers that are, or are to be, the parameter or buffer of that name; or None."""
        return fault(x, above=0) if name == "scale" else fault(x)

    def stored(self) -> dict[str, Tensor]:
        """Return what files hold: quantized weights as whole numbers."""
        whole = {} if self._top is None else {"weight": torch.from_numpy(self._levels())}
        return super().stored() | whole

    def restored(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Undo :meth:`stored`."""
        if self._top is None:
            return tensors
        return tensors | {"weight": tensors["weight"].double() / (self._top if self.scale is None else 1)}

    def misfit(self, name: str, given: Tensor, shape: tuple[int, ...]) -> str | None:
        """Return why a tensor of a file is not what :meth:`stored` gives by that name; or None."""
        if given.shape != shape:
            return f"has shape {tuple(given.shape)}, not {shape}"
        wrong = self.fault(name, given)
        if wrong is not None or name != "weight" or self._top is None:
            return wrong
        whole = given.double()
        fine = (whole.round() == whole) & (whole.abs() <= self._top) & ((whole != 0) | (self.weights != "binary"))
        allowed = {"binary": "-1 and +1", "ternary": "-1, 0 and +1"}.get(
            str(self.weights), f"whole numbers from {-self._top} to {self._top}"
        )
        return None if bool(fine.all()) else f"holds values other than {allowed}, those of {self.weights} weights"

    @property
    def _top(self) -> int | None:
        """The largest whole number that stands for a weight; None if weights are real."""
        if self.weights == "float":
            return None
        return top_level(self.weights) if isinstance(self.weights, int) else 1

    def node(self) -> ops.Weights:
        """Return the weights that are computed with as a node of a graph."""
        whole = self.scale is not None or self.weights in ("binary", "ternary")
        return ops.Weights(
            geometry=self.spec.geometry,
            values=self._levels() if whole else as_numpy(self.effective_weight()),
            levels=self.weights,
            scale=1.0 if self.scale is None else as_numpy(self.scale),
            bias=None if self.bias is None else as_numpy(self.bias),
        )

    def weighted(self, x: Tensor, pool: int | Pair = 1) -> Tensor:
        """Return what weights make of inputs (n, ...), (n, out, h, w), averages over pools of their outputs."""
        spec, weight = self.spec, self.effective_weight()
        if spec.kind == "dense" and x.shape[1:] != self.in_shape:  # inputs and weights in the order of memory
            weight = weight.reshape(spec.out, *x.shape[1:]).movedim(1, -1).reshape(weight.shape)
            x = x.movedim(1, -1).reshape(len(x), *self.in_shape)
        if not (spec.plain and isinstance(pool, int)):
            return convolved(x, weight, spec, pool)
        if spec.depthwise or spec.groups > 1:
            return F.conv2d(
                x,
                fuse_pool(weight, pool, spec.step),
                stride=pool * spec.step,
                padding=spec.margin,
                groups=x.shape[1] // weight.shape[1],
            )
        return weighted_input(x, weight, pool, spec.margin, spec.step)


class SpikingLayer(Synapses):
    """The trainable part of one layer: weights, those of further branches, pooling, batch norm, neurons."""

    beta: Tensor
    threshold: Tensor
    spec: LayerSpec
    branches: Sequence[Synapses]

    def __init__(
        self,
        spec: LayerSpec,
        seen: Sequence[Shape],
        weights: Sequence[Weights],
        out_shape: Shape,
        neuron: NeuronSpec,
    ) -> None:
        super().__init__(spec, seen[0], weights[0])
        self.neuron, self._out_shape = neuron, out_shape
        more = (Synapses(*part) for part in zip(spec.branches, seen[1:], weights[1:]))
        self.branches = cast(Sequence[Synapses], nn.ModuleList(more))
        self.register_buffer("threshold", torch.tensor(neuron.threshold, dtype=torch.float64))
        if neuron.learn_beta:
            self.beta = nn.Parameter(torch.tensor(neuron.beta))
        else:
            self.register_buffer("beta", torch.tensor(neuron.beta, dtype=torch.float64))

    def fault(self, name: str, x: Tensor) -> str | None:
        """Return what is wrong with numbers that are, or are to be, the parameter or buffer of that name; or None."""
        if name == "threshold":
            return fault(x, above=0)
        if name == "beta":
            return fault(x, least=0, most=1)
        if name == "norm.running_var" and self.norm is not None:
            return fault(x, above=-self.norm.eps)
        if name.startswith("branches."):
            _, number, own = name.split(".", 2)
            return self.branches[int(number)].fault(own, x)
        return super().fault(name, x)

    def stored(self) -> dict[str, Tensor]:
        """Return what files hold: quantized weights as whole numbers."""
        return super().stored() | {
            f"branches.{k}.{name}": value
            for k, branch in enumerate(self.branches)
            for name, value in branch.stored().items()
        }

    def restored(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Undo :meth:`stored`."""
        found = super().restored(tensors)
        for k, branch in enumerate(self.branches):
            prefix = f"branches.{k}."
            own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            found |= {prefix + name: value for name, value in branch.restored(own).items()}
        return found

    def misfit(self, name: str, given: Tensor, shape: tuple[int, ...]) -> str | None:
        """Return why a tensor of a file is not what :meth:`stored` gives by that name; or None."""
        if name.startswith("branches."):
            _, number, name = name.split(".", 2)
            return self.branches[int(number)].misfit(name, given, shape)
        if name not in ("beta", "threshold"):
            return super().misfit(name, given, shape)
        if given.ndim not in (0, 3) or not _fits(given, self._out_shape):
            return f"has shape {tuple(given.shape)}, which is not one number, per channel or neuron"
        return self.fault(name, given)

    def nodes(self, name: str) -> dict[str, ops.Op]:
        """Return what follows its weights as nodes of a graph, the neurons last."""
        neurons = ops.Lif(neuron=self.neuron, threshold=as_numpy(self.threshold), beta=as_numpy(self.beta))
        return norm_nodes(name, self.spec, self.norm) | {f"{name}, neurons": neurons}

    def forward(self, *given: Tensor) -> Tensor:
        """Return the current (t_steps or 1, n, out, h, w) into the neurons.

        Parameters
        ----------
        given : Tensors, (t_steps or 1, n, ...)
            What its own weights read, then its branches, then its shortcuts.
        """
        spec, (first, *others) = self.spec, given
        fused = spec.pool if spec.pool_by == "average" and not others else 1
        current = self.weighted(first.flatten(0, 1), fused).unflatten(0, first.shape[:2])
        for branch, x in zip(self.branches, others):
            more = branch.weighted(x.flatten(0, 1)).unflatten(0, x.shape[:2])
            current = current + (more if branch.bias is None else more + branch.bias[:, None, None])
        for spikes in others[len(self.branches) :]:
            current = current + spikes
        steps, current = current.shape[:2], current.flatten(0, 1)
        if fused != spec.pool:
            pooling = F.avg_pool2d if spec.pool_by == "average" else F.max_pool2d
            current = pooling(current, spec.pool)
        if self.bias is not None:
            current = current + self.bias[:, None, None]
        if self.norm is not None:
            current = batch_norm(current, self.norm)
        whole: Tensor = current.unflatten(0, steps)
        return whole
