"""Output ends where the positions end."""

from types import SimpleNamespace
from typing import Any

from gprune_server.api.renderer import _limit_output
from gprune_server.api.schema import PrunableChatRequest, PrunableResponsesRequest

CHAT = {"messages": [{"role": "user", "content": "Hello"}]}


def chat(**fields: Any) -> PrunableChatRequest:
    return PrunableChatRequest.model_validate(CHAT | fields)


def test_unasked_length_becomes_the_limit() -> None:
    request = chat()
    _limit_output(request, 100)
    assert request.max_completion_tokens == 100


def test_responses_have_their_own_field() -> None:
    request = PrunableResponsesRequest.model_validate({"input": "Hello"})
    _limit_output(request, 100)
    assert request.max_output_tokens == 100


def test_length_within_the_limit_stays() -> None:
    request = chat(max_completion_tokens=100)
    _limit_output(request, 100)
    assert request.max_completion_tokens == 100


def test_length_beyond_the_limit_is_cut() -> None:
    request = chat(max_completion_tokens=101)
    _limit_output(request, 100)
    assert request.max_completion_tokens == 100


def test_bodies_without_a_length_pass() -> None:
    body = SimpleNamespace(prompt="Hello")
    _limit_output(body, 100)
    assert vars(body) == {"prompt": "Hello"}
