"""What an earlier commit wrote is read, and gone on with: networks, checkpoints, stores of studies."""

import json
import shutil
import sys
import warnings

import numpy as np
import pytest

import mapping as mp
import xbarsim as xb
from tests.golden import earlier

SAID = json.loads((earlier.FOLDER / "said.json").read_text())


@pytest.fixture
def files(tmp_path, monkeypatch):
    folder = shutil.copytree(earlier.FOLDER, tmp_path / "earlier")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("package", [mp, xb])
def test_no_public_name_is_lost(package):
    """Those that were renamed warn."""
    names = json.loads((earlier.FOLDER / "names.json").read_text())[package.__name__]
    assert len(names) > 40
    for name in names:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert getattr(package, name) is not None
        assert [name in str(one.message) for one in caught] == [True] * (name not in package.__all__)


@pytest.mark.compiled
def test_networks_of_both_kinds(files):
    images, _ = earlier.task()
    network, ann = mp.load_network("network.safetensors"), mp.load_ann("ann.safetensors")
    assert network.spec == earlier.SPEC and ann.spec == earlier.ANN
    assert network.predict(images).tolist() == SAID["network"]
    np.testing.assert_allclose(ann.integers(images)[-1].ravel(), SAID["ann"], rtol=1e-12)
    mp.save_network(network, "again.safetensors")
    mp.save_network(ann, "ann_again.safetensors")
    assert mp.load_network("again.safetensors").predict(images).tolist() == SAID["network"]
    np.testing.assert_array_equal(mp.load_ann("ann_again.safetensors").integers(images)[-1], ann.integers(images)[-1])


@pytest.mark.compiled
def test_a_checkpoint_goes_on(files):
    epochs = []
    network = earlier.train("checkpoint", finished=lambda epoch, accuracy: epochs.append(epoch))
    assert epochs == [1, 2] and network.metadata["trained_epochs"] == 3  # the first one was done


def test_a_study_of_chips_is_not_done_again(files, monkeypatch):
    monkeypatch.setattr("mapping.study.task.map_network", lambda *_, **__: pytest.fail("a trial was done again"))
    results = mp.run_study(earlier.study(), store="study", workers=1)
    assert results["accuracy"].values.tolist() == SAID["study"]


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="stores know functions by their bytecode")
def test_a_study_of_circuits_is_not_done_again(files, monkeypatch):
    monkeypatch.setattr("tests.golden.earlier.xb.solve", lambda *_, **__: pytest.fail("a trial was done again"))
    assert earlier.swept("sweep")["i"].values.tolist() == SAID["sweep"]
