"""What a spiking network is made of, as plain parameters; knows nothing of torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mapping.ir.neuron import NeuronSpec
from mapping.ir.shapes import Geometry, Shape
from xbarsim.errors import ParameterError

Weights = Literal["binary", "ternary", "float"] | Annotated[int, Field(ge=2, le=16)]
FORMAT = 2  # of stored specifications; in the first one, reset_delay = false stood for what is now "snntorch"


class LayerSpec(Geometry):
    """One layer: weights, then pooling, then batch norm, then LIF neurons; ReLU in an :class:`mapping.AnnSpec`.

    Attributes
    ----------
    kind, out, kernel, stride, padding, depthwise, bias, pool, pool_by
        See :class:`mapping.ir.shapes.Geometry`.
    batch_norm : bool
        Whether batch norm follows the pooling.
    weights : {"binary", "ternary", "float"} or int, optional
        Unlike the rest of the network's.
    neuron : dict
        Fields of :class:`NeuronSpec` in which this layer differs from the network.
    """

    batch_norm: bool = False
    weights: Weights | None = None
    neuron: dict[str, Any] = Field(default_factory=dict)

    @property
    def geometry(self) -> Geometry:
        """How its weights go over an input, pooling left out."""
        values = {name: getattr(self, name) for name in Geometry.model_fields if not name.startswith("pool")}
        return Geometry(**values)


def shapes_of(shape: Shape, layers: Sequence[LayerSpec]) -> list[tuple[Shape, Shape]]:
    """Return (input shape, output shape) of layers one after the other."""
    shapes = []
    for number, layer in enumerate(layers, start=1):
        try:
            shapes.append(layer.shapes(shape))
        except ParameterError as error:
            raise ParameterError(f"layer {number}: {error}") from None
        shape = shapes[-1][1]
    return shapes


def check_chain(what: str, input_shape: Shape, layers: Sequence[LayerSpec]) -> None:
    """Raise an error if layers do not follow each other."""
    if min(input_shape) < 1:
        raise ValueError(f"{what}.input_shape = {input_shape}: channels, height and width from 1")
    if any(earlier.kind == "dense" and later.kind == "conv" for earlier, later in pairwise(layers)):
        raise ValueError(f"{what}.layers: a convolution follows a dense layer; put the convolutions first")
    shapes_of(input_shape, layers)


class NetworkSpec(NeuronSpec):
    """A feed-forward spiking network, equations 1-7 of Eshraghian et al. 2022; neurons as in :class:`NeuronSpec`.

    Attributes
    ----------
    input_shape : tuple of int
        Channels, height, width of an image.
    layers : tuple of LayerSpec
        From input to output; the last one has one neuron per class, counted by channel, row and column.
    weights : {"binary", "ternary", "float"} or int
        Signs of the trained real weights; signs or 0; real; or a number of bits, evenly spaced levels.
    dropout : float
        Dropout probability on the last layer's input current while training.
    t_steps : int
        Time steps of one inference.
    encoding : {"direct", "rate", "latency"}
        An image drives the first layer as a constant current, as random spikes of that probability, or as one spike,
        the earlier the brighter.
    decoder : {"count", "first-spike", "membrane"}
        The class is the output neuron with the most spikes, the first spike, or the highest average membrane. Training
        uses the loss that goes with it.
    """

    input_shape: Shape
    layers: tuple[LayerSpec, ...] = Field(min_length=1)
    weights: Weights = "binary"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    t_steps: int = Field(gt=0)
    encoding: Literal["direct", "rate", "latency"] = "direct"
    decoder: Literal["count", "first-spike", "membrane"] = "count"

    @model_validator(mode="after")
    def _chain(self) -> Self:
        check_chain("NetworkSpec", self.input_shape, self.layers)
        for number, layer in enumerate(self.layers, start=1):
            if layer.depthwise:
                raise ValueError(f"NetworkSpec.layers: layer {number} has depthwise = true, which only an AnnSpec can")
        self.neurons()
        return self

    def shapes(self) -> list[tuple[Shape, Shape]]:
        """Return (input shape, output shape) of every layer."""
        return shapes_of(self.input_shape, self.layers)

    def neurons(self) -> list[NeuronSpec]:
        """Return the neurons of every layer."""
        common = {name: getattr(self, name) for name in NeuronSpec.model_fields}
        neurons = []
        for number, layer in enumerate(self.layers, start=1):
            try:
                neurons.append(NeuronSpec(**(common | layer.neuron)))
            except ParameterError as error:
                raise ParameterError(f"layer {number}: {error}") from None
        return neurons

    def weights_of(self, layer: LayerSpec) -> Weights:
        """Return the kind of weights of one of the layers."""
        return self.weights if layer.weights is None else layer.weights

    @property
    def n_classes(self) -> int:
        """Neurons of the last layer, at all of its positions."""
        return prod(self.shapes()[-1][1])

    @property
    def macs_per_step(self) -> int:
        """Dense multiply-accumulates of one time step, before pooling."""
        return sum(layer.macs(shape) for layer, (shape, _) in zip(self.layers, self.shapes()))


def from_format(values: Any, stored: int) -> Any:
    """Return a stored specification, or JSON that holds some, as it reads in the present :data:`FORMAT`."""
    if stored >= FORMAT or not isinstance(values, dict | list):
        return values
    if isinstance(values, list):
        return [from_format(value, stored) for value in values]
    return {
        name: "snntorch" if name == "reset_delay" and value is False else from_format(value, stored)
        for name, value in values.items()
    }


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
