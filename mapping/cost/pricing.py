"""From counts to joules, and from what a layer is made of to its area: each part of the periphery prices its own."""

from __future__ import annotations

from mapping.chip.chip import Chip, modules_of
from mapping.chip.periphery.ledger import Inventory, Ledger, Reads
from mapping.chip.periphery.part import times
from mapping.cost.accounting import Accounting


def energies(chip: Chip, ledger: Ledger, accounting: Accounting) -> dict[str, float]:
    """Return the energy [J] of each module of a chip that is counted; 0 for the others."""
    device, paid = chip.device, accounting.paid(ledger, chip.device.v_read)
    reads = Reads(device.t_read, accounting.t_on(chip), chip.c_wordline * chip.cols * device.v_read**2)
    found = dict.fromkeys(modules_of(type(chip)), 0.0) | {"array": reads.t_on * paid.power}
    for part in chip.parts:
        found[part.module] += part.energy_of(paid, reads)
    return {module: energy if accounting.counts(module) else 0.0 for module, energy in found.items()}


def areas(chip: Chip, inventory: Inventory) -> dict[str, float | None]:
    """Return the area [m^2] of each module of a layer; None where it is not known.

    An array has converters for all its bitlines, used or not.
    """
    found: dict[str, float | None] = dict.fromkeys(modules_of(type(chip)), 0.0)
    found["array"] = times(inventory.cells, chip.cell_area)
    for part in chip.parts:
        before, area = found[part.module], part.area_of(inventory)
        found[part.module] = None if before is None or area is None else before + area
    return found
