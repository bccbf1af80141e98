"""Weights on arrays."""

import numpy as np
import pytest

from mapping.lower.placement import cell_levels, decoder, place


@pytest.mark.parametrize("weights", ["differential", "reference"])
def test_placement_covers_every_weight_once(chip, weights):
    chip = chip.replace(weights=weights)
    matrix = np.where(np.random.default_rng(0).random((7, 19)) < 0.5, -1, 1).astype(np.int8)
    rebuilt = np.zeros(matrix.shape)
    for row in place(19, 7, chip):
        for patch in row:
            bits = cell_levels(matrix, patch, chip).astype(float)
            assert bits.shape == (chip.rows, chip.cols)
            decode = decoder(patch, chip)
            used = bits[chip.rows - patch.n_rows :, : decode.shape[1]]
            rebuilt[patch.outputs, patch.rows] += decode @ used.T
            assert not bits[: chip.rows - patch.n_rows].any() and not bits[:, decode.shape[1] :].any()
    unit = 1.0 if weights == "differential" else 0.5
    np.testing.assert_array_equal(rebuilt, unit * matrix)
