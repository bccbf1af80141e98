"""Networks that are written to NIR read back to the same spikes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mapping as mp
import xbarsim as xb
from tests.builders.geometries import general_networks
from tests.builders.structures import network_of_seed, structures

nir = pytest.importorskip("nir")
STEPS = 4


@pytest.mark.compiled
@settings(max_examples=20, deadline=None)
@given(
    spec=structures(STEPS),
    seed=st.integers(0, 2**32 - 1),
    reset=st.sampled_from(["subtract", "zero", "none"]),
    kind=st.sampled_from([{}, {"alpha": 0.4}, {"beta": 1.0}, {"beta": 0.0, "fire": ">"}]),
)
def test_networks_come_back(spec, seed, reset, kind, tmp_path_factory):
    network = network_of_seed(spec.replace(reset_mechanism=reset, **kind), seed)
    path = tmp_path_factory.mktemp("nir") / "net.nir"
    pools = [part.input_pool_by for layer in spec.layers for part in (layer, *layer.branches) if part.input_pool > 1]
    if "maximum" in pools:
        with pytest.raises(xb.ParameterError, match="NIR has no node for"):
            mp.export_nir(network, path, dt=1e-3)
        return
    how = mp.export_nir(network, path, dt="1 ms")
    again = mp.load_network(path, **how).double()
    x = (np.random.default_rng(seed).random((2, STEPS, *spec.input_shape)) < 0.5).astype(np.uint8)
    ours, theirs = network.spikes(x, axes="ntchw"), again.spikes(x, axes="ntchw")
    _, membranes = network(torch.from_numpy(np.moveaxis(x, 1, 0)).double())
    gaps = [
        np.abs(u.detach().numpy() / layer.threshold.numpy() - 1).min() for u, layer in zip(membranes, network.layers)
    ]
    if min(gaps) > 1e-5:  # numbers of networks that are loaded have single precision
        found = [s.tobytes() for s in theirs]  # layers that nothing comes of may have another place
        assert sorted(s.tobytes() for s in ours) == sorted(found)
        np.testing.assert_array_equal(network.predict(x, axes="ntchw"), again.predict(x, axes="ntchw"))
    assert how == {
        "dt": 1e-3, "t_steps": STEPS, "decoder": "count", "reset_mechanism": reset, "reset_delay": True,
        "fire": network.spec.fire,
    }  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(spec=general_networks(STEPS, ("float",), modes=("zeros",)), seed=st.integers(0, 2**32 - 1))
def test_convolutions_of_any_geometry_come_back(spec, seed, tmp_path_factory):
    network, path = network_of_seed(spec, seed), tmp_path_factory.mktemp("nir") / "net.nir"
    first = spec.layers[0]
    if first.input_pool_by == "maximum" and first.input_pool != 1:
        return
    if first.stride != 1 and any(before != after for before, after in first.margins):
        with pytest.raises(xb.ParameterError, match="NIR has no uneven padding with a stride; give padding"):
            mp.export_nir(network, path)
        return
    again = mp.load_network(path, **mp.export_nir(network, path)).double()
    assert again.spec.input_shape == spec.input_shape
    assert again.spec.layers[0].sides == first.sides and again.spec.layers[0].spacing == first.spacing
    x = np.random.default_rng(seed).integers(0, 2, (2, STEPS, *spec.input_shape)).astype(np.uint8)
    ours, theirs = (net.spikes(x, axes="ntchw") for net in (network, again))
    for a, b in zip(ours, theirs, strict=True):  # numbers of networks that are loaded have single precision
        assert np.mean(a != b) < 0.02


def test_lines_are_nodes_of_one_axis(tmp_path):
    conv = {"kind": "conv", "kernel": (1, 4), "dilation": (1, 2), "groups": 2}
    layers = [
        conv | {"out": 4, "dilation": (1, 3)},
        conv | {"out": 6, "stride": 2, "padding": (0, 3)},
        {"kind": "dense", "out": 3},
    ]
    spec = mp.NetworkSpec(input_shape=(2, 1, 9), layers=layers, beta=0.5, threshold=1, t_steps=STEPS, weights="float")
    network = network_of_seed(spec, 3)
    for layer in network.layers:
        layer.weight.data *= 8
    how = mp.export_nir(network, tmp_path / "net.nir")
    nodes = nir.read(tmp_path / "net.nir", type_check=False).nodes
    assert [type(nodes[f"weights {k}"]).__name__ for k in (1, 2, 3)] == ["Conv1d", "Conv1d", "Affine"]
    assert nodes["weights 1"].weight.shape == (4, 1, 4) and nodes["weights 1"].padding == "same"
    assert (nodes["weights 2"].stride, nodes["weights 2"].padding, nodes["weights 2"].groups) == (2, 3, 2)
    assert nodes["input"].input_type["input"].tolist() == [2, 9]
    again = mp.load_network(tmp_path / "net.nir", **how).double()
    x = np.random.default_rng(0).integers(0, 2, (5, STEPS, 2, 1, 9)).astype(np.uint8)
    for a, b in zip(network.spikes(x, axes="ntchw"), again.spikes(x, axes="ntchw"), strict=True):
        np.testing.assert_array_equal(a, b)
        assert 0 < a.mean() < 1


@pytest.mark.compiled
def test_shipped_networks_come_back(tmp_path):
    images, _ = mp.load_dataset("mnist")
    network = mp.load_network("mnist-bsnn")
    how = mp.export_nir(network, tmp_path / "net.nir")
    again = mp.load_network(tmp_path / "net.nir", **how)
    assert again.spec.input_shape == (1, 28, 28)
    np.testing.assert_array_equal(again.predict(images[:100]), network.predict(images[:100]))


DENSE = {"kind": "dense", "out": 2}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inhibition": 0.1}, "inhibition: NIR has no neurons of this kind"),
        ({"most_spikes": 2}, "most_spikes: NIR has no neurons of this kind"),
        ({"encoding": "rate"}, "encoding = 'rate': NIR does not store it"),
        (
            {"layers": [{"kind": "dense", "out": 2}, {"kind": "dense", "out": 2, "neuron": {"fire": ">"}}]},
            "layers differ",
        ),
        (
            {"layers": [{"kind": "conv", "out": 2, "kernel": 1, "padding": 1, "padding_mode": "circular"}]},
            "padding_mode = 'circular': NIR pads by zeros only",
        ),
    ],
)
def test_what_nir_does_not_have_is_refused(values, message, tmp_path):
    given_ = {"layers": [{"kind": "dense", "out": 2}], "beta": 0.5, "threshold": 1, "t_steps": 2} | values
    network = mp.Network(mp.NetworkSpec(input_shape=(3, 1, 1), **given_))
    with pytest.raises(xb.ParameterError, match=message):
        mp.export_nir(network, tmp_path / "net.nir")
    for dt in (0, -1, float("nan")):
        with pytest.raises(xb.ParameterError, match="dt"):
            mp.export_nir(network, tmp_path / "net.nir", dt=dt)
    assert not list(tmp_path.iterdir())
