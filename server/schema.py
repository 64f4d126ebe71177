"""Request bodies that take `prune_ratio`."""

from typing import Annotated

from pydantic import BaseModel, Field, SkipValidation
from vllm.entrypoints.openai.chat_completion.protocol import BatchChatCompletionRequest, ChatCompletionRequest
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest

# Declared for the OpenAPI schema. It is validated where the requests of every endpoint pass, in `server.renderer`.
RatioField = Annotated[
    SkipValidation[float | None],
    Field(
        description="Fraction of the images' patch tokens to prune before the language model, in [0, 1). "
        "Null or absent: the server's default.",
        examples=[0.7],
        json_schema_extra={"minimum": 0, "exclusiveMaximum": 1},
    ),
]


class Prunable(BaseModel):
    """What request bodies that take a ratio have in common."""

    prune_ratio: RatioField = None


class PrunableChatRequest(Prunable, ChatCompletionRequest):
    """Body of `/v1/chat/completions`.

    Changes against `vllm.entrypoints.openai.chat_completion.protocol.ChatCompletionRequest` (vLLM 0.32): takes
    `prune_ratio`.
    """


class PrunableBatchRequest(Prunable, BatchChatCompletionRequest):
    """Body of `/v1/chat/completions/batch`.

    Changes against `vllm.entrypoints.openai.chat_completion.protocol.BatchChatCompletionRequest` (vLLM 0.32): takes
    `prune_ratio`.
    """


class PrunableResponsesRequest(Prunable, ResponsesRequest):
    """Body of `/v1/responses`.

    Changes against `vllm.entrypoints.openai.responses.protocol.ResponsesRequest` (vLLM 0.32): takes `prune_ratio`.
    """
