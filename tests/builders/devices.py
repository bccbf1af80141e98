"""Devices that tests of several rooms use."""

import numpy as np

import xbarsim as xb

PAPER = {"i_lrs": "3 uA", "v_read": "0.3 V", "on_off_ratio": 10, "t_read": "25 ns"}
LARGE = (400, 400)  # 1.6e5 cells
WIRES = xb.Wires(r_wordline=50, r_bitline=70, r_driver=30, r_sense=40)
LIKELY = 1e-3  # p value that a right sampler misses once in a thousand seeds; seeds are fixed
EVERYTHING = {
    "d2d": {"spread": {"lrs": 0.1, "hrs": 0.3}, "correlation_length": 4, "die_spread": 0.05, "state_correlation": 0.5},
    "c2c": {"spread": 0.05, "write_verify": {"tolerance": 0.1, "max_pulses": 5}},
    "read_noise": {
        "gaussian": 0.02,
        "telegraph": {"amplitude": 0.1, "share": 0.3, "tau_capture": "1 ms", "tau_emission": "2 ms"},
        "flicker": {"spread": 0.02, "f_low": "1 Hz", "f_high": "1 MHz"},
    },
    "faults": {"stuck_lrs": 0.02, "stuck_hrs": 0.01, "open_cells": 0.01, "broken_wordlines": 0.1, "r_short": "10 Ohm"},
    "retention": {"nu": 0.05, "nu_spread": 0.01, "t0": "20 s", "activation_energy": "1 eV"},
    "read_disturb": {"kind": "power-law", "activation_energy": "0.8 eV"},
}


def make(**values):
    return xb.Device(**(PAPER | values))


def programmed(bits, seed=0, **values):
    die = make(**values).fabricate(np.shape(bits), seed=seed)
    die.program(bits)
    return die
