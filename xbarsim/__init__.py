"""xbarsim: circuit-exact simulation of memristive crossbars."""

from xbarsim.approximate import approximate
from xbarsim.cells import MIEC_SELECTOR, Ohmic, OneSelectorOneResistor, OneTransistorOneResistor, Sinh, Table
from xbarsim.crossbar import Crossbar
from xbarsim.device import Device, Die
from xbarsim.errors import ConvergenceError, FileError, ParameterError, XbarsimError
from xbarsim.memory import MemoryRead, read_cell, read_margin
from xbarsim.nodal import solve
from xbarsim.ports import PortModel, reduce, sensitivities
from xbarsim.solution import Solution
from xbarsim.spice import to_spice, verify
from xbarsim.wires import Wires

__version__ = "0.1.0"

__all__ = [
    "MIEC_SELECTOR",
    "ConvergenceError",
    "Crossbar",
    "Device",
    "Die",
    "FileError",
    "MemoryRead",
    "Ohmic",
    "OneSelectorOneResistor",
    "OneTransistorOneResistor",
    "ParameterError",
    "PortModel",
    "Sinh",
    "Solution",
    "Table",
    "Wires",
    "XbarsimError",
    "approximate",
    "read_cell",
    "read_margin",
    "reduce",
    "sensitivities",
    "solve",
    "to_spice",
    "verify",
]
