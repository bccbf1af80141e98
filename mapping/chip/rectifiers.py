"""The outputs of a layer of a conventional network, in digital circuits: bits added, scaled, rounded, cut."""

from __future__ import annotations

from math import prod
from typing import cast

import numpy as np
import torch
from torch import Tensor

from mapping.chip.periphery.ledger import Ledger
from mapping.ir.ops import QuantizedRelu
from mapping.lower.stages import Stage


class Rectifiers:
    """All outputs of a layer; it stands where :class:`mapping.chip.neurons.Neurons` stand in a spiking network.

    Parameters
    ----------
    stage : Stage
        Of a conventional layer.
    planes : array, (n_frames,)
        What the frames of an input stand for.

    Attributes
    ----------
    last : bool
        Whether no layer follows.
    serial : bool
        Whether frames are bits of the same inputs.
    n_votes, n_integrators, capacitance, offset, correction, scale
        As of neurons; nothing is compared or charged here.
    """

    n_votes = n_integrators = 1
    capacitance = 0.0

    def __init__(self, stage: Stage, planes: np.ndarray) -> None:
        self._stage, self._relu, self._planes = stage, cast(QuantizedRelu, stage.activation), planes
        self._out = stage.spec.out // stage.slices
        self.last, self.serial = self._relu.top is None, len(planes) > 1
        self.offset = np.zeros((stage.spec.out, 1, 1))
        self.correction: np.ndarray | float = 0.0
        self.scale: np.ndarray | float = 1.0

    def set_unit(self, gain: float) -> None:
        """Set what a unit of weight moves, of which there is nothing here."""

    def fire(self, current: Tensor, first: int) -> tuple[Tensor, Tensor, float]:
        """Return whole numbers from 0 to the largest, or logits, (1, n, out, height, width), twice; none were reset.

        Parameters
        ----------
        current : Tensor, (n_frames, n, slices out, height, width)
            From the arrays.
        first : int
            Number of the first image; nothing is drawn.
        """
        stage, relu = self._stage, self._relu
        sums = current.double().numpy().reshape(*current.shape[:2], stage.slices, self._out, *stage.out_shape[1:])
        y = np.einsum("p,s,pns...->n...", self._planes, stage.rows[0].digits, sums)
        y = np.reshape(relu.gain, (-1, 1, 1)) * y + np.reshape(relu.offset, (-1, 1, 1))
        if relu.top is not None:
            y = np.rint(y).clip(0, relu.top).astype(np.int64)
        outputs = torch.from_numpy(y)[None]
        return outputs, outputs, 0.0

    def tally(self, outputs: np.ndarray) -> tuple[float, float]:
        """Return how many outputs are not 0, of a layer that others follow; each is sent by itself."""
        sent = 0.0 if self.last else float(np.count_nonzero(outputs))
        return sent, sent

    def count(self, n: int, fired: float, places: float, reset: float, ledger: Ledger) -> None:
        """Count what was updated and sent, see :meth:`mapping.chip.neurons.Neurons.count`."""
        ledger.updates += n * self._out * prod(self._stage.out_shape[1:])
        ledger.spikes += fired
        ledger.sent += fired
