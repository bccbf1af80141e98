"""How sure accuracies are, and how they are told apart and written."""

from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xbarsim as xb
from xbarsim.intervals import accuracy_interval, combined, difference, wilson
from xbarsim.units import significant

Z = 1.959963984540054


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),  # R. G. Newcombe, Stat. Med. 17, 857, 1998, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_the_published_one(right, n, low, high):
    assert wilson(right / n, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(1 - right / n, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)
    correct = np.arange(n)[None] < right
    assert accuracy_interval(correct) == pytest.approx((low, high), abs=5e-5)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 400), st.integers(1, 5), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.05, 0.5, 0.99, 1.0]))
def test_an_interval_holds_its_accuracy_within_0_and_1(n, dies, seed, share):
    correct = np.random.default_rng(seed).random((dies, n)) < share
    low, high = accuracy_interval(correct)
    assert 0 <= low <= correct.mean() <= high <= 1 and low < high
    assert low <= wilson(correct.mean(), n)[0] and high >= wilson(correct.mean(), n)[1]
    assert accuracy_interval(correct) == (low, high)  # drawn anew, but with one seed
    assert accuracy_interval(correct[:, np.random.default_rng(0).permutation(n)]) == pytest.approx((low, high))


def test_intervals_over_dies_and_images_hold_the_truth_in_95_of_100_studies():
    """Dies of accuracies that scatter, images of different difficulty: the mean over all of both is known."""
    rng, held, n_studies = np.random.default_rng(7), 0, 200
    nodes = np.linspace(-5, 5, 2001)
    weights = np.exp(-(nodes**2) / 2)
    truth = np.average(1 / (1 + np.exp(-(1.5 + sqrt(0.8**2 + 1.2**2) * nodes))), weights=weights)
    for _ in range(n_studies):
        logit = 1.5 + 0.8 * rng.standard_normal((12, 1)) + 1.2 * rng.standard_normal((1, 150))
        low, high = accuracy_interval(rng.random(logit.shape) < 1 / (1 + np.exp(-logit)))
        held += low <= truth <= high
    assert held >= 0.92 * n_studies  # 95 % less two standard deviations of 200 studies


def test_two_chips_are_compared_image_by_image():
    first, second = np.zeros((1, 100), bool), np.zeros((1, 100), bool)
    first[0, :80], second[0, :72], second[0, 90:] = True, True, True  # 8 images lost, 10 gained
    second[0, 98:] = False  # 8 gained
    second[0, 70:72] = False  # 10 lost
    found = difference(first, second)
    assert found.test == "McNemar" and found.value == pytest.approx(-0.02)
    assert found.p_value == pytest.approx(2 * sum(comb(18, k) for k in range(9)) / 2**18, rel=1e-12)
    room = Z * sqrt(18 + 1 - 4 / 102) / 102
    assert found.interval == pytest.approx((-2 / 102 - room, -2 / 102 + room)) and not found.sure
    back = difference(second, first)
    assert back.value == -found.value and back.interval == pytest.approx(tuple(-end for end in found.interval[::-1]))
    with pytest.raises(xb.ParameterError, match="90 and 100 images: compare results on the same images"):
        difference(first, second[:, :90])


def test_differences_of_several_dies_count_dies_and_images():
    rng = np.random.default_rng(1)
    first, second = rng.random((5, 400)) < 0.9, rng.random((5, 400)) < 0.6
    found = difference(first, second)
    assert found.test == "bootstrap" and found.sure and found.p_value < 2e-3
    assert found.value == pytest.approx(second.mean() - first.mean())
    assert found.interval[0] <= found.value <= found.interval[1]
    alike = difference(first, first)
    assert alike.value == 0 and alike.p_value == 1 and not alike.sure
    scattered = [np.repeat(rng.random((5, 1)) < 0.5, 400, 1) for _ in range(2)]  # whole dies right or wrong
    assert np.ptp(difference(*scattered).interval) > 5 * np.ptp(found.interval)
    parts = [(-1.0, first), (1.0, second)]  # in any order, with any factor
    assert combined(parts).value == combined(parts[::-1]).value == pytest.approx(found.value)
    assert combined([(2.0, second), (-2.0, first)]).value == pytest.approx(2 * found.value)
    alone = [(-1.0, first[:1]), (1.0, second[:1])]
    assert (
        combined(alone).value == combined(alone[::-1]).value == pytest.approx(difference(first[:1], second[:1]).value)
    )


@pytest.mark.parametrize(("n_dies", "n_images", "scatter"), [(2, 200, 0.45), (2, 1000, 0.2), (5, 1000, 0.2)])
def test_designs_that_are_alike_are_seldom_told_apart(n_dies, n_images, scatter):
    """Two designs of the same dies and images in truth: at most 5 of 100 studies may say that they differ."""
    rng, sure, n_studies = np.random.default_rng(5), 0, 60

    def dies(images):
        logit = 2.5 + scatter * rng.standard_normal((n_dies, 1)) + images
        return rng.random(logit.shape) < 1 / (1 + np.exp(-logit))

    for _ in range(n_studies):
        images = 1.2 * rng.standard_normal((1, n_images))
        found = difference(dies(images), dies(images))
        sure += found.sure
        assert found.sure == (found.p_value < 0.05) or abs(found.p_value - 0.05) < 0.01
    assert sure <= 0.1 * n_studies


@pytest.mark.parametrize(
    ("value", "text"),
    [(1722.5, "1720"), (97.64, "97.6"), (2.6, "2.60"), (0.78812, "0.788"), (99.95, "100"), (99.94, "99.9"), (0, "0")]
    + [(1234567, "1230000"), (0.00012345, "0.000123"), (float("nan"), "nan"), (-3.14159, "-3.14"), (0.09999, "0.100")],
)
def test_numbers_have_three_significant_digits(value, text):
    assert significant(value) == text
