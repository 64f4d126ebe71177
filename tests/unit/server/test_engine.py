"""Prompts with images are observed on their way to the engine and back; all others pass."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from vllm.sampling_params import SamplingParams

from gprune_server.engine import ObservedEngine
from gprune_server.observe.observation import Outcome, PromptRecord
from gprune_vllm.account import RECORD_KEY, PruneRecord, VisualTokenAccount

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
    """An observer that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[PromptRecord, Outcome | None] | PromptRecord] = []

    def started(self, prompt: PromptRecord) -> None:
        self.told.append(prompt)

    def ended(self, prompt: PromptRecord, outcome: Outcome | None) -> None:
        self.told.append((prompt, outcome))


class Engine:
    """An engine that answers every prompt with two outputs."""

    name = "an attribute of the engine"

    def __init__(self, stats: Any = STATS) -> None:
        self.stats, self.closed = stats, False

    async def generate(self, prompt: Any, *arguments: Any) -> AsyncIterator[Any]:
        try:
            yield SimpleNamespace(finished=False, metrics=self.stats, outputs=[])
            yield SimpleNamespace(finished=True, metrics=self.stats, outputs=[])
        finally:
            self.closed = True


def prompt(account: VisualTokenAccount | None) -> dict[str, Any]:
    return {"prompt_token_ids": [0] * 90} | ({} if account is None else {RECORD_KEY: PruneRecord(account)})


async def told(engine: Engine, account: VisualTokenAccount | None) -> list[Any]:
    recorder = Recorder()
    outputs = ObservedEngine(engine, [recorder], 128).generate(prompt(account), SamplingParams(), "a")
    assert len([output async for output in outputs]) == 2
    return recorder.told


async def test_prompt_with_images_is_told_with_its_outcome() -> None:
    started, (ended, outcome) = await told(Engine(), ACCOUNT)
    assert started == ended == PromptRecord("a", ACCOUNT, prompt_tokens=90)
    assert outcome.tokens == 5
    assert outcome.time_to_first_token == 0.3
    assert round(outcome.queue_time, 6) == round(outcome.inter_token, 6) == 0.1


async def test_prompts_without_images_are_not_told() -> None:
    assert await told(Engine(), None) == []
    assert await told(Engine(), VisualTokenAccount(0, 0, 0.5, images=0)) == []


async def test_engines_without_statistics_tell_no_outcome() -> None:
    _, (_, outcome) = await told(Engine(stats=None), ACCOUNT)
    assert outcome is None


async def test_a_client_that_leaves_closes_the_engines_outputs() -> None:
    engine, recorder = Engine(), Recorder()
    outputs = ObservedEngine(engine, [recorder], 128).generate(prompt(ACCOUNT), SamplingParams(), "a")
    await anext(outputs)
    await outputs.aclose()  # type: ignore[attr-defined]
    assert engine.closed
    assert recorder.told[1] == (recorder.told[0], None)


def test_everything_else_is_the_engines() -> None:
    assert ObservedEngine(Engine(), [], 128).name == Engine.name
