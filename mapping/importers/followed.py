"""What is known of the tensors that a torch module computes: where their numbers come from."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mapping.importers.applied import Applied
from mapping.importers.origins import NOTHING, OrderError, Origins, Produced, Rows
from mapping.networks.finite import plain
from xbarsim.errors import ParameterError

_READ_OUT = {"sum", "mean", "div", "true_divide", "mul", "softmax", "log_softmax", "max", "argmax", "topk", "div_"}


class Padding(NamedTuple):
    """Rows and columns that were added at both ends, and what they hold, as torch calls it."""

    rows: int
    cols: int
    mode: str


class Seen(NamedTuple):
    """A tensor whose numbers are known by their codes; or those of what was padded, for a convolution to read."""

    codes: Tensor
    padding: Padding | None = None


class State(NamedTuple):
    """A membrane or current of neurons."""

    neurons: str


class Lost(NamedTuple):
    """A tensor that something unknown was computed for, from some nodes."""

    why: str
    nodes: frozenset[str]


class Followed(TorchFunctionMode):
    """The tensors of a run, and the nodes that they come from."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.origins, self.applied = Origins(), Applied()
        self.outputs: dict[str, dict[int, Tensor]] = {}  # of nodes without a state, by time step
        self.misread: dict[str, str] = {}  # what was computed from such nodes that is no read-out
        self._values: dict[int, tuple[Tensor, Seen | State | Lost]] = {}
        self._digests: dict[int, tuple[Tensor, int, bytes]] = {}
        self._path, self._leaf = [name], [False]  # modules that run, and whether they have no parts

    def _get(self, x: Tensor) -> Seen | State | Lost | None:
        held = self._values.get(id(x))
        return None if held is None else held[1]

    def _put(self, x: Tensor, value: Seen | State | Lost) -> None:
        self._values[id(x)] = (x, value)

    def _put_zeros(self, x: Tensor) -> None:
        if not x.any():
            self._put(x, Seen(torch.full(x.shape, NOTHING)))

    def _seen(self, x: Tensor) -> Tensor:
        """Return the codes of a tensor that is read."""
        if self._get(x) is None:
            self._put_zeros(x)
        value = self._get(x)
        if isinstance(value, Seen) and value.padding:
            raise ParameterError(f"{self._path[-1]}: reads what was padded; only a convolution can")
        if isinstance(value, Seen):
            return value.codes
        if isinstance(value, State):
            raise ParameterError(f"{self._path[-1]}: reads states of {value.neurons}; only its spikes can be read")
        if value is None:
            raise ParameterError(f"{self._path[-1]}: reads numbers that come neither from the sample nor from neurons")
        raise ParameterError(f"{value.why} between inputs, weights and neurons; see load_network for what is")

    def _lost(self, name: str, values: list[Any]) -> Lost:
        why = next((value.why for value in values if isinstance(value, Lost)), None)
        nodes = frozenset[str]().union(*(self._nodes(value) for value in values))
        return Lost(why or f"{self._path[-1]}: its function {name!r} is not supported", nodes)

    def _nodes(self, value: Seen | State | Lost) -> set[str]:
        if isinstance(value, Seen):
            return self.origins.nodes(value.codes)
        return set(value.nodes) if isinstance(value, Lost) else set()

    def _misread(self, name: str, values: list[Any]) -> None:
        """Remember what was computed that reads nothing out."""
        if name not in _READ_OUT:
            for value in values:
                for node in self._nodes(value):
                    self.misread.setdefault(node, self._lost(name, values).why)

    def _rows(self, codes: Tensor, axes: int, steps: np.ndarray | None = None) -> Rows:
        try:
            return self.origins.rows(codes, axes, steps)
        except OrderError as error:
            raise OrderError(f"{self._path[-1]}: {error}") from None

    def _apply(self, name: str, out: Tensor, given: Sequence[Tensor], axes: int, key: Hashable, op: Any) -> None:
        """Note that a node was applied to rows of some codes, and gave a tensor."""
        rows = [self._rows(codes, axes) for codes in given]
        steps, samples = (np.max(x, 0) for x in ([one.steps for one in rows], [one.samples for one in rows]))
        if len(rows) > 1:
            rows = [self._rows(codes, axes, steps) for codes in given]
        what = self._path[-1] if self._leaf[-1] else f"{self._path[-1]}, {name}"
        sizes = self.origins.sizes
        sources = [self.applied.source(what, one, x.shape[axes:], sizes) for one, x in zip(rows, given)]
        node = self.applied.name(what, key, tuple(sources), op)
        produced = Produced(node, steps, samples, out.numel() // len(steps))
        self._put(out, Seen(self.origins.codes(produced, out.shape)))
        for step in np.unique(steps).tolist():
            at = torch.from_numpy(steps == step)
            self.outputs.setdefault(node, {})[step] = out.reshape(len(steps), -1)[at].clone()

    def _digest(self, x: Tensor | None) -> bytes:
        """Return what tells numbers apart from others."""
        if x is None:
            return b""
        held = self._digests.get(id(x))
        if held is None or held[1] != x._version:
            bytes_of = hashlib.blake2b(np.ascontiguousarray(plain(x)).tobytes(), digest_size=16).digest()
            held = self._digests[id(x)] = (x, x._version, bytes_of)
        return held[2]

    def _rows_end(self, codes: Tensor) -> int:
        """Return how many axes come before those of one sample at one time step."""
        try:
            self.origins.rows(codes, 1)
        except OrderError:
            return 2
        return 1
