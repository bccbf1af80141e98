"""What drives the layers of a network, and what its last one says: spikes of a spiking one, levels of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor

from mapping.chip.chip import Chip
from mapping.ir.ops import Activation, Lif
from mapping.networks.ann import Ann
from mapping.networks.decode import scores, side_by_side, thresholds
from mapping.networks.encode import Checked, check_images, encode, is_analog
from mapping.networks.network import Network
from xbarsim.errors import ParameterError

Coding = Literal["dac", "bit-serial"]
Frames = tuple[np.ndarray, bool]  # what drives a layer, (n_frames, n, ...), and whether a DAC does


class SpikeCodec:
    """Of a spiking network: images are constant currents or encoded as spikes; spikes drive all other layers.

    Parameters
    ----------
    network : Network
    chip : Chip
    seed : int
        Root seed of rate encoding.
    neurons : sequence of Lif
        Of all layers, batch norm folded in.

    Attributes
    ----------
    t_steps : int
    outputs : tuple of int
        Numbers of the layers that are read.
    planes : array, (t_steps,)
        What the frames of an input stand for: each step for itself.
    macs_per_step : int
    serial : bool
        Whether frames are bits of the same inputs.
    """

    serial = False

    def __init__(self, network: Network, chip: Chip, seed: int, neurons: Sequence[Lif]) -> None:
        self.network, self._chip, self._seed, self.outputs = network, chip, seed, network.spec.output_layers
        self._thresholds = [torch.from_numpy(neurons[k].threshold) for k in self.outputs]
        self.t_steps, self.macs_per_step = network.t_steps, network.spec.macs_per_step
        self.planes = np.broadcast_to(1.0, self.t_steps)

    def checked(self, images: np.ndarray, axes: str | None = None) -> Checked:
        """Return images or spikes, see :func:`mapping.networks.encode.check_images`."""
        return check_images(images, self.network.spec, axes)

    def encoded(self, images: np.ndarray, first: int) -> Frames:
        """Return images as a DAC has them, or as spikes."""
        analog = is_analog(images, self.network.spec)
        x = encode(images, self.network.spec, seed=self._seed, numbers=range(first, first + len(images)))
        return self._chip.driver.quantize(x) if analog else x, analog

    def passed_on(self, outputs: np.ndarray) -> Frames:
        """Return the spikes."""
        return outputs, False

    def classes(self, outputs: Sequence[np.ndarray], states: Sequence[Tensor]) -> np.ndarray:
        """Return the classes that the network's decoder reads from spikes or membranes of the output layers."""
        spikes, of = side_by_side([torch.from_numpy(x) for x in outputs]), thresholds(self._thresholds, states)
        read = scores(spikes, side_by_side(states), self.network.spec.decoder, of)
        classes: np.ndarray = read.argmax(1).numpy()
        return classes

    def ideal(self, images: np.ndarray) -> np.ndarray:
        """Return what software says."""
        return self.network.predict(images, seed=self._seed)

    def told(self, images: np.ndarray) -> str:
        """Say how the first layer is read."""
        return f"constant, read {self._chip.constant_input}" if is_analog(images, self.network.spec) else "spikes"

    def held(self, images: np.ndarray) -> bool:
        """Whether the first layer is read in the first time step only."""
        return self._chip.constant_input == "once" and is_analog(images, self.network.spec)


class LevelCodec:
    """Of a conventional network: whole numbers, as levels of a DAC or bit by bit.

    Parameters
    ----------
    network : Ann
    chip : Chip
    coding : {"dac", "bit-serial"}
    neurons : sequence of QuantizedRelu
        Of all layers.

    Attributes
    ----------
    planes : array, (t_steps,)
        What the frames of an input stand for.
    outputs, t_steps, macs_per_step, serial
        As of :class:`SpikeCodec`, frames being bits of the same inputs, or one alone.
    """

    def __init__(self, network: Ann, chip: Chip, coding: Coding, neurons: Sequence[Activation]) -> None:
        if not chip.neuron.digital:
            raise ParameterError(f"{chip.name}: {chip.neuron.kind} neurons give spikes; an Ann needs a sar-adc")
        if chip.calibration is not None and chip.calibration.threshold_bits:
            raise ParameterError(f"{chip.name}: Calibration.threshold_bits: an Ann has no thresholds; leave it out")
        if coding not in ("dac", "bit-serial"):
            raise ParameterError(f"inputs = {coding!r}: give 'dac' or 'bit-serial'")
        self.network, self._chip, self._coding = network, chip, coding
        self.outputs, self._cells = (len(neurons) - 1,), neurons[-1].slices  # of one sign of a weight
        spec, self.serial = network.spec, coding == "bit-serial"
        self._bits = spec.activation_bits
        self.planes = 2.0 ** np.arange(self._bits) if self.serial else np.array([float(spec.top_activation)])
        self.t_steps = len(self.planes)
        self.macs_per_step = spec.macs / self.t_steps

    def checked(self, images: np.ndarray, axes: str | None = None) -> Checked:
        """Return images, see :func:`mapping.networks.encode.check_images`."""
        return self.network.checked(images, axes)

    def encoded(self, images: np.ndarray, first: int) -> Frames:
        """Return the levels of images."""
        return self.passed_on(self.network.levels(images)[None])

    def passed_on(self, outputs: np.ndarray) -> Frames:
        """Return levels (1, n, ...) as a DAC has them, or their bits (n_bits, n, ...)."""
        if not self.serial:
            return self._chip.driver.quantize(outputs / self.network.spec.top_activation), True
        return np.stack([(outputs[0] >> bit & 1).astype(float) for bit in range(self._bits)]), False

    def classes(self, outputs: Sequence[np.ndarray], states: Sequence[Tensor]) -> np.ndarray:
        """Return the classes of the largest logits."""
        ((logits,),) = outputs
        classes: np.ndarray = logits.reshape(len(logits), -1).argmax(1)
        return classes

    def ideal(self, images: np.ndarray) -> np.ndarray:
        """Return what software says."""
        return self.network.predict(images)

    def told(self, images: np.ndarray) -> str:
        """Say how weights and inputs are laid out."""
        spec, levels = self.network.spec, self._chip.cell_levels
        kind = {2: "two-state", "analog": "analog"}.get(levels, f"{levels}-level")
        inputs = f"{self._bits} reads, one for each bit of the inputs"
        if not self.serial:
            inputs = f"{self._bits}-bit DAC inputs, one read"
        return (
            f"{spec.weight_bits}-bit weights as sign and magnitude on {2 * self._cells} {kind} cells, "
            f"{self._cells} pair{'s' * (self._cells > 1)} of bitlines; {inputs}; codes shifted and added digitally"
        )

    def held(self, images: np.ndarray) -> bool:
        """Whether the first layer is read in the first time step only: there is nothing to hold."""
        return False


Codec = SpikeCodec | LevelCodec


def codec_of(
    network: Network | Ann, chip: Chip, seed: int, inputs: Coding | None, neurons: Sequence[Activation]
) -> Codec:
    """Return what drives a network, conventional ones by a DAC unless told; ``neurons`` are those of its layers."""
    if isinstance(network, Ann):
        return LevelCodec(network, chip, "dac" if inputs is None else inputs, neurons)
    if inputs is not None:
        raise ParameterError(f"inputs = {inputs!r}: of an Ann; a spiking network says itself what drives it")
    return SpikeCodec(network, chip, seed, cast(Sequence[Lif], neurons))
