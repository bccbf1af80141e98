"""Conventional networks that tests of several rooms use."""

import numpy as np
import torch

import mapping as mp
from mapping.networks.ann import Ann
from mapping.networks.ann_spec import AnnSpec
from mapping.training.ann_train import train_ann
from tests.builders.tasks import small_task


def small_ann():
    spec = AnnSpec(input_shape=(1, 4, 4), layers=[{"kind": "dense", "out": 3}], weight_bits=3, activation_bits=3)
    return Ann(spec)


SMALL = AnnSpec(
    input_shape=(1, 4, 4),
    layers=[mp.LayerSpec(kind="conv", out=6, kernel=3, pool=2, batch_norm=True), mp.LayerSpec(kind="dense", out=2)],
)
ODD = AnnSpec(  # stride, padding, bias, a pool whose area is no power of two, dense after dense
    input_shape=(2, 16, 6),
    layers=[
        mp.LayerSpec(kind="conv", out=4, kernel=3, pool=2, batch_norm=True),
        mp.LayerSpec(kind="conv", out=5, kernel=2, padding=1, bias=True),
        mp.LayerSpec(kind="conv", out=3, kernel=3, stride=2, padding=2, pool=3, bias=True, batch_norm=True),
        mp.LayerSpec(kind="dense", out=7, batch_norm=True),
        mp.LayerSpec(kind="dense", out=3, bias=True),
    ],
)
SETTINGS = mp.TrainingSettings(epochs=4, batch_size=20, learning_rate=0.02, n_validation=100, shift=1, seed=5)


def as_trained(spec, seed=1):
    """An Ann whose every parameter and average has moved, two scales of batch norm being negative."""
    torch.manual_seed(seed)
    network = Ann(spec)
    for layer in network.layers:
        if layer.bias is not None:
            torch.nn.init.normal_(layer.bias, std=0.2)
        if layer.norm is not None:
            for value, mean in ((layer.norm.weight, 1.0), (layer.norm.bias, 0.3), (layer.norm.running_mean, 0.1)):
                torch.nn.init.normal_(value, mean, 0.3)
            layer.norm.weight.data[0] *= -1
            torch.nn.init.uniform_(layer.norm.running_var, 0.05, 0.3)
        if layer.log_clip is not None:
            layer.log_clip.data += 0.3 * torch.randn(()) - 2
    return network.eval()


def assert_matches_forward(network, images):
    network = network.double()
    top = network.spec.top_activation
    whole, steps = network.integers(images), [1 / top] + [layer.step().item() for layer in network.layers]
    x = torch.from_numpy(network.levels(images))
    for layer, mine, step_in, step in zip(network.layers, whole, steps, steps[1:]):
        real = layer(x.double() * step_in).detach().numpy() / step
        np.testing.assert_allclose(real, mine, rtol=1e-9, atol=1e-9)  # a tie would differ by 1
        x = torch.from_numpy(mine)
    logits = network(torch.from_numpy(network.levels(images)).double() / top)[-1]
    np.testing.assert_array_equal(network.predict(images), logits.flatten(1).argmax(1))


def trained(spec=SMALL, **changes):
    return train_ann(spec, *small_task(), SETTINGS.replace(**changes))


DEPTHWISE = AnnSpec(  # one after the other, and between plain ones
    input_shape=(2, 9, 7),
    layers=[
        mp.LayerSpec(kind="conv", out=2, kernel=2, padding=1, pool=2, depthwise=True, batch_norm=True),
        mp.LayerSpec(kind="conv", out=6, kernel=1, bias=True, batch_norm=True),
        mp.LayerSpec(kind="conv", out=6, kernel=3, depthwise=True, bias=True, batch_norm=True),
        mp.LayerSpec(kind="conv", out=6, kernel=3, stride=2, padding=1, depthwise=True, batch_norm=True),
        mp.LayerSpec(kind="conv", out=3, kernel=3, batch_norm=True),
        mp.LayerSpec(kind="dense", out=3),
    ],
)
