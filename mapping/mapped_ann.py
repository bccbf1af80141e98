"""A conventional network on a chip: multi-bit weights on two-state cells, multi-bit inputs, SAR ADCs, shift and add."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import torch

from mapping.ann.network import Ann, IntegerLayer
from mapping.bsnn.encode import Checked, check_labels
from mapping.bsnn.fold import FoldedLayer
from mapping.bsnn.spec import NeuronSpec
from mapping.by_tensors import read
from mapping.chip import Chip
from mapping.cost.accounting import Accounting, convention
from mapping.doubts import doubts
from mapping.given import Source, as_ann, as_chip, check_mapping
from mapping.layer import MappedLayer
from mapping.mapped import MappedLayers, Reads, check_replication
from mapping.periphery.ledger import Ledger
from mapping.report import LayerReport, Report
from mapping.sample import Sample
from mapping.tile import Solve
from xbarsim.errors import ParameterError
from xbarsim.ports import reduce
from xbarsim.streams import whole_number

Inputs = Literal["dac", "bit-serial"]


def map_ann(
    network: Ann | Source,
    chip: Chip | Source,
    *,
    inputs: Inputs = "dac",
    seed: int = 0,
    die: int = 0,
    dtype: torch.dtype = torch.float32,
    images: np.ndarray | None = None,
    solve: Solve = reduce,
) -> MappedAnn:
    """Place a conventional network on a chip.

    A weight of n bits, sign and magnitude, takes n - 1 pairs of bitlines, one for each bit of its magnitude; codes of
    all its bitlines are shifted, added and subtracted digitally. Inputs are levels of a DAC, or their bits are read one
    after the other, and shifted and added too.

    A depthwise convolution takes the arrays of a plain one: the weights for channels that an output does not read are
    pairs of cells in the HRS. They count as cells in use (``utilization``) and as operations that inputs cause
    (``synaptic_operations``), but not as operations of the network (TOPS/W).

    Parameters
    ----------
    network : Ann, or its name or file
    chip : Chip, or its name or file
        With a SarAdc and differential weights.
    inputs : {"dac", "bit-serial"}
    seed, die, dtype
        As for :func:`mapping.map_network`.
    images : array, optional
        The calibration set of converters with ``full_scale = "calibrated"``.
    solve : callable, optional
        Reduces arrays to their ports; a :class:`mapping.solved.Solved` keeps those of chips that have arrays in common.

    Returns
    -------
    MappedAnn

    Raises
    ------
    ParameterError
        If the chip has no converters, has copies of more layers than there are, or needs images and has none.
    """
    network, chip = as_ann(network), as_chip(chip)
    check_mapping(seed, die, dtype, solve)
    images = None if images is None else network.checked(images)
    if not chip.neuron.digital:
        raise ParameterError(f"{chip.name}: {chip.neuron.kind} neurons give spikes; an Ann needs a sar-adc")
    if chip.calibration is not None and chip.calibration.threshold_bits:
        raise ParameterError(f"{chip.name}: Calibration.threshold_bits: an Ann has no thresholds; leave it out")
    if inputs not in ("dac", "bit-serial"):
        raise ParameterError(f"inputs = {inputs!r}: give 'dac' or 'bit-serial'")
    if chip.full_scale_needs_images and images is None:
        raise ParameterError(f"{chip.name}: SarAdc.full_scale = 'calibrated' needs images; give some to map_ann")
    check_replication(chip, len(network.spec.layers))
    n_planes = network.spec.activation_bits if inputs == "bit-serial" else 1
    topology = network.spec.topology.replace(t_steps=n_planes)
    pairs = [
        (layer, MappedLayer(_sliced(layer, network.spec.weight_bits), chip, topology, seed, die, k, dtype, solve))
        for k, layer in enumerate(network.integer_layers())
    ]
    mapped = MappedAnn(network, chip, pairs, inputs, seed)
    if chip.full_scale_needs_images and images is not None:
        mapped.fit_full_scale(images)
    return mapped


def _sliced(layer: IntegerLayer, weight_bits: int) -> FoldedLayer:
    """Return a layer of ternary weights with an output for each bit of the magnitudes, the lowest bit's first."""
    weights = layer.weights.astype(np.int64)
    slices = [np.sign(weights) * (np.abs(weights) >> bit & 1) for bit in range(weight_bits - 1)]
    n = len(slices) * layer.spec.out
    return FoldedLayer(
        spec=layer.spec.replace(out=n),
        neuron=NeuronSpec(beta=0, threshold=1),
        in_shape=layer.in_shape,
        out_shape=(n, *layer.out_shape[1:]),
        weights=np.vstack(slices).astype(np.int8),
        threshold=np.ones((1, 1, 1)),
        beta=np.zeros((1, 1, 1)),
        constant=np.zeros(n),
        slices=len(slices),
    )


class MappedAnn(MappedLayers):
    """The layers of a conventional network on their arrays; made by :func:`map_ann`."""

    network: Ann

    def __init__(
        self, network: Ann, chip: Chip, layers: list[tuple[IntegerLayer, MappedLayer]], inputs: Inputs, seed: int
    ) -> None:
        super().__init__(chip, [mapped for _, mapped in layers], seed)
        self.network, self.inputs = network, inputs
        self._integer = [layer for layer, _ in layers]

    @property
    def layout(self) -> str:
        """How weights and inputs are laid out, in words."""
        bits, spec = self.network.spec.weight_bits - 1, self.network.spec
        inputs = (
            f"{spec.activation_bits}-bit DAC inputs, one read"
            if self.inputs == "dac"
            else f"{spec.activation_bits} reads, one for each bit of the inputs"
        )
        return (
            f"{spec.weight_bits}-bit weights as sign and magnitude on {2 * bits} two-state cells, {bits} pairs of "
            f"bitlines; {inputs}; codes shifted and added digitally"
        )

    def checked(self, images: np.ndarray, axes: str | None = None) -> Checked:
        """Return images if the network can take them, see :func:`mapping.bsnn.encode.check_images`."""
        return self.network.checked(images, axes)

    def integers(self, images: np.ndarray, first: int = 0) -> tuple[list[np.ndarray], list[Ledger]]:
        """Return the outputs of every layer as :meth:`mapping.Ann.integers` does, and what each layer cost."""
        x, outputs, costs = self.network.levels(images), [], []
        for k in range(len(self.layers)):
            x, ledger = self._forward(k, x, first)
            outputs.append(x)
            costs.append(ledger)
        return outputs, costs

    def _forward(self, k: int, x: np.ndarray, first: int = 0) -> tuple[np.ndarray, Ledger]:
        """Return the outputs of layer k for inputs (n, ...) in whole numbers, and what that costs."""
        layer, mapped = self._integer[k], self.layers[k]
        serial, driven = self.inputs == "bit-serial", self._driven(k, x)
        current, ledger = read(mapped, driven, not serial, first)
        if serial:  # each plane has paid for its drivers; as an operation an input counts once
            ledger.driven = mapped.reading.driven(driven.max(0))
        sums = current.double().numpy().reshape(*current.shape[:2], -1, layer.spec.out, *layer.out_shape[1:])
        shifts = 2.0 ** np.arange(sums.shape[2])
        planes = 2.0 ** np.arange(len(sums)) if serial else np.array([float(self.network.spec.top_activation)])
        y = np.einsum("p,s,pns...->n...", planes, shifts, sums)
        y = layer.gain[:, None, None] * y + layer.offset[:, None, None]
        if k < len(self.layers) - 1:
            y = np.rint(y).clip(0, self.network.spec.top_activation).astype(np.int64)
            ledger.spikes = ledger.sent = float(np.count_nonzero(y))
        ledger.updates = float(y.size)
        return y, ledger

    def _driven(self, k: int, x: np.ndarray) -> np.ndarray:
        """Return what drives layer k for inputs (n, ...): levels (1, n, ...), or their bits (n_bits, n, ...)."""
        spec, x = self.network.spec, x.reshape(len(x), *self._integer[k].in_shape)
        if self.inputs == "dac":
            return self.chip.driver.quantize(x[None] / spec.top_activation)
        return np.stack([(x >> bit & 1).astype(float) for bit in range(spec.activation_bits)])

    def _reads(self, images: np.ndarray, first: int) -> Iterator[Reads]:
        x = self.network.levels(images)
        for k, layer in enumerate(self._integer):
            yield self._driven(k, x).reshape(-1, *layer.in_shape), self.inputs == "dac", 1
            x, _ = self._forward(k, x, first)

    def fit_full_scale(self, images: np.ndarray) -> None:
        """Set the full scale of each layer's converters, one layer after the other, to the currents of some images."""
        x = self.network.levels(images)
        for k, mapped in enumerate(self.layers):
            mapped.fit_full_scale(self._driven(k, x).reshape(-1, *self._integer[k].in_shape))
            x, _ = self._forward(k, x)

    def evaluate(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        accounting: str | Accounting = "full",
        batch_size: int = 50,
        ideal: np.ndarray | None = None,
        sample: Sample | None = None,
        progress: Callable[[int], None] | None = None,
        axes: str | None = None,
    ) -> Report:
        """Classify images on the chip and account for what that costs.

        Parameters
        ----------
        images : array, (n, h, w) or (n, c, h, w)
        labels : int array, (n,)
        accounting, batch_size, ideal, sample, progress, axes
            As for :meth:`mapping.MappedNetwork.evaluate`. A layer's share of outputs that are not 0 stands as its spike
            rate; each of them is sent as one spike is.

        Returns
        -------
        Report
            Operations count once for each weight and position, whatever the bits; the zeros of depthwise convolutions
            are no weights. Those that inputs cause (``synaptic_operations``) are those of inputs that are not 0.
        """
        counted, images = convention(accounting), self.checked(images, axes)
        n_classes = self.network.spec.n_classes
        labels, sample = check_labels(labels, len(images), n_classes), Sample.checked(sample, len(images))
        if whole_number(batch_size, "batch_size") < 1:
            raise ParameterError(f"{len(images)} images in batches of {batch_size}: at least 1 of each is needed")
        ideal = check_labels(self.network.predict(images) if ideal is None else ideal, len(images), n_classes, "ideal")
        ledgers, classes = [Ledger() for _ in self.layers], []
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            given, costs = self._classify(batch, start)
            for total, cost in zip(ledgers, costs):
                total.add(cost)
            classes.append(given)
            if progress is not None:
                progress(len(batch))
        n_planes = self.layers[0].network.t_steps

        def again() -> np.ndarray:
            starts = range(0, len(images), batch_size)
            return np.concatenate([self._classify(images[start : start + batch_size], start)[0] for start in starts])

        return self._report(
            images,
            np.concatenate(classes) == labels,
            ideal == labels,
            counted,
            sample,
            again,
            labels,
            first_layer=self.layout,
            layers=tuple(
                LayerReport.of(*pair, len(images), counted, updates=1 / n_planes) for pair in zip(self.layers, ledgers)
            ),
            t_steps=n_planes,
            macs_per_step=self.network.spec.macs / n_planes,
            bit_serial=self.inputs == "bit-serial",
            warnings=tuple(doubts(self.layers, ledgers)),
        )

    def _classify(self, images: np.ndarray, first: int) -> tuple[np.ndarray, list[Ledger]]:
        """Return the classes of images, and what each layer cost."""
        outputs, costs = self.integers(images, first)
        return outputs[-1].reshape(len(images), -1).argmax(1), costs
