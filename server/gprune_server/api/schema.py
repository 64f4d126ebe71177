"""Request bodies with pruning fields."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, SkipValidation, model_validator
from vllm.entrypoints.openai.chat_completion.protocol import BatchChatCompletionRequest, ChatCompletionRequest
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest

from gprune_server.api.items import Item, completed, without_nulls

# These declarations are for the OpenAPI schema. `gprune_server.api.renderer` validates the fields, for every endpoint.
RatioField = Annotated[
    SkipValidation[float | None],
    Field(
        description="Fraction of each image's patch tokens to prune before the language model, in [0, 1). "
        "If null or absent, the server's default applies.",
        examples=[0.7],
        json_schema_extra={"minimum": 0, "exclusiveMaximum": 1},
    ),
]
BudgetField = Annotated[
    SkipValidation[int | None],
    Field(
        description="Patch tokens to keep of each image, instead of a ratio. Images with fewer are not pruned.",
        examples=[320],
        json_schema_extra={"minimum": 1},
    ),
]
MethodField = Annotated[
    SkipValidation[str | None],
    Field(
        description="Method that selects the tokens to keep: one of those enabled by the operator. "
        "If null or absent, the server's default applies.",
        examples=["divprune"],
    ),
]


class Prunable(BaseModel):
    """Pruning fields of a request body."""

    prune_ratio: RatioField = None
    visual_token_budget: BudgetField = None
    prune_method: MethodField = None


class PrunableChatRequest(Prunable, ChatCompletionRequest):
    """Body of `/v1/chat/completions`.

    Changes against `vllm.entrypoints.openai.chat_completion.protocol.ChatCompletionRequest` (vLLM 0.32): has
    pruning fields.
    """


class PrunableBatchRequest(Prunable, BatchChatCompletionRequest):
    """Body of `/v1/chat/completions/batch`.

    Changes against `vllm.entrypoints.openai.chat_completion.protocol.BatchChatCompletionRequest` (vLLM 0.32): has
    pruning fields.
    """


class PrunableResponsesRequest(Prunable, ResponsesRequest):
    """Body of `/v1/responses`.

    Changes against `vllm.entrypoints.openai.responses.protocol.ResponsesRequest` (vLLM 0.32): has pruning fields, and
    takes items as agents send them.
    """

    input: str | list[Item]

    @model_validator(mode="before")
    @classmethod
    def complete(cls, data: Any) -> Any:
        """Omit nulls, which stand for the defaults, and complete the items.

        As a subclass's, this validator runs before those of `ResponsesRequest`.
        """
        if not isinstance(data, dict):
            return data
        data = without_nulls(data)
        items = data.get("input")
        return data | {"input": [completed(item) for item in items]} if isinstance(items, list) else data
