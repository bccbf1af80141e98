"""The command of studies: what it writes, warns of, goes on after and refuses."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import mapping as mp
import xbarsim as xb
from mapping.study.results import warned
from mapping.study.run import prepared
from mapping.study.setting import Setting
from mapping.study.table import rows
from mapping.study.task import ChipTask
from tests.builders.studies import write
from xbarsim.intervals import accuracy_interval
from xbarsim.units import significant

pytestmark = pytest.mark.usefixtures("closed")


def test_the_command_writes_what_the_study_found(study, tmp_path, command):
    path = write(study, tmp_path / "mine.toml")
    out = {kind: tmp_path / f"out.{kind}" for kind in ("json", "csv", "nc", "png")}
    options = ["--json", out["json"], "--csv", out["csv"], "--netcdf", out["nc"], "--plot", out["png"]]
    code, text, _ = command("study", path, "--store", tmp_path / "s", "--workers", 1, *options)
    data = mp.run_study(study.replace(name="mine"), workers=1)
    words = " ".join(text.split())
    assert code == 0 and "3 dies at each point" in words and "seed 4" in words and "…" not in text
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
