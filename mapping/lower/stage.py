"""A stage: what one layer of a network asks of arrays and of the circuits behind them; plain data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapping.bsnn.spec import LayerSpec, NeuronSpec, Shape


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Weights as arrays hold them.

    Attributes
    ----------
    spec : LayerSpec
        Kernel, pooling, kind.
    in_shape, out_shape : (channels, height, width)
    weights : int8 array, (n_out, n_in)
        +-1, or 0; inputs in the order (channel, kernel row, kernel column).
    slices : int
        Outputs that carry one bit each of the same output, as of multi-bit weights.
    """

    spec: LayerSpec
    in_shape: Shape
    out_shape: Shape
    weights: np.ndarray
    slices: int = 1

    @property
    def n_positions(self) -> int:
        """Reads of the array per time step: positions of the kernel for a convolution, one for a dense layer."""
        rows, cols = self.spec.read_positions(self.in_shape)
        return rows * cols


@dataclass(frozen=True, kw_only=True)
class FoldedLayer(Stage):
    """A layer of spiking neurons in units of a weight: U[t+1] = beta U[t] + W x + constant - S[t] threshold.

    Attributes
    ----------
    neuron : NeuronSpec
    threshold, beta : array, (n_out, 1, 1) or out_shape
        Firing threshold and decay of the neurons.
    constant : array, (n_out,)
        The input that bias and batch norm add at every step.
    """

    neuron: NeuronSpec
    threshold: np.ndarray
    beta: np.ndarray
    constant: np.ndarray


@dataclass(frozen=True, kw_only=True)
class SlicedLayer(Stage):
    """A layer of a conventional network: y = gain sum_pk planes_p 2^k (W_k x_p) + offset, rounded, from 0 to top.

    Attributes
    ----------
    planes : array, (n_frames,)
        What the frames x_p of an input stand for: the value of each of its bits, or of the highest level of a DAC.
    gain, offset : array, (n_out,)
        Steps, batch norm and bias.
    top : int, optional
        Largest output; without it y is a logit and neither rounded nor cut.
    """

    planes: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    top: int | None
