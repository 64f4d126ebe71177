"""Medians, rounds and intervals."""

import random
from operator import truediv

import pytest

from loadtest.benchmarks.timing import Times, duration, interval, joined, measure, on_host


def test_median_and_quartiles_of_what_was_measured() -> None:
    times = Times((5.0, 1.0, 4.0, 2.0, 300.0))
    assert times.median == 4.0
    assert times.quartiles == (2.0, 5.0)
    assert times.as_json() == {"median": 4.0, "quartiles": (2.0, 5.0), "seconds": (5.0, 1.0, 4.0, 2.0, 300.0)}
    assert str(times) == "4 s (2 s to 5 s)"


def test_one_round_has_no_spread() -> None:
    assert Times((0.25,)).quartiles == (0.25, 0.25)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(12.345, "12.3 s"), (1.0, "1 s"), (0.01234, "12.3 ms"), (2.5e-5, "25 µs"), (0.0, "0 µs")]
)
def test_durations_are_shown_in_a_unit_one_can_read(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_each_round_does_everything_once_after_all_was_done_to_warm_up() -> None:
    done: list[str] = []

    def work(name: str) -> float:
        done.append(name)
        return float(len(done))

    names = ["a", "b", "c"]
    times = measure({name: lambda name=name: work(name) for name in names}, rounds=20)
    assert done[:3] == names
    rounds = [done[start : start + 3] for start in range(3, len(done), 3)]
    assert len(rounds) == 20
    assert all(sorted(one) == names for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1  # nothing always comes first
    assert times["b"].seconds == tuple(place + 1.0 for place, name in enumerate(done) if name == "b" and place > 2)


def test_rounds_of_two_measurements_are_joined() -> None:
    both = joined({"a": Times((1.0,)), "b": Times((2.0,))}, {"a": Times((3.0, 4.0)), "c": Times((5.0,))})
    assert both == {"a": Times((1.0, 3.0, 4.0)), "b": Times((2.0,)), "c": Times((5.0,))}


def test_an_interval_holds_the_truth_and_narrows_with_more_rounds() -> None:
    source = random.Random(0)

    def noisy(mean: float, rounds: int) -> Times:
        return Times(tuple(source.gauss(mean, 0.1) for _ in range(rounds)))

    few, many = (interval(truediv, noisy(2.0, rounds), noisy(1.0, rounds)) for rounds in (20, 500))
    assert few[0] < 2 < few[1]
    assert many[0] < 2 < many[1]
    assert many[1] - many[0] < (few[1] - few[0]) / 2


def test_rounds_are_kept_together_where_they_are_drawn_again() -> None:
    # What slows a whole round slows both alike, and leaves the ratio as sure as it was.
    left = Times((1.0, 2.0, 30.0, 4.0))
    assert interval(truediv, left, Times(tuple(seconds / 2 for seconds in left.seconds))) == (2.0, 2.0)


def test_the_hosts_clock_times_the_work() -> None:
    done: list[int] = []
    assert on_host(lambda: done.append(1)) >= 0
    assert done == [1]
