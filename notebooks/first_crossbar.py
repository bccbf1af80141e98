# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A first crossbar: IR drop
#
# A 256 x 64 array, every cell in its low-resistance state (100 kohm), 1 ohm per wire segment, all wordlines at 0.3 V.
# The farther a cell lies from its driver and from the sense node, the less voltage is left for it.

# %%
import matplotlib.pyplot as plt
import numpy as np

import xbarsim as xb

wires = xb.Wires(r_wordline="1 Ohm", r_bitline="1 Ohm", r_driver="1 Ohm", r_sense="1 Ohm")
crossbar = xb.Crossbar(np.full((256, 64), 1e-5), wires=wires)
solution = xb.solve(crossbar, np.full(256, 0.3))
solution

# %%
v_cell = solution.v_wordline - solution.v_bitline
figure, ax = plt.subplots(figsize=(4.2, 5.2), layout="constrained")
image = ax.imshow(1e3 * v_cell, aspect="auto", cmap="viridis")
ax.set(xlabel="bitline (drivers at the left)", ylabel="wordline (sense nodes at the bottom)")
figure.colorbar(image, label="voltage across the cell [mV]")
figure.suptitle("What is left of a 300 mV read")
plt.show()

# %% [markdown]
# Of 300 mV the cells see between 220 and 299 mV: the bitline, which collects the current of 256 cells, costs most.
#
# ## From the circuit to a matrix
#
# An ohmic crossbar is linear, so all that its drivers and sense nodes see is a few matrices. `reduce` computes them
# exactly; from then on a read is a matrix product.

# %%
ports = xb.reduce(crossbar)
print(ports)
apart = np.abs(ports.i_bitline(np.full(256, 0.3)) - solution.i_bitline).max()
print(f"largest difference to the solve: {apart:.0e} A")
print(f"power: {ports.power(np.full(256, 0.3)):.4e} W, from the solve: {solution.power:.4e} W")

# %% [markdown]
# ## A wordline that fires alone
#
# Column i of the transfer matrix is what arrives at the sense nodes when wordline i fires alone. Being linear, the
# array loses the same share of it whether other wordlines fire or not: the silent ones are held at 0 V, and the
# voltage that the current raises on a bitline drives part of it back through their cells. Sparse spikes do not cure
# IR drop where inactive wordlines are grounded. They cure its power: the energy of a read follows the number of spikes.

# %%
loss = 1 - ports.transfer.sum(0) / crossbar.g.sum(1)
figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
ax.plot(100 * loss)
ax.set(
    xlabel="wordline that fires (255 is next to the sense nodes)", ylabel="current lost on the way [%]", ylim=(0, None)
)
ax.grid(alpha=0.3)
plt.show()

# %% [markdown]
# A spike on the wordline next to the sense nodes loses less than 2 %, one on the far side more than a quarter. A
# mapping that puts few inputs on a large array therefore puts them at the sense end.
