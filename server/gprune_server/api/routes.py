"""Routes with pruning fields, which replace and call vLLM's routes of the same paths, and `/v1/visual_tokens`."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from vllm.entrypoints.openai.chat_completion import api_router as chat
from vllm.entrypoints.openai.responses import api_router as responses
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.utils.api_utils import validate_json_request
from vllm.exceptions import VLLMValidationError

from gprune_server.api.schema import Prunable, PrunableBatchRequest, PrunableChatRequest, PrunableResponsesRequest
from gprune_server.api.visual_token_schema import PruningChoices, VisualTokensRequest, VisualTokensResponse
from gprune_vllm.families import MODELS

router = APIRouter(
    dependencies=[Depends(validate_json_request)],
    responses={
        status.value: {"model": ErrorResponse}
        for status in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.INTERNAL_SERVER_ERROR)
    },
)

reading = APIRouter()
"""Routes without a request body."""

STREAM: dict[int | str, dict[str, Any]] = {HTTPStatus.OK.value: {"content": {"text/event-stream": {}}}}

SUPPORTED = f"gprune prunes models of these architectures: {', '.join(MODELS)}."


@router.post("/v1/chat/completions", responses=STREAM)
async def create_chat_completion(request: PrunableChatRequest, raw_request: Request) -> Any:
    """Complete a chat, pruning the visual tokens of its images as requested."""
    _check_fields(request, raw_request)
    return await chat.create_chat_completion(request, raw_request)


@router.post("/v1/chat/completions/batch")
async def create_batch_chat_completion(request: PrunableBatchRequest, raw_request: Request) -> Any:
    """Complete several chats, pruning the visual tokens of their images as requested."""
    _check_fields(request, raw_request)
    return await chat.create_batch_chat_completion(request, raw_request)


@router.post("/v1/responses", responses=STREAM)
async def create_responses(request: PrunableResponsesRequest, raw_request: Request) -> Any:
    """Create a response, pruning the visual tokens of its images as requested."""
    _check_fields(request, raw_request)
    return await responses.create_responses(request, raw_request)


@reading.get("/v1/visual_tokens")
async def describe_pruning(raw_request: Request) -> PruningChoices:
    """List the pruning methods and ratios that requests may use."""
    state = raw_request.app.state
    _check_supported(state)
    choices: PruningChoices = state.gprune_visual_tokens.choices
    return choices


@router.post("/v1/visual_tokens", response_model_exclude_none=True)
async def show_visual_tokens(request: VisualTokensRequest, raw_request: Request) -> VisualTokensResponse:
    """Show which visual tokens of images the engine would keep."""
    state = raw_request.app.state
    _check_supported(state)
    unknown = await state.gprune_visual_tokens.check_model(request, state.openai_serving_chat)
    if unknown is not None:
        return JSONResponse(unknown.model_dump(), status_code=unknown.error.code)  # type: ignore[return-value]
    shown: VisualTokensResponse = await state.gprune_visual_tokens.show(request)
    return shown


def _check_supported(state: Any) -> None:
    """Check that gprune supports the served model.

    Raises:
        VLLMValidationError: it does not.
    """
    if not state.gprune_serves:
        raise VLLMValidationError(f"Pruning is not supported by the served model. {SUPPORTED}", parameter="model")


def _check_fields(request: Prunable, raw_request: Request) -> None:
    """Check that the body has no pruning fields if gprune does not support the served model.

    Raises:
        VLLMValidationError: it has one.
    """
    if raw_request.app.state.gprune_serves:
        return
    for field in Prunable.model_fields:
        if getattr(request, field) is not None:
            message = f"{field} is not supported by the served model. Omit it. {SUPPORTED}"
            raise VLLMValidationError(message, parameter=field)
