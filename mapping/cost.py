"""What inference costs: energies by module, and the convention under which they are counted."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from pydantic import Field

from xbarsim.errors import ParameterError, shown
from xbarsim.parameters import Parameters

Module = Literal["array", "conversion", "driver", "neuron", "link", "calibration"]
MODULES: dict[Module, str] = {
    "array": "arrays",
    "conversion": "data conversion",
    "driver": "wordline drivers",
    "neuron": "neurons",
    "link": "links",
    "calibration": "calibration",
}


class Accounting(Parameters):
    """How energy and operations are counted; it changes no spike.

    Attributes
    ----------
    name : str
    operations_per_mac : {1, 2}
    columns : {"used", "all"}
        Whether only bitlines in use are converted, or all that an array has.
    arrays_on : {"as-built", "read", "conversion"}
        Arrays, and with them the drivers of active wordlines, draw power as long as the chip drives them
        (``Chip.held``); only for the read pulse; or until all bitlines of a converter are converted. Wordlines are
        charged once.
    cells : {"all", "used"}
        Arrays draw what their drivers deliver, into unused cells and silent wordlines too; or v_read times the currents
        of the bitlines in use, which for analog inputs, below v_read, is too much.
    modules : tuple of str
        What is counted.
    """

    name: str = "custom"
    operations_per_mac: Literal[1, 2] = 2
    columns: Literal["used", "all"] = "used"
    arrays_on: Literal["as-built", "read", "conversion"] = "as-built"
    cells: Literal["all", "used"] = "all"
    modules: tuple[Module, ...] = Field(default=tuple(MODULES), min_length=1)

    def __str__(self) -> str:
        on = {
            "as-built": "as long as the chip drives them",
            "read": "for the read pulse only",
            "conversion": "until all bitlines are converted",
        }[self.arrays_on]
        cells = {
            "all": "its unused cells and silent wordlines as the circuit has them",
            "used": "counted as v_read times the currents of the bitlines in use",
        }[self.cells]
        left_out = ", ".join(text for module, text in MODULES.items() if module not in self.modules)
        operations = "operation" if self.operations_per_mac == 1 else "operations"
        return (
            f"{self.name} accounting: every read of every used array at every time step, {cells}; arrays and drivers "
            f"of active wordlines {on}; conversions of {self.columns} bitlines, or decisions; neurons with the "
            "constant that batch norm folds into; spikes sent on; scheduled calibration. "
            f"1 MAC = {self.operations_per_mac} {operations}, dense operations of all time steps. "
            f"Excluded: {left_out + ', ' if left_out else ''}programming, buffers, control, leakage."
        )


CONVENTIONS = {
    one.name: one
    for one in (
        Accounting(name="full"),
        Accounting(name="core", modules=("array", "conversion")),
        Accounting(name="one-operation", operations_per_mac=1),
        Accounting(name="all-columns", columns="all"),
        Accounting(name="arrays-on", arrays_on="conversion"),
        Accounting(name="used-cells", cells="used"),
    )
}


def convention(accounting: str | Accounting) -> Accounting:
    """Return an accounting convention by name; raise :class:`ParameterError` if there is none of that name."""
    if isinstance(accounting, Accounting):
        return accounting
    if not isinstance(accounting, str) or accounting not in CONVENTIONS:
        raise ParameterError(f"accounting = {shown(accounting)}: give one of {', '.join(CONVENTIONS)}")
    return CONVENTIONS[accounting]


@dataclass
class Charges:
    """Energy [J] by module and the counts behind it, summed over images.

    Attributes
    ----------
    array : float
        Delivered by the wordline drivers into cells and wires.
    conversion : float
        ADC conversions or sense-amplifier decisions.
    driver, neuron, link : float
        Wordline drivers with their DACs and line capacitances; neuron circuits; spikes on their way to the next layer.
    charging : float
        The part of ``driver`` that charges wordlines, however long they are driven then.
    driven : float
        Active wordlines, summed over reads, each counted once however many arrays lie side by side; as inputs of which
        one bit is read after the other, once for all of these.
    arrived : float
        v_read times the currents of the bitlines in use [J]: what remains of ``array`` without wires, unused bitlines
        and what silent wordlines sink.
    mirrored : float
        Current [A], summed over reads, that mirrors still have to be charged for; that of a reference bitline once for
        each output that it is subtracted from.
    conversions, clipped : int
        ADC conversions that were simulated (a constant input once), and those beyond full scale.
    passed, limited : int
        Bitline currents that met a limiter (a constant input once), and those beyond its limit.
    spikes, collided : float
        Spikes, and those that had to wait for another one of their position and time step.
    """

    array: float = 0.0
    conversion: float = 0.0
    driver: float = 0.0
    charging: float = 0.0
    neuron: float = 0.0
    link: float = 0.0
    driven: float = 0.0
    arrived: float = 0.0
    mirrored: float = 0.0
    conversions: int = 0
    clipped: int = 0
    passed: int = 0
    limited: int = 0
    spikes: float = 0.0
    collided: float = 0.0

    def add(self, other: Charges) -> None:
        """Add another account to this one."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
