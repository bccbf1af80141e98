"""Numbers that are not real, finite or in range are refused, by module and tensor, whatever the way in."""

import json
from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save_file
from torch import nn

import mapping as mp
import xbarsim as xb
from mapping.lower.plan import lower
from mapping.networks.spec import NeuronSpec
from tests.builders.snntorch_runs import snn

nir = pytest.importorskip("nir")

PAPER = Path("../shared/data/nir-paper")
ANYWHERE = [float("nan"), float("inf"), -float("inf"), 1e300, "complex"]
RANGE = {"threshold": [0.0, -1.0], "beta": [-3.0, 5e20], "running_var": [-0.5]}


def spoilt(x, value, place):
    """A copy of a tensor, one number of which is wrong; whole numbers become real ones first."""
    x = x.detach().clone().double()
    if value == "complex":
        return x.to(torch.complex128) + 1j
    x.view(-1)[place % x.numel()] = value
    return x


def bad(name):
    return st.sampled_from(ANYWHERE + RANGE.get(name.split(".")[-1], []))


def module():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2),
        snn.Leaky(beta=torch.tensor(0.5), threshold=torch.tensor(1.0)),
        nn.Flatten(),
        nn.Linear(8, 3), snn.Leaky(beta=torch.full((3,), 0.5), threshold=torch.ones(3)),
    ).eval()  # fmt: skip


MODULE = module()
OF_MODULES = [
    (name, tensor)
    for name, part in MODULE.named_children()
    for tensor in ("weight", "bias", "running_mean", "running_var", "threshold", "beta")
    if getattr(part, tensor, None) is not None
]
NETWORK = mp.load_network(MODULE, input_shape=(1, 2, 2), t_steps=3)
DENSE = [name for name in NETWORK.state_dict() if not name.endswith("num_batches_tracked")]
IMAGES = np.ones((2, 1, 2, 2))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data(), which=st.sampled_from(OF_MODULES), place=st.integers(0, 99))
def test_modules(data, which, place):
    name, tensor = which
    changed = module()
    part = changed[int(name)]
    part._parameters.pop(tensor, None)
    part._buffers.pop(tensor, None)
    setattr(part, tensor, spoilt(getattr(MODULE[int(name)], tensor), data.draw(bad(tensor)), place))
    with pytest.raises(xb.ParameterError, match=rf"module '{name}' \(\w+\), tensor '{tensor}' holds") as caught:
        mp.load_network(changed, input_shape=(1, 2, 2))
    assert len(str(caught.value)) <= 200


def test_a_batch_norm_that_divides_by_zero_is_refused():
    changed = module()
    changed[1].eps = 0.0
    changed[1].running_var[1] = 0.0
    with pytest.raises(xb.ParameterError, match=r"module '1' \(BatchNorm2d\), tensor 'running_var \+ eps' holds"):
        mp.load_network(changed, input_shape=(1, 2, 2))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data(), name=st.sampled_from(DENSE), place=st.integers(0, 99))
def test_state_dicts_and_networks_changed_in_python(tmp_path_factory, data, name, place):
    value = data.draw(bad(name))
    network = deepcopy(NETWORK).double()
    state = network.state_dict()
    tensor = spoilt(state[name], value, place)
    message = rf"layer \d \(\w+, \d outputs\), tensor '{name}' holds"
    with pytest.raises(xb.ParameterError, match=message):
        network.load_state_dict(state | {name: tensor})
    network.check()  # nothing of it was taken over
    owner, _, leaf = name.rpartition(".")
    part = network.get_submodule(owner)
    part._parameters.pop(leaf, None)
    part._buffers.pop(leaf, None)
    part.register_buffer(leaf, tensor)
    path = tmp_path_factory.getbasetemp() / "never.safetensors"
    uses = [
        lambda: mp.save_network(network, path), lambda: network.predict(IMAGES), lambda: network.spikes(IMAGES),
        lambda: lower(network.graph()), lambda: mp.map_network(network, mp.load_chip("paper-bsnn")),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(xb.ParameterError, match=message) as caught:
            use()
        assert len(str(caught.value)) <= 200
    assert not path.exists()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data(), name=st.sampled_from(DENSE), place=st.integers(0, 99))
def test_files(tmp_path_factory, data, name, place):
    path = tmp_path_factory.mktemp("file") / "net.safetensors"
    mp.save_network(NETWORK, path)
    tensors = load(path.read_bytes())
    spoiled = spoilt(tensors[name], data.draw(bad(name)), place)
    tensors[name] = spoiled.to(torch.complex64) if spoiled.is_complex() else spoiled
    save_file(tensors, path, metadata={"spec": NETWORK.spec.model_dump_json(), "format": "2"})
    with pytest.raises(xb.FileError, match=rf"layer \d \(\w+, \d outputs\), tensor '{name}' holds"):
        mp.load_network(path)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    field=st.sampled_from(["beta", "threshold", "slope", "inhibition"]),
    value=st.sampled_from([float("nan"), float("inf"), -float("inf"), -0.5, 1j]),
    inner=st.booleans(),
)
def test_specifications(field, value, inner):
    spec = json.loads(NETWORK.spec.model_dump_json())
    (spec["layers"][0]["neuron"] if inner else spec)[field] = value
    with pytest.raises(xb.ParameterError, match=rf"Spec\.{field} = "):
        mp.NetworkSpec(**spec)


def chain(nodes):
    names = [f"n{k}" for k in range(len(nodes))]
    return nir.NIRGraph(nodes=dict(zip(names, nodes)), edges=list(pairwise(names)), type_check=False)


def lif(size, **values):
    fields = {"tau": 1e-3, "r": 2.0, "v_leak": 0.1, "v_threshold": 0.5, "v_reset": 0.0}
    return nir.LIF(**{name: np.full(size, value) for name, value in (fields | values).items()})


def nodes():
    return [
        nir.Input(input_type={"input": np.array([1, 2, 2])}),
        nir.Conv2d(
            input_shape=(2, 2), weight=np.ones((2, 1, 3, 3)), stride=1, padding=1, dilation=1, groups=1, bias=np.ones(2)
        ),
        lif((2, 2, 2)),
        nir.Flatten(input_type={"input": np.array([2, 2, 2])}, start_dim=0, end_dim=-1),
        nir.Affine(weight=np.ones((3, 8)), bias=np.ones(3)),
        nir.Scale(scale=np.full(3, 2.0)),
        nir.IF(r=np.full(3, 1e4), v_threshold=np.ones(3)),
        nir.Linear(weight=np.ones((2, 3))),
        nir.Threshold(threshold=np.ones(2)),
        nir.Output(output_type={"output": np.array([2])}),
    ]


FIELDS = [
    (1, "weight"), (1, "bias"), (2, "tau"), (2, "r"), (2, "v_leak"), (2, "v_threshold"), (2, "v_reset"), (4, "weight"),
    (4, "bias"), (5, "scale"), (6, "r"), (6, "v_threshold"), (7, "weight"), (8, "threshold"),
]  # fmt: skip
HOW = {"dt": 1e-4, "reset_mechanism": "subtract", "fire": ">="}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data(), which=st.sampled_from(FIELDS), place=st.integers(0, 99))
def test_nir(tmp_path_factory, data, which, place):
    path = tmp_path_factory.mktemp("nir") / "net.nir"
    number, field = which
    given_nodes = nodes()
    value = data.draw(st.sampled_from(ANYWHERE + ([0.0, -1.0] if "threshold" in field or field == "r" else [])))
    setattr(
        given_nodes[number], field, spoilt(torch.from_numpy(getattr(given_nodes[number], field)), value, place).numpy()
    )
    nir.write(path, chain(given_nodes))
    kind = type(given_nodes[number]).__name__
    with pytest.raises(xb.ParameterError, match=rf"node 'n{number}' \({kind}\).*\b{field}\b"):
        mp.load_network(path, **HOW)


def test_nir_that_is_whole_loads(tmp_path):
    nir.write(tmp_path / "net.nir", chain(nodes()))
    assert mp.load_network(tmp_path / "net.nir", **HOW).spec.n_classes == 2


@pytest.mark.parametrize("dt", [1e-4, "1 ms", 10.0])
def test_a_gain_that_only_the_time_step_makes(tmp_path, dt):
    def graph(*neurons):
        layers = [part for neuron in neurons for part in (nir.Linear(weight=np.eye(2)), neuron)]
        ends = nir.Input(input_type={"input": np.array([2])}), nir.Output(output_type={"output": np.array([2])})
        nir.write(tmp_path / "net.nir", chain([ends[0], *layers, ends[1]]))
        return tmp_path / "net.nir"

    sinabs = nir.IF(r=np.ones(2), v_threshold=np.ones(2))
    how = HOW | {"dt": dt, "reset_delay": False}
    with pytest.raises(xb.ParameterError, match=r"n2' \(IF\): the gain of IF nodes is r dt = 1 x .* give dt = 1$"):
        mp.load_network(graph(sinabs), **how)
    network = mp.load_network(graph(sinabs), **how | {"dt": 1}, t_steps=4)
    assert network.layers[0].threshold.unique().tolist() == [1] and network.spec.beta == 1
    if dt == 1e-4:  # a leak tells the time step, and with it the gain of all
        mixed = mp.load_network(graph(lif(2, tau=1e-3), nir.IF(r=np.full(2, 500.0), v_threshold=np.ones(2))), **how)
        assert float(mixed.layers[1].threshold.max()) == pytest.approx(20)


def test_shapes_that_only_look_alike_are_refused(tmp_path):
    """Files whose types do not match are read, and refused where it matters."""
    path = tmp_path / "net.nir"
    whole = nodes()
    nir.write(path, chain([*whole[:3], *whole[4:]]))
    with pytest.raises(
        xb.ParameterError, match=r"'n3' \(Affine\): takes inputs of shape \(2, 2, 2\) that nothing flatt"
    ):
        mp.load_network(path, **HOW)
    nir.write(path, chain([*whole[:2], lif(2), *whole[3:]]))
    with pytest.raises(xb.ParameterError, match=r"'n2' \(LIF\): an array of shape \(2,\) for neurons of shape"):
        mp.load_network(path, **HOW)
    nir.write(path, chain([*whole[:9], nir.Output(output_type={"output": np.array([3])})]))
    with pytest.raises(xb.ParameterError, match=r"'n9' \(Output\): has 3 numbers, .*'n8' \(Threshold\) gives 2"):
        mp.load_network(path, **HOW)


@pytest.mark.skipif(not PAPER.exists(), reason="needs shared/data/nir-paper")
def test_graphs_of_other_frameworks():
    how = {"reset_mechanism": "subtract", "reset_delay": False, "fire": ">="}
    with pytest.raises(xb.ParameterError, match=r"'1' \(IF\): the gain of IF nodes is r dt = 1 x 0.0001 = 0.0001"):
        mp.load_network(PAPER / "cnn_sinabs.nir", dt=1e-4, **how)
    for name in ("lif_norse", "lif_rockpool", "two_lif_neurons"):
        assert mp.load_network(PAPER / f"{name}.nir", dt=1e-4, **how).spec.n_classes == 1


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data(), place=st.integers(0, 99))
def test_conventional_networks(tmp_path_factory, data, place):
    layers = [mp.LayerSpec(kind="conv", out=2, kernel=3, batch_norm=True), mp.LayerSpec(kind="dense", out=3, bias=True)]
    network = mp.Ann(mp.AnnSpec(input_shape=(1, 2, 2), layers=layers)).eval()
    path = tmp_path_factory.mktemp("ann") / "net.safetensors"
    mp.save_ann(network, path)
    state = network.state_dict()
    name = data.draw(st.sampled_from([name for name in state if not name.endswith("num_batches_tracked")]))
    tensor = spoilt(state[name], data.draw(bad(name)), place)
    message = rf"layer \d \(\w+, \d outputs\), tensor '{name}'"
    with pytest.raises(xb.ParameterError, match=message):
        network.load_state_dict(state | {name: tensor})
    owner, _, leaf = name.rpartition(".")
    part = network.get_submodule(owner)
    part._parameters.pop(leaf, None)
    part._buffers.pop(leaf, None)
    part.register_buffer(leaf, tensor)
    uses = [
        lambda: mp.save_ann(network, path), lambda: network.predict(IMAGES),
        lambda: mp.map_ann(network, mp.load_chip("paper-ann")),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(xb.ParameterError, match=message):
            use()
    stored = load(path.read_bytes())
    spoiled = tensor.to(torch.complex64) if tensor.is_complex() else tensor
    save_file(stored | {name: spoiled}, path, metadata={"spec": network.spec.model_dump_json()})
    with pytest.raises(xb.FileError, match=message):
        mp.load_ann(path)


def test_a_batch_norm_that_leaves_no_finite_threshold_is_not_mapped():
    layers = [mp.LayerSpec(kind="conv", out=2, kernel=3, batch_norm=True)]
    network = mp.Network(mp.NetworkSpec(input_shape=(1, 2, 2), layers=layers, beta=0.5, threshold=1, t_steps=2))
    network.layers[0].norm.weight.data[1] = 1e-44
    with pytest.raises(
        xb.ParameterError, match=r"layer 1 \(conv, 2 outputs\): its threshold with batch norm folded in"
    ):
        lower(network.graph())


def test_training_that_diverges_ends_at_the_first_loss_that_is_not_finite():
    layers = [mp.LayerSpec(kind="dense", out=3, weights="float")]
    spec = mp.NetworkSpec(
        input_shape=(1, 2, 2), layers=layers, beta=0.5, threshold=1, t_steps=3, decoder="membrane", weights="float"
    )
    images, labels = np.ones((64, 2, 2)), np.arange(64) % 3
    settings = mp.TrainingSettings(epochs=3, batch_size=8, n_validation=0, learning_rate=1e30)
    words = r"the loss is (inf|nan): training diverges; lower learning_rate = 1e"
    with np.errstate(all="ignore"), pytest.raises(xb.ConvergenceError, match=words):  # plain Python warns
        mp.train(spec, images, labels, settings)


def test_learned_decays_stay_decays():
    spec = mp.NetworkSpec(
        input_shape=(1, 2, 2), layers=[mp.LayerSpec(kind="dense", out=3)], beta=0.9, threshold=1, t_steps=3,
        learn_beta=True, reset_delay=False,
    )  # fmt: skip
    images, labels = np.random.default_rng(0).random((64, 2, 2)), np.arange(64) % 3
    settings = mp.TrainingSettings(epochs=2, batch_size=8, n_validation=0, learning_rate=0.5)
    beta = float(mp.train(spec, images, labels, settings).layers[0].beta.detach())
    assert 0 <= beta <= 1 and beta != pytest.approx(0.9)


def test_neurons_without_a_backward_pass_are_not_trained():
    spec = mp.NetworkSpec(
        input_shape=(1, 2, 2), layers=[mp.LayerSpec(kind="dense", out=3)], beta=0.9, threshold=1, t_steps=3,
        reset_delay="snntorch", reset_mechanism="zero", winner_take_all=True,
    )  # fmt: skip
    with pytest.raises(xb.ParameterError, match="cannot be trained"):
        mp.train(spec, np.zeros((8, 2, 2)), np.zeros(8, int), mp.TrainingSettings(batch_size=4, n_validation=0))
    with pytest.raises(xb.ParameterError, match="learn_beta = true with reset_delay = 'snntorch'"):
        NeuronSpec(beta=0.5, threshold=1, learn_beta=True, reset_delay="snntorch")
