"""Adaptive policy: requests that set no ratio get one that rises with the load, as far as agreement allows."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import floor

from gprune_server.pressure import EnginePressure
from gprune_vllm.account import Source
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
    """Level of pressure, which rises at once and falls slowly.

    Pressure 0 means that no request waits; pressure 1 or more calls for the largest ratio.

    Attributes:
        level: from 0, the smallest ratio, to `LEVELS`, the largest.
        calm_since: time since which pressure has been low; None while it is not.
    """

    level: int = 0
    calm_since: float | None = None

    def advance(self, pressure: float, now: float) -> "State":
        """Return the state that follows, given the pressure at a time in seconds of any monotonic clock."""
        levels = min(max(0.0, pressure), 1.0) * LEVELS
        if floor(levels) > self.level:
            return State(floor(levels))
        if self.level == 0 or levels > self.level - MARGIN:
            return State(self.level)
        since = now if self.calm_since is None else self.calm_since
        return State(self.level, since) if now - since < HOLD else State(self.level - 1, now)


@dataclass(frozen=True, slots=True)
class Controller:
    """Maps levels to `LEVELS` + 1 evenly spaced ratios.

    Attributes:
        minimum: the smallest ratio.
        maximum: the largest ratio.
    """

    minimum: float
    maximum: float

    def ratio(self, state: State) -> float:
        ratio = round(self.minimum + state.level / LEVELS * (self.maximum - self.minimum), 6)
        return min(self.maximum, max(self.minimum, ratio))


class RatioPolicy:
    """Ratio of requests that set none: the default, or one that follows the load, as far as agreement allows.

    Args:
        current: returns the server's settings in force.
        pressure: pressure on the engines; None if they keep no statistics, and then no settings are adaptive.
        expose: called with each ratio.
        limit: returns the largest ratio that agreement allows now; None if it has no say.
        clock: returns the time in seconds; the same clock as that of `pressure`.
    """

    def __init__(
        self,
        current: Callable[[], PruneSettings],
        pressure: EnginePressure | None,
        expose: Callable[[float], None],
        limit: Callable[[], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._current, self._pressure, self._expose, self._clock = current, pressure, expose, clock
        self._limit = limit
        self._state = State()
        self._watch: asyncio.Task[None] | None = None

    def ratio(self, settings: PruneSettings) -> float:
        """Return the ratio, under the settings of its sender, for a request that arrives now."""
        ratio = settings.default_prune_ratio
        if settings.prune_policy == "adaptive":
            ratio = Controller(settings.adaptive_min_ratio, settings.adaptive_limit).ratio(self._advance())
        return ratio if self._limit is None else min(ratio, self._limit())

    def source(self, settings: PruneSettings) -> Source:
        """Return where the ratio comes from."""
        return "default" if settings.prune_policy == "fixed" and self._limit is None else "adaptive"

    def start(self) -> None:
        """Expose the ratio, also while no requests arrive. Needs a running event loop."""
        self._expose(self.ratio(self._current()))
        self._watch = asyncio.create_task(self._keep_watching())

    def _advance(self) -> State:
        assert self._pressure is not None
        now = self._clock()
        self._state = self._state.advance(self._pressure.worst(now), now)
        return self._state

    async def _keep_watching(self) -> None:
        while True:
            self._expose(self.ratio(self._current()))
            await asyncio.sleep(INTERVAL)
