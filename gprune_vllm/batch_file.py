"""Requests in the file of `vllm run-batch`, which loads no routes of plugins."""

from typing import Any

from pydantic import model_validator
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

from gprune_vllm.adapter.refusal import FIELDS

ARGUMENTS = "mm_processor_kwargs"


class BatchFileRequest(ChatCompletionRequest):
    """Body of a line for `/v1/chat/completions`.

    Changes against `vllm.entrypoints.openai.chat_completion.protocol.ChatCompletionRequest` (vLLM 0.32): pruning fields
    are arguments of the processor, which honours or refuses them. Without `--trust-request-mm-kwargs` vLLM refuses a
    line that has such arguments.
    """

    @model_validator(mode="before")
    @classmethod
    def pass_on(cls, data: Any) -> Any:
        """Move the pruning fields to the arguments of the processor. What is malformed is left for vLLM to refuse."""
        if not isinstance(data, dict) or not isinstance(data.get(ARGUMENTS), dict | None):
            return data
        given = {field: data[field] for field in FIELDS if data.get(field) is not None}
        rest = {name: value for name, value in data.items() if name not in FIELDS}
        return rest | {ARGUMENTS: {**(data.get(ARGUMENTS) or {}), **given} or None}
