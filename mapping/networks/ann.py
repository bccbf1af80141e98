"""Networks of ReLU neurons: quantized while they train, in whole numbers when they predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapping.ir import ops
from mapping.ir.graph import Graph
from mapping.ir.shapes import Geometry, Shape
from mapping.lower.plan import TO_INTEGERS, lower
from mapping.lower.stages import Stage
from mapping.networks.ann_spec import AnnSpec
from mapping.networks.encode import Checked, check_images, encode
from mapping.networks.finite import CheckedLayer, CheckedModule, fault
from mapping.networks.layers import as_numpy, convolved, fuse_pool, largest, norm_nodes
from mapping.networks.spec import LayerSpec
from xbarsim.errors import ParameterError
from xbarsim.streams import whole_number

_CLIP = 4.0  # where clip levels start: deviations of what batch norm leaves


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


def rounded(x: Tensor) -> Tensor:
    """Round to whole numbers, ties to even; the gradient passes straight through."""
    whole: Tensor = _Round.apply(x)  # type: ignore[no-untyped-call]
    return whole


class AnnLayer(CheckedLayer):
    """The trainable part of one layer; real values, quantized when used.

    Parameters
    ----------
    spec : LayerSpec
    in_shape : (channels, height, width)
    top_weight : int
        Largest whole number of a weight.
    top_activation : int, optional
        Of an output; without it there is no ReLU.
    """

    def __init__(self, spec: LayerSpec, in_shape: Shape, top_weight: int, top_activation: int | None) -> None:
        super().__init__(spec, in_shape)
        self.top_weight, self.top_activation = top_weight, top_activation
        self.log_clip = None if top_activation is None else nn.Parameter(torch.tensor(_CLIP).log())

    def fault(self, name: str, x: Tensor) -> str | None:
        """Return what is wrong with numbers that are, or are to be, the parameter or buffer of that name; or None."""
        return fault(x, least=0) if name == "norm.running_var" else fault(x)

    def stored(self) -> dict[str, Tensor]:
        """Return what files hold: weights as whole numbers, and the real one that the largest stands for."""
        levels = torch.round(self.weight.detach() / self.weight_scale()).to(torch.int8)
        return super().stored() | {"weight": levels, "largest": self.weight.detach().abs().max()}

    def restored(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Undo :meth:`stored`."""
        scale = tensors.pop("largest").double() / self.top_weight
        return tensors | {"weight": tensors["weight"].double() * scale}

    def misfit(self, name: str, given: Tensor, shape: tuple[int, ...]) -> str | None:
        """Return why a tensor of a file is not what :meth:`stored` gives by that name; or None."""
        if given.shape != shape:
            return f"has shape {tuple(given.shape)}, not {shape}"
        if name == "weight" and (
            given.dtype != torch.int8 or int(given.short().abs().max()) not in (0, self.top_weight)
        ):
            return f"holds other than int8 from {-self.top_weight} to {self.top_weight}, of which the largest is one"
        return fault(given, least=0) if name == "largest" else self.fault(name, given)

    def weight_scale(self) -> Tensor:
        """Return what a weight of 1 stands for: the largest |weight| is the largest whole number."""
        return largest(self.weight.detach()) / self.top_weight

    def step(self) -> Tensor:
        """Return what an output of 1 stands for, in double precision: the same on every machine."""
        if self.log_clip is None or self.top_activation is None:
            return torch.ones(())
        return self.log_clip.double().exp() / self.top_activation

    def nodes(self, name: str, weight_bits: int) -> dict[str, ops.Op]:
        """Return the layer as nodes of a graph; weights are real there."""
        weights = ops.Weights(
            geometry=self.spec.geometry,
            values=self.weight.detach().numpy(),
            levels=weight_bits,
            bias=None if self.bias is None else as_numpy(self.bias),
        )
        relu = ops.QuantizedRelu(step=float(self.step().detach()), top=self.top_activation)
        return {name: weights} | norm_nodes(name, self.spec, self.norm) | {f"{name}, neurons": relu}

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (n, out, h, w) for inputs (n, ...), both in real units.

        The clip level of the ReLU is learned, as in J. Choi et al., "PACT: Parameterized Clipping Activation for
        Quantized Neural Networks", arXiv:1805.06085, here by its logarithm.
        """
        scale = self.weight_scale()
        y = pooled(x, rounded(self.weight / scale) * scale, self.spec, self.in_shape)
        if self.bias is not None:
            y = y + self.bias[:, None, None]
        if self.norm is not None:
            y = self.norm(y)
        if self.top_activation is None:
            return y
        step = self.step()
        return rounded((y / step).clamp(0, self.top_activation)) * step


def pooled(x: Tensor, weight: Tensor, spec: Geometry, in_shape: Shape) -> Tensor:
    """Apply weights (out, in, k, k), or (in, 1, k, k) if depthwise, to inputs (n, ...), then average pooling."""
    if not (spec.plain and isinstance(spec.pool, int)):
        return convolved(x.reshape(len(x), *in_shape), weight, spec, spec.pool)
    fused, step = fuse_pool(weight, spec.pool, spec.step), spec.step * spec.pool
    groups = in_shape[0] // weight.shape[1]
    return F.conv2d(x.reshape(len(x), *in_shape), fused, stride=step, padding=spec.margin, groups=groups)


class Ann(CheckedModule):
    """A feed-forward network of ReLU neurons built from its specification.

    Parameters
    ----------
    spec : AnnSpec
        Layers and bits.
    metadata : dict, optional
        What is known of its training: seed, epochs, test accuracy.
    """

    layers: Sequence[AnnLayer]

    def __init__(self, spec: AnnSpec, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(spec, metadata)
        self.spec = spec
        tops = [spec.top_activation] * (len(spec.layers) - 1) + [None]
        layers = nn.ModuleList(
            AnnLayer(layer, in_shape, spec.top_weight, top)
            for layer, (in_shape, _), top in zip(spec.layers, spec.shapes(), tops)
        )
        self.layers = cast(Sequence[AnnLayer], layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the outputs of every layer, each (n, channels, height, width), the last ones being logits.

        Parameters
        ----------
        x : Tensor, (n, c, h, w)
            Images from :meth:`levels`, divided by the largest level.
        """
        outputs = []
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        return outputs

    def levels(self, images: np.ndarray, axes: str | None = None) -> np.ndarray:
        """Return images as whole numbers (n, c, h, w) from 0 to 2^activation_bits - 1, int64.

        Parameters
        ----------
        images : array, (n, h, w) or (n, c, h, w)
            uint8 in 0..255 or float in [0, 1].
        axes : str, optional
            Another order of these axes, for example ``"nhwc"``.
        """
        (levels,) = encode(self.checked(images, axes), self.spec)
        whole: np.ndarray = np.rint(levels * self.spec.top_activation).astype(np.int64)
        return whole

    def checked(self, images: np.ndarray, axes: str | None = None) -> Checked:
        """Return images (n, c, h, w) if the network can take them, see :func:`mapping.networks.encode.check_images`."""
        return check_images(images, self.spec, axes, spiking=False)

    def graph(self) -> Graph:
        """Return the network as plain data, see ``mapping.ir``.

        Raises
        ------
        ParameterError
            If a tensor holds numbers that are not finite or out of range.
        """
        self.check()
        nodes: dict[str, ops.Op] = {"input": ops.Input(shape=self.spec.input_shape, top=self.spec.top_activation)}
        for number, layer in enumerate(self.layers, start=1):
            nodes |= layer.nodes(f"layer {number}", self.spec.weight_bits)
        return Graph.chain(nodes)

    def integer_layers(self) -> list[Stage]:
        """Return the layers in whole numbers, batch norm folded into gain and offset of their ``activation``.

        Each gives y = gain s + offset, s the average over the pool of weights @ x. Hidden layers give clip(rint(y), 0,
        2^activation_bits - 1), ties to even, which are the inputs x of the next layer; the last one y, the logits.
        """
        return lower(self.graph(), TO_INTEGERS)

    def quantized(self, weight_bits: int | None = None, activation_bits: int | None = None) -> Ann:
        """Return the same network with fewer bits, rounded after training ("post-training quantization").

        Each layer keeps its largest real weight and its clip level, which the largest whole numbers then stand for.

        Parameters
        ----------
        weight_bits, activation_bits : int, optional
            Of the new network; without them as many as now.

        Returns
        -------
        Ann
            Metadata as now, with a note ``quantized``.

        Raises
        ------
        ParameterError
            If the bits are not allowed, or more than now.
        """
        bits = {"weight_bits": weight_bits, "activation_bits": activation_bits}
        asked = {name: value for name, value in bits.items() if value is not None}
        spec = self.spec.replace(**asked)
        for name, value in asked.items():
            if value > getattr(self.spec, name):
                raise ParameterError(f"{name} = {value}: the network has {getattr(self.spec, name)}; give no more")
        now = f"{self.spec.weight_bits}-bit weights and {self.spec.activation_bits}-bit activations"
        note = {"quantized": f"after training, from {now}, to which accuracies here refer"}
        network = Ann(spec, note | self.metadata)
        network.load_state_dict(self.state_dict())
        network.name = self.name
        return network.eval()

    @torch.inference_mode()
    def integers(self, images: np.ndarray) -> list[np.ndarray]:
        """Return the outputs of every layer in whole numbers, each (n, channels, height, width); the last are logits.

        This is the arithmetic of :meth:`integer_layers`; sums are exact.
        """
        x, outputs = torch.from_numpy(self.levels(images)).double(), []
        for layer in self.integer_layers():
            area = layer.spec.area  # makes the pooled kernel one of whole numbers
            (rows,) = layer.rows
            kernel = len(layer.weights), rows.in_shape[0], layer.spec.side, layer.spec.side
            weights = torch.from_numpy(layer.weights).double().reshape(kernel)
            taken = torch.from_numpy(rows.taken(x.numpy()[None], 1)[0])
            sums = pooled(taken, area * weights, layer.spec, rows.in_shape)
            relu = cast(ops.QuantizedRelu, layer.activation)
            gain, offset = (torch.from_numpy(np.reshape(v, (-1, 1, 1))) for v in (relu.gain, relu.offset))
            x = gain * (sums / area) + offset
            if relu.top is not None:
                x = torch.round(x).clamp(0, relu.top)
            outputs.append(x.numpy())
        return [y.astype(np.int64) for y in outputs[:-1]] + outputs[-1:]

    def predict(self, images: np.ndarray, batch_size: int = 100, axes: str | None = None) -> np.ndarray:
        """Return the class (n,) with the largest logit of :meth:`integers`; the lowest class wins a tie.

        Parameters
        ----------
        images : array, (n, h, w) or (n, c, h, w)
            uint8 images count as 0..255, floats as 0..1.
        batch_size : int
            Images per pass.
        axes : str, optional
            As for :meth:`levels`.
        """
        images = self.checked(images, axes)
        if whole_number(batch_size, "batch_size") < 1:
            raise ParameterError(f"{len(images)} images in batches of {batch_size}: at least 1 of each is needed")
        starts = range(0, len(images), batch_size)
        logits = [self.integers(images[start : start + batch_size])[-1] for start in starts]
        return np.concatenate([y.reshape(len(y), -1).argmax(1) for y in logits])
