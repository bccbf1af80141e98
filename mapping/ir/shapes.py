"""How weights meet their inputs: kernels, steps, margins, and the shapes that come of it."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, TypeAdapter, model_validator

from xbarsim.errors import ParameterError
from xbarsim.parameters import Parameters

Shape = tuple[int, int, int]
Pair = tuple[int, int]  # of rows and columns


def _per_axis(number: Any) -> BeforeValidator:
    """Return what checks a number for both axes, or a pair of them, which is one number where they are alike."""
    one, two = TypeAdapter(number), TypeAdapter(tuple[number, number])

    def checked(given: Any) -> Any:
        if not isinstance(given, list | tuple):
            return one.validate_python(given)
        rows, cols = two.validate_python(given)
        return rows if rows == cols else (rows, cols)

    return BeforeValidator(checked)


PerAxis = Annotated[int | Pair, _per_axis(PositiveInt)]


class Geometry(Parameters):
    """How weights, a constant, and the pooling that follows them, go over an input.

    Attributes
    ----------
    kind : {"conv", "dense"}
        Convolution, or fully connected.
    out : int
        Output channels, or neurons.
    kernel, stride, dilation : int or (int, int)
        Side and step of the convolution kernel, and how far apart its taps lie, or those of rows and of columns; 1 for
        a dense layer.
    padding : int or (int, int), optional
        Pixels on each side of the image; without it as many as keep its size for a step of 1 ("same"), one more at the
        end than at the beginning where they are odd.
    padding_mode : {"zeros", "circular", "reflect", "replicate"}
        What these hold, as in torch.
    groups : int
        Parts of the input channels that as many parts of the outputs read, each its own.
    depthwise : bool
        Whether each output of a convolution reads its own input channel alone, as many outputs as channels; not in
        spiking networks.
    bias : bool
        Whether each output has a constant input.
    pool : int or (int, int)
        Side, or rows and columns, of the pooling window on the weighted inputs, before the membrane; 1 means none.
    pool_by : {"average", "maximum"}
    """

    kind: Literal["conv", "dense"]
    out: int = Field(gt=0)
    kernel: PerAxis = 1
    stride: PerAxis = 1
    padding: Annotated[int | Pair, _per_axis(NonNegativeInt)] | None = None
    padding_mode: Literal["zeros", "circular", "reflect", "replicate"] = "zeros"
    dilation: PerAxis = 1
    groups: int = Field(default=1, gt=0)
    depthwise: bool = False
    bias: bool = False
    pool: PerAxis = 1
    pool_by: Literal["average", "maximum"] = "average"

    @model_validator(mode="after")
    def _geometry(self) -> Self:
        window = self.kernel, self.stride, self.dilation, self.groups, self.pool, self.margins, self.padding_mode
        if self.kind == "dense" and window != (1, 1, 1, 1, 1, ((0, 0), (0, 0)), "zeros"):
            raise ValueError("LayerSpec: a dense layer has no kernel, stride, padding or pool; leave them out")
        if self.kind == "dense" and self.depthwise:
            raise ValueError("LayerSpec.depthwise = true: a dense layer reads all inputs; leave it out, or take 'conv'")
        if self.depthwise and self.groups > 1:
            raise ValueError(f"LayerSpec.groups = {self.groups}: a depthwise layer has one a channel; leave it out")
        if self.out % self.groups:
            raise ValueError(f"LayerSpec.groups = {self.groups}: does not divide out = {self.out}; give one that does")
        return self

    @property
    def sides(self) -> Pair:
        """Rows and columns of the kernel."""
        return pair(self.kernel)

    @property
    def steps(self) -> Pair:
        """Rows and columns from one of its positions to the next."""
        return pair(self.stride)

    @property
    def spacing(self) -> Pair:
        """Rows and columns from one of its taps to the next."""
        return pair(self.dilation)

    @property
    def window(self) -> Pair:
        """Rows and columns of the pooling window."""
        return pair(self.pool)

    @property
    def area(self) -> int:
        """Positions in a pooling window."""
        return prod(self.window)

    @property
    def margins(self) -> tuple[Pair, Pair]:
        """Pixels that are added before and after rows, and columns."""
        if self.padding is not None:
            rows, cols = pair(self.padding)
            return (rows, rows), (cols, cols)
        rows, cols = (apart * (side - 1) for apart, side in zip(self.spacing, self.sides))
        return (rows // 2, rows - rows // 2), (cols // 2, cols - cols // 2)

    @property
    def plain(self) -> bool:
        """Whether it is square, its taps side by side, with as many zeros on all four sides."""
        return (
            isinstance(self.kernel, int)
            and isinstance(self.stride, int)
            and self.dilation == 1
            and self.padding_mode == "zeros"
            and len({side for margin in self.margins for side in margin}) == 1
        )

    @property
    def side(self) -> int:
        """Rows and columns of a plain kernel."""
        return self.sides[0]

    @property
    def step(self) -> int:
        """Rows and columns from one position of a plain kernel to the next."""
        return self.steps[0]

    @property
    def margin(self) -> int:
        """Zeros on each side of the image, of a plain geometry."""
        return self.margins[0][0]

    def shapes(self, shape: Shape) -> tuple[Shape, Shape]:
        """Return the input shape as this layer sees it and its output shape, both (channels, height, width)."""
        channels, height, width = shape
        if self.kind == "dense":
            return (channels * height * width, 1, 1), (self.out, 1, 1)
        if channels % self.groups:
            raise ParameterError(f"groups = {self.groups} does not divide the {channels} input channels; change groups")
        short = {"circular": 0, "reflect": 1}.get(self.padding_mode)
        if short is not None and any(max(m) > max(0, n - short) for m, n in zip(self.margins, shape[1:])):
            raise ParameterError(
                f"padding_mode = {self.padding_mode!r}: the {height}x{width} input has less than it adds; pad less"
            )
        rows, cols = self._positions(shape)
        if min(rows, cols) < 1:
            raise ParameterError(f"kernel = {self.kernel} is larger than the input {shape}; add padding")
        return shape, pooled((self.out, rows, cols), self.pool)

    def _positions(self, shape: Shape) -> Pair:
        rows, cols = (
            (size + sum(margin) - apart * (side - 1) - 1) // step + 1
            for size, margin, apart, side, step in zip(shape[1:], self.margins, self.spacing, self.sides, self.steps)
        )
        return rows, cols

    def read_positions(self, shape: Shape) -> Pair:
        """Return at how many (rows, columns) the kernel is applied to an input; not where a pool leaves some out."""
        rows, cols = self._positions(shape)
        down, across = self.window
        return rows - rows % down, cols - cols % across

    def channels(self, shape: Shape) -> int:
        """Return how many channels of an input as this layer sees it one output reads."""
        return 1 if self.depthwise else shape[0] // self.groups

    def macs(self, shape: Shape) -> int:
        """Return the dense multiply-accumulates for an input (channels, height, width), before pooling."""
        rows, cols = self.read_positions(shape)
        return self.out * self.channels(shape) * prod(self.sides) * rows * cols


def pair(given: int | Pair) -> Pair:
    """Return a number for each axis."""
    return (given, given) if isinstance(given, int) else given


def pooled(shape: Shape, pool: int | Pair) -> Shape:
    """Return the shape after pooling; rows and columns that do not fill a window are left out, as in torch."""
    (channels, height, width), (down, across) = shape, pair(pool)
    if height < down or width < across:
        raise ParameterError(f"pool = {pool} is larger than the {height}x{width} input; change pool or input_shape")
    return channels, height // down, width // across


def sized(sides: Pair) -> str:
    """Return how texts tell rows and columns."""
    return f"{sides[0]} x {sides[1]}"
