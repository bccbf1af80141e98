"""The spiking network as software runs it: the ideal that every chip is compared with."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapping.ir.graph import Graph
from mapping.ir.ops import Input, Op
from mapping.kernels.sums import SPIKES
from mapping.lower.fuse import fuse
from mapping.networks.decode import scores
from mapping.networks.dynamics import lif
from mapping.networks.encode import check_images, encode, is_analog
from mapping.networks.event_layers import EventLayer, ideal_layers, list_inputs
from mapping.networks.finite import CheckedModule
from mapping.networks.layers import SPARSE, SpikingLayer
from mapping.networks.spec import NetworkSpec
from xbarsim.errors import ParameterError
from xbarsim.streams import whole_number
from xbarsim.threads import in_threads


def engine_called(name: Any) -> Any:
    """Return the present name of an engine; its former one warns."""
    if isinstance(name, str) and name == "tensors":
        warnings.warn("engine = 'tensors' is deprecated; use 'dense'", DeprecationWarning, stacklevel=4)
        return "dense"
    return name


class Network(CheckedModule):
    """A feed-forward spiking network built from its specification.

    Parameters
    ----------
    spec : NetworkSpec
        Layers and hyper-parameters.
    metadata : dict, optional
        What is known of its training: seed, epochs, test accuracy.
    """

    layers: Sequence[SpikingLayer]

    def __init__(self, spec: NetworkSpec, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(spec, metadata)
        self.spec = spec
        layers = nn.ModuleList(
            SpikingLayer(layer, in_shape, spec.weights_of(layer), neuron)
            for layer, (in_shape, _), neuron in zip(spec.layers, spec.shapes(), spec.neurons())
        )
        self.layers = cast(Sequence[SpikingLayer], layers)

    @property
    def t_steps(self) -> int:
        """Time steps of one inference."""
        return self.spec.t_steps

    def graph(self) -> Graph:
        """Return the network as plain data, see ``mapping.ir``.

        Raises
        ------
        ParameterError
            If a tensor holds numbers that are not finite or out of range.
        """
        self.check()
        nodes: dict[str, Op] = {"input": Input(shape=self.spec.input_shape)}
        for number, layer in enumerate(self.layers, start=1):
            nodes |= layer.nodes(f"layer {number}")
        return Graph.chain(nodes)

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the spikes and the membranes of every layer, each (t_steps, n, channels, height, width).

        Parameters
        ----------
        x : Tensor, (1, n, c, h, w) or (t_steps, n, c, h, w)
            A constant current for all steps, or one input per step.
        """
        spikes, membranes = [], []
        for layer in self.layers:
            current = layer(x.flatten(0, 1))
            if layer is self.layers[-1] and self.spec.dropout:
                current = F.dropout(current, self.spec.dropout, self.training)
            current = current.unflatten(0, x.shape[:2])
            x, membrane = lif(current, layer.threshold, layer.beta.clamp(0, 1), layer.neuron, self.t_steps)
            spikes.append(x)
            membranes.append(membrane)
        return spikes, membranes

    @torch.inference_mode()
    def spikes(self, images: np.ndarray, seed: int = 0, axes: str | None = None) -> list[np.ndarray]:
        """Return the spikes of every layer for images, each (t_steps, n, channels, height, width), 0 or 1.

        ``seed`` is that of rate encoding; ``images`` and ``axes`` are as for :meth:`predict`.
        """
        self.check()
        images = check_images(images, self.spec, axes)
        self.eval()
        spikes, _ = self(self._input(images, seed, 0))
        return [s.cpu().numpy() for s in spikes]

    @torch.inference_mode()
    def predict(
        self,
        images: np.ndarray,
        batch_size: int = 100,
        seed: int = 0,
        engine: Literal["auto", "events", "dense", "tensors"] = "auto",
        axes: str | None = None,
    ) -> np.ndarray:
        """Return the class (n,) that the decoder reads; the lowest class wins a tie.

        Parameters
        ----------
        images : array, (n, h, w), (n, c, h, w) or spikes (n, t_steps, c, h, w)
            uint8 images count as 0..255, floats as 0..1; spikes are 0 or 1.
        batch_size : int
            Images per pass.
        seed : int
            Of rate encoding.
        engine : {"auto", "events", "dense"}
            Whether inputs are added up spike by spike, on the CPU and without maximum pooling, or as tensors, wherever
            the network is. Unless told, spike by spike while spikes are sparse. Both give the same spikes but for
            membranes within rounding of a threshold.
        axes : str, optional
            The order of the axes of ``images``, a letter for each of n (samples), t (time steps), c (channels), h, w:
            ``"tnchw"``, ``"tchw"`` for the spikes of one sample. Needed where an array could mean two things, as one of
            as many samples as time steps.
        """
        images = check_images(images, self.spec, axes)
        if whole_number(batch_size, "batch_size") < 1:
            raise ParameterError(f"{len(images)} images in batches of {batch_size}: at least 1 of each is needed")
        engine = engine_called(engine)
        if engine not in ("auto", "events", "dense"):
            raise ParameterError(f"engine = {engine!r}: give 'auto', 'events' or 'dense'")
        able = self.layers[0].weight.is_cpu and all(layer.spec.pool_by == "average" for layer in self.layers)
        if engine == "events" and not able:
            raise ParameterError("engine = 'events' is for networks on the CPU without maximum pooling; use 'auto'")
        graph = self.graph()  # of numbers that can be computed with, or refused
        self.eval()
        starts = range(0, len(images), batch_size)
        parts = [(images[start : start + batch_size], start) for start in starts]
        classes: list[np.ndarray] = []
        if able and engine != "dense":
            dtype = np.dtype(np.float64 if self.layers[0].weight.dtype == torch.float64 else np.float32)
            layers = ideal_layers(fuse(graph), self.t_steps, dtype)
            given, rate = self._by_events(layers, *parts[0], seed)
            if rate < SPARSE or engine == "events":
                rest = in_threads(lambda part: self._by_events(layers, part[0], part[1], seed)[0], parts[1:])
                return np.concatenate([given, *rest])
        for batch, start in parts:
            spikes, membranes = self(self._input(batch, seed, start))
            classes.append(self._decoded(spikes[-1], membranes[-1]))
        return np.concatenate(classes)

    def _by_events(
        self, layers: list[EventLayer], images: np.ndarray, first: int, seed: int
    ) -> tuple[np.ndarray, float]:
        """Return classes, and the highest rate of spikes between layers."""
        x = encode(images, self.spec, seed=seed, numbers=range(first, first + len(images)))
        events = list_inputs(x, is_analog(images, self.spec), layers[0].neurons.level.dtype)
        rates = [0.0]
        for layer in layers:
            events, sums, states = layer.run(events, dense=layer is layers[-1])
            rates.append(sums[SPIKES] / (len(images) * self.t_steps * len(layer.neurons.level)))
        spikes, membrane = (torch.from_numpy(state) for state in states)
        return self._decoded(spikes, membrane), max(rates[:-1])

    def _decoded(self, spikes: Tensor, membrane: Tensor) -> np.ndarray:
        classes: np.ndarray = (
            scores(spikes, membrane, self.spec.decoder, self.layers[-1].threshold).argmax(1).cpu().numpy()
        )
        return classes

    def _input(self, images: np.ndarray, seed: int, first: int) -> Tensor:
        numbers = range(first, first + len(images))
        return torch.from_numpy(encode(images, self.spec, seed=seed, numbers=numbers)).to(self.layers[0].weight)
