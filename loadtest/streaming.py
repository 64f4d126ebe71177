"""Read the stream of an answer."""

import json
import time
from collections.abc import Mapping
from typing import Any

import httpx
from httpx_sse import EventSource

from loadtest.answer import Answer

TEXTS = ("content", "reasoning_content", "reasoning")
"""Fields of a piece that carry text."""
MOST = 300
"""Characters of an error that are shown."""


async def read_stream(response: httpx.Response, answer: Answer) -> None:
    """Fill in an answer from a stream of server-sent events, as it comes.

    Raises:
        httpx.HTTPError: the stream broke.
    """
    finished = False
    async for event in EventSource(response).aiter_sse():
        if event.data == "[DONE]":
            finished = True
            break
        finished |= _read_chunk(json.loads(event.data), answer)
        if answer.error:
            return
    if not finished:
        answer.error = "the stream ended before the answer did"
    elif not answer.times:
        answer.error = "the answer has no text and no end"


def _read_chunk(chunk: Mapping[str, Any], answer: Answer) -> bool:
    """Note what a chunk says; return whether it ends the answer."""
    now = time.perf_counter()
    if "error" in chunk:
        answer.error = f"amid the answer: {error_message(chunk)}"
        return True
    if usage := chunk.get("usage"):
        _read_usage(usage, answer)
    choice: Mapping[str, Any] = next(iter(chunk.get("choices") or ()), {})
    text = text_of(choice.get("delta") or {})
    ended = choice.get("finish_reason") is not None
    if text or ended:
        answer.end = now
    if text or (ended and not answer.times):
        answer.times.append(now)
        answer.text += text
    return ended


def text_of(delta: Mapping[str, Any]) -> str:
    """The text of a piece: content, reasoning or the arguments of a tool call. A piece with a role only has none."""
    calls = [call.get("function") or {} for call in delta.get("tool_calls") or ()]
    parts = [delta.get(name) for name in TEXTS] + [call.get(name) for call in calls for name in ("name", "arguments")]
    return "".join(part for part in parts if part)


def _read_usage(usage: Mapping[str, Any], answer: Answer) -> None:
    answer.prompt_tokens = usage.get("prompt_tokens") or 0
    answer.completion_tokens = usage.get("completion_tokens")
    visual = usage.get("visual_tokens")
    if isinstance(visual, dict):
        answer.visual_input, answer.visual_kept = visual.get("input"), visual.get("kept")


def error_message(body: Any) -> str:
    """What a server says is wrong, cut short: OpenAI's form has it in `error.message`."""
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message", error) if isinstance(error, dict) else error
    return str(message)[:MOST]


def refusal(response: httpx.Response) -> str:
    """Status and message of a response that was read and is no answer."""
    try:
        message = error_message(response.json())
    except ValueError:
        message = response.text[:MOST]
    return f"{response.status_code}: {message or response.reason_phrase}"
