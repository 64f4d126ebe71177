"""The controller keeps its bounds, rises at once, falls slowly, and never flaps."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gprune_server.adaptive import (
    HOLD,
    LEVELS,
    MARGIN,
    Controller,
    State,
)

percents = st.integers(0, 99).map(lambda percent: percent / 100)
bounds = st.tuples(percents, percents).map(sorted)
pressures = st.floats(0, 3) | st.sampled_from([level / LEVELS for level in range(LEVELS + 1)])
waits = st.floats(0, 2 * HOLD)
courses = st.lists(st.tuples(waits, pressures), max_size=50)
"""Seconds since the last look, and the pressure that it saw."""

CONTROLLER = Controller(0.0, 0.7)


def follow(course: Sequence[tuple[float, float]], state: State | None = None) -> list[tuple[float, State]]:
    """The states of a course, with their times."""
    now, state, states = 0.0, state or State(), []
    for wait, pressure in course:
        now += wait
        state = state.advance(pressure, now)
        states.append((now, state))
    return states


def levels(course: Sequence[tuple[float, float]]) -> list[int]:
    return [state.level for _, state in follow(course)]


@given(bounds, courses)
def test_the_ratio_is_one_of_few_and_within_its_bounds(limits: list[float], course: list[tuple[float, float]]) -> None:
    controller = Controller(*limits)
    ratios = [controller.ratio(state) for _, state in follow(course)]
    assert all(limits[0] <= ratio <= limits[1] for ratio in ratios)
    assert set(ratios) <= {controller.ratio(State(level)) for level in range(LEVELS + 1)}
    assert [controller.ratio(State(level)) for level in (0, LEVELS)] == limits


def test_ratios_are_round_numbers() -> None:
    assert [CONTROLLER.ratio(State(level)) for level in range(LEVELS + 1)] == [0.0, 0.175, 0.35, 0.525, 0.7]


@given(courses, pressures)
def test_the_ratio_rises_at_once_to_what_the_pressure_asks(course: list[tuple[float, float]], pressure: float) -> None:
    asked = int(min(pressure, 1) * LEVELS)
    assert levels([*course, (0.0, pressure)])[-1] >= asked
    assert levels([(0.0, pressure)]) == [asked]


@given(st.lists(st.tuples(waits, pressures, st.floats(0, 1)), max_size=50))
def test_more_pressure_never_gives_a_smaller_ratio(course: list[tuple[float, float, float]]) -> None:
    more = levels([(wait, pressure) for wait, pressure, _ in course])
    less = levels([(wait, pressure * share) for wait, pressure, share in course])
    assert all(low <= high for low, high in zip(less, more, strict=True))


@given(courses)
def test_the_ratio_falls_by_one_level_and_only_after_its_time(course: list[tuple[float, float]]) -> None:
    changed, level = 0.0, 0
    for now, state in follow(course):
        if state.level < level:
            assert state.level == level - 1
            assert now - changed >= HOLD
        if state.level != level:
            changed, level = now, state.level


@given(st.integers(1, LEVELS), st.lists(st.tuples(waits, st.floats(0, 1, exclude_max=True)), max_size=50))
def test_pressure_that_wavers_around_a_level_does_not_move_the_ratio(
    level: int, course: list[tuple[float, float]]
) -> None:
    lowest, highest = (level - MARGIN) / LEVELS, (level + 1) / LEVELS
    wavering = [(wait, lowest + 1e-6 + share * (highest - lowest - 2e-6)) for wait, share in course]
    assert {state.level for _, state in follow(wavering, State(level))} <= {level}


@given(st.floats(0.01, 0.99), st.integers(2, 100))
def test_pressure_that_comes_back_before_its_time_keeps_the_ratio(share: float, turns: int) -> None:
    course = [(0.0, 1.0), *[(share * HOLD, 0.0), (0.0, 1.0)] * turns]
    assert set(levels(course)) == {LEVELS}


@given(courses, st.floats(0.1, HOLD))
def test_without_pressure_the_ratio_returns_to_the_smallest(course: list[tuple[float, float]], interval: float) -> None:
    looks = int(LEVELS * (HOLD + interval) / interval) + 2
    *_, (_, last) = follow([*course, *[(interval, 0.0)] * looks])
    assert last == State()


@pytest.mark.parametrize("pressure", [-1.0, float("inf")])
def test_pressure_beyond_its_scale_is_the_end_of_it(pressure: float) -> None:
    assert levels([(0.0, pressure)]) == [0 if pressure < 0 else LEVELS]


def test_a_queue_under_overload_stays_short_and_quality_comes_back() -> None:
    """Pruning a share of a prompt saves that share of its time; one unpruned request is served each second."""
    full, step, waiting, state, longest = 8, 0.1, 0.0, State(), 0.0
    for now in range(9000):
        rate = 1.4 if now < 6000 else 0.5
        state = state.advance(waiting / full, now * step)
        waiting = max(0.0, waiting + (rate - 1 / (1 - CONTROLLER.ratio(state))) * step)
        longest = max(longest, waiting)
    assert 2 < longest < full
    assert (waiting, state) == (0, State())
