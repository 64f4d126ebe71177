"""Requests are chosen by the hash of their id."""

import pytest

from gprune_server.shadow.choice import is_chosen


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.25, 1.0])
def test_the_share_that_is_chosen_is_the_fraction(fraction: float) -> None:
    chosen = sum(is_chosen(f"chatcmpl-{number}", fraction) for number in range(20_000))
    assert chosen / 20_000 == pytest.approx(fraction, abs=0.005)


def test_a_larger_share_contains_a_smaller_one() -> None:
    ids = [f"chatcmpl-{number}" for number in range(2000)]
    assert {each for each in ids if is_chosen(each, 0.1)} <= {each for each in ids if is_chosen(each, 0.3)}
