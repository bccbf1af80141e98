"""The physical converters of one array: codes from currents, with the offset and the capacitors that each one has."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from mapping.chip.periphery.calibration import Calibration
from mapping.chip.periphery.sar_adc import SarAdc
from mapping.chip.periphery.sense_amp import SenseAmp


def converters_of(
    readout: SarAdc | SenseAmp, lines: Iterable[int], rngs: Iterable[np.random.Generator]
) -> list[Converters]:
    """Return the converters of arrays with so many lines each; none of sense amplifiers."""
    return [Converters(readout, n, rng) for n, rng in zip(lines, rngs)] if isinstance(readout, SarAdc) else []


class Converters:
    """The ADCs behind the lines of an array; line i belongs to converter i // columns_per_adc.

    Offsets are the same for all lines of a converter, and its capacitors differ from 2^k units. A gain error would be
    removed by calibration: capacitors are scaled so that their sum is nominal.

    Parameters
    ----------
    adc : SarAdc
    n_lines : int
        Bitlines or differences that are converted.
    rng : numpy.random.Generator
        Draws offsets, then capacitors, whether or not they are used: neither depends on the other's size.

    Attributes
    ----------
    n_converters : int
    """

    def __init__(self, adc: SarAdc, n_lines: int, rng: np.random.Generator) -> None:
        self.adc, self._n_lines = adc, n_lines
        self._low = 0 if adc.sense == "bitline" else -adc.top_code
        self.n_converters, bits = -(-n_lines // adc.columns_per_adc), adc.top_code.bit_length()
        drawn, errors = rng.standard_normal(self.n_converters), rng.standard_normal((self.n_converters, bits))
        self._drawn = self._offset = drawn * adc.offset * adc.top_code
        self._levels: np.ndarray | None = None
        if adc.mismatch:
            units = 2.0 ** np.arange(bits)
            capacitors = units + adc.mismatch * np.sqrt(units) * errors
            capacitors *= adc.top_code / capacitors.sum(1, keepdims=True)
            self._levels = np.stack([_transitions(weights) for weights in capacitors])

    def apply(self, calibration: Calibration | None) -> None:
        """Take what calibration finds off the offsets; without one, nothing."""
        found = 0.0 if calibration is None else calibration.offset(self._drawn, self.adc.offset * self.adc.top_code)
        self._offset = self._drawn - found

    @property
    def of_lines(self) -> np.ndarray:
        """Which converter each line has, (n_lines,)."""
        return np.arange(self._n_lines) // self.adc.columns_per_adc

    @property
    def offsets(self) -> np.ndarray:
        """Offsets of the converters [LSB], what calibration found taken off."""
        return self._offset

    @property
    def levels(self) -> np.ndarray:
        """Where each converter's codes 1, 2, ... begin without its offset [LSB], (n_converters, top_code)."""
        if self._levels is None:
            return np.tile(np.arange(1, self.adc.top_code + 1) - 0.5, (self.n_converters, 1))
        return self._levels

    def convert(self, values: Tensor) -> tuple[Tensor, int]:
        """Convert currents to codes.

        Parameters
        ----------
        values : Tensor, (n, n_lines, height, width)
            Currents in steps of the converter (LSB), noise included. Overwritten.

        Returns
        -------
        codes : Tensor, the same shape and dtype
            Whole numbers from 0, or -top_code, to top_code.
        clipped : int
            How many would have rounded to a code outside.
        """
        top, lines = self.adc.top_code, self.adc.columns_per_adc
        if self.adc.offset:
            offset = torch.from_numpy(self._offset.repeat(lines)[: values.shape[1]])
            values += offset[:, None, None].to(values)
        codes = values.round_() if self._levels is None else values.round()
        clipped = int(torch.count_nonzero((codes > top) | (codes < self._low)))
        if self._levels is None:
            return codes.clamp_(self._low, top), clipped
        for part, out, levels in zip(values.split(lines, 1), codes.split(lines, 1), self._levels):
            magnitude = (part if self.adc.sense == "bitline" else part.abs()).contiguous()
            reached = torch.bucketize(magnitude, torch.from_numpy(levels).to(values), out_int32=True, right=True)
            out.copy_(reached if self.adc.sense == "bitline" else reached * part.sign())
        return codes, clipped

    def transitions(self, converter: int = 0) -> np.ndarray:
        """Return the inputs of a converter [LSB] from which on it gives each code above the lowest, ascending."""
        levels: np.ndarray = self.levels[converter]
        if self.adc.sense == "difference":
            levels = np.concatenate([-levels[::-1], levels])
        return levels - float(self._offset[converter])


def _transitions(capacitors: np.ndarray) -> np.ndarray:
    """Return from which input on the search ends at codes 1, 2, ..; a code that it never reaches has the next one's.

    The search, from the largest capacitor, keeps each one with which the sum stays below the input plus half a step.
    A code is reached from the highest trial on its path that was kept, up to the lowest that was not.
    """
    codes = np.arange(2 ** len(capacitors))
    held, low, high = np.zeros(len(codes)), np.full(len(codes), -np.inf), np.full(len(codes), np.inf)
    for bit in reversed(range(len(capacitors))):
        trial, kept = held + capacitors[bit] - 0.5, (codes >> bit & 1).astype(bool)
        low[kept] = np.maximum(low, trial)[kept]
        high[~kept] = np.minimum(high, trial)[~kept]
        held[kept] += capacitors[bit]
    reached = np.where(low < high, low, np.inf)
    levels: np.ndarray = np.minimum.accumulate(reached[::-1])[::-1][1:]
    return levels
