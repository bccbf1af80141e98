"""The graph of one time step out of what a module was seen to do in all of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from mapping.importers.applied import INPUT, Applied, Laid, Source
from mapping.importers.fields import neurons
from mapping.importers.neuron_modules import lif_of, taken
from mapping.importers.snntorch import recurrence_of
from mapping.importers.tracing import Trace
from mapping.ir.graph import Edge, Graph
from mapping.ir.ops import Add, Input, Op, Pool, Weights
from mapping.ir.shapes import Shape
from xbarsim.errors import ParameterError


class Found(NamedTuple):
    """A graph, what the module gave for its neurons in each step, and how many times our membranes that is.

    Attributes
    ----------
    graph : Graph
    numbers : dict
        By names of neurons, or of what is read out: (n, numbers) for each time step.
    gains : dict
        By names of neurons; 1 for spikes.
    """

    graph: Graph
    numbers: dict[str, list[Tensor]]
    gains: dict[str, float]


def found_in(trace: Trace, t_steps: int, shape: Shape) -> Found:
    """Return the graph of a trace over so many time steps, for inputs of some shape.

    Raises
    ------
    ParameterError
        If the graph is not the same in each time step, or ends in several places.
    """
    laid, gains = Laid(trace.applied), dict[str, float]()
    laid.nodes[INPUT] = Input(shape=shape)
    for name, seen in trace.neurons.items():
        _check_steps(trace.applied, name, seen.sources, t_steps)
        weights = _weights(trace.applied, seen.sources[-1])
        laid.nodes[name], gains[name] = lif_of(seen.part, name, weights)
        if not (taken(seen.part) or ("", ""))[1].startswith("R"):
            laid.read(seen.sources[-1], name)
            continue
        back, added = f"{name}, back", f"{name}, sum"
        laid.nodes |= {back: recurrence_of(seen.part, name, weights), added: Add()}
        laid.read(seen.sources[-1], added)
        laid.edges += [Edge(name, back, 1), Edge(back, added), Edge(added, name)]
    numbers = {name: seen.numbers for name, seen in trace.neurons.items()}
    end = _end(trace, t_steps)
    if end not in numbers:
        at = f"{end}, read-out"
        laid.nodes[at] = neurons(end, np.ones(()), np.zeros(()), reset_mechanism="none", fire="never")
        laid.read(Source(end, 0), at)
        numbers[at] = [trace.outputs[end][step] for step in range(t_steps)]
        end = at
    laid.nodes[end] = laid.nodes.pop(end)  # last in the order too, whatever it gives back to others
    return Found(Graph(laid.nodes, laid.edges), numbers, gains)


def _check_steps(applied: Applied, name: str, sources: list[Source], t_steps: int) -> None:
    """Refuse neurons that do not read the same in each time step, as far as there was anything to read."""
    if len(sources) != t_steps:
        raise ParameterError(
            f"{name}: took {len(sources)} time steps with one state, others {t_steps}; each step has to run all "
            "neurons once, and to pass on their states"
        )
    last = set(applied.leaves(sources[-1]))
    for step, source in enumerate(sources):
        if set(applied.leaves(source)) != {leaf for leaf in last if leaf.delay <= step}:
            raise ParameterError(
                f"{name}: reads something else in time step {step + 1} than in time step {t_steps}; what a module "
                "computes has to be the same in each"
            )


def _weights(applied: Applied, source: Source) -> Op | None:
    """Return the first weights on the way to what is read."""
    while source.node in applied.nodes:
        node = applied.nodes[source.node]
        if isinstance(node.op, Weights):
            return node.op
        source = node.sources[0]
    return None


def _end(trace: Trace, t_steps: int) -> str:
    """Return the neurons that no others read, or what comes after the last ones in each time step."""
    applied, read, inner = trace.applied, set[str](), set[str]()
    for name, seen in trace.neurons.items():
        read |= {leaf.node for leaf in applied.leaves(seen.sources[-1])} - {name}
        inner |= applied.used(seen.sources[-1])
    outer = [name for name in applied.nodes if name not in inner and _is_read_out(trace, name, t_steps)]
    before = {name for at in outer for source in applied.nodes[at].sources for name in applied.used(source)}
    ends = [name for name in outer if name not in before]
    for name in ends:
        if name in trace.misread:
            raise ParameterError(f"{trace.misread[name]} after {name}; see load_network for what is")
        read |= {leaf.node for leaf in applied.leaves(Source(name, 0))}
    ends += [name for name in trace.neurons if name not in read]
    if not ends:
        given = {leaf.node for name in trace.returned for leaf in applied.leaves(Source(name, 0))}
        ends = [name for name in trace.neurons if name in given]
    if len(ends) != 1:
        raise ParameterError(f"ends in {' and '.join(ends) or 'a loop'}; a network has one output")
    return ends[0]


def _is_read_out(trace: Trace, name: str, t_steps: int) -> bool:
    """Return whether weights or pooling of spikes are applied in each step, unlike sums over steps."""
    steps = [step for step in trace.outputs.get(name, ()) if step >= 0]
    if t_steps - 1 not in steps or len(steps) < min(2, t_steps):
        return False
    ops = (trace.applied.nodes[node].op for node in trace.applied.used(Source(name, 0)))
    return any(isinstance(op, Weights | Pool) for op in ops)
