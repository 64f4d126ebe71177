"""Figures of the prefill benchmark, worked out by hand."""

import pytest

from loadtest.benchmarks.efficiency import Prefill, share
from loadtest.benchmarks.timing import Times


def prefill(**seconds: float) -> Prefill:
    """Measurements without noise."""
    times = {name.replace("_", " ").replace("07", "0.7"): Times((value, value)) for name, value in seconds.items()}
    return Prefill("8b", 8, 32, {0.0: 2000, 0.7: 600}, times)


def test_efficiency_is_the_share_of_what_could_be_saved() -> None:
    result = prefill(stock=15.5, tower=2.0, ours_0=15.6, ours_07=6.0, text_0=12.0, text_07=3.5)
    assert result.ideal(0.7) == pytest.approx(5.5)
    assert result.efficiency(0.7).value == pytest.approx(9.5 / 10)
    # A picture costs 3.5 s beside its tokens: without them 7 s are left.
    assert result.language_efficiency(0.7).value == pytest.approx(9.5 / 8.5)
    assert result.overhead().value == pytest.approx(0.1 / 15.5)


def test_what_has_no_noise_has_no_interval() -> None:
    result = prefill(stock=15.5, tower=2.0, ours_0=15.5, ours_07=6.0, text_0=12.0, text_07=3.5)
    efficiency = result.efficiency(0.7)
    assert efficiency.low == efficiency.value == efficiency.high
    assert result.overhead().value == 0


def test_where_nothing_can_be_saved_there_is_no_share_of_it() -> None:
    assert share(2.0, 1.0, 2.0) != share(2.0, 1.0, 2.0)  # not a number
