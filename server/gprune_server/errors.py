"""Errors that vLLM 0.32 reports wrongly: client errors as server errors, and errors within a stream not at all."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from openai.types.responses import ResponseErrorEvent
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.entrypoints.serve.exception_handling.handlers.exception import exception_handler
from vllm.entrypoints.serve.exception_handling.handlers.http import http_exception_handler
from vllm.exceptions import GenerationError, VLLMError, VLLMValidationError
from vllm.logger import init_logger
from vllm.platforms import current_platform
from vllm.sampling_params import SamplingType
from vllm.v1.serial_utils import MsgpackEncoder

logger = init_logger(f"vllm.{__name__}")

MALFORMED = (AssertionError, AttributeError)
"""Exceptions that vLLM raises for a message part that does not match its `type`."""


class RequestError(VLLMValidationError):
    """Changes against `vllm.exceptions.VLLMValidationError` (vLLM 0.32): its text is the message and nothing else."""

    def __str__(self) -> str:
        return str(self.args[0])


def handle_errors(app: FastAPI) -> None:
    """Report framework errors in OpenAI's format, and bodies that vLLM fails to read as client errors."""
    app.add_exception_handler(HTTPException, http_exception_handler)
    app.add_exception_handler(RecursionError, nesting_response)


async def nesting_response(request: Request, error: Exception) -> Response:
    """Return a 400, where vLLM would return a 500 and close the connection."""
    cause = VLLMValidationError("The request contains JSON that is nested too deeply. Reduce its depth.")
    response: Response = await exception_handler(request, cause)
    return response


def check_sendable(prompt: Any, sampling_params: Any, request_id: str) -> None:
    """Check for errors that vLLM detects only while it sends a request to the engine, or later.

    Raises:
        VLLMValidationError: text or a number cannot be encoded, or the seed would crash the engine.
    """
    if sampling_params.sampling_type is SamplingType.RANDOM_SEED and current_platform.is_cpu():
        raise VLLMValidationError(
            "On a CPU, seed requires temperature 0: vLLM 0.32 cannot rewind the random generator of a CPU when a "
            "prompt is prefilled in chunks. Send temperature 0 or omit seed.",
            parameter="seed",
        )
    try:
        MsgpackEncoder().encode((request_id, sampling_params, isinstance(prompt, dict) and prompt.get("mm_hashes")))
    except UnicodeEncodeError as error:
        raise VLLMValidationError(
            "The request contains text that is not valid Unicode. Remove unpaired surrogates."
        ) from error
    except OverflowError as error:
        raise VLLMValidationError(
            "The request contains an integer of more than 64 bits. Send a smaller one."
        ) from error


def check_output(output: Any, sampling_params: Any) -> None:
    """Attribute an output that ended with an error to its grammar, if it has one. vLLM gives no reason.

    Raises:
        VLLMValidationError: no token of the model satisfies the grammar, or the grammar could not be compiled.
    """
    grammar = getattr(sampling_params, "structured_outputs", None)
    if grammar is not None and any(each.finish_reason == "error" for each in output.outputs):
        raise RequestError(
            "The model cannot generate the requested output, or its grammar is too complex. Simplify the grammar.",
            parameter="structured_outputs",
        )


async def with_error_event(events: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Yield the events of a `/v1/responses` stream. If it fails, end with OpenAI's `error` event.

    vLLM 0.32 breaks the connection instead.
    """
    number = 0
    try:
        async for event in events:
            number = event.sequence_number + 1
            yield event
    except VLLMError as error:
        yield _error_event(create_error_response(error).error, number)
    except ValidationError as error:
        yield _error_event(_generation_error(error), number)


def _error_event(error: Any, number: int) -> ResponseErrorEvent:
    """Convert vLLM's `ErrorInfo` to the event with this sequence number."""
    return ResponseErrorEvent(
        type="error", code=str(error.code), message=error.message, param=error.param, sequence_number=number
    )


def _generation_error(error: ValidationError) -> Any:
    """Return the `ErrorInfo` of a failed generation, which vLLM fails to validate as an event."""
    invalid = error.errors(include_url=False)[0]["input"]
    try:
        return ErrorResponse.model_validate(invalid).error
    except ValidationError:
        logger.error("Response stream failed", exc_info=error)
        return create_error_response(GenerationError()).error
