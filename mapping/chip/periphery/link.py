"""Links between layers: spikes as addresses, one after the other."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mapping.chip.periphery.ledger import Inventory, Ledger, Reads
from mapping.chip.periphery.part import Part, times
from xbarsim.units import Area, Energy, TimeOrZero


class Link(Part):
    """Carries the spikes of a layer to the next one.

    A spike is one event with its address. Spikes of one position fire together; they collide, and all but the first
    wait for their turn.

    Attributes
    ----------
    energy_per_spike : float
        Of sending one spike, address included [J].
    t_spike : float
        Time that one spike occupies a link [s].
    lanes : int
        Links side by side between two layers.
    area : float, optional
        Of one link [m^2].
    """

    module: ClassVar[str] = "link"
    title: ClassVar[str] = "links"

    energy_per_spike: Energy
    t_spike: TimeOrZero
    lanes: int = Field(default=1, gt=0)
    area: Area | None = None

    def energy_of(self, ledger: Ledger, reads: Reads) -> float:
        """Return the energy of the spikes that were sent [J]."""
        return self.energy_per_spike * ledger.sent

    def area_of(self, inventory: Inventory) -> float | None:
        """Return the area of all lanes to the next layer [m^2]."""
        return times(self.lanes, self.area) if inventory.sends else 0.0

    def t_sending(self, spikes: float) -> float:
        """Return how long so many spikes are on their way [s]."""
        return spikes * self.t_spike / self.lanes
