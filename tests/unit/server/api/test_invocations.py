"""Bodies of `/invocations` are validated as those of the routes whose place it takes."""

from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from vllm.entrypoints.openai.completion.protocol import CompletionRequest

from gprune_server.api.invocations import validated
from gprune_server.api.schema import PrunableChatRequest

MANY = 4000
USER = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (PrunableChatRequest, {"messages": [{}] * MANY}),
        (CompletionRequest, {"prompt": ["x", *[{}] * 900]}),
    ],
)
def test_lists_are_validated_up_to_their_first_invalid_item(kind: Any, body: dict[str, Any]) -> None:
    with pytest.raises(RequestValidationError) as raised:
        validated(kind, body)
    assert len(raised.value.errors()) < 40
    assert raised.value.body == body


def test_valid_bodies_become_requests() -> None:
    assert isinstance(validated(PrunableChatRequest, {"messages": [USER], "prune_ratio": 0.5}), PrunableChatRequest)
    assert validated(CompletionRequest, {"prompt": "Hi"}).prompt == "Hi"
