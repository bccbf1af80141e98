"""NIR as plain data: nodes and edges of a file or a graph, subgraphs unfolded; checked by us, as files differ.

J. E. Pedersen et al., Nature Communications 15, 8122 (2024).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mapping.importers.fields import numbers
from xbarsim.apart import check_apart
from xbarsim.errors import UNREADABLE, FileError, InputWarning, ParameterError, brief, extra

_READ = "import sys, h5py; from nir.serialization import hdf2dict; hdf2dict(h5py.File(sys.argv[1])['node'])"


@dataclass(frozen=True)
class NirNode:
    """A node: what errors call it, its type, its fields."""

    what: str
    kind: str
    fields: dict[str, Any]

    def has(self, name: str) -> bool:
        """Whether it has a field that is not None."""
        return self.fields.get(name) is not None

    def numbers(self, name: str, *, infinite: bool = False, **limits: float) -> np.ndarray:
        """Return a field in double precision, as :func:`mapping.importers.fields.numbers`."""
        if not self.has(name):
            raise ParameterError(f"{self.what}: has no {name!r}; write it again with nir 1.0")
        given = np.asarray(self.fields[name])
        if given.dtype.kind not in "biufc" or not given.size:
            raise ParameterError(
                f"{self.what}, tensor {name!r} is of type {given.dtype} and shape {given.shape}; give numbers"
            )
        numbers(np.where(given == np.inf, 1, given) if infinite else given, self.what, name, **limits)
        return given.astype(float)


@dataclass
class NirGraph:
    """Nodes by name, and edges."""

    label: str
    nodes: dict[str, NirNode] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)

    def before(self, name: str) -> list[str]:
        """Return the names of the nodes that lead to one."""
        return [source for source, target in self.edges if target == name]

    def after(self, name: str) -> list[str]:
        """Return the names of the nodes that one leads to."""
        return [target for source, target in self.edges if source == name]


def read_nir(source: Any) -> NirGraph:
    """Return the graph of a file, or of a ``nir.NIRGraph``.

    Raises
    ------
    FileError
        If a file cannot be read.
    ParameterError
        If an edge leads to or from a node that is not there.
    """
    label = str(source) if isinstance(source, str | Path) else "NIRGraph"
    with extra("nir", label):
        import h5py
        import nir
    if not isinstance(source, str | Path):
        return _unfolded(label, source.to_dict())
    check_apart(Path(source), _READ, "NIR")
    try:
        with h5py.File(source, "r") as file:
            whole = nir.serialization.hdf2dict(file["node"])
        return _unfolded(label, whole)
    except UNREADABLE as error:
        raise FileError(f"{label}: cannot be read as NIR ({brief(error)})") from None


def _unfolded(label: str, whole: Any) -> NirGraph:
    """Return a graph as it is stored with all that is in its subgraphs; their inputs and outputs are plain wires."""
    made = NirGraph(label)
    _unfold(made, "", whole)
    return made


def _unfold(into: NirGraph, prefix: str, whole: Any) -> None:
    nodes, where = dict(whole["nodes"]), f"{into.label}{prefix and f', subgraph {prefix[:-1]!r}'}"
    edges = _repaired(where, list(nodes), [(_text(start), _text(end)) for start, end in whole["edges"]])
    for name, stored in nodes.items():
        kind = _text(stored["type"])
        if kind == "NIRGraph":
            _unfold(into, f"{prefix}{name}.", stored)
            continue
        if prefix and kind in ("Input", "Output"):
            kind = "Identity"
        fields = {key: value for key, value in stored.items() if key != "type"}
        into.nodes[prefix + name] = NirNode(f"{into.label}: node {prefix + name!r} ({kind})", kind, fields)
    ends = {name: _ends(stored) for name, stored in nodes.items() if _text(stored["type"]) == "NIRGraph"}
    for start, end in edges:
        outs = [f"{start}.{name}" for name in ends[start][1]] if start in ends else [start]
        ins = [f"{end}.{name}" for name in ends[end][0]] if end in ends else [end]
        if len(outs) != 1 or len(ins) != 1:
            raise ParameterError(
                f"{into.label}: an edge from {start!r} to {end!r}: a subgraph needs one input and output"
            )
        into.edges.append((prefix + outs[0], prefix + ins[0]))


def _ends(stored: Any) -> tuple[list[str], list[str]]:
    """Return the inputs and outputs of a subgraph."""
    kinds = {name: _text(node["type"]) for name, node in stored["nodes"].items()}
    found = tuple([name for name, kind in kinds.items() if kind == what] for what in ("Input", "Output"))
    return found[0], found[1]


def _repaired(where: str, names: list[str], edges: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return edges between nodes that are there; one unknown name stands for the one node without edges."""
    unknown = sorted({end for edge in edges for end in edge} - set(names))
    alone = [name for name in names if not any(name in edge for edge in edges)]
    if len(unknown) == 1 and len(alone) == 1:
        warnings.warn(
            f"{where}: its edges name {unknown[0]!r}, which is no node, and none {alone[0]!r}; they are taken for one",
            InputWarning,
            stacklevel=2,
        )
        known = {unknown[0]: alone[0]}
        edges = [(known.get(start, start), known.get(end, end)) for start, end in edges]
    elif unknown:
        raise ParameterError(f"{where}: an edge leads to or from {unknown[0]!r}, which is no node; there are {names}")
    return edges


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
