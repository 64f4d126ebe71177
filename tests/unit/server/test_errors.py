"""Errors reach clients with the right status, and within a stream as its last event."""

import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from openai.types.responses import ResponseErrorEvent
from pydantic import TypeAdapter
from vllm.entrypoints.openai.responses.protocol import StreamingResponsesResponse
from vllm.exceptions import RetryableRequestError, VLLMValidationError

from gprune_server.errors import with_error_event


async def failing(error: Exception) -> AsyncIterator[Any]:
    yield SimpleNamespace(sequence_number=0)
    yield SimpleNamespace(sequence_number=1)
    raise error


async def failing_as_upstream() -> AsyncIterator[Any]:
    """vLLM takes what it tells of an error for one of its events, which it is not."""
    yield SimpleNamespace(sequence_number=0)
    told = {"message": "the engine failed", "type": "InternalServerError", "param": None, "code": 500}
    yield TypeAdapter(StreamingResponsesResponse).validate_json(json.dumps({"error": told}))


async def last(events: AsyncIterator[Any]) -> ResponseErrorEvent:
    *_, event = [event async for event in with_error_event(events)]
    assert isinstance(event, ResponseErrorEvent)
    return event


@pytest.mark.parametrize(
    ("error", "code", "param"),
    [
        (VLLMValidationError("no such output", parameter="structured_outputs"), "400", "structured_outputs"),
        (RetryableRequestError("try again"), "503", None),
    ],
)
async def test_an_error_is_the_last_event(error: Exception, code: str, param: str | None) -> None:
    event = await last(failing(error))
    assert (event.code, event.message, event.param, event.sequence_number) == (code, str(error), param, 2)


async def test_an_error_that_vllm_cannot_tell_is_told() -> None:
    event = await last(failing_as_upstream())
    assert (event.code, event.message, event.sequence_number) == ("500", "the engine failed", 1)


async def test_an_event_that_vllm_cannot_make_is_an_error_without_details() -> None:
    async def broken() -> AsyncIterator[Any]:
        yield SimpleNamespace(sequence_number=0)
        yield TypeAdapter(StreamingResponsesResponse).validate_json('{"secret": 1}')

    event = await last(broken())
    assert (event.code, event.message) == ("500", "Internal server error")


async def test_events_without_errors_pass() -> None:
    async def whole() -> AsyncIterator[Any]:
        for number in range(3):
            yield SimpleNamespace(sequence_number=number)

    assert [event.sequence_number async for event in with_error_event(whole())] == [0, 1, 2]
