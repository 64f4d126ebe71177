"""Adaptive policy: requests that set no ratio get one that rises with the load on the engines."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import floor
from typing import Any

from vllm.v1.metrics.loggers import AggregateStatLoggerBase
from vllm.v1.metrics.stats import SchedulerStats

from gprune_server.observe.metrics import PruneMetrics
from gprune_vllm.settings import PruneSettings

LEVELS = 4
"""Number of levels above the lowest. Few, because only requests with the same ratio share cache entries."""
HOLD = 5.0
"""Seconds of low pressure before the ratio falls by one level."""
MARGIN = 0.5
"""Pressure is low when it is at least this far below the current level, in levels."""
INTERVAL = 0.5
"""Seconds between updates of the ratio while no requests arrive."""
KV_CACHE_BUSY, KV_CACHE_FULL = 0.8, 0.95
"""KV-cache usage at which pressure rises above 0, and at which it reaches 1."""
EXPIRY = 30.0
"""Seconds after which statistics are stale. An idle engine sends none."""


@dataclass(frozen=True, slots=True)
class State:
    """State of the controller.

    Attributes:
        level: from 0, the smallest ratio, to `LEVELS`, the largest.
        calm_since: time since which pressure has been low; None while it is not.
    """

    level: int = 0
    calm_since: float | None = None


@dataclass(frozen=True, slots=True)
class Controller:
    """Maps pressure to one of `LEVELS` + 1 evenly spaced ratios. The ratio rises at once and falls slowly.

    Pressure 0 means that no request waits; pressure 1 or more calls for the largest ratio.

    Attributes:
        minimum: the smallest ratio.
        maximum: the largest ratio.
    """

    minimum: float
    maximum: float

    def advance(self, state: State, pressure: float, now: float) -> State:
        """Return the state that follows `state`, given the pressure at a time in seconds of any monotonic clock."""
        levels = min(max(0.0, pressure), 1.0) * LEVELS
        if floor(levels) > state.level:
            return State(floor(levels))
        if state.level == 0 or levels > state.level - MARGIN:
            return State(state.level)
        since = now if state.calm_since is None else state.calm_since
        return State(state.level, since) if now - since < HOLD else State(state.level - 1, now)

    def ratio(self, state: State) -> float:
        ratio = round(self.minimum + state.level / LEVELS * (self.maximum - self.minimum), 6)
        return min(self.maximum, max(self.minimum, ratio))


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

    Args:
        waiting_requests: see `pressure_of`.
        clock: returns the time in seconds.
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
        """Log nothing."""

    def worst(self, now: float) -> float:
        """Return the pressure on the busiest engine, which may receive the next request."""
        return max((pressure for when, pressure in self._last.values() if now - when < EXPIRY), default=0.0)


class AdaptivePolicy:
    """Current ratio of requests that set none.

    Args:
        controller: maps pressure to a ratio.
        pressure: pressure on the engines.
        expose: called with each ratio.
        clock: returns the time in seconds; the same clock as that of `pressure`.
    """

    def __init__(
        self,
        controller: Controller,
        pressure: EnginePressure,
        expose: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._controller, self._pressure, self._expose, self._clock = controller, pressure, expose, clock
        self._state = State()
        self._watch: asyncio.Task[None] | None = None

    def ratio(self) -> float:
        """Update and return the ratio for a request that arrives now."""
        now = self._clock()
        self._state = self._controller.advance(self._state, self._pressure.worst(now), now)
        ratio = self._controller.ratio(self._state)
        self._expose(ratio)
        return ratio

    def start(self) -> None:
        """Keep the ratio up to date while no requests arrive. Needs a running event loop."""
        self._watch = asyncio.create_task(self._keep_watching())

    async def _keep_watching(self) -> None:
        while True:
            self.ratio()
            await asyncio.sleep(INTERVAL)


def start_policy(settings: PruneSettings, engine_client: Any, metrics: PruneMetrics) -> AdaptivePolicy | None:
    """Start the adaptive policy of an engine. Return None if the policy is fixed.

    Raises:
        ValueError: the engine keeps no statistics.
    """
    if settings.prune_policy == "fixed":
        return None
    if engine_client.logger_manager is None:
        raise ValueError(
            "--prune-policy adaptive needs the engine's statistics. Start the server without --disable-log-stats."
        )
    pressure = EnginePressure(settings.adaptive_waiting_requests)
    engine_client.logger_manager.stat_loggers.append(pressure)
    policy = AdaptivePolicy(Controller(settings.adaptive_min_ratio, settings.adaptive_limit), pressure, metrics.adapted)
    policy.start()
    return policy
