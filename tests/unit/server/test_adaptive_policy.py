"""The adaptive policy joins engine, controller, metrics and renderer."""

import asyncio
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry
from vllm.v1.metrics.stats import SchedulerStats

from gprune_server.adaptive import AdaptivePolicy, start_policy
from gprune_server.api.context import CURRENT_REQUEST, RequestRecord
from gprune_server.api.renderer import PruneRenderer
from gprune_server.observe.metrics import PruneMetrics
from gprune_server.pressure import watch_pressure
from gprune_vllm.adapter.refusal import ADAPTIVE_KEY
from gprune_vllm.decoder_shape import DecoderShape
from gprune_vllm.settings import PruneSettings

ADAPTIVE = PruneSettings(prune_policy="adaptive", adaptive_max_ratio=0.8, max_prune_ratio=0.6)
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
async def policy(engine: Engine, registry: CollectorRegistry) -> AdaptivePolicy:
    started = start_policy(ADAPTIVE, watch_pressure(engine, 8), metrics(ADAPTIVE, registry))
    assert started is not None
    return started


def metrics(settings: PruneSettings, registry: CollectorRegistry) -> PruneMetrics:
    return PruneMetrics(settings, DecoderShape(8, 16, 2, 2, 1, 4), 2, registry)


def exposed(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("gprune_adaptive_prune_ratio")


def renderer(policy: AdaptivePolicy | None) -> PruneRenderer:
    """One that only knows its policy."""
    bare = object.__new__(PruneRenderer)
    bare.policy = policy
    return bare


async def test_requests_get_the_smallest_ratio_until_the_engine_is_pressed(
    policy: AdaptivePolicy, engine: Engine
) -> None:
    assert policy.ratio() == 0
    engine.report(CROWDED)
    assert policy.ratio() == 0.6, "the operator's limit of ratios caps the policy's"


async def test_the_ratio_is_exposed_while_no_request_comes(
    policy: AdaptivePolicy, engine: Engine, registry: CollectorRegistry
) -> None:
    engine.report(CROWDED)
    assert exposed(registry) == 0
    async with asyncio.timeout(60):
        while exposed(registry) != 0.6:
            await asyncio.sleep(0.05)


def test_a_fixed_ratio_needs_no_policy(engine: Engine, registry: CollectorRegistry) -> None:
    settings = PruneSettings(default_prune_ratio=0.5)
    assert start_policy(settings, watch_pressure(engine, 8), metrics(settings, registry)) is None
    assert exposed(registry) == 0.5


def test_an_engine_without_statistics_is_refused(engine: Engine, registry: CollectorRegistry) -> None:
    engine.logger_manager = None
    with pytest.raises(ValueError, match=r"--prune-policy adaptive .* without --disable-log-stats"):
        start_policy(ADAPTIVE, watch_pressure(engine, 8), metrics(ADAPTIVE, registry))


@pytest.mark.parametrize("asked", [{"prune_ratio": 0.0}, {"prune_ratio": 0.3}, {"visual_token_budget": 9}])
async def test_what_a_request_names_wins(policy: AdaptivePolicy, engine: Engine, asked: dict[str, float]) -> None:
    engine.report(CROWDED)
    assert renderer(policy)._with_policy(asked) == asked


async def test_a_request_that_names_only_a_method_gets_the_policys_ratio(
    policy: AdaptivePolicy, engine: Engine
) -> None:
    engine.report(CROWDED)
    assert renderer(policy)._with_policy({"prune_method": "tome"}) == {"prune_method": "tome", ADAPTIVE_KEY: 0.6}


async def test_all_prompts_of_a_request_get_one_ratio(policy: AdaptivePolicy, engine: Engine) -> None:
    token = CURRENT_REQUEST.set(RequestRecord(object()))
    try:
        assert renderer(policy)._with_policy({}) == {ADAPTIVE_KEY: 0}
        engine.report(CROWDED)
        assert renderer(policy)._with_policy({}) == {ADAPTIVE_KEY: 0}
    finally:
        CURRENT_REQUEST.reset(token)
    assert renderer(policy)._with_policy({}) == {ADAPTIVE_KEY: 0.6}


def test_a_fixed_policy_adds_nothing() -> None:
    assert renderer(None)._with_policy({}) == {}
