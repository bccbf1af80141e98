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
# # Read-out: converters, limits, calibration, and what they cost
#
# The MNIST BSNN on chips that differ in how their bitlines are read, on the first test images; accuracies of so few
# images are uncertain by about a percent.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import mapping as mp
import xbarsim as xb

QUICK = "XBARSIM_QUICK" in os.environ
N_IMAGES, STEP = (20, 6) if QUICK else (200, 1)
images, labels = (part[:N_IMAGES] for part in mp.load_dataset("mnist"))
net = mp.load_network("mnist-bsnn")
ann_chip, bsnn_chip = mp.load_chip("paper-ann"), mp.load_chip("paper-bsnn")


def report(chip, network=net):
    return mp.evaluate_dies(network, chip, images, labels, n_dies=1)


# %% [markdown]
# ## Resolution of the ADC
#
# What a conversion costs depends on whom one asks: the laws below are published forms, each at its own anchor. Accuracy
# against resolution is not smooth at the coarse end, where steps happen to fall on multiples of a unit of weight.

# %%
figure, axes = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
mp.adc_energy(ax=axes[0])
bits = range(1, 13, STEP)
for full_scale in ("worst-case", "calibrated"):
    chips = [ann_chip.replace(readout__n_bits=n, readout__full_scale=full_scale) for n in bits]
    axes[1].plot(bits, [100 * report(chip).accuracy for chip in chips], marker="o", label=f"full scale {full_scale}")
axes[1].axhline(100 * np.mean(net.predict(images) == labels), color="0.5", linestyle="--", label="software")
axes[1].set(xlabel="resolution [bit]", ylabel="accuracy [%]", xticks=bits)
axes[1].legend()
plt.show()

# %% [markdown]
# ## One converter
#
# Mismatched capacitors move the transitions most where the largest of them switches.

# %%
adc = mp.SarAdc(n_bits=6, f_sample=40e6, power=40e-6, mismatch=0.05, offset=0.01, noise=0.002)
test = mp.sine_test(adc)
mp.adc_transfer(adc)
print(f"SNDR {test.sndr:.1f} dB, ENOB {test.enob:.2f} of {adc.n_bits} bits")
mp.adc_linearity(adc)
plt.show()

# %% [markdown]
# ## A limit of bitline currents is not a clip of the membrane
#
# The paper clips membranes inside plus/minus the threshold and calls it a current limit. In software such a clip costs
# this network what the dashed line says. A limiter clamps each bitline of a pair before they are subtracted: it takes
# from large currents of either sign what the difference would have needed.

# %%
clipped = mp.Network(net.spec.replace(clip=True))
clipped.load_state_dict(net.state_dict())
unit = bsnn_chip.unit_current
limits = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64])[::STEP]
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for kind in ("hard", "smooth"):
    chips = [bsnn_chip.replace(limiter=mp.CurrentLimit(i_max=x * unit, kind=kind)) for x in limits]
    ax.semilogx(limits * unit * 1e6, [100 * report(chip).accuracy for chip in chips], marker="o", label=f"{kind} limit")
for name, network, color in (("no clip", net, "0.5"), ("membrane clip", clipped, "C3")):
    accuracy = 100 * np.mean(network.eval().predict(images) == labels)
    ax.axhline(accuracy, color=color, linestyle="--", label=f"{name}, in software")
ax.set(xlabel="limit of a bitline's current [uA]", ylabel="accuracy [%]")
ax.legend()
plt.show()

# %% [markdown]
# ## Calibration
#
# IR drop shrinks the weights of full arrays. Codes for the gain of each output of each array, 5 bits here, and for the
# thresholds bring them back as long as their range lasts.

# %%
wires = np.array([0.5, 1, 2, 4, 8])[::STEP]
trims = mp.Calibration(gain_bits=5, threshold_bits=5, gain_range=0.7, threshold_range=0.7)
rows = []
for r in wires:
    chip = bsnn_chip.replace(wires=xb.Wires(r_wordline=r, r_bitline=r, r_driver=r, r_sense=r), calibration=trims)
    rows.append(report(chip))
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(wires, [100 * row.accuracy for row in rows], marker="o", label="calibrated")
ax.plot(wires, [100 * row.accuracy_uncalibrated for row in rows], marker="o", label="not calibrated")
ax.set(xlabel="wire resistance per cell [ohm]", ylabel="accuracy [%]")
ax.legend()
plt.show()

# %% [markdown]
# ## Merging row tiles
#
# The last layer has 3136 inputs on 13 arrays. Their currents, or converted numbers, must be added before anything is
# compared; deciding on each array and counting votes is another function.

# %%
for merge in ("charge", "charge-sharing", "majority"):
    row = report(bsnn_chip.replace(merge=merge))
    print(f"{merge:15} {row.accuracy:.1%}", *row.warnings, sep="  ")

# %% [markdown]
# ## Power, area, and what limits throughput
#
# Shares of four chips beside those of the TAICHI tile, as the paper's figure 3 has them: there, buffers and logic,
# which are not part of our chips, take four fifths. Positions of a convolution are read one after the other, so that
# the first layer keeps the others waiting; copies of its arrays help.

# %%
names = ["paper-ann", "paper-bsnn", "isaac-like", "snn-64"][::STEP]
reports = [report(mp.load_chip(name)) for name in names]
figure, axes = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
for what, ax in zip(("power", "area"), axes):
    mp.breakdown(reports, what, ax=ax)
figure, axes = plt.subplots(1, 2, figsize=(12, 3.4), layout="constrained")
mp.throughput_limits(reports[-1], axes[0])
mp.throughput_limits(report(mp.load_chip("snn-64").replace(replication=(4,))), axes[1])
plt.show()
