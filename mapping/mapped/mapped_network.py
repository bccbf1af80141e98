"""Networks on a chip: placed, run, and accounted for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from mapping.chip.activity import Counts
from mapping.chip.ageing import Ageing
from mapping.chip.array import Solve
from mapping.chip.chip import Chip
from mapping.chip.layer import MappedLayer
from mapping.chip.periphery.ledger import Ledger
from mapping.cost.accounting import Accounting, convention
from mapping.cost.checks import checks
from mapping.cost.provenance import Run
from mapping.cost.report import LayerReport, Report
from mapping.cost.timing import layer_timing
from mapping.engines.base import Shared
from mapping.engines.codecs import Coding, codec_of
from mapping.engines.currents import Drive
from mapping.engines.dense_engine import run_component
from mapping.engines.evaluation import Evaluation
from mapping.engines.executor import EngineName, Progress
from mapping.inputs.sample import Sample
from mapping.lower.plan import lower, to_cells
from mapping.lower.stages import INPUT
from mapping.mapped.given import Source, as_ann, as_chip, as_network, check_mapping
from mapping.mapped.mapped_layers import MappedLayers, check_replication
from mapping.networks.ann import Ann
from mapping.networks.encode import check_images, check_labels
from mapping.networks.network import Network
from mapping.networks.told import columns
from xbarsim.drift import ROOM_TEMPERATURE
from xbarsim.errors import ParameterError
from xbarsim.ports import reduce


def map_network(
    network: Network | Ann | Source,
    chip: Chip | Source,
    *,
    inputs: Coding | None = None,
    seed: int = 0,
    die: int = 0,
    dtype: torch.dtype = torch.float32,
    images: np.ndarray | None = None,
    solve: Solve = reduce,
    axes: str | None = None,
) -> MappedNetwork:
    """Place a network on a chip: fold, cut into arrays, program, reduce each array to its exact ports, calibrate.

    In an Ann, a weight of n bits, sign and magnitude, takes n - 1 pairs of bitlines, one for each bit of its magnitude;
    codes of all its bitlines are shifted, added and subtracted digitally. Inputs are levels of a DAC, or their bits are
    read one after the other, and shifted and added too.

    A convolution in groups, or a depthwise one, takes the arrays of a plain one: the weights for channels that an
    output does not read are pairs of cells in the HRS. They count as cells in use (``utilization``) and as operations
    that inputs cause (``synaptic_operations``), but not as operations of the network (TOPS/W). A kernel has a wordline
    for each tap of a channel, whatever its shape and dilation; pixels that a padding mode repeats drive each of theirs.

    Parameters
    ----------
    network : Network, or its name or file; or Ann
        Trained; a spiking one with binary or ternary weights.
    chip : Chip, or its name or file
        For an Ann with a SarAdc and differential weights.
    inputs : {"dac", "bit-serial"}, optional
        Of an Ann; the former unless given.
    seed : int
        Root seed of everything that is drawn.
    die : int
        Which of the chips of that seed.
    dtype : torch.dtype
        Precision of inference, ``torch.float32`` or ``torch.float64``.
    images : array, optional
        The calibration set of converters with ``full_scale = "calibrated"``.
    solve : callable, optional
        Reduces arrays to ports; a :class:`xbarsim.port_cache.PortCache` keeps those that chips have in common.
    axes : str, optional
        The order of the axes of ``images``, see :meth:`mapping.Network.predict`.

    Returns
    -------
    MappedNetwork

    Raises
    ------
    ParameterError
        If the chip cannot run the network, has copies of more layers than there are, or needs images and has none.
    """
    given = network if isinstance(network, Ann) else as_network(network)
    chip = as_chip(chip)
    check_mapping(seed, die, dtype, solve)
    images = None if images is None else check_images(images, given.spec, axes, spiking=isinstance(given, Network))
    if chip.full_scale_needs_images and images is None:
        raise ParameterError(f"{chip.name}: SarAdc.full_scale = 'calibrated' needs images; give some")
    stages = lower(given.graph(), to_cells(chip.cell_levels))
    codec = codec_of(given, chip, seed, inputs, [stage.activation for stage in stages])
    check_replication(chip, len(stages))
    read = {rows.source for stage in stages for rows in stage.rows}
    layers = [
        MappedLayer(stage, chip, codec.planes, k not in read, seed, die, k, dtype, solve)
        for k, stage in enumerate(stages)
    ]
    mapped = MappedNetwork(codec, chip, layers, seed)
    if chip.full_scale_needs_images and images is not None:
        mapped.fit_full_scale(images)
    return mapped


def map_ann(
    network: Ann | Source,
    chip: Chip | Source,
    *,
    inputs: Coding = "dac",
    seed: int = 0,
    die: int = 0,
    dtype: torch.dtype = torch.float32,
    images: np.ndarray | None = None,
    solve: Solve = reduce,
) -> MappedNetwork:
    """Place a conventional network, an Ann, its name or its file, on a chip: see :func:`mapping.map_network`."""
    ann = as_ann(network)
    return map_network(ann, chip, inputs=inputs, seed=seed, die=die, dtype=dtype, images=images, solve=solve)


class MappedNetwork(MappedLayers):
    """A network, spiking or conventional, on the arrays of a chip; made by :func:`map_network` and :func:`map_ann`."""

    def __repr__(self) -> str:
        rows = [["layer", "arrays", "cells used", "weights kept", "lost to wires", "neurons"]]
        for layer in self.layers:
            tiles = " + ".join(f"{len(part.row_tiles)} x {len(part.row_tiles[0].tiles)}" for part in layer.wordlines)
            copies = self.chip.copies(layer.number)
            neurons = " x ".join(str(n) for n in layer.layer.neurons if n > 1) or "1"
            shares = (f"{share:.1%}" for share in (layer.utilization, layer.weights_kept, layer.ir_drop))
            rows.append([layer.layer.name, tiles + (f", {copies} times" if copies > 1 else ""), *shares, neurons])
        arrays = sum(layer.n_tiles * self.chip.copies(layer.number) for layer in self.layers)
        what = f"{self.network.name or type(self.network).__name__} on {self.chip.name}"
        drawn = f"seed {self.seed}, die {self.layers[0].die}"
        head = f"{what}: {arrays} arrays of {self.chip.rows} x {self.chip.cols}; {drawn}"
        return "\n".join([f"{head}; {'; '.join(self._history) or 'fresh'}", *columns(rows)])

    def spikes(self, images: np.ndarray, *, engine: EngineName = "auto", axes: str | None = None) -> list[np.ndarray]:
        """Return the spikes of every layer, each (t_steps, n, channels, height, width), 0 or 1."""
        return self.inference.outputs(self.checked(images, axes), engine=engine)

    def integers(self, images: np.ndarray, axes: str | None = None) -> list[np.ndarray]:
        """Return the outputs of every layer of a conventional network, as :meth:`mapping.Ann.integers` does."""
        return [outputs[0] for outputs in self.inference.outputs(self.checked(images, axes))]

    def fit_full_scale(self, images: np.ndarray) -> None:
        """Set the full scale of each layer's converters, one layer after the other, to the currents of some images.

        Layers in a loop take those that they have at the full scale of before.
        """
        given = {INPUT: self.codec.encoded(self.checked(images), 0)}
        for component in self.inference.order:
            ahead = given
            if component.loops:
                found = run_component(self.layers, component, given)
                ahead = given | {k: self.codec.passed_on(one.outputs) for k, one in found.items()}
            for layer in (self.layers[k] for k in component.layers):
                drives = (Drive.of(layer, part, *ahead[part.rows.source]) for part in layer.wordlines)
                layer.fit_full_scale([drive.x.reshape(-1, *drive.x.shape[2:]) for drive in drives])
            for k, one in run_component(self.layers, component, given).items():
                if not self.layers[k].neurons.last:
                    given[k] = self.codec.passed_on(one.outputs)

    def evaluate(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        accounting: str | Accounting = "full",
        engine: EngineName = "auto",
        refresh: float | None = None,
        ageing_by: Literal["step", "batch"] = "step",
        batch_size: int | None = None,
        temperature: float | str = ROOM_TEMPERATURE,
        ideal: np.ndarray | None = None,
        inputs: Shared | None = None,
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
        engine : {"auto", "events", "dense"}
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
        how = Evaluation(
            accounting=convention(accounting),
            engine=engine,
            refresh=refresh,
            ageing_by=ageing_by,
            batch_size=batch_size,
            temperature=temperature,
        )
        self.inference.engine(how.needed)  # refuses what cannot be run
        images, n_classes = self.checked(images, axes), self.network.spec.n_classes
        labels, sample = check_labels(labels, len(images), n_classes), Sample.checked(sample, len(images))
        if how.refresh is not None:
            self._check_reads_age()
            self.chip.device.check_temperature(how.temperature, time=True, reads=True)
        ideal = check_labels(self.codec.ideal(images) if ideal is None else ideal, len(images), n_classes, "ideal")
        t_steps = self.codec.t_steps
        step_time = max(layer_timing(self.chip, layer.inventory, t_steps).busy for layer in self.layers)
        ageing = None
        if how.refresh is not None:
            ageing = Ageing(how.refresh, how.temperature, step_time, how.ageing_by)
        truncated, classes, ledgers = self._truncated, [], [Ledger() for _ in self.layers]
        size = how.batch(len(images))
        kept = self._keep() if ageing else None
        try:
            for start in range(0, len(images), size):
                batch = images[start : start + size]
                if ageing is None or ageing.by == "step":
                    given, costs = self.inference.classify(
                        batch, start, engine=engine, ageing=ageing, inputs=inputs, progress=progress
                    )
                else:
                    given, costs = self._classify_and_age(batch, start, ageing, progress)
                for ledger, cost in zip(ledgers, costs):
                    ledger.add(cost)
                classes.append(given)
            truncated, warned = max(truncated, self._truncated), tuple(checks(self.layers, ledgers))
        finally:
            if kept:
                self._restore(kept)
        counted, updates = how.accounting, 1 / t_steps if self.codec.serial else 1.0
        rows = tuple(
            LayerReport.of(
                layer,
                ledger,
                len(images),
                counted,
                held=self.codec.held(images) and all(rows.source == INPUT for rows in layer.layer.rows),
                updates=updates,
            )
            for layer, ledger in zip(self.layers, ledgers)
        )
        correct = np.concatenate(classes) == labels
        report = self._report(images, labels, correct, ideal == labels, counted, sample, rows)
        report = replace(
            report,
            refresh_tolerance=how.refresh,
            refreshes=float(ageing.refreshes if ageing else 0),
            truncated_cells=float(truncated),
            warnings=warned,
        ).with_calibration(self.layers, counted)
        if self.chip.calibration is None or ageing:
            return report
        without = self._uncalibrated(lambda: self.inference.classify(images, engine=engine)[0]) == labels
        return replace(report, accuracy_uncalibrated=float(np.mean(without)), correct_uncalibrated=without[None])

    def _classify_and_age(
        self, images: np.ndarray, first: int, ageing: Ageing, progress: Progress | None
    ) -> tuple[np.ndarray, list[Ledger]]:
        """Classify a batch by events, then let its reads age the arrays."""
        counts: list[Counts] = []
        result = self.inference.classify(images, first, engine="events", counted=counts, progress=progress)
        rows = [(k, row) for k, (_, part) in enumerate(self.inference.wordlines) for row in part.row_tiles]
        if any(tile not in ageing.voltages for tile in self._tiles):
            activities = (of_row for of_part in self._activities(images[:10]) for of_row in of_part)
            ageing.see(zip((row for _, row in rows), activities))
        before = ageing.refreshes
        seen = ((row, counts[k].of(row.rows)) for k, row in rows)
        ageing.wear(seen, len(images) * ageing.step_time * self.codec.t_steps)
        if ageing.refreshes > before:
            for layer in self.layers:
                layer.assemble()
        return result

    def _report(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        correct: np.ndarray,
        ideal_correct: np.ndarray,
        counted: Accounting,
        sample: Sample | None,
        rows: tuple[LayerReport, ...],
    ) -> Report:
        """Return the report of what images showed, and of what the arrays have become."""
        faults = [tile.die.faults for tile in self._tiles]
        return Report(
            run=Run.of(self.network, self.chip, images, labels, seed=self.seed, die=self.layers[0].die, sample=sample),
            chip=self.chip.name,
            accounting=str(counted),
            n_images=len(images),
            seed=self.seed,
            first_layer=self.codec.told(images),
            accuracy=float(np.mean(correct)),
            ideal_accuracy=float(np.mean(ideal_correct)),
            layers=rows,
            t_steps=self.codec.t_steps,
            macs_per_step=self.codec.macs_per_step,
            past="; ".join(self._history) or "fresh",
            faulty_cells=float(sum(np.count_nonzero(cells) for cells in faults if cells is not None)),
            faulty_lines=float(sum(tile.die.faulty_lines for tile in self._tiles)),
            noise_beyond_range=float(np.mean([tile.beyond_range for tile in self._tiles])),
            pulses_per_cell=float(np.mean([tile.die.pulses.mean() for tile in self._tiles])),
            operations_per_mac=counted.operations_per_mac,
            pipelined=self.chip.pipelined,
            bit_serial=self.codec.serial,
            correct=correct[None],
            ideal_correct=ideal_correct,
            loops=tuple(tuple(component.layers) for component in self.inference.order if component.loops),
        )

    def _uncalibrated(self, classify: Callable[[], np.ndarray]) -> np.ndarray:
        """Return what is classified with all codes taken out."""
        codes = [layer.codes for layer in self.layers]
        try:
            for layer in self.layers:
                layer.apply(layer.no_codes)
            return classify()
        finally:
            for layer, code in zip(self.layers, codes):
                layer.apply(code)
