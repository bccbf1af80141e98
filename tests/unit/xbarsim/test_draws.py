"""Normal numbers by keys, drawn where they are needed."""

import numpy as np
import pytest
from scipy import stats

from xbarsim.draws import noise_key, normal
from xbarsim.kernels.normal import fill_images


def test_normal_numbers_are_normal_and_keyed():
    key = noise_key(3, "read noise", 0, 1)
    z = normal(key, 10, 5, 4, (3, 20, 20))
    assert z.shape == (4, 5, 3, 20, 20) and z.dtype == np.float32
    np.testing.assert_array_equal(normal(key, 12, 1, 4, (3, 20, 20))[:, 0], z[:, 2])
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    rows = z.transpose(1, 0, 2, 3, 4).reshape(5, -1)
    others = np.vstack([rows, [normal(noise_key(*k), 10, 1, 4, (3, 20, 20)).ravel() for k in OTHER_KEYS]])
    apart = np.corrcoef(others) - np.eye(len(others))
    assert np.abs(apart).max() < 5 / np.sqrt(rows.shape[1])
    assert abs(np.corrcoef(rows[:, 1:].ravel() ** 2, rows[:, :-1].ravel() ** 2)[0, 1]) < 5 / np.sqrt(rows.size)


OTHER_KEYS = [(3, "read noise", 0, 2), (4, "read noise", 0, 1), (3, "converter noise", 0, 1)]


@pytest.mark.compiled
def test_normal_numbers_have_their_tails():
    z = np.empty((8, 1_000_000), np.float32)
    fill_images(noise_key(0, "tails"), 0, z)
    for limit in (1.0, 2.0, 3.0, 4.0):
        beyond = np.count_nonzero(np.abs(z) > limit)
        expected = 2 * stats.norm.sf(limit) * z.size
        assert abs(beyond - expected) < 5 * np.sqrt(expected)
    assert 4.5 < np.abs(z).max() < 7
