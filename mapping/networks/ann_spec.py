"""What an artificial neural network is made of, as plain parameters; knows nothing of torch."""

from __future__ import annotations

from math import prod
from typing import ClassVar, Self

from pydantic import Field, model_validator

from mapping.ir.shapes import Shape
from mapping.networks.spec import LayerSpec, NetworkSpec, paper_network
from mapping.networks.wiring import Wiring
from xbarsim.parameters import Parameters

_SPIKING = (  # fields of a layer that only spiking networks may set
    *("pool_by", "weights", "neuron"),
    *("inputs", "join", "delay", "input_pool", "input_pool_by", "scaled", "branches", "shortcuts"),
)


class AnnSpec(Parameters):
    """A feed-forward network of ReLU neurons whose weights and activations are whole numbers times a scale.

    Attributes
    ----------
    input_shape : tuple of int
        Channels, height, width of an image.
    layers : tuple of LayerSpec
        From input to output: weights, average pooling, batch norm, ReLU; the last one has one neuron per
        class and no ReLU.
    weight_bits : int
        Bits of a weight, sign and magnitude: whole numbers from -(2^(n-1) - 1) to 2^(n-1) - 1, one scale per layer.
    activation_bits : int
        Bits of an input and of a ReLU's output: whole numbers from 0 to 2^n - 1.
    """

    t_steps: ClassVar[int] = 1
    encoding: ClassVar[str] = "direct"
    input_shape: Shape
    layers: tuple[LayerSpec, ...] = Field(min_length=1)
    weight_bits: int = Field(default=8, ge=2, le=8)
    activation_bits: int = Field(default=8, ge=1, le=8)

    @model_validator(mode="after")
    def _chain(self) -> Self:
        for number, layer in enumerate(self.layers, start=1):
            for name in _SPIKING:
                if getattr(layer, name) != LayerSpec.model_fields[name].get_default(call_default_factory=True):
                    raise ValueError(
                        f"AnnSpec.layers: layer {number} has {name} = {getattr(layer, name)!r}, which an Ann cannot "
                        "have; leave it out"
                    )
        if min(self.input_shape) < 1:
            raise ValueError(f"AnnSpec.input_shape = {self.input_shape}: channels, height and width from 1")
        self.shapes()
        return self

    def shapes(self) -> list[tuple[Shape, Shape]]:
        """Return (input shape, output shape) of every layer."""
        wiring = Wiring(self.input_shape, self.layers)
        return [(seen[0], out) for seen, out in zip(wiring.seen, wiring.shapes)]

    @property
    def n_classes(self) -> int:
        """Outputs of the last layer, at all of its positions."""
        return prod(self.shapes()[-1][1])

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image, before pooling; depthwise layers have one channel for each output."""
        return sum(layer.macs(shape) for layer, (shape, _) in zip(self.layers, self.shapes()))

    @property
    def top_weight(self) -> int:
        """The largest whole number that a weight can be."""
        return (1 << self.weight_bits - 1) - 1

    @property
    def top_activation(self) -> int:
        """The largest whole number that an input or a ReLU's output can be."""
        return (1 << self.activation_bits) - 1


AnySpec = NetworkSpec | AnnSpec


def paper_ann(**changes: object) -> AnnSpec:
    """Return a network with the layers of table 2 of Eshraghian et al. 2022, with ``changes`` applied."""
    paper = paper_network()
    values: dict[str, object] = {"input_shape": paper.input_shape, "layers": paper.layers}
    return AnnSpec(**(values | changes))


def vgg_ann(**changes: object) -> AnnSpec:
    """Return a network with far more weights than it needs, for images of 28 x 28 in 10 classes.

    218,256 weights, most of them in a dense layer: pairs of 3 x 3 convolutions between poolings, then dense layers, as
    in K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    arXiv:1409.1556. ``changes`` are applied.
    """
    layers = (
        _conv(16),
        _conv(16, pool=2),
        _conv(32),
        _conv(32, pool=2),
        LayerSpec(kind="dense", out=128, batch_norm=True),
        LayerSpec(kind="dense", out=10),
    )
    values: dict[str, object] = {"input_shape": (1, 28, 28), "layers": layers}
    return AnnSpec(**(values | changes))


def mobile_ann(**changes: object) -> AnnSpec:
    """Return a compact network for images of 28 x 28 in 10 classes.

    8,448 weights: depthwise 3 x 3 convolutions, each followed by one of 1 x 1, and an average over all positions, as in
    A. G. Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
    arXiv:1704.04861. The average follows the last weights, to which it is the same. ``changes`` are applied.
    """
    layers = (
        _conv(16, pool=2),
        _conv(16, depthwise=True),
        _conv(32, kernel=1),
        _conv(32, depthwise=True),
        _conv(64, kernel=1, pool=2),
        _conv(64, depthwise=True),
        _conv(64, kernel=1),
        LayerSpec(kind="conv", out=10, pool=7),
    )
    values: dict[str, object] = {"input_shape": (1, 28, 28), "layers": layers}
    return AnnSpec(**(values | changes))


def _conv(out: int, kernel: int = 3, pool: int = 1, depthwise: bool = False) -> LayerSpec:
    return LayerSpec(kind="conv", out=out, kernel=kernel, pool=pool, depthwise=depthwise, batch_norm=True)
