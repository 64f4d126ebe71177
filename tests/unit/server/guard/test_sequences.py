"""Sequences are counted whatever the endpoint calls its prompts."""

from typing import Any

import pytest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.exceptions import VLLMValidationError

from gprune_server.api.schema import PrunableBatchRequest, PrunableChatRequest, PrunableResponsesRequest
from gprune_server.guard.sequences import check_sequences, count_sequences

TURN = {"role": "user", "content": "Hello"}
BODIES: list[tuple[Any, dict[str, Any], int]] = [
    (PrunableChatRequest, {"messages": [TURN]}, 1),
    (PrunableChatRequest, {"messages": [TURN, TURN, TURN]}, 1),
    (PrunableChatRequest, {"messages": [TURN], "n": 7}, 7),
    (PrunableBatchRequest, {"messages": [[TURN], [TURN, TURN]]}, 2),
    (PrunableResponsesRequest, {"input": "Hello"}, 0),
    (CompletionRequest, {"prompt": "Hello"}, 1),
    (CompletionRequest, {"prompt": [1, 2, 3]}, 1),
    (CompletionRequest, {"prompt": ["a", "b"], "n": 3}, 6),
    (CompletionRequest, {"prompt": [[1, 2], [3], [4]]}, 3),
    (CompletionRequest, {"prompt_embeds": [b"", b""]}, 2),
]


@pytest.mark.parametrize(("model", "body", "expected"), BODIES)
def test_sequences_are_prompts_times_answers(model: Any, body: dict[str, Any], expected: int) -> None:
    assert count_sequences(model.model_validate(body)) == expected


@pytest.mark.parametrize(
    ("body", "field"), [({"prompt": ["a"] * 9}, "prompt"), ({"prompt": "a", "n": 9}, "n"), ({"prompt": "a"}, None)]
)
def test_the_field_that_asks_for_too_many_is_named(body: dict[str, Any], field: str | None) -> None:
    request = CompletionRequest.model_validate(body)
    if field is None:
        check_sequences(request, 8)
        return
    with pytest.raises(VLLMValidationError, match="--max-request-sequences") as error:
        check_sequences(request, 8)
    assert error.value.parameter == field
