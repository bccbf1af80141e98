"""What a spiking network is made of, as plain parameters; knows nothing of torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mapping.ir.neuron import NeuronSpec
from mapping.ir.shapes import Geometry, PerAxis, Shape, pooled
from mapping.networks.wiring import Wiring
from xbarsim.errors import ParameterError

Weights = Literal["binary", "ternary", "float"] | Annotated[int, Field(ge=2, le=16)]
FORMAT = 2  # of stored specifications; in the first one, reset_delay = false stood for what is now "snntorch"


class ReaderSpec(Geometry):
    """How weights go over what they read, and whose spikes these are.

    Attributes
    ----------
    kind, out, kernel, stride, padding, padding_mode, dilation, groups, depthwise, bias, pool, pool_by
        See :class:`mapping.ir.shapes.Geometry`.
    inputs : tuple of str
        Names of layers, ``"layer 1"`` and so on where they have none, or ``"input"``.
    join : {"sum", "concatenate"}
        Whether the spikes of several are added, or their channels follow each other.
    delay : int
        How many steps late they come; at least 1 from the layer itself or a later one.
    input_pool : int or (int, int)
        Side, or rows and columns, of the pooling window on the spikes, before the weights; 1 means none.
    input_pool_by : {"average", "sum", "maximum"}
    scaled : bool
        Whether each output has a number that a level of its weights stands for, as networks that were trained
        elsewhere; otherwise the largest level is 1.
    """

    later: ClassVar[tuple[str, ...]] = (
        *("inputs", "join", "delay", "input_pool", "input_pool_by", "scaled"),
        *("padding_mode", "dilation", "groups"),
    )
    inputs: tuple[str, ...] = ()
    join: Literal["sum", "concatenate"] = "sum"
    delay: int = Field(default=0, ge=0)
    input_pool: PerAxis = 1
    input_pool_by: Literal["average", "sum", "maximum"] = "average"
    scaled: bool = False

    @property
    def geometry(self) -> Geometry:
        """How its weights go over an input, pooling left out."""
        values = {name: getattr(self, name) for name in Geometry.model_fields if not name.startswith("pool")}
        return Geometry(**values)

    def joined(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of its inputs together, pooled."""
        if self.join == "concatenate" and len({shape[1:] for shape in shapes}) == 1:
            shape: Shape = (sum(shape[0] for shape in shapes), *shapes[0][1:])
        elif len(set(shapes)) == 1:
            shape = shapes[0]
        else:
            listed = " and ".join(map(str, shapes))
            raise ParameterError(f"its inputs have the shapes {listed}, which join = {self.join!r} cannot take")
        return pooled(shape, self.input_pool)


class BranchSpec(ReaderSpec):
    """More weights on the membranes of a layer.

    Attributes
    ----------
    kind, out, kernel, stride, padding, padding_mode, dilation, groups, depthwise, bias
    inputs, join, delay, input_pool, input_pool_by
        See :class:`ReaderSpec`.
    weights : {"binary", "ternary", "float"} or int, optional
        Unlike the rest of the network's.
    """

    weights: Weights | None = None

    @model_validator(mode="after")
    def _unpooled(self) -> Self:
        if self.pool != 1:
            raise ValueError(f"BranchSpec.pool = {self.pool}: branches are pooled with their layer; leave it out")
        return self


class LayerSpec(ReaderSpec):
    """One layer: weights, then pooling, then batch norm, then LIF neurons; ReLU in an :class:`mapping.AnnSpec`.

    Attributes
    ----------
    kind, out, kernel, stride, padding, padding_mode, dilation, groups, depthwise, bias
    inputs, join, delay, input_pool, input_pool_by
        See :class:`ReaderSpec`; without ``inputs`` it reads the layer before.
    pool, pool_by
        See :class:`mapping.ir.shapes.Geometry`.
    name : str
        By which others read it; ``"layer 1"`` and so on unless given.
    branches : tuple of BranchSpec
        More weights on the same membranes, as of recurrent spikes, ``delay = 1``, or of a layer further ahead.
    shortcuts : tuple of str
        Layers whose spikes arrive at the same membranes one to one, as through weights of 1.
    batch_norm : bool
        Whether batch norm follows the pooling; not in loops.
    weights : {"binary", "ternary", "float"} or int, optional
        Unlike the rest of the network's.
    neuron : dict
        Fields of :class:`NeuronSpec` in which this layer differs from the network.
    """

    later: ClassVar[tuple[str, ...]] = (*ReaderSpec.later, "name", "branches", "shortcuts")
    name: str = ""
    branches: tuple[BranchSpec, ...] = ()
    shortcuts: tuple[str, ...] = ()
    batch_norm: bool = False
    weights: Weights | None = None
    neuron: dict[str, Any] = Field(default_factory=dict)


class NetworkSpec(NeuronSpec):
    """A spiking network, equations 1-7 of Eshraghian et al. 2022; neurons as in :class:`NeuronSpec`.

    Attributes
    ----------
    input_shape : tuple of int
        Channels, height, width of an image.
    layers : tuple of LayerSpec
        From input to output.
    outputs : tuple of str
        Names of the layers whose neurons are the classes, each counted by channel, row and column, one layer after the
        other; the last one unless given.
    weights : {"binary", "ternary", "float"} or int
        Signs of the trained real weights; signs or 0; real; or a number of bits, evenly spaced levels.
    dropout : float
        Dropout probability on the input current of these layers while training.
    t_steps : int
        Time steps of one inference.
    encoding : {"direct", "rate", "latency"}
        An image drives the first layer as a constant current, as random spikes of that probability, or as one spike,
        the earlier the brighter.
    decoder : {"count", "first-spike", "membrane", "last-membrane", "max-membrane"}
        The class is the output neuron with the most spikes, the first spike, or the highest membrane: on average, after
        the last step, or ever. Training uses the loss that goes with it.
    """

    input_shape: Shape
    later: ClassVar[tuple[str, ...]] = (*NeuronSpec.later, "outputs")
    layers: tuple[LayerSpec, ...] = Field(min_length=1)
    outputs: tuple[str, ...] = ()
    weights: Weights = "binary"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    t_steps: int = Field(gt=0)
    encoding: Literal["direct", "rate", "latency"] = "direct"
    decoder: Literal["count", "first-spike", "membrane", "last-membrane", "max-membrane"] = "count"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if min(self.input_shape) < 1:
            raise ValueError(f"NetworkSpec.input_shape = {self.input_shape}: channels, height and width from 1")
        wiring = self.wiring
        for component in wiring.components:
            for k in component.layers if component.loops else ():
                if self.layers[k].batch_norm:
                    raise ValueError(
                        f"NetworkSpec.layers: {wiring.names[k]} is in a loop with batch_norm = true, which needs all "
                        "steps at once; leave it out"
                    )
        for name, layer in zip(wiring.names, self.layers):
            scaled = [layer.scaled, *(branch.scaled for branch in layer.branches)]
            if any(one and kind == "float" for one, kind in zip(scaled, self.kinds_of(layer))):
                raise ValueError(f"NetworkSpec.layers: {name} has scaled = true, but real weights have no levels")
        for k, name in enumerate(self.outputs):
            if name not in wiring.names or name in self.outputs[:k]:
                known = ", ".join(wiring.names[:20])
                raise ValueError(f"NetworkSpec.outputs has {name!r}: give layers, each once; there are {known}")
        for k, neuron in enumerate(self.neurons()):
            if neuron.fire == "never" and k not in self.output_layers:
                raise ValueError(f"NetworkSpec.layers: {wiring.names[k]} never fires, which only an output may")
            if neuron.fire == "never" and "membrane" not in self.decoder:
                raise ValueError(
                    f"NetworkSpec.decoder = {self.decoder!r}: {wiring.names[k]} never fires; read a 'membrane'"
                )
        return self

    @cached_property
    def wiring(self) -> Wiring:
        """Which layer reads which."""
        return Wiring(self.input_shape, self.layers)

    @cached_property
    def output_layers(self) -> tuple[int, ...]:
        """Numbers of the layers whose neurons are the classes."""
        return tuple(map(self.wiring.names.index, self.outputs)) or (len(self.layers) - 1,)

    def shapes(self) -> list[tuple[Shape, Shape]]:
        """Return (shape of its inputs as its first weights see them, output shape) of every layer."""
        wiring = self.wiring
        return [(seen[0], out) for seen, out in zip(wiring.seen, wiring.shapes)]

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

    def kinds_of(self, layer: LayerSpec) -> list[Weights]:
        """Return the kinds of weights of a layer and of its branches."""
        given = [layer.weights, *(branch.weights for branch in layer.branches)]
        return [self.weights if kind is None else kind for kind in given]

    @property
    def n_classes(self) -> int:
        """Neurons of the output layers, at all of their positions."""
        return sum(prod(self.wiring.shapes[k]) for k in self.output_layers)

    @property
    def macs_per_step(self) -> int:
        """Dense multiply-accumulates of one time step, before pooling; a shortcut has one for each of its spikes."""
        wiring, total = self.wiring, 0
        for layer, seen, out in zip(self.layers, wiring.seen, wiring.shapes):
            total += sum(part.macs(shape) for part, shape in zip((layer, *layer.branches), seen))
            total += len(layer.shortcuts) * prod(out)
        return total


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
