"""Traces: the spikes and membranes of every layer of a mapped network while it classifies images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapping.chip.neurons import Neurons
from mapping.mapped.mapped_network import MappedNetwork
from xbarsim.errors import of_kind
from xbarsim.streams import numbered


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """What the neurons of a chip did; made by :func:`trace`. An array for each layer.

    Attributes
    ----------
    spikes : arrays, (t_steps, n, channels, height, width)
        0 or 1.
    membranes : arrays, the same shape
        Before reset, in units of a weight. Where row tiles decide by themselves (``Chip.merge = "majority"``), sums
        over them.
    thresholds : arrays, (channels, height, width)
        Where comparators fire, offsets and calibration included, noise left out, in units of a weight; sums over such
        row tiles too, whose majority decides, not their sum.
    """

    spikes: tuple[np.ndarray, ...]
    membranes: tuple[np.ndarray, ...]
    thresholds: tuple[np.ndarray, ...]

    def of(self, layer: int, image: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return spikes and membranes (t_steps, neurons), and thresholds (neurons,), for one image.

        Neurons are numbered channel by channel, each row by row.

        Raises
        ------
        ParameterError
            If there is no such layer or image.
        """
        spikes = self.spikes[numbered("layer", layer, len(self.spikes))]
        image = numbered("image", image, spikes.shape[1])
        fired, held = (x[:, image].reshape(len(x), -1) for x in (spikes, self.membranes[layer]))
        return fired, held, self.thresholds[layer].ravel()

    def __repr__(self) -> str:
        t_steps, n = self.spikes[0].shape[:2]
        return f"Trace({len(self.spikes)} layers, {n} image(s), {t_steps} time steps)"


def trace(mapped: MappedNetwork, images: np.ndarray, axes: str | None = None) -> Trace:
    """Record the spikes and membranes of every layer while images are classified; changes nothing on the chip.

    Runs as tensors, so that it serves any chip. All is held in memory: a few images at a time.

    Parameters
    ----------
    mapped : MappedNetwork
    images : array, (n, h, w), (n, c, h, w) or spikes (n, t_steps, c, h, w)
    axes : str, optional
        The order of their axes if it is another one, see :meth:`mapping.Network.predict`.

    Returns
    -------
    Trace
    """
    mapped = of_kind(MappedNetwork, mapped, "mapped", "a network on a chip, by map_network")
    spikes, membranes, thresholds = [], [], []
    images = mapped.checked(images, axes)
    for layer, (fired, membrane, _) in zip(mapped.layers, mapped.inference.as_tensors(images)):
        neurons = of_kind(Neurons, layer.neurons, "mapped", "a spiking network on a chip, by map_network")
        level = neurons.parameters()[2]
        spikes.append(fired)
        membranes.append(membrane.contiguous().numpy())
        votes = level.reshape(neurons.n_votes, -1, *level.shape[1:]).sum(0)
        thresholds.append(np.broadcast_to(votes, layer.layer.out_shape))
    return Trace(tuple(spikes), tuple(membranes), tuple(thresholds))
