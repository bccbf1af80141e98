"""Studies of chips: what can be varied, what is refused before any work, and that trial k is die k."""

import json
from copy import deepcopy

import numpy as np
import pytest
import xarray as xr

import mapping as mp
import xbarsim as xb
from mapping.study.run import prepared
from mapping.study.setting import Setting, varied
from xbarsim.port_cache import PortCache


def identical(one, other):
    """Assert that two data sets are the same but for the date of their run."""
    xr.testing.assert_identical(*(data.assign_attrs(date="") for data in (one, other)))


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
    monkeypatch.setattr("xbarsim.port_cache.reduce", lambda crossbar: solved.append(crossbar) or xb.reduce(crossbar))
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
    solve = PortCache()
    for crossbar in crossbars * 2:
        np.testing.assert_array_equal(solve(crossbar).transfer, xb.reduce(crossbar).transfer)
    assert len(solve._ports) == len(crossbars)
    small = PortCache(most_bytes=600)
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
        one = mp.evaluate_dies(network, chip, images, labels, n_dies=1, seed=4, history=mp.History(n_inferences=count))
        assert [layer.weights_kept for layer in one.layers] == kept
    assert float(data["weights_kept"][0].min()) > float(data["weights_kept"][2].max())
    with pytest.raises(xb.ParameterError, match="give one of them, not both"):
        mp.History(n_reads=1, n_inferences=1).check(chip)


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
