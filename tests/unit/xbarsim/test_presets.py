"""Published devices: every number is cited, and can be changed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xbarsim as xb
from tests.builders.devices import make
from xbarsim.presets import load_preset
from xbarsim.validity import Exposure


def leaves(table, path=""):
    for name, value in table.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, dict):
            yield from leaves(value, here)
        elif not (isinstance(value, str) and value in ("normal", "lognormal", "power-law")):
            yield here


@pytest.mark.parametrize("name", xb.list_devices())
def test_every_number_of_a_published_device_is_cited(name):
    preset = load_preset(name)
    assert set(leaves(preset.device)) == set(preset.cite) and all(preset.cite.values())
    assert preset.paper and preset.seen_in and preset.kind
    missing = {"v_read": "0.2 V", "t_read": "10 ns"}
    device = xb.load_device(name, **{k: v for k, v in missing.items() if k not in preset.device})
    die = device.fabricate((20, 20), seed=0)
    assert np.all(die.program(np.eye(20)) >= 0)
    die.advance(dt=3600.0)
    assert np.all(np.isfinite(die.conductance))


def test_published_devices_are_of_different_kinds():
    kinds = " ".join(load_preset(name).kind for name in xb.list_devices())
    for kind in ("filamentary RRAM", "foundry RRAM", "phase-change", "ferroelectric", "MRAM", "of the paper"):
        assert kind in kinds


def test_presets_are_completed_and_changed():
    assert xb.load_device("paper") == xb.Device(preset="paper") == make()
    assert make().replace(i_lrs="6 uA").g_lrs == pytest.approx(2e-5) and make(read_disturb="power-law").read_disturb
    assert xb.load_device("paper", g_lrs=2e-5).g_lrs == 2e-5 and xb.load_device("paper", d2d=0.1).d2d.spread.lrs == 0.1
    pcm = xb.load_device("pcm-ibm", v_read=0.2, read_noise={"gaussian": 0.1})
    assert pcm.read_noise.gaussian.lrs == 0.1 and pcm.read_noise.flicker.spread.lrs == 0.0335
    with pytest.raises(xb.ParameterError, match=r"device 'tpu' is unknown; give one of cmo-hfox-ibm, fefet-hzo, paper"):
        xb.load_device("tpu")
    with pytest.raises(xb.FileError, match="none.toml"):
        xb.load_device("none.toml")


def test_a_conductance_of_ones_own_is_not_bound_to_the_voltage_of_the_source():
    own = xb.load_device("paper", i_lrs="2 uA", v_read="0.2 V")
    assert not list(own.checks(Exposure())) and list(xb.load_device("paper", v_read="0.2 V").checks(Exposure()))


@settings(deadline=None, max_examples=60)
@given(
    values=st.fixed_dictionaries(
        {},
        optional={
            "v_read": st.none() | st.floats(0.05, 1).flatmap(lambda v: st.sampled_from([v, f"{v} V"])),
            "t_read": st.floats(1e-9, 1e-6),
            "on_off_ratio": st.floats(2, 100),
        },
    ),
    current=st.sampled_from([{}, {"g_lrs": 2e-5}, {"i_lrs": "6 uA"}]),
)
def test_presets_are_changed_alike_by_every_way(values, current):
    """3 uA at 0.3 V are 10 uS, at whatever voltage they are read."""
    if values.get("v_read", 0.3) is None and "i_lrs" in current:
        values = {name: value for name, value in values.items() if name != "v_read"}
    given = values | current
    ways = [xb.load_device("paper", **given), xb.Device(preset="paper", **given), make().replace(**given)]
    ways.append(xb.load_device("paper").replace(**given))
    v_read = float(str(values.get("v_read") or 0.3).removesuffix(" V"))
    expected = {"g_lrs": 2e-5, "i_lrs": 6e-6 / v_read}[next(iter(current))] if current else 1e-5
    for one in ways:
        assert one == ways[0] and one.g_lrs == pytest.approx(expected, rel=1e-12)
    known = [set(one.valid.ranges) for one in (ways[0], ways[1], ways[3])]
    assert known == [set() if current else {"v_read"}] * 3


def test_what_presets_leave_out_is_named():
    """aihwkit's random relaxation after 1 s: 0.412 of 8 uS."""
    words = load_preset("cmo-hfox-ibm").left_out
    assert "0.412 + 0.042 ln(t / 1 s) uS" in words and "5.1 % of the 8 uS state after 1 s" in words
    assert round(100 * 0.412 / 8, 2) == 5.15
