"""Chosen answers are judged when there is room; outputs pass unchanged whatever happens behind them."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from vllm.sampling_params import RequestOutputKind, SamplingParams

from gprune_server.shadow.allowance import BURST
from gprune_server.shadow.metrics import ShadowMetrics
from gprune_server.shadow.shadow import Shadow
from gprune_server.shadow.verdict import Verdict
from gprune_vllm.account import RECORD_KEY, PruneRecord, VisualTokenAccount

ACCOUNT = VisualTokenAccount(input=200, kept=60, ratio=0.7, method="tome")
PARAMETERS = SamplingParams(output_kind=RequestOutputKind.DELTA)
MOST_TOKENS = 250
JUDGED = {"ratio_bucket": "0.5-0.7", "method": "tome", "source": "request"}


class Judge:
    """A judge that waits until it is told to go on, and then says the same of every answer."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.answers, self.go = error, list[list[int]](), asyncio.Event()

    async def judge(self, render: Any, answer: list[int], lora_request: Any) -> Verdict:
        self.answers.append(answer)
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return Verdict(0.9, 0.25)


class Case:
    """A shadow over a judge, with metrics of its own."""

    def __init__(self, judge: Judge, fraction: float = 1.0, room: bool = True) -> None:
        self.judge, self.registry = judge, CollectorRegistry()
        self.shadow = Shadow(fraction, judge, ShadowMetrics(self.registry), lambda: room, MOST_TOKENS)  # type: ignore[arg-type]

    async def answer(self, tokens: int = 3, finished: bool = True, prompt: dict[str, Any] | None = None) -> list[Any]:
        """Let an answer pass, and return what the client gets."""
        followed = self.shadow.follow(outputs(tokens, finished), prompt or prompt_of(90), PARAMETERS, "a")
        return [output async for output in followed]

    async def outcome(self) -> dict[str, float]:
        """Let the judge go on, and return what is counted, by outcome."""
        self.judge.go.set()
        while self.shadow._tasks:
            await asyncio.sleep(0)
        samples = [sample for metric in self.registry.collect() for sample in metric.samples]
        counted = {each.labels["outcome"]: each.value for each in samples if each.name == "gprune_shadow_total"}
        return {outcome: value for outcome, value in counted.items() if value}


async def outputs(tokens: int, finished: bool) -> AsyncIterator[Any]:
    for token in range(tokens):
        last = finished and token == tokens - 1
        yield SimpleNamespace(outputs=[SimpleNamespace(index=0, token_ids=[token])], finished=last)


async def render(**changes: Any) -> Any:
    raise AssertionError("the judge here renders nothing")


def prompt_of(length: int) -> dict[str, Any]:
    return {"prompt_token_ids": [0] * length, RECORD_KEY: PruneRecord(ACCOUNT, render)}


@pytest.fixture
async def judge() -> Judge:
    return Judge()


async def test_a_chosen_answer_is_judged_behind_the_client(judge: Judge) -> None:
    case = Case(judge)
    assert [output.outputs[0].token_ids for output in await case.answer()] == [[0], [1], [2]]
    assert await case.outcome() == {"judged": 1}
    assert judge.answers == [[0, 1, 2]]
    assert case.registry.get_sample_value("gprune_shadow_agreement_sum", JUDGED) == 0.9
    assert case.registry.get_sample_value("gprune_shadow_logprob_gap_sum", JUDGED) == 0.25


async def test_an_answer_is_skipped_without_room(judge: Judge) -> None:
    case = Case(judge, room=False)
    await case.answer()
    assert await case.outcome() == {"skipped_load": 1}
    assert judge.answers == []


async def test_answers_are_skipped_while_another_is_judged(judge: Judge) -> None:
    case = Case(judge)
    for _ in range(3):
        await case.answer()
        await asyncio.sleep(0)
    assert await case.outcome() == {"judged": 1, "skipped_load": 2}


async def test_what_the_unpruned_model_cannot_hold_is_cut_or_skipped(judge: Judge) -> None:
    case = Case(judge)
    await case.answer(prompt=prompt_of(MOST_TOKENS - 140 - 2))
    assert await case.outcome() == {"judged": 1}
    assert judge.answers == [[0, 1]]
    await case.answer(prompt=prompt_of(MOST_TOKENS - 140))
    assert await case.outcome() == {"judged": 1, "skipped_length": 1}


async def test_a_failing_judge_is_counted_and_reaches_nobody() -> None:
    case = Case(Judge(RuntimeError("what the client asked")))
    assert len(await case.answer()) == 3
    assert await case.outcome() == {"failed": 1}


@pytest.mark.parametrize("tokens", [0, 2])
async def test_answers_that_break_off_are_not_judged(tokens: int, judge: Judge) -> None:
    case = Case(judge)
    await case.answer(tokens, finished=False)
    assert await case.outcome() == {}


@pytest.mark.parametrize("record", [{}, {RECORD_KEY: PruneRecord(ACCOUNT)}])
async def test_prompts_that_cannot_be_rendered_again_pass(record: dict[str, Any], judge: Judge) -> None:
    case = Case(judge)
    assert len(await case.answer(prompt={"prompt_token_ids": [0], **record})) == 3
    assert await case.outcome() == {}


async def test_no_answer_is_judged_of_a_request_that_is_not_chosen(judge: Judge) -> None:
    case = Case(judge, fraction=0.0)
    await case.answer()
    assert await case.outcome() == {}


async def test_an_answer_is_skipped_when_the_allowance_is_spent(judge: Judge) -> None:
    case = Case(judge, fraction=1 - 1e-9)
    case.shadow._allowance.spend(10**15)
    await case.answer()
    assert await case.outcome() == {"skipped_allowance": 1}
    assert judge.answers == []


async def test_prompts_that_are_not_chosen_earn_what_judging_may_cost(judge: Judge) -> None:
    case = Case(judge, fraction=0.5)
    case.shadow._allowance.spend(BURST)
    for _ in range(3):  # of the id "a", which is not in this share
        await case.answer(prompt=prompt_of(100))
    assert case.shadow._allowance._left == 300
    assert await case.outcome() == {}
