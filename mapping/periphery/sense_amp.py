"""Charge-based comparator: one bit per output neuron and time step."""

from __future__ import annotations

from typing import Literal

from xbarsim.parameters import Parameters
from xbarsim.units import Energy


class SenseAmp(Parameters):
    """Compares the membrane of an output neuron with its threshold, once per time step.

    Attributes
    ----------
    energy : float
        Energy of one decision [J].
    """

    kind: Literal["sense-amp"] = "sense-amp"
    energy: Energy
