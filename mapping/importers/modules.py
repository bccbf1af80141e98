"""The network that a torch module is, found by running it on a sample, and proven on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mapping.importers.fields import input_shape
from mapping.importers.neuron_modules import reset
from mapping.importers.origins import NOTHING, OrderError
from mapping.importers.proof import prove
from mapping.importers.traced_graph import Found, found_in
from mapping.importers.tracing import Trace
from mapping.lower.levels import Kind
from mapping.networks.from_graph import lowered, network_of
from mapping.networks.network import Network
from xbarsim.errors import ParameterError, brief
from xbarsim.parameters import array_of
from xbarsim.streams import whole_number

_STEPS = 25  # of a module that takes one step in a call


class _Reading(NamedTuple):
    """What the axes of a sample are, n (samples) and t (time steps), and whether a call takes a single step."""

    axes: str
    stepwise: bool = False


_READINGS = {
    2: (_Reading("n"),),
    3: (_Reading("tn"), _Reading("tn", stepwise=True), _Reading("nt"), _Reading("n")),
    4: (_Reading("n"), _Reading("tn"), _Reading("tn", stepwise=True), _Reading("nt")),
    5: (_Reading("tn"), _Reading("tn", stepwise=True), _Reading("nt")),
}


class _RunError(ParameterError):
    """A module cannot be run on a sample."""


def network_of_module(
    module: nn.Module, sample: Any, shape: int | tuple[int, ...] | None, t_steps: int | None, decoder: str | None,
    kind: Kind | None,
) -> Network:  # fmt: skip
    """Return the network that a module is, if it gives the same spikes on a sample.

    Raises
    ------
    ParameterError
        If something in the module cannot be taken over, or a layer gives other spikes; its name is given.
    """
    x = _checked(module, sample)
    if t_steps is not None and whole_number(t_steps, "t_steps") < 1:
        raise ParameterError(f"t_steps = {t_steps}: give 1 or more")
    errors = list[ParameterError]()
    for reading in _READINGS[x.ndim]:
        try:
            trace, steps = _run(module, x, reading, t_steps)
            found = found_in(trace, steps, _shape(x, reading, trace, shape))
            break
        except ParameterError as error:
            errors.append(error)
    else:
        raise min(errors, key=lambda error: 2 * isinstance(error, _RunError) + isinstance(error, OrderError))
    network = network_of(found.graph, steps, decoder)
    _prove(network, found, x, reading)
    return network if kind is None else network_of(found.graph, steps, decoder, kind)


def _checked(module: nn.Module, sample: Any) -> Tensor:
    """Return a sample as the module takes it."""
    x = sample if isinstance(sample, Tensor) else torch.as_tensor(array_of(sample, "sample"))
    if x.ndim not in _READINGS or x.numel() == 0 or x.is_complex() or not x.isfinite().all():
        raise ParameterError(
            f"sample has the shape {tuple(x.shape)}: give a batch of finite inputs, (n, features) or (n, channels, "
            "height, width), or of sequences, (t_steps, n, ...) or (n, t_steps, ...)"
        )
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    return x.detach().to(like.device, like.dtype)


def _run(module: nn.Module, x: Tensor, reading: _Reading, t_steps: int | None) -> tuple[Trace, int]:
    """Return what was seen when a module ran on a sample, and over how many time steps it did."""
    timed = len(reading.axes) == 2
    with _as_before(module):
        trace = Trace(module.eval())
        reset(module)
        if reading.stepwise:
            for step, now in enumerate(x):
                _call(module, trace, now.clone(), np.full(len(now), step), np.arange(len(now)))
        else:
            first, second = np.indices(x.shape[:2] if timed else (1, len(x))).reshape(2, -1)
            steps, samples = (second, first) if reading.axes == "nt" else (first, second)
            _call(module, trace, x, steps if timed else np.full(len(x), NOTHING), samples)
        name = type(module).__name__
        if not trace.neurons:
            raise ParameterError(f"{name}: no neurons of snnTorch, SpikingJelly or Norse took a step; see load_network")
        ran = max(len(seen.numbers) for seen in trace.neurons.values())
        if not timed and ran == 1:
            ran = _STEPS if t_steps is None else t_steps
            for _ in range(ran - 1):
                _call(module, trace, x)
    if t_steps not in (None, ran):
        raise ParameterError(f"t_steps = {t_steps}: {name} takes {ran} time steps with this sample; leave it out")
    return trace, ran


def _call(module: nn.Module, trace: Trace, x: Tensor, steps: Any = None, samples: Any = None) -> None:
    """Run a module on rows of the input, those given before unless told."""
    if steps is not None:
        trace.give(x, steps, samples)
    try:
        with torch.no_grad(), trace:
            trace.returns(module(x))
    except ParameterError:
        raise
    except Exception as error:  # whatever the module raises
        raise _RunError(
            f"{type(module).__name__}: does not run on a sample of shape {tuple(x.shape)}: {brief(error)}"
        ) from error


@contextmanager
def _as_before(module: nn.Module) -> Iterator[None]:
    """Put back whatever modules hold: states, training flags, hooks."""
    held = [(part, {name: _kept(value) for name, value in vars(part).items()}) for part in module.modules()]
    try:
        yield
    finally:
        for part, values in held:
            vars(part).clear()
            vars(part).update(values)


def _kept(value: Any) -> Any:
    return copy(value) if isinstance(value, dict | list | set) else value


def _shape(x: Tensor, reading: _Reading, trace: Trace, given: int | tuple[int, ...] | None) -> Any:
    """Return (channels, height, width) of an input: as told, as the first weights read it, or as it is."""
    own = tuple(x.shape[len(reading.axes) :])
    shape = (1, *own) if len(own) == 2 else own
    found = input_shape(given if given is not None else trace.applied.image or shape)
    if prod(found) != prod(own):
        raise ParameterError(f"input_shape = {given}: the sample has inputs of the shape {own}")
    return found


def _prove(network: Network, found: Found, x: Tensor, reading: _Reading) -> None:
    if reading.axes == "nt":
        x = x.transpose(0, 1)
    given = x.reshape(*(x.shape[:2] if len(reading.axes) == 2 else (1, len(x))), *network.spec.input_shape)
    names = [layer.activation.name for layer in lowered(found.graph).layers()]
    prove(network, names, given.cpu(), [torch.stack(found.numbers[name]).cpu() for name in names], found.gains)
