"""Files of chips: what is accepted, and how the rest is refused."""

import numpy as np
import pytest

import mapping as mp
import xbarsim as xb
from mapping.inputs.resources import data_folder


def test_shipped_chips_hold_the_papers_device():
    for name in ("paper-ann", "paper-bsnn"):
        chip = mp.load_chip(name)
        assert (chip.name, chip.rows, chip.cols) == (name, 256, 64)
        assert chip.device.g_lrs * chip.device.v_read == pytest.approx(3e-6)
        assert chip.device.on_off_ratio == 10 and chip.wires.r_wordline == 1.0
    assert mp.load_chip("paper-ann").readout.energy == pytest.approx(1e-12)
    assert mp.load_chip("paper-bsnn").readout.energy == pytest.approx(1e-12 / 128)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rows = 256", "rows = 0", r"Chip\.rows = 0: input should be greater than 0"),
        ("cols = 64", "cols = 1", r"Chip\.cols = 1: differential weights need at least 2 bitlines"),
        ("rows = 256", "row = 256", r"Chip\.row is not a field; did you mean rows\?$"),
        ("n_bits = 8", "n_bit = 8", r"Chip\.readout\.n_bit is not a field; did you mean n_bits\?$"),
        ("[readout]", "[read_out]", r"Chip\.read_out is not a field; did you mean readout\?$"),
        ("r_driver =", "r_drive =", r"Chip\.wires\.r_drive is not a field; did you mean r_driver\?$"),
        (
            'kind = "sar-adc"',
            'kind = "sar_adc"',
            r"readout\.kind = 'sar_adc': did you mean sar-adc\? give one of sar-adc,",
        ),
        (
            'kind = "sar-adc"',
            'kinds = "sar-adc"',
            r"readout\.kind is missing; kinds is not a field; did you mean kind\?",
        ),
        ("[device]", "[device]\nd2d = { sread = 0.1 }", r"device\.d2d\.sread is not a field; did you mean spread\?$"),
        ('r_driver = "1 Ohm"', 'r_driver = "2,5 Ohm"', r"wires\.r_driver: '2,5 Ohm' is no quantity.*write 2\.5 Ohm$"),
        ('r_driver = "1 Ohm"', 'r_driver = "-1 Ohm"', r"Chip\.wires\.r_driver: -1\.0: a resistance is 0 or more"),
        ('r_driver = "1 Ohm"', "r_driver = nan", "r_driver"),
        ("n_bits = 8", "n_bits = 13", r"n_bits = 13: input should be less than or equal to 12"),
        ('kind = "digital"', 'kind = "charge"', "neuron"),
        ("columns_per_adc = 8", "columns_per_adc = 65", "columns_per_adc = 65: the array has 64 columns"),
        ("[wires]", "[wires", "not valid TOML"),
    ],
)
def test_bad_chip_files(tmp_path, old, new, message):
    text = (data_folder() / "chips" / "paper-ann.toml").read_text()
    assert old in text
    path = tmp_path / "chip.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(xb.XbarsimError, match=message) as error:
        mp.load_chip(path)
    assert "\n" not in str(error.value) and "chip.toml" in str(error.value)
    assert len(str(error.value).replace(str(path), "")) <= 200


def test_read_outs_and_neurons_that_do_not_fit():
    chip = mp.load_chip("paper-bsnn")
    with pytest.raises(xb.ParameterError, match="a sar-adc feeds digital neurons"):
        chip.replace(readout=mp.load_chip("paper-ann").readout)
    with pytest.raises(xb.ParameterError, match="charge is not held between steps"):
        chip.replace(constant_input="once")
    with pytest.raises(xb.ParameterError, match="a difference needs a bit for its sign"):
        mp.load_chip("paper-ann").readout.replace(n_bits=1, sense="difference")


def test_unknown_chips():
    with pytest.raises(xb.ParameterError, match="chip 'tpu' is unknown; give one of isaac-like, neurram"):
        mp.load_chip("tpu")
    with pytest.raises(xb.FileError, match="no such file"):
        mp.load_chip("none.toml")


def test_changes_of_a_part_are_made_together_and_equal_sets_have_one_hash():
    chip = mp.load_chip("paper-bsnn")
    for given in (
        {"device__g_lrs": 2e3, "device__plausible": False},
        {"device__plausible": False, "device__g_lrs": 2e3},
    ):
        assert chip.replace(**given).device.g_lrs == 2e3
    again = mp.Chip(**chip.model_dump())
    assert again == chip and hash(again) == hash(chip) and hash(chip.replace(rows=8)) != hash(chip)


def test_areas_with_both_micro_signs():
    from mapping.chip.periphery.driver import Driver

    fields = {"dac_bits": 8, "power_per_bit": "3.9 uW"}
    areas = [Driver(**fields, area=f"0.166 {mu}m^2").area for mu in "u\u00b5\u03bc"]
    np.testing.assert_allclose(areas, 0.166e-12, rtol=1e-15)
    with pytest.raises(xb.ParameterError, match="write 0.166"):
        Driver(**fields, area="0,166 um^2")
