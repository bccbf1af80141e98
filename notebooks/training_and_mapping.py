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
# # From a recipe to a chip
#
# A recipe says how a network comes about. Here that of the MNIST BSNN, cut short: 10 time steps instead of 25, 6 epochs
# instead of 18, 8,000 images instead of 60,000, drawn from the 10,000 test images that are shipped; 1,000 others test.
# Its accuracy is not to be compared with table 3. `mp.load_dataset("mnist", "train")` fetches the training set.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import mapping as mp
import xbarsim as xb

QUICK = "XBARSIM_QUICK" in os.environ
n_train, n_test, t_steps, epochs = (2000, 100, 5, 2) if QUICK else (8000, 1000, 10, 6)

images, labels = mp.load_dataset("mnist")
train, test = np.split(np.random.default_rng(0).permutation(len(images))[: 8000 + n_test], [8000])
train, x, y = train[:n_train], images[test], labels[test]
recipe = mp.load_recipe("mnist-bsnn").changed(t_steps=t_steps, epochs=epochs, n_validation=500)
network = recipe.network
print(*(f"{layer.kind} {layer.out}" for layer in network.layers), f"{network.weights} weights", sep=", ")
print(f"beta {network.beta}, threshold {network.threshold}, surrogate slope {network.slope}, dropout {network.dropout}")

# %% [markdown]
# ## Training
#
# `train` calls back after each batch with the averages of the epoch so far, and after each epoch with the accuracy on
# the validation images, which are held out of the 8,000. The epoch that does best on these is what it returns.

# %%
log, validation = [], []
follow = {"progress": lambda *now: log.append(now), "finished": lambda epoch, accuracy: validation.append(accuracy)}
net = mp.train(network, images[train], labels[train], recipe.training, **follow)
epoch, batch, loss, accuracy = np.array(log).T
at = np.where(batch < batch.max(), epoch + batch / batch.max(), np.nan)  # no line from an epoch to the next
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
axes[0].plot(at, loss)
axes[1].plot(at, 100 * accuracy, label="training, average of the epoch so far")
axes[1].plot(np.arange(epochs) + 1, 100 * np.array(validation), "o", color="C1", label="validation, after the epoch")
axes[0].set(xlabel="epoch", ylabel="loss, average of the epoch so far", ylim=(0, None))
axes[1].set(xlabel="epoch", ylabel="accuracy [%]")
axes[1].legend()
plt.show()
accuracy = np.mean(net.predict(x) == y)
print(f"right: {max(validation):.1%} of the validation images, {accuracy:.1%} of {n_test} others")

# %% [markdown]
# Loss and accuracy of each epoch start anew, where the epoch before has left the network. Most of the way is made in
# the first one.
#
# ## A file
#
# Networks are saved as safetensors, binary weights as int8; specification and training record go with them. Nothing is
# unpickled when a file is loaded.

# %%
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "mine.safetensors"
    mp.save_network(net, file)
    again = mp.load_network(file)
    size = file.stat().st_size / 1024
same = np.array_equal(again.predict(x), net.predict(x))
print(f"{size:.0f} KiB, from epoch {again.metadata['best_epoch']}; same classes: {same}")

# %% [markdown]
# ## The chip
#
# `map_network` folds batch norm into thresholds, cuts the layers into arrays of 256 x 64 cells, programs them and
# solves their circuits.

# %%
chip = mp.load_chip("paper-bsnn")
print(mp.map_network(again, chip).evaluate(x, y))

# %% [markdown]
# ## What changes from software to chip
#
# The spikes of chips against those of the network in software, layer by layer: how many there are, and how many come
# from the same neuron at the same time step as in software, both in percent of those in software.

# %%
software, classes = again.spikes(x), again.predict(x)
thin = xb.Wires(r_wordline="4 Ohm", r_bitline="4 Ohm", r_driver="4 Ohm", r_sense="4 Ohm")
chips = {
    "no wire resistance": chip.replace(wires=xb.Wires()),
    "1 ohm, as shipped": chip,
    "1 ohm, cells spread by 10 %": chip.replace(device__d2d=0.1),
    "4 ohm, cells spread by 10 %": chip.replace(device__d2d=0.1, wires=thin),
}
rows, dies, given = {}, {}, {}
for name, variant in chips.items():
    dies[name] = mp.map_network(again, variant)
    spikes = dies[name].spikes(x)
    given[name] = spikes[-1].sum(0).reshape(n_test, -1).argmax(1)
    right, other = np.mean(given[name] == y), np.mean(given[name] != classes)
    rows[name] = {("images", "right [%]"): 100 * right, ("images", "another class [%]"): 100 * other}
    for k, (here, there) in enumerate(zip(spikes, software)):
        rows[name][f"layer {k}", "spikes [%]"] = 100 * here.sum() / there.sum()
        rows[name][f"layer {k}", "the same [%]"] = 100 * (here * there).sum() / there.sum()
pd.DataFrame(rows).T.round(1)

# %% [markdown]
# Without wire resistance the chip does what software does, spike by spike. With 1 ohm a quarter of layer 1's spikes is
# gone and nearly half of the others come elsewhere or later, yet 1.9 % of the images change class, not all for the
# worse: the last layer makes as many spikes as before. The last chip, with 37 % of layer 1's, loses 2.9 points.
#
# ## One image
#
# An image that the last of these chips classifies otherwise than software: the spikes of the second convolution and of
# the last layer, and the membranes there of the two classes in question, on arrays without wire resistance (left),
# which do what software does, and on the last chip (right).

# %%
ideal, *_, worst = chips
image = int(np.argmax(given[worst] != classes))
neurons = sorted({int(classes[image]), int(given[worst][image])})
figure, axes = plt.subplots(3, 2, figsize=(13, 11), height_ratios=(3, 2, 3), layout="constrained")
axes[2, 0].sharey(axes[2, 1])
for name, column in zip((ideal, worst), axes.T):
    traced = mp.trace(dies[name], x[image : image + 1])
    mp.spike_raster(traced, layer=1, ax=column[0])
    mp.spike_raster(traced, layer=2, ax=column[1])
    mp.membranes(traced, layer=2, neurons=neurons, ax=column[2]).legend(loc="upper left")
    column[0].set_title(f"{name}\n{column[0].get_title()}", fontsize="medium")
plt.show()
print(f"the image shows a {y[image]}; left it is taken for a {classes[image]}, right for a {given[worst][image]}")

# %% [markdown]
# On the right, wires take so much of the current of layer 1 that 82 spikes are left of 272, the first of them a step
# later. Neuron 2 of layer 2 crosses its threshold once instead of four times, and falls behind neuron 7.
