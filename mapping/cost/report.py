"""Report: what a chip does with a set of images, per layer and in total; as table, JSON and data frame."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from io import StringIO
from math import prod
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from mapping.chip.chip import MODULES
from mapping.chip.periphery.ledger import Ledger
from mapping.cost.accounting import Accounting
from mapping.cost.checks import once
from mapping.cost.definitions import DEFINITIONS
from mapping.cost.pricing import areas, energies
from mapping.cost.provenance import Run
from mapping.cost.tables import render
from mapping.cost.timing import LayerTiming, layer_timing
from xbarsim.errors import ParameterError, of_kind
from xbarsim.intervals import Difference, Interval, accuracy_interval, difference
from xbarsim.outputs import console, write_text

if TYPE_CHECKING:
    import pandas as pd

    from mapping.chip.layer import MappedLayer


_TIMES = tuple(field.name for field in fields(LayerTiming))


@dataclass(frozen=True)
class LayerReport:
    """One layer on the chip.

    Attributes
    ----------
    n_tiles, copies : int
        Different arrays in use, and how many copies of each there are.
    utilization : float
        Used cells over all cells of those arrays.
    spikes, spike_rate : float
        Output spikes per inference, and per neuron and time step; of conventional networks outputs that are not 0, and
        their share.
    weights_kept : float
        Share of the weights that the cells hold, after variation, faults and drift: the projection of what they hold on
        what they should.
    ir_drop : float
        Share of these that the wires take away, before calibration, with open or gated wordlines of one active alone;
        no number (None in JSON) if next to nothing is held on any die.
    conversions, clipped : float
        ADC conversions per inference as simulated (a constant first layer once), and those beyond full scale.
    limited : float
        Share of bitline currents beyond the limiter's.
    collided : float
        Share of its spikes that collide on a link with another one of their position and time step.
    synaptic_operations : float
        Operations for each weight that an input spike, or another input that is not 0, meets; per inference.
    energies : dict
        Of an inference [J], by module; 0 for what the accounting leaves out.
    times : LayerTiming
        Of a time step [s].
    areas : dict
        By module [m^2]; None where the chip gives none.
    """

    name: str
    n_tiles: int
    copies: int
    utilization: float
    spikes: float
    spike_rate: float
    weights_kept: float
    ir_drop: float
    conversions: float
    clipped: float
    limited: float
    collided: float
    synaptic_operations: float
    energies: dict[str, float]
    times: LayerTiming
    areas: dict[str, float | None]

    @classmethod
    def of(
        cls,
        layer: MappedLayer,
        ledger: Ledger,
        n_images: int,
        accounting: Accounting,
        *,
        held: bool = False,
        updates: float = 1.0,
    ) -> LayerReport:
        """Build the row of ``layer`` from what ``n_images`` images cost; calibration is not charged yet.

        ``held`` and ``updates`` are those of :func:`mapping.timing.layer_timing`.
        """
        spec, chip, t_steps = layer.layer.spec, layer.chip, layer.t_steps
        n_out = layer.layer.neurons[0]
        inventory, sent = layer.inventory, ledger.spikes / n_images / t_steps
        return cls(
            name=f"{spec.kind} {'+'.join(str(rows.in_shape[0]) for rows in layer.layer.rows)}-{n_out}",
            n_tiles=layer.n_tiles,
            copies=chip.copies(layer.number),
            utilization=layer.utilization,
            spikes=ledger.spikes / n_images,
            spike_rate=ledger.spikes / (n_images * t_steps * updates * n_out * prod(layer.layer.out_shape[1:])),
            weights_kept=layer.weights_kept,
            ir_drop=layer.ir_drop,
            conversions=ledger.simulated / n_images,
            clipped=ledger.clipped / n_images,
            limited=ledger.limited / ledger.passed if ledger.passed else 0.0,
            collided=ledger.collided / ledger.spikes if ledger.spikes else 0.0,
            synaptic_operations=accounting.operations_per_mac * ledger.driven * n_out / n_images,
            energies={name: energy / n_images for name, energy in energies(chip, ledger, accounting).items()},
            times=layer_timing(chip, inventory, t_steps, sent, held=held, updates=updates),
            areas=areas(chip, inventory),
        )

    def __getattr__(self, name: str) -> Any:
        """Find what had names of its own before energies, times and areas were nested."""
        kind, _, part = name.rpartition("_")
        place = {"": "energies", "time": "times", "area": "areas"}.get(kind)
        if place is None or part not in (*MODULES, *_TIMES):
            raise AttributeError(f"LayerReport has no attribute {name!r}")
        found = getattr(self, place)
        new = f"times.{part}" if place == "times" else f"{place}[{part!r}]"
        warnings.warn(f"LayerReport.{name} is deprecated; use {new}", DeprecationWarning, stacklevel=2)
        return getattr(found, part) if place == "times" else found[part]

    @property
    def energy(self) -> float:
        """Energy per inference [J]."""
        return sum(self.energies.values())

    @property
    def area(self) -> float | None:
        """Area [m^2]; None if that of a module is not known."""
        parts = [part for part in self.areas.values() if part is not None]
        return sum(parts) if len(parts) == len(self.areas) else None

    @property
    def time_busy(self) -> float:
        """Time of its arrays and neurons for a time step [s]."""
        return self.times.busy

    @property
    def time_step(self) -> float:
        """Time until it can take the next time step [s]."""
        return max(self.times.busy, self.times.link)

    def to_dict(self, flat: bool = False) -> dict[str, Any]:
        """Return all numbers, with totals; energies, times and areas nested, or flat: ``array``, ``time_read``, ..."""
        whole = asdict(self) | {name: getattr(self, name) for name in ("energy", "area", "time_busy", "time_step")}
        if flat:
            for kind, prefix in (("energies", ""), ("times", "time_"), ("areas", "area_")):
                whole |= {f"{prefix}{name}": value for name, value in whole.pop(kind).items()}
        return {name: plain(value) for name, value in whole.items()}


def plain(value: Any) -> Any:
    """Return values without those that are no numbers, which JSON does not know."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return None if value != value else value


def averaged(a: Any, b: Any, n: int) -> Any:
    """Return the mean of ``n`` values, whose mean is ``a``, and one more; what is no float stays as it is in ``a``."""
    if isinstance(a, float):
        return a + (b - a) / (n + 1)
    if isinstance(a, dict):
        return {name: averaged(value, b[name], n) for name, value in a.items()}
    if is_dataclass(a) and not isinstance(a, type):
        return replace(a, **averaged(vars(a), vars(b), n))
    return a


@dataclass(frozen=True)
class Report:
    """Accuracy and cost of one network on one chip; quantities are defined in ``mapping.cost.definitions``.

    Attributes
    ----------
    run : Run
        What was run.
    accuracy, ideal_accuracy : float
        Share of images classified correctly by the chip, and by the network in software.
    layers : tuple of LayerReport
    accounting : str
        The convention under which energy and operations are counted.
    first_layer : str
        How the input of the first layer is read.
    past : str
        What the arrays have been through since they were programmed.
    refresh_tolerance, refreshes : float
        Tolerance at which arrays were solved again while reads aged them, and how often that happened, all arrays of a
        die together; None if reads did not age them.
    truncated_cells, faulty_cells, faulty_lines : float
        Of all arrays in use: cells whose conductance was cut to the device's physical range; stuck, open and shorted
        cells; broken lines and bridges.
    noise_beyond_range : float
        Share of the noisy reads of cells that would leave the physical range; output noise to first order has them in.
    pulses_per_cell : float
        Write pulses.
    operations_per_mac : int
    pipelined : bool
        Whether layers work on different time steps, or images of a conventional network, at the same time.
    bit_serial : bool
        Whether the time steps are bits of the same inputs: a layer has no output before it has read all of them.
    accuracy_uncalibrated : float, optional
        Without the codes of the chip's calibration.
    warnings : tuple of str
        What makes the results questionable.
    accuracies : tuple of float
        Of each die, where this is the average of several.
    correct, correct_uncalibrated : bool array, (n_dies, n_images)
        Which images each die classified correctly, with and, if it is calibrated, without its codes.
    ideal_correct : bool array, (n_images,)
        Which ones software did.
    loops : tuple of tuples of int
        Layers, from 0, that wait for each other's spikes of the step before.
    """

    run: Run
    chip: str
    accounting: str
    n_images: int
    seed: int
    first_layer: str
    accuracy: float
    ideal_accuracy: float
    layers: tuple[LayerReport, ...]
    t_steps: int
    macs_per_step: float
    past: str = "fresh"
    refresh_tolerance: float | None = None
    refreshes: float = 0.0
    truncated_cells: float = 0.0
    faulty_cells: float = 0.0
    faulty_lines: float = 0.0
    noise_beyond_range: float = 0.0
    pulses_per_cell: float = 1.0
    operations_per_mac: int = 2
    pipelined: bool = True
    bit_serial: bool = False
    accuracy_uncalibrated: float | None = None
    warnings: tuple[str, ...] = ()
    accuracies: tuple[float, ...] = ()
    correct: np.ndarray = field(default_factory=lambda: np.empty((0, 0), bool), compare=False, repr=False)
    ideal_correct: np.ndarray = field(default_factory=lambda: np.empty(0, bool), compare=False, repr=False)
    correct_uncalibrated: np.ndarray | None = field(default=None, compare=False, repr=False)
    loops: tuple[tuple[int, ...], ...] = field(default=(), repr=False)

    def and_die(self, other: Report) -> Report:
        """Return the average over dies with one more die, every accuracy kept.

        Raises
        ------
        ParameterError
            If it is not another single die of the same run.
        """
        n, alike = self.n_dies, (replace(run, dies=(), date="") for run in (self.run, other.run))
        if len({*alike}) > 1 or other.n_dies > 1 or {*other.run.dies} & {*self.run.dies}:
            raise ParameterError(f"{other.run}: is not another die of the run of {self.run}")

        accuracies = (*(self.accuracies or (self.accuracy,)), other.accuracy)
        hits: dict[str, Any] = {"correct": np.concatenate([self.correct, other.correct])}
        if self.correct_uncalibrated is not None and other.correct_uncalibrated is not None:
            hits["correct_uncalibrated"] = np.concatenate([self.correct_uncalibrated, other.correct_uncalibrated])
        mean: Report = averaged(self, other, n)
        return replace(
            mean,
            run=self.run.and_dies(other.run),
            layers=tuple(averaged(a, b, n) for a, b in zip(self.layers, other.layers)),
            accuracies=accuracies,
            warnings=once(self.warnings + other.warnings),
            **hits,
        )

    def with_calibration(self, layers: Sequence[MappedLayer], accounting: Accounting) -> Report:
        """Return the report with the energy of scheduled calibrations per inference, at its throughput."""
        calibration = layers[0].chip.calibration
        if calibration is None or not accounting.counts("calibration"):
            return self
        energies = (calibration.power(layer.inventory.codes) / self.throughput for layer in layers)
        rows = (
            replace(row, energies=row.energies | {"calibration": energy}) for row, energy in zip(self.layers, energies)
        )
        return replace(self, layers=tuple(rows))

    @property
    def n_dies(self) -> int:
        """Dies that this is the average of."""
        return max(1, len(self.accuracies))

    @property
    def accuracy_spread(self) -> float:
        """Standard deviation of the accuracy from die to die; 0 for one die."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0

    @property
    def accuracy_interval(self) -> Interval:
        """95 % interval of the accuracy: Wilson's over images; over several dies by bootstrap of dies and images."""
        return accuracy_interval(self.correct)

    @property
    def ideal_accuracy_interval(self) -> Interval:
        """95 % interval of the accuracy in software: Wilson's over images."""
        return accuracy_interval(self.ideal_correct[None])

    @property
    def accuracy_uncalibrated_interval(self) -> Interval | None:
        """95 % interval of the accuracy without codes, where there are any."""
        return None if self.correct_uncalibrated is None else accuracy_interval(self.correct_uncalibrated)

    def difference(self, other: Report) -> Difference:
        """Return by how much the accuracy is higher than that of another chip or network on the same images.

        Raises
        ------
        ParameterError
            If that was evaluated on other images.
        """
        of_kind(Report, other, "other", "a Report")
        if self.run.data_hash != other.run.data_hash:
            raise ParameterError(
                f"{self.chip} and {other.chip} classified other images, or by other labels ({self.run.images}; "
                f"{other.run.images}); evaluate both on the same ones"
            )
        return difference(other.correct, self.correct)

    @property
    def energy_per_inference(self) -> float:
        """Energy of classifying one image [J]."""
        return sum(layer.energy for layer in self.layers)

    @property
    def tops_per_watt(self) -> float:
        """Dense operations of all time steps over energy [10^12 operations per joule]."""
        return _ratio(self.operations_per_mac * self.macs_per_step * self.t_steps, self.energy_per_inference) * 1e-12

    @property
    def synaptic_tops_per_watt(self) -> float:
        """Only operations that a spike or a non-zero input caused, over energy [10^12 operations per joule]."""
        return _ratio(sum(layer.synaptic_operations for layer in self.layers), self.energy_per_inference) * 1e-12

    @property
    def adc_power_share(self) -> float:
        """Share of all data conversion, ADCs or sense amplifiers, in the energy."""
        return _ratio(self.energy_by_module()["conversion"], self.energy_per_inference)

    @property
    def step_time(self) -> float:
        """Time from one time step to the next [s]: of the slowest layer, or of all of them without pipelining.

        Layers of a loop take theirs one after the other.
        """
        times = [layer.time_step for layer in self.layers]
        loops = [sum(times[k] for k in loop) for loop in self.loops]
        return max(*times, *loops) if self.pipelined and len(times) + len(loops) > 1 else sum(times)

    @property
    def latency(self) -> float:
        """Time from an image to its class [s].

        Every layer takes max(time_first, time_link) until its first outputs have been sent on. With T time steps, the
        others follow one step_time after the other: latency = sum_layers max(time_first, time_link) + (T - 1)
        step_time. With T bits of each input, a layer's outputs exist after all of them, and the next layer cannot begin
        before: latency = T sum_layers max(time_first, time_link).
        """
        first = sum(max(layer.times.first, layer.times.link) for layer in self.layers)
        return self.t_steps * first if self.bit_serial else first + (self.t_steps - 1) * self.step_time

    @property
    def throughput(self) -> float:
        """Images per second, one after the other without a gap: 1 / (t_steps step_time)."""
        return 1 / (self.t_steps * self.step_time)

    @property
    def power(self) -> float:
        """Average power at that throughput [W]."""
        return self.energy_per_inference * self.throughput

    @property
    def stall_fraction(self) -> tuple[float, ...]:
        """Share of the time in which the arrays and neurons of each layer stall."""
        return tuple(1 - layer.time_busy / self.step_time for layer in self.layers)

    @property
    def area(self) -> float | None:
        """Area of all layers [m^2]; None if that of a module is not known."""
        parts = [layer.area for layer in self.layers]
        return sum(part for part in parts if part is not None) if None not in parts else None

    def energy_by_module(self) -> dict[str, float]:
        """Return the energy per inference [J] of each module."""
        return {name: sum(layer.energies[name] for layer in self.layers) for name in self.layers[0].energies}

    def area_by_module(self) -> dict[str, float | None]:
        """Return the area [m^2] of each module; None where it is not known."""
        parts = {name: [layer.areas[name] for layer in self.layers] for name in self.layers[0].areas}
        return {
            name: None if None in values else sum(v for v in values if v is not None) for name, values in parts.items()
        }

    @property
    def adc_area_share(self) -> float | None:
        """Share of all data conversion in the area."""
        converters = self.area_by_module()["conversion"]
        return None if self.area is None or converters is None else _ratio(converters, self.area)

    @property
    def utilization(self) -> float:
        """Used cells over all cells of the arrays in use."""
        return sum(layer.utilization * layer.n_tiles for layer in self.layers) / sum(x.n_tiles for x in self.layers)

    @property
    def spike_rate(self) -> tuple[float, ...]:
        """Output spikes per neuron and time step, for each layer."""
        return tuple(layer.spike_rate for layer in self.layers)

    @property
    def spikes_per_inference(self) -> float:
        """Output spikes of all layers; of conventional networks, outputs that are not 0."""
        return sum(layer.spikes for layer in self.layers)

    @property
    def fraction_clipped(self) -> float:
        """Share of ADC conversions beyond full scale; 0 without ADCs."""
        conversions = sum(layer.conversions for layer in self.layers)
        return sum(layer.clipped for layer in self.layers) / conversions if conversions else 0.0

    def to_dict(self, flat: bool = False) -> dict[str, Any]:
        """Return all attributes as plain values; of layers nested or, as in earlier versions, flat."""
        names = [field.name for field in fields(self) if field.repr and field.name != "layers"]
        values = {name: plain(getattr(self, name)) for name in (*names, *_DERIVED)}
        rows = [layer.to_dict(flat) for layer in self.layers]
        return values | {"run": self.run.to_dict(), "layers": rows, "definitions": "mapping.cost.definitions"}

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the report as JSON; with ``path``, also write it there."""
        text = json.dumps(self.to_dict(), indent=2)
        if path is not None:
            write_text(path, text)
        return text

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per layer; what was run, and definitions of columns, stand in its ``attrs``."""
        import pandas as pd

        frame = pd.DataFrame([layer.to_dict(flat=True) for layer in self.layers]).assign(chip=self.chip)
        known = {name: str(text) for name, text in DEFINITIONS.items() if name in frame}
        frame.attrs = {"run": self.run.to_dict(), "accounting": self.accounting, "definitions": known}
        return frame

    def __str__(self) -> str:
        terminal = console(file=StringIO(), width=100)
        with terminal.capture() as capture:
            terminal.print(render([self]))
        return capture.get()


_DERIVED = tuple(name for name, value in vars(Report).items() if isinstance(value, property) and name != "step_time")


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
