"""Rounds, and what tells the seconds of a work."""

import pytest

from loadtest.benchmarks.timing import BLOCK, in_rounds, once, repeated


def test_each_round_does_everything_once_after_all_was_done_to_warm_up() -> None:
    done: list[str] = []

    def work(name: str) -> float:
        done.append(name)
        return float(len(done))

    names = ["a", "b", "c"]
    times = in_rounds({name: lambda name=name: work(name) for name in names}, rounds=20)
    assert done[:3] == names
    rounds = [done[start : start + 3] for start in range(3, len(done), 3)]
    assert len(rounds) == 20
    assert all(sorted(one) == names for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1  # nothing always comes first
    assert times["b"] == [place + 1.0 for place, name in enumerate(done) if name == "b" and place > 2]


def test_short_work_is_repeated_and_the_seconds_are_those_of_one_call() -> None:
    done: list[int] = []
    seconds = repeated(lambda: done.append(1))()
    assert len(done) > 100
    assert 0 < seconds < BLOCK


def test_long_work_is_done_once() -> None:
    done: list[int] = []
    assert once(lambda: done.append(1)) >= 0
    assert done == [1]


def test_work_that_fails_ends_the_benchmark() -> None:
    with pytest.raises(ZeroDivisionError):
        in_rounds({"a": lambda: 1 / 0}, rounds=1)
