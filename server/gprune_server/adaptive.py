"""Adaptive policy: requests that set no ratio get one that rises with the load, as far as agreement allows."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import floor

from gprune_server.observe.metrics import PruneMetrics
from gprune_server.pressure import EnginePressure
from gprune_vllm.settings import PruneSettings

LEVELS = 4
"""Number of levels above the lowest. Few, because only requests with the same ratio share cache entries."""
HOLD = 5.0
"""Seconds of low pressure before the ratio falls by one level."""
MARGIN = 0.5
"""Pressure is low when it is at least this far below the current level, in levels."""
INTERVAL = 0.5
"""Seconds between updates of the ratio while no requests arrive."""


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


class AdaptivePolicy:
    """Current ratio of requests that set none.

    Args:
        controller: maps pressure to a ratio.
        pressure: pressure on the engines.
        expose: called with each ratio.
        limit: returns the largest ratio that is allowed now.
        clock: returns the time in seconds; the same clock as that of `pressure`.
    """

    def __init__(
        self,
        controller: Controller,
        pressure: EnginePressure,
        expose: Callable[[float], None],
        limit: Callable[[], float] = lambda: 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._controller, self._pressure, self._expose, self._clock = controller, pressure, expose, clock
        self._limit = limit
        self._state = State()
        self._watch: asyncio.Task[None] | None = None

    def ratio(self) -> float:
        """Update and return the ratio for a request that arrives now."""
        now = self._clock()
        self._state = self._controller.advance(self._state, self._pressure.worst(now), now)
        ratio = min(self._controller.ratio(self._state), self._limit())
        self._expose(ratio)
        return ratio

    def start(self) -> None:
        """Keep the ratio up to date while no requests arrive. Needs a running event loop."""
        self._watch = asyncio.create_task(self._keep_watching())

    async def _keep_watching(self) -> None:
        while True:
            self.ratio()
            await asyncio.sleep(INTERVAL)


def start_policy(
    settings: PruneSettings,
    pressure: EnginePressure | None,
    metrics: PruneMetrics,
    limit: Callable[[], float] | None = None,
) -> AdaptivePolicy | None:
    """Start the policy of an engine. Return None if the ratio never changes.

    Args:
        settings: the server's settings.
        pressure: pressure on the engine; None if it keeps no statistics.
        metrics: exposes the ratio.
        limit: returns the largest ratio allowed now, also for the default ratio; None if there is no such limit.

    Raises:
        ValueError: the engine keeps no statistics.
    """
    fixed = settings.prune_policy == "fixed"
    if fixed and limit is None:
        return None
    if pressure is None:
        raise ValueError(
            "--prune-policy adaptive needs the engine's statistics. Start the server without --disable-log-stats."
        )
    smallest, largest = settings.adaptive_min_ratio, settings.adaptive_limit
    if fixed:
        smallest = largest = settings.default_prune_ratio
    policy = AdaptivePolicy(Controller(smallest, largest), pressure, metrics.adapted, limit or (lambda: 1.0))
    policy.start()
    return policy
