"""The spiking network as software runs it: the ideal that every chip is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapping.bsnn.encode import encode
from mapping.bsnn.layers import SpikingLayer
from mapping.bsnn.neuron import lif
from mapping.bsnn.spec import NetworkSpec
from xbarsim.errors import ParameterError


class Network(nn.Module):
    """A feed-forward spiking network built from its specification.

    Parameters
    ----------
    spec : NetworkSpec
        Layers and hyper-parameters.
    metadata : dict, optional
        What is known of its training: seed, epochs, test accuracy.
    """

    def __init__(self, spec: NetworkSpec, metadata: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.metadata = metadata or {}
        binary = spec.weights == "binary"
        self.layers = nn.ModuleList(
            SpikingLayer(layer, in_shape, binary) for layer, (in_shape, _) in zip(spec.layers, spec.shapes())
        )

    @property
    def t_steps(self) -> int:
        """Time steps of one inference."""
        return self.spec.t_steps

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the spikes of every layer, each (t_steps, n, channels, height, width).

        Parameters
        ----------
        x : Tensor, (1, n, c, h, w) or (t_steps, n, c, h, w)
            A constant current for all steps, or one input per step.
        """
        spec = self.spec
        threshold = torch.tensor(spec.threshold, dtype=x.dtype, device=x.device)
        spikes: list[Tensor] = []
        for layer in self.layers:
            current = layer(x.flatten(0, 1))
            if layer is self.layers[-1] and spec.dropout:
                current = F.dropout(current, spec.dropout, self.training)
            current = current.reshape(*x.shape[:2], *current.shape[1:])
            x = lif(current, threshold, spec.beta, spec.slope, spec.clip, spec.t_steps)
            spikes.append(x)
        return spikes

    @torch.inference_mode()
    def spikes(self, images: np.ndarray) -> list[np.ndarray]:
        """Return the spikes of every layer for images, each (t_steps, n, channels, height, width), 0 or 1."""
        self.eval()
        parameter = next(self.parameters())
        x = torch.from_numpy(encode(images, self.spec)).to(parameter)
        return [s.cpu().numpy() for s in self(x)]

    def predict(self, images: np.ndarray, batch_size: int = 100) -> np.ndarray:
        """Return the class (n,) with the most output spikes; the lowest class wins a tie.

        Parameters
        ----------
        images : array, (n, h, w), (n, c, h, w) or spikes (n, t_steps, c, h, w)
            uint8 images count as 0..255, floats as 0..1.
        batch_size : int
            Images per pass.
        """
        if len(images) == 0 or batch_size < 1:
            raise ParameterError(f"{len(images)} images in batches of {batch_size}: at least 1 of each is needed")
        counts = [self.spikes(images[i : i + batch_size])[-1].sum(0) for i in range(0, len(images), batch_size)]
        return np.concatenate([c.reshape(len(c), -1).argmax(1) for c in counts])
