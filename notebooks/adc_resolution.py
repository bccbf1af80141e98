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
# # Resolution of the ADC: accuracy, TOPS/W, and the ADC power share
#
# The MNIST BSNN on `paper-ann`, whose bitlines are read by SAR ADCs, with 1 to 8 bits. It is the shipped study
# `adc-bits` (cells spread by 5 % from device to device, two dies at each point) with one more axis: the full scale of
# the converters, by worst case or by a calibration set. The notebook `read_out` shows what a single converter does, all
# laws of its energy, and resolutions up to 12 bits.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import EngFormatter

import mapping as mp

QUICK = "XBARSIM_QUICK" in os.environ
images, trials, bits = (50, 1, (1, 4, 8)) if QUICK else (1000, 2, tuple(range(1, 9)))

study, spread = mp.load_study("adc-bits"), {"chip.device.d2d": 0.05}
resolution = study.axes[0].replace(values=bits)
full_scale = mp.Axis(name="full_scale", sets=["chip.readout.full_scale"], values=["worst-case", "calibrated"])
study = study.replace(images=images, trials=trials, changes=spread, axes=[resolution, full_scale])
data = mp.run_study(study, workers=1)
mp.study_figure(data, study.show)
plt.show()

# %% [markdown]
# From left to right: accuracy, efficiency, and the share of power that the ADCs take. Only the first depends on the
# full scale, since a conversion costs the same whatever its range.

# %%
mean = data.mean("trial", keep_attrs=True)
parts = {"accuracy [%]": 100 * mean.accuracy, "conversions clipped [%]": 100 * mean.fraction_clipped}
pd.concat({name: part.to_pandas() for name, part in parts.items()}, axis=1).round(3)

# %% [markdown]
# The worst case is the current of a bitline with all rows active. Spikes are so sparse that those of the second layer
# stay below half a step of 1 or 2 bits: it never fires, and 8.5 % are right, as good as guessing. It takes 5 bits for
# 97.2 %, and 8 for 98.95 %. A full scale from 64 calibration images, the 0.999 quantile of their currents, clips one
# conversion in a thousand and reaches 96.6 % with 2 bits and 98.3 % with 3. From there on, the differences are no
# larger than the uncertainty of 1,000 images, 0.3 %. In software they have 99.2 %.
#
# ## What resolution trades
#
# The same points, accuracy against energy, as far as the chip works at all: from 4 bits with the worst case as full
# scale (left), from 2 bits with a calibrated one (right). The larger a point, the larger the ADC power share.

# %%
figure, axes = plt.subplots(1, 2, figsize=(12, 4), sharex=True, layout="constrained")
for ax, (scale, fewest) in zip(axes, {"worst-case": 4, "calibrated": 2}.items()):
    mp.adc_tradeoff(data.sel(full_scale=scale, n_bits=slice(fewest, None)), ax=ax)
    ax.set(xscale="linear")
    ax.set_title(f"full scale {scale}", fontsize="medium", loc="left")
    ax.xaxis.set_major_formatter(EngFormatter(sep=" "))
plt.show()

# %% [markdown]
# Calibrated, 3 bits instead of 8 save two thirds of the energy, 0.92 uJ instead of 2.74 uJ, and lose no accuracy that
# 1,000 images could show (mind the scale). Below 3 bits there is nothing left to save: the ADCs take 6 % of power.
#
# ## Whose converter?
#
# Up to here a conversion cost what the paper says: 1 pJ at 8 bit (40 uW at 40 MHz), halved with each bit less. From one
# source to another that differs by orders of magnitude. A law changes neither spikes nor the number of conversions, so
# the energy of data conversion goes by the ratio of two laws, and nothing has to be simulated again.

# %%
paper = mp.load_chip("paper-ann").readout
laws = {
    "2^b, the paper's": paper,
    "neurosim, 22 nm": mp.SarAdc(n_bits=8, f_sample=paper.f_sample, law="neurosim", node=22, column_resistance=100e3),
    "schreier, 152.5 dB": mp.SarAdc(n_bits=8, f_sample=paper.f_sample, law="schreier", fom_schreier=152.5),
}
calibrated = mean.sel(full_scale="calibrated")
conversion = calibrated.energy_by_module.sel(module="data conversion").values
rest = calibrated.energy_per_inference.values - conversion
operations = calibrated.tops_per_watt.values * calibrated.energy_per_inference.values
one_bit = mp.run_study(mp.Study(images=images, trials=trials, changes=spread), workers=1).mean("trial")

figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
mp.adc_energy(list(laws.values()), axes[0])
axes[0].set(xlim=(0.6, 8.4), ylim=(1e-15, 1e-10))
for name, adc in laws.items():
    converted = conversion * [adc.energy_at(n) / paper.energy_at(n) for n in bits]
    axes[1].plot(bits, operations / (rest + converted), marker="o", label=name)
    axes[2].plot(bits, 100 * converted / (rest + converted), marker="o", label=name)
axes[1].axhline(one_bit.tops_per_watt, color="0.3", linestyle=":", label="paper-bsnn, no ADC")
axes[2].axhline(100 * one_bit.adc_power_share, color="0.3", linestyle=":", label="paper-bsnn, no ADC")
axes[1].set(xlabel="resolution [bit]", ylabel="TOPS/W, dense", yscale="log")
axes[2].set(xlabel="resolution [bit]", ylabel="ADC power share [%]")
for ax, title in zip(axes, ("a conversion", "the chip", "share of conversion in its power")):
    ax.set_title(title, fontsize="medium")
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small")
plt.show()

# %% [markdown]
# At 8 bits the three sources say 0.085, 1 and 27.6 pJ for a conversion: 264, 98 or 5 TOPS/W for the same chip, and a
# ADC power share of 16, 69 or 98 %. At 3 bits, where the lines cross, all say 6 %. A share, or TOPS/W, of a
# chip with ADCs means little unless the source of its converters is given.
#
# ## One bit, with and without an ADC
#
# A converter of one bit at each bitline is not a comparator behind a membrane. The first rounds every partial sum of a
# layer before they are added. `paper-bsnn` (dotted above) adds currents on a capacitor, the membrane, and its sense
# amplifier asks only whether that has reached the threshold.

# %%
bars = {f"{n} bit": calibrated.energy_by_module.sel(n_bits=n) for n in bits} | {"paper-bsnn": one_bit.energy_by_module}
accuracies = [*calibrated.accuracy.values, one_bit.accuracy.item()]
figure, ax = plt.subplots(figsize=(9, 4.2), layout="constrained")
bottom = np.zeros(len(bars))
for module in [name for name in data.module.values if name not in ("links", "calibration")]:
    heights = np.array([1e6 * values.sel(module=module).item() for values in bars.values()])
    ax.bar(list(bars), heights, bottom=bottom, label=module)
    bottom += heights
for k, (height, accuracy) in enumerate(zip(bottom, accuracies)):
    ax.text(k, height, f"{100 * accuracy:.1f} %", ha="center", va="bottom", fontsize="small")
ax.set(xlabel="chip (accuracy above its bar)", ylabel="energy per image [uJ]")
ax.legend(fontsize="small")
plt.show()

# %% [markdown]
# The floor is not the ADC. Digital neurons, which add partial sums and let membranes decay, take 0.71 uJ at every
# resolution; membranes of charge take 3 nJ. So `paper-bsnn` needs 0.16 uJ for an image, a sixth of what 3 bits need and
# a seventeenth of 8 bits, at the same accuracy, and 0.8 % of it for data conversion. What a converter of one bit saves
# is small; what it makes superfluous is much. The 1-bit ADC gets half of the images right, and its arrays take more
# power, as it makes spikes that should not be.
