"""Real weights of a given number of bits as whole numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mapping.ir.graph import Graph, Layer
from mapping.ir.ops import Levels, Op, Weights
from xbarsim.errors import ParameterError


def quantize(graph: Graph) -> Graph:
    """Weights of n bits become whole numbers, of which the largest stands for the largest real weight of the layer.

    What is computed changes by the rounding of weights, and not at all where they were levels already. Weights that are
    added up on the same membranes get one scale: those of several scales take the most bits that any of them has, or,
    of signs, as many as make them multiples of one.

    Raises
    ------
    ParameterError
        If signs are added up whose scales are no multiples of one.
    """
    changed: dict[str, Op] = {}
    for layer in graph.layers():
        changed |= _shared(layer) if len(layer.branches) > 1 else {}
        ops = {branch.weights.name: branch.weights.op for branch in layer.branches}
        ops |= {name: op for name, op in changed.items() if name in ops and isinstance(op, Weights)}
        real = {name: op for name, op in ops.items() if isinstance(op.levels, int) and op.values.dtype.kind != "i"}
        if real:
            most = np.max([np.abs(op.values).max() for op in real.values()])
            changed |= {name: _whole(op, most) for name, op in real.items()}
    return graph.changed(changed)


def _whole(op: Weights, most: np.ndarray) -> Weights:
    top = (1 << int(op.levels) - 1) - 1
    scale = (most if most > 0 else np.ones_like(most)) / op.values.dtype.type(top)
    levels = np.rint(op.values / scale).astype(np.int8 if top < 128 else np.int16)
    return replace(op, values=levels, scale=op.scale * float(scale))


def _shared(layer: Layer) -> dict[str, Op]:
    """Return the weights of a layer in one unit, real ones again if they had several."""
    ops = {branch.weights.name: branch.weights.op for branch in layer.branches}
    scales = [np.broadcast_to(op.scale, len(op.values)) for op in ops.values()]
    alike = all(np.allclose(scale, scales[0], rtol=1e-6, atol=0) for scale in scales)
    bits = [op.levels for op in ops.values() if not isinstance(op.levels, str)]
    whole = all(op.values.dtype.kind == "i" for op in ops.values())
    if alike and whole:
        return {name: replace(op, levels=max(bits)) for name, op in ops.items()} if bits else {}
    if any(op.levels == "float" for op in ops.values()):
        return {name: _real(op, "float") for name, op in ops.items()}
    if whole:
        least = np.min(scales, 0)
        times = np.array(scales) / least
        values = [op.values * np.rint(each).astype(int)[:, None, None, None] for op, each in zip(ops.values(), times)]
        most = max(int(np.abs(one).max()) for one in values)
        if np.allclose(times, np.rint(times), rtol=1e-6, atol=0) and most < 1 << 15:
            levels, kind = most.bit_length() + 1, np.int8 if most < 128 else np.int16
            return {
                name: replace(op, values=one.astype(kind), scale=least, levels=levels)
                for (name, op), one in zip(ops.items(), values)
            }
    if not bits:
        raise ParameterError(
            f"{layer.name}: adds up {len(ops)} kinds of binary or ternary weights whose scales are no multiples of "
            "one, which the same membranes cannot; quantize them to several bits"
        )
    return {name: _real(op, max(bits)) for name, op in ops.items()}


def _real(op: Weights, levels: Levels) -> Weights:
    scale = np.broadcast_to(op.scale, len(op.values)).reshape(-1, 1, 1, 1)
    return replace(op, values=op.values * scale, scale=1.0, levels=levels)
