"""`/v1/models/{id}` of OpenAI's API, which vLLM 0.32 does not have."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from vllm.entrypoints.serve.engine.protocol import ErrorResponse, ModelCard
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response

router = APIRouter(responses={HTTPStatus.NOT_FOUND.value: {"model": ErrorResponse}})


@router.get("/v1/models/{model:path}", response_model=ModelCard)
async def show_model(model: str, raw_request: Request) -> Any:
    """Show a served model or adapter."""
    served = await raw_request.app.state.openai_serving_models.show_available_models()
    found = next((each for each in served.data if each.id == model), None)
    if found is not None:
        return found
    names = ", ".join(each.id for each in served.data)
    text = f"The model `{model[:200]}` does not exist. This server has: {names}."
    unknown = create_error_response(text, "NotFoundError", HTTPStatus.NOT_FOUND, "model")
    return JSONResponse(unknown.model_dump(), HTTPStatus.NOT_FOUND)
