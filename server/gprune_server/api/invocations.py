"""`/invocations` of Amazon SageMaker, which replaces vLLM's route."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from model_hosting_container_standards import sagemaker
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from vllm.entrypoints.openai.completion.api_router import create_completion
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.serve.utils.api_utils import validate_json_request

from gprune_server.api.description import describe_fields
from gprune_server.api.routes import create_chat_completion
from gprune_server.api.schema import PrunableChatRequest
from gprune_server.guard.validation import FailFastField

router = APIRouter()


@router.post("/invocations", dependencies=[Depends(validate_json_request)])
@sagemaker.stateful_session_manager()
@sagemaker.inject_adapter_id(adapter_path="model")
async def invoke(raw_request: Request) -> Any:
    """Complete a chat if the body has `messages`, and otherwise a prompt.

    vLLM 0.32 takes a body with wrong `messages` for a prompt, and responds that there is none.
    """
    body = await raw_request.json()
    chat = isinstance(body, dict) and "messages" in body
    kind, complete = (PrunableChatRequest, create_chat_completion) if chat else (CompletionRequest, create_completion)
    try:
        request = validated(kind, body)
    except (AttributeError, LookupError, TypeError):  # of vLLM's validators
        described = describe_fields([kind], body)
        return JSONResponse(described.model_dump(), described.error.code)
    return await complete(request, raw_request)


def validated(kind: type[BaseModel], body: Any) -> Any:
    """Validate a body as the routes do that declare its type.

    Raises:
        RequestValidationError: it is invalid.
    """
    value, errors = FailFastField(FieldInfo(annotation=kind), "body").validate(body, loc=("body",))
    if errors:
        raise RequestValidationError(errors, body=body)
    return value
