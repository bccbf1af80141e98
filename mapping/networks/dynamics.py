"""Leaky integrate-and-fire neurons over a whole sequence, with the fast-sigmoid surrogate gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mapping.ir.neuron import NeuronSpec
from mapping.kernels.lif import lif_backward, lif_forward
from xbarsim.errors import ParameterError
from xbarsim.kernels.jit import launching

RESETS = ("subtract", "zero", "none")
TIMINGS = (True, False, "snntorch")


class _Lif(torch.autograd.Function):
    """Equations 1-3 of Eshraghian et al. 2022 as one differentiable function; channels last, resets detached."""

    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        threshold: Tensor,
        beta: Tensor,
        spec: NeuronSpec,
        t_steps: int,
        level: Tensor,
        noise: Tensor,
    ) -> tuple[Tensor, Tensor]:
        membrane = current.new_empty(t_steps, *current.shape[1:])
        spikes = torch.empty_like(membrane)
        if current.is_cpu:
            now, u, s = _flat(current), _flat(membrane), _flat(spikes)
            fires_at, theta, decay = (_per_neuron(x, current) for x in (level, threshold, beta))
            number = u.dtype.type
            with launching:
                lif_forward(
                    now, _flat(noise), fires_at, fires_from(fires_at, spec), theta, decay,
                    *_reset_codes(spec), spec.clip, spec.winner_take_all, number(spec.inhibition),
                    current.shape[-1], u, s,
                )  # fmt: skip
        else:
            step_by_step(current, threshold, beta, spec, membrane, spikes, level, noise)
        ctx.save_for_backward(membrane, threshold, beta)
        ctx.settings = (spec, len(current))
        ctx.set_materialize_grads(False)
        return spikes, membrane

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        membrane, threshold, beta = ctx.saved_tensors
        spec, n_currents = ctx.settings
        check_gradients(spec, to_beta=ctx.needs_input_grad[2])
        grad_spikes = torch.zeros_like(membrane) if grads[0] is None else grads[0]
        grad = membrane.new_empty(n_currents, *membrane.shape[1:])
        grad_beta = membrane.new_zeros(membrane.shape[1:] if ctx.needs_input_grad[2] else (0, *membrane.shape[2:]))
        if membrane.is_cpu:
            u = _flat(membrane)
            size, number = u.shape[2], u.dtype.type
            onto_membrane = np.empty((0, 0, size), u.dtype) if grads[1] is None else _flat(grads[1])
            with launching:
                lif_backward(
                    _flat(grad_spikes), onto_membrane, u, _per_neuron(threshold, membrane), _per_neuron(beta, membrane),
                    number(spec.slope), *_reset_codes(spec), spec.fire == ">",
                    spec.clip and spec.clip_gradient == "hard", spec.winner_take_all, membrane.shape[-1],
                    _flat(grad), grad_beta.flatten(1).numpy(),
                )  # fmt: skip
        else:
            back_step_by_step(grad_spikes, grads[1], membrane, threshold, beta, spec, grad, grad_beta)
        to_beta = grad_beta.sum(0).sum_to_size(beta.shape) if ctx.needs_input_grad[2] else None
        return grad, None, to_beta, None, None, None, None


def lif(
    current: Tensor,
    threshold: Tensor,
    beta: Tensor,
    spec: NeuronSpec,
    t_steps: int,
    *,
    level: Tensor | None = None,
    noise: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Run leaky integrate-and-fire neurons over all time steps.

    ``U[t+1] = beta U[t] + I[t+1] - S[t] theta``, ``S[t] = 1 if U[t] >= theta else 0`` (equations 1-2 of Eshraghian
    et al. 2022) and what :class:`NeuronSpec` knows besides; backward, dS/dU is ``1 / (1 + k |U - theta|)^2``, and
    resets and inhibition are detached.

    Parameters
    ----------
    current : Tensor, (t_steps, n, channels, height, width) or (1, n, ...)
        Weighted input per step; one entry means the same current at every step. Fastest with channels last in memory.
    threshold, beta : Tensor, broadcastable to (channels, height, width)
        Firing threshold in the unit of the current, and membrane decay per step.
    spec : NeuronSpec
        The rest; its own threshold and beta are not used.
    t_steps : int
        Number of time steps.
    level : Tensor, broadcastable to (channels, height, width), optional
        Where comparators fire, above 0, if not at the threshold by which they reset.
    noise : Tensor, (t_steps, n, channels, height, width), optional
        Added to the membrane for the comparison alone.

    Returns
    -------
    spikes, membrane : Tensor, (t_steps, n, channels, height, width)
        0 or 1, and U before it is reset; channels last in memory.
    """
    if len(current) not in (1, t_steps):
        raise ParameterError(f"current has {len(current)} time steps; give 1 or {t_steps}")
    if not spec.simple:
        return _all_steps(current, threshold, beta, spec, t_steps, level, noise)
    last = (current.movedim(2, -1), *(_channels_last(x) for x in (threshold, beta)))
    seen = last[1] if level is None else _channels_last(level)
    quiet = last[0].new_empty(0, *last[0].shape[1:]) if noise is None else noise.movedim(2, -1)
    spikes, membrane = _Lif.apply(*last, spec, t_steps, seen, quiet)  # type: ignore[no-untyped-call]
    return spikes.movedim(-1, 2), membrane.movedim(-1, 2)


def _all_steps(
    current: Tensor,
    threshold: Tensor,
    beta: Tensor,
    spec: NeuronSpec,
    t_steps: int,
    level: Tensor | None,
    noise: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Do what :func:`lif` does, step by step."""
    state, spikes, membranes = None, [], []
    for t in range(t_steps):
        now, error = current[t if len(current) > 1 else 0], None if noise is None else noise[t]
        s, u, state = lif_step(now, state, threshold, beta, spec, level=level, noise=error)
        spikes.append(s)
        membranes.append(u)
    return torch.stack(spikes), torch.stack(membranes)


def check_gradients(spec: NeuronSpec, to_beta: bool = False) -> None:
    """Refuse neurons that have no backward pass here: those whose resets at one step depend on the one before."""
    if spec.most_spikes > 1:
        raise ParameterError(f"most_spikes = {spec.most_spikes}: the surrogate gradient is of one spike a step; use 1")
    if spec.reset_delay != "snntorch":
        return
    if spec.reset_mechanism == "zero" and spec.winner_take_all:  # who does not win is given back what it had lost
        raise ParameterError(
            "reset_delay = 'snntorch' with winner_take_all and reset to zero cannot be trained; use false"
        )
    if to_beta:
        raise ParameterError("reset_delay = 'snntorch': gradients of beta are not offered; use true or false")


def _reset_codes(spec: NeuronSpec) -> tuple[int, int]:
    return RESETS.index(spec.reset_mechanism), TIMINGS.index(spec.reset_delay)


def fires_from(level: np.ndarray, spec: NeuronSpec) -> np.ndarray:
    """Return the lowest number at which a comparator set to ``level`` fires: the next one with ``fire = ">"``."""
    if spec.fire == "never":
        return np.full_like(level, np.inf)
    return np.nextafter(level, level.dtype.type(np.inf)) if spec.fire == ">" else level


def _channels_last(x: Tensor) -> Tensor:
    return x.movedim(0, -1) if x.ndim == 3 else x


def _flat(x: Tensor) -> np.ndarray:
    return x.detach().contiguous().flatten(2).numpy()


def _per_neuron(x: Tensor, like: Tensor) -> np.ndarray:
    return x.detach().to(like.dtype).expand(like.shape[2:]).contiguous().flatten().numpy()


def _fires(u: Tensor, threshold: Tensor, spec: NeuronSpec) -> Tensor:
    """Return how many spikes membranes fire: 0 or 1, or as often as the threshold goes into them."""
    if spec.fire == "never":
        return torch.zeros_like(u)
    if spec.most_spikes > 1:
        times = torch.ceil(u / threshold) - 1 if spec.fire == ">" else torch.floor(u / threshold)
        return times.clamp(0, spec.most_spikes)
    return (u > threshold if spec.fire == ">" else u >= threshold).to(u)


def _is_winner(u: Tensor, threshold: Tensor, dim: int = -1) -> Tensor:
    return torch.zeros_like(u).scatter_(dim, (u / threshold).argmax(dim, keepdim=True), 1.0)


class LifState(NamedTuple):
    """What neurons keep between time steps.

    What the next one starts from, how many spikes it has to reset, what fired; synaptic currents, and what thresholds
    are raised by.
    """

    held: Tensor
    due: Tensor
    fired: Tensor
    current: Tensor
    raised: Tensor


class _Spike(torch.autograd.Function):
    """1 where membranes have reached their level; backward, the derivative of the fast sigmoid."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor, reached: Tensor, slope: float) -> Tensor:
        ctx.save_for_backward(distance)
        ctx.slope = slope
        return reached.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (distance,) = ctx.saved_tensors
        return grads[0] * (1 + ctx.slope * distance.abs()) ** -2, None, None


def lif_step(
    current: Tensor,
    state: LifState | None,
    threshold: Tensor,
    beta: Tensor,
    spec: NeuronSpec,
    *,
    level: Tensor | None = None,
    noise: Tensor | None = None,
) -> tuple[Tensor, Tensor, LifState]:
    """Run neurons for one time step; all of them, one after the other, do what :func:`lif` does.

    Parameters
    ----------
    current : Tensor, (n, channels, height, width)
    state : LifState, optional
        After the step before; None at rest.
    threshold, beta, spec, level, noise
        As of :func:`lif`; ``noise`` is that of the step.

    Returns
    -------
    spikes, membrane : Tensor, (n, channels, height, width)
        0 or 1, and U before it is reset.
    state : LifState
    """
    level = threshold if level is None else level
    none = torch.zeros_like(current)
    held, due, before, synapse, raised = (none,) * 5 if state is None else state
    threshold, level, beta = (x.to(current.dtype) for x in (threshold, level, beta))
    if spec.alpha is not None:
        filtered = spec.alpha * synapse + current
        current, synapse = synapse if spec.late_current else filtered, filtered
    u = beta * (held * (1 - due) if spec.reset_mechanism == "zero" else held) + current
    if spec.reset_mechanism == "subtract":
        u = u - due * threshold
    if spec.inhibition and state is not None:
        u = u - spec.inhibition * threshold * (before.sum(1, keepdim=True) - before)
    if spec.clip:
        kept = torch.maximum(torch.minimum(u, torch.maximum(threshold, level)), -threshold)
        passed = u * (u.abs() < threshold) if spec.clip_gradient == "hard" else u
        u = kept.detach() + (passed - passed.detach())
    seen = u.detach() if noise is None else u.detach() + noise
    reached = _fires(seen - raised, level, spec)
    spikes: Tensor = _Spike.apply(u - threshold - raised, reached, spec.slope)  # type: ignore[no-untyped-call]
    raised = spec.adaptation_decay * raised + spec.adaptation * threshold * reached
    if spec.winner_take_all:
        spikes = spikes * _is_winner(seen, level, 1)
    fired = spikes.detach()
    if spec.reset_delay is True or spec.reset_mechanism == "none":
        return spikes, u, LifState(u, reached, fired, synapse, raised)
    lost = reached if spec.reset_delay is False else fired - due
    held = u - lost * (u if spec.reset_mechanism == "zero" else threshold)
    late = none if spec.reset_delay is False else _fires(held.detach() if noise is None else held + noise, level, spec)
    return spikes, u, LifState(held, late, fired, synapse, raised)


def step_by_step(
    current: Tensor,
    threshold: Tensor,
    beta: Tensor,
    spec: NeuronSpec,
    membrane: Tensor,
    spikes: Tensor,
    level: Tensor,
    noise: Tensor,
) -> None:
    """Fill membrane and spikes, channels last, by tensor operations on any device."""
    state = None
    theta, decay, fires_at = (x if x.ndim < 3 else x.movedim(-1, 0) for x in (threshold, beta, level))
    for t in range(len(membrane)):
        now = current[t if len(current) > 1 else 0].movedim(-1, 1)
        error = noise[t].movedim(-1, 1) if len(noise) else None
        fired, u, state = lif_step(now, state, theta, decay, spec, level=fires_at, noise=error)
        membrane[t], spikes[t] = u.movedim(1, -1), fired.movedim(1, -1)


def back_step_by_step(
    grad_spikes: Tensor,
    grad_membrane: Tensor | None,
    membrane: Tensor,
    threshold: Tensor,
    beta: Tensor,
    spec: NeuronSpec,
    grad: Tensor,
    grad_beta: Tensor,
) -> None:
    """Fill the gradients of current and, if it has entries, beta, channels last, by tensor operations on any device."""
    carry = torch.zeros_like(membrane[0])
    grad.zero_()
    for t in range(len(membrane) - 1, -1, -1):
        u = membrane[t]
        passed = grad_spikes[t] * (1 + spec.slope * (u - threshold).abs()) ** -2
        if spec.winner_take_all:
            passed = passed * _is_winner(u, threshold)
        kept = 1 - _fires(u, threshold, spec) if spec.reset_mechanism == "zero" else torch.ones_like(u)
        carry = beta * kept * carry + passed
        if grad_membrane is not None:
            carry = carry + grad_membrane[t]
        if spec.clip and spec.clip_gradient == "hard":
            carry = carry * (u.abs() < threshold)
        if len(grad_beta) and t:
            before = membrane[t - 1]
            lost = threshold if spec.reset_mechanism == "subtract" and spec.reset_delay is False else 0 * before
            lost = before if spec.reset_mechanism == "zero" else lost
            grad_beta += carry * (before - lost * _fires(before, threshold, spec))
        grad[t if len(grad) > 1 else 0].add_(carry)
