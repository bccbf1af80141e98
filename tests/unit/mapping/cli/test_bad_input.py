"""Bad input is one line."""

import numpy as np
import pytest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["devices", "tpu"], "device 'tpu' is unknown; give one of cmo-hfox-ibm"),
        (["report", "--time", "soon"], "--time: 'soon' is no quantity"),
        (["report", "--time", "1 V"], "--time: '1 V' has the unit 'V' where s is expected"),
        (["report", "--time", "1 day"], "paper-ann: its device has no retention law"),
        (["report", "--reads", "1e6"], "paper-ann: its device has no read_disturb law"),
        (["report", "--temperature", "-300 C"], "-26.85 K: give a time from 0 s, and more than 0 K"),
        (["report", "--time", "1 m"], "--time: '1 m' has no unit where s is expected; min, minute"),
        (["report", "--reads", "inf"], "History.n_reads = inf: give a finite number"),
        (
            ["report", "minst"],
            "network 'minst' is unknown; give one of fashion-mnist-bsnn, ",
        ),
        (["report", "mnist-snn"], "layer 1: weights = 'float'; two-state cells hold binary, ternary or n-bit ones"),
        (["report", "--chip", "tpu"], "chip 'tpu' is unknown"),
        (["report", "--chip", "none.toml"], "none.toml: no such file"),
        (["report", "--dataset", "cifar"], "dataset 'cifar' is unknown"),
        (["report", "--images", "-5"], "images = '-5': give a whole number from 1 to 10000"),
        (["report", "--images", "10001"], "images = '10001': give a whole number from 1 to 10000"),
        (["report", "--json", "no/such/folder.json"], "cannot be written"),
        (["train", "net.bin"], "must end in .safetensors"),
        (["train", "net.safetensors", "--folder", "nowhere"], "nowhere: holds neither"),
        (["train", "net.safetensors", "--recipe", "vgg"], "recipe 'vgg' is unknown; give one of fashion-mnist-bsnn"),
        (
            ["train", "net.safetensors", "--beta", "2"],
            "NetworkSpec.beta = 2.0: input should be less than or equal to 1",
        ),
        (["train", "net.safetensors", "--weights", "quaternary"], "NetworkSpec.weights"),
        (["train", "no/such/net.safetensors"], "cannot be written"),
        (["train", "net.safetensors", "--dataset", "x.npz"], "x.npz: holds one set only; give the test images by"),
        (["search", "s.db", "--images", "500"], "n_validation = 1000 of 500 images"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, message, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    code, text, error = command(*arguments)
    assert code == 2
    assert message in error and error.count("\n") == 1 and text == ""


def test_a_data_set_of_another_shape_is_refused(tmp_path, command):
    np.savez(tmp_path / "small.npz", images=np.zeros((3, 8, 8), np.uint8), labels=np.zeros(3, int))
    code, _, error = command("report", "--dataset", tmp_path / "small.npz", "--images", 3)
    assert code == 2 and "the network takes (n, 1, 28, 28)" in error
