"""Membranes as hardware: a capacitor fed by mirrored bitline currents, or a register and an adder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from xbarsim.parameters import Parameters
from xbarsim.units import Energy, Voltage


class ChargeNeuron(Parameters):
    """One capacitor per output neuron; all row tiles' bitlines, held at virtual ground, are mirrored onto it.

    Attributes
    ----------
    mirror_ratio : float
        Mirrored over bitline current.
    v_supply : float
        Supply of the mirrors [V]; they draw mirror_ratio v_supply per ampere of bitline current, the constant input
        that batch norm folds into included.
    energy_per_spike : float
        Reset and spike generation [J].
    """

    kind: Literal["charge"] = "charge"
    mirror_ratio: float = Field(gt=0, le=1)
    v_supply: Voltage
    energy_per_spike: Energy

    def energy_per_ampere(self, t_read: float) -> float:
        """Energy that the mirrors draw per ampere of bitline current in a read [J/A]."""
        return self.mirror_ratio * self.v_supply * t_read


class DigitalNeuron(Parameters):
    """Membranes in registers.

    Attributes
    ----------
    energy_per_add : float
        One addition [J]: each converted partial sum is added once.
    energy_per_update : float
        One membrane update [J] per neuron and step: decay, constant, threshold and reset.
    """

    kind: Literal["digital"] = "digital"
    energy_per_add: Energy
    energy_per_update: Energy
