"""From a network to what a chip has to hold: the passes one after the other, and what each of them did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod

from mapping.ir.graph import Graph
from mapping.ir.shapes import sized
from mapping.lower.bit_slice import bit_slice
from mapping.lower.distribute import distribute
from mapping.lower.fill_range import CellLevels, fill_range
from mapping.lower.fold_norm import fold_norm
from mapping.lower.fuse import fuse
from mapping.lower.placement import Grid, bitlines, place
from mapping.lower.plain_kernels import plain_kernels
from mapping.lower.pool_spikes import pool_spikes
from mapping.lower.quantize import quantize
from mapping.lower.stages import Rows, Stage, stages
from mapping.lower.unfold import unfold

Pass = Callable[[Graph], Graph]
TO_LAYERS: tuple[Pass, ...] = (distribute, unfold, pool_spikes, fuse)
TO_INTEGERS: tuple[Pass, ...] = (*TO_LAYERS, quantize, plain_kernels, fold_norm)
TO_CELLS: tuple[Pass, ...] = (*TO_INTEGERS, bit_slice)  # of two states


def to_cells(levels: CellLevels) -> tuple[Pass, ...]:
    """Return the passes that lead to cells of so many levels."""
    if levels == 2:
        return TO_CELLS
    filled, sliced = partial(fill_range, levels=levels), partial(bit_slice, levels=levels)
    return (*TO_LAYERS, quantize, filled, plain_kernels, fold_norm, sliced)


def lower(graph: Graph, passes: Sequence[Pass] = TO_CELLS) -> list[Stage]:
    """Return what arrays and the circuits behind them compute, layer by layer.

    Raises
    ------
    ParameterError
        If a pass cannot take the network; the node is named.
    """
    for step in passes:
        graph = step(graph)
    return stages(graph)


def explain(graph: Graph, grids: Mapping[str, Grid]) -> str:
    """Say what each pass does to a network, and how its layers lie on the arrays of chips, by their names."""
    alike: dict[CellLevels, dict[str, Grid]] = {}
    for name, grid in grids.items():
        alike.setdefault(grid.cell_levels, {})[name] = grid
    return "\n".join(_explained(graph, levels, found) for levels, found in alike.items())


def _explained(graph: Graph, levels: CellLevels, grids: Mapping[str, Grid]) -> str:
    """Explain how chips with cells of so many levels hold a network."""
    lines = []
    for step in to_cells(levels):
        before, graph = graph, step(graph)
        changes = [
            f"  {name}: {before.nodes.get(name, 'new')} -> {graph.nodes.get(name, 'gone')}"
            for name in {**before.nodes, **graph.nodes}
            if str(graph.nodes.get(name)) != str(before.nodes.get(name))
        ]
        lines += [_title(step), *(changes or ["  nothing to do"])]
    made = stages(graph)
    lines += [_title(stages), *(f"  {stage.name}: {_read(stage)}" for stage in made), _title(place)]
    for chip, grid in grids.items():
        lines += [f"  {chip}, {stage.name}: {_placed(rows, grid)}" for stage in made for rows in stage.rows]
    return "\n".join(lines)


def _title(step: Callable[..., object]) -> str:
    step = step.func if isinstance(step, partial) else step
    assert step.__doc__ is not None
    return f"{step.__name__}: {step.__doc__.splitlines()[0]}"


def _read(stage: Stage) -> str:
    pool = f", {stage.spec.pool_by} of {sized(stage.spec.window)}" if stage.spec.pool != 1 else ""
    return f"{stage.n_positions} reads a frame{pool}, {prod(stage.neurons)} neurons: {stage.activation}"


def _placed(driven: Rows, grid: Grid) -> str:
    n_out, n_in = driven.weights.shape
    rows = place(n_in, n_out, grid)
    used = sum(patch.n_rows * bitlines(patch, grid) for row in rows for patch in row)
    n_tiles = len(rows) * len(rows[0])
    lines = "2 bitlines an output" if grid.weights == "differential" else "1 bitline an output, 2 references an array"
    share = used / (n_tiles * grid.rows * grid.cols)
    arrays = f"{len(rows)} x {len(rows[0])} arrays of {grid.rows} x {grid.cols}"
    return f"{n_in} inputs on wordlines, {n_out} outputs at {lines} -> {arrays}, {share:.0%} of their cells in use"
