"""The nodes of a graph. Each tells the shape of its output, and says in a few words what it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar, Literal

import numpy as np

from mapping.ir.neuron import NeuronSpec
from mapping.ir.numbers import spread
from mapping.ir.shapes import Geometry, Pair, Shape, pair, pooled, sized
from xbarsim.errors import ParameterError

Levels = Literal["binary", "ternary", "float"] | int


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """A node; ``n_before`` is from how many others it takes inputs at least, and at most."""

    n_before: ClassVar[tuple[int, float]] = (1, 1)

    def after(self, *shapes: Shape) -> Shape:
        """Return the shape of the output for inputs of these shapes, all (channels, height, width)."""
        return shapes[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Input(Op):
    """What drives a network.

    Attributes
    ----------
    shape : (channels, height, width)
    top : int, optional
        Inputs are whole numbers from 0 to this one, which stands for 1; without it spikes, or levels from 0 to 1.
    """

    n_before: ClassVar[tuple[int, float]] = (0, 0)
    shape: Shape
    top: int | None = None

    def after(self, *shapes: Shape) -> Shape:
        """Return its own shape."""
        return self.shape

    def __str__(self) -> str:
        return " x ".join(map(str, self.shape)) + (f", 0 to {self.top}" if self.top else "")


@dataclass(frozen=True, eq=False, kw_only=True)
class Weights(Op):
    """y = scale (values * x) + bias, a convolution or a product.

    Attributes
    ----------
    geometry : Geometry
        Pooling is a node of its own until it is fused.
    values : array, (out, channels, kernel rows, kernel columns)
    levels : {"binary", "ternary", "float"} or int
        What values they may take: signs, or 0 too, or any; or of so many bits, sign and magnitude.
    scale : float, or array (out,)
        What a value of 1 stands for.
    bias : array, (out,), optional
    slices : int
        Outputs that carry one digit each of the same output.
    """

    geometry: Geometry
    values: np.ndarray
    levels: Levels
    scale: float | np.ndarray = 1.0
    bias: np.ndarray | None = None
    slices: int = 1

    def after(self, *shapes: Shape) -> Shape:
        """Return the shape of the outputs; refuse inputs that are more or fewer than there are weights for."""
        (shape,) = shapes
        seen = self.geometry.channels(self.geometry.shapes(shape)[0])
        if self.values.shape[1] != seen:
            raise ParameterError(f"takes {self.values.shape[1]} inputs; there are {seen} (shape {shape})")
        return self.geometry.shapes(shape)[1]

    @property
    def is_grouped(self) -> bool:
        """Whether outputs do not read all channels."""
        return self.geometry.depthwise or self.geometry.groups > 1

    def reading_all(self) -> Weights:
        """Return weights of which each output reads all channels, those of other groups times 0."""
        if not self.is_grouped:
            return self
        n_out, own, *sides = self.values.shape
        n_groups = n_out if self.geometry.depthwise else self.geometry.groups
        group = np.arange(n_groups)
        values = np.zeros((n_groups, n_out // n_groups, n_groups, own, *sides), self.values.dtype)
        values[group, :, group] = self.values.reshape(n_groups, -1, own, *sides)
        return replace(
            self,
            levels="ternary" if self.levels == "binary" else self.levels,
            values=values.reshape(n_out, -1, *sides),
            geometry=self.geometry.replace(depthwise=False, groups=1),
        )

    def times(self, gain: float) -> Weights:
        """Return the same with all outputs multiplied."""
        return replace(self, scale=self.scale * gain, bias=None if self.bias is None else self.bias * gain)

    def __str__(self) -> str:
        out, channels, *kernel = self.values.shape
        whole = self.values.dtype.kind == "i"
        parts = [
            f"{out} x {channels * kernel[0] * kernel[1]}",
            self.levels if isinstance(self.levels, str) else f"{self.levels}-bit" + ("" if whole else " to be"),
            "depthwise" if self.geometry.depthwise else "",
            f"{self.geometry.groups} groups" if self.geometry.groups > 1 else "",
            f"{self.slices} slices" if self.slices > 1 else "",
            f"{np.mean(self.values == 0):.0%} of them 0" if whole and not self.values.all() else "",
            "" if np.all(self.scale == 1) else f"times {spread(np.asarray(self.scale))}",
            "" if self.bias is None or not self.bias.any() else f"constant {spread(self.bias)}",
            f"{self.geometry.pool_by} of {sized(self.geometry.window)}" if self.geometry.pool != 1 else "",
        ]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, eq=False, kw_only=True)
class Gather(Op):
    """Which outputs of a node drive which inputs: wires, and ORs of spikes.

    Attributes
    ----------
    shape : (channels, height, width)
    table : int array, (n_outputs, width)
        Each output is the largest of the inputs of these numbers, counted by channel, row and column; -1 stands for
        none, and without any it is 0.
    """

    shape: Shape
    table: np.ndarray

    def after(self, *shapes: Shape) -> Shape:
        """Return its own shape; refuse an input of fewer numbers than it names."""
        if self.table.max(initial=-1) >= prod(shapes[0]):
            raise ParameterError(f"takes input {self.table.max()} of {prod(shapes[0])}, shape {shapes[0]}")
        return self.shape

    def __str__(self) -> str:
        most = int((self.table >= 0).sum(1).max(initial=0))
        return f"{'wires' if most < 2 else f'OR of up to {most} spikes'} to {' x '.join(map(str, self.shape))}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Op):
    """The average, sum or maximum over windows of ``side``, or rows and columns, side by side; the rest is dropped."""

    side: int | Pair
    by: Literal["average", "sum", "maximum"]

    def after(self, *shapes: Shape) -> Shape:
        """Return the shape of the outputs."""
        return pooled(shapes[0], self.side)

    @property
    def area(self) -> int:
        """How many numbers a window has."""
        return prod(pair(self.side))

    def __str__(self) -> str:
        return f"{self.by} of {sized(pair(self.side))}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Norm(Op):
    """Batch norm as for inference: y = gamma (x - mean) / sqrt(var + eps) + shift, arrays (channels,)."""

    mean: np.ndarray
    var: np.ndarray
    gamma: np.ndarray
    shift: np.ndarray
    eps: float

    def after(self, *shapes: Shape) -> Shape:
        """Return the shape of the input; refuse one of other channels."""
        if len(self.mean) != shapes[0][0]:
            raise ParameterError(f"has {len(self.mean)} features, the layer {shapes[0][0]} channels")
        return shapes[0]

    @property
    def deviation(self) -> np.ndarray:
        """The sqrt(var + eps)."""
        deviation: np.ndarray = np.sqrt(self.var + self.eps)
        return deviation

    def __str__(self) -> str:
        return f"batch norm of {len(self.mean)} channels"


@dataclass(frozen=True, eq=False, kw_only=True)
class Lif(Op):
    """Spiking neurons; threshold and beta are numbers, or arrays that are broadcast to (channels, height, width).

    As of :class:`QuantizedRelu`, inputs may come in ``slices``.
    """

    neuron: NeuronSpec
    threshold: np.ndarray
    beta: np.ndarray
    slices: int = 1
    base: int = 2

    def after(self, *shapes: Shape) -> Shape:
        """Return the shape of the outputs, slices added up."""
        return added(shapes[0], self.slices)

    def __str__(self) -> str:
        sliced = f"{self.slices} slices added, " if self.slices > 1 else ""
        return f"{sliced}threshold {spread(self.threshold)}, decay {spread(self.beta)}"


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantizedRelu(Op):
    """y = clip(rint(gain x + offset), 0, top); without top y = gain x + offset, which are logits.

    Attributes
    ----------
    step : float
        What an output of 1 stands for.
    top : int, optional
    gain, offset : float, or arrays (out,)
    slices, base : int
        Inputs come as so many groups of channels, each worth ``base`` times the one before.
    """

    step: float
    top: int | None
    gain: float | np.ndarray = 1.0
    offset: float | np.ndarray = 0.0
    slices: int = 1
    base: int = 2

    def after(self, *shapes: Shape) -> Shape:
        """Return the shape of the outputs, slices added up."""
        return added(shapes[0], self.slices)

    def __str__(self) -> str:
        scaled = f"gain {spread(np.asarray(self.gain))}, offset {spread(np.asarray(self.offset))}"
        added = f"{self.slices} slices added, " if self.slices > 1 else ""
        return f"{added}{scaled}, {'logits' if self.top is None else f'cut to 0 to {self.top}'}"


def added(shape: Shape, slices: int) -> Shape:
    """Return the shape that is left when groups of channels are added up."""
    channels, height, width = shape
    return channels // slices, height, width


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Op):
    """The sum of inputs of one shape."""

    n_before: ClassVar[tuple[int, float]] = (2, float("inf"))

    def after(self, *shapes: Shape) -> Shape:
        """Return the shape that all inputs have."""
        if len(set(shapes)) > 1:
            raise ParameterError(f"adds inputs of the shapes {' and '.join(map(str, shapes))}; they have to be alike")
        return shapes[0]

    def __str__(self) -> str:
        return "sum"


@dataclass(frozen=True, eq=False, kw_only=True)
class Concatenate(Op):
    """The channels of one input after those of another."""

    n_before: ClassVar[tuple[int, float]] = (2, float("inf"))

    def after(self, *shapes: Shape) -> Shape:
        """Return the shape of all channels; refuse inputs of several sizes."""
        if len({shape[1:] for shape in shapes}) > 1:
            raise ParameterError(
                f"joins channels of the shapes {' and '.join(map(str, shapes))}; sizes have to be alike"
            )
        return sum(shape[0] for shape in shapes), *shapes[0][1:]

    def __str__(self) -> str:
        return "channels joined"


Activation = Lif | QuantizedRelu
