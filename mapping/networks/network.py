"""The spiking network as software runs it: the ideal that every chip is compared with."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapping.ir.graph import Graph
from mapping.ir.shapes import pair
from mapping.kernels.sums import SPIKES
from mapping.lower.distribute import distribute
from mapping.lower.fuse import fuse
from mapping.lower.plain_kernels import plain_kernels
from mapping.lower.pool_spikes import pool_spikes
from mapping.lower.unfold import unfold
from mapping.networks.decode import scores, side_by_side, thresholds
from mapping.networks.dynamics import LifState, lif, lif_step
from mapping.networks.encode import check_images, encode, is_analog
from mapping.networks.event_layers import EventLayer, list_inputs
from mapping.networks.event_runs import run_layers
from mapping.networks.finite import CheckedModule
from mapping.networks.ideal_layers import ideal_layers
from mapping.networks.layers import SPARSE, SpikingLayer
from mapping.networks.spec import NetworkSpec
from mapping.networks.to_graph import graph_of_layers
from mapping.networks.told import told
from mapping.networks.wiring import INPUT
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
    """A spiking network built from its specification.

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
        self._wiring = wiring = spec.wiring
        layers = nn.ModuleList(
            SpikingLayer(layer, seen, spec.kinds_of(layer), out, neuron)
            for layer, seen, out, neuron in zip(spec.layers, wiring.seen, wiring.shapes, spec.neurons())
        )
        self.layers = cast(Sequence[SpikingLayer], layers)

    def __repr__(self) -> str:
        return told(self.name, self.spec, self.layers)

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
        return graph_of_layers(self.spec, self._wiring, self.layers)

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the spikes and the membranes of every layer, each (t_steps, n, channels, height, width).

        Parameters
        ----------
        x : Tensor, (1, n, c, h, w) or (t_steps, n, c, h, w)
            A constant current for all steps, or one input per step.
        """
        spikes: dict[int, Tensor] = {INPUT: x}
        membranes: dict[int, Tensor] = {}
        for component in self._wiring.components:
            if component.loops:
                self._loop(component.layers, spikes, membranes)
            else:
                (k,) = component.layers
                spikes[k], membranes[k] = self.alone(k, spikes)
        numbers = range(len(self.layers))
        return [spikes[k] for k in numbers], [membranes[k] for k in numbers]

    def alone(self, k: int, spikes: Mapping[int, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the spikes and membranes of layer k alone, for spikes of the layers that it reads, its own among them.

        The input has the number ``mapping.networks.wiring.INPUT``.
        """
        layer, given = self.layers[k], [self._given(k, j, spikes) for j in range(len(self._wiring.reads[k]))]
        current = self._dropped(k, layer(*given))
        return lif(current, layer.threshold, layer.beta.clamp(0, 1), layer.neuron, self.t_steps)

    def _given(self, k: int, j: int, spikes: Mapping[int, Tensor]) -> Tensor:
        """Return what the weights number j of layer k read, (t_steps or 1, n, ...), from the spikes of layers."""
        sources, delay = self._wiring.reads[k][j]
        found = [spikes[source] for source in sources]
        if delay or len({len(x) for x in found}) > 1:
            found = [x.expand(self.t_steps, *x.shape[1:]) for x in found]
        return _late(self._joined(k, j, found), delay)

    def _joined(self, k: int, j: int, found: list[Tensor]) -> Tensor:
        """Return the inputs of weights number j of layer k together, pooled; channels are the third axis from last."""
        parts = (self.spec.layers[k], *self.spec.layers[k].branches)
        if j >= len(parts):
            return found[0]
        spec = parts[j]
        x = torch.cat(found, -3) if spec.join == "concatenate" else sum(found[1:], found[0])
        if spec.input_pool == 1:
            return x
        pool = F.max_pool2d if spec.input_pool_by == "maximum" else F.avg_pool2d
        pooled: Tensor = pool(x.flatten(0, -4), spec.input_pool).unflatten(0, x.shape[:-3])
        return pooled * prod(pair(spec.input_pool)) if spec.input_pool_by == "sum" else pooled

    def _loop(self, numbers: Sequence[int], spikes: dict[int, Tensor], membranes: dict[int, Tensor]) -> None:
        """Run layers of a loop step by step."""
        n, reads = spikes[INPUT].shape[1], self._wiring.reads
        inner = {k: [j for j, read in enumerate(reads[k]) if set(read.sources) & set(numbers)] for k in numbers}
        ahead = {
            k: [None if j in inner[k] else self._given(k, j, spikes) for j in range(len(reads[k]))] for k in numbers
        }
        fired: dict[int, list[Tensor]] = {k: [] for k in numbers}
        held: dict[int, list[Tensor]] = {k: [] for k in numbers}
        states: dict[int, LifState | None] = dict.fromkeys(numbers)

        def at(source: int, t: int) -> Tensor:
            if t < 0:
                return spikes[INPUT].new_zeros(n, *self._wiring.shape(source))
            if source in fired:
                return fired[source][t]
            return spikes[source][t if len(spikes[source]) > 1 else 0]

        for t in range(self.t_steps):
            for k in numbers:
                given = [
                    self._joined(k, j, [at(source, t - reads[k][j].delay) for source in reads[k][j].sources])
                    if x is None
                    else x[t if len(x) > 1 else 0]
                    for j, x in enumerate(ahead[k])
                ]
                layer = self.layers[k]
                current = self._dropped(k, layer(*(x[None] for x in given)))[0]
                beta = layer.beta.clamp(0, 1)
                s, u, states[k] = lif_step(current, states[k], layer.threshold, beta, layer.neuron)
                fired[k].append(s)
                held[k].append(u)
        for k in numbers:
            spikes[k], membranes[k] = torch.stack(fired[k]), torch.stack(held[k])

    def _dropped(self, k: int, current: Tensor) -> Tensor:
        """Drop some of the current into an output layer while training."""
        read = self.spec.dropout and k in self.spec.output_layers
        return F.dropout(current, self.spec.dropout, self.training) if read else current

    def outputs(self, spikes: Sequence[Tensor], membranes: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return spikes, membranes and thresholds of the output layers as those of one; given are those of all."""
        read = self.spec.output_layers
        kept = [membranes[k] for k in read]
        of = thresholds([self.layers[k].threshold for k in read], kept)
        return side_by_side([spikes[k] for k in read]), side_by_side(kept), of

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
            layers = ideal_layers(plain_kernels(fuse(pool_spikes(unfold(distribute(graph))))), self.t_steps, dtype)
            given, rate = self._by_events(layers, *parts[0], seed)
            if rate < SPARSE or engine == "events":
                rest = in_threads(lambda part: self._by_events(layers, part[0], part[1], seed)[0], parts[1:])
                return np.concatenate([given, *rest])
        for batch, start in parts:
            spikes, membranes = self(self._input(batch, seed, start))
            classes.append(self._decoded(*self.outputs(spikes, membranes)))
        return np.concatenate(classes)

    def _by_events(
        self, layers: list[EventLayer], images: np.ndarray, first: int, seed: int
    ) -> tuple[np.ndarray, float]:
        """Return classes, and the highest rate of spikes between layers."""
        x = encode(images, self.spec, seed=seed, numbers=range(first, first + len(images)))
        events = list_inputs(x, is_analog(images, self.spec), layers[0].neurons.level.dtype)
        done = run_layers(layers, self._wiring.components, events, dense=lambda k: k in self.spec.output_layers)
        counts = [len(images) * self.t_steps * len(layer.neurons.level) for layer in layers]
        rates = [fired.sums[:, SPIKES].sum() / count for fired, count in zip(done, counts)]
        states = zip(*([torch.from_numpy(state) for state in fired.states] for fired in done))
        return self._decoded(*self.outputs(*states)), max(rates[:-1], default=0.0)

    def _decoded(self, spikes: Tensor, membrane: Tensor, threshold: Tensor) -> np.ndarray:
        classes: np.ndarray = scores(spikes, membrane, self.spec.decoder, threshold).argmax(1).cpu().numpy()
        return classes

    def _input(self, images: np.ndarray, seed: int, first: int) -> Tensor:
        numbers = range(first, first + len(images))
        return torch.from_numpy(encode(images, self.spec, seed=seed, numbers=numbers)).to(self.layers[0].weight)


def _late(x: Tensor, delay: int) -> Tensor:
    """Return what comes so many steps late, (t_steps, n, ...); nothing before."""
    return torch.cat([torch.zeros_like(x[:delay]), x[: len(x) - delay]]) if delay else x
