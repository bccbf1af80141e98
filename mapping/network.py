"""MappedNetwork: a trained network on a chip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch

from mapping.ageing import Ageing, Counts
from mapping.bsnn.encode import Checked, check_images, check_labels, is_analog
from mapping.bsnn.fold import fold
from mapping.bsnn.network import Network
from mapping.chip import Chip
from mapping.cost.accounting import Accounting, convention
from mapping.cost.timing import layer_timing
from mapping.doubts import doubts
from mapping.given import Source, as_chip, as_network, check_mapping
from mapping.inference import Engine, Inference, Inputs, Progress
from mapping.layer import MappedLayer
from mapping.mapped import MappedLayers, Reads, check_replication
from mapping.periphery.ledger import Ledger
from mapping.report import LayerReport, Report
from mapping.sample import Sample
from mapping.tile import Solve
from xbarsim.drift import ROOM_TEMPERATURE
from xbarsim.errors import ParameterError
from xbarsim.ports import reduce
from xbarsim.streams import whole_number
from xbarsim.units import quantity


def map_network(
    network: Network | Source,
    chip: Chip | Source,
    *,
    seed: int = 0,
    die: int = 0,
    dtype: torch.dtype = torch.float32,
    images: np.ndarray | None = None,
    solve: Solve = reduce,
    axes: str | None = None,
) -> MappedNetwork:
    """Place a network on a chip: fold, cut into arrays, program, reduce each array to its exact ports, calibrate.

    Parameters
    ----------
    network : Network, or its name or file
        Trained, with binary weights.
    chip : Chip, or its name or file
    seed : int
        Root seed of everything that is drawn.
    die : int
        Which of the chips of that seed.
    dtype : torch.dtype
        Precision of inference, ``torch.float32`` or ``torch.float64``.
    images : array, optional
        The calibration set of converters with ``full_scale = "calibrated"``.
    solve : callable, optional
        Reduces arrays to their ports; a :class:`mapping.solved.Solved` keeps those of chips that have arrays in common.
    axes : str, optional
        The order of the axes of ``images``, see :meth:`mapping.Network.predict`.

    Returns
    -------
    MappedNetwork
    """
    network, chip = as_network(network), as_chip(chip)
    check_mapping(seed, die, dtype, solve)
    images = None if images is None else check_images(images, network.spec, axes)
    if chip.full_scale_needs_images and images is None:
        raise ParameterError(f"{chip.name}: SarAdc.full_scale = 'calibrated' needs images; give some to map_network")
    folded = fold(network)
    check_replication(chip, len(folded))
    layers = [MappedLayer(layer, chip, network.spec, seed, die, k, dtype, solve) for k, layer in enumerate(folded)]
    mapped = MappedNetwork(network, chip, layers, seed)
    if chip.full_scale_needs_images and images is not None:
        mapped.fit_full_scale(images)
    return mapped


class MappedNetwork(MappedLayers):
    """The layers of a network on their arrays; made by :func:`map_network`."""

    network: Network

    def __init__(self, network: Network, chip: Chip, layers: list[MappedLayer], seed: int) -> None:
        super().__init__(chip, layers, seed)
        self.network, self.inference = network, Inference(network.spec, layers, seed)

    def spikes(self, images: np.ndarray, *, engine: Engine = "auto", axes: str | None = None) -> list[np.ndarray]:
        """Return the spikes of every layer, each (t_steps, n, channels, height, width), 0 or 1."""
        return self.inference.spikes(self.checked(images, axes), engine=engine)

    def checked(self, images: np.ndarray, axes: str | None = None) -> Checked:
        """Return images or spikes if the network can take them, see :func:`mapping.bsnn.encode.check_images`."""
        return check_images(images, self.network.spec, axes)

    def fit_full_scale(self, images: np.ndarray) -> None:
        """Set the full scale of each layer's converters, one layer after the other, to the currents of some images."""
        images = self.checked(images)
        x, analog = self.inference.encoded(images, 0)
        for layer in self.layers:
            layer.fit_full_scale(x.reshape(-1, *layer.layer.in_shape))
            x, analog = layer.forward(x, analog)[0], False

    def _reads(self, images: np.ndarray, first: int) -> Iterator[Reads]:
        x, analog = self.inference.encoded(images, first)
        for k, (layer, sample) in enumerate(zip(self.layers, [x, *self.inference.spikes(images, first)[:-1]])):
            constant = k == 0 and len(sample) == 1 and self.chip.constant_input == "every-step"
            repeats = self.network.t_steps if constant else 1
            yield sample.reshape(-1, *layer.layer.in_shape), analog and k == 0, repeats

    def evaluate(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        accounting: str | Accounting = "full",
        engine: Engine = "auto",
        refresh: float | None = None,
        ageing_by: Literal["step", "batch"] = "step",
        batch_size: int | None = None,
        temperature: float | str = ROOM_TEMPERATURE,
        ideal: np.ndarray | None = None,
        inputs: Inputs | None = None,
        sample: Sample | None = None,
        progress: Progress | None = None,
        axes: str | None = None,
    ) -> Report:
        """Classify images on the chip and account for what that costs; changes nothing on the chip.

        Parameters
        ----------
        images : array, (n, h, w), (n, c, h, w) or spikes (n, t_steps, c, h, w)
        labels : int array, (n,)
        accounting : str or Accounting
            How energy and operations are counted, see ``mapping.cost.CONVENTIONS``.
        engine : {"auto", "events", "tensors"}
            How currents are added up: spike by spike, or as dense tensors; the same but for membranes within rounding
            of a threshold. Unless told, spike by spike if all that the chip is made of can be run so.
        refresh : float, optional
            Let the reads age the arrays while they happen, from the present state on: images of a batch together. An
            array is solved again when one of its conductances has moved by more than this, in units of the LRS; 0 for
            whenever any has. Their cells see the average voltages of the batch in which they were last solved, so that
            what they lose depends a little on ``batch_size``. Afterwards the chip is as it was before. Without it the
            arrays stay as they are, telegraph and 1/f noise included.
        ageing_by : {"step", "batch"}
            Whether that happens after every time step, which only tensors do, or after every batch; cells then see the
            average voltages of the first 10 images of a batch.
        batch_size : int, optional
            Images that age the arrays together; 25 by steps and a quarter of them by batches unless told.
        temperature : float or str
            At which they age [K], see :meth:`age`.
        ideal : int array, (n,), optional
            What the network in software says, if that is known already.
        inputs : dict, optional
            Empty for the first die of a chip, and given to all others with the same images: work that they share.
        sample : Sample, optional
            Which images these are, for the report.
        progress : callable, optional
            Called with the number of images done since its last call.
        axes : str, optional
            The order of the axes of ``images`` if it is another one, see :meth:`mapping.Network.predict`.

        Returns
        -------
        Report
        """
        counted = convention(accounting)
        if ageing_by not in ("step", "batch"):
            raise ParameterError(f"ageing_by = {ageing_by!r}: give 'step' or 'batch'")
        needed: Engine = "tensors" if ageing_by == "step" else "events"
        if refresh is not None and engine not in ("auto", needed):
            raise ParameterError(f"engine = {engine!r}: ageing by {ageing_by} needs {needed!r}; use 'auto'")
        self.inference.by_events(engine if refresh is None else needed)  # refuses what cannot be run
        images, n_classes = self.checked(images, axes), self.network.spec.n_classes
        labels, sample = check_labels(labels, len(images), n_classes), Sample.checked(sample, len(images))
        if batch_size is not None:
            whole_number(batch_size, "batch_size")
        if batch_size is None or (refresh is None and batch_size > 0):
            batch_size = len(images) if refresh is None else 25 if ageing_by == "step" else -(-len(images) // 4)
        if batch_size < 1:
            raise ParameterError(f"{len(images)} images in batches of {batch_size}: at least 1 of each is needed")
        if refresh is not None and quantity(refresh, "", "refresh") < 0:
            raise ParameterError(f"refresh = {refresh:g}: give a tolerance from 0, in units of the LRS")
        if refresh is not None:
            self._check_reads_age()
        temperature = quantity(temperature, "K", "temperature")
        if temperature <= 0:
            raise ParameterError(f"temperature = {temperature:g} K: give one above 0 K")
        if refresh is not None:
            self.chip.device.check_temperature(temperature, time=True, reads=True)
        if ideal is None:
            ideal = self.network.predict(images, seed=self.seed)
        ideal = check_labels(ideal, len(images), n_classes, "ideal")
        step_time = max(layer_timing(self.chip, layer.inventory, self.network.t_steps).busy for layer in self.layers)
        ageing = None if refresh is None else Ageing(refresh, temperature, step_time, ageing_by)
        truncated, classes, ledgers = self._truncated, [], [Ledger() for _ in self.layers]
        kept = self._keep() if ageing else None
        try:
            for start in range(0, len(images), batch_size):
                batch = images[start : start + batch_size]
                if ageing is None or ageing.by == "step":
                    given, costs = self.inference.classify(
                        batch, start, engine=engine, ageing=ageing, inputs=inputs, progress=progress
                    )
                else:
                    given, costs = self._classify_and_age(batch, start, ageing, progress)
                for ledger, cost in zip(ledgers, costs):
                    ledger.add(cost)
                classes.append(given)
            truncated, warned = max(truncated, self._truncated), tuple(doubts(self.layers, ledgers))
        finally:
            if kept:
                self._restore(kept)
        analog = is_analog(images, self.network.spec)
        once = analog and self.chip.constant_input == "once"
        rows = tuple(
            LayerReport.of(layer, ledger, len(images), counted, held=once and layer.number == 0)
            for layer, ledger in zip(self.layers, ledgers)
        )
        return self._report(
            images,
            np.concatenate(classes) == labels,
            ideal == labels,
            counted,
            sample,
            None if ageing else lambda: self.inference.classify(images, engine=engine)[0],
            labels,
            first_layer=f"constant, read {self.chip.constant_input}" if analog else "spikes",
            layers=rows,
            t_steps=self.network.t_steps,
            macs_per_step=self.network.spec.macs_per_step,
            refresh_tolerance=refresh,
            refreshes=float(ageing.refreshes if ageing else 0),
            truncated_cells=float(truncated),
            warnings=warned,
        )

    def _classify_and_age(
        self, images: np.ndarray, first: int, ageing: Ageing, progress: Progress | None
    ) -> tuple[np.ndarray, list[Ledger]]:
        """Classify a batch by events, then let its reads age the arrays."""
        counts: list[Counts] = []
        result = self.inference.classify(images, first, engine="events", counted=counts, progress=progress)
        rows = [(layer, row) for layer in self.layers for row in layer.row_tiles]
        if any(tile not in ageing.voltages for tile in self._tiles):
            activities = (part for of_layer in self._activities(images[:10]) for part in of_layer)
            ageing.see(zip((row for _, row in rows), activities))
        before = ageing.refreshes
        seen = ((row, counts[layer.number].of(row.rows)) for layer, row in rows)
        ageing.wear(seen, len(images) * ageing.step_time * self.network.t_steps)
        if ageing.refreshes > before:
            for layer in self.layers:
                layer.assemble()
        return result
