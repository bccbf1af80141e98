"""Whatever is given for a network, chip, study or images: it works, or one line says what to give."""

import inspect
from dataclasses import replace
from functools import cache
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mapping as mp
import xbarsim as xb
from mapping.mapped.given import as_ann, as_chip, as_network
from mapping.networks.encode import check_images
from mapping.networks.network import Network
from xbarsim.parameters import Parameters

mpl.use("Agg")

LAYERS = [mp.LayerSpec(kind="dense", out=3)]
SPEC = mp.NetworkSpec(input_shape=(1, 3, 4), layers=LAYERS, beta=0.5, threshold=1.5, t_steps=5)
NETWORK = Network(SPEC).eval()
ANN = mp.Ann(mp.AnnSpec(input_shape=(1, 3, 4), layers=LAYERS)).eval()
CHIP, ANN_CHIP = (mp.load_chip(f"paper-{kind}").replace(rows=16, cols=8) for kind in ("bsnn", "ann"))
IMAGES, LABELS = np.random.default_rng(0).random((4, 3, 4)), np.array([0, 1, 2, 0])
DATA = (IMAGES, LABELS)
PLAN = mp.Search(recipe=mp.Recipe(network=SPEC, training=mp.TrainingSettings(n_validation=1)), images=3)

JUNK = [
    None, True, 5, 2.5, 1j, "nonsense", "", "x" * 5_000, "two\nlines", b"mnist-bsnn", {}, [], [None], [[1, 2], [3]],
    {1}, object(), np.zeros(3), np.array("x"), np.array([1j]), np.array([object()]), np.datetime64("now"),
    np.ma.masked_array(IMAGES, IMAGES > 0.5), torch.nn.Linear(2, 2), torch.zeros(2, requires_grad=True),
    NETWORK, ANN, SPEC, CHIP, Network, print, Path("nowhere.toml"), range(3), iter([1]),
]  # fmt: skip


MAPPED, MAPPED_ANN = cache(lambda: mp.map_network(NETWORK, CHIP)), cache(lambda: mp.map_ann(ANN, ANN_CHIP))
WAYS = {  # functions, what they take, and which of it is varied
    "map_network": (mp.map_network, {"network": NETWORK, "chip": CHIP, "images": IMAGES}, ...),
    "map_ann": (mp.map_ann, {"network": ANN, "chip": ANN_CHIP, "images": IMAGES}, ...),
    "map_network, seeds": (
        mp.map_network,
        {"network": NETWORK, "chip": CHIP, "seed": 0, "die": 0, "dtype": torch.float64},
        ("seed", "die", "dtype"),
    ),
    "evaluate_dies": (
        mp.evaluate_dies,
        {"network": NETWORK, "chip": CHIP, "images": IMAGES, "labels": LABELS, "n_dies": 1, "past": None},
        ...,
    ),
    "evaluate": (
        lambda **given: MAPPED().evaluate(**given),
        {"images": IMAGES, "labels": LABELS, "ideal": LABELS, "batch_size": 2, "accounting": "full", "axes": "nhw"},
        ...,
    ),
    "evaluate an Ann": (
        lambda **given: MAPPED_ANN().evaluate(**given),
        {"images": IMAGES, "labels": LABELS, "ideal": LABELS, "batch_size": 2, "accounting": "full", "axes": "nhw"},
        ...,
    ),
    "age": (lambda **given: mp.map_network(NETWORK, CHIP).age(n_inferences=1, **given), {"images": IMAGES}, ...),
    "spikes": (lambda **given: MAPPED().spikes(**given), {"images": IMAGES}, ...),
    "integers": (lambda **given: MAPPED_ANN().integers(**given), {"images": IMAGES}, ...),
    "predict": (NETWORK.predict, {"images": IMAGES, "batch_size": 2, "axes": "nhw"}, ...),
    "ideal spikes": (NETWORK.spikes, {"images": IMAGES}, ...),
    "predict of an Ann": (ANN.predict, {"images": IMAGES, "batch_size": 2, "axes": "nhw"}, ...),
    "levels": (ANN.levels, {"images": IMAGES}, ...),
    "trace": (mp.trace, {"mapped": None, "images": IMAGES}, ...),
    "ir_drop_map": (mp.ir_drop_map, {"mapped": None, "images": IMAGES}, ...),
    "spike_raster": (mp.spike_raster, {"trace": None}, ...),
    "membranes": (mp.membranes, {"trace": None}, ...),
    "breakdown": (mp.breakdown, {"reports": None}, ...),
    "throughput_limits": (mp.throughput_limits, {"report": None}, ...),
    "train": (mp.train, {"spec": SPEC, "images": IMAGES, "labels": LABELS, "settings": None}, ...),
    "train_ann": (mp.train_ann, {"spec": ANN.spec, "images": IMAGES, "labels": LABELS, "settings": None}, ...),
    "search": (
        mp.search,
        {"plan": PLAN, "training": DATA, "test": DATA, "storage": "no/s.db"},
        ("plan", "training", "test"),
    ),
    "trials": (mp.trials, {"storage": None}, ...),
    "run_study": (mp.run_study, {"study": None}, ...),
    "load_study": (mp.load_study, {"source": None}, ...),
    "load_chip": (mp.load_chip, {"source": None}, ...),
    "load_ann": (mp.load_ann, {"source": None}, ...),
    "load_network": (mp.load_network, {"source": torch.nn.Linear(2, 2), "sample": torch.zeros(1, 2)}, ("sample",)),
    "load_recipe": (mp.load_recipe, {"source": None}, ...),
    "load_dataset": (mp.load_dataset, {"name": "mnist", "split": "test", "axes": None}, ...),
    "export_nir": (mp.export_nir, {"network": NETWORK, "path": "no/n.nir", "dt": 1.0}, ...),
    "save_network": (mp.save_network, {"network": NETWORK, "path": "no/n.safetensors"}, ...),
    "save_ann": (mp.save_ann, {"network": ANN, "path": "no/n.safetensors"}, ...),
    "events": (mp.events, {"spikes": np.zeros((2, 3)), "axes": "nt", "counts": "refuse"}, ...),
}
CHECKED_FIRST = {  # what each of them does with an argument that is right, so that nothing is trained or solved here
    "train": {"settings": mp.TrainingSettings(n_validation=4)},
    "train_ann": {"settings": mp.TrainingSettings(batch_size=100)},
}


@pytest.mark.parametrize("way", WAYS)
def test_wrong_types_are_one_line(way, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function, arguments, varied = WAYS[way]
    arguments = arguments | CHECKED_FIRST.get(way, {})
    for name in arguments if varied is ... else varied:
        for junk in JUNK:
            try:
                function(**(arguments | {name: junk}))
            except xb.XbarsimError as error:
                assert "\n" not in str(error) and len(str(error)) <= 200, (name, junk, error)
            except Exception as error:  # noqa: BLE001 (that is the fault)
                pytest.fail(f"{way}({name} = {junk!r}): {type(error).__name__}: {error}")
    plt.close("all")


ANY = st.text(max_size=300) | st.text(st.sampled_from("ab\n\r\x1b "), max_size=300)


@given(key=ANY, value=ANY | st.integers() | st.floats() | st.lists(ANY) | st.dictionaries(ANY, ANY))
@settings(max_examples=200, deadline=None)
def test_fields_that_are_none_are_one_line(key, value):
    """Their names come from files, where any text can be one."""
    public = [getattr(package, name) for package in (xb, mp) for name in package.__all__]
    for kind in (kind for kind in public if inspect.isclass(kind) and issubclass(kind, Parameters)):
        within = {name: {key: value} for name, field in kind.model_fields.items() if field.is_required()}
        for given_ in ({key: value}, within, {"device": {key: value}}, {"readout": {"kind": key}}):
            try:
                kind(**given_)
            except xb.XbarsimError as error:
                assert len(str(error).splitlines()) == 1 and len(str(error)) <= 200, (kind, given_, error)


@pytest.mark.compiled
def test_names_and_files_are_taken_everywhere(tmp_path):
    mp.save_network(NETWORK, tmp_path / "net.safetensors")
    mp.save_ann(ANN, tmp_path / "ann.safetensors")
    named = f'network = "{tmp_path}/net.safetensors"\ndataset = "{tmp_path}/x.npz"\nimages = 4\n'
    (tmp_path / "one.toml").write_text(named)
    np.savez(tmp_path / "x.npz", images=IMAGES, labels=LABELS)
    file, report = tmp_path / "net.safetensors", mp.map_network(NETWORK, CHIP).evaluate(IMAGES, LABELS)
    for other in (
        mp.map_network(file, CHIP).evaluate(IMAGES, LABELS),
        mp.evaluate_dies(str(file), CHIP, IMAGES, LABELS, n_dies=1),
    ):
        assert other.run.network == "net.safetensors" and replace(other, run=report.run) == report
    assert mp.map_ann(tmp_path / "ann.safetensors", ANN_CHIP).network.spec == ANN.spec
    assert as_network("mnist-bsnn").spec == mp.load_network("mnist-bsnn").spec
    assert as_ann("mnist-ann").spec == mp.load_ann("mnist-ann").spec and as_chip("paper-ann").name == "paper-ann"
    data = mp.run_study(str(tmp_path / "one.toml"), workers=1)
    assert data.attrs["networks"].startswith(f"{file} (") and data.attrs["datasets"] == f"{tmp_path}/x.npz"
    with pytest.raises(xb.ParameterError, match="network is of type Ann; give a Network, its name or file"):
        mp.evaluate_dies(ANN, CHIP, IMAGES, LABELS, n_dies=1)
    with pytest.raises(xb.ParameterError, match="network is of type Network; give an Ann, its name or file"):
        mp.map_ann(NETWORK, CHIP)
    with pytest.raises(xb.ParameterError, match="study is of type dict; give a Study, or the name or file of one"):
        mp.run_study({})
    with pytest.raises(xb.ParameterError, match="study 'd3d' is unknown; give a .toml file, or one that"):
        mp.run_study("d3d")


BAD = [np.nan, np.inf, -np.inf, -1e-3, 1.001, 255.0, 1e39, -1e300]
WAYS_IN = {
    "predict": NETWORK.predict,
    "spikes": NETWORK.spikes,
    "evaluate": lambda x: MAPPED().evaluate(x, LABELS),
    "evaluate_dies": lambda x: mp.evaluate_dies(NETWORK, CHIP, x, LABELS, n_dies=1),
    "train": lambda x: mp.train(SPEC, x, LABELS),
    "train_ann": lambda x: mp.train_ann(ANN.spec, x, LABELS),
    "map_ann": lambda x: mp.map_ann(ANN, ANN_CHIP, images=x),
    "evaluate an Ann": lambda x: MAPPED_ANN().evaluate(x, LABELS),
    "predict of an Ann": ANN.predict,
    "levels": ANN.levels,
    "trace": lambda x: mp.trace(MAPPED(), x),
}


@given(
    bad=st.sampled_from(BAD),
    place=st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 3)),
    dtype=st.sampled_from([np.float16, np.float32, np.float64, np.longdouble]),
)
@settings(max_examples=60, deadline=None)
def test_images_are_finite_and_in_range_or_refused(bad, place, dtype):
    with np.errstate(over="ignore"):
        x = np.random.default_rng(1).random((4, 3, 4)).astype(dtype)
        x[place] = bad
    for way, call in WAYS_IN.items():
        with pytest.raises(xb.ParameterError, match=r"outside \[0, 1\] or not finite"):
            call(x)
            pytest.fail(way)


@given(bad=st.sampled_from([np.nan, np.inf, 0.5, -1.0, 2.0]), place=st.integers(0, 4 * 5 * 12 - 1))
@settings(max_examples=40, deadline=None)
def test_spikes_are_zeros_and_ones_or_refused(bad, place):
    x = np.zeros((4, 5, 1, 3, 4))
    x.flat[place] = bad
    for call in (NETWORK.predict, NETWORK.spikes, lambda x: mp.events(x, "ntchw"), lambda x: check_images(x, SPEC)):
        with pytest.raises(xb.ParameterError, match="other than 0 and 1|counts up to 2"):
            call(x)


@pytest.mark.parametrize("dtype", [complex, object, "U3", "S3", "M8[s]", np.int8, np.int32, np.uint16])
def test_types_that_are_no_images_are_refused(dtype):
    x = np.zeros((4, 3, 4)).astype(dtype)
    for way, call in WAYS_IN.items():
        with pytest.raises(xb.ParameterError, match="type|NumPy array"):
            call(x)
            pytest.fail(way)


CLASSES = [0, 1]


@given(
    bad=st.sampled_from([np.nan, np.inf, -np.inf]),
    key=st.sampled_from(["images", "spikes"]),
    labels=st.sampled_from([CLASSES, [0.0, 1.0], ["0", "1"], [0, -1], [[0, 1]], [0, 1, 2], [1j, 0]]),
)
@settings(max_examples=40, deadline=None)
def test_npz_files_are_finite_and_labelled_or_refused(tmp_path_factory, bad, key, labels):
    file, shape = tmp_path_factory.getbasetemp() / "set.npz", (2, 3, 4) if key == "images" else (2, 5, 1, 3, 4)
    x = np.zeros(shape)
    np.savez(file, **{key: x}, labels=labels)
    if labels is CLASSES:
        assert len(mp.load_dataset(file)[0]) == 2
        x.flat[7] = bad
        np.savez(file, **{key: x}, labels=labels)
    with pytest.raises(xb.FileError, match="not finite|0 and 1|labels"):
        mp.load_dataset(file)


@pytest.mark.parametrize("x", [np.zeros((2, 3, 4), complex), np.full((2, 3, 4), "a"), np.array([None, 1])])
def test_npz_files_of_other_types_are_refused(tmp_path, x):
    np.savez(tmp_path / "set.npz", images=x, labels=[0, 1])
    with pytest.raises(xb.FileError, match="type complex128|type <U1|allow_pickle"):
        mp.load_dataset(tmp_path / "set.npz")


def test_every_public_function_of_these_is_looked_at():
    """Functions that take a network, chip, study, images or what comes of them stand above, under their own names."""
    takes = {"network", "chip", "study", "images", "mapped", "trace", "report", "reports", "spikes", "training"}
    public = {name: getattr(mp, name) for name in mp.__all__}
    functions = {name: f for name, f in public.items() if inspect.isfunction(f)}
    found = {name for name, f in functions.items() if takes & inspect.signature(f).parameters.keys()}
    assert found <= WAYS.keys()
