"""Responses to errors, in place of vLLM's: see `gprune_server.api.description`."""

from http import HTTPStatus
from traceback import extract_tb
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp
from vllm.entrypoints.serve.exception_handling.handlers.exception import exception_handler
from vllm.exceptions import VLLMClientError
from vllm.logger import init_logger

from gprune_server.api.description import describe, describe_fields

logger = init_logger(f"vllm.{__name__}")

VALIDATION = "request_body_to_args"
"""FastAPI's function that validates bodies. vLLM's validators, which run in it, fail on fields of the wrong type."""


def with_handlers(app: ASGIApp) -> ASGIApp:
    """Replace handlers that vLLM registers after those of plugins. It has to be the innermost middleware.

    Args:
        app: Starlette's `ExceptionMiddleware`, which handles errors within all other middleware.
    """
    assert isinstance(app, ExceptionMiddleware)
    for error in (RequestValidationError, VLLMClientError, ValueError):
        app.add_exception_handler(error, client_error_response)
    for unforeseen in (AttributeError, LookupError, TypeError):
        app.add_exception_handler(unforeseen, unforeseen_response)
    return app


async def client_error_response(request: Request, error: Exception) -> JSONResponse:
    """Return the response to an error of the client."""
    described = describe(error, await _body(request))
    return JSONResponse(described.model_dump(), described.error.code)


async def unforeseen_response(request: Request, error: Exception) -> Response:
    """Return a 400 for an error in the validation of a body, and what vLLM returns for any other."""
    if any(frame.name == VALIDATION for frame in extract_tb(error.__traceback__)):
        models = [each.field_info.annotation for each in request.scope["route"].dependant.body_params]
        return JSONResponse(describe_fields(models, await _body(request)).model_dump(), HTTPStatus.BAD_REQUEST)
    response: Response = await exception_handler(request, error)
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("Request failed", exc_info=error)
    return response


async def _body(request: Request) -> Any:
    """Return the body, which was read before, or None if it is not JSON."""
    try:
        return await request.json()
    except Exception:  # no matter why: the error is known without it
        return None
