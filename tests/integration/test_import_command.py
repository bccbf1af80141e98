"""Networks that do not say all about themselves: imported by the command, and never scored on a data set by guess."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import mapping as mp
import xbarsim as xb
from mapping.networks.network import Network

nir = pytest.importorskip("nir")


def write_graph(file, neurons):
    """Three inputs, two neurons with the weights (1, 0.5, 0) and (0, 1, 1)."""
    weight = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 1.0]])
    nodes = {
        "input": nir.Input(input_type={"input": np.array([3])}),
        "weights": nir.Linear(weight=weight),
        "neurons": neurons,
        "output": nir.Output(output_type={"output": np.array([2])}),
    }
    nir.write(file, nir.NIRGraph(nodes=nodes, edges=list(zip(nodes, list(nodes)[1:]))))


def integrating(r):
    return nir.IF(r=np.full(2, r), v_threshold=np.full(2, 2.0), v_reset=np.zeros(2))


HOW = ["--reset", "subtract", "--fire", ">=", "--t-steps", "4"]


@pytest.mark.parametrize(("r", "dt"), [(1.0, "1"), (1e4, "0.1 ms")], ids=["as Sinabs writes", "as snnTorch writes"])
def test_import_gives_the_spikes_of_the_graph(r, dt, tmp_path, command, monkeypatch):
    """By hand: a constant input (1, 1, 1) adds 1.5 and 2 a step, and the threshold is 2.

    U of the first neuron before it fires: 1.5, 3 (fires, 1 is left), 2.5 (fires, 0.5), 2 (fires, 0). The second one
    fires in every step.
    """
    monkeypatch.chdir(tmp_path)
    write_graph("net.nir", integrating(r))
    code, text, error = command("import", "net.nir", "net.safetensors", "--dt", dt, *HOW, "--reset-delay", "false")
    assert code == 0, error
    for words in ("dense 3-2", "inputs 3 x 1 x 1, 4 time steps", "--reset-delay false"):
        assert words in " ".join(text.split())
    network = mp.load_network("net.safetensors")
    spikes = network.spikes(np.ones((1, 3, 1, 1)), axes="nchw")[0][:, 0, :, 0, 0]
    np.testing.assert_array_equal(spikes, [[0, 1], [1, 1], [1, 1], [1, 1]])
    assert network.metadata["imported_from"] == "net.nir" and "dataset" not in network.metadata


def test_import_takes_shape_and_data_set(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_graph("net.nir", integrating(1.0))
    shape = ["--input-shape", "3", "--dataset", "mine.npz", "--json", "net.json"]
    assert command("import", "net.nir", "net.safetensors", "--dt", "1", *HOW, *shape)[0] == 0
    network = mp.load_network("net.safetensors")
    assert network.spec.input_shape == (3, 1, 1) and network.metadata["dataset"] == "mine.npz"
    with safe_open("net.safetensors", framework="pt") as file:
        assert "mine.npz" in file.metadata()["training"]


@pytest.mark.compiled
def test_reports_and_studies_take_nir_files(tmp_path, command, monkeypatch):
    """As they take the file that import makes of them; real weights go onto levels, with what that costs."""
    monkeypatch.chdir(tmp_path)
    write_graph("net.nir", integrating(1.0))
    rules = ["--dt", "1", *HOW, "--input-shape", "3"]
    assert command("import", "net.nir", "net.safetensors", *rules)[0] == 0
    images, labels = np.random.default_rng(0).random((20, 3, 1, 1)), np.arange(20) % 2
    np.savez("mine.npz", images=images, labels=labels)
    chosen = ["--chip", "paper-bsnn", "--dataset", "mine.npz", "--images", "all", "--quantize", "4", "--json", "r.json"]
    found = []
    for source in (["net.nir", *rules], ["net.safetensors"]):
        code, text, _ = command("report", *source, *chosen)
        assert code == 0 and "before they were put on levels" in text
        found.append(json.loads(Path("r.json").read_text()))
    one, other = (
        {key: found[k]["reports"][0][key] for key in ("accuracy", "energy_per_inference", "latency")} for k in (0, 1)
    )
    assert one == other
    before = mp.load_network("net.safetensors").predict(images) == labels
    assert found[0]["before_quantization"]["accuracy"] == before.mean()
    low, high = found[0]["before_quantization"]["accuracy_interval"]
    assert low <= before.mean() <= high
    code, _, error = command("report", "net.safetensors", "--dt", "1", *chosen)
    assert code == 2 and "has its own dt" in error
    how = {"dt": 1, "reset_mechanism": "subtract", "fire": ">=", "input_shape": 3, "t_steps": 4}
    study = {"chip": "paper-bsnn", "dataset": "mine.npz", "images": "all", "changes": {"chip.device.levels": "analog"}}
    data = [
        mp.run_study(mp.Study(network="net.nir", nir=how, **study), workers=1),
        mp.run_study(mp.Study(network="net.safetensors", **study), workers=1),
    ]
    assert data[0].energy_per_inference.item() == data[1].energy_per_inference.item() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "none.nir"], "none.nir: no such file"),
        (
            ["report", "net.nir"],
            "net.nir: NIR stores neither time step, reset nor comparison; give --dt, --reset and --fire, or",
        ),
        (["import", "none.nir", "x.safetensors", "--dt", "1", *HOW], "none.nir: no such file"),
        (["import", "net.nir", "x.bin", "--dt", "1", *HOW], "x.bin: the file to write must end in .safetensors"),
        (["import", "net.bin", "x.safetensors", "--dt", "1", *HOW], "net.bin: give a .nir file"),
        (["import", "net.nir", "x.safetensors", "--dt", "0", *HOW], "dt = 0 s: give the time of one step, above 0"),
        (["import", "net.nir", "x.safetensors", "--dt", "1 V", *HOW], "'1 V' has the unit 'V' where s is expected"),
        (
            ["import", "net.nir", "x.safetensors", "--dt", "1", *HOW, "--input-shape", "28x28"],
            "--input-shape 28x28: give channels, height, width, as 1,28,28",
        ),
        (
            ["import", "net.nir", "x.safetensors", "--dt", "1", *HOW, "--reset-delay", "no"],
            "--reset-delay no: give true, false, snntorch",
        ),
        (["import", "net.nir", "x.safetensors", "--dt", "1", "--reset", "half", "--fire", ">="], "reset_mechanism"),
        (["import", "net.nir", "no/x.safetensors", "--dt", "1", *HOW], "cannot be written"),
    ],
)
def test_what_cannot_be_imported_is_one_line(arguments, message, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    write_graph("net.nir", integrating(1.0))
    code, text, error = command(*arguments)
    assert (code, text) == (2, "") and message in error and error.count("\n") == 1
    assert not (tmp_path / "x.safetensors").exists()


def test_networks_are_never_scored_on_a_guessed_data_set(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        snn = pytest.importorskip("snntorch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10), snn.Leaky(beta=0.9))
    module[1].weight.data.sign_()
    network = mp.load_network(module, input_shape=(1, 28, 28), t_steps=5)
    mp.save_network(network, "mine.safetensors")
    code, _, error = command("report", "mine.safetensors", "--images", "2")
    assert code == 2 and "does not say which data set it was trained for; give --dataset" in error
    with pytest.raises(xb.ParameterError, match="mine.safetensors: does not say which data set .* dataset of study x"):
        mp.run_study(mp.Study(name="x", network="mine.safetensors", images=2))
    ann = mp.Ann(mp.AnnSpec(input_shape=(1, 28, 28), layers=[mp.LayerSpec(kind="dense", out=10)]))
    mp.save_ann(ann, "ann.safetensors")
    with pytest.raises(xb.ParameterError, match="ann.safetensors: does not say which data set"):
        mp.run_study(mp.Study(network="ann.safetensors", chip="paper-ann", images=2))
    (tmp_path / "net.nir").write_bytes(b"")
    with pytest.raises(
        xb.ParameterError, match="net.nir: NIR stores neither .* give Study.nir with dt, reset_mechanism and fire, or"
    ):
        mp.run_study(mp.Study(network="net.nir", images=2))
    with pytest.raises(xb.FileError, match=r"none\.nir: no such file"):
        mp.run_study(mp.Study(network="none.nir", images=2))


def save_small_network():
    """Write mine.safetensors: 2 x 3 pixels, two outputs."""
    layers = [mp.LayerSpec(kind="dense", out=2)]
    spec = mp.NetworkSpec(input_shape=(1, 2, 3), layers=layers, beta=0.5, threshold=1.5, t_steps=4)
    mp.save_network(Network(spec), "mine.safetensors")


@pytest.mark.compiled
def test_studies_warn_of_binary_images(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    save_small_network()
    np.savez("mine.npz", images=np.eye(6, dtype=np.uint8).reshape(6, 2, 3), labels=[0, 1, 0, 1, 0, 1])
    Path("one.toml").write_text('network = "mine.safetensors"\ndataset = "mine.npz"\nimages = "all"\n')
    with pytest.warns(xb.errors.InputWarning, match="multiply them by 255") as caught:
        code, text, error = command("study", "one.toml", "--workers", 1)
    assert code == 0 and len(caught) == 1, error
    assert "Data: mine.npz, all 6 images" in " ".join(text.split())


@pytest.mark.compiled
def test_reports_name_network_and_data_set(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    save_small_network()
    np.savez("mine.npz", images=np.random.default_rng(0).random((4, 2, 3)), labels=[0, 1, 0, 1])
    arguments = ["report", "mine.safetensors", "--chip", "paper-bsnn", "--images", "all"]
    code, text, error = command(*arguments, "--dataset", "mine.npz")
    assert code == 0, error
    text = " ".join(text.split())
    assert "Run: network mine.safetensors (" in text and "data mine.npz, all 4 images" in text
    events = (np.random.default_rng(0).random((4, 4, 1, 2, 3)) < 0.5).astype(np.uint8)  # as many samples as steps
    np.savez("events.npz", spikes=events, labels=[0, 1, 0, 1])
    code, _, error = command(*arguments, "--dataset", "events.npz")
    assert code == 2 and "have as many samples as steps; give axes, as 'tnchw'" in error
    code, text, error = command(*arguments, "--dataset", "events.npz", "--axes", "tnchw")
    assert code == 0 and "data events.npz, all 4 images" in " ".join(text.split()), error
