"""Training of networks of ReLU neurons: it learns and repeats; what it refuses."""

import numpy as np
import pytest
import torch

import xbarsim as xb
from mapping.training.ann_train import train_ann
from tests.builders.anns import SETTINGS, SMALL, trained
from tests.builders.tasks import small_task


def test_training_learns_and_repeats():
    calls, (images, labels) = [], small_task()
    network = train_ann(SMALL, images, labels, SETTINGS, lambda *state: calls.append(state))
    assert np.mean(network.predict(images) == labels) > 0.95
    assert [call[:2] for call in calls] == [(epoch, batch) for epoch in range(4) for batch in range(1, 16)]
    assert calls[-1][2] < calls[14][2]
    record = network.metadata
    assert record["seed"] == 5 and record["trained_epochs"] == 4 and record["seconds"] >= 0
    held_out = np.random.default_rng([5, 0]).permutation(400)[:100]
    assert record["validation_accuracy"] == np.mean(network.predict(images[held_out]) == labels[held_out])
    again, other = trained(), trained(seed=6)
    for name, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert any(not torch.equal(value, other.state_dict()[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("bits", [(2, 8), (8, 1), (3, 2)], ids=str)
def test_few_bits_learn(bits):
    network = trained(SMALL.replace(weight_bits=bits[0], activation_bits=bits[1]), shift=0)
    images, labels = small_task()
    assert np.mean(network.predict(images) == labels) > 0.9


def test_settings_count():
    last = trained(n_validation=0)
    assert last.metadata["best_epoch"] == 4 and last.metadata["validation_accuracy"] is None
    plain = trained(epochs=1).state_dict()
    for change in ({"schedule": "constant"}, {"shift": 0}):
        assert any(
            not torch.equal(value, plain[name]) for name, value in trained(epochs=1, **change).state_dict().items()
        )


@pytest.mark.parametrize(
    ("images", "labels", "changes", "message"),
    [
        (None, np.zeros(3, int), {}, r"labels have the shape \(3,\) and type int64; 400 images"),
        (None, np.full(400, 2), {}, "labels go from 2 to 2; the network has classes 0 to 1"),
        (np.zeros((400, 5, 5)), None, {}, r"the network takes \(n, 1, 4, 4\)"),
        (np.zeros((400, 1, 1, 4, 4)), None, {}, "images have 5 dimensions"),
        (None, None, {"batch_size": 301}, "400 images are fewer than both together"),
        (None, None, {"patience": 2}, "patience = 2 is not offered for an Ann"),
        (None, None, {"activity_l1": 0.1}, "activity_l1 = 0.1 is not offered"),
    ],
)
def test_bad_training_sets_and_settings(images, labels, changes, message):
    x, y = small_task()
    with pytest.raises(xb.ParameterError, match=message):
        train_ann(SMALL, x if images is None else images, y if labels is None else labels, SETTINGS.replace(**changes))
