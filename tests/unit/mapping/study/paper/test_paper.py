"""The figures of the paper, by its own accounting."""

import pytest

import mapping as mp
from mapping.study.paper import headline as paper


def test_compatibility_accounting_is_what_its_text_says():
    """The figures that the issue of the paper's accounting is about, from currents counted by hand."""
    chip = mp.load_chip("paper-ann")
    lrs, hrs, adc = 0.3 * 3e-6, 0.3 * 0.3e-6, 40e-6
    ann = 25600 * (lrs + hrs) + (4 * 256 * 64 - 51200) * hrs
    bsnn = 12800 * (lrs + hrs) + (2 * 256 * 64 - 25600) * hrs
    for name, bits, power, converters in (("ann", 8, ann, 32 * adc), ("bsnn", 1, bsnn, 16 * adc / 128)):
        line = paper.compatibility(name, chip, chip.readout.replace(n_bits=bits))
        total = power + converters
        assert line.tops_per_watt == pytest.approx(51200 / (total * 25e-9) * 1e-12, rel=1e-9)
        assert line.adc_power_share == pytest.approx(converters / total, rel=1e-9)
    assert round(paper.compatibility("ann", chip, chip.readout).tops_per_watt, 1) == 73.4
    assert round(paper.without_adc(), 1) == 77.7
