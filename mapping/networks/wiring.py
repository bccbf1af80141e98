"""Which layer of a specification reads which: names, shapes, and the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mapping.ir.components import Component, components
from mapping.ir.shapes import Shape, pooled
from xbarsim.errors import ParameterError

INPUT = -1  # as the number of a layer


class Reads(NamedTuple):
    """What a branch of a layer takes in: the numbers of layers, so many steps late."""

    sources: tuple[int, ...]
    delay: int


@dataclass(frozen=True)
class Wiring:
    """The layers of a network as they read each other.

    Parameters
    ----------
    input_shape : (channels, height, width)
    layers : sequence of LayerSpec

    Attributes
    ----------
    names : list of str
    reads : list of lists of Reads
        Of each layer: of its own weights, its branches, its shortcuts.
    shapes : list of (channels, height, width)
        Of outputs.
    seen : list of lists of (channels, height, width)
        What the weights of each layer and of its branches are given.
    components : list of Component
        In which order layers run.

    Raises
    ------
    ParameterError
        If a layer reads what there is not, or what does not fit; its name is given.
    """

    input_shape: Shape
    layers: Sequence[Any]
    names: list[str] = field(init=False)
    reads: list[list[Reads]] = field(init=False)
    shapes: list[Shape] = field(init=False)
    seen: list[list[Shape]] = field(init=False)
    components: list[Component] = field(init=False)
    _numbers: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        names = [layer.name or f"layer {k}" for k, layer in enumerate(self.layers, 1)]
        numbers: dict[str, int] = {"input": INPUT}
        for k, name in enumerate(names):
            if name in numbers or "," in name:
                raise ParameterError(f"layer {k + 1}: has the name {name!r}; give one of its own, without commas")
            numbers[name] = k
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "_numbers", numbers)
        object.__setattr__(self, "reads", [self._reads(k) for k in range(len(names))])
        object.__setattr__(self, "shapes", self._shapes())
        object.__setattr__(self, "seen", [self._seen(k) for k in range(len(names))])
        sources = [[source for read in reads for source in read.sources] for reads in self.reads]
        object.__setattr__(self, "components", components(sources))

    def shape(self, source: int) -> Shape:
        """Return the shape of what a layer, or the input, gives."""
        return self.input_shape if source == INPUT else self.shapes[source]

    def _reads(self, k: int) -> list[Reads]:
        layer = self.layers[k]
        found = [self._named(k, layer.inputs or (self.names[k - 1] if k else "input",), layer.delay)]
        for branch in layer.branches:
            if not branch.inputs:
                raise ParameterError(f"{self.names[k]}: a branch has no inputs; name those that it reads")
            found.append(self._named(k, branch.inputs, branch.delay))
        return found + [self._named(k, (name,), 0) for name in layer.shortcuts]

    def _named(self, k: int, names: tuple[str, ...], delay: int) -> Reads:
        known = self._numbers
        for name in names:
            if name not in known:
                raise ParameterError(f"{self.names[k]}: reads {name!r}; there are {', '.join([*known][:20])}")
            if known[name] >= k and not delay:
                raise ParameterError(
                    f"{self.names[k]}: reads {name!r}, which has not fired yet in the same step; give delay = 1"
                )
        read = Reads(tuple(known[name] for name in names), delay)
        if self.layers[k].kind == "conv" and any(s >= 0 and self.layers[s].kind == "dense" for s in read.sources):
            raise ParameterError(f"{self.names[k]}: a convolution follows a dense layer; put the convolutions first")
        return read

    def _shapes(self) -> list[Shape]:
        """Infer shapes from the input on, through loops too."""
        shapes: dict[int, Shape] = {INPUT: self.input_shape}
        left = list(range(len(self.layers)))
        while left:
            waiting = []
            for k in left:
                known = self._known(k, shapes)
                if not known:
                    waiting.append(k)
                    continue
                given = [shapes[source] for source in self.reads[k][known[0]].sources]
                part = (self.layers[k], *self.layers[k].branches)[known[0]]
                shapes[k] = self._named_fault(k, pooled, self._through(k, part, given)[1], self.layers[k].pool)
            if len(waiting) == len(left):
                raise ParameterError(f"{self.names[left[0]]}: nothing leads to it from the input")
            left = waiting
        return [shapes[k] for k in range(len(self.layers))]

    def _known(self, k: int, shapes: dict[int, Shape]) -> list[int]:
        """Return the numbers of those weights of a layer that read what has a shape already."""
        reads = self.reads[k][: 1 + len(self.layers[k].branches)]
        return [j for j, read in enumerate(reads) if all(source in shapes for source in read.sources)]

    def _seen(self, k: int) -> list[Shape]:
        """Return what weights are given; check that all branches and shortcuts of a layer give what it adds up."""
        layer, reads = self.layers[k], self.reads[k]
        parts = (layer, *layer.branches)
        found = [
            self._through(k, part, [self.shape(source) for source in read.sources]) for part, read in zip(parts, reads)
        ]
        first = found[0][1]
        for _, given in found:
            if given != first:
                raise ParameterError(f"{self.names[k]}: adds up branches of the shapes {first} and {given}")
        for name, read in zip(layer.shortcuts, reads[len(parts) :]):
            given = self.shape(read.sources[0])
            if given != first:
                raise ParameterError(
                    f"{self.names[k]}: the shortcut from {name} has the shape {given}, its sums {first}; give it "
                    "weights, as a branch"
                )
        return [seen for seen, _ in found]

    def _through(self, k: int, part: Any, given: list[Shape]) -> tuple[Shape, Shape]:
        """Return what weights are given, and the shape of their outputs before they are pooled."""
        shape = self._named_fault(k, part.joined, given)
        if part.depthwise and part.out != shape[0]:
            raise ParameterError(
                f"{self.names[k]}: is depthwise with out = {part.out}, but has {shape[0]} input channels; give as many "
                "outputs"
            )
        seen, out = self._named_fault(k, part.geometry.shapes, shape)
        return seen, out

    def _named_fault(self, k: int, of: Callable[..., Any], *given: Any) -> Any:
        """Return what a function gives; its errors get the name of a layer."""
        try:
            return of(*given)
        except ParameterError as error:
            raise ParameterError(f"{self.names[k]}: {error}") from None
