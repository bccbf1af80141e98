"""MappedNetwork: a trained network on a chip."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from mapping.bsnn.encode import encode
from mapping.bsnn.fold import fold
from mapping.bsnn.network import Network
from mapping.chip import Chip
from mapping.cost import Charges, convention
from mapping.layer import MappedLayer
from mapping.report import LayerReport, Report
from xbarsim.errors import ParameterError

Progress = Callable[[int], None]  # images done since the last call


def map_network(network: Network, chip: Chip, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> MappedNetwork:
    """Place a network on a chip: fold, cut into arrays, program, reduce each array to its exact ports.

    Parameters
    ----------
    network : Network
        Trained, with binary weights.
    chip : Chip
    seed : int
        Root seed of everything that is drawn: another seed is another die.
    dtype : torch.dtype
        Precision of inference, ``torch.float32`` or ``torch.float64``.

    Returns
    -------
    MappedNetwork
    """
    folded = fold(network)
    layers = [MappedLayer(layer, chip, network.spec, seed, k, dtype) for k, layer in enumerate(folded)]
    return MappedNetwork(network, chip, layers, seed)


class MappedNetwork:
    """The layers of a network on their arrays; made by :func:`map_network`."""

    def __init__(self, network: Network, chip: Chip, layers: list[MappedLayer], seed: int) -> None:
        self.network, self.chip, self.layers, self.seed = network, chip, layers, seed

    def spikes(self, images: np.ndarray) -> list[np.ndarray]:
        """Return the spikes of every layer, each (t_steps, n, channels, height, width), 0 or 1."""
        return [spikes for spikes, _ in self._run(images)]

    def evaluate(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        accounting: str = "full",
        batch_size: int = 25,
        progress: Progress | None = None,
    ) -> Report:
        """Classify images on the chip and account for what that costs; changes nothing on the chip.

        Parameters
        ----------
        images : array, (n, h, w), (n, c, h, w) or spikes (n, t_steps, c, h, w)
        labels : int array, (n,)
        accounting : str
            The accounting convention, see ``mapping.cost.CONVENTIONS``.
        batch_size : int
            Images per pass.
        progress : callable, optional
            Called with the number of images done since its last call.

        Returns
        -------
        Report
        """
        note = convention(accounting)
        images, labels = np.asarray(images), np.asarray(labels)
        if labels.shape != (len(images),):
            raise ParameterError(f"labels have the shape {labels.shape}; {len(images)} images need ({len(images)},)")
        if len(images) == 0 or batch_size < 1:
            raise ParameterError(f"{len(images)} images in batches of {batch_size}: at least 1 of each is needed")
        charges = [Charges() for _ in self.layers]
        fired = np.zeros(len(self.layers))
        classes = []
        ideal = self.network.predict(images, batch_size=4 * batch_size)
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            for k, (spikes, cost) in enumerate(self._run(batch)):
                charges[k].add(cost)
                fired[k] += spikes.sum()
            classes.append(spikes.sum(0).reshape(len(batch), -1).argmax(1))
            if progress is not None:
                progress(len(batch))
        rows = tuple(
            LayerReport.of(layer, charge, total, len(images))
            for layer, charge, total in zip(self.layers, charges, fired)
        )
        analog = np.asarray(images).ndim < 5
        return Report(
            chip=self.chip.name,
            accounting=note,
            n_images=len(images),
            seed=self.seed,
            first_layer=f"constant, read {self.chip.constant_input}" if analog else "spikes",
            accuracy=float(np.mean(np.concatenate(classes) == labels)),
            ideal_accuracy=float(np.mean(ideal == labels)),
            layers=rows,
            t_steps=self.network.t_steps,
            macs_per_step=self.network.spec.macs_per_step,
        )

    def _run(self, images: np.ndarray) -> list[tuple[np.ndarray, Charges]]:
        x = encode(images, self.network.spec)
        analog = np.asarray(images).ndim < 5
        if analog:
            x = self.chip.driver.quantize(x)
        results = []
        for layer in self.layers:
            x, cost = layer.forward(x, analog)
            results.append((x, cost))
            analog = False
        return results
