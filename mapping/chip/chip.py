"""Chip: the hardware that a network is mapped onto, from TOML or Python."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

import numpy as np
from pydantic import Field, model_validator

from mapping.chip.periphery.calibration import Calibration
from mapping.chip.periphery.current_limit import CurrentLimit
from mapping.chip.periphery.driver import Driver
from mapping.chip.periphery.link import Link
from mapping.chip.periphery.logic import Logic
from mapping.chip.periphery.neuron_circuit import ChargeNeuron, DigitalNeuron, PassiveNeuron
from mapping.chip.periphery.part import Part
from mapping.chip.periphery.sar_adc import SarAdc
from mapping.chip.periphery.sense_amp import SenseAmp
from mapping.inputs.resources import file_of, shipped
from mapping.lower.fill_range import CellLevels
from xbarsim.cells import Ohmic
from xbarsim.device import Device
from xbarsim.parameters import Parameters
from xbarsim.units import Area, CapacitanceOrZero
from xbarsim.wires import Wires


class Chip(Parameters):
    """Arrays of one size, their device and wires, and what reads them.

    Attributes
    ----------
    name, description : str
        What reports call it, and where its numbers come from.
    rows, cols : int
        Wordlines and bitlines of one array.
    device : Device
    cell : Ohmic
    wires : Wires
    inactive : {"ground", "open", "gated"}
        Silent wordlines are held at 0 V, float, or have their cells cut off by ideal switches, one for each cell.
    weights : {"differential", "reference"}
        A weight is a pair of bitlines, or one bitline against the mean of an all-LRS and an all-HRS bitline of the
        same array.
    bits_per_cell : int, optional
        Of the magnitudes of weights, which several cells hold where they have more; unless given cells are used at all
        the levels that their device has.
    readout : SarAdc or SenseAmp
    merge : {"charge", "charge-sharing", "digital", "majority"}, optional
        How the row tiles of one output become one decision: their currents add on one membrane; their charges are
        shared, which divides the signal by their number, but not the comparator's offset and noise; conversions are
        added digitally; or, wrongly, each row tile decides by itself, with an equal part of threshold and constant, and
        the majority counts. The default is "digital" with a SarAdc, otherwise "charge".
    limiter : CurrentLimit, optional
        What each bitline passes at most; one far above any current changes nothing.
    driver : Driver
    neuron : ChargeNeuron or PassiveNeuron (with SenseAmp), or DigitalNeuron (with SarAdc)
    link : Link, optional
        What carries spikes from layer to layer; without it they cost neither energy nor time.
    calibration : Calibration, optional
        Codes for gains, offsets and thresholds.
    logic : Logic
        What ORs and delays spikes on their way.
    constant_input : {"every-step", "once"}
        Whether a constant first-layer input is read again at every time step, or read once and held in registers
        (digital neurons only). Spikes, and the inputs of conventional networks, have nothing that is read again.
    held : {"sampled", "driven"}
        While several bitlines wait for one converter, their currents are held by samplers, or the array stays on.
    replication : tuple of int
        Copies of the arrays of the first, second, ... layer, which read several positions at a time; 1 for the rest.
    pipelined : bool
        Whether a layer works on a time step, or an image of a conventional network, while the next layer works on the
        one before.
    c_wordline, c_bitline : float
        Capacitance of a line per cell [F]: charging wordlines takes energy, and reads wait until lines have settled;
        bitlines of passive neurons have theirs in ``neuron.capacitance`` and do not settle.
    cell_area : float, optional
        Of one cell [m^2].
    """

    later: ClassVar = ("bits_per_cell", "logic")
    name: str = "custom"
    description: str = ""
    rows: int = Field(gt=0)
    cols: int = Field(gt=0)
    device: Device
    cell: Ohmic = Ohmic()
    wires: Wires = Wires()
    inactive: Literal["ground", "open", "gated"] = "ground"
    weights: Literal["differential", "reference"] = "differential"
    bits_per_cell: Annotated[int, Field(ge=1, le=15)] | None = None
    readout: Annotated[SarAdc | SenseAmp, Field(discriminator="kind")]
    merge: Literal["charge", "charge-sharing", "digital", "majority"] | None = None
    limiter: CurrentLimit | None = None
    driver: Driver
    neuron: Annotated[ChargeNeuron | PassiveNeuron | DigitalNeuron, Field(discriminator="kind")]
    link: Link | None = None
    calibration: Calibration | None = None
    logic: Logic = Logic()
    constant_input: Literal["every-step", "once"] = "every-step"
    held: Literal["sampled", "driven"] = "sampled"
    replication: tuple[Annotated[int, Field(gt=0)], ...] = ()
    pipelined: bool = True
    c_wordline: CapacitanceOrZero = 0.0
    c_bitline: CapacitanceOrZero = 0.0
    cell_area: Area | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        least = 2 if self.weights == "differential" else 3
        if self.cols < least:
            raise ValueError(
                f"Chip.cols = {self.cols}: {self.weights} weights need at least {least} bitlines per array"
            )
        levels = self.device.levels
        if self.weights == "reference" and levels != 2:
            raise ValueError(
                f"Chip.weights = 'reference' with Device.levels = {levels!r}: a reference is the middle of two states; "
                "use 'differential'"
            )
        if self.bits_per_cell is not None and levels != "analog" and (levels - 1) % (self.cell_top or 1):
            raise ValueError(
                f"Chip.bits_per_cell = {self.bits_per_cell} with Device.levels = {levels}: these are not among them; "
                f"give levels = {1 << self.bits_per_cell} or 'analog'"
            )
        digital = self.neuron.digital
        if self.readout.converts != digital:
            raise ValueError(
                f"Chip.neuron is {self.neuron.kind!r} with the read-out {self.readout.kind!r}: "
                "a sar-adc feeds digital neurons, a sense-amp decides on charge and passive neurons"
            )
        if digital != (self.merging == "digital"):
            allowed = "'digital'" if digital else "'charge', 'charge-sharing' or 'majority'"
            raise ValueError(f"Chip.merge = {self.merge!r} with {self.neuron.kind} neurons; use {allowed}")
        if self.constant_input == "once" and not digital:
            raise ValueError("Chip.constant_input = 'once': charge is not held between steps; use 'every-step'")
        if self.readout.columns_per_adc > self.cols:
            raise ValueError(
                f"Chip.readout.columns_per_adc = {self.readout.columns_per_adc}: the array has {self.cols} columns"
            )
        if self.held == "driven" and not digital:
            raise ValueError("Chip.held = 'driven': only a sar-adc keeps arrays waiting; leave it out")
        if self.calibration is not None and self.calibration.offset_bits and not self.readout.offset:
            raise ValueError("Chip.calibration.offset_bits: the read-out has no offset; give it one, or leave this out")
        if self.inactive != "ground" and self.device.read_noise.gaussian:
            raise ValueError(
                f"Chip.inactive = {self.inactive!r} with read noise: noise to first order is that of grounded wordlines"
            )
        if self.neuron.floating:
            for what, clash in (
                (f"inactive = {self.inactive!r}", self.inactive != "ground"),
                ("weights = 'reference'", self.weights == "reference"),
                ("a limiter", self.limiter is not None),
                ("read noise", bool(self.device.read_noise.gaussian)),
            ):
                if clash:
                    raise ValueError(f"Chip.neuron is 'passive' with {what}: its bitlines float; use a charge neuron")
        return self

    @property
    def merging(self) -> str:
        """How row tiles are merged."""
        return self.merge or ("digital" if self.readout.converts else "charge")

    @property
    def limiting(self) -> CurrentLimit | None:
        """The limiter, unless it lies a thousand times above what a bitline of LRS or shorted cells carries."""
        device = self.device
        most = max(device.g_lrs, 1 / (device.faults.r_short or np.inf)) * device.v_read * self.rows
        return self.limiter if self.limiter is not None and self.limiter.i_max < 1000 * most else None

    @property
    def by_bitline(self) -> bool:
        """Whether each bitline's current matters by itself, or only how they combine into outputs."""
        return self.limiting is not None or self.readout.sense == "bitline"

    @property
    def linear(self) -> bool:
        """Whether a layer's currents are a product with one matrix."""
        return self.inactive == "ground" and self.limiting is None and self.merging in ("charge", "charge-sharing")

    @property
    def full_scale_needs_images(self) -> bool:
        """Whether converters take their full scale from a calibration set."""
        return self.readout.full_scale == "calibrated"

    @property
    def converted_lines(self) -> int:
        """Bitlines, or outputs, of an array that converters serve, used or not; 0 without converters."""
        return self.readout.lines(self.cols, self.outputs_per_array)

    @property
    def t_conversion(self) -> float:
        """How long the conversions of one read take [s], one bitline of a converter after the other."""
        return self.readout.t_conversion(self.converted_lines)

    @property
    def t_on(self) -> float:
        """How long an array is driven in a read [s]: the read pulse, or until all is converted."""
        return max(self.device.t_read, self.t_conversion) if self.held == "driven" else self.device.t_read

    @property
    def parts(self) -> tuple[Part, ...]:
        """What surrounds the arrays and costs something."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return tuple(value for value in values if isinstance(value, Part) and value.module)

    def copies(self, layer: int) -> int:
        """Return how many copies of its arrays a layer has, counted from 0."""
        return self.replication[layer] if layer < len(self.replication) else 1

    @property
    def outputs_per_array(self) -> int:
        """Outputs that one array holds."""
        return self.cols // 2 if self.weights == "differential" else self.cols - 2

    @property
    def cell_levels(self) -> CellLevels:
        """Levels that cells are used at."""
        return self.device.levels if self.bits_per_cell is None else 1 << self.bits_per_cell

    @property
    def cell_top(self) -> int:
        """The weight that a cell in LRS stands for."""
        return 1 if self.cell_levels == "analog" else self.cell_levels - 1

    @property
    def level_step(self) -> int | float:
        """What a unit of weight is on the levels of the device."""
        if self.cell_levels == self.device.levels:
            return 1
        return 1 / self.cell_top if self.device.levels == "analog" else (self.device.levels - 1) // self.cell_top

    @property
    def unit_current(self) -> float:
        """Current [A] of one unit of weight at v_read, without wires."""
        swing: float = self.device.v_read * (self.device.g_lrs - self.device.g_hrs)
        return swing / self.cell_top if self.weights == "differential" else swing / 2


@cache
def modules_of(chip: type[Chip]) -> dict[str, str]:
    """Return the rows of reports that chips of a kind have, and what tables call them."""
    found = {"array": "arrays"}
    for field in chip.model_fields.values():
        found |= {part.module: part.title for part in _parts_in(field.annotation) if part.module}
    return found


def _parts_in(kind: Any) -> Iterator[type[Part]]:
    """Yield the parts that a field may hold, by its type."""
    if isinstance(kind, type) and issubclass(kind, Part):
        yield kind
    for inner in get_args(kind):
        yield from _parts_in(inner)


MODULES = modules_of(Chip)


def list_chips() -> list[str]:
    """Return the names of the shipped chips."""
    return shipped("chips")


def load_chip(source: str | Path) -> Chip:
    """Load a chip by name (see :func:`list_chips`) or from a TOML file.

    Raises
    ------
    FileError
        If the file is missing or not TOML.
    ParameterError
        If the name is unknown or a field is not allowed.
    """
    return Chip.from_toml(file_of(source, "chip", "chips"))
