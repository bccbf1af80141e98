"""What event-driven inference sums up for each sample, by place in an array (N_SUMS).

s^t H s, supply.s and active wordlines of all reads; spikes, and positions and time steps with any; codes and currents
that were cut, currents that passed the limiter, as often as mirrors copy them, and a second supply.s.
"""

QUADRATIC, SUPPLIED, DRIVEN, SPIKES, PLACES, CLIPPED, LIMITED, PASSED, COPIED = range(9)
N_SUMS = 9
