"""The policy joins engine, controller and metrics."""

import asyncio
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry
from vllm.v1.metrics.stats import SchedulerStats

from gprune_server.adaptive import RatioPolicy
from gprune_server.observe.metrics import PruneMetrics
from gprune_server.pressure import watch_pressure
from gprune_vllm.decoder_shape import DecoderShape
from gprune_vllm.settings import PruneSettings

ADAPTIVE = PruneSettings(prune_policy="adaptive", adaptive_max_ratio=0.8, max_prune_ratio=0.6)
FIXED = PruneSettings(default_prune_ratio=0.5)
CROWDED = SchedulerStats(num_waiting_reqs=8)


class Engine:
    """An engine that has statistics for loggers."""

    def __init__(self) -> None:
        self.logger_manager = SimpleNamespace(stat_loggers=[])

    def report(self, stats: SchedulerStats) -> None:
        for logger in self.logger_manager.stat_loggers:
            logger.record(stats, None)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def policy(engine: Engine, registry: CollectorRegistry) -> RatioPolicy:
    metrics = PruneMetrics(ADAPTIVE, DecoderShape(8, 16, 2, 2, 1, 4), 2, registry)
    started = RatioPolicy(lambda: ADAPTIVE, watch_pressure(engine, 8), metrics.adapted)
    started.start()
    return started


def exposed(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("gprune_adaptive_prune_ratio")


async def test_requests_get_the_smallest_ratio_until_the_engine_is_pressed(policy: RatioPolicy, engine: Engine) -> None:
    assert policy.ratio(ADAPTIVE) == 0
    engine.report(CROWDED)
    assert policy.ratio(ADAPTIVE) == 0.6, "the operator's limit of ratios caps the policy's"
    lower = ADAPTIVE.model_copy(update={"max_prune_ratio": 0.4})
    assert policy.ratio(lower) == 0.4, "and so does that of a tenant"
    assert policy.source(ADAPTIVE) == "adaptive"


async def test_the_ratio_is_exposed_while_no_request_comes(
    policy: RatioPolicy, engine: Engine, registry: CollectorRegistry
) -> None:
    engine.report(CROWDED)
    assert exposed(registry) == 0
    async with asyncio.timeout(60):
        while exposed(registry) != 0.6:
            await asyncio.sleep(0.05)


def test_a_fixed_ratio_needs_no_statistics() -> None:
    policy = RatioPolicy(lambda: FIXED, None, [].append)
    assert (policy.ratio(FIXED), policy.source(FIXED)) == (0.5, "default")


def test_agreement_limits_a_fixed_ratio_too() -> None:
    policy = RatioPolicy(lambda: FIXED, None, [].append, lambda: 0.25)
    assert (policy.ratio(FIXED), policy.source(FIXED)) == (0.25, "adaptive")
