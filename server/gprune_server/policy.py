"""The adaptive policy: requests that name no ratio get one that rises with the load of the engines."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from gprune_server.adaptive import Controller, State
from gprune_server.observe.metrics import PruneMetrics
from gprune_server.pressure import EnginePressure
from gprune_vllm.settings import PruneSettings

INTERVAL = 0.5
"""Seconds after which the ratio is looked at where no request asks for it."""


class AdaptivePolicy:
    """Chooses ratios.

    Args:
        controller: which ratio.
        pressure: on the engines.
        expose: is told of the ratio.
        clock: gives seconds, the same as the pressure's.
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
        """The ratio of a request that comes now."""
        now = self._clock()
        self._state = self._controller.advance(self._state, self._pressure.worst(now), now)
        ratio = self._controller.ratio(self._state)
        self._expose(ratio)
        return ratio

    def start(self) -> None:
        """Let the ratio fall, and be exposed, while no request comes. Needs a running event loop."""
        self._watch = asyncio.create_task(self._keep_watching())

    async def _keep_watching(self) -> None:
        while True:
            self.ratio()
            await asyncio.sleep(INTERVAL)


def start_policy(settings: PruneSettings, engine_client: Any, metrics: PruneMetrics) -> AdaptivePolicy | None:
    """The policy of an engine, at work; None where the operator's ratio is fixed.

    Raises:
        ValueError: the engine keeps no statistics.
    """
    if settings.prune_policy == "fixed":
        return None
    if engine_client.logger_manager is None:
        raise ValueError("--prune-policy adaptive reads the engine's statistics; start without --disable-log-stats")
    pressure = EnginePressure(settings.adaptive_waiting_requests)
    engine_client.logger_manager.stat_loggers.append(pressure)
    policy = AdaptivePolicy(Controller(settings.adaptive_min_ratio, settings.adaptive_limit), pressure, metrics.adapted)
    policy.start()
    return policy
