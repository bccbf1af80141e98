"""The figures of Eshraghian, Wang, Lu 2022 beside ours: headline of the hardware estimate, and table 3."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from mapping.chip.chip import Chip
from mapping.chip.periphery.sar_adc import SarAdc
from mapping.cost.report import Report
from xbarsim.crossbar import Crossbar
from xbarsim.nodal import solve

SOURCE = (
    'J. K. Eshraghian, X. Wang, W. D. Lu, "Binarized Spiking Neural Networks: Challenges and Applications", IEEE '
    "Nanotechnology Magazine, 2022, doi 10.1109/MNANO.2022.3141443"
)
HEADLINE = {"ann": (74.0, 0.0477), "bsnn": (153.0, 0.0003)}  # TOPS/W, share of data conversion
TABLE_3 = {  # (network, data set): accuracy, time steps of the paper
    ("flt32 SNN", "mnist"): ("mnist-snn", 0.9929),
    ("BSNN", "mnist"): ("mnist-bsnn", 0.989),
    ("flt32 SNN", "fashion-mnist"): ("fashion-mnist-snn", 0.9113),
    ("BSNN", "fashion-mnist"): ("fashion-mnist-bsnn", 0.8791),
}
COMPATIBILITY = (
    "compatibility accounting: the second convolution alone, 400 wordlines to 64 outputs on arrays of 256 x 64, every "
    "wordline at v_read, no wires; unused cells read in the HRS; ANN with a pair of cells per weight, BSNN with one; "
    "2 operations per MAC; 8 ADCs per array, counted by their power for one read of 25 ns, 2^-7 of it at 1 bit. "
    "Excluded: drivers, neurons, everything else. It is a guess: the paper does not state its own"
)


@dataclass(frozen=True)
class Headline:
    """One line of the headline: ours beside the paper's.

    Attributes
    ----------
    network : {"ann", "bsnn"}
    accounting : {"full", "compatibility"}
    tops_per_watt, adc_power_share : float
        Computed by the models.
    paper_tops_per_watt, paper_adc_power_share : float
        As published.
    """

    network: str
    accounting: str
    tops_per_watt: float
    adc_power_share: float
    paper_tops_per_watt: float
    paper_adc_power_share: float

    @classmethod
    def of(cls, network: str, accounting: str, tops_per_watt: float, adc_power_share: float) -> Headline:
        """Put figures of ours beside the paper's."""
        return cls(network, accounting, tops_per_watt, adc_power_share, *HEADLINE[network])

    def to_dict(self) -> dict[str, object]:
        """Return all fields."""
        return asdict(self)


def full(network: str, report: Report) -> Headline:
    """Return the headline under full accounting, from a report of the network on its chip."""
    return Headline.of(network, "full", report.tops_per_watt, report.adc_power_share)


def compatibility(network: str, chip: Chip, adc: SarAdc) -> Headline:
    """Return the headline under the compatibility accounting, see ``COMPATIBILITY``.

    Parameters
    ----------
    network : {"ann", "bsnn"}
        With two cells or one for a weight.
    chip : Chip
        Device and array.
    adc : SarAdc
        Of each 8th bitline.
    """
    n_in, n_out, per_weight = 400, 64, {"ann": 2, "bsnn": 1}[network]
    device, t_read = chip.device, chip.device.t_read
    ones = np.indices((n_in, n_out)).sum(0) % 2  # half of the weights
    cells = np.stack([ones, 1 - ones], 2).reshape(n_in, -1) if per_weight == 2 else ones
    power, n_arrays = 0.0, 0
    for top in range(0, n_in, chip.rows):
        for left in range(0, cells.shape[1], chip.cols):
            bits = np.zeros((chip.rows, chip.cols))
            part = cells[top : top + chip.rows, left : left + chip.cols]
            bits[: part.shape[0], : part.shape[1]] = part
            g = np.where(bits > 0, device.g_lrs, device.g_hrs)
            power += float(solve(Crossbar(g), np.full(chip.rows, device.v_read)).power)
            n_arrays += 1
    converters = n_arrays * chip.cols / adc.columns_per_adc * adc.energy * adc.f_sample
    total = power + converters
    return Headline.of(network, "compatibility", 2 * n_in * n_out / (total * t_read) * 1e-12, converters / total)


def without_adc() -> float:
    """Return the TOPS/W of the paper's ANN if its ADCs cost nothing."""
    tops_per_watt, share = HEADLINE["ann"]
    return tops_per_watt / (1 - share)
