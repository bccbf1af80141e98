"""How weights meet their inputs: kernels, steps, margins, and the shapes that come of it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from xbarsim.errors import ParameterError
from xbarsim.parameters import Parameters

Shape = tuple[int, int, int]


class Geometry(Parameters):
    """How weights, a constant, and the pooling that follows them, go over an input.

    Attributes
    ----------
    kind : {"conv", "dense"}
        Convolution, or fully connected.
    out : int
        Output channels, or neurons.
    kernel, stride : int
        Side and step of the convolution kernel; 1 for a dense layer.
    padding : int, optional
        Zeros around the image; without it as many as keep its size ("same"), for odd kernels.
    depthwise : bool
        Whether each output of a convolution reads its own input channel alone, as many outputs as channels; not in
        spiking networks.
    bias : bool
        Whether each output has a constant input.
    pool : int
        Side of the pooling window on the weighted inputs, before the membrane; 1 means none.
    pool_by : {"average", "maximum"}
    """

    kind: Literal["conv", "dense"]
    out: int = Field(gt=0)
    kernel: int = Field(default=1, gt=0)
    stride: int = Field(default=1, gt=0)
    padding: int | None = Field(default=None, ge=0)
    depthwise: bool = False
    bias: bool = False
    pool: int = Field(default=1, gt=0)
    pool_by: Literal["average", "maximum"] = "average"

    @model_validator(mode="after")
    def _geometry(self) -> Self:
        if self.kernel % 2 == 0 and self.padding is None:
            raise ValueError(f"LayerSpec.kernel = {self.kernel}: 'same' padding needs an odd kernel; or give padding")
        if self.kind == "dense" and (self.kernel, self.stride, self.pool, self.margin) != (1, 1, 1, 0):
            raise ValueError("LayerSpec: a dense layer has no kernel, stride, padding or pool; leave them out")
        if self.kind == "dense" and self.depthwise:
            raise ValueError("LayerSpec.depthwise = true: a dense layer reads all inputs; leave it out, or take 'conv'")
        return self

    @property
    def margin(self) -> int:
        """Zeros on each side of the image."""
        return self.kernel // 2 if self.padding is None else self.padding

    def shapes(self, shape: Shape) -> tuple[Shape, Shape]:
        """Return the input shape as this layer sees it and its output shape, both (channels, height, width)."""
        channels, height, width = shape
        if self.kind == "dense":
            return (channels * height * width, 1, 1), (self.out, 1, 1)
        rows, cols = self._positions(shape)
        if min(rows, cols) < 1:
            raise ParameterError(f"kernel = {self.kernel} is larger than the input {shape}; add padding")
        return shape, pooled((self.out, rows, cols), self.pool)

    def _positions(self, shape: Shape) -> tuple[int, int]:
        reach = 2 * self.margin - self.kernel
        return (shape[1] + reach) // self.stride + 1, (shape[2] + reach) // self.stride + 1

    def read_positions(self, shape: Shape) -> tuple[int, int]:
        """Return at how many (rows, columns) the kernel is applied to an input; not where a pool leaves some out."""
        rows, cols = self._positions(shape)
        return rows - rows % self.pool, cols - cols % self.pool

    def channels(self, shape: Shape) -> int:
        """Return how many channels of an input as this layer sees it one output reads."""
        return 1 if self.depthwise else shape[0]

    def macs(self, shape: Shape) -> int:
        """Return the dense multiply-accumulates for an input (channels, height, width), before pooling."""
        rows, cols = self.read_positions(shape)
        return self.out * self.channels(shape) * self.kernel**2 * rows * cols


def pooled(shape: Shape, pool: int) -> Shape:
    """Return the shape after pooling; rows and columns that do not fill a window are left out, as in torch."""
    channels, height, width = shape
    if min(height, width) < pool:
        raise ParameterError(f"pool = {pool} is larger than the {height}x{width} input; change pool or input_shape")
    return channels, height // pool, width // pool
