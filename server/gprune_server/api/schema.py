"""Request bodies that ask for pruning."""

from typing import Annotated

from pydantic import BaseModel, Field, SkipValidation
from vllm.entrypoints.openai.chat_completion.protocol import BatchChatCompletionRequest, ChatCompletionRequest
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest

# Declared for the OpenAPI schema. `gprune_server.api.renderer`, which requests of every endpoint pass, validates them.
RatioField = Annotated[
    SkipValidation[float | None],
    Field(
        description="Fraction of the images' patch tokens to prune before the language model, in [0, 1). "
        "Null or absent: the server's default.",
        examples=[0.7],
        json_schema_extra={"minimum": 0, "exclusiveMaximum": 1},
    ),
]
BudgetField = Annotated[
    SkipValidation[int | None],
    Field(
        description="Patch tokens to keep of each image, in place of a ratio. An image of fewer is kept whole.",
        examples=[320],
        json_schema_extra={"minimum": 1},
    ),
]
MethodField = Annotated[
    SkipValidation[str | None],
    Field(
        description="How the tokens that stay are selected: one of the methods that the operator enabled. "
        "Null or absent: the server's default.",
        examples=["divprune"],
    ),
]


class Prunable(BaseModel):
    """What request bodies that ask for pruning have in common."""

    prune_ratio: RatioField = None
    visual_token_budget: BudgetField = None
    prune_method: MethodField = None


class PrunableChatRequest(Prunable, ChatCompletionRequest):
    """Body of `/v1/chat/completions`.

    Changes against `vllm.entrypoints.openai.chat_completion.protocol.ChatCompletionRequest` (vLLM 0.32): asks for
    pruning.
    """


class PrunableBatchRequest(Prunable, BatchChatCompletionRequest):
    """Body of `/v1/chat/completions/batch`.

    Changes against `vllm.entrypoints.openai.chat_completion.protocol.BatchChatCompletionRequest` (vLLM 0.32): asks for
    pruning.
    """


class PrunableResponsesRequest(Prunable, ResponsesRequest):
    """Body of `/v1/responses`.

    Changes against `vllm.entrypoints.openai.responses.protocol.ResponsesRequest` (vLLM 0.32): asks for pruning.
    """
