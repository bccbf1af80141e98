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
# # Energy: reports, what they count, and what the numbers hang on
#
# The MNIST BSNN on the shipped chips. `evaluate` accounts for what it costs to classify images, by layer and by module.
# `print(report)` shows all of it; here are tables of its fields, in SI units.

# %%
import os
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import mapping as mp
from mapping.chip.chip import MODULES
from mapping.chip.periphery.sar_adc import published_adcs
from mapping.cost import CONVENTIONS

QUICK = "XBARSIM_QUICK" in os.environ
IMAGES, SCALES = (20, [0.6, 1, 1.5]) if QUICK else (500, [0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5])
pair = ["paper-ann", "paper-bsnn"]
names = pair if QUICK else mp.list_chips()
pd.options.display.precision = 3
images, labels = (part[:IMAGES] for part in mp.load_dataset("mnist"))
net = mp.load_network("mnist-bsnn")
mapped = {name: mp.map_network(net, mp.load_chip(name), images=images[:64]) for name in names}
reports = {name: network.evaluate(images, labels) for name, network in mapped.items()}
kept = ["accuracy", "energy_per_inference", "tops_per_watt", "synaptic_tops_per_watt", "adc_power_share"]
pd.DataFrame([one.to_dict() for one in reports.values()], names)[[*kept, "throughput", "power", "area"]]

# %% [markdown]
# An image costs from 0.15 to 12.8 uJ. TOPS/W are dense, all operations of all 25 time steps, or
# synaptic, only those that an input causes: 2.6 % of them on `paper-bsnn`. On `neurram-like` bitlines float while they
# are read, and their voltage saturates; this network was not trained for that.
#
# ## Where power and area go

# %%
figure, axes = plt.subplots(1, 2, figsize=(13, 4.4), layout="constrained")
for what, ax in zip(("power", "area"), axes):
    mp.breakdown(list(reports.values()), what, taichi=False, ax=ax)
plt.show()
layers = pd.concat([reports[name].to_dataframe() for name in pair])
energies = 1e9 * layers.set_index(["chip", "name"])[["array", "conversion", "driver", "neuron", "energy"]]
energies.rename(columns=lambda name: f"{MODULES.get(name, 'sum')} [nJ]")

# %% [markdown]
# On the three chips with ADCs data conversion takes 69 to 88 % of power, on the others less than 1 %. On `paper-bsnn`
# arrays and drivers share what is left: most of it are DACs that apply the same image in every time step, 69 nJ, and
# the second layer's arrays, 51 nJ. Most of the area are neurons, but not on `snn-64`, whose 64 arrays have 512 ADCs.
#
# ## What limits throughput
#
# Left and middle, a time step of each layer; the longest bar, dashed, decides. Right, copies of the first layer's
# arrays, which share its positions.

# %%
copies = [1, 2, 4, 8, 16]
figure, axes = plt.subplots(1, 3, figsize=(15, 3.8), layout="constrained", width_ratios=(1, 1, 0.9))
for ax, name in zip(axes, pair):
    mp.throughput_limits(reports[name], ax)
    chips = [mp.load_chip(name).replace(replication=(n,)) for n in copies]
    copied = [mp.map_network(net, chip).evaluate(images[:2], labels[:2]) for chip in chips]
    label = f"{name}, 4 copies: area +{100 * (copied[2].area / copied[0].area - 1):.1f} %"
    axes[2].semilogy(copies, [one.throughput for one in copied], marker="o", label=label)
axes[2].set(xlabel="copies of the first layer", ylabel="images/s", ylim=(None, 3e4), xticks=copies)
axes[2].legend(fontsize="small", loc="upper left")
plt.show()

# %% [markdown]
# The 784 positions of the first layer are read one after the other: 25 ns each on `paper-bsnn`, 200 ns where eight
# bitlines wait for one ADC. With four copies they take as long as the 196 positions of the second layer, which then
# limits. That is four times the throughput for 0.6 or 4.6 % of area; the energy of an image stays the same.
#
# ## Energy against spike rate
#
# Lower thresholds let more spikes through, those of the first layer (the axis) to the second.

# %%
scales = mp.load_study("spike-sparsity").axes[0].replace(values=SCALES)
study = mp.Study(axes=[scales, mp.Axis(name="chip", sets=["chip"], values=pair)], images=IMAGES, trials=1)
data = mp.run_study(study, workers=1, progress=False).mean("trial")
figure, axes = plt.subplots(1, 3, figsize=(15, 3.8), layout="constrained")
for name in pair:
    one = data.sel(chip=name)
    rate, energy = 100 * one.spike_rate[:, 0].values, 1e9 * one.energy_per_inference.values
    axes[0].plot(rate, energy, marker="o", label=name)
    axes[1].plot(rate, 100 * one.accuracy, marker="o", label=name)
    slope, floor = np.polyfit(rate, energy, 1)
    print(f"{name}: {floor:.0f} nJ, and {slope:.1f} nJ for each percent of spike rate")
parts = 1e9 * one.energy_by_module[:, :4]
axes[2].stackplot(rate, parts.T, labels=parts.module.values)
for ax, text in zip(axes, ("energy per image [nJ]", "accuracy [%]", "energy per image, paper-bsnn [nJ]")):
    ax.axvline(rate[SCALES.index(1)], color="0.4", linestyle="--", linewidth=1, label="thresholds as trained")
    ax.set(xlabel="spike rate of the first layer [%]", ylabel=text)
    ax.legend(fontsize="small")
axes[0].set(yscale="log", ylim=(100, 5000))
plt.show()

# %% [markdown]
# A spike costs the same on both chips. But `paper-bsnn` needs 100 nJ without any, for the first layer's constant input,
# and `paper-ann` 2.7 uJ, for its ADCs and digital neurons work whether spikes come or not: there sparsity saves next
# to nothing. Below a rate of 1.4 % accuracy collapses; above 2.7 % it falls slowly, while energy grows.
#
# ## What is in, what is out

# %%
print(fill(str(CONVENTIONS["full"]), 110))
index = pd.MultiIndex.from_product([pair, CONVENTIONS])
counted = [mapped[chip].evaluate(images[:50], labels[:50], accounting=name).to_dict() for chip, name in index]
pd.DataFrame(counted, index)[kept[1:]]

# %% [markdown]
# Arrays and converters alone (`core`) make 137 of 98 TOPS/W, and 3,700 of 1,830; a MAC as one operation halves them.
# ADCs that convert unused bitlines too, or arrays on until all are converted, cost `paper-ann` a fifth. Unused cells
# matter little. All that is less than the factor of 40 between dense and synaptic operations of the same run.
#
# ## Whose law of the ADC's energy

# %%
paper, one = mp.load_chip("paper-ann").readout, reports["paper-ann"]
conversion = one.adc_power_share * one.energy_per_inference
figure, axes = plt.subplots(1, 2, figsize=(13, 4), layout="constrained")
mp.adc_energy(ax=axes[0])
for law, adc in published_adcs().items():
    energy = one.energy_per_inference + conversion * (adc.energy_at(8) / paper.energy - 1)
    share = 1 - (one.energy_per_inference - conversion) / energy
    bar = axes[1].barh(law, one.tops_per_watt * one.energy_per_inference / energy)
    axes[1].bar_label(bar, [f"{100 * share:.0f} %"], padding=4)
axes[1].set(xlabel="TOPS/W of paper-ann, 8 bit (beside it, ADC power share)", xlim=(0, 300))
axes[1].invert_yaxis()
plt.show()

# %% [markdown]
# At 8 bits published laws say 0.085 pJ (`neurosim`) to 11.4 pJ (`schreier`) for a conversion, so that the same chip
# has 264 or 12 TOPS/W. They also grow differently: nearly linearly, doubling or quadrupling with each bit.
