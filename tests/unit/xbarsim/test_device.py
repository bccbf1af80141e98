"""Parameters of devices: what is accepted, and how the rest is refused."""

import copy
import json
import pickle

import numpy as np
import pytest

import xbarsim as xb
from tests.builders.devices import PAPER, make
from xbarsim.device import Device


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"c2c": -0.1}, r"Device\.c2c\.spread\.lrs = -0\.1"),
        ({"on_off_ratio": 0.5}, r"Device\.on_off_ratio = 0\.5: input should be greater than 1"),
        ({"faults": {"stuck_lrs": 1.5}}, r"Device\.faults\.stuck_lrs: 1\.5: a probability lies in \[0, 1\]"),
        ({"faults": {"stuck_lrs": 0.6, "open_cells": 0.5}}, r"probabilities of cell faults add up to 1\.1"),
        ({"faults": {"stuck_lrs": [[1, 2, 3]]}}, "give a probability, a map of 0 and 1"),
        ({"faults": {"shorted_cells": 0.1}}, r"faults\.r_short is missing"),
        (
            {"read_noise": {"telegraph": {"amplitude": 0.1, "share": 1.1, "tau_capture": 1, "tau_emission": 1}}},
            r"share = 1\.1",
        ),
        (
            {"read_noise": {"flicker": {"spread": 0.1, "f_low": 10, "f_high": 1}}},
            "f_high = 1 Hz is not above f_low = 10 Hz",
        ),
        ({"d2d": {"correlation_length": -1}}, r"d2d\.correlation_length = -1"),
        ({"d2d": True}, r"d2d = True: input should be a valid dictionary"),
        ({"d2d": {"samples_lrs": 1e-5}}, r"d2d\.samples_lrs: give measured conductances"),
        ({"i_lrs": "abc"}, r"Device\.i_lrs: 'abc' is no quantity"),
        ({"v_read": -1}, r"Device\.v_read = -1: give a voltage above 0 V"),
        ({"d2d": {"samples_lrs": [1e-6, -1e-6]}}, r"d2d\.samples_lrs: the array holds -1e-06 S"),
        ({"d2d": {"law": "weibull"}}, r"d2d\.law = 'weibull': input should be 'lognormal' or 'normal'"),
        ({"c2c": {"write_verify": {"tolerance": 0, "max_pulses": 3}}}, r"c2c\.write_verify\.tolerance = 0"),
        ({"g_max": "5 uS"}, r"the states, 1e-06 and 1e-05 S, do not lie between g_min = 0 and g_max = 5e-06 S"),
        (
            {"read_disturb": {"kind": "power-law", "n_cycles": 1e6}},
            r"n_cycles = 1e\+06: the law ends at 7\.7e\+04 cycles",
        ),
        (
            {"read_disturb": {"kind": "table", "points": [[1, 1]], "v_measured": 1, "v_char": 1}},
            r"points: the shape is \(1, 2\)",
        ),
    ],
)
def test_bad_parameters(change, message):
    with pytest.raises(xb.ParameterError, match=message) as error:
        make(**change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["power-law", "table", "custom"])
def test_a_kind_that_is_misspelt_is_named(kind, tmp_path):
    """Any of its letters left out, by every way to give it; and the word ``kind`` itself."""
    path = tmp_path / "device.toml"
    start = 'i_lrs = "3 uA"\nv_read = "0.3 V"\non_off_ratio = 10\n'
    wrong = [(kind[:k] + kind[k + 1 :], "kind") for k in range(len(kind))]
    wrong += [(kind, word) for word in ("knd", "kin", "Kind", "kinds")]
    for name, word in wrong:
        path.write_text(f'{start}[read_disturb]\n{word} = "{name}"\n')
        ways = [
            lambda word=word, name=name: make(read_disturb={word: name}),
            lambda: xb.load_device(path),
            lambda word=word, name=name: make().replace(read_disturb={word: name}),
        ]
        if word == "kind":
            ways.append(lambda name=name: make(read_disturb=name))
        meant = f"did you mean {kind if word == 'kind' else 'kind'}?"
        for way in ways:
            with pytest.raises(xb.ParameterError) as error:
                way()
            text = str(error.value)
            assert "Device.read_disturb.kind" in text and meant in text and "\n" not in text
            assert "give one of power-law, table, custom" in text


def test_the_kind_is_no_part_of_a_place():
    with pytest.raises(xb.ParameterError, match=r"^Device\.read_disturb\.c = -1: input should be greater than 0"):
        make(read_disturb={"kind": "power-law", "c": -1})
    with pytest.raises(xb.ParameterError, match=r"^Device\.read_disturb = 5: input should be a valid dictionary"):
        make(read_disturb=5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1e-6\nfast\n", r"row 2, column 1: 'fast' is no quantity"),
        ("1e-6\n-2e-6\n", r"holds -2e-06 S; conductances are finite and not negative"),
        ("", "is empty"),
    ],
)
def test_bad_sample_files(tmp_path, text, message):
    path = tmp_path / "samples.csv"
    path.write_text(text)
    with pytest.raises(xb.XbarsimError, match=message):
        make(d2d={"samples_hrs": path})
    with pytest.raises(xb.FileError, match="No such file"):
        make(d2d={"samples_hrs": tmp_path / "none.csv"})


def test_devices_hold_no_number_that_nobody_gave():
    device = xb.load_device("pcm-ibm")
    with pytest.raises(xb.ParameterError, match=r"Device\.v_read is missing: .* for example v_read = \"0\.2 V\""):
        device.v_read  # noqa: B018
    assert "v_read" not in device.model_dump() and "v_read" not in repr(device) and device.t_read == 250e-9
    given = device.replace(v_read="0.2 V")
    assert given.v_read == given.model_dump()["v_read"] == 0.2 and given != device
    assert given.replace(v_read=None) == device == xb.load_device("pcm-ibm", v_read=None)
    for one in (device, given):
        same = [copy.deepcopy(one), pickle.loads(pickle.dumps(one)), one.replace()]
        assert all(other == one and hash(other) == hash(one) for other in same) and xb.Device(**one.model_dump()) == one
        assert json.loads(one.model_dump_json())["g_lrs"] == 25e-6
    for given in ({"v_read": 0}, {"t_read": "1 V"}, {"v_read": "fast"}):
        with pytest.raises(xb.ParameterError, match=f"Device.{next(iter(given))}"):
            device.replace(**given)


def test_what_is_left_out_is_not_there():
    device = xb.Device(g_lrs=1e-5, on_off_ratio=10)
    assert not hasattr(device, "v_read") and getattr(device, "t_read", None) is None
    assert device.replace(i_lrs="3 uA", v_read=0.3).g_lrs == pytest.approx(1e-5)
    for read, message in (({}, "v_read is missing"), ({"v_read": 0}, "v_read = 0: give a voltage above 0 V")):
        with pytest.raises(xb.ParameterError, match=message):
            device.replace(i_lrs="3 uA", **read)


def test_device_by_current_or_conductance():
    device = Device(**PAPER)
    assert device.g_lrs == pytest.approx(1e-5) and device.g_hrs == pytest.approx(1e-6)
    np.testing.assert_allclose(device.program([[1, 0]], seed=0), [[1e-5, 1e-6]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"on_off_ratio": 1}, r"Device\.on_off_ratio = 1: input should be greater than 1"),
        ({"v_read": "3 uA"}, r"'3 uA' has the unit 'A' where V is expected; write it in V"),
        ({"d2d": -0.1}, r"Device\.d2d\.spread\.lrs = -0\.1: input should be greater than or equal to 0"),
        ({"g_lrs": 1e-5}, "give g_lrs or i_lrs, not both"),
        ({"i_lrs": -1.0}, r"Device\.i_lrs = -1\.0: give a current above 0 A"),
        ({"t_read": True}, "True is no quantity"),
        ({"spread": 1}, r"Device\.spread is not a field; the fields are g_lrs"),
    ],
)
def test_bad_devices(change, message):
    with pytest.raises(xb.ParameterError, match=message):
        Device(**(PAPER | change))


def test_bad_bits():
    die = Device(**PAPER).fabricate((2, 2), seed=0)
    with pytest.raises(xb.ParameterError, match="other than 0 and 1"):
        die.program([[0, 1], [1, 2]])
    with pytest.raises(xb.ParameterError, match=r"shape \(1, 2\); the die has \(2, 2\)"):
        die.program([[0, 1]])


def test_negative_seeds():
    with pytest.raises(xb.ParameterError, match="seed = -1"):
        Device(**PAPER, d2d=0.1).fabricate((2, 2), seed=-1)
