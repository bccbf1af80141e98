"""Parameters of devices: what is accepted, and how the rest is refused."""

import pytest

import xbarsim as xb
from tests.builders.devices import make


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
