"""How hard the engines are pressed, by vLLM's own statistics."""

import time
from collections.abc import Callable
from typing import Any

from vllm.v1.metrics.loggers import AggregateStatLoggerBase
from vllm.v1.metrics.stats import SchedulerStats

KV_CACHE_BUSY, KV_CACHE_FULL = 0.8, 0.95
"""Shares of the KV cache in use at which it begins to press, and at which it asks for the largest ratio."""
EXPIRY = 30.0
"""Seconds after which statistics say nothing any more. An engine that has nothing to do sends none."""


def pressure_of(stats: SchedulerStats, waiting_requests: int) -> float:
    """The pressure on one engine: its queue's or its KV cache's, whichever is greater; 1 asks for the largest ratio.

    Args:
        stats: of one step.
        waiting_requests: how many bring the largest ratio. Requests that wait for something else than room in the
            engine do not count.
    """
    queue: float = stats.num_waiting_reqs / waiting_requests
    kv_cache: float = (stats.kv_cache_usage - KV_CACHE_BUSY) / (KV_CACHE_FULL - KV_CACHE_BUSY)
    return max(0.0, queue, kv_cache)


class EnginePressure(AggregateStatLoggerBase):
    """Remembers the pressure on each engine.

    Changes against `vllm.v1.metrics.loggers.AggregateStatLoggerBase` (vLLM 0.32): logs nothing, and is made without
    vLLM's configuration. Where several API servers share an engine, each step's statistics reach one of them.

    Args:
        waiting_requests: see `pressure_of`.
        clock: gives seconds.
    """

    def __init__(self, waiting_requests: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._waiting_requests, self._clock = waiting_requests, clock
        self._last: dict[int, tuple[float, float]] = {}  # time and pressure by engine

    def record(
        self,
        scheduler_stats: SchedulerStats | None,
        iteration_stats: Any,
        mm_cache_stats: Any = None,
        engine_idx: int = 0,
    ) -> None:
        if scheduler_stats is not None:
            self._last[engine_idx] = self._clock(), pressure_of(scheduler_stats, self._waiting_requests)

    def log_engine_initialized(self) -> None:
        """Nothing to log."""

    def worst(self, now: float) -> float:
        """The pressure on the engine that is pressed hardest: the next request may be one that waits there."""
        return max((pressure for when, pressure in self._last.values() if now - when < EXPIRY), default=0.0)
