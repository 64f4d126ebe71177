"""Ranks that agree correlate wholly, and the bounds say how sure that is."""

import pytest

from evaluation.score import rank_correlation

RISING = [0.1, 0.2, 0.4, 0.5, 0.9, 1.0]


def test_values_in_the_same_order_correlate_wholly() -> None:
    assert rank_correlation(RISING, [value**3 for value in RISING]) == pytest.approx((1, 1, 1))


def test_values_in_the_opposite_order_correlate_negatively() -> None:
    assert rank_correlation(RISING, RISING[::-1])[0] == pytest.approx(-1)


def test_an_exchange_lowers_the_correlation_and_widens_its_bounds() -> None:
    value, low, high = rank_correlation(RISING, [0.1, 0.4, 0.2, 0.5, 1.0, 0.9])
    assert low < value < high
    assert 0 < value < 1
