"""Published devices: every number is cited, and can be changed."""

import numpy as np
import pytest

import xbarsim as xb
from tests.builders.devices import make
from xbarsim.presets import load_preset


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
