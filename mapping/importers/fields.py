"""Numbers and settings of other frameworks, checked and named where they are taken over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mapping.ir.graph import Graph
from mapping.ir.neuron import NeuronSpec
from mapping.ir.numbers import fault
from mapping.ir.ops import Lif, Weights
from mapping.ir.shapes import Geometry, Pair, Shape
from xbarsim.errors import ParameterError


def numbers(x: np.ndarray, what: str, name: str, **limits: float) -> np.ndarray:
    """Return an array in double precision; refuse it, by these names, for a :func:`fault`."""
    wrong = fault(x, **limits)
    if wrong is not None:
        raise ParameterError(f"{what}, tensor {name!r} {wrong}")
    return x.astype(float)


def neurons(what: str, threshold: np.ndarray, beta: np.ndarray, **rules: Any) -> Lif:
    """Return spiking neurons with numbers, or arrays as their source has them."""
    if not np.all(threshold > 0):
        raise ParameterError(f"{what}: a threshold is not above 0")
    neuron = NeuronSpec(beta=float(beta.mean()), threshold=float(threshold.mean()), **rules)
    return Lif(neuron=neuron, threshold=threshold, beta=beta)


def window(kernel_size: Any, stride: Any, padding: Any, what: str, line: bool = False) -> int | Pair:
    """Return the side, or rows and columns, of pooling windows that lie side by side."""
    sides, steps = (np.ravel(value).astype(int).tolist() or [0] for value in (kernel_size, stride))
    if (sides[0], sides[-1]) != (steps[0], steps[-1]) or min(sides) < 1 or np.any(padding):
        raise ParameterError(f"{what}: only pooling with stride = kernel_size and no padding is supported")
    rows = 1 if line else sides[0]
    return rows if rows == sides[-1] else (rows, sides[-1])


def convolution(
    what: str, values: np.ndarray, bias: np.ndarray | None, groups: int, padding_mode: str = "zeros", **settings: Any
) -> Weights:
    """Return weights (out, in of a group, taps along one or two axes) with stride, padding and dilation.

    These are numbers, one for each axis, or for padding ``"same"`` or ``"valid"``; one axis is that of columns.
    """
    flat, rest = values.ndim == 3, {"stride": 1, "padding": 0, "dilation": 1}
    values = values[:, :, None] if flat else values
    axes: dict[str, Any] = {}
    for name, value in settings.items():
        named = value.decode() if isinstance(value, bytes) else value
        if isinstance(named, str) and named in ("same", "valid"):
            axes[name] = None if named == "same" else 0
            continue
        found = [] if isinstance(named, str) else [int(v) for v in np.ravel(value)]
        if not 1 <= len(found) <= (1 if flat else 2):
            raise ParameterError(f"{what}: {name} = {value}; give one number, or one for each axis of the weights")
        axes[name] = (rest[name], found[0]) if flat else (found[0], found[-1])
    try:
        geometry = Geometry(
            kind="conv",
            out=len(values),
            kernel=values.shape[2:],
            groups=groups,
            padding_mode=padding_mode,
            bias=bias is not None,
            **axes,
        )
    except ParameterError as error:
        raise ParameterError(f"{what}: {error}") from None
    return Weights(geometry=geometry, values=values, levels="float", bias=bias)


def check_lines(graph: Graph, names: Iterable[str]) -> None:
    """Refuse inputs of several rows for convolutions along one axis."""
    for name in names:
        (edge,) = graph.before(name)
        if (shape := graph.shapes[edge.source])[1] > 1:
            raise ParameterError(f"{name}: runs along one axis, its inputs are {shape}; give (channels, 1, length)")


def input_shape(given: int | tuple[int, ...] | None, lines: bool = False) -> Shape:
    """Return (channels, height, width) of an input, which may be (channels, length) if a network takes lines."""
    sizes = (given,) if isinstance(given, int) else given
    if sizes is None or len(sizes) not in (1, 2 if lines else 3, 3):
        raise ParameterError(f"input_shape = {given}: give (channels, height, width) of an input")
    channels, *places = (int(size) for size in sizes)
    height, width = (1, 1, *places)[-2:]
    return channels, height, width
