"""Logic between layers: ORs over the spikes of a pool, and registers in which spikes wait for later time steps."""

from __future__ import annotations

from typing import ClassVar

from mapping.chip.periphery.ledger import Inventory, Ledger, Reads
from mapping.chip.periphery.part import Part
from xbarsim.units import Area, Energy


class Logic(Part):
    """What stands between the spikes of a layer and the wordlines that they drive, where this is more than a wire.

    The largest of several spikes is their OR, a tree of gates with two inputs. Spikes that come ``delay`` time steps
    late, as those of recurrent weights, wait in as many registers. All of them are charged in every time step, whether
    spikes come or not; the 60 ps that a gate takes are left out, and an analog input that waits has as many bits as its
    DAC in energy, but one in area.

    Attributes
    ----------
    energy_per_or, energy_per_bit : float
        Of a gate, and of writing one bit of a register [J].
    area_per_or, area_per_bit : float
        Of these [m^2].

    Notes
    -----
    The defaults are those of a commercial 40 nm process at 0.5 GHz in Aladdin (Y. S. Shao et al., ISCA 2014,
    power_func.h): 9.01 fJ and 5.98 um^2 for a bit of a register; 18.0 fJ and 50.4 um^2 for an OR of 32 bits.
    """

    module: ClassVar[str] = "logic"
    title: ClassVar[str] = "ORs and registers"

    energy_per_or: Energy = 0.564e-15
    energy_per_bit: Energy = 9.01e-15
    area_per_or: Area = 1.57e-12
    area_per_bit: Area = 5.98e-12

    def energy_of(self, ledger: Ledger, reads: Reads) -> float:
        """Return the energy of all gates and registers in all time steps [J]."""
        return self.energy_per_or * ledger.ors + self.energy_per_bit * ledger.written

    def area_of(self, inventory: Inventory) -> float:
        """Return the area of the gates and registers ahead of a layer [m^2]."""
        return inventory.ors * self.area_per_or + inventory.registers * self.area_per_bit
