"""What inference does to the cells: how often, and at which voltage, each of them was read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from mapping.chip.activity import Activity, Counts
from mapping.chip.array import Tile
from mapping.chip.row_tile import RowTile
from mapping.lower.placement import first_row
from xbarsim.crossbar import Crossbar
from xbarsim.kernels.ladder import OPEN
from xbarsim.nodal import row_cells, solve
from xbarsim.threads import in_threads

_TOLERANCE = 1e-3  # of what reading moves bitline nodes by, itself a small part of a cell's voltage


@dataclass(frozen=True)
class CellVoltages:
    """Voltages of the cells of an array over v_read, averages over the reads that an :class:`Activity` counts.

    By linearity of the circuit they are exact averages: of reads in which a cell's own wordline was inactive, and, per
    unit of its own level, of those in which it was active. A wordline that was never active is taken to be so alone,
    its bitlines at 0 V.

    How they scatter from read to read is left out, and laws of read disturb bend upwards: the published one moves cells
    a little less than if every read were solved. Tested against that, with 3 to 32 % of the wordlines active in a read:
    cells are off by up to 1 % of the array's largest change where lines take up to 6 % of the weights, by 4 % where
    they take up to 17 %, and by 12 % where a resistance that all cells of a bitline share takes 20 to 30 %. On average
    over the cells that moved it is up to 0.2, 2 and 8 % of their change, always too little.

    Attributes
    ----------
    active, inactive : array, (rows, cols)
    """

    active: np.ndarray
    inactive: np.ndarray

    @classmethod
    def of(cls, tile: Tile, activity: Activity) -> CellVoltages:
        """Solve the array for the average read that goes with each of its wordlines."""
        crossbar, rows, cols = tile.circuit
        first = first_row(tile.patch, tile.chip)
        used = rows[first:]

        def cells(wordlines: np.ndarray, patterns: np.ndarray) -> np.ndarray:
            """Solve for a pattern (n_used) for each of some wordlines; return the cells on them, (n, cols)."""
            v = np.zeros((len(wordlines), crossbar.n_rows))
            v[:, used] = patterns
            return row_cells(crossbar, v, used[wordlines], tol=_TOLERANCE)[:, cols]

        own, n_active = np.diag(activity.together)[:, None], activity.counts.sum(0)[:, None]
        seen = np.flatnonzero(own > 0)
        wires = crossbar.wires
        at_zero = wires.replace(**{name: _at_zero(getattr(wires, name)) for name in ("r_bitline", "r_sense")})
        alone = Crossbar(crossbar.g, wires=at_zero, cell=crossbar.cell, plausible=False)
        active = solve(alone, np.ones(crossbar.n_rows)).v_cell[np.ix_(used, cols)]
        active[seen] = cells(seen, activity.together[seen] / own[seen])
        v = np.zeros(crossbar.n_rows)
        v[used] = activity.total / activity.n_reads
        average = solve(crossbar, v).v_cell[np.ix_(rows, cols)]
        # the sum over all reads, less that over reads with the wordline active, is that over reads with it inactive
        spikes = activity.beside is activity.together
        beside = active.copy()
        if not spikes:
            beside[seen] = cells(seen, activity.beside[seen] / n_active[seen])
        while_active = n_active * beside
        n_inactive = activity.n_reads - n_active
        inactive = average.copy()
        times = np.where(n_inactive > 0, n_inactive, np.inf)
        inactive[first:] = (activity.n_reads * average[first:] - while_active) / times
        whole = np.zeros_like(average)
        whole[first:] = active
        return cls(whole, inactive)


def _at_zero(r: np.ndarray | float) -> np.ndarray:
    """Return resistances as nothing, but where connections are open."""
    return np.where(np.less(r, OPEN), 0.0, np.inf)


@dataclass
class Ageing:
    """How reads age the arrays while they happen.

    Attributes
    ----------
    tolerance : float
        An array is solved again when a conductance has moved by more than this, in units of the LRS.
    temperature : float
        [K].
    step_time : float
        Time that one image spends in a time step, which all arrays see [s].
    by : {"step", "batch"}
        After what they do.
    voltages : dict
        For each array, the cell voltages of the reads of the batch in which it was last solved.
    refreshes : int
        How often an array was solved again.
    """

    tolerance: float
    temperature: float
    step_time: float
    by: Literal["step", "batch"] = "step"
    voltages: dict[Tile, CellVoltages] = field(default_factory=dict)
    refreshes: int = 0

    def see(self, activities: Iterable[tuple[RowTile, Activity]]) -> None:
        """Solve the arrays whose cell voltages are not known for what their wordlines do."""
        unknown = [(t, activity) for row, activity in activities for t in row.tiles if t not in self.voltages]
        found = in_threads(lambda pair: CellVoltages.of(*pair), unknown)
        self.voltages |= {tile: voltages for (tile, _), voltages in zip(unknown, found)}

    def wear(self, counts: Iterable[tuple[RowTile, Counts]], dt: float) -> None:
        """Let arrays see reads of their wordlines, and time, and solve those that moved."""

        def use(item: tuple[Tile, Counts]) -> bool:
            tile, seen = item
            wear(tile, self.voltages[tile], seen, 1.0, self.temperature)
            tile.die.advance(dt=dt, temperature=self.temperature)
            moved = tile.moved > self.tolerance
            if moved:
                tile.refresh()
            return moved

        work = [(tile, seen) for row, seen in counts for tile in row.tiles]
        for (tile, _), moved in zip(work, in_threads(use, work)):
            if moved:
                del self.voltages[tile]
                self.refreshes += 1


def wear(tile: Tile, voltages: CellVoltages, activity: Counts, scale: float, temperature: float) -> None:
    """Let the cells of an array see ``scale`` times the reads of an activity."""
    v_read, first = tile.chip.device.v_read, first_row(tile.patch, tile.chip)
    inactive = np.full((tile.chip.rows, 1), activity.n_reads)
    inactive[first:, 0] -= activity.counts.sum(0)
    for level, counts in zip(activity.levels, activity.counts):
        if counts.any():
            n_reads = np.zeros((tile.chip.rows, 1))
            n_reads[first:, 0] = counts * scale
            tile.die.advance(level * v_read * voltages.active, n_reads, temperature=temperature)
    tile.die.advance(v_read * voltages.inactive, inactive * scale, temperature=temperature)
