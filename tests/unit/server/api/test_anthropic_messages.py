"""Anthropic's handler describes errors, in streams too."""

from types import SimpleNamespace
from typing import Any

import pytest
from vllm.exceptions import VLLMValidationError

from gprune_server.api.anthropic_messages import AnthropicMessages

TEXT = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}


class Upstream:
    """A handler that does as it is told."""

    def __init__(self, result: Any) -> None:
        self._result = result

    async def create_messages(self, request: Any, raw_request: Any) -> Any:
        if isinstance(self._result, Exception):
            raise self._result
        return self._result

    count_tokens = create_messages


async def answered(result: Any, *messages: Any) -> Any:
    async def body() -> Any:
        return {"messages": list(messages)}

    return await AnthropicMessages(Upstream(result)).create_messages(None, SimpleNamespace(json=body))


async def test_an_error_is_described() -> None:
    described = await answered(VLLMValidationError("No.", parameter="top_p", value=9), TEXT)
    assert (described.error.code, described.error.message) == (400, "No.")


@pytest.mark.parametrize(
    "source", [None, {}, "x", {"type": "base64"}, {"type": "url"}, {"type": "file", "data": "a"}, {"data": 1}]
)
async def test_images_without_a_source_are_refused(source: Any) -> None:
    described = await answered("created", TEXT, {"role": "user", "content": [{"type": "image", "source": source}]})
    assert (described.error.code, described.error.param) == (400, "body.messages.1.content.0.source")
    assert "An image needs a source." in described.error.message


@pytest.mark.parametrize("source", [{"type": "base64", "data": ""}, {"type": "url", "url": "x"}, {"data": "x"}])
async def test_images_with_a_source_are_left_to_vllm(source: Any) -> None:
    assert await answered("created", {"role": "user", "content": [{"type": "image", "source": source}]}) == "created"


async def test_errors_in_streams_have_anthropics_types() -> None:
    async def events() -> Any:
        yield 'event: message_start\ndata: {"type":"internal_error"}\n\n'
        yield 'event: error\ndata: {"type":"error","error":{"type":"internal_error","message":"No."}}\n\n'

    first, last = [event async for event in await answered(events(), TEXT)]
    assert "internal_error" in first
    assert '"error":{"type":"api_error","message":"No."}' in last
