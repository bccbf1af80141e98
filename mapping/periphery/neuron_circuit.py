"""Membranes as hardware: a capacitor fed by mirrored currents or by the bitline itself, or a register and an adder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from xbarsim.parameters import Parameters
from xbarsim.units import Area, Capacitance, Energy, TimeOrZero, Voltage


class ChargeNeuron(Parameters):
    """One capacitor per output neuron; all row tiles' bitlines, held at virtual ground, are mirrored onto it.

    Attributes
    ----------
    mirror_ratio : float
        Mirrored over bitline current.
    v_supply : float
        Supply of the mirrors [V]; they draw mirror_ratio v_supply per ampere of the bitline currents that reach a
        membrane, the constant input that batch norm folds into included. From a membrane of reference weights the mean
        of both reference currents is taken, a copy of its own: v_supply mirror_ratio t_read sum_k (i_k + (i_LRS +
        i_HRS) / 2) over the outputs k of an array.
    energy_per_spike : float
        Reset and spike generation [J].
    capacitance : float, optional
        Of a membrane [F]; without it, in each layer such that the largest threshold lies at half the supply.
    leak_spread : float
        Relative standard deviation of a neuron's leak conductance; decays are beta^(1 + leak_spread z), z normal.
    t_reset : float
        Time that resets take in every time step [s].
    area : float, optional
        Of one neuron's transistors [m^2].
    capacitance_density : float, optional
        Of its capacitor [F/m^2].
    """

    kind: Literal["charge"] = "charge"
    mirror_ratio: float = Field(gt=0, le=1)
    v_supply: Voltage
    energy_per_spike: Energy
    capacitance: Capacitance | None = None
    leak_spread: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    t_reset: TimeOrZero = 0.0
    area: Area | None = None
    capacitance_density: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    def energy_per_ampere(self, t_read: float) -> float:
        """Energy that the mirrors draw per ampere of bitline current in a read [J/A]."""
        return self.mirror_ratio * self.v_supply * t_read

    def total_area(self, capacitance: float) -> float | None:
        """Of one neuron with its capacitor [m^2], if both are known."""
        if self.area is None or self.capacitance_density is None:
            return None
        return self.area + capacitance / self.capacitance_density


class PassiveNeuron(Parameters):
    """The bitline's own capacitance integrates: no virtual ground, no mirror, and a voltage that saturates.

    In a read the bitlines float; their voltages, exact with their coupling through the array, are then sampled onto
    the membrane of the output neuron, pair by pair, and the bitlines are discharged. The unit of weight is what the
    layer's weights give on average, to which its thresholds are set.

    Attributes
    ----------
    capacitance : float
        Of each bitline with its sampling capacitor [F].
    energy_per_sample : float
        Sampling, transfer and discharge [J] per bitline and read.
    energy_per_spike, leak_spread, t_reset, area
        As of :class:`ChargeNeuron`; ``area`` includes the membrane's capacitor.
    """

    kind: Literal["passive"] = "passive"
    capacitance: Capacitance
    energy_per_sample: Energy
    energy_per_spike: Energy
    leak_spread: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    t_reset: TimeOrZero = 0.0
    area: Area | None = None

    def total_area(self, capacitance: float) -> float | None:
        """Of one neuron [m^2], if it is known."""
        return self.area


class DigitalNeuron(Parameters):
    """Membranes in registers.

    Attributes
    ----------
    energy_per_add : float
        One addition [J]: each converted partial sum is added once.
    energy_per_update : float
        One membrane update [J] per neuron and step: decay, constant, threshold and reset.
    t_update : float
        Time of one update [s]; the outputs of a position are updated one after the other, while the next is converted.
    area : float, optional
        Of one membrane register [m^2].
    area_per_adder : float, optional
        Of one adder [m^2]; there is one per converter.
    """

    kind: Literal["digital"] = "digital"
    energy_per_add: Energy
    energy_per_update: Energy
    t_update: TimeOrZero = 0.0
    area: Area | None = None
    area_per_adder: Area | None = None

    def total_area(self, capacitance: float) -> float | None:
        """Of one membrane register [m^2], if it is known."""
        return self.area
