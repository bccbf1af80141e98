"""Leaky integrate-and-fire over a sequence: one pass through memory forward, one backward.

Arrays are (t_steps, n, size), contiguous: n samples of ``size`` neurons, channels last, whose thresholds and decays
are given per neuron. A current or gradient of one time step, (1, n, size), stands for the same value at every step.
A comparator sees the membrane with noise of its own, and fires at a level, for a chip other than the threshold by which
it resets.
Resets are 0 (subtract the threshold), 1 (to zero) or 2 (none); they come 0 (delayed), 1 (at once) or 2 (as snnTorch's
without delay), see ``NeuronSpec``; ``strict`` neurons fire above the threshold only.
"""

import numpy as np

from xbarsim.kernels.jit import inlined_jit, jit, parallel_jit, prange

SUBTRACT, ZERO = 0, 1
DELAYED, AT_ONCE, SNNTORCH = 0, 1, 2


@jit
def _fires(u, threshold, strict):
    return u > threshold if strict else u >= threshold


@inlined_jit
def copy(source, target):
    """Copy numbers; assigning to a slice first asks whether they overlap, which takes longer than copying them."""
    for k in range(len(target)):
        target[k] = source[k]


@inlined_jit
def integrate(held, due, now, threshold, beta, reset, u):
    """Fill u with beta held + now, and reset where that is due."""
    none = u.dtype.type(0)  # a bare 0 would make doubles of everything
    if reset == SUBTRACT:
        for k in range(len(u)):
            theta = threshold[k]
            u[k] = beta[k] * held[k] + now[k] - u.dtype.type(due[k]) * theta
    elif reset == ZERO:
        for k in range(len(u)):
            u[k] = (none if due[k] else beta[k] * held[k]) + now[k]
    else:
        for k in range(len(u)):
            u[k] = beta[k] * held[k] + now[k]


@inlined_jit
def integrate_and_fire(u, now, least, threshold, beta, spikes):
    """Do :func:`integrate` in place, with reset by subtraction where u has reached ``least``, and :func:`compare`."""
    none = u.dtype.type(0)
    for k in range(len(u)):
        theta, before = threshold[k], u[k]
        after = beta[k] * before + now[k] - (theta if before >= least[k] else none)
        u[k] = after
        spikes[k] = after >= least[k]


@inlined_jit
def inhibit(spikes, threshold, inhibition, channels, u):
    """Lower u by what the other channels of its position have fired."""
    for start in range(0, len(u), channels):
        total = spikes[start : start + channels].sum()
        for k in range(start, start + channels):
            u[k] -= inhibition * threshold[k] * (total - spikes[k])


@inlined_jit
def clip_membranes(threshold, level, u):
    """Keep u within its threshold."""
    for k in range(len(u)):
        u[k] = min(max(u[k], -threshold[k]), max(threshold[k], level[k]))


@inlined_jit
def compare(u, noise, least, spikes):
    """Fill spikes, 0 or 1; noise may have length 0."""
    if len(noise) == 0:
        for k in range(len(u)):
            spikes[k] = u[k] >= least[k]
    else:
        for k in range(len(u)):
            spikes[k] = u[k] + noise[k] >= least[k]


@inlined_jit
def decay_currents(synapse, now, alpha):
    """Let synaptic currents decay and take what arrives."""
    factor = synapse.dtype.type(alpha)
    for k in range(len(synapse)):
        synapse[k] = factor * synapse[k] + now[k]


@inlined_jit
def count_spikes(u, noise, level, least, most, spikes):
    """Fill spikes with how often membranes reach their level; the lowest number at which they do is ``least``."""
    for k in range(len(u)):
        seen = _seen(u, noise, k)
        times = np.floor(seen / level[k])
        if times * level[k] == seen and least[k] > level[k]:
            times -= 1  # only above it
        spikes[k] = min(max(times, 0), most) if least[k] < np.inf else 0


@inlined_jit
def compare_raised(u, noise, least, raised, spikes):
    """Fill spikes, 0 or 1, of thresholds that are raised."""
    for k in range(len(u)):
        spikes[k] = _seen(u, noise, k) - raised[k] >= least[k]


@inlined_jit
def raise_thresholds(spikes, threshold, adaptation, decay, raised):
    """Let what thresholds are raised by decay, and take what spikes add."""
    number = raised.dtype.type
    for k in range(len(raised)):
        raised[k] = number(decay) * raised[k] + number(adaptation) * threshold[k] * spikes[k]


@inlined_jit
def _seen(u, noise, k):
    return u[k] + noise[k] if len(noise) > 0 else u[k]


@inlined_jit
def keep_winners(u, noise, level, channels, values):
    """Set values to 0 except at the largest u / level of the channels of each position; the lowest wins a tie."""
    for start in range(0, len(u), channels):
        best = start
        for k in range(start + 1, start + channels):
            if _seen(u, noise, k) * level[best] > _seen(u, noise, best) * level[k]:
                best = k
        for k in range(start, start + channels):
            if k != best:
                values[k] = 0


@inlined_jit
def reset_at_once(u, fired, due, threshold, reset, held):
    """Fill held with u, reset where it has fired but was not reset while it was integrated."""
    for k in range(len(u)):
        times = np.int64(fired[k]) - np.int64(due[k])
        if reset == SUBTRACT:
            held[k] = u[k] - times * threshold[k]
        elif reset == ZERO:
            held[k] = u[k] - times * u[k]
        else:
            held[k] = u[k]


@parallel_jit
def lif_forward(
    current, noise, level, least, threshold, beta, reset, timing, clip, winner, inhibition, channels, membrane, spikes
):
    """Fill membrane and spikes: U = beta U + I - S theta, S = U + noise >= least, and what NeuronSpec adds to that.

    What reaches its threshold but does not win is reset like a winner; with SNNTORCH only as far as it does that.

    level, least : (size), where comparators are set, and the lowest number at which they fire: see ``fires_from``
    noise : (t_steps, n, size), or (0, n, size) for none
    """
    t_steps, n, size = membrane.shape
    for sample in prange(n):
        held, due, fired = np.zeros(size, membrane.dtype), np.zeros(size, np.uint8), np.zeros(size, np.uint8)
        for t in range(t_steps):
            e = noise[t, sample] if len(noise) else held[:0]
            now = current[t if len(current) > 1 else 0, sample]
            u, s = membrane[t, sample], spikes[t, sample]
            integrate(held, due, now, threshold, beta, reset, u)
            if inhibition > 0 and t > 0:
                inhibit(spikes[t - 1, sample], threshold, inhibition, channels, u)
            if clip:
                clip_membranes(threshold, level, u)
            compare(u, e, least, fired)
            copy(fired, s)
            if winner:
                keep_winners(u, e, level, channels, s)
            if timing == DELAYED:
                copy(u, held)
                due, fired = fired, due
            elif timing == AT_ONCE:
                reset_at_once(u, fired, due, threshold, reset, held)  # nothing is due
            else:
                reset_at_once(u, s, due, threshold, reset, held)
                compare(held, e, least, due)


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
def _add_beta_gradient(before, carry, threshold, reset, timing, strict, grad):
    for k in range(len(carry)):
        lost = before.dtype.type(0)
        if _fires(before[k], threshold[k], strict):
            if reset == ZERO:
                lost = before[k]
            elif reset == SUBTRACT and timing == AT_ONCE:
                lost = threshold[k]
        grad[k] += carry[k] * (before[k] - lost)


@parallel_jit
def lif_backward(
    grad_spikes, grad_membrane, membrane, threshold, beta, slope, reset, timing, strict, clip, winner, channels,
    grad_current, grad_beta,
):  # fmt: skip
    """Fill the gradient of the current, (t_steps or 1, n, size), from those of spikes and membrane.

    Resets and inhibition are taken as given, so that dU[t]/dU[t-1] is beta, or 0 after a reset to zero, whenever that
    comes. grad_membrane and grad_beta, (n, size), may have length 0: not wanted.
    """
    t_steps, n, size = membrane.shape
    for sample in prange(n):
        carry, passed = np.zeros(size, membrane.dtype), np.zeros(size, membrane.dtype)
        total, quiet = np.zeros(size, membrane.dtype), np.zeros(size, membrane.dtype)
        for t in range(t_steps - 1, -1, -1):
            u = membrane[t, sample]
            _through_surrogate(u, grad_spikes[t, sample], threshold, slope, passed)
            if winner:
                keep_winners(u, quiet, threshold, channels, passed)
            _decay(u, threshold, beta, reset, strict, carry)
            carry += passed
            if len(grad_membrane) > 0:
                carry += grad_membrane[t, sample]
            if clip:
                _stop_at_limit(u, threshold, carry)
            if len(grad_beta) > 0 and t > 0:
                _add_beta_gradient(membrane[t - 1, sample], carry, threshold, reset, timing, strict, grad_beta[sample])
            if len(grad_current) > 1:
                grad_current[t, sample] = carry
            else:
                total += carry
        if len(grad_current) == 1:
            grad_current[0, sample] = total
