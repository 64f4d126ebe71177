"""Errors amid the events of `/v1/responses`: told as an event, where vLLM 0.32 breaks the connection."""

from collections.abc import AsyncIterator
from typing import Any

from openai.types.responses import ResponseErrorEvent
from pydantic import ValidationError
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.exceptions import GenerationError, VLLMError
from vllm.logger import init_logger

logger = init_logger(f"vllm.{__name__}")


async def with_error_event(events: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The events of a response, and if it fails, at last OpenAI's `error` event."""
    number = 0
    try:
        async for event in events:
            number = event.sequence_number + 1
            yield event
    except VLLMError as error:
        yield error_event(create_error_response(error).error, number)
    except ValidationError as error:
        yield error_event(_told(error), number)


def error_event(error: Any, number: int) -> ResponseErrorEvent:
    """What a client is told of vLLM's `ErrorInfo`. `number` is the event's place in the stream."""
    return ResponseErrorEvent(
        type="error", code=str(error.code), message=error.message, param=error.param, sequence_number=number
    )


def _told(error: ValidationError) -> Any:
    """What vLLM tells where generation fails: it validates it as an event, which it is not."""
    invalid = error.errors(include_url=False)[0]["input"]
    try:
        return ErrorResponse.model_validate(invalid).error
    except ValidationError:
        logger.error("a response failed amid its events", exc_info=error)
        return create_error_response(GenerationError()).error
