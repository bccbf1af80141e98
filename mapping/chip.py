"""Chip: the hardware that a network is mapped onto, from TOML or Python."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mapping.periphery.driver import Driver
from mapping.periphery.neuron_circuit import ChargeNeuron, DigitalNeuron
from mapping.periphery.sar_adc import SarAdc
from mapping.periphery.sense_amp import SenseAmp
from mapping.resources import data_folder
from xbarsim.cells import Ohmic
from xbarsim.device import Device
from xbarsim.errors import FileError, ParameterError
from xbarsim.parameters import Parameters
from xbarsim.wires import Wires


class Chip(Parameters):
    """Arrays of one size, their device and wires, and what reads them. Silent wordlines are held at 0 V.

    Attributes
    ----------
    name, description : str
        What reports call it, and where its numbers come from.
    rows, cols : int
        Wordlines and bitlines of one array.
    device : Device
    cell : Ohmic
    wires : Wires
    weights : {"differential", "reference"}
        A weight is a pair of bitlines, or one bitline against the mean of an all-LRS and an all-HRS bitline of the
        same array.
    readout : SarAdc or SenseAmp
    driver : Driver
    neuron : ChargeNeuron (with SenseAmp) or DigitalNeuron (with SarAdc)
    constant_input : {"every-step", "once"}
        Whether a constant first-layer input is read again at every time step, or read once and held in registers
        (digital neurons only).
    """

    name: str = "custom"
    description: str = ""
    rows: int = Field(gt=0)
    cols: int = Field(gt=0)
    device: Device
    cell: Ohmic = Ohmic()
    wires: Wires = Wires()
    weights: Literal["differential", "reference"] = "differential"
    readout: Annotated[SarAdc | SenseAmp, Field(discriminator="kind")]
    driver: Driver
    neuron: Annotated[ChargeNeuron | DigitalNeuron, Field(discriminator="kind")]
    constant_input: Literal["every-step", "once"] = "every-step"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        least = 2 if self.weights == "differential" else 3
        if self.cols < least:
            raise ValueError(
                f"Chip.cols = {self.cols}: {self.weights} weights need at least {least} bitlines per array"
            )
        digital = isinstance(self.neuron, DigitalNeuron)
        if isinstance(self.readout, SarAdc) != digital:
            raise ValueError(
                f"Chip.neuron is {self.neuron.kind!r} with the read-out {self.readout.kind!r}: "
                "a sar-adc feeds digital neurons, a sense-amp decides on charge neurons"
            )
        if self.constant_input == "once" and not digital:
            raise ValueError("Chip.constant_input = 'once': charge is not held between steps; use 'every-step'")
        if isinstance(self.readout, SarAdc) and self.readout.columns_per_adc > self.cols:
            raise ValueError(
                f"Chip.readout.columns_per_adc = {self.readout.columns_per_adc}: the array has {self.cols} columns"
            )
        return self

    @property
    def outputs_per_array(self) -> int:
        """Outputs that one array holds."""
        return self.cols // 2 if self.weights == "differential" else self.cols - 2

    @property
    def unit_current(self) -> float:
        """Current [A] of one unit of weight at v_read, without wires."""
        swing: float = self.device.v_read * (self.device.g_lrs - self.device.g_hrs)
        return swing if self.weights == "differential" else swing / 2


def list_chips() -> list[str]:
    """Return the names of the shipped chips."""
    return sorted(path.stem for path in (data_folder() / "chips").glob("*.toml"))


def load_chip(source: str | Path) -> Chip:
    """Load a chip by name (see :func:`list_chips`) or from a TOML file.

    Raises
    ------
    FileError
        If the file is missing or not TOML.
    ParameterError
        If the name is unknown or a field is not allowed.
    """
    path = Path(source)
    if path.suffix != ".toml":
        path = data_folder() / "chips" / f"{source}.toml"
        if not path.is_file():
            known = ", ".join(list_chips())
            raise ParameterError(f"chip {str(source)!r} is unknown; give one of {known}, or a .toml file")
    if not path.is_file():
        raise FileError(f"{path}: no such file; give the path of a chip in TOML, or one of {', '.join(list_chips())}")
    return Chip.from_toml(path)
