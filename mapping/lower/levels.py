"""Weights on a few evenly spaced levels: found in networks that come with them, or made of real ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from mapping.ir.graph import Graph
from mapping.ir.ops import Op, Weights

Kind = Literal["binary", "ternary"] | int
_MOST = 127  # above 0, those of 8 bits
_NEAR = 2e-5  # how near a level has to be, in steps: what single precision leaves of one
_EACH = 4  # weights for each level, or it may be chance


def recognised(op: Weights) -> Weights:
    """Return weights as whole numbers times a scale, if they lie on a few evenly spaced levels; else as they are."""
    if op.values.dtype.kind == "i":
        return op
    flat = op.values.reshape(len(op.values), -1)
    found = _steps(flat.reshape(1, -1)) if flat.size else None
    found = _steps(flat) if found is None else np.broadcast_to(found, len(flat))
    if found is None:
        return op
    whole = np.rint(flat / found[:, None])
    top = int(np.abs(whole).max(initial=1))
    levels: Kind = top.bit_length() + 1
    if top == 1:
        levels = "binary" if whole.all() else "ternary"
    return replace(op, values=_typed(whole, top).reshape(op.values.shape), scale=op.scale * found, levels=levels)


def _steps(rows: np.ndarray) -> np.ndarray | None:
    """Return the step between the levels of each row, the largest that all of its numbers are multiples of."""
    steps = []
    for row in rows:
        sizes = np.unique(np.abs(row))
        sizes = sizes[sizes > 0]
        if len(sizes) > _MOST:
            return None
        for top in range(1, _MOST + 1 if len(sizes) else 1):
            multiples = sizes / sizes[-1] * top
            if np.abs(multiples - np.rint(multiples)).max() <= _NEAR * top:
                break
        else:
            if len(sizes):
                return None
            top = 1
        if top > 1 and row.size < _EACH * top:
            return None
        if not len(sizes):
            steps.append(1.0)
            continue
        one = sizes[np.rint(sizes / sizes[-1] * top) == 1]  # what its source has for a step, if there is one
        steps.append(float(one[0]) if len(one) else float(sizes[-1]) / top)
    return np.array(steps)


def made_levels(graph: Graph, kind: Kind) -> Graph:
    """Put the real weights of all layers on levels, each layer on those that are nearest.

    n bits: 2^n - 1 levels, the largest being the largest weight of the layer. Binary: signs times the average |w| of
    each output (M. Rastegari et al., "XNOR-Net", arXiv:1603.05279). Ternary: 0 where |w| is at most 0.7 of the layer's
    average, else signs times the average of what is left of each output (F. Li et al., arXiv:1605.04711). What is added
    up on the same membranes gets one scale.
    """
    changed: dict[str, Op] = {}
    for layer in graph.layers():
        ops = {branch.weights.name: branch.weights.op for branch in layer.branches}
        wide = {
            name: (op.values * np.reshape(np.broadcast_to(op.scale, len(op.values)), (-1, 1, 1, 1)))
            for name, op in ops.items()
        }
        rows = np.hstack([values.reshape(len(values), -1) for values in wide.values()])
        if isinstance(kind, int):
            top = (1 << kind - 1) - 1
            scale = np.full(len(rows), (np.abs(rows).max() or 1.0) / top)
        else:
            top, least = 1, 0.7 * np.abs(rows).mean() if kind == "ternary" else -1.0
            kept = np.abs(rows) > least
            count = np.maximum(kept.sum(1), 1)
            scale = (np.abs(rows) * kept).sum(1) / count
            scale = np.where(scale > 0, scale, 1.0)
        for name, op in ops.items():
            values = wide[name]
            if isinstance(kind, int):
                whole = np.rint(values / scale.reshape(-1, 1, 1, 1))
            else:
                whole = np.where(values >= 0, 1, -1) * (np.abs(values) > least)
            changed[name] = replace(op, values=_typed(whole, top), scale=scale, levels=kind)
    return graph.changed(changed)


def _typed(whole: np.ndarray, top: int) -> np.ndarray:
    return whole.astype(np.int8 if top < 128 else np.int16)
