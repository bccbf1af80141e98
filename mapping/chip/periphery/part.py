"""A part of the periphery: what it is called in reports, and what its counts cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from mapping.chip.periphery.ledger import Inventory, Ledger, Reads
from xbarsim.parameters import Parameters


class Part(Parameters):
    """Base of the parts of a chip that cost energy or area, or may be used beyond the data that back them.

    A new one is a class of its own, and one field of :class:`mapping.Chip`.

    Attributes
    ----------
    module : str
        The row of reports that its costs belong to; none of a part that costs nothing.
    title : str
        What tables call that row.
    """

    module: ClassVar[str] = ""
    title: ClassVar[str] = ""

    def energy_of(self, ledger: Ledger, reads: Reads) -> float:
        """Return the energy of what was counted [J]."""
        return 0.0

    def area_of(self, inventory: Inventory) -> float | None:
        """Return the area of all that a layer has of it [m^2]; None if it is not known."""
        return 0.0

    def checks(self) -> Iterator[str]:
        """Yield a line for each number that no published data back."""
        yield from ()


def times(count: int, area: float | None) -> float | None:
    """Return the area of several, if that of one is known."""
    return None if area is None else count * area
