"""What the quantities of reports, studies and memory reads are: one name, one definition and one formula each.

``DEFINITIONS`` has them by the name of the attribute, JSON key or column; ``xbarsim terms`` prints them. Symbols:

=============  ======================================================================================================
W, W_cells     weights as they should be, and as the cells hold them after variation, faults and drift (n_out, n_in)
W_eff          weights as they arrive through the solved circuit, from T of each array, before calibration
<A, B>         sum over all entries of A B
T, H, Y        port matrices of an array: i_bitline = T v - Y v_bitline, i_wordline = H v - T^t v_bitline
E_module       energy of a module per inference, by the report's accounting: arrays, data conversion, drivers, ...
N, P, t        images, positions (pixels of a layer's output), time steps of an inference
=============  ======================================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Definition:
    """What a quantity is.

    Attributes
    ----------
    label : str
        What tables and plots call it.
    unit : str
        "1" for a share or a count.
    text, formula : str
    """

    label: str
    unit: str
    text: str
    formula: str

    def __str__(self) -> str:
        return f"{self.text} {self.formula}"


DEFINITIONS = {
    "accuracy": Definition(
        "accuracy on the chip",
        "1",
        "Share of the images that the chip classifies correctly, on average over dies; its 95 % interval is "
        "Wilson's over images, over several dies that of a bootstrap of dies and images.",
        "sum over dies and images of [class = label] / (dies N)",
    ),
    "ideal_accuracy": Definition(
        "accuracy in software",
        "1",
        "The same of the network without a chip, in floating point.",
        "sum over images of [class = label] / N",
    ),
    "ir_drop": Definition(
        "IR drop",
        "1",
        "Share of a layer's signal that wires, drivers and sense resistances take away, neither a voltage nor the "
        "worst cell's; with open or gated wordlines of one that is active alone. Drift and faults are not in it. No "
        "number of passive neurons, or where the cells hold less than a hundredth of the weights.",
        "1 - <W, W_eff> / <W, W_cells>",
    ),
    "weights_kept": Definition(
        "weights kept",
        "1",
        "Share of the weights that the cells hold after variation, faults and drift.",
        "<W, W_cells> / <W, W>",
    ),
    "spike_rate": Definition(
        "spike rate",
        "1",
        "Output spikes of a layer per neuron and time step; of a conventional network the share of outputs that are "
        "not 0.",
        "spikes / (N t n_out P)",
    ),
    "spikes_per_inference": Definition(
        "spikes per image",
        "1",
        "Output spikes of all layers; of a conventional network outputs that are not 0.",
        "sum over layers of spikes / N",
    ),
    "utilization": Definition(
        "cells used",
        "1",
        "Share of the cells of the arrays in use that hold a weight or a reference; copies of arrays count once.",
        "(bitlines in use x wordlines in use, summed over arrays) / (arrays x rows x cols)",
    ),
    "synaptic_operations": Definition(
        "synaptic operations",
        "1",
        "Operations that an input caused: a spike, or an analog input that is not 0, meets each weight of its "
        "kernel once for each position; 2 operations each (multiply, add) unless the accounting says 1. Weights of "
        "0 count.",
        "operations per MAC x sum over reads of (inputs that are not 0) x n_out / N",
    ),
    "tops_per_watt": Definition(
        "TOPS/W, dense",
        "TOPS/W",
        "Operations of all weights, positions and time steps, whether an input was there or not, over the energy.",
        "operations per MAC x MAC per step x t / energy per inference x 1e-12",
    ),
    "synaptic_tops_per_watt": Definition(
        "TOPS/W, synaptic", "TOPS/W", "Synaptic operations over the energy.", "synaptic operations / energy x 1e-12"
    ),
    "adc_power_share": Definition(
        "ADC power share",
        "1",
        "Share of all data conversion in the energy, and at a given throughput in the power: ADCs, or the sense "
        "amplifiers that take their place. Drivers and DACs of wordlines are not in it.",
        "E_conversion / sum over modules of E_module",
    ),
    "adc_area_share": Definition(
        "ADC area share",
        "1",
        "Share of the same converters in the area of all modules of the report.",
        "A_conversion / sum over modules of A_module",
    ),
    "energy_per_inference": Definition(
        "energy per image",
        "J",
        "Of classifying one image, on average over images and dies, by the report's accounting, which says what is "
        "left out.",
        "sum over modules of E_module",
    ),
    "latency": Definition(
        "latency",
        "s",
        "Time from an image to its class: layers one after the other in the first time step, then time steps at the "
        "pace of the slowest layer, or of all where they are not pipelined. With bit-serial inputs a layer reads all "
        "bits before the next one begins.",
        "sum over layers of their first time step + (t - 1) x time between time steps; bit-serial: bits x that sum",
    ),
    "throughput": Definition(
        "images per second", "1/s", "Images one after the other without a gap.", "1 / (t x time between time steps)"
    ),
    "power": Definition("average power", "W", "At that throughput.", "energy per image x images per second"),
    "area": Definition("area", "m2", "Of the modules that the chip gives an area of.", "sum over modules of A_module"),
    "fraction_clipped": Definition(
        "ADC conversions clipped",
        "1",
        "Share of the conversions whose input lies beyond full scale; 0 without ADCs.",
        "clipped conversions / conversions",
    ),
    "collided": Definition(
        "collided spikes",
        "1",
        "Share of a layer's spikes that another one of the same position and time step holds up on a link.",
        "1 - (positions and time steps with a spike) / spikes",
    ),
    "stall_fraction": Definition(
        "stalls",
        "1",
        "Share of the time between two time steps in which a layer's arrays and neurons stall for another layer.",
        "1 - busy time of the layer / time between time steps",
    ),
    "i_sneak": Definition(
        "sneak current",
        "A",
        "What the selected bitline's sense node collects with the selected cell open, see xbarsim.MemoryRead; the "
        "selected cell's part is the rest, i_selected = i_sensed - i_sneak.",
        "i_sensed with g[row, col] = 0",
    ),
    "margin": Definition(
        "margin",
        "1",
        "Share of the selected cell in the sensed current, 0 to 1, see xbarsim.MemoryRead; the margin of an array "
        "(xbarsim.read_margin) is (i_LRS - i_HRS) / i_LRS, sensed currents with the selected cell in either state.",
        "i_selected / i_sensed = 1 - i_sneak / i_sensed",
    ),
}
