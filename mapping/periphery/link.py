"""Links between layers: spikes as addresses, one after the other."""

from __future__ import annotations

from pydantic import Field

from xbarsim.parameters import Parameters
from xbarsim.units import Area, Energy, TimeOrZero


class Link(Parameters):
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

    energy_per_spike: Energy
    t_spike: TimeOrZero
    lanes: int = Field(default=1, gt=0)
    area: Area | None = None
