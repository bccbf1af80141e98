"""Time steps that age the arrays which they read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mapping.chip.activity import Activity
from mapping.chip.ageing import Ageing, CellVoltages, wear
from mapping.chip.array import Tile
from mapping.chip.layer import MappedLayer
from mapping.chip.periphery.ledger import Ledger
from mapping.engines.currents import Draws, Drive, combined, contribution


def currents_while_ageing(
    layer: MappedLayer, drives: Sequence[Drive], noise: Draws, ledger: Ledger, ageing: Ageing
) -> Tensor:
    """Return the current of all time steps, each of them ageing the arrays, which are solved again as they move."""
    t_steps, n = layer.t_steps, drives[0].x.shape[1]
    held = all(drive.held for drive in drives)
    dt = n * ageing.step_time * (t_steps if held else 1)
    parts, start = [], 0
    now: dict[int, list[Activity] | None] = {}
    kept: dict[int, list[Tensor]] = {}  # what was read once
    for t in range(1 if held else t_steps):
        moved = []
        for j, drive in enumerate(drives):
            if t == 0 or len(drive.x) > 1:
                now[j] = drive.part.activity(drive.x[t if len(drive.x) > 1 else 0], drive.analog)
            moved += worn(drive, drive, now[j], dt, ageing)
            if drive.held:
                now[j] = None
        if moved or t + 1 == t_steps or held:
            steps, given = slice(start, t + 1), []
            for j, drive in enumerate(drives):
                repeats = t + 1 - start if len(drive.x) == 1 and not drive.held else 1
                if j not in kept:
                    given.append(contribution(layer, drive, steps, noise, ledger, repeats))
                    drive.count(ledger, steps, repeats)
                else:
                    given.append(kept[j])
                if drive.held:
                    kept[j] = given[-1]
            current = combined(layer, given, noise, steps)
            parts.append(current if held else current.expand(t + 1 - start, *current.shape[1:]))
            start = t + 1
        solve_again(layer, moved, ageing)
    return torch.cat(parts)


def worn(drive: Drive, whole: Drive, now: Sequence[Activity] | None, dt: float, ageing: Ageing) -> list[Tile]:
    """Let arrays see the reads of a time step, if there are any, and time; return those that moved too far.

    ``whole`` drives them as all time steps of the batch do, on average, which cell voltages are taken from.
    """
    moved = []
    for number, row in enumerate(drive.part.row_tiles):
        for tile in row.tiles:
            if now is not None:
                if tile not in ageing.voltages:
                    ageing.voltages[tile] = CellVoltages.of(tile, whole.whole[number])
                wear(tile, ageing.voltages[tile], now[number], 1.0, ageing.temperature)
            tile.die.advance(dt=dt, temperature=ageing.temperature)
            if tile.moved > ageing.tolerance:
                moved.append(tile)
    return moved


def solve_again(layer: MappedLayer, moved: Sequence[Tile], ageing: Ageing) -> None:
    """Solve arrays that have moved."""
    for tile in moved:
        tile.refresh()
        ageing.voltages.pop(tile, None)
    ageing.refreshes += len(moved)
    if moved:
        layer.assemble()
