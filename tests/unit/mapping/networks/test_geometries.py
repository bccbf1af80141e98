"""Convolutions of any geometry against their definition in loops, and against torch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import mapping as mp
import xbarsim as xb
from mapping.ir.shapes import Geometry
from mapping.lower.distribute import distribute
from mapping.lower.fuse import fuse
from mapping.lower.plain_kernels import plain_kernels
from mapping.lower.pool_spikes import pool_spikes
from mapping.lower.unfold import unfold
from mapping.networks.ann_spec import AnnSpec
from mapping.networks.event_layers import list_inputs
from mapping.networks.event_runs import run_layers
from mapping.networks.ideal_layers import ideal_layers
from mapping.networks.layers import convolved
from mapping.networks.network import Network
from tests.builders.anns import as_trained
from tests.builders.geometries import general_networks, geometries
from tests.builders.structures import network_of_seed
from tests.oracles.naive_networks import average_pool, naive_convolution, run_neurons

STEPS = 3


def by_definition(network, x):
    """Spikes of both layers for one sample (t_steps, c, h, w), in loops."""
    first, last = network.layers
    spec = first.spec
    pool = {"average": average_pool, "maximum": lambda y, side: (average_pool(y, side) > 0).astype(float)}
    kernel, bias = (0 if w is None else w.detach().numpy() for w in (first.effective_weight(), first.bias))
    currents = []
    for now in x:
        given_ = pool[spec.input_pool_by](now, spec.input_pool)
        sums = naive_convolution(given_, kernel, spec) + np.reshape(bias, (-1, 1, 1))
        currents.append(average_pool(sums, spec.pool))
    hidden, _ = run_neurons(currents, first.neuron, first.threshold.numpy(), float(first.beta))
    dense = last.effective_weight().detach().numpy()[:, :, 0, 0]
    currents = [(dense @ now.ravel())[:, None, None] for now in hidden]
    return hidden, run_neurons(currents, last.neuron, last.threshold.numpy(), float(last.beta))[0]


@pytest.mark.compiled
@settings(max_examples=30, deadline=None)
@given(spec=general_networks(STEPS), seed=st.integers(0, 2**32 - 1))
def test_both_engines_give_the_spikes_of_the_definition(spec, seed):
    network = network_of_seed(spec, seed)
    x = np.random.default_rng(seed).integers(0, 2, (2, STEPS, *spec.input_shape)).astype(np.uint8)
    graph = plain_kernels(fuse(pool_spikes(unfold(distribute(network.graph())))))
    events = list_inputs(np.moveaxis(x, 1, 0), False, np.dtype(float))
    done = run_layers(ideal_layers(graph, STEPS, np.dtype(float)), spec.wiring.components, events, dense=lambda _: True)
    dense = network.spikes(x, axes="ntchw")
    for sample in range(2):
        for k, expected in enumerate(by_definition(network, x[sample].astype(float))):
            np.testing.assert_array_equal(dense[k][:, sample], expected)
            np.testing.assert_array_equal(done[k].states[0][:, sample], expected)
    for by in ("events", "dense"):
        assert network.predict(x, engine=by, axes="ntchw").shape == (2,)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@settings(max_examples=40, deadline=None)
@given(given_=geometries(), seed=st.integers(0, 2**32 - 1))
def test_convolutions_are_those_of_torch(given_, seed):
    values, shape = given_
    spec, rng = Geometry(**values), np.random.default_rng(seed)
    kernel = rng.standard_normal((4, spec.channels(shape), *spec.sides))
    x = rng.standard_normal(shape)
    ours = convolved(torch.from_numpy(x)[None], torch.from_numpy(kernel), spec, 1)[0].numpy()
    assert ours.shape == spec.shapes(shape)[1] and spec.macs(shape) == kernel[0].size * ours.size
    np.testing.assert_allclose(ours, naive_convolution(x, kernel, spec), rtol=0, atol=1e-12)
    padding = "same" if spec.padding is None else spec.padding
    if padding != "same" or spec.stride == 1:
        settings_ = {"stride": spec.stride, "padding": padding, "dilation": spec.dilation}
        groups = 4 // spec.channels(shape)
        conv = nn.Conv2d(4, 4, spec.sides, groups=groups, bias=False, padding_mode=spec.padding_mode, **settings_)
        conv.weight.data = torch.from_numpy(kernel)
        theirs = conv(torch.from_numpy(x)[None])[0].detach().numpy()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_conventional_networks_compute_them_in_whole_numbers():
    layers = [
        {
            "kind": "conv",
            "out": 4,
            "kernel": (3, 1),
            "dilation": (2, 1),
            "padding_mode": "circular",
            "batch_norm": True,
        },
        {"kind": "conv", "out": 4, "kernel": (1, 4), "stride": (1, 2), "groups": 2, "pool": (3, 1)},
        {"kind": "dense", "out": 3},
    ]
    network = as_trained(AnnSpec(input_shape=(2, 6, 8), layers=layers))
    images = np.random.default_rng(0).uniform(0, 1, (3, 2, 6, 8))
    whole, x = network.integers(images), network.levels(images)
    for layer, stage, y in zip(network.layers[:2], network.integer_layers(), whole):
        steps = np.rint((layer.weight / layer.weight_scale()).detach().numpy())
        gain, offset = (np.reshape(v, (-1, 1, 1)) for v in (stage.activation.gain, stage.activation.offset))
        sums = [average_pool(naive_convolution(image, steps, layer.spec), layer.spec.pool) for image in x]
        np.testing.assert_array_equal(y, np.rint(gain * sums + offset).clip(0, 255))
        assert len(np.unique(y)) > 5
        x = y


def test_joined_channels_are_read_by_groups():
    conv = {"kind": "conv", "out": 2, "kernel": (1, 3)}
    layers = [conv | {"name": "a"}, conv | {"name": "b", "inputs": ("input",)}]
    layers.append(conv | {"out": 4, "inputs": ("a", "b"), "join": "concatenate", "groups": 4, "kernel": 3})
    layers.append({"kind": "dense", "out": 2})
    spec = mp.NetworkSpec(input_shape=(2, 4, 4), layers=layers, beta=0.8, threshold=1, t_steps=STEPS)
    network = network_of_seed(spec, 2)
    x = np.random.default_rng(2).integers(0, 2, (20, STEPS, 2, 4, 4)).astype(np.uint8)
    events, dense = (network.predict(x, engine=engine, axes="ntchw") for engine in ("events", "dense"))
    np.testing.assert_array_equal(events, dense)
    assert len(np.unique(dense)) == 2


def test_networks_tell_their_kernels_and_learn():
    conv = {"kind": "conv", "out": 4, "kernel": (3, 1), "stride": (1, 2), "dilation": 2, "groups": 2}
    layers = [conv | {"padding_mode": "reflect"}, {"kind": "dense", "out": 2}]
    network = Network(mp.NetworkSpec(input_shape=(2, 6, 6), layers=layers, beta=0.8, threshold=1, t_steps=STEPS))
    assert "binary 3 x 1, step 1 x 2, taps 2 x 2 apart, 2 groups, reflect padding" in str(network)
    assert network.layers[0].weight.shape == (4, 1, 3, 1) and network.spec.macs_per_step == 12 * 18 + 2 * 72
    spikes, _ = network(torch.rand(STEPS, 3, 2, 6, 6))
    spikes[-1].sum().backward()
    assert network.layers[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel": (3, 0)}, "LayerSpec.kernel.1 = 0: input should be greater than 0"),
        ({"kernel": (3, 3, 3)}, "LayerSpec.kernel = "),
        ({"padding": -1}, "LayerSpec.padding = -1: input should be greater than or equal to 0"),
        ({"groups": 3}, "LayerSpec.groups = 3: does not divide out = 4; give one that does"),
        ({"groups": 2, "depthwise": True}, "LayerSpec.groups = 2: a depthwise layer has one a channel; leave it out"),
        ({"groups": 4}, "layer 1: groups = 4 does not divide the 2 input channels; change groups"),
        ({"padding_mode": "reflect", "padding": 5}, "layer 1: padding_mode = 'reflect': the 5x5 input has less"),
        ({"kernel": (1, 7), "padding": 0}, "layer 1: kernel = \\(1, 7\\) is larger than the input"),
    ],
)
def test_geometries_that_cannot_be_are_refused(changes, message):
    with pytest.raises(xb.ParameterError, match=message):
        layer = mp.LayerSpec(**({"kind": "conv", "out": 4, "kernel": 3} | changes))
        mp.NetworkSpec(input_shape=(2, 5, 5), layers=[layer], beta=0.8, threshold=1, t_steps=STEPS)


def test_pairs_of_one_number_are_that_number():
    square = mp.LayerSpec(kind="conv", out=2, kernel=(3, 3), stride=[1, 1], padding=(1, 1))
    assert square == mp.LayerSpec(kind="conv", out=2, kernel=3, stride=1, padding=1) and square.plain
    assert "dilation" not in square.model_dump() and "groups" not in square.model_dump()
