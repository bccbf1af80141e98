"""Membranes as hardware: a capacitor fed by mirrored currents or by the bitline itself, or a register and an adder."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from mapping.chip.periphery.ledger import Inventory, Ledger, Reads
from mapping.chip.periphery.part import Part, times
from mapping.ir.neuron import NeuronSpec
from xbarsim.ports import PortModel
from xbarsim.units import Area, Capacitance, Energy, TimeOrZero, Voltage


class NeuronCircuit(Part):
    """What neurons of all kinds have; here of those that nothing is special about.

    Attributes
    ----------
    digital : bool
        Whether membranes are numbers, so that inputs can be held and added up for as long as one likes.
    floating : bool
        Whether bitlines float while they are read, and are never at virtual ground.
    mirrors : bool
        Whether bitline currents are mirrored, which takes current for each of them.
    """

    module: ClassVar[str] = "neuron"
    title: ClassVar[str] = "neurons"
    digital: ClassVar[bool] = False
    floating: ClassVar[bool] = False
    mirrors: ClassVar[bool] = False

    def refusal(self, spec: NeuronSpec) -> str:
        """Return what of a neuron this circuit does not have, and the nearest that it has; nothing if it has all."""
        if spec.most_spikes > 1:
            return "several spikes a step have no circuit; the nearest is most_spikes = 1 with more, shorter steps"
        if spec.adaptation:
            return "a threshold that spikes raise has no circuit; the nearest is one that stays, adaptation = 0"
        if spec.alpha is not None and self.floating:
            return "passive neurons have no synaptic currents; the nearest that have are charge and digital ones"
        return ""

    def ports(self, ports: PortModel, t_read: float) -> tuple[np.ndarray, np.ndarray]:
        """Return T and H of an array that these neurons read for so long [S]."""
        return ports.transfer, ports.driver_admittance

    def membrane(self, charge: float, threshold: float, pool: int) -> tuple[float, float]:
        """Return the capacitance of a membrane [F], and what a unit of weight moves it by [V].

        Parameters
        ----------
        charge : float
            Of a unit of weight in a read [C].
        threshold : float
            The largest of the layer, in units of a weight.
        pool : int
            Reads that are averaged.
        """
        return 0.0, 0.0


class ChargeNeuron(NeuronCircuit):
    """One capacitor per output neuron; all row tiles' bitlines, held at virtual ground, are mirrored onto it.

    Mirrors of the bits of a weight are 1, 2, 4 and so on times as wide. A synaptic current has a capacitor of its own,
    and is mirrored onto the membrane anew in each step that it lasts, of inputs spread evenly over the time steps.

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

    mirrors: ClassVar[bool] = True
    t_update: ClassVar[float] = 0.0

    kind: Literal["charge"] = "charge"
    mirror_ratio: float = Field(gt=0, le=1)
    v_supply: Voltage
    energy_per_spike: Energy
    capacitance: Capacitance | None = None
    leak_spread: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    t_reset: TimeOrZero = 0.0
    area: Area | None = None
    capacitance_density: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    def membrane(self, charge: float, threshold: float, pool: int) -> tuple[float, float]:
        """Return the capacitance of a membrane [F], and what a unit of weight moves it by [V]."""
        charge *= self.mirror_ratio * pool  # its reads add up
        capacitance = threshold * charge / (self.v_supply / 2) if self.capacitance is None else self.capacitance
        return capacitance, charge / capacitance

    def energy_of(self, ledger: Ledger, reads: Reads) -> float:
        """Return the energy of mirrors and resets [J]."""
        mirrored = self.mirror_ratio * self.v_supply * reads.t_read * ledger.mirrored
        return mirrored + self.energy_per_spike * ledger.resets

    def area_of(self, inventory: Inventory) -> float | None:
        """Return the area of all neurons with their capacitors [m^2], if both are known."""
        if self.area is None or self.capacitance_density is None:
            return None
        return inventory.neurons * (self.area + inventory.capacitance / self.capacitance_density)


class PassiveNeuron(NeuronCircuit):
    """The bitline's own capacitance integrates: no virtual ground, no mirror, and a voltage that saturates.

    In a read the bitlines float; their voltages, exact with their coupling through the array, are then sampled onto
    the membrane of the output neuron, pair by pair, and the bitlines are discharged. The unit of weight is what the
    layer's weights give on average, to which its thresholds are set. Bits of the same weight share their charge one
    after the other, the lowest first, each of which halves what came before.

    Attributes
    ----------
    capacitance : float
        Of each bitline with its sampling capacitor [F].
    energy_per_sample : float
        Sampling, transfer and discharge [J] per bitline and read.
    energy_per_spike, leak_spread, t_reset, area
        As of :class:`ChargeNeuron`; ``area`` includes the membrane's capacitor.
    """

    floating: ClassVar[bool] = True
    t_update: ClassVar[float] = 0.0

    kind: Literal["passive"] = "passive"
    capacitance: Capacitance
    energy_per_sample: Energy
    energy_per_spike: Energy
    leak_spread: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    t_reset: TimeOrZero = 0.0
    area: Area | None = None

    def ports(self, ports: PortModel, t_read: float) -> tuple[np.ndarray, np.ndarray]:
        """Return T and H of an array whose bitlines charge: at the end of the read, and on average over it [S]."""
        last, average = ports.charging(self.capacitance, t_read)
        return last * (self.capacitance / t_read), ports.driver_admittance - ports.transfer.T @ average

    def membrane(self, charge: float, threshold: float, pool: int) -> tuple[float, float]:
        """Return the capacitance of a membrane [F], and what a unit of weight moves it by [V]."""
        return self.capacitance, charge / self.capacitance

    def energy_of(self, ledger: Ledger, reads: Reads) -> float:
        """Return the energy of samples and resets [J]."""
        return self.energy_per_sample * ledger.sampled + self.energy_per_spike * ledger.resets

    def area_of(self, inventory: Inventory) -> float | None:
        """Return the area of all neurons [m^2]."""
        return times(inventory.neurons, self.area)


class DigitalNeuron(NeuronCircuit):
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

    digital: ClassVar[bool] = True
    leak_spread: ClassVar[float] = 0.0
    t_reset: ClassVar[float] = 0.0

    kind: Literal["digital"] = "digital"
    energy_per_add: Energy
    energy_per_update: Energy
    t_update: TimeOrZero = 0.0
    area: Area | None = None
    area_per_adder: Area | None = None

    def energy_of(self, ledger: Ledger, reads: Reads) -> float:
        """Return the energy of additions and updates [J]."""
        return self.energy_per_add * ledger.added + self.energy_per_update * ledger.updates

    def area_of(self, inventory: Inventory) -> float | None:
        """Return the area of all membrane registers and adders [m^2], if both are known."""
        registers, adders = times(inventory.neurons, self.area), times(inventory.converters, self.area_per_adder)
        return None if registers is None or adders is None else registers + adders
