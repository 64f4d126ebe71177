"""`usage.visual_tokens`: the effect of pruning, added to responses."""

import json
from collections.abc import AsyncIterator
from typing import Any

from gprune_server.api.context import CURRENT_REQUEST, RequestRecord
from gprune_server.errors import with_error_event


class UsageReporter:
    """A vLLM serving handler whose responses report visual tokens.

    Wraps `OpenAIServingChat`, `OpenAIServingChatBatch` or `OpenAIServingResponses` (vLLM 0.32). Changes:

    - `usage` carries `visual_tokens`, in streams and in responses that are made in the background and retrieved later;
    - a stream of `/v1/responses` that fails ends with an `error` event.
    """

    def __init__(self, handler: Any) -> None:
        self._handler = handler
        # vLLM 0.32 keeps all responses to retrieve, and so is this kept for all of those with images.
        self._background: dict[str, dict[str, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)

    async def create_chat_completion(self, request: Any, raw_request: Any = None) -> Any:
        return await self._report(self._handler.create_chat_completion, request, raw_request)

    async def create_batch_chat_completion(self, request: Any, raw_request: Any = None) -> Any:
        return await self._report(self._handler.create_batch_chat_completion, request, raw_request)

    async def create_responses(self, request: Any, raw_request: Any = None) -> Any:
        response = await self._report(self._handler.create_responses, request, raw_request)
        return with_error_event(response) if hasattr(response, "__aiter__") else response

    async def retrieve_responses(self, response_id: str, *args: Any, **kwargs: Any) -> Any:
        response = await self._handler.retrieve_responses(response_id, *args, **kwargs)
        return _reported(response, self._background.get(response_id))

    async def _report(self, create: Any, request: Any, raw_request: Any) -> Any:
        record = RequestRecord(request)
        token = CURRENT_REQUEST.set(record)
        try:
            response = await create(request, raw_request)
        finally:
            CURRENT_REQUEST.reset(token)
        visual_tokens = record.usage()
        if visual_tokens is not None and getattr(request, "background", False):
            self._background[request.request_id] = visual_tokens
        return _reported(response, visual_tokens)


def _reported(response: Any, visual_tokens: dict[str, Any] | None) -> Any:
    """Return a response or stream that reports visual tokens, if there are any."""
    if visual_tokens is None:
        return response
    if hasattr(response, "__aiter__"):
        return _report_stream(response, visual_tokens)
    _report_object(response, visual_tokens)
    return response


async def _report_stream(events: AsyncIterator[Any], visual_tokens: dict[str, Any]) -> AsyncIterator[Any]:
    async for event in events:
        if isinstance(event, str):
            yield _report_chunk(event, visual_tokens)
        else:
            _report_object(getattr(event, "response", None), visual_tokens)
            yield event


def _report_chunk(chunk: str, visual_tokens: dict[str, Any]) -> str:
    """Extend a chunk of a chat stream, `data: {...}`, if it carries usage."""
    if '"usage":{' not in chunk:  # the common case; quotes in content are escaped, so no usage is missed
        return chunk
    prefix, _, text = chunk.partition("data: ")
    body = json.loads(text)
    if not isinstance(body.get("usage"), dict):
        return chunk
    body["usage"]["visual_tokens"] = visual_tokens
    return f"{prefix}data: {json.dumps(body, ensure_ascii=False, separators=(',', ':'))}\n\n"


def _report_object(response: Any, visual_tokens: dict[str, Any]) -> None:
    """Extend a response if it carries usage. vLLM's usage models accept additional fields."""
    usage = getattr(response, "usage", None)
    if usage is not None:
        usage.visual_tokens = visual_tokens
