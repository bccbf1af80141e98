"""What a spiking network is made of, as plain parameters; knows nothing of torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from xbarsim.errors import ParameterError
from xbarsim.parameters import Parameters

Shape = tuple[int, int, int]


class LayerSpec(Parameters):
    """One spiking layer: weights, then average pooling, then batch norm, then LIF neurons.

    Attributes
    ----------
    kind : {"conv", "dense"}
        Convolution with "same" padding, or fully connected.
    out : int
        Output channels, or neurons.
    kernel : int
        Odd side of the convolution kernel; 1 for a dense layer.
    pool : int
        Side of the average-pooling window on the weighted inputs; 1 means none.
    batch_norm : bool
        Whether batch norm follows the pooling.
    """

    kind: Literal["conv", "dense"]
    out: int = Field(gt=0)
    kernel: int = Field(default=1, gt=0)
    pool: int = Field(default=1, gt=0)
    batch_norm: bool = False

    @model_validator(mode="after")
    def _geometry(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError(f"LayerSpec.kernel = {self.kernel}: 'same' padding needs an odd kernel")
        if self.kind == "dense" and (self.kernel, self.pool) != (1, 1):
            raise ValueError("LayerSpec: a dense layer has neither kernel nor pool; leave both at 1")
        return self

    def shapes(self, shape: Shape) -> tuple[Shape, Shape]:
        """Return the input shape as this layer sees it and its output shape, both (channels, height, width)."""
        channels, height, width = shape
        if self.kind == "dense":
            return (channels * height * width, 1, 1), (self.out, 1, 1)
        if height % self.pool or width % self.pool:
            raise ParameterError(
                f"pool = {self.pool} does not divide the {height}x{width} input; change pool or input_shape"
            )
        return shape, (self.out, height // self.pool, width // self.pool)


class NetworkSpec(Parameters):
    """A feed-forward spiking network, equations 1-7 of Eshraghian et al. 2022.

    Attributes
    ----------
    input_shape : tuple of int
        Channels, height, width of an image.
    layers : tuple of LayerSpec
        From input to output; the last one has one neuron per class.
    weights : {"binary", "float"}
        Binary weights are the signs of the trained real ones.
    beta, threshold, slope : float
        Membrane decay per step, firing threshold, slope k of the fast-sigmoid surrogate.
    clip : bool
        Whether the membrane is kept inside plus/minus the threshold.
    dropout : float
        Dropout probability on the last layer's input current while training.
    t_steps : int
        Time steps of one inference.
    """

    input_shape: Shape
    layers: tuple[LayerSpec, ...] = Field(min_length=1)
    weights: Literal["binary", "float"] = "binary"
    beta: float = Field(ge=0, le=1)
    threshold: float = Field(gt=0, allow_inf_nan=False)
    slope: float = Field(gt=0, allow_inf_nan=False)
    clip: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1)
    t_steps: int = Field(gt=0)

    @model_validator(mode="after")
    def _chain(self) -> Self:
        if any(
            earlier.kind == "dense" and later.kind == "conv" for earlier, later in zip(self.layers, self.layers[1:])
        ):
            raise ValueError("NetworkSpec.layers: a convolution follows a dense layer; put the convolutions first")
        self.shapes()
        return self

    def shapes(self) -> list[tuple[Shape, Shape]]:
        """Return (input shape, output shape) of every layer."""
        shapes, shape = [], self.input_shape
        for number, layer in enumerate(self.layers, start=1):
            try:
                shapes.append(layer.shapes(shape))
            except ParameterError as error:
                raise ParameterError(f"layer {number}: {error}") from None
            shape = shapes[-1][1]
        return shapes

    @property
    def n_classes(self) -> int:
        """Neurons of the last layer."""
        return self.layers[-1].out

    @property
    def macs_per_step(self) -> int:
        """Dense multiply-accumulates of one time step, before pooling."""
        total = 0
        for layer, ((channels, height, width), _) in zip(self.layers, self.shapes()):
            total += layer.out * channels * layer.kernel**2 * height * width
        return total


def paper_network(**changes: object) -> NetworkSpec:
    """Return the network of Table 2 with the MNIST BSNN hyper-parameters of Table 3, with ``changes`` applied."""
    values: dict[str, object] = {
        "input_shape": (1, 28, 28),
        "layers": (
            LayerSpec(kind="conv", out=16, kernel=5, pool=2, batch_norm=True),
            LayerSpec(kind="conv", out=64, kernel=5, pool=2, batch_norm=True),
            LayerSpec(kind="dense", out=10),
        ),
        "beta": 0.83,
        "threshold": 6.4,
        "slope": 2.8,
        "dropout": 0.1,
        "t_steps": 25,
    }
    return NetworkSpec(**(values | changes))
