"""Leaky integrate-and-fire over a sequence: one pass through memory forward, one backward.

Arrays are (t_steps, n, size), contiguous: n samples of ``size`` neurons, whose thresholds are given per neuron. A
current or gradient of one time step, (1, n, size), stands for the same value at every step.
"""

import numpy as np

from xbarsim.kernels.jit import parallel_jit, prange


@parallel_jit
def lif_forward(current, threshold, beta, clip, membrane, spikes):
    """Fill membrane and spikes: U = beta U + I - S theta, S = U >= theta; U within +-theta if ``clip``."""
    t_steps, n, size = membrane.shape
    for sample in prange(n):
        for t in range(t_steps):
            now = current[t if len(current) > 1 else 0, sample]
            u, s = membrane[t, sample], spikes[t, sample]
            if t == 0:
                for k in range(size):
                    u[k] = now[k]
            else:
                before, fired = membrane[t - 1, sample], spikes[t - 1, sample]
                for k in range(size):
                    u[k] = beta * before[k] + now[k] - fired[k] * threshold[k]
            if clip:
                for k in range(size):
                    u[k] = min(max(u[k], -threshold[k]), threshold[k])
            for k in range(size):
                s[k] = u[k] >= threshold[k]


@parallel_jit
def lif_backward(grad_spikes, membrane, threshold, beta, slope, clip, grad_current):
    """Fill the gradient of the current, (t_steps or 1, n, size), from that of the spikes; the reset is detached."""
    t_steps, n, size = membrane.shape
    for sample in prange(n):
        carry = np.zeros(size, membrane.dtype)
        total = np.zeros(size, membrane.dtype)
        for t in range(t_steps - 1, -1, -1):
            u, g = membrane[t, sample], grad_spikes[t, sample]
            for k in range(size):
                distance = 1 + slope * abs(u[k] - threshold[k])
                carry[k] = beta * carry[k] + g[k] / (distance * distance)
            if clip:
                for k in range(size):
                    if abs(u[k]) >= threshold[k]:
                        carry[k] = 0
            if len(grad_current) > 1:
                grad_current[t, sample] = carry
            else:
                total += carry
        if len(grad_current) == 1:
            grad_current[0, sample] = total
