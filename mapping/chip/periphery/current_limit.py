"""Current limit: what a bitline's port passes at most, in each read."""

from __future__ import annotations

from typing import Literal

from mapping.chip.periphery.part import Part
from xbarsim.units import Current


class CurrentLimit(Part):
    """A clamp on each bitline's unsigned current, before pairs are subtracted; the bitline stays at virtual ground.

    A thousand times above what bitlines of cells in the LRS, or of shorted ones, carry it is as good as none. Below
    that, read noise is drawn for each bitline and not for each output that combines some: other numbers of the same
    variance, but for what wires couple.

    Not the network's membrane clip: clip(i+) - clip(i-) is not a clip of the membrane.

    Attributes
    ----------
    i_max : float
        Largest current [A] that is passed on.
    kind : {"hard", "smooth"}
        ``min(i, i_max)``, or ``i_max tanh(i / i_max)``, as of a mirror that saturates.
    """

    i_max: Current
    kind: Literal["hard", "smooth"] = "hard"
