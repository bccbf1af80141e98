"""Numbers and settings of other frameworks, checked and named where they are taken over."""

from __future__ import annotations

from typing import Any

import numpy as np

from mapping.ir.neuron import NeuronSpec
from mapping.ir.numbers import fault
from mapping.ir.ops import Lif
from mapping.ir.shapes import Shape
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


def square(value: Any, what: str, name: str) -> int:
    """Return the one number of a square setting."""
    found = {int(v) for v in np.ravel(value)}
    if len(found) != 1:
        raise ParameterError(f"{what}: {name} = {value}; only square ones are supported")
    return found.pop()


def zeros_around(value: Any, kernel: int, what: str) -> int:
    """Return the zeros on each side, from a number or a name."""
    if not isinstance(value, str | bytes):
        return square(value, what, "padding")
    name = value.decode() if isinstance(value, bytes) else value
    if name == "same" and kernel % 2 == 0:
        raise ParameterError(f"{what}: padding = 'same' with the even kernel {kernel} is not supported")
    return {"same": kernel // 2, "valid": 0}[name]


def input_shape(given: int | tuple[int, ...] | None) -> Shape:
    """Return (channels, height, width) of an input."""
    sizes = (given,) if isinstance(given, int) else given
    if sizes is None or len(sizes) not in (1, 3):
        raise ParameterError(f"input_shape = {given}: give (channels, height, width) of an input")
    channels, *places = (int(size) for size in sizes)
    return (channels, 1, 1) if not places else (channels, places[0], places[1])
