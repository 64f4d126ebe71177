"""Requests at fault that vLLM 0.32 takes for faults of its own: their 5xx becomes a 400 that says why."""

from traceback import extract_tb
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from vllm.entrypoints.serve.exception_handling.handlers.exception import exception_handler
from vllm.entrypoints.serve.exception_handling.handlers.http import http_exception_handler
from vllm.exceptions import VLLMValidationError
from vllm.logger import init_logger
from vllm.platforms import current_platform
from vllm.sampling_params import SamplingType
from vllm.v1.serial_utils import MsgpackEncoder

logger = init_logger(f"vllm.{__name__}")

VALIDATION = "request_body_to_args"
"""FastAPI's function that validates bodies. Validators of vLLM's own that run in it take a field for what it is not."""
MALFORMED = (AssertionError, AttributeError)
"""What vLLM's reading of a conversation raises for a part that is not what its type says."""


def handle_errors(app: FastAPI) -> None:
    """Have errors of the framework told in OpenAI's shape, and bodies refused that vLLM fails to read."""
    app.add_exception_handler(HTTPException, http_exception_handler)
    app.add_exception_handler(RecursionError, refuse_nesting)
    for unforeseen in (AttributeError, LookupError):
        app.add_exception_handler(unforeseen, refuse_malformed)


async def refuse_nesting(request: Request, error: Exception) -> Response:
    """A 400 where vLLM would answer 500 and close the connection."""
    refusal = VLLMValidationError("the request holds JSON that is nested too deeply")
    answer: Response = await exception_handler(request, refusal)
    return answer


async def refuse_malformed(request: Request, error: Exception) -> Response:
    """A 400 where it was the body's validation that failed, and otherwise the 500 that it is."""
    told: Exception = error
    if any(frame.name == VALIDATION for frame in extract_tb(error.__traceback__)):
        told = VLLMValidationError("a field of the request is not of the type that it should be")
    else:
        logger.error("a request failed", exc_info=error)
    answer: Response = await exception_handler(request, told)
    return answer


def check_sendable(prompt: Any, sampling_params: Any, request_id: str) -> None:
    """Refuse what vLLM finds out on the way to the engine only, or behind it.

    Raises:
        VLLMValidationError: text or a number cannot be encoded, or the seed would be the death of the engine.
    """
    if sampling_params.sampling_type is SamplingType.RANDOM_SEED and current_platform.is_cpu():
        raise VLLMValidationError(
            "seed asks for temperature 0 on a CPU: vLLM 0.32 cannot rewind a CPU's generator where a prompt is "
            "prefilled in chunks. Send temperature 0, or no seed.",
            parameter="seed",
        )
    try:
        MsgpackEncoder().encode((request_id, sampling_params, isinstance(prompt, dict) and prompt.get("mm_hashes")))
    except UnicodeEncodeError as error:
        raise VLLMValidationError("the request holds text that is no Unicode: half of a surrogate pair") from error
    except OverflowError as error:
        raise VLLMValidationError("the request holds an integer of more than 64 bits") from error


def check_output(output: Any, sampling_params: Any) -> None:
    """Blame the grammar for an output that ended with an error: vLLM does not tell why one does.

    Raises:
        VLLMValidationError: no token of the model goes on with the grammar, or it could not be compiled.
    """
    grammar = getattr(sampling_params, "structured_outputs", None)
    if grammar is not None and any(each.finish_reason == "error" for each in output.outputs):
        raise VLLMValidationError(
            "the output that was asked for is none that the model can write, or its grammar is too complex",
            parameter="structured_outputs",
        )
