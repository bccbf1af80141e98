"""Networks, a checkpoint and stores as an earlier commit writes them, which later ones have to read.

In that commit's tree, with this file in it, ``python -m tests.golden.earlier FOLDER`` made ``tests/golden/earlier``.
"""

import importlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch

import mapping as mp
import xbarsim as xb

FOLDER = Path(__file__).parent / "earlier"
SPEC = mp.NetworkSpec(
    input_shape=(1, 6, 6),
    layers=[
        mp.LayerSpec(kind="conv", out=3, kernel=3, pool=2, batch_norm=True, bias=True),
        mp.LayerSpec(kind="dense", out=2),
    ],
    beta=0.8, threshold=1.5, t_steps=4, weights="ternary",
)  # fmt: skip
ANN = mp.AnnSpec(input_shape=(1, 6, 6), layers=SPEC.layers, weight_bits=4, activation_bits=3)
SETTINGS = mp.TrainingSettings(epochs=3, batch_size=8, n_validation=8, seed=5)


def task():
    """Images that are bright on the left or on the right."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 2, 40)
    images = rng.uniform(0, 0.5, (40, 6, 6))
    images[labels == 0, :, :3] += 0.5
    images[labels == 1, :, 3:] += 0.5
    return images, labels


def study():
    """A study of the network and its data set, files in the folder in which it runs."""
    axis = mp.Axis(name="n", sets=["past.n_inferences"], values=[0, 1e6])
    return mp.Study(
        network="network.safetensors", chip="paper-bsnn", dataset="task.npz", images="all",
        trials=2, seed=3, axes=[axis], changes={"chip.rows": 16, "chip.cols": 8, "chip.device.d2d": 0.1,
        "chip.device.read_disturb": "power-law"},
    )  # fmt: skip


def circuit(rng, spread):
    """A study of a circuit."""
    g = 1e-5 * np.exp(spread * rng.standard_normal((4, 3)))
    return {"i": xb.solve(xb.Crossbar(g, wires=xb.Wires(r_bitline=10.0)), np.full(4, 0.2)).i_bitline}


def swept(store):
    return xb.sweep(circuit, {"spread": [0.1, 0.3]}, n_trials=3, seed=2, store=store, workers=1)


def train(checkpoint, finished=None):
    return mp.train(SPEC, *task(), SETTINGS, checkpoint=checkpoint, finished=finished)


def main():
    folder = Path()
    torch.set_num_threads(1)
    images, labels = task()
    np.savez(folder / "task.npz", images=images, labels=labels)
    network = train(folder / "checkpoint", finished=lambda epoch, accuracy: epoch == 0)
    mp.save_network(network, folder / "network.safetensors")
    ann = mp.train_ann(ANN, images, labels, SETTINGS)
    mp.save_ann(ann, folder / "ann.safetensors")
    results = mp.run_study(study(), store=folder / "study", workers=1)
    said = {
        "network": network.predict(images).tolist(),
        "ann": ann.integers(images)[-1].ravel().tolist(),
        "study": results["accuracy"].values.tolist(),
        "sweep": swept(folder / "sweep")["i"].values.tolist(),
    }
    (folder / "said.json").write_text(json.dumps(said))


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    importlib.import_module("tests.golden.earlier").main()  # stores of studies name their function by its module
