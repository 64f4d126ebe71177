"""Answers are extended where they carry usage, and passed through untouched where they do not."""

import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gprune_server.api.context import CURRENT_REQUEST
from gprune_server.api.usage import UsageReporter
from gprune_vllm.account import VisualTokenAccount
from gprune_vllm.defaults import METHOD

ACCOUNT = VisualTokenAccount(input=234, kept=77, ratio=0.7)
VISUAL_TOKENS = {"input": 234, "kept": 77, "images": 1, "videos": 0, "prune_ratio": 0.7, "method": METHOD}


class Handler:
    """A serving handler that renders prompts with the given accounts and answers as told."""

    extra = "an attribute of the handler"

    def __init__(self, answer: Any, *accounts: VisualTokenAccount) -> None:
        self.answer, self.accounts = answer, accounts

    async def create_chat_completion(self, request: Any, raw_request: Any) -> Any:
        record = CURRENT_REQUEST.get()
        assert record is not None
        assert record.body is request
        record.accounts += self.accounts
        return self.answer


async def reported(answer: Any, *accounts: VisualTokenAccount) -> Any:
    return await UsageReporter(Handler(answer, *accounts)).create_chat_completion(object())


async def stream(*chunks: Any) -> AsyncIterator[Any]:
    for chunk in chunks:
        yield chunk


async def test_accounts_of_several_prompts_are_summed() -> None:
    answer = await reported(SimpleNamespace(usage=SimpleNamespace()), ACCOUNT, ACCOUNT)
    assert answer.usage.visual_tokens == VISUAL_TOKENS | {"input": 468, "kept": 154, "images": 2}


class Background(Handler):
    """A handler that answers at once and stores another answer."""

    def __init__(self, stored: Any, *accounts: VisualTokenAccount) -> None:
        super().__init__(SimpleNamespace(usage=None), *accounts)
        self.stored = stored

    create_responses = Handler.create_chat_completion

    async def retrieve_responses(self, response_id: str, **options: Any) -> Any:
        return self.stored


@pytest.mark.parametrize(("accounts", "told"), [([ACCOUNT], {"visual_tokens": VISUAL_TOKENS}), ([], {})])
async def test_a_response_of_the_background_is_extended_when_it_is_read(accounts: list[Any], told: Any) -> None:
    stored = SimpleNamespace(usage=SimpleNamespace())
    reporter = UsageReporter(Background(stored, *accounts))
    await reporter.create_responses(SimpleNamespace(background=True, request_id="a"), None)
    assert vars((await reporter.retrieve_responses("b")).usage) == {}
    assert vars((await reporter.retrieve_responses("a", stream=False)).usage) == told


async def test_a_stream_of_the_background_is_extended_when_it_is_read() -> None:
    event = SimpleNamespace(response=SimpleNamespace(usage=SimpleNamespace()))
    reporter = UsageReporter(Background(stream(event), ACCOUNT))
    await reporter.create_responses(SimpleNamespace(background=True, request_id="a"), None)
    assert [each.response.usage.visual_tokens async for each in await reporter.retrieve_responses("a")] == [
        VISUAL_TOKENS
    ]


async def test_a_budget_is_told_with_the_ratio_it_came_to() -> None:
    large = VisualTokenAccount(input=234, kept=110, ratio=0.5536, method="tome", budget=100, patches=224)
    small = VisualTokenAccount(input=100, kept=100, ratio=0.0, method="tome", budget=100, patches=96)
    told = {"images": 1, "videos": 0, "prune_ratio": 0.5536, "method": "tome", "budget": 100}
    answer = await reported(SimpleNamespace(usage=SimpleNamespace()), large)
    assert answer.usage.visual_tokens == {"input": 234, "kept": 110, **told}
    answer = await reported(SimpleNamespace(usage=SimpleNamespace()), large, small)
    assert answer.usage.visual_tokens == told | {
        "input": 334,
        "kept": 210,
        "images": 2,
        "prune_ratio": round(1 - 196 / 320, 4),
    }


async def test_a_ratio_that_the_server_chose_under_load_is_told_as_such() -> None:
    adaptive = VisualTokenAccount(input=234, kept=77, ratio=0.7, source="adaptive")
    answer = await reported(SimpleNamespace(usage=SimpleNamespace()), adaptive)
    assert answer.usage.visual_tokens == VISUAL_TOKENS | {"source": "adaptive"}


@pytest.mark.parametrize("answer", [SimpleNamespace(error="refused"), SimpleNamespace(usage=None)])
async def test_answers_without_usage_pass(answer: Any) -> None:
    before = vars(answer).copy()
    assert vars(await reported(answer, ACCOUNT)) == before


async def test_answers_without_images_pass_as_they_are() -> None:
    chunks = stream("data: x\n\n")
    assert await reported(chunks) is chunks


@given(st.text())
async def test_content_that_looks_like_usage_is_left_alone(text: str) -> None:
    for content in (text, text + '"usage":{"prompt_tokens":1}'):
        chunk = f"data: {json.dumps({'choices': [{'delta': {'content': content}}]}, separators=(',', ':'))}\n\n"
        first, _ = [item async for item in await reported(stream(chunk, "data: [DONE]\n\n"), ACCOUNT)]
        assert first == chunk


async def test_usage_chunk_keeps_everything_else() -> None:
    body = {"id": "é", "choices": [], "usage": {"prompt_tokens": 5}}
    chunk = f"data: {json.dumps(body, ensure_ascii=False, separators=(',', ':'))}\n\n"
    (extended,) = [item async for item in await reported(stream(chunk), ACCOUNT)]
    assert extended.endswith("\n\n")
    assert json.loads(extended.removeprefix("data: ")) == {
        **body,
        "usage": {"prompt_tokens": 5, "visual_tokens": VISUAL_TOKENS},
    }


async def test_record_ends_with_the_request() -> None:
    await reported(SimpleNamespace(usage=None), ACCOUNT)
    assert CURRENT_REQUEST.get() is None


def test_everything_else_is_the_handlers() -> None:
    assert UsageReporter(Handler(None)).extra == Handler.extra
