"""What a spiking network is made of, as plain parameters; knows nothing of torch."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from xbarsim.errors import ParameterError
from xbarsim.parameters import Parameters

Shape = tuple[int, int, int]
Weights = Literal["binary", "ternary", "float"] | Annotated[int, Field(ge=2, le=16)]
FORMAT = 2  # of stored specifications; in the first one, reset_delay = false stood for what is now "snntorch"


class NeuronSpec(Parameters):
    """Leaky integrate-and-fire neurons, equations 1-3 of Eshraghian et al. 2022; names as in snnTorch.

    With a membrane U that is compared, ``S[t] = 1 if U[t] >= theta else 0``, and V, what is left of it after the reset,
    there are three recurrences in use, here with reset by subtraction:

    - delayed: ``U[t] = beta U[t-1] + I[t] - S[t-1] theta``. Equation 1; the default of snnTorch (J. K. Eshraghian et
      al., Proc. IEEE 111, 1016 (2023)).
    - at once: ``U[t] = beta V[t-1] + I[t]``, ``V[t] = U[t] - S[t] theta``. What is left at or above the threshold fires
      again at the next step. SpikingJelly with ``v_reset=None`` (W. Fang et al., Science Advances 9, eadi1480 (2023)),
      Sinabs, Rockpool, Lava; one spike a step.
    - "snntorch": ``U[t] = beta V[t-1] + I[t] - D[t] theta``, ``V[t] = U[t] - (S[t] - D[t]) theta`` with ``D[t] = 1 if
      V[t-1] >= theta else 0``. snnTorch's ``reset_delay=False``: what is left at or above the threshold loses another
      one without having fired for it.

    With reset to zero, ``S theta`` and ``D theta`` become all that the membrane holds, and the three are the same but
    for winner-take-all; with beta = 1, the first two are.

    Attributes
    ----------
    beta, threshold : float
        Membrane decay per step, and firing threshold. Each layer holds its own, as tensors; these are where they start.
    slope : float
        Slope k of the fast-sigmoid surrogate, dS/dU = 1 / (1 + k |U - theta|)^2.
    reset_mechanism : {"subtract", "zero", "none"}
        What a membrane at its threshold loses: the threshold, everything, nothing.
    reset_delay : bool or "snntorch"
        True: it is reset after the decay of the next step. False: at once. Or as snnTorch does with ``False``.
    fire : {">=", ">"}
        A neuron fires at U >= threshold, or only above it (imports).
    clip : bool
        Whether the membrane is kept inside plus/minus the threshold.
    clip_gradient : {"hard", "straight-through"}
        Whether a membrane at that limit passes no gradient, or all of it.
    learn_beta : bool
        Whether training adapts the decay, one number for each layer.
    winner_take_all : bool
        Of the output channels at one position, only the one with the largest U / threshold may fire; the others above
        their threshold are reset without firing.
    inhibition : float
        Lateral inhibition: what a spike takes from the other channels at its position in the next step, in thresholds.
    """

    beta: float = Field(ge=0, le=1)
    threshold: float = Field(gt=0, allow_inf_nan=False)
    slope: float = Field(default=2.8, gt=0, allow_inf_nan=False)
    reset_mechanism: Literal["subtract", "zero", "none"] = "subtract"
    reset_delay: bool | Literal["snntorch"] = True
    fire: Literal[">=", ">"] = ">="
    clip: bool = False
    clip_gradient: Literal["hard", "straight-through"] = "hard"
    learn_beta: bool = False
    winner_take_all: bool = False
    inhibition: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        if self.clip and self.fire == ">":
            raise ValueError("clip = true with fire = '>': a membrane kept at its threshold never fires; use '>='")
        if self.learn_beta and self.reset_delay == "snntorch":
            raise ValueError("learn_beta = true with reset_delay = 'snntorch' is not offered; use true or false")
        return self


class LayerSpec(Parameters):
    """One layer: weights, then pooling, then batch norm, then LIF neurons; ReLU in an :class:`mapping.AnnSpec`.

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
    batch_norm : bool
        Whether batch norm follows the pooling.
    weights : {"binary", "ternary", "float"} or int, optional
        Unlike the rest of the network's.
    neuron : dict
        Fields of :class:`NeuronSpec` in which this layer differs from the network.
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
    batch_norm: bool = False
    weights: Weights | None = None
    neuron: dict[str, Any] = Field(default_factory=dict)

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
        height, width = self.read_positions(shape)
        if min(height, width) < 1:
            raise ParameterError(f"kernel = {self.kernel} is larger than the input {shape}; add padding")
        if height % self.pool or width % self.pool:
            raise ParameterError(
                f"pool = {self.pool} does not divide the {height}x{width} input; change pool or input_shape"
            )
        return shape, (self.out, height // self.pool, width // self.pool)

    def read_positions(self, shape: Shape) -> tuple[int, int]:
        """Return at how many (rows, columns) the kernel is applied to an input (channels, height, width)."""
        reach = 2 * self.margin - self.kernel
        return (shape[1] + reach) // self.stride + 1, (shape[2] + reach) // self.stride + 1

    def macs(self, shape: Shape) -> int:
        """Return the dense multiply-accumulates for an input (channels, height, width), before pooling."""
        rows, cols = self.read_positions(shape)
        return self.out * (1 if self.depthwise else shape[0]) * self.kernel**2 * rows * cols


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
        if min(self.input_shape) < 1:
            raise ValueError(f"NetworkSpec.input_shape = {self.input_shape}: channels, height and width from 1")
        if any(
            earlier.kind == "dense" and later.kind == "conv" for earlier, later in zip(self.layers, self.layers[1:])
        ):
            raise ValueError("NetworkSpec.layers: a convolution follows a dense layer; put the convolutions first")
        for number, layer in enumerate(self.layers, start=1):
            if layer.depthwise:
                raise ValueError(f"NetworkSpec.layers: layer {number} has depthwise = true, which only an AnnSpec can")
        self.shapes()
        self.neurons()
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
