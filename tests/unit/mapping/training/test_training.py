"""Training: it learns, repeats, resumes; its losses and penalties do what they say; recipes and searches."""

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, save_file

import mapping as mp
import xbarsim as xb
from mapping.networks.encode import encode
from mapping.networks.layers import weighted_input
from mapping.networks.network import Network
from mapping.training.train import choose_device, settle_norms, shifted
from tests.builders.tasks import SMALL, small_task


def test_training_learns_repeats_and_resumes_exactly(tmp_path):
    images, labels = small_task()
    settings = mp.TrainingSettings(epochs=4, batch_size=20, learning_rate=0.02, n_validation=100, seed=5)
    calls = []
    network = mp.train(SMALL, images, labels, settings, progress=lambda *state: calls.append(state))
    assert network.metadata["validation_accuracy"] > 0.9
    assert len(calls) == 4 * 15 and calls[-1][2] < calls[14][2]

    class Stop(Exception):
        pass

    def stop_in_third_epoch(epoch, batch, loss, accuracy):
        if (epoch, batch) == (2, 4):
            raise Stop

    with pytest.raises(Stop):
        mp.train(SMALL, images, labels, settings, checkpoint=tmp_path, progress=stop_in_third_epoch)
    resumed = mp.train(SMALL, images, labels, settings, checkpoint=tmp_path)
    for name, value in network.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name

    other = mp.TrainingSettings(epochs=5, batch_size=20, learning_rate=0.02, n_validation=100, seed=5)
    with pytest.raises(xb.FileError, match="other settings"):
        mp.train(SMALL, images, labels, other, checkpoint=tmp_path)


def trained(changes=None, **settings):
    images, labels = small_task()
    defaults = {"epochs": 4, "batch_size": 20, "learning_rate": 0.02, "n_validation": 100, "seed": 5}
    return mp.train(SMALL.replace(**(changes or {})), images, labels, mp.TrainingSettings(**(defaults | settings)))


def activity(network):
    return np.mean([s.mean() for s in network.spikes(small_task()[0])])


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": "float"},
        {"weights": "ternary"},
        {"weights": 3},
        {"decoder": "first-spike", "threshold": 1.0},
        {"decoder": "membrane", "threshold": 1.0},
        {"encoding": "rate", "t_steps": 10},
        {"encoding": "latency", "threshold": 1.0},
        {"reset_mechanism": "zero", "clip": True, "clip_gradient": "straight-through"},
        {"learn_beta": True},
        {"winner_take_all": True},
        {"inhibition": 0.2},
    ],
    ids=str,
)
def test_every_variant_learns_and_survives_storage(changes, tmp_path):
    network = trained(changes)
    images, labels = small_task()
    assert np.mean(network.predict(images, seed=1) == labels) > 0.85
    mp.save_network(network, tmp_path / "net.safetensors")
    again = mp.load_network(tmp_path / "net.safetensors")
    for ours, theirs in zip(network.spikes(images, seed=1), again.spikes(images, seed=1)):
        np.testing.assert_array_equal(ours, theirs)
    betas = {layer.beta.item() for layer in again.layers}
    assert (betas != {0.8}) == ("learn_beta" in changes)
    if changes.get("weights") == 3:
        assert set((again.layers[0].effective_weight() * 3).unique().tolist()) <= set(range(-3, 4))
    if "winner_take_all" in changes:
        assert max(s.sum(2).max() for s in again.spikes(images)) == 1


@pytest.mark.compiled
def test_activity_regularization_makes_networks_sparser():
    free = activity(trained())
    assert activity(trained(activity_l1=3.0)) < 0.8 * free
    assert activity(trained(activity_l2=10.0)) < 0.8 * free


@pytest.mark.compiled
def test_clipped_weights_gradients_and_schedules():
    wide, narrow = trained(learning_rate=0.3), trained(learning_rate=0.3, clip_weights=True)
    assert wide.layers[0].weight.abs().max() > 1 >= narrow.layers[0].weight.abs().max()
    free = trained(epochs=1).state_dict()
    for changed in ({"schedule": "constant"}, {"max_grad_norm": 1e-3}):
        other = trained(epochs=1, **changed).state_dict()
        assert any(not torch.equal(value, other[name]) for name, value in free.items())
    torch.manual_seed(5)
    start = Network(SMALL).layers[1].weight
    tiny, whole = (trained(epochs=1, max_grad_norm=norm).layers[1].weight - start for norm in (1e-12, None))
    assert tiny.abs().max() < 0.1 * whole.abs().max()  # far below Adam's epsilon


def test_patience_ends_a_run_and_no_validation_takes_the_last_epoch():
    network = trained(epochs=50, patience=2, learning_rate=1e-6)
    assert network.metadata["trained_epochs"] == network.metadata["best_epoch"] + 2 < 50
    last = trained(n_validation=0)
    assert last.metadata["best_epoch"] == 4 and last.metadata["validation_accuracy"] is None
    assert last.metadata["training_accuracy"] > 0.8


def test_same_seed_same_network_other_seed_another():
    first, second, other = trained(epochs=2), trained(epochs=2), trained(epochs=2, seed=6)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert any(not torch.equal(value, other.state_dict()[name]) for name, value in first.state_dict().items())


def test_fewer_time_steps_in_training_than_in_use():
    network = trained({"t_steps": 12}, t_steps_training=3)
    assert network.t_steps == 12 and network.metadata["t_steps_training"] == 3
    same = trained({"t_steps": 3})
    assert torch.equal(network.layers[0].weight, same.layers[0].weight)  # settled for other steps, trained alike
    assert not torch.equal(network.layers[0].norm.running_mean, same.layers[0].norm.running_mean + 1)
    images, labels = small_task()
    assert np.mean(network.predict(images) == labels) > 0.85
    with pytest.raises(xb.ParameterError, match="t_steps_training = 3: spikes are given for the 5 of the network"):
        mp.train(
            SMALL, np.zeros((9, 5, 1, 4, 4)), np.zeros(9, int), mp.TrainingSettings(t_steps_training=3, n_validation=0)
        )


def test_checkpoints_that_do_not_fit_are_refused(tmp_path):
    images, labels = small_task()
    settings = mp.TrainingSettings(epochs=1, batch_size=20, n_validation=100)
    mp.train(SMALL, images, labels, settings, checkpoint=tmp_path)
    with pytest.raises(xb.FileError, match="is a run with other settings or data"):
        mp.train(SMALL, images, 1 - labels, settings, checkpoint=tmp_path)
    path = tmp_path / "run.safetensors"
    whole = path.read_bytes()
    tensors = load(whole)
    with safe_open(path, framework="pt") as file:
        record = file.metadata()
    path.write_bytes(whole[: len(whole) // 2])
    refused = pytest.raises(xb.FileError, match=r"run\.safetensors: cannot be .*delete it to start again")
    with refused:
        mp.train(SMALL, images, labels, settings, checkpoint=tmp_path)
    for change in ({"history": "[{"}, {"history": None}, {"tensor": "now.layers.0.weight"}):
        metadata = {k: v for k, v in (record | change).items() if v is not None and k in record and k != "digest"}
        save_file({k: v for k, v in tensors.items() if k != change.get("tensor")}, path, metadata=metadata)
        with pytest.raises(xb.FileError, match="cannot be continued"):
            mp.train(SMALL, images, labels, settings, checkpoint=tmp_path)
    calls = []
    with pytest.raises(xb.FileError, match="cannot be a folder to write to"):
        mp.train(SMALL, images, labels, settings, checkpoint=path, progress=lambda *now: calls.append(now))
    assert not calls


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, r"TrainingSettings\.epochs = 0"),
        ({"learning_rate": float("inf")}, r"TrainingSettings\.learning_rate"),
        ({"learning_rate": 1e38}, r"TrainingSettings\.learning_rate = 1e\+38"),
        ({"activity_l1": 1e300}, r"TrainingSettings\.activity_l1 = 1e\+300"),
        ({"max_grad_norm": 1e300}, r"TrainingSettings\.max_grad_norm = 1e\+300"),
        ({"seed": 2**70}, r"TrainingSettings\.seed = 1180591620717411303424"),
        ({"n_validation": 400}, "n_validation = 400: the set has only 400 images"),
        ({"batch_size": 301}, "batch_size = 301: only 300 images are left"),
        ({"n_validation": 0, "patience": 2}, "patience = 2 needs validation images"),
    ],
)
def test_bad_training_settings(changes, message):
    with pytest.raises(xb.ParameterError, match=message):
        trained(**changes)


def test_bad_training_data_is_refused_before_training():
    images, labels = small_task()
    with pytest.raises(xb.ParameterError, match="labels go from 1 to 2; the network has classes 0 to 1"):
        mp.train(SMALL, images, labels + 1, mp.TrainingSettings(n_validation=100))
    with pytest.raises(xb.ParameterError, match="type float64; 400 images need whole numbers"):
        mp.train(SMALL, images, labels / 2, mp.TrainingSettings(n_validation=100))
    with pytest.raises(xb.ParameterError, match=r"the network takes \(n, 1, 4, 4\)"):
        mp.train(SMALL, images[:, :3], labels, mp.TrainingSettings(n_validation=100))


def test_devices_of_torch():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(xb.ParameterError, match="device = 'tpu9x'"):
        choose_device("tpu9x")
    for name in ("meta", "mps"):
        with pytest.raises(xb.ParameterError, match="only 'cpu' and 'cuda' are supported"):
            choose_device(name)
    if not torch.cuda.is_available():
        with pytest.raises(
            xb.ParameterError, match="device = 'cuda': this machine, or this build of torch, has no such GPU"
        ):
            choose_device("cuda")


def test_recipes_are_table_3():
    rows = {
        "mnist-snn": ("float", 0.92, 1.9e-3, 2, 6.03, 0.1),
        "mnist-bsnn": ("binary", 0.83, 2.7e-3, 6.4, 2.8, 0.1),
        "fashion-mnist-snn": ("float", 0.39, 2e-3, 1.5, 7.66, 0.1),
        "fashion-mnist-bsnn": ("binary", 0.87, 1.6e-2, 6.7, 3.9, 0),
    }
    assert mp.list_recipes() == sorted([*rows, "japanese-vowels-rbsnn"])
    for name, row in rows.items():
        recipe = mp.load_recipe(name)
        net = recipe.network
        assert (net.weights, net.beta, recipe.training.learning_rate, net.threshold, net.slope, net.dropout) == row
        assert net.layers == mp.paper_network().layers and name.startswith(recipe.dataset)
    changed = mp.load_recipe("fashion-mnist-bsnn").changed(beta=0.5, epochs=3, slope=None)
    assert (changed.network.beta, changed.training.epochs, changed.network.slope) == (0.5, 3, 3.9)
    with pytest.raises(xb.ParameterError, match="betta belongs neither to network nor training"):
        recipe.changed(betta=1)
    with pytest.raises(xb.ParameterError, match="recipe 'vgg' is unknown; give one of fashion-mnist-bsnn"):
        mp.load_recipe("vgg")


def test_images_are_moved_with_zeros_behind_them():
    images = np.arange(1, 61).reshape(2, 5, 6)
    for down, right in [(1, -2), (0, 3), (-1, 0), (-2, 2)]:
        expected = np.zeros_like(images)
        for y, x in np.ndindex(5, 6):
            if 0 <= y - down < 5 and 0 <= x - right < 6:
                expected[:, y, x] = images[:, y - down, x - right]
        np.testing.assert_array_equal(shifted(images, np.array([[down, right]] * 2)), expected)
    mixed = shifted(images, np.array([[0, 0], [0, 1]]))
    np.testing.assert_array_equal(mixed[0], images[0])
    np.testing.assert_array_equal(mixed[1, :, 1:], images[1, :, :-1])
    assert any(
        not torch.equal(a, b) for a, b in zip(trained(shift=1).state_dict().values(), trained().state_dict().values())
    )


def test_batch_norm_settles_on_averages_of_batches():
    images, _ = small_task()
    torch.manual_seed(0)
    network = Network(SMALL)
    settle_norms(network, images, mp.TrainingSettings(batch_size=100, n_validation=0))
    currents = []
    for k in range(4):
        x = torch.from_numpy(encode(images[k * 100 : k * 100 + 100], SMALL)).flatten(0, 1)
        layer = network.layers[0]
        currents.append(weighted_input(x, layer.effective_weight(), 2).detach())
    norm = network.layers[0].norm
    means = torch.stack([c.mean((0, 2, 3)) for c in currents]).mean(0)
    variances = torch.stack([c.var((0, 2, 3)) for c in currents]).mean(0)
    torch.testing.assert_close(norm.running_mean, means, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(norm.running_var, variances, rtol=1e-5, atol=1e-6)
    assert norm.momentum == 0.1
