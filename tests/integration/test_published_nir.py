"""The NIR graphs that other frameworks published, spike for spike as runners of their own equations have them."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import mapping as mp
from tests.builders.snntorch_runs import snn

DATA = Path("../shared/data")
PAPER = DATA / "nir-paper"
pytestmark = pytest.mark.skipif(not PAPER.exists(), reason="needs shared/data/nir-paper")
SINABS = {"dt": 1, "reset_mechanism": "subtract", "reset_delay": False, "fire": ">="}


def stored(name):
    with h5py.File(PAPER / name) as file:
        found = {}
        file["node"].visititems(lambda key, x: found.update({key: x[()]} if isinstance(x, h5py.Dataset) else {}))
        return found


@pytest.mark.parametrize("path", sorted(path.name for path in PAPER.glob("*.nir")))
@pytest.mark.filterwarnings("ignore::xbarsim.errors.InputWarning")
def test_every_graph_loads_runs_and_maps(path):
    how = SINABS if "sinabs" in path else {"dt": 1e-4, "reset_mechanism": "zero", "fire": ">"}
    network = mp.load_network(PAPER / path, t_steps=5, **how)
    x = (np.random.default_rng(0).random((2, 5, *network.spec.input_shape)) < 0.4).astype(np.uint8)
    events, dense = (network.predict(x, engine=engine, axes="ntchw") for engine in ("events", "dense"))
    np.testing.assert_array_equal(events, dense)


def braille(name):
    """Weights, biases and decays per 0.1 ms of both layers of a recurrent graph."""
    raw = stored(f"{name}.nir")
    weights = {key: torch.from_numpy(raw[f"nodes/{key}/weight"]).double() for key in ("fc1", "lif1.w_rec", "fc2")}
    biases = {
        key: torch.from_numpy(raw.get(f"nodes/{key}/bias", np.zeros(len(w)))).double() for key, w in weights.items()
    }
    taus = {"alpha": "tau_syn", "beta": "tau_mem"}
    decays = [
        {key: 1 - 1e-4 / float(raw[f"nodes/{layer}/{tau}"][0]) for key, tau in taus.items()}
        for layer in ("lif1.lif", "lif2")
    ]
    return weights, biases, decays


def as_snntorch(x, weights, biases, decays):
    """The framework that wrote the graphs, built anew; its neurons return spikes in single precision."""
    hidden = snn.RSynaptic(**decays[0], linear_features=len(weights["fc1"]), reset_mechanism="subtract").double()
    hidden.recurrent.weight.data, hidden.recurrent.bias.data = weights["lif1.w_rec"], biases["lif1.w_rec"]
    out = snn.Synaptic(**decays[1], reset_mechanism="subtract").double()
    spk, syn, mem = torch.zeros(3, 3, len(weights["fc1"])).double()
    syn2, mem2 = torch.zeros(2, 3, 7).double()
    found = [], []
    with torch.no_grad():
        for now in x:
            spk, syn, mem = hidden(now @ weights["fc1"].T + biases["fc1"], spk.double(), syn, mem)
            fired, syn2, mem2 = out(spk.double() @ weights["fc2"].T + biases["fc2"], syn2, mem2)
            found[0].append(spk)
            found[1].append(fired)
    return [torch.stack(spikes) for spikes in found]


def by_equations(x, weights, biases, decays):
    """NIR's equations in steps of 0.1 ms: a membrane that has fired starts from 0."""
    syn, mem, spk = ([torch.zeros(3, len(weights[key])).double() for key in ("fc1", "fc2")] for _ in range(3))
    found = [], []
    for now in x:
        currents = now @ weights["fc1"].T + biases["fc1"] + spk[0] @ weights["lif1.w_rec"].T + biases["lif1.w_rec"]
        for k in (0, 1):
            syn[k] = decays[k]["alpha"] * syn[k] + currents
            mem[k] = decays[k]["beta"] * mem[k] * (1 - spk[k]) + syn[k]
            spk[k] = (mem[k] > 1).double()
            currents = spk[0] @ weights["fc2"].T + biases["fc2"]
            found[k].append(spk[k])
    return [torch.stack(spikes) for spikes in found]


@pytest.mark.parametrize(
    ("name", "runner"),
    [("braille_noDelay_bias_zero", by_equations), ("braille_noDelay_noBias_subtract", as_snntorch)],
)
@pytest.mark.parametrize("kind", ["", "_subgraph"])
@pytest.mark.filterwarnings("ignore::xbarsim.errors.InputWarning")
def test_recurrent_graphs_give_the_spikes_of_other_runners(name, runner, kind):
    x = (torch.rand(60, 3, 12, generator=torch.Generator().manual_seed(0)) < 0.3).double()
    reset = name.rpartition("_")[2]
    network = mp.load_network(PAPER / f"{name}{kind}.nir", dt=1e-4, reset_mechanism=reset, fire=">", t_steps=60)
    ours = network.double().spikes(x.numpy().astype(np.uint8)[..., None, None], axes="tnchw")
    for a, b in zip(ours, runner(x, *braille(name)), strict=True):
        assert 0.001 < b.mean() < 0.9
        np.testing.assert_array_equal(a[..., 0, 0], b.numpy())


def recordings(bins, n=100):
    """The first test recordings of N-MNIST as frames of 0 and 1."""
    found = np.load(DATA / "n-mnist-small/test.npz")
    frames = np.zeros((n, bins, 2, 34, 34), np.uint8)
    for k in range(n):
        t, x, y, p = (found[f"events_{name}"][slice(*found["start"][k : k + 2])].astype(int) for name in "txyp")
        frames[k, t * bins // (int(found["events_t"].max()) + 1), p, y, x] = 1
    return frames, found["labels"][:n].astype(int)


def sinabs(frames):
    """Integrate and fire layer by layer: at most one spike a step, a threshold taken at once, sums over 2 x 2."""
    raw = stored("cnn_sinabs.nir")
    weight = {k: torch.from_numpy(raw[f"nodes/{k}/weight"]).double() for k in ("0", "2", "5", "9", "11")}

    def fire(currents):
        u, spikes = torch.zeros_like(currents[0]), []
        for now in currents:
            u = u + now
            spikes.append((u >= 1).double())
            u = u - spikes[-1]
        return torch.stack(spikes)

    def conv(x, key, **options):
        return F.conv2d(x.flatten(0, 1), weight[key], **options).unflatten(0, x.shape[:2])

    def pool(x):
        return 4 * F.avg_pool2d(x.flatten(0, 1), 2).unflatten(0, x.shape[:2])

    first = fire(conv(frames, "0", stride=2, padding=1))
    second = fire(conv(first, "2", padding=1))
    third = fire(conv(pool(second), "5", padding=1))
    fourth = fire(pool(third).flatten(2) @ weight["9"].T)
    return [first, second, third, fourth, fire(fourth @ weight["11"].T)]


@pytest.mark.compiled
def test_sinabs_gives_the_spikes_of_its_equations_on_recordings():
    frames, _ = recordings(25, 4)
    network = mp.load_network(PAPER / "cnn_sinabs.nir", t_steps=25, **SINABS).double()
    theirs = sinabs(torch.from_numpy(np.moveaxis(frames, 1, 0)).double())
    for a, b in zip(network.spikes(frames, axes="ntchw"), theirs, strict=True):
        np.testing.assert_array_equal(a.reshape(b.shape), b.numpy())
        assert 0.01 < a.mean() < 0.6


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("bins", "least"), [(25, 0.93), (100, 0.96), pytest.param(300, 0.98, marks=pytest.mark.slow)]
)  # fmt: skip
def test_sinabs_classifies_recordings(bins, least):
    frames, labels = recordings(bins)
    network = mp.load_network(PAPER / "cnn_sinabs.nir", t_steps=bins, **SINABS)
    classes = [network.predict(frames[k : k + 25], axes="ntchw") for k in range(0, 100, 25)]
    assert np.mean(np.concatenate(classes) == labels) >= least


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("chip", "quantize", "changes"),
    [
        ("paper-bsnn", None, {"device__levels": "analog"}),
        pytest.param("paper-bsnn", 8, {"device__levels": 16}, marks=pytest.mark.slow),
        pytest.param("paper-ann", 8, {}, marks=pytest.mark.slow),
    ],
)
def test_chips_lose_at_most_two_of_a_hundred_recordings(chip, quantize, changes):
    frames, labels = recordings(25)
    network = mp.load_network(PAPER / "cnn_sinabs.nir", t_steps=25, quantize=quantize, **SINABS)
    mapped = mp.map_network(network, mp.load_chip(chip).replace(**changes), seed=1)
    assert mapped.evaluate(frames, labels, axes="ntchw", batch_size=25).accuracy >= 0.95 - 0.02
