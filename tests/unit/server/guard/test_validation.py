"""Lists are validated up to their first invalid item, in all types of bodies."""

from typing import Any

import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from vllm.entrypoints.anthropic.protocol import AnthropicMessagesRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.serve.tokenize.protocol import DetokenizeRequest, TokenizeRequest

from gprune_server.api.schema import PrunableBatchRequest, PrunableChatRequest, PrunableResponsesRequest
from gprune_server.guard.validation import FailFastField

MANY = 4000
USER = {"role": "user", "content": "Hi"}
CHAT = {"messages": [USER]}
BODIES: list[tuple[Any, dict[str, Any]]] = [
    (PrunableResponsesRequest, {"input": [{}] * MANY}),
    (PrunableResponsesRequest, {"input": [USER] * MANY + [{}] * MANY}),
    (PrunableResponsesRequest, {"input": [{"type": "message", "role": "x"}] * MANY}),
    (PrunableResponsesRequest, {"input": [{"role": "user", "content": [{"type": "x"}] * MANY}]}),
    (PrunableResponsesRequest, {"input": [{"role": "assistant", "content": [{"type": "x"}] * MANY}]}),
    (PrunableResponsesRequest, {"input": [{"type": "function_call_output", "call_id": "a", "output": [{}] * MANY}]}),
    (PrunableResponsesRequest, {"input": "Hi", "tools": [{}] * MANY}),
    (PrunableResponsesRequest, {"input": "Hi", "metadata": {str(number): 1 for number in range(MANY)}}),
    (PrunableChatRequest, {"messages": [{}] * MANY}),
    (PrunableChatRequest, {"messages": [1] * MANY}),
    (PrunableChatRequest, CHAT | {"tools": [{}] * MANY}),
    (PrunableChatRequest, CHAT | {"stop_token_ids": ["x"] * MANY}),
    (PrunableChatRequest, CHAT | {"logit_bias": {str(number): "x" for number in range(MANY)}}),
    (PrunableBatchRequest, {"messages": [[{}]] * MANY}),
    (PrunableBatchRequest, {"messages": [[{}] * MANY]}),
    (CompletionRequest, {"prompt": [1] * MANY + ["x"] * MANY}),
    (CompletionRequest, {"prompt": [[{}] * MANY]}),
    (AnthropicMessagesRequest, {"model": "a", "max_tokens": 1, "messages": [{}] * MANY}),
    (AnthropicMessagesRequest, {"model": "a", "max_tokens": 1, "messages": [{"role": "user", "content": [{}] * MANY}]}),
    (TokenizeRequest, {"messages": [{}] * MANY}),
    (DetokenizeRequest, {"tokens": ["x"] * MANY}),
]


@pytest.mark.parametrize(("kind", "body"), BODIES)
def test_errors_do_not_grow_with_a_list(kind: Any, body: dict[str, Any]) -> None:
    _, errors = FailFastField(FieldInfo(annotation=kind), "body").validate(body, loc=("body",))
    assert 0 < len(errors) < 40


def test_bodies_are_validated_as_before() -> None:
    body = {"input": [USER], "tools": [{"type": "function", "name": "zoom", "parameters": {}}]}
    validated, errors = FailFastField(FieldInfo(annotation=PrunableResponsesRequest), "body").validate(body)
    assert not errors
    assert validated.model_dump(exclude={"request_id"}) == PrunableResponsesRequest.model_validate(body).model_dump(
        exclude={"request_id"}
    )
    assert type(validated) is PrunableResponsesRequest


def test_validators_of_others_stay_as_they_are() -> None:
    FailFastField(FieldInfo(annotation=DetokenizeRequest), "body")
    with pytest.raises(ValidationError) as raised:
        DetokenizeRequest(tokens=["x"] * 9)
    assert raised.value.error_count() == 9
