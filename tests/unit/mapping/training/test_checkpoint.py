"""Checkpoints of training: one process at a time, and damaged ones are refused."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load, save_file

import mapping as mp
import xbarsim as xb
from tests.builders.tasks import SMALL, small_task

pytestmark = pytest.mark.compiled
EPOCHS = mp.TrainingSettings(epochs=2, batch_size=20, n_validation=100)


def test_a_checkpoint_folder_belongs_to_one_process_at_a_time(tmp_path):
    refusals = []

    def again(*_):
        if not refusals:
            with pytest.raises(xb.FileError, match="another process is writing to it; wait for its end") as told:
                mp.train(SMALL, *small_task(), EPOCHS, checkpoint=tmp_path)
            refusals.append(told.value)

    mp.train(SMALL, *small_task(), EPOCHS, checkpoint=tmp_path, progress=again)
    assert len(refusals) == 1
    mp.train(SMALL, *small_task(), EPOCHS, checkpoint=tmp_path)  # done: nothing is left to train, nor locked


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a checkpoint and of a network, and what reads each."""
    folder = tmp_path_factory.mktemp("whole")
    network = mp.train(SMALL, *small_task(), EPOCHS, checkpoint=folder)
    mp.save_network(network, folder / "net.safetensors")

    def resume(path):
        return mp.train(SMALL, *small_task(), EPOCHS, checkpoint=path.parent)

    return {
        "run": ((folder / "run.safetensors").read_bytes(), resume),
        "net": ((folder / "net.safetensors").read_bytes(), mp.load_network),
    }


@pytest.mark.parametrize("kind", ["run", "net"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found(kind, where, bit, whole, tmp_path):
    content, read = whole[kind]
    flipped = bytearray(content)
    flipped[int(where * len(content))] ^= 1 << bit
    path = tmp_path / f"{kind}.safetensors"
    path.write_bytes(flipped)
    with pytest.raises(xb.FileError, match=r"\.safetensors: ") as told:
        read(path)
    assert "\n" not in str(told.value) and len(str(told.value)) <= 250 + len(str(path))


def test_what_was_changed_on_purpose_says_so(whole, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(whole["net"][0])
    tensors = load(whole["net"][0])
    tensors["layers.1.weight"] = -tensors["layers.1.weight"]
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(xb.FileError, match="its digest differs.*delete 'digest' from its metadata"):
        mp.load_network(path)
    del metadata["digest"]
    save_file(tensors, path, metadata=metadata)
    changed = mp.load_network(path).layers[1].effective_weight()
    assert np.array_equal(changed.detach(), tensors["layers.1.weight"])
