"""The conventions under which energy and operations are counted: which counts are paid for, and for how long."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Self

from pydantic import Field, model_validator

from mapping.chip.chip import MODULES, Chip
from mapping.chip.periphery.ledger import Ledger
from xbarsim.errors import ParameterError, shown
from xbarsim.parameters import Parameters


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
        Arrays draw what their drivers deliver, into unused cells and inactive wordlines too; or v_read times the
        currents of the bitlines in use, which for analog inputs, below v_read, is too much.
    modules : tuple of str, optional
        What is counted; all that a chip has, unless given.
    """

    name: str = "custom"
    operations_per_mac: Literal[1, 2] = 2
    columns: Literal["used", "all"] = "used"
    arrays_on: Literal["as-built", "read", "conversion"] = "as-built"
    cells: Literal["all", "used"] = "all"
    modules: tuple[str, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _known(self) -> Self:
        unknown = [module for module in self.modules or () if module not in MODULES]
        if unknown:
            raise ValueError(f"Accounting.modules has {unknown[0]!r}; give some of {', '.join(MODULES)}")
        return self

    def counts(self, module: str) -> bool:
        """Whether a module is counted."""
        return self.modules is None or module in self.modules

    def paid(self, ledger: Ledger, v_read: float) -> Ledger:
        """Return the counts that are paid for."""
        power = ledger.power if self.cells == "all" else v_read * ledger.current
        unused = ledger.unused if self.columns == "all" else 0.0
        return replace(ledger, power=power, conversions=ledger.conversions + unused)

    def t_on(self, chip: Chip) -> float:
        """Return for how long arrays and drivers are paid in a read [s]."""
        t_read = chip.device.t_read
        return {"as-built": chip.t_on, "read": t_read, "conversion": max(t_read, chip.t_conversion)}[self.arrays_on]

    def __str__(self) -> str:
        on = {
            "as-built": "as long as the chip drives them",
            "read": "for the read pulse only",
            "conversion": "until all bitlines are converted",
        }[self.arrays_on]
        cells = {
            "all": "its unused cells and inactive wordlines as the circuit has them",
            "used": "counted as v_read times the currents of the bitlines in use",
        }[self.cells]
        left_out = ", ".join(text for module, text in MODULES.items() if not self.counts(module))
        operations = "operation" if self.operations_per_mac == 1 else "operations"
        return (
            f"{self.name} accounting: every read of every used array at every time step, {cells}; arrays and drivers "
            f"of active wordlines {on}; conversions of {self.columns} bitlines, or decisions; neurons with the "
            "constant that batch norm folds into; spikes sent on, their ORs and delays; scheduled calibration. "
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
