"""Streams are read as they come, however they are cut."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from loadtest.answer import Answer
from loadtest.request import Request
from loadtest.target import Target

HEADERS = {"content-type": "text/event-stream; charset=utf-8"}
USAGE = {"prompt_tokens": 40, "completion_tokens": 3, "visual_tokens": {"input": 30, "kept": 9}}
DONE = b"data: [DONE]\n\n"


def chunk(delta: dict[str, Any] | None = None, **fields: Any) -> bytes:
    """An event of a stream."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": fields.pop("finish", None)}]
    return f"data: {json.dumps({'choices': choices, **fields}, ensure_ascii=False)}\n\n".encode()


WHOLE = (
    chunk({"role": "assistant", "content": ""}),
    b": a comment that keeps the connection\n\n",
    chunk({"content": "one "}),
    chunk({"content": "two\u2028 "}),
    chunk({"content": "drei ß"}, finish="length"),
    chunk(usage=USAGE),
    DONE,
)


async def read(*parts: bytes, status: int = 200, headers: dict[str, str] | None = None, **asked: Any) -> Answer:
    """What is made of a response in these parts."""

    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers=HEADERS if headers is None else headers, content=body())

    async with Target("http://server/v1") as target:
        await target._client.aclose()
        target._client = httpx.AsyncClient(base_url=target.url, transport=httpx.MockTransport(respond))
        return await target.ask(Request(b"{}", **asked), 0.0)


async def test_an_answer_is_its_pieces_and_its_usage() -> None:
    answer = await read(*WHOLE, prune_ratio=0.7)
    assert answer.error == ""
    assert answer.text == "one two\u2028 drei ß"
    assert len(answer.times) == 3  # the role alone is no token
    assert answer.times == sorted(answer.times)
    assert (answer.prompt_tokens, answer.output_tokens, answer.visual_input, answer.visual_kept) == (40, 3, 30, 9)


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_where_the_stream_is_cut_does_not_matter(size: int) -> None:
    whole = b"".join(WHOLE)
    answer = await read(*(whole[start : start + size] for start in range(0, len(whole), size)))
    assert (answer.error, answer.text, answer.output_tokens) == ("", "one two\u2028 drei ß", 3)


async def test_reasoning_and_tool_calls_are_tokens_too() -> None:
    call = {"index": 0, "function": {"name": "look", "arguments": "{}"}}
    pieces = [{"reasoning_content": "hm"}, {"reasoning": "well"}, {"tool_calls": [call]}, {"content": None}]
    answer = await read(*map(chunk, pieces), chunk({}, finish="tool_calls"), DONE)
    assert (answer.error, len(answer.times), answer.text) == ("", 3, "hmwelllook{}")


async def test_an_answer_without_text_has_the_time_of_its_end() -> None:
    answer = await read(chunk({"role": "assistant", "content": ""}), chunk({}, finish="stop"), DONE)
    assert (answer.error, len(answer.times), answer.output_tokens) == ("", 1, 1)


async def test_the_last_token_may_have_no_text() -> None:
    answer = await read(chunk({"content": "yes"}), chunk({"content": ""}, finish="stop"), chunk(usage=USAGE), DONE)
    assert (len(answer.times), list(answer.itl)) == (1, [])
    assert answer.latency > answer.ttft
    assert answer.tpot == pytest.approx((answer.latency - answer.ttft) / 2)


async def test_a_server_that_sends_no_usage_and_no_done_is_read() -> None:
    answer = await read(chunk({"content": "yes"}, finish="stop"))
    assert (answer.error, answer.output_tokens, answer.visual_kept) == ("", 1, None)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (WHOLE[:3], "ended before the answer did"),
        ((), "ended before the answer did"),
        ((DONE,), "no text"),
        ((WHOLE[2], b'data: {"error": {"message": "the engine died", "code": 500}}\n\n', DONE), "the engine died"),
        ((WHOLE[2], b"data: {half\n\n"), "JSONDecodeError"),
    ],
)
async def test_broken_streams_are_failures(parts: tuple[bytes, ...], told: str) -> None:
    answer = await read(*parts)
    assert not answer.succeeded
    assert told in answer.error


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (400, b'{"error": {"message": "prune_ratio must be below 1"}}', "400: prune_ratio must be below 1"),
        (404, b'{"detail": "Not Found"}', "404: {'detail': 'Not Found'}"),
        (503, b"<html>busy</html>", "503: <html>busy</html>"),
        (502, b"", "502: Bad Gateway"),
    ],
)
async def test_refusals_are_told_by_status_and_message(status: int, body: bytes, told: str) -> None:
    assert (await read(body, status=status, headers={})).error == told


async def test_an_answer_that_is_no_stream_is_a_failure() -> None:
    answer = await read(b'{"choices": []}', headers={"content-type": "application/json"})
    assert "text/event-stream" in answer.error


async def test_pruning_that_nothing_tells_of_is_a_failure() -> None:
    silent = [*WHOLE[:5], chunk(usage={"prompt_tokens": 40, "completion_tokens": 3}), DONE]
    assert "usage.visual_tokens is missing" in (await read(*silent, prune_ratio=0.7)).error
    assert (await read(*silent, prune_ratio=0.7, images=0)).error == ""
    assert (await read(*silent, prune_ratio=0.0)).error == ""
    assert (await read(*silent)).error == ""
