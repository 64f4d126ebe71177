"""vLLM's statistics become pressure, and tell whether there is room."""

import pytest
from vllm.v1.metrics.loggers import StatLoggerManager
from vllm.v1.metrics.stats import IterationStats, MultiModalCacheStats, SchedulerStats

from gprune_server.pressure import EXPIRY, KV_CACHE_BUSY, KV_CACHE_FULL, EnginePressure, pressure_of


class Clock:
    """Shows the time that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pressure(clock: Clock) -> EnginePressure:
    return EnginePressure(8, clock)


def waiting(requests: int, kv_cache_usage: float = 0.0) -> SchedulerStats:
    return SchedulerStats(num_waiting_reqs=requests, kv_cache_usage=kv_cache_usage)


def test_an_idle_engine_presses_nothing() -> None:
    assert pressure_of(SchedulerStats(), 8) == 0


@pytest.mark.parametrize(("requests", "expected"), [(0, 0.0), (2, 0.25), (8, 1.0), (80, 10.0)])
def test_the_queue_presses_in_proportion(requests: int, expected: float) -> None:
    assert pressure_of(waiting(requests), 8) == expected


@pytest.mark.parametrize(("usage", "expected"), [(0.5, 0.0), (KV_CACHE_BUSY, 0.0), (0.875, 0.5), (KV_CACHE_FULL, 1.0)])
def test_the_kv_cache_presses_only_when_it_is_nearly_full(usage: float, expected: float) -> None:
    assert pressure_of(waiting(0, usage), 8) == pytest.approx(expected)


def test_the_greater_pressure_counts() -> None:
    assert pressure_of(waiting(2, KV_CACHE_FULL), 8) == pytest.approx(1)
    assert pressure_of(waiting(16, KV_CACHE_BUSY), 8) == 2


def test_running_requests_and_those_that_wait_for_something_else_do_not_count() -> None:
    assert pressure_of(SchedulerStats(num_running_reqs=100, num_skipped_waiting_reqs=100), 8) == 0


def test_the_engine_that_is_pressed_hardest_counts(pressure: EnginePressure, clock: Clock) -> None:
    assert pressure.worst(clock.now) == 0
    pressure.record(waiting(2), None, engine_idx=0)
    pressure.record(waiting(6), None, engine_idx=1)
    assert pressure.worst(clock.now) == 0.75
    pressure.record(waiting(0), None, engine_idx=1)
    assert pressure.worst(clock.now) == 0.25


def test_steps_without_statistics_change_nothing(pressure: EnginePressure, clock: Clock) -> None:
    pressure.record(waiting(4), IterationStats())
    pressure.record(None, IterationStats(), MultiModalCacheStats())
    assert pressure.worst(clock.now) == 0.5


def test_statistics_that_are_old_say_nothing(pressure: EnginePressure, clock: Clock) -> None:
    pressure.record(waiting(8), None, engine_idx=0)
    clock.now += EXPIRY / 2
    pressure.record(waiting(4), None, engine_idx=1)
    assert pressure.worst(clock.now + EXPIRY / 2 - 0.1) == 1
    assert pressure.worst(clock.now + EXPIRY / 2) == 0.5
    assert pressure.worst(clock.now + EXPIRY) == 0


def test_vllms_manager_hands_statistics_on(pressure: EnginePressure, clock: Clock) -> None:
    manager = object.__new__(StatLoggerManager)  # its own loggers need an engine's configuration
    manager.stat_loggers = [pressure]
    manager.record(waiting(8), IterationStats(), MultiModalCacheStats(), engine_idx=3)
    manager.log()
    manager.log_engine_initialized()
    manager.record_sleep_state(1, 1)
    manager.record_admission_rejection("max_num_queued_reqs")
    assert pressure.worst(clock.now) == 1


def test_an_engine_that_sent_nothing_has_room(pressure: EnginePressure) -> None:
    assert pressure.has_room(2)


@pytest.mark.parametrize(
    ("stats", "room"),
    [
        (SchedulerStats(num_running_reqs=1), True),
        (SchedulerStats(num_running_reqs=2), False),
        (SchedulerStats(num_running_reqs=1, num_waiting_reqs=1), False),
        (SchedulerStats(kv_cache_usage=0.9), False),
    ],
)
def test_there_is_room_where_one_more_request_waits_for_nothing(
    stats: SchedulerStats, room: bool, pressure: EnginePressure
) -> None:
    pressure.record(stats, None)
    assert pressure.has_room(2) is room


def test_every_engine_must_have_room_while_its_statistics_are_new(pressure: EnginePressure, clock: Clock) -> None:
    pressure.record(SchedulerStats(num_running_reqs=2), None, engine_idx=0)
    clock.now += EXPIRY - 1
    pressure.record(SchedulerStats(), None, engine_idx=1)
    assert not pressure.has_room(2)
    clock.now += 1
    assert pressure.has_room(2)
