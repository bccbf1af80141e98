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
# # The paper's figures beside ours
#
# J. K. Eshraghian, X. Wang, W. D. Lu, "Binarized Spiking Neural Networks: Challenges and Applications", IEEE
# Nanotechnology Magazine, 2022, doi 10.1109/MNANO.2022.3141443: what it publishes of accuracy, efficiency and the share
# of data conversion, beside what the networks and models of this project give, each number of ours computed here. The
# command `xbarsim paper` prints the same; figure 4 has a notebook of its own, `hyper_parameters`.

# %%
import os
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import mapping as mp
from mapping.cost import CONVENTIONS
from mapping.study.paper import headline as paper

QUICK = "XBARSIM_QUICK" in os.environ
n_software, n_chip, n_other = (100, 10, 2) if QUICK else (10_000, 500, 50)

# %% [markdown]
# ## Table 3: accuracy
#
# All four shipped networks, with binary weights (BSNN) or real ones (flt32 SNN), on the 10,000 test images of each.

# %%
rows = {}
for (network, dataset), (name, published) in paper.TABLE_3.items():
    net, (images, labels) = mp.load_network(name), mp.load_dataset(dataset)
    right = np.mean(net.predict(images[:n_software]) == labels[:n_software])
    rows[f"{dataset}, {network}"] = 100 * published, 100 * right, 100 * (right - published), net.t_steps
table = pd.DataFrame(rows, index=["paper [%]", "ours [%]", "difference [%]", "time steps, paper: 100"]).T
table.round(2)

# %% [markdown]
# Three of the four lie above the paper's, by 0.2 to 0.3 points, one 0.06 below. 10,000 images leave an uncertainty of
# 0.1 points at 99 %, of 0.3 at 90 %: they are about as accurate as published, with 10 to 40 time steps instead of 100.
#
# ## The headline: TOPS/W, and the ADC power share
#
# The paper estimates about 74 TOPS/W for a conventional network of 8 bits, 4.77 % of its power for data conversion, and
# about 153 TOPS/W and 0.03 % for the BSNN. It does not say what is counted. Ours come twice: under full accounting, the
# whole network with its zeros, drivers and neurons while it classifies test images; and under a compatibility
# accounting, made to come close.

# %%
print(fill(paper.COMPATIBILITY, 110))

# %%
chips = {"ann": mp.load_chip("paper-ann"), "bsnn": mp.load_chip("paper-bsnn")}
mapped = {
    "ann": mp.map_ann(mp.load_ann("mnist-ann"), chips["ann"]),
    "bsnn": mp.map_network(mp.load_network("mnist-bsnn"), chips["bsnn"]),
}
x, y = (part[:n_chip] for part in mp.load_dataset("mnist"))
reports = {name: network.evaluate(x, y) for name, network in mapped.items()}
adc = chips["ann"].readout
lines = [paper.full(name, report) for name, report in reports.items()]
lines.append(paper.compatibility("ann", chips["ann"], adc))
lines.append(paper.compatibility("bsnn", chips["bsnn"], adc.replace(n_bits=1)))
pd.DataFrame(
    {
        (line.network.upper(), line.accounting): {
            "TOPS/W": line.tops_per_watt,
            "TOPS/W, paper": line.paper_tops_per_watt,
            "ADC power share [%]": 100 * line.adc_power_share,
            "ADC power share, paper [%]": 100 * line.paper_adc_power_share,
        }
        for line in lines
    }
).T.round(4)

# %% [markdown]
# The same as a picture. Stars are the paper; crosses are all other conventions that `--accounting` knows, on the first
# 50 images: arrays and converters alone, one operation per MAC, all columns converted, arrays on until all is
# converted, used cells only.

# %%
figure, ax = plt.subplots(figsize=(8, 4.6), layout="constrained")
for name, color in (("ann", "C0"), ("bsnn", "C1")):
    tops_per_watt, share = paper.HEADLINE[name]
    ax.plot(tops_per_watt, 100 * share, "*", markersize=16, color=color, label=f"{name.upper()}, published")
    for line, marker in zip([line for line in lines if line.network == name], "os"):
        label = f"{name.upper()}, {line.accounting} accounting"
        ax.plot(line.tops_per_watt, 100 * line.adc_power_share, marker, color=color, markersize=8, label=label)
    others = [mapped[name].evaluate(x[:n_other], y[:n_other], accounting=other) for other in list(CONVENTIONS)[1:]]
    points = [(other.tops_per_watt, 100 * other.adc_power_share) for other in others]
    ax.plot(*zip(*points), "x", color=color, label=f"{name.upper()}, other conventions")
ax.set(xscale="log", yscale="log", xlabel="TOPS/W, dense", ylabel="ADC power share [%]")
ax.grid(alpha=0.3)
ax.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
plt.show()
synaptic = (f"{name.upper()} {one.synaptic_tops_per_watt:.1f}" for name, one in reports.items())
print("TOPS/W if only operations count that an input causes:", *synaptic)

# %% [markdown]
# With the whole network, no convention comes near a star: the crosses spread from 5 to 20 TOPS/W for the ANN and from
# 900 to 3,700 for the BSNN. Where the paper has a factor of 2 between the two networks, full accounting has 163, for
# most operations of the BSNN are counted but never happen; counting only those that do, it is 10. The compatibility
# accounting (squares) meets both TOPS/W within 1 % and the ANN's share within 4 %; the BSNN's share is 0.0375 %, not
# 0.03 %.
#
# ## Figure 3: where power and area go
#
# The paper shows the breakdown of a tile of TAICHI (Wang et al., TCAS-II 2021): ADCs 18 % of its power and 10 % of its
# area, 18 and 2.5 times as much as its arrays.

# %%
figure, axes = plt.subplots(1, 2, figsize=(13, 3.8), layout="constrained")
mp.breakdown(list(reports.values()), "power", ax=axes[0])
mp.breakdown(list(reports.values()), "area", ax=axes[1])
plt.show()
for one in reports.values():
    power, area = one.energy_by_module(), one.area_by_module()
    power, area = power["conversion"] / power["array"], area["conversion"] / area["array"]
    print(f"{one.chip}: data conversion takes {power:.3g} times the power and {area:.3g} times the area of arrays")

# %% [markdown]
# The ANN repeats the picture of TAICHI: converters take 90 times the power and 12 times the area of the arrays. The
# BSNN's sense amplifiers take a sixtieth and an eighth; its area is membranes. The figure has all parts that we model.
#
# ## What could not be reproduced
#
# - The headline, as the paper does not say what it counts. Full accounting gives a seventh of the published TOPS/W for
#   the ANN and 11 times those of the BSNN, and ADC power shares 11 and 27 times as large. The compatibility
#   accounting is a guess made to fit; nothing that we tried meets all four figures within rounding.
# - Table 3 under the paper's own conditions: 100 time steps, and in three of the four networks a clip of the membrane.
#   Its range is given for a threshold of 1; kept in [-1, 1] at the BSNN's threshold of 6.4, no neuron could fire.
# - Figure 3 in its parts: buffers, logic and links, four fifths of TAICHI's tile, are not part of our chips, so that
#   only ratios of the other parts can be compared.
# - Figure 4 in full size: `hyper_parameters` has 64 trials on 4,000 images instead of 100 on 60,000, and 10 time steps
#   instead of 100. Both of the paper's findings appear.
# - Wire resistance, areas, and the number of bitlines that share an ADC are not given; those of `paper-ann` and
#   `paper-bsnn` are assumptions, marked as such in their files.
