"""The command line as a user meets it, the shipped wheel, and what importing costs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import mapping as mp
from tests.builders.processes import run

ROOT = Path(__file__).parents[2]


@pytest.mark.compiled
def test_report_compares_chips_from_any_folder(tmp_path):
    done = run("report", "--images", 40, "--seed", 3, "--json", tmp_path / "report.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for words in ("conv 16-64", "paper-ann", "paper-bsnn", "IR drop", "TOPS/W, dense", "ADC power share"):
        assert words in done.stdout
    assert "full accounting: every read" in done.stdout and "…" not in done.stdout
    reports = json.loads((tmp_path / "report.json").read_text())["reports"]
    assert [r["chip"] for r in reports] == ["paper-ann", "paper-bsnn"]
    for report, share in zip(reports, [(0.5, 0.9), (0.001, 0.02)]):
        assert report["accuracy"] > 0.9 and report["ideal_accuracy"] > 0.95 and report["seed"] == 3
        assert share[0] < report["adc_power_share"] < share[1]
        assert report["tops_per_watt"] > report["synaptic_tops_per_watt"] > 0
        assert report["energy_per_inference"] == pytest.approx(sum(layer["energy"] for layer in report["layers"]))
        assert [layer["n_tiles"] for layer in report["layers"]] == [1, 4, 13]

    net, chip = mp.load_network("mnist-bsnn"), mp.load_chip("paper-bsnn")
    images, labels = mp.load_dataset("mnist")
    drawn = mp.Sample.of(labels, 40, seed=3).index
    same = mp.map_network(net, chip, seed=3).evaluate(images[drawn], labels[drawn])
    assert same.run.data_hash == reports[1]["run"]["data_hash"] and np.bincount(labels[drawn]).tolist() == [4] * 10
    assert same.accuracy == reports[1]["accuracy"]
    assert json.loads(same.to_json())["energy_per_inference"] == pytest.approx(reports[1]["energy_per_inference"])
    assert same.to_dataframe()["energy"].sum() == pytest.approx(same.energy_per_inference)
    assert "paper-bsnn" in str(same)


CHIP = """
name = "varied"
rows = 256
cols = 64
[device]
preset = "paper"
d2d = { samples_lrs = "lrs.csv", spread = { hrs = 0.1 } }
read_noise = 0.05
faults = { stuck_hrs = 0.005 }
read_disturb = { kind = "power-law", activation_energy = "0.5 eV" }
retention = { nu = 0.02, t0 = "20 s", activation_energy = "1 eV" }
[wires]
r_wordline = "1 Ohm"
r_bitline = "1 Ohm"
[readout]
kind = "sense-amp"
energy = "7.8125 fJ"
[driver]
power_per_bit = "3.9 uW"
[neuron]
kind = "charge"
mirror_ratio = 0.01
v_supply = "1 V"
energy_per_spike = "1.61 fJ"
"""


@pytest.mark.compiled
def test_report_over_dies_after_reads_and_time(tmp_path):
    (tmp_path / "chips").mkdir()
    (tmp_path / "chips" / "varied.toml").write_text(CHIP)
    (tmp_path / "chips" / "lrs.csv").write_text("9 uS\n10 uS\n11 uS\n")
    arguments = ["report", "--images", 20, "--chip", "chips/varied.toml", "--json", "report.json"]
    aged = ["--dies", 2, "--reads", "1e7", "--time", "1 day", "--temperature", "85 C", "--refresh", "0.02"]
    done = run(*arguments, *aged, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for words in ("over 2 dies", "1e+07 reads of each array", "1 day at", "at 0.02 of the LRS", "faulty cells"):
        assert words in done.stdout
    assert "…" not in done.stdout
    (report,) = json.loads((tmp_path / "report.json").read_text())["reports"]
    assert report["n_dies"] == len(report["accuracies"]) == 2 and report["refresh_tolerance"] == 0.02
    assert report["accuracy"] == pytest.approx(np.mean(report["accuracies"]))
    assert all(layer["weights_kept"] < 0.9 for layer in report["layers"])
    assert 700 < report["faulty_cells"] < 2500


def test_published_devices_are_listed_with_their_sources(tmp_path):
    listed = run("devices", "--json", tmp_path / "devices.json")
    assert listed.returncode == 0 and "pcm-ibm" in listed.stdout and "to be added" in listed.stdout
    assert "stt-mram-intel-22ffl" in listed.stdout and "…" not in listed.stdout
    assert {"pcm-ibm", "paper"} <= {device["name"] for device in json.loads((tmp_path / "devices.json").read_text())}
    one = run("devices", "pcm-ibm")
    for words in ("retention.nu.lrs", "0.049", "Joshi et al.", "read voltage (not given)"):
        assert words in one.stdout


def test_unknown_options_are_status_2():
    done = run("report", "--chps", "x")
    assert done.returncode == 2 and "No such option" in done.stderr


def cpu_seconds(process):
    """What a running process has used of cores, where /proc tells."""
    used = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return sum(map(int, used)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.compiled
def test_interrupt_ends_cleanly():
    command = [sys.executable, "-m", "mapping", "report", "--images", "all"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while cpu_seconds(process) < 4:  # past its imports, however busy the machine is
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors


@pytest.mark.compiled
def test_train_writes_a_network_that_loads(tmp_path):
    images, labels = mp.load_dataset("mnist")
    from tests.builders.idx import write_idx

    write_idx(tmp_path, "train", images[:400], labels[:400])
    write_idx(tmp_path, "test", images[400:500], labels[400:500])
    done = run(
        "train", "net.safetensors", "--dataset", ".", "--epochs", 1, "--t-steps", 4, "--validation", 100, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    network = mp.load_network(tmp_path / "net.safetensors")
    assert network.t_steps == 4
    accuracy = np.mean(network.predict(images[400:500]) == labels[400:500])
    assert network.metadata["test_accuracy"] == pytest.approx(accuracy)


@pytest.mark.parametrize("module", ["xbarsim", "mapping", "mapping.cli.verbs"])
def test_importing_is_light(module):
    code = f"import sys, {module}; print(sorted({{'torch', 'pandas', 'matplotlib'}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_help_lists_the_verbs():
    done = run("--help")
    assert done.returncode == 0 and "report" in done.stdout and "train" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="needs a clean copy of the sources")
def test_wheel_carries_data_and_works_elsewhere(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel]
    subprocess.run(install, check=True, capture_output=True)
    assert not (site / "tests").exists() and (site / "mapping" / "data" / "README.md").is_file()
    for file in ("xbarsim/py.typed", "mapping/py.typed", "mapping/__init__.pyi"):  # or type checkers see nothing
        assert (site / file).is_file()
    code = (
        "import mapping as mp; from mapping.inputs.resources import data_folder; x, y = mp.load_dataset('mnist');"
        "net = mp.load_network('mnist-bsnn'); mp.load_chip('paper-ann');"
        "print(data_folder()); print((net.predict(x[:50]) == y[:50]).mean())"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    folder, accuracy = done.stdout.split()
    assert folder == str(site / "mapping" / "data") and float(accuracy) > 0.9


@pytest.mark.compiled
def test_the_command_sets_the_figures_side_by_side(tmp_path):
    result = run("paper", "--images", 20, "--json", "p.json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for text in (
        "Headline",
        "Table 3",
        "77.7 TOPS/W",
        "meets all four",
        "14 two-state cells",
        "does not state its own",
    ):
        assert text in " ".join(result.stdout.split())
    values = json.loads((tmp_path / "p.json").read_text())
    lines = {(line["network"], line["accounting"]): line for line in values["headline"]}
    assert set(lines) == {(n, a) for n in ("ann", "bsnn") for a in ("full", "compatibility")}
    assert lines["ann", "compatibility"]["adc_power_share"] == pytest.approx(0.0459, abs=1e-4)
    assert lines["bsnn", "full"]["paper_tops_per_watt"] == 153
    assert lines["ann", "full"]["adc_power_share"] > 10 * lines["bsnn", "full"]["adc_power_share"]
    assert len(values["table3"]) == 4 and values["ann"]["recorded_accuracy"] > 0.99


@pytest.mark.compiled
def test_report_explains_how_layers_become_arrays(command):
    code, out, err = command("report", "--explain", "--images", "10", "--chip", "paper-bsnn", "--chip", "isaac-like")
    assert code == 0, err
    assert out.index("fold_norm: Batch norm") < out.index("place: Weight matrices") < out.index("TOPS/W")
    assert "layer 2, norm: batch norm of 64 channels -> gone" in out
    assert "paper-bsnn, layer 2: 400 inputs on wordlines, 64 outputs at 2 bitlines an output -> 2 x 2 arrays" in out
