"""Networks that are written to NIR read back to the same spikes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mapping as mp
import xbarsim as xb
from tests.builders.structures import network_of_seed, structures

pytest.importorskip("nir")
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
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
    assert how == {
        "dt": 1e-3, "t_steps": STEPS, "decoder": "count", "reset_mechanism": reset, "reset_delay": True,
        "fire": network.spec.fire,
    }  # fmt: skip


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
