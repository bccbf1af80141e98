"""Tests that converters are specified by: a sine for the effective number of bits, transitions for linearity.

Terms and methods are those of IEEE Std 1241-2010, "Terminology and test methods for analog-to-digital converters".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from mapping.chip.periphery.converters import Converters
from mapping.chip.periphery.sar_adc import SarAdc
from xbarsim.errors import ParameterError
from xbarsim.streams import stream, whole_number


@dataclass(frozen=True)
class SineTest:
    """What a sine through a converter tells.

    Attributes
    ----------
    sndr : float
        Power of the sine over that of noise and distortion, everything else but the mean [dB].
    enob : float
        Resolution of the ideal converter with the same noise and distortion: log2(range / (sqrt(12) rms)) [bit].
    """

    sndr: float
    enob: float


@dataclass(frozen=True)
class Linearity:
    """Transitions of a converter against the straight line through the first and the last one (end-point fit).

    Attributes
    ----------
    codes : array
        All codes but the lowest.
    inl : array
        How far above the line the transition into each code lies [LSB]; 0 for the first and the last.
    dnl : array
        Width of each code but the last, less 1 [LSB]; -1 is a missing code. The last has no end.
    """

    codes: np.ndarray
    inl: np.ndarray
    dnl: np.ndarray


def sine_test(adc: SarAdc, *, n_samples: int = 4096, seed: int = 0) -> SineTest:
    """Convert an odd number of periods of a sine that just fills the range, with the converter's noise.

    Parameters
    ----------
    adc : SarAdc
        Its offset and capacitors are drawn from ``seed``, as are its noise and the phase of the sine.
    n_samples : int
        A power of two from 64; any odd number of periods then meets as many different phases.
    seed : int
    """
    if whole_number(n_samples, "n_samples") < 64 or n_samples & n_samples - 1:
        raise ParameterError(f"n_samples = {n_samples}: give a power of two from 64")
    periods, rng = n_samples // 8 + 1, stream(seed, "adc sine")
    low, top = 0 if adc.sense == "bitline" else -adc.top_code, adc.top_code
    phase = 2 * math.pi * (periods * np.arange(n_samples) / n_samples + rng.random())
    values = (low + top) / 2 + (top - low) / 2 * np.sin(phase)  # half the range, less half an LSB
    values += adc.noise * top * rng.standard_normal(n_samples)
    codes, _ = one_converter(adc, seed).convert(torch.from_numpy(values).reshape(-1, 1, 1, 1))
    power = 2 * np.abs(np.fft.rfft(codes.flatten().numpy())[1:] / n_samples) ** 2
    power[-1] /= 2  # half the sampling rate has no mirror image
    signal = power[periods - 1]
    rest = power.sum() - signal
    return SineTest(10 * math.log10(signal / rest), math.log2((top - low + 1) / math.sqrt(12 * rest)))


def linearity(adc: SarAdc, seed: int = 0) -> Linearity:
    """Return the integral and differential nonlinearity of one converter, from its exact transitions.

    Parameters
    ----------
    adc : SarAdc
        From 2 bits. Its capacitors are drawn from ``seed``.
    seed : int
    """
    if adc.n_bits < 2:
        raise ParameterError("SarAdc.n_bits = 1: a single transition has no linearity; give 2 bits or more")
    levels = one_converter(adc, seed).transitions()
    step = (levels[-1] - levels[0]) / (len(levels) - 1)
    inl = (levels - levels[0]) / step - np.arange(len(levels))
    return Linearity(np.arange(len(levels)) + adc.top_code + 1 - len(levels), inl, np.diff(inl))


def one_converter(adc: SarAdc, seed: int = 0) -> Converters:
    """Return the converter of a single line, drawn from ``seed``."""
    return Converters(adc, 1, stream(seed, "adc converter"))
