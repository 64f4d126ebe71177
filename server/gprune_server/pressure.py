"""Pressure on the engines: how many requests wait, and how full the KV cache is."""

import time
from collections.abc import Callable
from typing import Any

from vllm.v1.metrics.loggers import AggregateStatLoggerBase
from vllm.v1.metrics.stats import SchedulerStats

KV_CACHE_BUSY, KV_CACHE_FULL = 0.8, 0.95
"""KV-cache usage at which pressure rises above 0, and at which it reaches 1."""
EXPIRY = 30.0
"""Seconds after which statistics are stale. An idle engine sends none."""


def pressure_of(stats: SchedulerStats, waiting_requests: int) -> float:
    """Return the pressure on one engine: that of its queue or of its KV cache, whichever is greater.

    Args:
        stats: statistics of one step.
        waiting_requests: number of waiting requests that makes the pressure 1. Requests that wait for something other
            than room in the engine do not count.
    """
    queue: float = stats.num_waiting_reqs / waiting_requests
    kv_cache: float = (stats.kv_cache_usage - KV_CACHE_BUSY) / (KV_CACHE_FULL - KV_CACHE_BUSY)
    return max(0.0, queue, kv_cache)


class EnginePressure(AggregateStatLoggerBase):
    """Latest pressure on each engine.

    Changes against `vllm.v1.metrics.loggers.AggregateStatLoggerBase` (vLLM 0.32): logs nothing and takes no vLLM
    configuration. If several API servers share an engine, only one of them receives the statistics of a step.

    Attributes:
        waiting_requests: see `pressure_of`.

    Args:
        clock: returns the time in seconds.
    """

    def __init__(self, waiting_requests: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.waiting_requests, self._clock = waiting_requests, clock
        self._last: dict[int, tuple[float, float, int]] = {}  # time, pressure and running requests by engine

    def record(
        self,
        scheduler_stats: SchedulerStats | None,
        iteration_stats: Any,
        mm_cache_stats: Any = None,
        engine_idx: int = 0,
    ) -> None:
        if scheduler_stats is not None:
            pressure = pressure_of(scheduler_stats, self.waiting_requests)
            self._last[engine_idx] = self._clock(), pressure, scheduler_stats.num_running_reqs

    def log_engine_initialized(self) -> None:
        """Log nothing."""

    def worst(self, now: float) -> float:
        """Return the pressure on the busiest engine, which may receive the next request."""
        return max((pressure for when, pressure, _ in self._last.values() if now - when < EXPIRY), default=0.0)

    def has_room(self, most_running: int) -> bool:
        """Return whether each engine would compute one more request at once, and nothing waits for its KV cache.

        Args:
            most_running: vLLM's `--max-num-seqs`.
        """
        now = self._clock()
        fresh = [(pressure, running) for when, pressure, running in self._last.values() if now - when < EXPIRY]
        return all(pressure == 0 and running < most_running for pressure, running in fresh)


def watch_pressure(engine_client: Any, waiting_requests: int) -> EnginePressure | None:
    """Measure the pressure on an engine from now on. Return None if the engine keeps no statistics."""
    if engine_client.logger_manager is None:
        return None
    pressure = EnginePressure(waiting_requests)
    engine_client.logger_manager.stat_loggers.append(pressure)
    return pressure
