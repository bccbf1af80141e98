"""Calibration codes: what calibration sets in a layer, found from what its arrays are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mapping.chip.periphery.calibration import Calibration


class CalibrationCodes(NamedTuple):
    """What calibration sets in a layer.

    Attributes
    ----------
    gains : list of array, (n_out,)
        Of the outputs of each row tile.
    threshold : array, (n_votes n_out, 1, 1), or float
        Factor of thresholds and constants.
    offset : array, the same shape, or float
        Taken off the comparators' [V].
    converters : Calibration, optional
        By which offsets of converters are trimmed.
    """

    gains: list[np.ndarray]
    threshold: np.ndarray | float = 1.0
    offset: np.ndarray | float = 0.0
    converters: Calibration | None = None


def find_codes(
    calibration: Calibration,
    ideal: np.ndarray,
    weights: np.ndarray,
    rows: list[slice],
    votes: list[slice],
    offset: np.ndarray,
    spread: float,
) -> CalibrationCodes:
    """Return the codes that bring a layer as near as their bits allow.

    Parameters
    ----------
    calibration : Calibration
    ideal, weights : array, (n_out, n_in)
        What weights should be, and what arrives of them without codes.
    rows : list of slice
        Inputs of each row tile.
    votes : list of slice
        Inputs behind each decision about an output.
    offset : array, (n_votes n_out, 1, 1)
        Of the comparators [V], with standard deviation ``spread``.
    """
    gains = [calibration.gain(kept(ideal, weights, part)) for part in rows]
    trimmed = np.hstack([weights[:, part] * gain[:, None] for part, gain in zip(rows, gains)])
    after = np.concatenate([kept(ideal, trimmed, part) for part in votes])
    threshold = calibration.threshold(after).reshape(offset.shape)
    return CalibrationCodes(gains, threshold, calibration.offset(offset, spread), calibration)


def kept(ideal: np.ndarray, weights: np.ndarray, rows: slice) -> np.ndarray:
    """Return the share of their weights that outputs have on some inputs, <W, W_eff> / <W, W>, (n_out,); 1 of none."""
    wanted = ideal[:, rows].astype(float)
    norm = (wanted**2).sum(1)
    return np.where(norm > 0, (wanted * weights[:, rows]).sum(1) / np.maximum(norm, 1), 1.0)
