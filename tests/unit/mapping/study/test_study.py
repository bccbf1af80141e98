"""Studies of chips: what can be varied, what is refused before any work, and that trial k is die k."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from copy import deepcopy

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import mapping as mp
import xbarsim as xb
import xbarsim.plot
from mapping.intervals import accuracy_interval
from mapping.render import significant
from mapping.solved import Solved
from mapping.study.results import warned
from mapping.study.run import prepared
from mapping.study.setting import Setting, varied
from mapping.study.table import rows
from mapping.study.task import ChipTask

mpl.use("Agg")


def identical(one, other):
    """Assert that two data sets are the same but for the date of their run."""
    xr.testing.assert_identical(*(data.assign_attrs(date="") for data in (one, other)))


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def study(tmp_path, tiny):
    """Two points of three dies of a small network on small arrays, with images and labels of its own."""
    network, images = tiny
    mp.save_network(network.float(), tmp_path / "tiny.safetensors")
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(len(images)) % 3)
    shipped = (mp.resources.data_folder() / "chips/paper-bsnn.toml").read_text()
    small = shipped.replace("rows = 256", "rows = 8").replace("cols = 64", "cols = 6")
    (tmp_path / "small.toml").write_text(small)
    return mp.Study(
        network=str(tmp_path / "tiny.safetensors"),
        chip=str(tmp_path / "small.toml"),
        dataset=str(tmp_path / "data.npz"),
        images="all",
        trials=3,
        seed=4,
        axes=[mp.Axis(name="d2d", label="spread", sets=["chip.device.d2d"], values=[0.1, 0.6])],
    )


def write(study, path):
    """Write a study as a user would, in TOML."""
    lines = [f"{name} = {json.dumps(getattr(study, name))}" for name in ("network", "chip", "dataset", "images")]
    lines += [f"trials = {study.trials}", f"seed = {study.seed}"]
    for axis in study.axes:
        lines += ["[[axes]]", f'name = "{axis.name}"', f'label = "{axis.label}"']
        lines += [f"sets = {json.dumps(axis.sets)}", f"values = {json.dumps(axis.values)}"]
    path.write_text("\n".join(lines))
    return path


def test_trial_k_is_die_k(study):
    data = mp.run_study(study, workers=1)
    with np.load(study.dataset) as file:
        images, labels = file["images"], file["labels"]
    network, chip = mp.load_network(study.network), mp.load_chip(study.chip)
    for d2d in (0.1, 0.6):
        report = mp.evaluate_dies(network, chip.replace(device__d2d=d2d), images, labels, n_dies=3, seed=4)
        found = data.sel(d2d=d2d)
        assert found["accuracy"].values.tolist() == list(report.accuracies)
        assert float(found["energy_per_inference"].mean()) == pytest.approx(report.energy_per_inference, rel=1e-12)
    assert data["energy_by_module"].sum("module").values == pytest.approx(data["energy_per_inference"].values)
    assert data["spike_rate"].dims == ("d2d", "trial", "layer") and data["layer"].values.tolist() == [
        "conv 2-4",
        "dense 36-3",
    ]
    assert data["energy_per_inference"].attrs == {"units": "J", "long_name": "energy per image"}
    assert data.attrs["seed"] == "4" and data.attrs["version_xbarsim"] == xb.__version__
    assert json.loads(data.attrs["study"] and data.attrs["sets"]) == {"d2d": ["chip.device.d2d"]}


@pytest.mark.compiled
def test_any_number_of_workers_gives_the_same_bits(study, tmp_path):
    alone = mp.run_study(study, workers=1)
    identical(mp.run_study(study, workers=2), alone)
    xr.testing.assert_identical(mp.run_study(study.replace(trials=1), workers=1)["accuracy"], alone["accuracy"][:, :1])
    stored = mp.run_study(study, store=tmp_path / "store", workers=1)
    identical(stored, alone)
    identical(mp.run_study(study, store=tmp_path / "store", workers=1), alone)
    with pytest.raises(xb.FileError, match="seed"):
        mp.run_study(study.replace(seed=5), store=tmp_path / "store", workers=1)
    other = tmp_path / "data.npz"
    with np.load(other) as file:
        np.savez(other, images=file["images"][::-1], labels=file["labels"])
    with pytest.raises(xb.FileError, match="data"):
        mp.run_study(study, store=tmp_path / "store", workers=1)


@pytest.mark.compiled
def test_a_cluster_gives_the_same_bits(study):
    distributed = pytest.importorskip("distributed")
    expected = mp.run_study(study, workers=1)
    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(n_workers=1, **options) as cluster:
        identical(mp.run_study(study, cluster=cluster.scheduler_address), expected)


def test_arrays_in_common_are_solved_once(study, monkeypatch):
    solved = []
    monkeypatch.setattr("mapping.solved.reduce", lambda crossbar: solved.append(crossbar) or xb.reduce(crossbar))
    steps = mp.Axis(name="t_steps", sets=["network.t_steps"], values=[6, 4, 2])
    n_arrays = sum(
        layer.n_tiles for layer in mp.map_network(mp.load_network(study.network), mp.load_chip(study.chip)).layers
    )
    data = mp.run_study(study.replace(axes=[steps], trials=2, changes={"chip.device.d2d": 0.1}), workers=1)
    assert len(solved) == 2 * n_arrays and (data["error"] == "").all()
    wires = mp.Axis(name="r", sets=["chip.wires.r_wordline"], values=[1.0, 2.0])
    mp.run_study(study.replace(axes=[wires], trials=1), workers=1)
    assert len(solved) == 4 * n_arrays


def test_solved_arrays_are_told_apart_and_make_room():
    g = np.full((4, 3), 1e-5)
    crossbars = [
        xb.Crossbar(g),
        xb.Crossbar(g, wires=xb.Wires(r_wordline=1.0)),
        xb.Crossbar(g, wires=xb.Wires(r_bitline=1.0)),
        xb.Crossbar(g.reshape(3, 4)),
        xb.Crossbar(g, cell=xb.OneTransistorOneResistor(r_on=1e4)),
        xb.Crossbar(g * np.r_[1, 1, 2][None]),
    ]
    solve = Solved()
    for crossbar in crossbars * 2:
        np.testing.assert_array_equal(solve(crossbar).transfer, xb.reduce(crossbar).transfer)
    assert len(solve._ports) == len(crossbars)
    small = Solved(most_bytes=600)
    for crossbar in crossbars * 2:
        np.testing.assert_array_equal(small(crossbar).transfer, xb.reduce(crossbar).transfer)
        assert sum(ports.transfer.nbytes for ports in small._ports.values()) <= 600


def test_everything_that_an_axis_can_set_arrives(study):
    axis = mp.Axis(
        name="case", cases={"a": {"chip.wires.r_wordline": "2 Ohm", "network.threshold_scale": 2.0}, "b": {}}
    )
    with pytest.raises(xb.ParameterError, match="cannot be set"):
        mp.Axis(name="case", cases={"a": {"wires": 1}})
    _, task = prepared(study.replace(axes=[axis]))
    from mapping.study.setting import Setting

    setting = Setting.of(task.study, {"case": "a"})
    assert setting.chip.wires.r_wordline == 2.0 and setting.variant == {"threshold_scale": 2.0}
    assert Setting.of(task.study, {"case": "b"}).chip == mp.load_chip(study.chip)


def test_thresholds_and_time_steps_are_those_asked_for(tiny):
    network, images = tiny
    short = varied(network, {"t_steps": 3}).spikes(images)
    for few, all_steps in zip(short, network.spikes(images), strict=True):
        np.testing.assert_array_equal(few, all_steps[:3])
    by_hand = deepcopy(network)
    by_hand.layers[0].threshold.data *= 1.7
    scaled = varied(network, {"threshold_scale": 1.7}).spikes(images)
    for found, expected, before in zip(scaled, by_hand.spikes(images), network.spikes(images), strict=True):
        np.testing.assert_array_equal(found, expected)
        assert (found != before).any()


def test_the_past_of_a_study_is_that_of_a_die(study):
    reads = mp.Axis(name="n", sets=["past.n_inferences"], values=[0, 1e5, 1e8])
    study = study.replace(axes=[reads], trials=1, changes={"chip.device.read_disturb": "power-law"})
    data = mp.run_study(study, workers=1)
    with np.load(study.dataset) as file:
        images, labels = file["images"], file["labels"]
    network = mp.load_network(study.network)
    chip = mp.load_chip(study.chip).replace(device__read_disturb="power-law")
    for count in (0, 1e5, 1e8):
        mapped = mp.map_network(network, chip, seed=4)
        if count:
            mapped.age(n_inferences=count, images=images)
        kept = [layer.weights_kept for layer in mapped.evaluate(images, labels).layers]
        assert data["weights_kept"].sel(n=count).values[0].tolist() == kept
        one = mp.evaluate_dies(network, chip, images, labels, n_dies=1, seed=4, past=mp.Past(n_inferences=count))
        assert [layer.weights_kept for layer in one.layers] == kept
    assert float(data["weights_kept"][0].min()) > float(data["weights_kept"][2].max())
    with pytest.raises(xb.ParameterError, match="give one of them, not both"):
        mp.Past(n_reads=1, n_inferences=1).check(chip)


BAD = [
    ({"axes": [{"name": "d2d", "sets": ["chip.device.d2d"]}]}, "give what it sets and values, or cases"),
    ({"axes": [{"name": "d2d", "sets": ["chip.device.dd"], "values": [1]}]}, "dd"),
    ({"axes": [{"name": "d2d", "sets": ["chip.device.d2d"], "values": [-1.0, 0.1]}]}, "d2d = -1"),
    ({"axes": [{"name": "t", "sets": ["network.t_step"], "values": [1]}]}, "network.t_step' cannot be set"),
    ({"axes": [{"name": "w", "sets": ["network.weight_bits"], "values": [4]}]}, "weight_bits = 4: a spiking network"),
    ({"axes": [{"name": "n", "sets": ["past.n_reads"], "values": [1e6]}]}, "no read_disturb law"),
    ({"axes": [{"name": "s", "sets": ["network.threshold_scale"], "values": [0]}]}, "threshold_scale = 0"),
    ({"axes": [{"name": "2d", "sets": ["chip.device.d2d"], "values": [1]}]}, "name"),
    ({"axes": [{"name": "trial", "sets": ["chip.device.d2d"], "values": [1]}]}, "trial"),
    ({"images": 0}, "images = 0"),
    ({"images": 100_000}, "images = 100000: give a whole number from 1 to 7"),
    ({"trials": 0}, "trials"),
    ({"network": "no-such"}, "no-such"),
    ({"chip": "no-such"}, "no-such"),
    ({"accounting": "half"}, "half"),
    ({"changes": {"chip": "paper-ann"}}, "give chip as a field"),
    ({"axe": []}, "axe"),
    ({"show": ["acuracy"]}, "show: acuracy; give some of accuracy, ideal_accuracy"),
    ({"show": []}, "show: empty; give some of accuracy"),
]


@pytest.mark.parametrize(("change", "words"), BAD)
def test_what_cannot_run_is_refused_before_work(study, change, words, monkeypatch):
    monkeypatch.setattr("mapping.study.run.conduct", lambda *_, **__: pytest.fail("work has begun"))
    with pytest.raises(xb.XbarsimError, match=words):
        mp.run_study(mp.Study(**(study.model_dump() | change)))


@pytest.mark.parametrize("name", mp.list_studies())
def test_shipped_studies_can_run(name):
    study = mp.load_study(name)
    plan, _ = prepared(study)
    assert study.title and study.description and len(plan.points) > 3


def test_shipped_studies_are_those_that_users_ask_for():
    assert mp.list_studies() == [
        "adc-bits",
        "array-size",
        "c2c-read-noise",
        "columns-per-adc",
        "d2d",
        "on-off-ratio",
        "read-count",
        "retention",
        "spike-sparsity",
        "stuck-faults",
        "time-steps",
        "wire-resistance",
    ]


def test_the_command_writes_what_the_study_found(study, tmp_path, command):
    path = write(study, tmp_path / "mine.toml")
    out = {kind: tmp_path / f"out.{kind}" for kind in ("json", "csv", "nc", "png")}
    options = ["--json", out["json"], "--csv", out["csv"], "--netcdf", out["nc"], "--plot", out["png"]]
    code, text, _ = command("study", path, "--store", tmp_path / "s", "--workers", 1, *options)
    data = mp.run_study(study.replace(name="mine"), workers=1)
    assert code == 0 and "3 dies at each point" in text and "seed 4" in text and "…" not in text
    for k in range(2):
        mean, *ends = (100 * float(data[name][k].mean()) for name in ("accuracy", "accuracy_low", "accuracy_high"))
        assert f"{significant(mean)} ({significant(ends[0])}\u2013{significant(ends[1])})" in text
        assert ends == pytest.approx([100 * end for end in accuracy_interval(data["correct"][k].values)])
    flat = rows(data)
    assert json.loads(out["json"].read_text())["trials"] == json.loads(json.dumps(flat)) and len(flat) == 6
    frame = pd.read_csv(out["csv"])
    assert frame["accuracy"].tolist() == pytest.approx([row["accuracy"] for row in flat], rel=1e-14)
    rates = data["spike_rate"][..., 0].values.ravel()
    assert frame["spike_rate[conv 2-4]"].tolist() == pytest.approx(rates, rel=1e-14)
    with xr.open_dataset(out["nc"], engine="h5netcdf") as stored:
        xr.testing.assert_equal(stored.load(), data)
        assert stored["energy_per_inference"].attrs["units"] == "J"
    assert out["png"].stat().st_size > 10_000
    code, _, error = command("study", path, "--store", tmp_path / "s", "--seed", 9)
    assert code == 2 and "seed" in error and "Traceback" not in error
    code, text, _ = command("study", "--check", tmp_path / "s")
    assert code == 0 and text.endswith("s: 6 trials, 0 damaged\n")
    (tmp_path / "full.png").symlink_to("/dev/full")
    for option, full in (("--json", "/dev/full"), ("--csv", "/dev/full"), ("--plot", tmp_path / "full.png")):
        code, _, error = command("study", path, "--store", tmp_path / "s", "--workers", 1, option, full)
        assert code == 2 and f"{full}: cannot be written (No space left on device)" in error


def test_warnings_of_reports_reach_studies(study, tmp_path, command):
    """One line for each model of the chip that is used beyond its range, and for each layer that clips."""
    clipped = study.replace(changes={"chip.limiter": {"i_max": "1 nA"}}, name="mine")
    path = write(study, tmp_path / "mine.toml")
    path.write_text(f'{path.read_text()}\n[changes]\n"chip.limiter" = {{ i_max = "1 nA" }}\n')
    code, text, _ = command("study", path, "--workers", 1, "--store", tmp_path / "s", "--netcdf", tmp_path / "d.nc")
    data = mp.run_study(clipped, workers=1)
    told = [line for lines in data["warnings"].values.ravel() for line in lines.splitlines()]
    report = mp.map_network(
        mp.load_network(clipped.network),
        mp.load_chip(clipped.chip).replace(limiter={"i_max": "1 nA"}, device__d2d=0.1),
        seed=4,
    ).evaluate(*mp.load_dataset(clipped.dataset))
    assert (
        data["warnings"].values[0, 0].splitlines() == list(report.warnings) and len(told) > len(set(warned(data))) > 1
    )
    words = " ".join(text.split())
    assert code == 0 and words.count("Warning: ") == len(warned(data)) and all(line in words for line in warned(data))
    with xr.open_dataset(tmp_path / "d.nc", engine="h5netcdf") as stored:
        assert stored["warnings"].values.tolist() == data["warnings"].values.tolist()


def test_paths_are_relative_to_the_study(study, tmp_path, monkeypatch):
    """A folder that holds a study and all that it names gives the same from anywhere, also in its axes and changes."""
    np.savetxt(tmp_path / "lrs.csv", np.full(9, 1.1e-5))
    names = {"network": "tiny.safetensors", "chip": "small.toml", "dataset": "data.npz"}
    text = "".join(f'{key} = "{value}"\n' for key, value in names.items()) + 'images = "all"\nseed = 4\n'
    text += '[changes]\n"chip.device.d2d" = { samples_lrs = "lrs.csv" }\n[[axes]]\nname = "chip"\nsets = ["chip"]\n'
    (tmp_path / "beside.toml").write_text(text + 'values = ["small.toml", "paper-bsnn"]\n')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    found = []
    for folder in (tmp_path, elsewhere):
        monkeypatch.chdir(folder)
        declared = mp.load_study(tmp_path / "beside.toml" if folder == elsewhere else "beside.toml")
        plan, task = prepared(declared)
        assert list(task.networks) == ["tiny.safetensors"] and list(task.data) == ["data.npz"]
        setting = Setting.of(declared, plan.points[0])
        assert setting.chip.rows == 8 and setting.chip.device.d2d.samples_lrs.tolist() == [1.1e-5] * 9
        assert Setting.of(declared, plan.points[1]).chip.rows == 256
        found.append(plan.identity)
    assert found[0] == found[1]  # a store goes on from anywhere
    with pytest.raises(xb.FileError, match=r"elsewhere/none\.toml: no such file"):
        (elsewhere / "s.toml").write_text('chip = "none.toml"')
        prepared(mp.load_study(elsewhere / "s.toml"))


class Broken(ChipTask):
    """Fails, or is interrupted, at some of its calls."""

    failure: dict[int, BaseException]
    calls = 0

    def __call__(self, trial, point):
        type(self).calls += 1
        if self.calls in self.failure:
            raise self.failure[self.calls]
        return super().__call__(trial, point)


def break_at(monkeypatch, failure):
    monkeypatch.setattr("mapping.study.run.ChipTask", type("Broken", (Broken,), {"failure": failure}))


def test_failed_and_missing_trials_are_shown_apart(study, tmp_path, monkeypatch, command):
    path = write(study, tmp_path / "mine.toml")
    break_at(monkeypatch, {2: RuntimeError("no luck"), 5: KeyboardInterrupt()})
    out = {kind: tmp_path / f"out.{kind}" for kind in ("json", "csv", "nc", "png")}
    options = ["--json", out["json"], "--csv", out["csv"], "--netcdf", out["nc"], "--plot", out["png"]]
    arguments = ["study", path, "--workers", 1, "--store", tmp_path / "s", *options]
    code, text, _ = command(*arguments)
    assert code == 130 and "2 of 6 trials are not done; run the same command again to go on" in text
    assert "1 of 6 trials failed, the first: RuntimeError: no luck" in text
    counts = [line.split()[-2:] for line in text.splitlines() if line.strip().startswith("0.")]
    assert counts == [["0", "1"], ["1", "1"]]
    errors = [trial["error"] for trial in json.loads(out["json"].read_text())["trials"]]
    assert errors == ["", "", "not done", "RuntimeError: no luck", "", "not done"]
    break_at(monkeypatch, {})
    code, text, _ = command(*arguments, "--retry-failed")
    assert code == 0 and "trials failed" not in text and "not done" not in text


@pytest.mark.parametrize("failure", [RuntimeError("no luck"), KeyboardInterrupt()])
def test_a_study_without_any_result_ends_in_order(study, failure, tmp_path, monkeypatch, command):
    path = write(study, tmp_path / "mine.toml")
    break_at(monkeypatch, dict.fromkeys(range(1, 7), failure))
    options = ["--json", tmp_path / "x.json", "--netcdf", tmp_path / "x.nc", "--plot", tmp_path / "x.png"]
    code, text, error = command("study", path, "--workers", 1, *options)
    assert code == (130 if isinstance(failure, KeyboardInterrupt) else 0) and not error and "nan" not in text
    assert (tmp_path / "x.png").stat().st_size > 5000
    assert [trial["accuracy"] for trial in json.loads((tmp_path / "x.json").read_text())["trials"]] == [None] * 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such"], "study 'no-such' is unknown; give a .toml file"),
        (["no-such.toml"], "no such file"),
        (["d2d", "--images", "some"], "Study.images = 'some': give a whole number from 1, 'first:N', or 'all'"),
        (["d2d", "--json", "nowhere/x.json"], "nowhere"),
        (["d2d", "--plot", "x.txt"], "x.txt"),
        (["d2d", "--cluster", "tcp://127.0.0.1:9", "--images", "1"], "127.0.0.1:9"),
        (["d2d", "--cluster", "x", "--workers", "1"], "workers or cluster"),
    ],
)
def test_the_command_says_what_is_wrong(arguments, words, command):
    code, text, error = command("study", *arguments)
    assert code == 2 and words in error and error.count("\n") == 1 and not text


def test_the_command_lists_studies(command):
    code, text, _ = command("study")
    assert code == 0 and all(name in text for name in mp.list_studies())


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_was(study, tmp_path):
    path = write(study.replace(trials=40), tmp_path / "mine.toml")
    store, result = tmp_path / "store", tmp_path / "out.json"
    command = [sys.executable, "-m", "mapping", "study", str(path), "--store", str(store), "--workers", "1"]
    command += ["--json", str(result)]
    environment = os.environ | {"NUMBA_NUM_THREADS": "1"}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    log = store / "study.sqlite-wal"
    while not log.exists() or log.stat().st_size < 100_000:  # about ten trials
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.wait()
    with closing(sqlite3.connect(store / "study.sqlite")) as database:
        assert 0 < database.execute("SELECT count(*) FROM results").fetchone()[0] < 80
    assert not result.exists()
    assert subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, timeout=300).returncode == 0
    whole = rows(mp.run_study(study.replace(trials=40), workers=1))
    assert json.loads(result.read_text())["trials"] == whole


def test_figures_show_what_was_found(study):
    data = mp.run_study(study, workers=1)
    figure = mp.study_figure(data, ("accuracy", "energy_per_inference"))
    accuracy, energy = figure.axes
    line = accuracy.lines[0]
    assert line.get_xdata().tolist() == [0.1, 0.6]
    assert line.get_ydata() == pytest.approx(data["accuracy"].mean("trial").values)
    (band,) = accuracy.collections
    assert {*band.get_paths()[0].vertices[:, 1]} == {*data["accuracy_low"].values, *data["accuracy_high"].values}
    assert accuracy.get_title(loc="right") == "3 dies x 7 images, mean and 95 % interval"
    (band,) = energy.collections
    mean, spread = (getattr(data["energy_per_inference"], what)("trial").values for what in ("mean", "std"))
    assert band.get_paths()[0].vertices[:, 1].max() == pytest.approx((mean + spread * np.sqrt(3 / 2)).max())
    assert energy.get_title(loc="right") == "3 dies x 7 images, mean and standard deviation"
    assert accuracy.lines[1].get_ydata()[0] == pytest.approx(float(data["ideal_accuracy"].max()))
    assert accuracy.get_xlabel() == "spread [%]" and energy.get_ylabel() == "energy per image [J]"


def test_without_axes_the_figure_shows_how_dies_differ(study):
    data = mp.run_study(study.replace(axes=[], trials=4, changes={"chip.device.d2d": 0.6}), workers=1)
    accuracy, energy = mp.study_figure(data, ("accuracy", "energy_per_inference")).axes
    for ax, name in ((accuracy, "accuracy"), (energy, "energy_per_inference")):
        values = data[name].values
        edges = [*(bar.get_x() for bar in ax.patches), np.inf]
        assert [bar.get_height() for bar in ax.patches] == np.histogram(values, edges)[0].tolist()
        assert sum(bar.get_height() for bar in ax.patches) == 4 and ax.get_ylabel() == "trials"
    assert accuracy.get_xlabel() == "accuracy on the chip [%]" and energy.get_xlabel() == "energy per image [J]"
    assert accuracy.lines[0].get_xdata()[0] == pytest.approx(float(data["ideal_accuracy"][0]))
    with pytest.raises(xb.ParameterError, match="result = 'spike_rate': one number for each trial have accuracy"):
        xb.plot.histogram(data, "spike_rate")


def test_the_tradeoff_shows_energy_accuracy_and_the_share_of_adcs():
    n_bits, values = [4, 8], np.array([[0.9, 0.8], [0.95, 0.97]])
    dims = ("n_bits", "trial")
    data = xr.Dataset(
        {
            "accuracy": (dims, values),
            "energy_per_inference": (dims, 1e-6 * values),
            "adc_power_share": (dims, [[0.1, 0.1], [0.5, 0.7]]),
        },
        {"n_bits": n_bits},
    )
    ax = mp.adc_tradeoff(data)
    assert ax.lines[0].get_ydata() == pytest.approx([0.85, 0.96])
    assert ax.lines[0].get_xdata() == pytest.approx([0.85e-6, 0.96e-6])
    sizes = ax.collections[0].get_sizes()
    assert sizes[1] - sizes[0] == pytest.approx(150 * 0.5)
    assert [text.get_text() for text in ax.texts] == ["4", "8"]
    with pytest.raises(xb.ParameterError, match="bits = 'bits'"):
        mp.adc_tradeoff(data, "bits")
