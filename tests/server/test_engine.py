"""Prompts with images are observed on their way to the engine and back; all others pass."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from gprune_vllm.account import ACCOUNT_KEY, VisualTokenAccount
from server.engine import ObservedEngine

ACCOUNT = VisualTokenAccount(input=200, kept=60, ratio=0.7)
STATS = SimpleNamespace(
    num_generation_tokens=5,
    first_token_latency=0.3,
    queued_ts=10.0,
    scheduled_ts=10.1,
    first_token_ts=10.3,
    last_token_ts=10.7,
    arrival_time=0.0,
)


class Recorder:
    """Stands in for the collectors and remembers what they were told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, arguments))


class Engine:
    """An engine that answers every prompt with two outputs."""

    name = "an attribute of the engine"

    def __init__(self, stats: Any = STATS) -> None:
        self.stats, self.closed = stats, False

    async def generate(self, prompt: Any, *arguments: Any) -> AsyncIterator[Any]:
        try:
            yield SimpleNamespace(finished=False, metrics=self.stats)
            yield SimpleNamespace(finished=True, metrics=self.stats)
        finally:
            self.closed = True


def prompt(account: VisualTokenAccount | None) -> dict[str, Any]:
    return {"prompt_token_ids": [0] * 90} | ({} if account is None else {ACCOUNT_KEY: account})


async def calls(engine: Engine, account: VisualTokenAccount | None) -> list[tuple[str, tuple[Any, ...]]]:
    recorder = Recorder()
    observed = ObservedEngine(engine, recorder)  # type: ignore[arg-type]
    assert len([output async for output in observed.generate(prompt(account))]) == 2
    return recorder.calls


async def test_prompt_with_images_is_counted_once_and_its_latencies_observed() -> None:
    (count, counted), (generated, tokens), (finished, (_, latencies)) = await calls(Engine(), ACCOUNT)
    assert (count, generated, finished) == ("count", "generated", "finished")
    assert counted == (ACCOUNT, 90)
    assert tokens == (ACCOUNT, 5)
    assert round(latencies.queue_time, 6) == 0.1
    assert round(latencies.inter_token, 6) == 0.1
    assert latencies.time_to_first_token == 0.3


async def test_prompts_without_images_are_not_counted() -> None:
    assert await calls(Engine(), None) == []
    assert await calls(Engine(), VisualTokenAccount(0, 0, 0.5, images=0)) == []


async def test_engines_without_statistics_are_counted_but_not_timed() -> None:
    assert [name for name, _ in await calls(Engine(stats=None), ACCOUNT)] == ["count"]


async def test_a_client_that_leaves_closes_the_engines_outputs() -> None:
    engine = Engine()
    outputs = ObservedEngine(engine, Recorder()).generate(prompt(ACCOUNT))  # type: ignore[arg-type]
    await anext(outputs)
    await outputs.aclose()  # type: ignore[attr-defined]
    assert engine.closed


def test_everything_else_is_the_engines() -> None:
    assert ObservedEngine(Engine(), Recorder()).name == Engine.name  # type: ignore[arg-type]
