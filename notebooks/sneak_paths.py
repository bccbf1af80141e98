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
# # Sneak paths and read schemes
#
# A memory reads one cell at a time. In a passive array, without selectors, current also reaches its bitline through
# cells that nobody asked for; how much depends on what the other lines are held at. Here: random bits, 10 uS in the
# LRS, on/off ratio 10, 1 ohm per wire segment, 0.3 V; the cell farthest from its driver and its sense node is read.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import xbarsim as xb
from xbarsim import plot

QUICK = "XBARSIM_QUICK" in os.environ
TRIALS, SIZES = (4, [8, 16, 32]) if QUICK else (30, [8, 16, 32, 64, 128])
SCHEMES, STATES = ("ground", "float", "v/2", "v/3"), ("LRS", "HRS")
WIRES = xb.Wires(r_wordline=1, r_bitline=1, r_driver=1, r_sense=1)


def random_bits(seed, size, state, on_off_ratio=10, at=(0, -1)):
    bits = np.random.default_rng(seed).random((size, size)) < 0.5
    bits[at] = state == "LRS"
    return np.where(bits, 1e-5, 1e-5 / on_off_ratio)


def read(g, scheme, v_read=0.3, cell=None, at=(0, -1)):
    return xb.read_cell(xb.Crossbar(g, wires=WIRES, cell=cell), *np.array(at) % len(g), v_read, scheme)


def finish(ax, sizes=None, **settings):
    ax.set(**settings)
    if sizes:
        ax.set(xlabel="wordlines and bitlines", xscale="log", xticks=sizes, xticklabels=sizes)
        ax.minorticks_off()
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small")


one = {(scheme, state): read(random_bits(0, 64, state), scheme) for scheme in SCHEMES for state in STATES}
table = [(x.i_selected, x.i_sneak, x.margin, x.v_half_select, float(x.solution.power)) for x in one.values()]
columns = ["i_selected [uA]", "i_sneak [uA]", "selected cell's share [%]", "v_half_select [mV]", "power [uW]"]
pd.DataFrame(table * np.array([1e6, 1e6, 100, 1e3, 1e6]), one, columns).round(2)

# %% [markdown]
# In this array of 64 x 64 the selected cell always adds 3.0 or 0.3 uA. What differs is the rest that its sense node
# collects, and would collect if the cell were open: 48 or 47 uA with the other lines open or at half the voltage, 32 uA
# with thirds, next to nothing with all of them grounded.
#
# ## Where the current flows
#
# One cell (framed) of a 24 x 24 array, in the LRS. Red flows from wordline to bitline, blue back.

# %%
figure, axes = plt.subplots(1, 4, figsize=(17, 3.8), layout="constrained")
for scheme, ax in zip(SCHEMES, axes):
    there = read(random_bits(1, 24, "LRS", at=(7, 16)), scheme, at=(7, 16))
    plot.cell_currents(there.solution, ax).images[0].set(cmap="RdBu_r", clim=(-3, 3))
    ax.plot(16, 7, "s", color="lime", markersize=9, fillstyle="none")
    ax.set_title(f"{scheme}: sensed {1e6 * (there.i_selected + there.i_sneak):.1f} uA", fontsize="medium")
plt.show()

# %% [markdown]
# Grounded, the selected wordline feeds its row, each bitline for itself. Open lines let current go along the row, down
# other bitlines, back through unselected cells (pale blue: there are many), and along other wordlines into the selected
# bitline. At half the voltage unselected cells see none, but row and column do. With thirds every cell sees 100 mV.
#
# ## Margin
#
# A sense amplifier has to tell the current with the cell in the LRS, i_1, from that in the HRS, i_0. `xb.sweep` reads
# the same cell in both states, in 30 arrays of random bits at each point; the margin is (i_1 - i_0) / i_1.


# %%
def read_both(rng, size, on_off_ratio, scheme):
    seed = rng.integers(1 << 32)
    both = (read(random_bits(seed, size, state, on_off_ratio), scheme) for state in STATES)
    i_1, i_0 = (x.i_selected + x.i_sneak for x in both)
    return {"i_1": i_1, "i_0": i_0, "margin": 1 - i_0 / i_1}


points = {"size": SIZES, "on_off_ratio": [2, 5, 10, 100], "scheme": SCHEMES}
units = {"size": "1", "i_1": "A", "i_0": "A", "margin": "1"}
data = xb.sweep(read_both, points, n_trials=TRIALS, workers=1, progress=False, units=units)
figure, axes = plt.subplots(1, 3, figsize=(16, 3.9), layout="constrained")
for name, state in zip(("i_1", "i_0"), STATES):
    plot.swept(data.sel(on_off_ratio=10, scheme="float"), name, ax=axes[0], label=f"selected cell in {state}")
finish(axes[0], SIZES, ylabel="sensed current, other lines open [A]")
plot.swept(data.sel(on_off_ratio=10), "margin", "size", ax=axes[1])
finish(axes[1], SIZES, ylabel="read margin, on/off ratio 10 [%]")
plot.swept(data.sel(size=SIZES[-2]), "margin", "on_off_ratio", ax=axes[2])
finish(axes[2], xlabel="on/off ratio", ylabel=f"read margin, {SIZES[-2]} x {SIZES[-2]} cells [%]")
plt.show()
(1e6 * (data.i_1.min("trial") - data.i_0.max("trial")).sel(on_off_ratio=10)).to_pandas().round(2)

# %% [markdown]
# Grounded lines leave what the on/off ratio allows, 90 % at 10. The other schemes lose half of the margin with each
# doubling of the lines and keep 5 to 7 % at 64; a ratio of 100 makes that 6 to 8 %, as the sneak current flows through
# other cells in the LRS. The table has the window of a fixed reference in uA, the smallest i_1 of all arrays less the
# largest i_0. Open lines leave the states 2.5 to 2.7 uA apart, too (left), but on an offset that depends on the data
# and varies by more: even 8 lines have no window.
#
# ## A selector, or a transistor
#
# A selector in series with a cell passes next to nothing at half the voltage: 0.1 nA, against 2.3 uA at the whole of
# the 1.2 V that these cells are read at. A transistor (1T1R, 5 kohm, leaking 0.1 nS) cuts unselected rows off.

# %%
sizes = [4, 8, 16, 32, 64, *([] if QUICK else [128, 256])]
cells = {"memristor alone": (None, 0.3, "-"), "MIEC selector, 1.2 V": (xb.MIEC_SELECTOR, 1.2, "--")}
cells |= {"1T1R": (xb.OneTransistorOneResistor(r_on=5e3, g_off=1e-10), 0.3, ":")}
figure, axes = plt.subplots(1, 2, figsize=(13, 4.2), layout="constrained")
for name, (cell, v_read, look) in cells.items():
    for k, scheme in enumerate(SCHEMES):
        style = {"linestyle": look, "color": f"C{k}", "marker": ".", "label": f"{scheme}, {name}"}
        margin = xb.read_margin(sizes, [10], g_lrs=1e-5, wires=WIRES, cell=cell, v_read=v_read, scheme=scheme)
        reads = [read(random_bits(0, size, "LRS"), scheme, v_read, cell) for size in SIZES]
        axes[0].plot(sizes, 100 * margin[:, 0], **style)
        axes[1].loglog(SIZES, [1e6 * float(x.solution.power) for x in reads], **style)
finish(axes[0], sizes, ylabel="worst-case read margin [%]")
finish(axes[1], SIZES, ylabel="power of one read, random bits [uW]")
axes[0].get_legend().remove()
axes[1].legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# Left, the worst case, all other cells in the LRS. At 256 lines a selector keeps 86 to 87 %, a transistor 89 to 90 %,
# whichever way other lines are held; cells alone have 84 % if they are grounded, by IR drop, else below 1 %. The
# selector costs some: it takes more voltage where more current flows, so that the states differ less than their ratio.
#
# Power has another order. Grounding heats the row (57 uW at 128 lines), half-biases row and column (28 uW), thirds the
# whole array (850 uW). With a selector only the selected cell costs, 2.75 uW, except for grounding (181 uW): it selects
# and stresses the whole row, which is worth it where all bitlines are read at once. Networks do that.
