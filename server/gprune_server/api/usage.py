"""`usage.visual_tokens`: what pruning did to a request, added to its answer."""

import json
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from gprune_server.stream_errors import with_error_event
from gprune_vllm.account import VisualTokenAccount


@dataclass(slots=True)
class RequestRecord:
    """An HTTP request under way.

    Attributes:
        body: the request body as it arrived.
        accounts: one for each of its prompts with images, filled in while these are rendered.
        chosen: the ratio that the adaptive policy chose for all of them, if it was asked.
    """

    body: Any
    accounts: list[VisualTokenAccount] = field(default_factory=list)
    chosen: float | None = None

    def usage(self) -> dict[str, Any] | None:
        """The value of `usage.visual_tokens`; None for a request without images."""
        if not self.accounts:
            return None
        first = self.accounts[0]  # all were asked for alike
        return {
            "input": sum(account.input for account in self.accounts),
            "kept": sum(account.kept for account in self.accounts),
            "prune_ratio": first.ratio if first.budget is None else self._effective_ratio(),
            "method": first.method,
            **({} if first.budget is None else {"budget": first.budget}),
            **({"source": first.source} if first.source == "adaptive" else {}),
        }

    def _effective_ratio(self) -> float:
        """What a budget came to over all prompts."""
        patches = sum(account.patches for account in self.accounts)
        return round(sum(account.ratio * account.patches for account in self.accounts) / patches, 4)


CURRENT_REQUEST: ContextVar[RequestRecord | None] = ContextVar("gprune_current_request", default=None)


class UsageReporter:
    """A vLLM serving handler whose answers tell the visual tokens.

    Wraps `OpenAIServingChat`, `OpenAIServingChatBatch` or `OpenAIServingResponses` (vLLM 0.32). Changes: the usage of
    their answers, streamed or not, carries `visual_tokens`, and responses that fail amid their events tell why. All
    else is theirs.
    """

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)

    async def create_chat_completion(self, request: Any, raw_request: Any = None) -> Any:
        return await self._report(self._handler.create_chat_completion, request, raw_request)

    async def create_batch_chat_completion(self, request: Any, raw_request: Any = None) -> Any:
        return await self._report(self._handler.create_batch_chat_completion, request, raw_request)

    async def create_responses(self, request: Any, raw_request: Any = None) -> Any:
        answer = await self._report(self._handler.create_responses, request, raw_request)
        return with_error_event(answer) if hasattr(answer, "__aiter__") else answer

    async def _report(self, create: Any, request: Any, raw_request: Any) -> Any:
        record = RequestRecord(request)
        token = CURRENT_REQUEST.set(record)
        try:
            answer = await create(request, raw_request)
        finally:
            CURRENT_REQUEST.reset(token)
        visual_tokens = record.usage()
        if visual_tokens is None:
            return answer
        if hasattr(answer, "__aiter__"):
            return _report_stream(answer, visual_tokens)
        _report_object(answer, visual_tokens)
        return answer


async def _report_stream(events: AsyncIterator[Any], visual_tokens: dict[str, Any]) -> AsyncIterator[Any]:
    async for event in events:
        if isinstance(event, str):
            yield _report_chunk(event, visual_tokens)
        else:
            _report_object(getattr(event, "response", None), visual_tokens)
            yield event


def _report_chunk(chunk: str, visual_tokens: dict[str, Any]) -> str:
    """Extend a chunk of a chat stream, a line `data: {...}`, if it carries usage."""
    if '"usage":{' not in chunk:  # the common case; quotes inside of content are escaped, so this misses nothing
        return chunk
    prefix, _, text = chunk.partition("data: ")
    body = json.loads(text)
    if not isinstance(body.get("usage"), dict):
        return chunk
    body["usage"]["visual_tokens"] = visual_tokens
    return f"{prefix}data: {json.dumps(body, ensure_ascii=False, separators=(',', ':'))}\n\n"


def _report_object(answer: Any, visual_tokens: dict[str, Any]) -> None:
    """Extend an answer, if it carries usage. vLLM's usage models allow further fields."""
    usage = getattr(answer, "usage", None)
    if usage is not None:
        usage.visual_tokens = visual_tokens
