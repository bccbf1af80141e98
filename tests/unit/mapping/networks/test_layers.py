"""Weights, convolutions, pooling and batch norm of layers, and their gradients."""

import numpy as np
import pytest
import torch

from mapping.kernels.norm import channel_sums
from mapping.networks.batch_norm import batch_norm
from mapping.networks.layers import SpikingLayer, fuse_pool, quantize, weighted_input
from mapping.networks.spec import LayerSpec, NeuronSpec
from tests.oracles.naive_networks import average_pool, conv_same


@pytest.mark.parametrize(
    ("kind", "levels"),
    [
        ("binary", [-1, 1, 1, 1, -1]),
        ("ternary", [0, 0, 0, 1, -1]),  # the limit is 0.7 times the average of 0.2, 0, 0, 3 and 1.4
        (2, [0, 0, 0, 1, 0]),
        (3, [0, 0, 0, 1, -1 / 3]),
        (8, [-8 / 127, 0, 0, 1, -59 / 127]),
        ("float", [-0.2, 0.0, 0.0, 3.0, -1.4]),
    ],
)
def test_weights_have_their_levels_and_pass_gradients(kind, levels):
    weight = torch.tensor([-0.2, 0.0, -0.0, 3.0, -1.4], dtype=torch.float64, requires_grad=True)
    used = quantize(weight, kind)
    np.testing.assert_allclose(used.detach(), levels, rtol=1e-12)
    np.testing.assert_allclose(quantize(used, kind).detach(), levels, rtol=1e-12)
    (used * torch.arange(1.0, 6.0)).sum().backward()
    assert weight.grad.tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("pool", "stride"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_pooling_fused_into_the_kernel_is_exact(pool, stride):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(3, 8, 8)), rng.normal(size=(5, 3, 5, 5))
    fused = weighted_input(torch.from_numpy(x[None]), torch.from_numpy(kernel), pool, stride=stride)[0].numpy()
    expected = average_pool(conv_same(x, kernel)[:, ::stride, ::stride], pool)
    np.testing.assert_allclose(fused, expected, rtol=0, atol=1e-12)
    side = 5 + stride * (pool - 1)
    assert fuse_pool(torch.from_numpy(kernel), pool, stride).shape == (5, 3, side, side)


@pytest.mark.parametrize(
    ("side", "stride", "padding"), [(6, 2, 2), (5, 1, 2), (5, 1, 0), (4, 3, 1), (3, 3, 0), (1, 1, 0)]
)
def test_event_driven_convolution_and_its_gradients(side, stride, padding):
    from mapping.networks.layers import _EventConv

    generator = torch.Generator().manual_seed(0)
    x = torch.rand(5, 3, 9, 11, dtype=torch.float64, generator=generator)
    x = (x * (x > 0.8)).requires_grad_()
    weight = torch.randn(4, 3, side, side, dtype=torch.float64, generator=generator, requires_grad=True)
    ours = _EventConv.apply(x, weight, stride, padding)
    theirs = torch.nn.functional.conv2d(x, weight, stride=stride, padding=padding)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    upstream = torch.randn(ours.shape, dtype=torch.float64, generator=generator)
    expected = torch.autograd.grad(theirs, [x, weight], upstream)
    for got, want in zip(torch.autograd.grad(ours, [x, weight], upstream), expected):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-11)


def test_batch_norm_and_its_gradients():
    generator = torch.Generator().manual_seed(0)
    x = (100 + torch.randn(6, 3, 4, 4, dtype=torch.float64, generator=generator)).requires_grad_()
    ours, theirs = (torch.nn.BatchNorm2d(3).double() for _ in range(2))
    for norm in (ours, theirs):
        norm.weight.data, norm.bias.data = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.0, -1.0]], dtype=torch.float64)
    upstream = torch.randn(x.shape, dtype=torch.float64, generator=generator)
    results = []
    for norm, y in ((ours, batch_norm(x, ours)), (theirs, theirs(x))):
        results.append([y, *torch.autograd.grad(y, [x, norm.weight, norm.bias], upstream), norm.running_var])
    for got, want in zip(*results):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-10)
    assert torch.allclose(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(batch_norm(x, ours.eval()), theirs.eval()(x))


def test_sums_do_not_depend_on_what_a_thread_gets():
    x = np.random.default_rng(0).normal(size=(37, 2)).astype(np.float32)
    total, squares = np.empty((2, 16, 2))
    channel_sums(x, np.zeros(2), total, squares)
    np.testing.assert_allclose(total.sum(0), x.astype(float).sum(0), rtol=1e-12)
    np.testing.assert_allclose(squares.sum(0), (x.astype(float) ** 2).sum(0), rtol=1e-12)


def test_padding_of_the_smallest_convolution():
    spec = LayerSpec(kind="conv", out=2, kernel=1, padding=1)
    layer = SpikingLayer(spec, [(3, 1, 1)], ["float"], (2, 3, 3), NeuronSpec(beta=0.5, threshold=1))
    assert layer(torch.ones(1, 4, 3, 1, 1))[0].shape == (4, *spec.shapes((3, 1, 1))[1]) == (4, 2, 3, 3)


def test_maximum_pooling_bias_and_strides():
    spec = LayerSpec(kind="conv", out=4, kernel=4, stride=2, padding=1, pool=2, pool_by="maximum", bias=True)
    torch.manual_seed(0)
    layer = SpikingLayer(spec, [(2, 8, 8)], ["ternary"], (4, 2, 2), NeuronSpec(beta=0.5, threshold=1)).double()
    layer.bias.data.normal_()
    x = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    current = torch.nn.functional.conv2d(x, quantize(layer.weight, "ternary"), layer.bias, stride=2, padding=1)
    torch.testing.assert_close(layer(x[None])[0], torch.nn.functional.max_pool2d(current, 2))
    assert spec.shapes((2, 8, 8)) == ((2, 8, 8), (4, 2, 2)) and layer(x[None]).shape[2:] == (4, 2, 2)
