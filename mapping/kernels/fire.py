"""From currents to spikes: a time step of the neurons of a layer, with what they keep until the next one."""

from typing import NamedTuple

import numpy as np

from mapping.kernels.lif import (
    AT_ONCE,
    DELAYED,
    SNNTORCH,
    SUBTRACT,
    clip_membranes,
    compare,
    compare_raised,
    copy,
    count_spikes,
    decay_currents,
    inhibit,
    integrate,
    integrate_and_fire,
    keep_winners,
    raise_thresholds,
    reset_at_once,
)
from mapping.kernels.readout import add_noise
from mapping.kernels.sums import PLACES, SPIKES
from xbarsim.kernels.jit import inlined_jit, jit
from xbarsim.kernels.normal import fill_normal, of_image

WORD = 8  # neurons that are looked at together


class Neurons(NamedTuple):
    """Neurons, channels last, each with its own parameters.

    name : (size, up to a multiple of WORD), by which they are listed
    level, least : where comparators are set, and the lowest number at which they fire
    rise : not less than where a constant input of 1 can bring membranes
    noise : of comparators
    alpha, late : decay of synaptic currents, below 0 for none, and whether membranes take them a step later
    most : spikes a step
    adaptation, decay : what a spike raises the threshold by, in thresholds, and what is left of it a step later
    """

    name: np.ndarray
    constant: np.ndarray
    threshold: np.ndarray
    level: np.ndarray
    least: np.ndarray
    beta: np.ndarray
    rise: np.ndarray
    noise: float
    reset: int
    timing: int
    clip: bool
    winner: bool
    inhibition: float
    channels: int
    alpha: float
    late: bool
    most: int
    adaptation: float
    decay: float


class State(NamedTuple):
    """What the neurons of samples are given, and what they keep until the next time step; each (n, size).

    now, variance : currents of a frame, and of their noise, (n, 0) for none or where a read-out has added it
    u : membranes
    held, due : what the next step starts from, and who is reset in it
    fired : (n, size up to a multiple of WORD), bytes
    synapse, raised : synaptic currents, and what thresholds are raised by; or (n, 0) for none
    """

    now: np.ndarray
    variance: np.ndarray
    u: np.ndarray
    held: np.ndarray
    due: np.ndarray
    fired: np.ndarray
    synapse: np.ndarray
    raised: np.ndarray


@inlined_jit
def _list_fired(fired, name, most, channels, place, count, sums):
    """List the names of neurons that have fired, each up to ``most`` times; return how long the list is now."""
    before, at = count, np.uint64(count)
    words = fired.view(np.uint64)
    for word in range(len(words)):
        if words[word] != 0:
            for k in range(WORD * word, WORD * (word + 1)):
                place[at] = name[k]
                if most == 1:
                    at += np.uint64(fired[k])
                else:
                    for _ in range(fired[k]):
                        place[at] = name[k]
                        at += np.uint64(1)
    last, count = -1, np.int64(at)
    for k in range(before, count):
        position = place[k] // channels
        sums[PLACES] += position != last
        last = position
    sums[SPIKES] += count - before
    return count


@inlined_jit
def is_plain(neurons, keys, variance):
    """Whether a time step is :func:`integrate_and_fire`."""
    plain = neurons.reset == SUBTRACT and neurons.timing == DELAYED and not (neurons.clip or neurons.winner)
    plain = plain and neurons.alpha < 0 and neurons.most == 1 and neurons.adaptation == 0
    return plain and neurons.inhibition == 0 and len(keys.comparator) == 0 and variance.size == 0


@inlined_jit
def _fire_by_rules(neurons, z, noise, state):
    """Make a time step with all that neurons may have; z, noise : of currents and of comparators."""
    u, held, due, fired, now = state.u, state.held, state.due, state.fired, state.now
    if neurons.alpha >= 0:
        if not neurons.late:
            decay_currents(state.synapse, now, neurons.alpha)
        integrate(held, due, state.synapse, neurons.threshold, neurons.beta, neurons.reset, u)
        if neurons.late:
            decay_currents(state.synapse, now, neurons.alpha)
    else:
        integrate(held, due, now, neurons.threshold, neurons.beta, neurons.reset, u)
    if len(z) > 0:
        add_noise(state.variance, z, u)
    if neurons.inhibition > 0:
        inhibit(fired, neurons.threshold, neurons.inhibition, neurons.channels, u)
    if neurons.clip:
        clip_membranes(neurons.threshold, neurons.level, u)
    for k in range(len(noise)):
        noise[k] *= u.dtype.type(neurons.noise)
    if neurons.most > 1:
        count_spikes(u, noise, neurons.level, neurons.least, neurons.most, fired)
    elif neurons.adaptation > 0:
        compare_raised(u, noise, neurons.least, state.raised, fired)
        raise_thresholds(fired, neurons.threshold, neurons.adaptation, neurons.decay, state.raised)
    else:
        compare(u, noise, neurons.least, fired)
    if neurons.timing == AT_ONCE:
        reset_at_once(u, fired, due, neurons.threshold, neurons.reset, held)  # nothing is due
    if neurons.timing == DELAYED:
        copy(fired, due)
        copy(u, held)
    if neurons.winner:
        keep_winners(u, noise, neurons.level, neurons.channels, fired)
    if neurons.timing == SNNTORCH:
        reset_at_once(u, fired, due, neurons.threshold, neurons.reset, held)
        compare(held, noise, neurons.least, due)


@inlined_jit
def fire(neurons, keys, image, t, scratch, state, place, count, sums):
    """Make time step t of a sample; list in ``place``, from ``count`` on, what it fires; return how long it is now."""
    z, noise = scratch.z_current, scratch.z_comparator
    if is_plain(neurons, keys, state.variance):
        integrate_and_fire(state.u, state.now, neurons.least, neurons.threshold, neurons.beta, state.fired)
    else:
        if len(z) > 0:
            fill_normal(of_image(keys.read[0], image), t * len(z), z)
        if len(noise) > 0:
            fill_normal(of_image(keys.comparator[0], image), t * len(noise), noise)
        _fire_by_rules(neurons, z, noise, state)
    return _list_fired(state.fired, neurons.name, neurons.most, neurons.channels, place, count, sums)


@jit
def at_rest(neurons, n, noisy):
    """Return the state of n samples at rest, in memory that is aligned to vectors, as NumPy's is not."""
    size, number = len(neurons.level), neurons.level.dtype.type
    return State(
        np.zeros((n, size), number),
        np.zeros((n, size if noisy else 0), number),
        np.zeros((n, size), number),
        np.zeros((n, size), number),
        np.zeros((n, size), np.uint8),
        np.zeros((n, len(neurons.name)), np.uint8),
        np.zeros((n, size if neurons.alpha >= 0 else 0), number),
        np.zeros((n, size if neurons.adaptation > 0 else 0), number),
    )


@inlined_jit
def rest(state):
    """Bring a sample to rest."""
    state.u[:] = 0
    state.held[:] = 0
    state.due[:] = 0
    state.fired[:] = 0
    state.synapse[:] = 0
    state.raised[:] = 0


@inlined_jit
def of_sample(state, k):
    """Return the state of sample k, to kernels that count no references."""
    return State(
        state.now[k], state.variance[k], state.u[k], state.held[k], state.due[k], state.fired[k], state.synapse[k],
        state.raised[k],
    )  # fmt: skip


@inlined_jit
def awake(neurons, state, name, parameters):
    """Return the neurons of a sample that a constant current can make fire, and their state, to kernels such as that.

    name, parameters : room for what they are called, and for 3 numbers of each
    """
    now, threshold, least, beta, n = state.now, parameters[0], parameters[1], parameters[2], 0
    for k in range(len(now)):
        if now[k] * neurons.rise[k] >= neurons.least[k]:
            name[n] = k
            now[n], least[n] = now[k], neurons.least[k]
            threshold[n], beta[n] = neurons.threshold[k], neurons.beta[k]
            n += 1
    few = Neurons(
        name, neurons.constant, threshold[:n], neurons.level, least[:n], beta[:n], neurons.rise, neurons.noise,
        neurons.reset, neurons.timing, neurons.clip, neurons.winner, neurons.inhibition, neurons.channels,
        neurons.alpha, neurons.late, neurons.most, neurons.adaptation, neurons.decay,
    )  # fmt: skip
    fired = state.fired[: -(-n // WORD) * WORD]
    return few, State(now[:n], state.variance, state.u[:n], state.held, state.due, fired, state.synapse, state.raised)
