"""Leaky integrate-and-fire over a sequence: one pass through memory forward, one backward.

Arrays are (t_steps, n, size), contiguous: n samples of ``size`` neurons, channels last, whose thresholds and decays
are given per neuron. A current or gradient of one time step, (1, n, size), stands for the same value at every step.
A comparator sees the membrane with noise of its own, and fires at a level, for a chip other than the threshold by which
it resets.
Resets are 0 (subtract the threshold), 1 (to zero) or 2 (none); ``strict`` neurons fire above the threshold only.
"""

import numpy as np

from xbarsim.kernels.jit import jit, parallel_jit, prange

SUBTRACT, ZERO = 0, 1


@jit
def _fires(u, threshold, strict):
    return u > threshold if strict else u >= threshold


@jit
def _integrate(held, noise, now, level, threshold, beta, reset, strict, u):
    if reset == SUBTRACT:
        for k in range(len(u)):
            u[k] = beta[k] * held[k] + now[k] - (threshold[k] if _fires(held[k] + noise[k], level[k], strict) else 0)
    elif reset == ZERO:
        for k in range(len(u)):
            u[k] = (0 if _fires(held[k] + noise[k], level[k], strict) else beta[k] * held[k]) + now[k]
    else:
        for k in range(len(u)):
            u[k] = beta[k] * held[k] + now[k]


@jit
def _inhibit(spikes, threshold, inhibition, channels, u):
    for start in range(0, len(u), channels):
        total = spikes[start : start + channels].sum()
        for k in range(start, start + channels):
            u[k] -= inhibition * threshold[k] * (total - spikes[k])


@jit
def _clip(threshold, level, u):
    for k in range(len(u)):
        u[k] = min(max(u[k], -threshold[k]), max(threshold[k], level[k]))


@jit
def _fire(u, noise, level, strict, spikes):
    for k in range(len(u)):
        spikes[k] = _fires(u[k] + noise[k], level[k], strict)


@jit
def _keep_winners(u, noise, level, channels, values):
    """Set values to 0 except at the largest u / level of the channels of each position; the lowest wins a tie."""
    for start in range(0, len(u), channels):
        best = start
        for k in range(start + 1, start + channels):
            if (u[k] + noise[k]) * level[best] > (u[best] + noise[best]) * level[k]:
                best = k
        for k in range(start, start + channels):
            if k != best:
                values[k] = 0


@jit
def _reset_at_once(u, spikes, noise, level, threshold, reset, strict, held):
    """Reset what has fired but was not reset while it was integrated."""
    for k in range(len(u)):
        due = spikes[k] - (1 if _fires(held[k] + noise[k], level[k], strict) else 0)
        if reset == SUBTRACT:
            held[k] = u[k] - due * threshold[k]
        elif reset == ZERO:
            held[k] = u[k] - due * u[k]
        else:
            held[k] = u[k]


@parallel_jit
def lif_forward(
    current, noise, level, threshold, beta, reset, delayed, strict, clip, winner, inhibition, channels, membrane, spikes
):
    """Fill membrane and spikes: U = beta U + I - S theta, S = U + noise >= level, and what NeuronSpec adds to that.

    noise : (t_steps, n, size), or (0, n, size) for none
    """
    t_steps, n, size = membrane.shape
    for sample in prange(n):
        held, quiet = np.zeros(size, membrane.dtype), np.zeros(size, membrane.dtype)
        for t in range(t_steps):
            e = noise[t, sample] if len(noise) else quiet
            before = noise[t - 1, sample] if len(noise) and t else quiet
            now = current[t if len(current) > 1 else 0, sample]
            u, s = membrane[t, sample], spikes[t, sample]
            _integrate(held, before, now, level, threshold, beta, reset, strict, u)
            if inhibition > 0 and t > 0:
                _inhibit(spikes[t - 1, sample], threshold, inhibition, channels, u)
            if clip:
                _clip(threshold, level, u)
            _fire(u, e, level, strict, s)
            if winner:
                _keep_winners(u, e, level, channels, s)
            if delayed:
                held[:] = u
            else:
                _reset_at_once(u, s, before, level, threshold, reset, strict, held)


@jit
def _through_surrogate(u, grad, threshold, slope, passed):
    for k in range(len(u)):
        distance = 1 + slope * abs(u[k] - threshold[k])
        passed[k] = grad[k] / (distance * distance)


@jit
def _decay(u, threshold, beta, reset, strict, carry):
    if reset == ZERO:
        for k in range(len(u)):
            carry[k] *= 0 if _fires(u[k], threshold[k], strict) else beta[k]
    else:
        for k in range(len(u)):
            carry[k] *= beta[k]


@jit
def _stop_at_limit(u, threshold, carry):
    for k in range(len(u)):
        carry[k] = 0 if abs(u[k]) >= threshold[k] else carry[k]


@jit
def _add_beta_gradient(before, carry, threshold, reset, strict, grad):
    for k in range(len(carry)):
        kept = 0 if reset == ZERO and _fires(before[k], threshold[k], strict) else before[k]
        grad[k] += carry[k] * kept


@parallel_jit
def lif_backward(
    grad_spikes, grad_membrane, membrane, threshold, beta, slope, reset, strict, clip, winner, channels,
    grad_current, grad_beta,
):  # fmt: skip
    """Fill the gradient of the current, (t_steps or 1, n, size), from those of spikes and membrane.

    Resets and inhibition are taken as given. grad_membrane and grad_beta, (n, size), may have length 0: not wanted.
    """
    t_steps, n, size = membrane.shape
    for sample in prange(n):
        carry, passed = np.zeros(size, membrane.dtype), np.zeros(size, membrane.dtype)
        total, quiet = np.zeros(size, membrane.dtype), np.zeros(size, membrane.dtype)
        for t in range(t_steps - 1, -1, -1):
            u = membrane[t, sample]
            _through_surrogate(u, grad_spikes[t, sample], threshold, slope, passed)
            if winner:
                _keep_winners(u, quiet, threshold, channels, passed)
            _decay(u, threshold, beta, reset, strict, carry)
            carry += passed
            if len(grad_membrane) > 0:
                carry += grad_membrane[t, sample]
            if clip:
                _stop_at_limit(u, threshold, carry)
            if len(grad_beta) > 0 and t > 0:
                _add_beta_gradient(membrane[t - 1, sample], carry, threshold, reset, strict, grad_beta[sample])
            if len(grad_current) > 1:
                grad_current[t, sample] = carry
            else:
                total += carry
        if len(grad_current) == 1:
            grad_current[0, sample] = total
