"""Requests are chosen by the hash of their id."""

import pytest

from gprune_server.choosing.share import is_chosen

IDS = [f"chatcmpl-{number}" for number in range(20_000)]


def chosen(fraction: float, purpose: str = "shadow") -> set[str]:
    return {each for each in IDS if is_chosen(each, fraction, purpose)}  # type: ignore[arg-type]


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.25, 1.0])
def test_the_share_that_is_chosen_is_the_fraction(fraction: float) -> None:
    assert len(chosen(fraction)) / len(IDS) == pytest.approx(fraction, abs=0.01)


def test_a_larger_share_contains_a_smaller_one() -> None:
    assert chosen(0.1) <= chosen(0.3)


def test_shares_of_two_purposes_are_independent() -> None:
    both = chosen(0.2, "shadow") & chosen(0.2, "canary")
    assert len(both) / len(IDS) == pytest.approx(0.04, abs=0.01)
