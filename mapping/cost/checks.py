"""What makes the results of a chip questionable; reports carry it as warnings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from xbarsim.validity import Exposure

if TYPE_CHECKING:
    from mapping.chip.layer import MappedLayer
    from mapping.chip.periphery.ledger import Ledger

MUCH_CLIPPED = 0.5  # share of currents beyond a limit from which a report warns


def checks(layers: Sequence[MappedLayer], ledgers: Sequence[Ledger]) -> Iterator[str]:
    """Yield what makes the results of layers questionable, as they and what they went through are now."""
    yield from beyond_data(layers)
    if layers[0].chip.merging == "majority" and any(len(layer.row_tiles) > 1 for layer in layers):
        yield (
            "merge = 'majority': row tiles decide one by one and their majority counts, which is another function than "
            "one neuron over all of them; use 'charge' or 'digital'"
        )
    for layer, ledger in zip(layers, ledgers):
        for what, part, whole in (
            ("bitline currents are beyond the limiter's i_max", ledger.limited, ledger.passed),
            ("conversions are beyond the full scale", ledger.clipped, ledger.simulated),
        ):
            if whole and part / whole > MUCH_CLIPPED:
                yield f"layer {layer.number + 1}: {part / whole:.0%} of its {what}"


def once(lines: Iterable[str]) -> tuple[str, ...]:
    """Return warnings of several dies without those that say of a thing what was said before, with another number."""
    told: dict[str, str] = {}
    for line in lines:
        told.setdefault(re.sub(r"^(layer \d+: )\d+%", r"\1", line.split(" = ")[0]), line)
    return tuple(told.values())


def beyond_data(layers: Sequence[MappedLayer]) -> Iterator[str]:
    """Yield one line for each model of a chip that is used outside the range for which it is backed by data."""
    exposure = Exposure()
    for layer in layers:
        for tile in layer.tiles:
            exposure |= tile.die.exposure
    chip = layers[0].chip
    yield from chip.device.checks(exposure)
    yield from chip.readout.checks()
