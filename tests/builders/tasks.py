"""Small tasks that are learned within seconds."""

import sqlite3
from contextlib import closing

import numpy as np

import mapping as mp


def small_task():
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    images = rng.uniform(0, 0.4, (400, 4, 4)) + 0.6 * (labels[:, None, None] == (np.arange(4) >= 2))
    return images, labels


SMALL = mp.NetworkSpec(
    input_shape=(1, 4, 4),
    layers=[mp.LayerSpec(kind="conv", out=6, kernel=3, pool=2, batch_norm=True), mp.LayerSpec(kind="dense", out=2)],
    beta=0.8,
    threshold=2.0,
    slope=2.0,
    dropout=0.1,
    t_steps=5,
)
LONG = mp.TrainingSettings(epochs=60, batch_size=20, n_validation=100, learning_rate=0.02)

PLAN = mp.Search(
    recipe=mp.Recipe(
        network=SMALL, training=mp.TrainingSettings(epochs=3, batch_size=20, n_validation=60, learning_rate=0.01)
    ),
    space=mp.SearchSpace(threshold=(0.5, 3.0), learning_rate=(5e-3, 3e-2)),
    images=200,
    test_images=100,
)


def data():
    images, labels = small_task()
    return (images[:300], labels[:300]), (images[300:], labels[300:])


def states(path):
    with closing(sqlite3.connect(path)) as file:
        return [state for (state,) in file.execute("SELECT state FROM trials")]
