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
# # Hyper-parameters of a binarized and a real-valued spiking network
#
# Figure 4 of J. K. Eshraghian, X. Wang, W. D. Lu, "Binarized Spiking Neural Networks: Challenges and Applications"
# (2022), on a reduced setting: 64 trials for each network on 4,000 MNIST images, 1,000 of them to validate on, at most
# 5 epochs, 10 time steps (the paper: 100 trials, 60,000 images, 5 epochs, 100 time steps). The two files beside this
# notebook were written by
#
#     xbarsim search bsnn.db --recipe mnist-bsnn --trials 64 --t-steps 10 --images 4000 --csv search_mnist_bsnn.csv
#     xbarsim search snn.db --recipe mnist-snn --trials 64 --t-steps 10 --images 4000 --csv search_mnist_snn.csv
#
# Trials are proposed by a tree-structured Parzen estimator and pruned by asynchronous successive halving, both by the
# accuracy on the validation images. What is drawn is the accuracy on 2,000 test images, which no choice has seen.

# %%
import matplotlib.pyplot as plt
import pandas as pd

import mapping as mp

found = {"BSNN": mp.trials("search_mnist_bsnn.csv"), "flt32 SNN": mp.trials("search_mnist_snn.csv")}
for name, trials in found.items():
    mp.accuracy_contours(trials, title=f"{name}, {len(trials)} trials (crosses: pruned)")
    plt.show()

# %% [markdown]
# ## The best trials
#
# The paper reports that a BSNN prefers larger thresholds and smaller slopes than the real-valued network.

# %%
names = ["beta", "threshold", "slope", "learning_rate", "dropout"]
rows = {}
for name, trials in found.items():
    whole = trials[trials.state == "COMPLETE"].nlargest(10, "validation_accuracy")
    rows[name, "median of the 10 best"] = whole[names].median()
    rows[name, "lowest"], rows[name, "highest"] = whole[names].min(), whole[names].max()
    rows[name, "best"] = whole.iloc[0][names]
pd.DataFrame(rows).T.astype(float).round(4)

# %%
for name, trials in found.items():
    best = trials.loc[trials.validation_accuracy.idxmax()]
    clips = ", ".join(what for what in ("clip", "clip_weights", "clip_gradients") if best[what]) or "none"
    print(
        f"{name}: best trial {best.number}, {best.validation_accuracy:.1%} validation, {best.test_accuracy:.1%} test, "
        f"clips: {clips}; {(trials.state == 'PRUNED').sum()} of {len(trials)} pruned"
    )

# %% [markdown]
# ## What it says
#
# Both findings of the paper appear. The ten best BSNNs have thresholds from 4.0 to 5.8, the ten best real-valued
# networks from 1.3 to 2.4: none of the one kind lies in the range of the other. The slope is smaller too, 1.4 against
# 2.6 in the median, but the ranges overlap (1.0 to 2.0, and 1.0 to 4.2), and the contours are flat in that direction.
#
# Two observations beside them, on 3,000 training images and five epochs: all of the best trials of both networks keep
# their membranes inside plus/minus the threshold (`clip`), and the real-valued ones also clip gradients, the binarized
# ones never.
