"""xbarsim: circuit-exact simulation of memristive crossbars."""

import warnings
from typing import Any

from xbarsim.approximate import approximate
from xbarsim.cells import MIEC_SELECTOR, Ohmic, OneSelectorOneResistor, OneTransistorOneResistor, Sinh, Table
from xbarsim.crossbar import Crossbar
from xbarsim.device import Device, load_device
from xbarsim.die import Die
from xbarsim.drift import CustomDisturb, PowerLawDisturb, Retention, TableDisturb
from xbarsim.errors import (
    ConvergenceError,
    ExtraError,
    FileError,
    InputWarning,
    ParameterError,
    TrialError,
    XbarsimError,
)
from xbarsim.faults import Faults
from xbarsim.files import read_conductances, read_table
from xbarsim.inactive import InactiveRows
from xbarsim.memory import MemoryRead, read_cell, read_margin
from xbarsim.nodal import solve
from xbarsim.noise import OutputNoise, output_noise
from xbarsim.ports import PortModel, reduce, sensitivities
from xbarsim.presets import list_devices, load_preset
from xbarsim.read_noise import Flicker, ReadNoise, Telegraph
from xbarsim.solution import Solution
from xbarsim.spice import to_spice, verify
from xbarsim.study.sweep import monte_carlo, sweep
from xbarsim.validity import Range, Valid
from xbarsim.variation import C2C, D2D, WriteVerify
from xbarsim.version import __version__ as __version__
from xbarsim.wires import Wires

_RENAMED = {"SilentRows": InactiveRows}


def __getattr__(name: str) -> Any:
    if name not in _RENAMED:
        raise AttributeError(f"module 'xbarsim' has no attribute {name!r}")
    warnings.warn(f"xbarsim.{name} is deprecated; use {_RENAMED[name].__name__}", DeprecationWarning, stacklevel=2)
    return _RENAMED[name]


__all__ = [
    "C2C",
    "D2D",
    "MIEC_SELECTOR",
    "ConvergenceError",
    "Crossbar",
    "CustomDisturb",
    "Device",
    "Die",
    "ExtraError",
    "Faults",
    "FileError",
    "Flicker",
    "InactiveRows",
    "InputWarning",
    "MemoryRead",
    "Ohmic",
    "OneSelectorOneResistor",
    "OneTransistorOneResistor",
    "OutputNoise",
    "ParameterError",
    "PortModel",
    "PowerLawDisturb",
    "Range",
    "ReadNoise",
    "Retention",
    "Sinh",
    "Solution",
    "Table",
    "TableDisturb",
    "Telegraph",
    "TrialError",
    "Valid",
    "Wires",
    "WriteVerify",
    "XbarsimError",
    "approximate",
    "list_devices",
    "load_device",
    "load_preset",
    "monte_carlo",
    "output_noise",
    "read_cell",
    "read_conductances",
    "read_margin",
    "read_table",
    "reduce",
    "sensitivities",
    "solve",
    "sweep",
    "to_spice",
    "verify",
]
