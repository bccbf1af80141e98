"""What an artificial neural network is made of, as plain parameters; knows nothing of torch."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from mapping.bsnn.spec import LayerSpec, NetworkSpec, Shape, paper_network
from xbarsim.errors import ParameterError
from xbarsim.parameters import Parameters

_SPIKING = ("pool_by", "weights", "neuron")  # fields of a layer that only spiking networks may set


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
        try:
            self.topology.shapes()
        except ParameterError as error:
            raise ValueError(str(error).replace("NetworkSpec", "AnnSpec")) from None
        return self

    @property
    def topology(self) -> NetworkSpec:
        """The same layers as a spiking network of one step without memory, which knows how they fit together."""
        return NetworkSpec(input_shape=self.input_shape, layers=self.layers, beta=0, threshold=1, t_steps=1)

    def shapes(self) -> list[tuple[Shape, Shape]]:
        """Return (input shape, output shape) of every layer."""
        return self.topology.shapes()

    @property
    def macs(self) -> int:
        """Dense multiply-accumulates of one image, before pooling."""
        return self.topology.macs_per_step

    @property
    def top_weight(self) -> int:
        """The largest whole number that a weight can be."""
        return (1 << self.weight_bits - 1) - 1

    @property
    def top_activation(self) -> int:
        """The largest whole number that an input or a ReLU's output can be."""
        return (1 << self.activation_bits) - 1


def paper_ann(**changes: object) -> AnnSpec:
    """Return a network with the layers of table 2 of Eshraghian et al. 2022, with ``changes`` applied."""
    paper = paper_network()
    values: dict[str, object] = {"input_shape": paper.input_shape, "layers": paper.layers}
    return AnnSpec(**(values | changes))
