"""Commands that list devices and converters say where they are backed by data."""

import json

import pytest

import xbarsim as xb
from xbarsim.presets import load_preset
from xbarsim.validity import Exposure, Valid


@pytest.mark.parametrize("name", xb.list_devices())
def test_presets_say_where_they_are_backed_by_data(name, command):
    known = Valid(**load_preset(name).valid)
    device = xb.load_device(name)
    assert device.valid.ranges == known.ranges and device.valid.model == name
    assert not list(device.checks(Exposure(time=1.0, temperatures=(300.0, 300.0))))
    for field, one in known.ranges.items():
        given = {field: 3 * one.high} if field in ("v_read", "t_read") else {}
        exposure = Exposure(temperatures=(300.0, 300.0), **({} if given else {field: 3 * one.high}))
        lines = list(device.replace(**given).checks(exposure))
        assert len(lines) == 1 and lines[0].startswith(f"{name}: {field} = ") and one.source in lines[0]
    shown = " ".join(command("devices", name)[1].split())
    words = [f"{field} {one.text(known.UNITS[field])}" for field, one in known.ranges.items()]
    assert all(word in shown for word in words or ["Backed by data: its source gives no range of use"])


def test_published_laws_are_shown_with_their_range(command, tmp_path):
    status, shown, _ = command("adcs", "--json", tmp_path / "adcs.json")
    assert status == 0
    for words in ("(7.81 fJ)", "2.69 pJ", "Murmann's ADC Performance Survey"):
        assert words in " ".join(shown.split())
    laws = json.loads((tmp_path / "adcs.json").read_text())
    assert laws["isaac"]["backed"].startswith("at 8 bit") and laws["walden"]["backed"] == "at anchor_bits"
