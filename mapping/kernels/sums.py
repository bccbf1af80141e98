"""What event-driven inference sums up for each sample, by place in an array (N_SUMS).

s^t H s, supply.s and active wordlines of all reads; spikes, and positions and time steps with any; codes and currents
that were cut, and currents that passed the limiter.
"""

QUADRATIC, SUPPLIED, DRIVEN, SPIKES, PLACES, CLIPPED, LIMITED, PASSED = range(8)
N_SUMS = 8
